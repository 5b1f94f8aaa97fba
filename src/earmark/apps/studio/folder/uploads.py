"""Uploads: bytes appended to files as they come, so that a crash or a full disk loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from earmark.apps.studio.folder.ledger import Ledger
from earmark.apps.studio.mistakes import (
    ConflictError,
    DiskFullError,
    TooLargeError,
    UnknownIdError,
    of_the_disk,
)
from earmark.apps.studio.places import PRIVATE
from earmark.errors import EarmarkError
from earmark.system.files import not_a_file, write_whole

UPLOAD_BYTES = 4 << 30  # of one recording
PART_BYTES = 1 << 20  # sent at once
PIECE_S = 30.0  # of a recorded piece
MOST_OPEN = 64
TRY_BYTES, MOST_TRIES = 256 << 20, 8  # recordings that are only tried, and how many are kept
KEPT_FREE = 64 << 20  # bytes of the disk that stay free, for labels and for other programs
LEAST_RATE, MOST_RATE = 8_000, 384_000  # of recorded pieces
HEADER_BYTES = 44
LEAST_S = 0.1  # of a recovered piece
PLACE, ABOUT, SOUND = "uploads", "about.json", "sound"


@dataclass
class Upload:
    """An unfinished upload: what was said of it, its folder, and the bytes that have come."""

    id: str
    about: dict[str, Any]
    place: Path
    held: FileLock
    n_bytes: int = 0
    is_ready: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_pcm(self) -> bool:
        return bool(self.about.get("kind") == "pcm")

    @property
    def is_try(self) -> bool:
        return self.about.get("purpose") == "try"

    @property
    def sound(self) -> Path:
        return self.place / SOUND

    @property
    def seconds(self) -> float:
        """The length of a recorded piece."""
        return self.n_bytes / 2 / float(self.about["rate_hz"])

    @property
    def most_bytes(self) -> int:
        """The most bytes that may come."""
        return most_bytes(self.about)


def most_bytes(about: dict[str, Any]) -> int:
    """Return the most bytes of an upload; a recorded piece may be a little longer than it says."""
    if about["kind"] == "pcm":
        return int((PIECE_S + 5) * about["rate_hz"]) * 2
    return TRY_BYTES if about.get("purpose") == "try" else UPLOAD_BYTES


class Uploads:
    """The unfinished uploads of a folder, each in a folder of its own below ``.studio/uploads``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._open = ledger, dict[str, Upload]()
        self._lock = threading.Lock()

    def begin(self, about: dict[str, Any]) -> str:
        """Begin an upload; return its id. EarmarkError if it is refused."""
        about = _checked(about)
        with self._lock:
            self._forget_tries()
            if len(self._open) >= MOST_OPEN:
                raise EarmarkError(f"{MOST_OPEN} uploads are open already. Wait for one of them.")
            id = secrets.token_hex(8)
            try:
                self._check_room(about.get("bytes") or PART_BYTES)
                place = self._ledger.own(PLACE) / id
                place.mkdir()
                held = FileLock(place / "lock", thread_local=False)
                held.acquire(timeout=0)
                write_whole(place / ABOUT, json.dumps(about).encode())
                head = wav_header(0, about["rate_hz"]) if about["kind"] == "pcm" else b""
                (place / SOUND).write_bytes(head)
            except OSError as error:
                raise of_the_disk(error, "begin the upload") from error
            self._open[id] = Upload(id, about, place, held)
        return id

    def get(self, id: str) -> Upload:
        """Return an upload that is open; UnknownIdError if there is none."""
        with self._lock:
            if id not in self._open:
                raise UnknownIdError("the upload is not there any more. Begin it again.")
            return self._open[id]

    def append(self, id: str, offset: int, data: bytes) -> int:
        """Write bytes at ``offset``; return how many have come. Bytes may be sent twice."""
        upload = self.get(id)
        if len(data) > PART_BYTES:
            raise TooLargeError(f"a part has more than {PART_BYTES:,} bytes. Send smaller parts.")
        with upload.lock:
            end = offset + len(data)
            if upload.is_ready or offset > upload.n_bytes or end < offset:
                raise ConflictError(f"the upload is at {upload.n_bytes:,} bytes. Go on from there.")
            if end > upload.most_bytes:
                raise TooLargeError(_too_large(upload.about))
            if end > upload.n_bytes:
                self._check_room(len(data))
                self._write(upload, offset, data)
                upload.n_bytes = end
            return upload.n_bytes

    def _write(self, upload: Upload, offset: int, data: bytes) -> None:
        at = offset + (HEADER_BYTES if upload.is_pcm else 0)
        kept = upload.n_bytes + (HEADER_BYTES if upload.is_pcm else 0)
        try:
            with open(upload.sound, "rb+", buffering=0) as file:
                try:
                    file.seek(at)
                    left = memoryview(data)
                    while left:
                        left = left[file.write(left) or 0 :]
                except OSError:
                    file.truncate(kept)
                    raise
        except OSError as error:
            raise _not_kept(of_the_disk(error, "keep the sound")) from error

    def ready(self, upload: Upload) -> Path:
        """Return the complete file of an upload; EarmarkError if a part of it is missing."""
        with upload.lock:
            stated = upload.about.get("bytes")
            if stated is not None and not upload.is_pcm and stated != upload.n_bytes:
                raise ConflictError(
                    f"{upload.n_bytes:,} of {stated:,} bytes have come. Send the others."
                )
            if not upload.n_bytes:
                raise EarmarkError("no sound has come. Record or drop it again.")
            try:
                finish(upload.sound, upload.about)
            except OSError as error:
                raise of_the_disk(error, "keep the sound") from error
            upload.is_ready = True
        return upload.sound

    def drop(self, id: str) -> None:
        """Forget an upload, and delete its files."""
        upload = self.get(id)
        with self._lock:
            self._open.pop(id, None)
        with upload.lock:
            upload.held.release()
            shutil.rmtree(upload.place, ignore_errors=True)

    def left(self) -> list[Upload]:
        """Return the uploads that an ended studio has left; each is held from now on."""
        place = self._ledger.path / PRIVATE / PLACE
        found = []
        if not place.is_dir() or place.is_symlink():
            return []
        for inner in sorted(place.iterdir()):
            if inner.is_symlink() or not inner.is_dir() or inner.name in self._open:
                continue
            held = FileLock(inner / "lock", thread_local=False)
            try:
                held.acquire(timeout=0)
            except (Timeout, OSError):
                continue  # of another studio on the same folder
            upload = _left_in(inner, held)
            if upload is None:
                held.release()
                shutil.rmtree(inner, ignore_errors=True)
            else:
                self._open[upload.id] = upload
                found.append(upload)
        return found

    def _forget_tries(self) -> None:
        tries = [upload for upload in self._open.values() if upload.is_try and upload.is_ready]
        for upload in tries[: max(0, len(tries) - MOST_TRIES + 1)]:
            self._open.pop(upload.id)
            upload.held.release()
            shutil.rmtree(upload.place, ignore_errors=True)

    def _check_room(self, n_bytes: int) -> None:
        try:
            free = shutil.disk_usage(self._ledger.path).free
        except OSError as error:
            raise of_the_disk(error, "keep the sound") from error
        if free < n_bytes + KEPT_FREE:
            raise _not_kept(DiskFullError(""))


