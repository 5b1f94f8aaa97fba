"""Fetch a classifier's file from the Hugging Face Hub into the cache, by commit and hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from earmark.classifier.file import MAX_BYTES
from earmark.classifier.hub_address import COMMIT, SUFFIX, HubAddress, is_plain
from earmark.classifier.hub_server import Server, is_hub_offline, refusals
from earmark.errors import HubError
from earmark.system.cache import hub_folder
from earmark.system.download import DownloadError, download
from earmark.system.files import BLOCK_BYTES, open_file, whole_file, write_whole
from earmark.system.jsons import json_text, strict_json
from earmark.system.progress import ByteProgress

MODEL = f"model{SUFFIX}"
LISTING, REVISIONS = "files.json", "revisions"
MOST_FILES = 1_000  # classifiers in a repository
MOST_NAMED = 5

Listing = dict[str, dict[str, Any]]  # name of a file -> bytes, and sha256 or blob if known


def fetch(address: HubAddress, progress: ByteProgress | None = None) -> Path:
    """Return the file at ``address`` in the cache; download it if it is not there.

    A commit that is in the cache is taken from there. For any other revision the Hub is asked which
    commit it is, unless ``EARMARK_OFFLINE`` forbids it; then it is the commit of the last time. The
    file's size and hash are those that the Hub names. Raises HubError.
    """
    server = Server()
    place = hub_folder() / server.key / address.repo.replace("/", "--")
    is_commit = address.revision is not None and COMMIT.fullmatch(address.revision)
    offline = is_hub_offline()
    if is_commit or offline:
        commit = address.revision if is_commit else _last_commit(place, address)
        if (path := _cached(place, commit, address)) is not None:
            return path
    if offline:
        raise HubError(
            f"{address} is not in the cache, and {offline} forbids downloading it. Unset it"
            " for one run, or copy the file from another machine."
        )
    commit, files = listing(server, address)
    name = _chosen(files, address)
    path = place / commit / name
    if not _is_whole(path, files[name]):
        _download(server, address, commit, name, files[name], path, progress)
    write_whole(place / commit / LISTING, json_text(files, ascii_only=True).encode())
    if not is_commit:
        _revision_file(place, address).parent.mkdir(exist_ok=True)
        write_whole(_revision_file(place, address), commit.encode())
    return path


def copy_to(path: Path, target: Path) -> None:
    """Copy a file of the cache; EarmarkError if ``target`` cannot be written."""
    write_whole(target, _blocks(path))


def commit_of(path: Path) -> str:
    """Return the commit of a file of the cache."""
    return path.relative_to(hub_folder()).parts[2]


# The Hub


def listing(server: Server, address: HubAddress, suffix: str = SUFFIX) -> tuple[str, Listing]:
    """Return the commit of an address, and its files that end in ``suffix``."""
    with refusals(address, server):
        info = server.info(address, address.revision)
        commit, files = str(info.sha), dict[str, dict[str, Any]]()
        for file in info.siblings or ():
            if str(file.rfilename).endswith(suffix) and len(files) < MOST_FILES:
                own = file.lfs or {}
                files[file.rfilename] = {
                    "bytes": own.get("size") if own else file.size,
                    "sha256": own.get("sha256") if own else None,
                    "blob": None if own else file.blob_id,
                }
    if not COMMIT.fullmatch(commit):
        raise HubError(f"{server.host} names no commit for {address}. Try again later.")
    return commit, files


def _chosen(files: Listing, address: HubAddress) -> str:
    """Return the name of the classifier that the address means."""
    names = sorted(name for name in files if is_plain(name))
    if address.file is not None:
        if address.file in names:
            return address.file
        known = f" It has {', '.join(names[:MOST_NAMED])}." if names else ""
        where = replace(address, file=None)
        raise HubError(f"{where} has no file {address.file}.{known} Check the name.")
    if MODEL in names:
        return MODEL
    if len(names) == 1:
        return names[0]
    if names:
        raise HubError(
            f"{address} has several classifiers: {', '.join(names[:MOST_NAMED])}. Name one, such as"
            f" {address}#{names[0]}."
        )
    raise HubError(
        f"{address} has no classifier: none of its files ends in {SUFFIX}. Give a repository that"
        " `earmark push` wrote."
    )


def _download(
    server: Server,
    address: HubAddress,
    commit: str,
    name: str,
    entry: Mapping[str, Any],
    path: Path,
    progress: ByteProgress | None,
) -> None:
    """Download a file to ``path``, whole and with the right hash, or raise HubError."""
    size = entry["bytes"]
    if not isinstance(size, int) or not 0 < size <= MAX_BYTES:
        given = f"{size:,}" if isinstance(size, int) else "an unknown number of"
        raise HubError(
            f"{name} of {address} has {given} bytes, and a classifier has 1 to {MAX_BYTES:,}. Give"
            " a repository that `earmark push` wrote."
        )
    url = server.url(address.repo, commit, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            download(url, part, size, progress, server.headers())
            if not _is_whole(part, entry):
                raise HubError(
                    f"what {server.host} sent for {name} of {address} is not the file that it"
                    " lists: the size or the hash is another. Try again later."
                )
    except DownloadError as error:
        way_out = "Run the command again."
        if error.reason.startswith(("HTTP 401", "HTTP 403")):
            way_out = "Ask its owner for access, and set HF_TOKEN."
        raise HubError(
            f"{name} of {address} could not be downloaded from {server.host}: {error.reason}."
            f" {way_out}"
        ) from error
    except OSError as error:
        raise HubError(
            f"cannot write {path}: {error.strerror}. Free some space, or set EARMARK_CACHE to"
            " another folder."
        ) from error


# The cache


def _revision_file(place: Path, address: HubAddress) -> Path:
    return place / REVISIONS / quote(address.revision or "(newest)", safe="")


def _last_commit(place: Path, address: HubAddress) -> str | None:
    try:
        commit = _revision_file(place, address).read_text("ascii")
    except (OSError, ValueError):
        return None
    return commit if COMMIT.fullmatch(commit) else None


def _cached(place: Path, commit: str | None, address: HubAddress) -> Path | None:
    """Return the file of a commit if the cache has it unchanged."""
    if commit is None:
        return None
    try:
        files = strict_json((place / commit / LISTING).read_bytes())
        name = _chosen(files, address)
        path = place / commit / name
        return path if _is_whole(path, files[name]) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _is_whole(path: Path, entry: Mapping[str, Any]) -> bool:
    try:
        if path.stat().st_size != entry["bytes"]:
            return False
        return _has_hash(_blocks(path), entry)
    except OSError:
        return False


def is_same(content: bytes, entry: Mapping[str, Any]) -> bool:
    """Return whether the Hub lists a file with this content."""
    return len(content) == entry["bytes"] and _has_hash([content], entry)


def _has_hash(blocks: Iterable[bytes], entry: Mapping[str, Any]) -> bool:
    """Compare with the hash that the Hub names: SHA-256 of large files, else that of git."""
    if entry.get("sha256"):
        hash_, expected = hashlib.sha256(), entry["sha256"]
    elif entry.get("blob"):
        hash_, expected = hashlib.sha1(usedforsecurity=False), entry["blob"]
        hash_.update(f"blob {entry['bytes']}\0".encode())
    else:
        return True  # the file has a digest of its own
    for block in blocks:
        hash_.update(block)
    return bool(hash_.hexdigest() == expected)


def _blocks(path: Path) -> Iterator[bytes]:
    with open_file(path) as file:
        while block := file.read(BLOCK_BYTES):
            yield block
