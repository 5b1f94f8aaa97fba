"""Download and unpack known data sets, and write their manifests."""

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

NOTE = "earmark.json"  # a file beside the recordings with their origin and hash


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
    """Download and unpack a data set into a folder below ``to``, and write its manifest there.

    ``to`` is by default in the user's cache. ``archive`` is a local copy to use instead of a
    download. A data set that is already unpacked is not downloaded again, and a broken download
    resumes. A download must have the published hash, if there is one. A local copy with another
    hash is used if it has all clips; ``Fetched.about_hash`` then says so. Raises DataError if any
    of this fails, and if the folder exists, is not empty and was not made by earmark.
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
            f"cannot write {folder}: {error.strerror or error}. Free some space there, or name"
            " another folder with --to."
        ) from error
    manifest = folder / f"{name}.csv"
    clips = _clips(known, folder)
    Dataset(tuple(clips), str(folder)).to_manifest(manifest)
    return Fetched(manifest, len(clips), _about_hash(folder / NOTE))


def _about_hash(note: Path) -> str:
    """Return the sentence about the hash that was saved when the archive was unpacked."""
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["about_hash"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{note} is damaged. Delete the folder {note.parent}, and download it again."
        ) from error


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder with content that earmark did not write."""
    if (folder / NOTE).is_file() or not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
        raise DataError(
            f"{folder} already exists and has no {NOTE}, so earmark did not make it. Name another"
            " folder with --to, or move this one away."
        )


def _unpack(
    known: KnownData, folder: Path, copy: Path | None, progress: ByteProgress | None
) -> None:
    """Unpack a local ``copy`` of the archive, or a download, into ``folder``: all files or none."""
    source = copy or _download(known.archive, progress)
    if problem := not_a_file(source):
        raise DataError(f"{source} {problem}. Give the archive from {known.page}.")
    if not source.is_file():
        raise DataError(f"{source} does not exist. Give the archive from {known.page}.")
    try:
        _unpack_file(known, folder, source, is_download=copy is None)
    except unpacking.NoRoomError:
        raise
    except DataError:
        if copy is None:
            source.unlink()  # else the next download would continue this file
        raise
    if copy is None:
        source.unlink()


def _unpack_file(known: KnownData, folder: Path, source: Path, is_download: bool) -> None:
    """Unpack an archive into ``folder``: all files or none."""
    sha256, about_hash, is_published = _compare(known.archive, source)
    if not is_published and is_download:
        raise DataError(
            f"the file from {known.archive.url} differs from the published {known.archive.name}:"
            f" {about_hash}. Run the same command again, or give a good copy with --from."
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
            folder.rmdir()  # fails if it is not empty; nothing has changed then
        os.replace(part, folder)
    finally:
        unpacking.remove(part)


def _download(archive: Archive, progress: ByteProgress | None) -> Path:
    """Download an archive into the cache, resuming a broken download; return its path."""
    if is_offline():
        raise DataError(
            f"EARMARK_OFFLINE=1 forbids downloading {archive.url}. Download it elsewhere, and give"
            " the file with --from."
        )
    part = cache_folder() / "data" / f"{archive.name}.download"
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        download(archive.url, part, archive.bytes, progress)
    except DownloadError as error:
        raise DataError(
            f"cannot download {archive.url}: {error.reason}. Run the same command again to continue"
            " where it stopped, or download it elsewhere, and give the file with --from."
        ) from error
    return part


def _lock(archive: Archive) -> Path:
    """Return the lock file of ``archive``: one process at a time downloads and unpacks it."""
    path = cache_folder() / "data" / f"{archive.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _compare(archive: Archive, path: Path) -> tuple[str, str, bool]:
    """Return the SHA-256 of a file, a text about its hash, and whether it may be as published."""
    kind, _, published = archive.digest.partition(":")
    hashes = {name: hashlib.new(name) for name in {"sha256", kind or "sha256"}}
    try:
        with open_file(path) as file:
            while block := file.read(BLOCK_BYTES):
                for digest_so_far in hashes.values():
                    digest_so_far.update(block)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}. Give a good copy.") from error
    sha256 = hashes["sha256"].hexdigest()
    if not archive.digest:
        return sha256, f"SHA-256 {sha256}; there is no published hash to compare it with", True
    digest, name = hashes[kind].hexdigest(), {"sha256": "SHA-256", "md5": "MD5"}[kind]
    if digest == published:
        return sha256, f"{name} {digest}, as published", True
    return sha256, f"{name} {digest}, not the published {published}", False


def _clips(known: KnownData, folder: Path, source: Path | None = None) -> list[Clip]:
    """Return the clips of an unpacked data set; DataError if it is incomplete."""
    what = source or folder
    try:
        clips = list(known.clips_in(folder))
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise DataError(
            f"{what} does not have the files of {known.title} ({error}). Give the archive from"
            f" {known.page}."
        ) from error
    present = len({clip.path for clip in clips if clip.label and _is_plain(clip.path, folder)})
    if not present == len(clips) == known.clips:
        raise DataError(
            f"{what} has {amount(present, 'clip')}, but {known.title} has {known.clips:,}. It is"
            " another version or incomplete: download it again."
        )
    return clips


def _is_plain(path: Path, folder: Path) -> bool:
    """Return whether a file is in ``folder``, without any link on the way."""
    places = (path, *path.parents[: len(path.relative_to(folder).parts) - 1])
    return path.is_file() and not any(place.is_symlink() for place in places)
