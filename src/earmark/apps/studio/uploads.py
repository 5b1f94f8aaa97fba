"""Recordings that the page sends in parts: files, and pieces of the microphone's sound."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import struct
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from earmark.data.folders import is_recording
from earmark.errors import EarmarkError
from earmark.system.files import open_file, write_whole

MOST_BYTES = 16 * 2**30  # of a file
MOST_PIECE_S = 30.0
MOST_OPEN, MOST_TRIED = 64, 8  # uploads: that are not finished; to be tried, which stay for a while
FREE_BYTES = 100 * 2**20  # that an upload leaves on the disk
LEAST_RECOVERED_S = 0.2
NAME_BYTES, DEPTH = 150, 8  # of a name, and of folders in a dropped folder
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_ID = re.compile(r"[0-9a-f]{16}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class Uploads:
    """The unfinished uploads of a folder, each a file of bytes and one that says what it is."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def begin(self, about: dict[str, Any]) -> str:
        """Begin an upload and return its id.

        Raises EarmarkError for a name that is no recording's or a file that is too large, OSError
        (ENOSPC) if the disk has no room for it.
        """
        is_pcm = about.get("kind") == "pcm"
        if is_pcm and not about.get("rate_hz"):
            raise EarmarkError("the sound has no sampling rate. Send rate_hz.")
        name = plain_name(about.get("name") or "recording")
        name = f"{name.removesuffix('.wav')}.wav" if is_pcm else name
        if not is_recording(Path(name)):
            raise EarmarkError(f"{name} is not a recording. Drop files of sound.")
        size = about.get("bytes") or 0
        if size > MOST_BYTES:
            raise EarmarkError(f"{name} has {size:,} bytes. Copy it into the folder instead.")
        self.place.mkdir(parents=True, exist_ok=True)
        self._check_number()
        self._check_room(size)
        id = secrets.token_hex(8)
        kept = {**about, "name": name, "folder": plain_folder(about.get("folder"))}
        self._part(id).touch()
        write_whole(self._about(id), json.dumps(kept).encode())
        return id

    def append(self, id: str, offset: int, data: bytes) -> int:
        """Add bytes and return how many there are.

        What is there already is not written again: a page may repeat what it is not sure of.
        Raises KeyError for an unknown id, EarmarkError for a gap or too many bytes.
        """
        about = self.about(id)
        part = self._part(id)
        size = part.stat().st_size
        if offset > size:
            raise EarmarkError(f"the upload has {size:,} bytes, not {offset:,}. Go on from there.")
        data = data[size - offset :]
        most = round(MOST_PIECE_S * about["rate_hz"]) * 2 if is_pcm(about) else MOST_BYTES
        if size + len(data) > min(most, about.get("bytes") or most):
            raise EarmarkError("the upload has more bytes than were announced. Begin again.")
        self._check_room(len(data))
        with part.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return size + len(data)

    def about(self, id: str) -> dict[str, Any]:
        """Return what an upload is; KeyError for an unknown id."""
        if not _ID.fullmatch(id):
            raise KeyError(id)
        try:
            with open_file(self._about(id)) as file:
                value = json.loads(file.read(100_000))
        except (OSError, ValueError):
            raise KeyError(id) from None
        if not isinstance(value, dict):
            raise KeyError(id)
        return value

    def finish(self, id: str, folder: Path) -> Path:
        """Move an upload into ``folder`` under a name that is free; return its path there."""
        about, part = self.about(id), self._part(id)
        size = part.stat().st_size
        if not size or (about.get("bytes") and size < about["bytes"]):
            raise EarmarkError(f"{about['name']} is not complete. Send the rest of it.")
        if is_pcm(about):
            self._add_header(id, about)
        for component in filter(None, str(about.get("folder") or "").split("/")):
            folder = folder / component
            if folder.is_symlink():
                raise EarmarkError(f"{component} is a link. Drop the folder under another name.")
        folder.mkdir(parents=True, exist_ok=True)
        path = free_name(folder, about["name"])
        os.replace(part, path)
        self._about(id).unlink(missing_ok=True)
        return path

    def drop(self, id: str) -> None:
        """Forget an upload; KeyError for an unknown id."""
        self.about(id)
        self._part(id).unlink(missing_ok=True)
        self._about(id).unlink(missing_ok=True)

    def left(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the uploads that a page or a server left unfinished."""
        for path in sorted(self.place.glob("*.json")):
            with contextlib.suppress(KeyError):
                yield path.stem, self.about(path.stem)

    def is_worth_keeping(self, id: str, about: dict[str, Any]) -> bool:
        """Whether an unfinished upload has sound: a piece of the microphone's that was cut off."""
        with contextlib.suppress(OSError):
            size = self._part(id).stat().st_size
            is_kept = about.get("purpose") != "try"
            return is_pcm(about) and is_kept and size >= 2 * LEAST_RECOVERED_S * about["rate_hz"]
        return False

    def _add_header(self, id: str, about: dict[str, Any]) -> None:
        """Make a WAV file of 16-bit samples, one channel."""
        part, rate = self._part(id), int(about["rate_hz"])
        samples = part.read_bytes()
        samples = samples[: len(samples) // 2 * 2]
        form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
        head = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + struct.pack("<I", 16)
        data = b"data" + struct.pack("<I", len(samples))
        write_whole(part, [head, form, data, samples])

    def _check_number(self) -> None:
        """Forget the oldest recordings that were tried; EarmarkError if too many are open."""
        tried = [id for id, about in self.left() if about.get("purpose") == "try"]
        tried.sort(key=lambda id: self._part(id).stat().st_mtime)
        for id in tried[: -MOST_TRIED + 1]:
            self.drop(id)
        if len(list(self.place.glob("*.json"))) >= MOST_OPEN:
            raise EarmarkError("too many uploads are open. Wait until some have ended.")

    def _check_room(self, size: int) -> None:
        if shutil.disk_usage(self.place).free < size + FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _part(self, id: str) -> Path:
        return self.place / f"{id}.part"

    def _about(self, id: str) -> Path:
        return self.place / f"{id}.json"


def is_pcm(about: dict[str, Any]) -> bool:
    """Whether an upload is sound of the microphone and not a file."""
    return bool(about.get("kind") == "pcm")


def plain_name(name: str) -> str:
    """Return a name that every system takes for a file, as like the given one as possible."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2])
    name = _FORBIDDEN.sub("_", name).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    stem, suffix = (stem, f"{dot}{suffix}") if dot and len(suffix) < 10 else (name, "")
    while len(f"{stem}{suffix}".encode("utf-8", "replace")) > NAME_BYTES:
        stem = stem[:-1]
    name = f"{stem}{suffix}".encode("utf-8", "replace").decode()
    return f"_{name}" if not name or _DEVICES.fullmatch(name) else name


def plain_folder(folder: str | None) -> str:
    """Return the folders around a dropped file, with names that every system takes."""
    parts = [part for part in (folder or "").replace("\\", "/").split("/") if part.strip(" .")]
    return "/".join(map(plain_name, parts[:DEPTH]))


def free_name(folder: Path, name: str) -> Path:
    """Return a path in ``folder`` that is free, also where case does not count."""
    taken = {entry.name.casefold() for entry in os.scandir(folder)}
    stem, suffix = os.path.splitext(name)
    number, free = 2, name
    while free.casefold() in taken:
        free, number = f"{stem} {number}{suffix}", number + 1
    return folder / free
