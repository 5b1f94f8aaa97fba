"""Known data sets on this machine: fetched or unpacked, with a manifest."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.known.catalogue import Archive, KnownData, find
from earmark.errors import DataError, amount
from earmark.system import unpacking
from earmark.system.cache import cache_folder, is_offline
from earmark.system.download import DownloadError, download
from earmark.system.files import BLOCK_BYTES, not_a_file, open_file
from earmark.system.jsons import json_text
from earmark.system.progress import ByteProgress

NOTE = "earmark.json"  # beside the recordings: where they came from, and their hash


@dataclass(frozen=True)
class Fetched:
    """A known data set on this machine: its manifest, and a sentence about its hash."""

    manifest: Path
    clips: int
    about_hash: str


def fetch(
    name: str,
    to: str | Path | None = None,
    archive: str | Path | None = None,
    progress: ByteProgress | None = None,
) -> Fetched:
    """Download and unpack a data set into a folder below ``to`` and write its manifest there.

    ``to`` is by default in the user's cache. ``archive`` is a local copy to use instead of a
    download. What is unpacked already is not fetched again; a broken download goes on where it
    stopped. A download must have the published hash, if there is one. A local copy with another
    hash is used if it has all clips; ``Fetched.about_hash`` then says so. Raises DataError, also
    where a folder is in the way that earmark did not make, unless it is empty.
    """
    known = find(name)
    folder = Path(os.path.abspath(to or cache_folder() / "data")) / known.archive.name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(folder)
        with FileLock(_lock(known.archive)):
            if not (folder / NOTE).is_file():
                _unpack(known, folder, Path(archive) if archive else None, progress)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}; make room there or name"
            " another folder with --to."
        ) from error
    manifest = folder / f"{name}.csv"
    clips = _clips(known, folder)
    Dataset(tuple(clips), str(folder)).to_manifest(manifest)
    return Fetched(manifest, len(clips), _about_hash(folder / NOTE))


def _about_hash(note: Path) -> str:
    """Return the sentence about the archive's hash that was noted when it was unpacked."""
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["about_hash"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{note} is damaged; delete the folder {note.parent} and fetch it again."
        ) from error


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds something which earmark did not put there."""
    if (folder / NOTE).is_file() or not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
        raise DataError(
            f"{folder} is there already and has no {NOTE}, so earmark did not make it; name another"
            " folder with --to, or move that one away."
        )


def _unpack(
    known: KnownData, folder: Path, copy: Path | None, progress: ByteProgress | None
) -> None:
    """Unpack a local ``copy`` of the archive, or a download, into ``folder``: all files or none."""
    source = copy or _download(known.archive, progress)
    if problem := not_a_file(source):
        raise DataError(f"{source} {problem}; give the archive that {known.page} offers.")
    if not source.is_file():
        raise DataError(f"{source} is not there; give the archive that {known.page} offers.")
    try:
        _unpack_file(known, folder, source, is_download=copy is None)
    except unpacking.NoRoomError:
        raise
    except DataError:
        if copy is None:
            source.unlink()  # else the next download would go on after it
        raise
    if copy is None:
        source.unlink()


def _unpack_file(known: KnownData, folder: Path, source: Path, is_download: bool) -> None:
    """Unpack an archive into ``folder``: all files or none."""
    sha256, about_hash, is_published = _compare(known.archive, source)
    if not is_published and is_download:
        raise DataError(
            f"what {known.archive.url} sent is not {known.archive.name} as it was published:"
            f" {about_hash}; run the same command again, or give a good copy with --from."
        )
    part = folder.with_name(f".{folder.name}.part")
    unpacking.remove(part)
    try:
        unpacking.unpack(source, part, known.archive.files, known.archive.unpacked_bytes)
        _clips(known, part, source)
        note = {"url": known.archive.url, "sha256": sha256, "about_hash": about_hash}
        note |= {"title": known.title, "licence": known.licence, "page": known.page}
        (part / NOTE).write_text(
            json_text(note, indent=1, ascii_only=True) + "\n", encoding="utf-8"
        )
        if folder.is_dir() and not folder.is_symlink():
            folder.rmdir()  # it is empty, or this fails and everything stays as it was
        os.replace(part, folder)
    finally:
        unpacking.remove(part)


def _download(archive: Archive, progress: ByteProgress | None) -> Path:
    """Download an archive into the cache; a broken download goes on where it stopped."""
    if is_offline():
        raise DataError(
            f"EARMARK_OFFLINE=1 forbids downloading {archive.url}; download it elsewhere and give"
            " it with --from."
        )
    part = cache_folder() / "data" / f"{archive.name}.download"
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        download(archive.url, part, archive.bytes, progress)
    except DownloadError as error:
        raise DataError(
            f"{archive.url} could not be downloaded: {error.reason}; run the same command again,"
            " which goes on where it stopped, or download it elsewhere and give it with --from."
        ) from error
    return part


def _lock(archive: Archive) -> Path:
    """Return the lock file of ``archive``: one process at a time downloads and unpacks it."""
    path = cache_folder() / "data" / f"{archive.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _compare(archive: Archive, path: Path) -> tuple[str, str, bool]:
    """Return the SHA-256 of a file, a sentence about its hash, and whether it is as published."""
    kind, _, published = archive.digest.partition(":")
    hashes = {name: hashlib.new(name) for name in {"sha256", kind or "sha256"}}
    try:
        with open_file(path) as file:
            while block := file.read(BLOCK_BYTES):
                for one in hashes.values():
                    one.update(block)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; give a good copy.") from error
    sha256 = hashes["sha256"].hexdigest()
    if not archive.digest:
        return sha256, f"SHA-256 {sha256}; its publisher prints none to compare it with", True
    digest, name = hashes[kind].hexdigest(), {"sha256": "SHA-256", "md5": "MD5"}[kind]
    if digest == published:
        return sha256, f"{name} {digest}, as published", True
    return sha256, f"{name} {digest}, not the published {published}", False


def _clips(known: KnownData, folder: Path, source: Path | None = None) -> list[Clip]:
    """Return the clips of an unpacked data set; DataError if it is not all there."""
    what = source or folder
    try:
        clips = list(known.clips_in(folder))
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise DataError(
            f"{what} is not laid out as {known.title} ({error}); give the archive that"
            f" {known.page} offers."
        ) from error
    present = len({clip.path for clip in clips if clip.label and _is_plain(clip.path, folder)})
    if not present == len(clips) == known.clips:
        raise DataError(
            f"{what} holds {amount(present, 'clip')}, but {known.title} has {known.clips:,}; it is"
            " another version, or not whole: fetch it again."
        )
    return clips


def _is_plain(path: Path, folder: Path) -> bool:
    """Say whether a file is in ``folder`` itself, and no link leads out of it."""
    places = (path, *path.parents[: len(path.relative_to(folder).parts) - 1])
    return path.is_file() and not any(place.is_symlink() for place in places)