def _not_kept(error: EarmarkError) -> EarmarkError:
    if not isinstance(error, DiskFullError):
        return error
    return DiskFullError(
        "the disk is full. What has come so far was kept; free some space and record on."
    )


def _checked(about: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of an upload, if it is possible."""
    if about.get("kind") not in ("file", "pcm") or about.get("purpose") not in (
        None,
        "keep",
        "try",
    ):
        raise EarmarkError("an upload is a file or recorded sound. Reload the page.")
    rate_hz = about.get("rate_hz")
    if about["kind"] == "pcm" and not (
        isinstance(rate_hz, int) and LEAST_RATE <= rate_hz <= MOST_RATE
    ):
        raise EarmarkError(
            f"the microphone has {rate_hz} Hz. Use one with {LEAST_RATE:,} to {MOST_RATE:,} Hz."
        )
    if (about.get("bytes") or 0) > most_bytes(about):
        raise TooLargeError(_too_large(about))
    return {**about, "begun_at": time.time()}


def _too_large(about: dict[str, Any]) -> str:
    if about["kind"] == "pcm":
        return f"a piece may have {PIECE_S:g} s. Record shorter pieces."
    name, most = str(about.get("name", ""))[:60], most_bytes(about)
    return f"{name!r} may have at most {most:,} bytes. Copy it into the folder by other means."


def wav_header(n_bytes: int, rate_hz: int) -> bytes:
    """Return the header of a WAV file with 16-bit samples of one channel."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate_hz, rate_hz * 2, 2, 16)
    size = struct.pack("<I", 36 + n_bytes)
    return b"RIFF" + size + b"WAVEfmt " + form + b"data" + struct.pack("<I", n_bytes)


def finish(path: Path, about: dict[str, Any]) -> int:
    """Write the length into a recorded piece, and all of it to the disk; return its bytes."""
    with open(path, "rb+", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if about["kind"] == "pcm":
            n_bytes = max(0, size - HEADER_BYTES) // 2 * 2
            file.write(wav_header(n_bytes, about["rate_hz"]))
            file.truncate(HEADER_BYTES + n_bytes)
        os.fsync(file.fileno())
    path.chmod(0o644)
    return size


def _left_in(place: Path, held: FileLock) -> Upload | None:
    """Return an upload that was left; None if it has nothing that can be kept."""
    sound = place / SOUND
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, EarmarkError):
        if not_a_file(sound) or not_a_file(place / ABOUT) or sound.is_symlink():
            return None
        about = json.loads((place / ABOUT).read_bytes()[:65_536])
        about = {**_checked(about), "begun_at": about.get("begun_at")}
        size = sound.stat().st_size - (HEADER_BYTES if about["kind"] == "pcm" else 0)
        upload = Upload(place.name, about, place, held, max(0, size))
        if not upload.is_try:
            return upload
    return None
