"""Classifiers on the Hugging Face Hub: fetch one by commit and hash, and publish one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from earmark.classifier.classifier import Classifier
from earmark.classifier.file import MAX_BYTES
from earmark.classifier.hub_address import (
    COMMIT,
    SCHEME,
    SUFFIX,
    HubAddress,
    check_repo,
    is_plain,
    parse,
)
from earmark.classifier.hub_server import Server, is_hub_offline, refusals
from earmark.classifier.saving import content_of, load
from earmark.errors import HubError
from earmark.system.cache import hub_folder
from earmark.system.download import DownloadError, download
from earmark.system.files import BLOCK_BYTES, open_file, whole_file, write_whole
from earmark.system.jsons import json_text, strict_json
from earmark.system.progress import ByteProgress

MODEL, CARD, LICENCES = f"model{SUFFIX}", "README.md", "LICENSES.txt"
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
            f"{address} is not in the cache, and {offline} forbids downloading it. Unset it once,"
            f" or copy the file from another machine."
        )
    commit, files = _listing(server, address)
    name = _chosen(files, address)
    path = place / commit / name
    if not _is_whole(path, files[name]):
        _download(server, address, commit, name, files[name], path, progress)
    write_whole(place / commit / LISTING, json_text(files, ascii_only=True).encode())
    if not is_commit:
        _revision_file(place, address).parent.mkdir(exist_ok=True)
        write_whole(_revision_file(place, address), commit.encode())
    return path


def pull(
    repo: str,
    output: str | Path | None = None,
    *,
    progress: ByteProgress | None = None,
) -> Path:
    """Copy a classifier from the Hugging Face Hub into a file.

    Parameters
    ----------
    repo : str
        ``OWNER/NAME``, ``OWNER/NAME@REVISION``, or the same as an address, ``hf://...``.
    output : str or Path, optional
        The file to write; by default NAME.earmark in the current folder.
    progress : callable, optional
        Called with the bytes received and the bytes of the file.

    Returns
    -------
    Path
        The file. It is a valid classifier.

    Raises
    ------
    HubError
        The repository, the revision or the classifier does not exist, may not be read, is too
        large, or the Hub cannot be reached.
    ModelError
        The file is not a valid classifier.
    EarmarkError
        ``output`` cannot be written.

    Examples
    --------
    >>> import earmark
    >>> earmark.pull("alice/street-sounds", "street.earmark")  # doctest: +SKIP
    PosixPath('street.earmark')
    """
    address = address_of(repo)
    path = fetch(address, progress)
    load(path)  # a file that is no classifier is not copied
    target = Path(output) if output is not None else file_of(address)
    write_whole(target, _blocks(path))
    return target


def push(
    classifier: Classifier | str | Path,
    repo: str,
    *,
    hashes: bool = False,
    public: bool = False,
    licence: str | None = None,
) -> str:
    """Publish a classifier on the Hugging Face Hub, with a card and the licences of its networks.

    Left out of the published file are the path and the columns of the training data, the names of
    groups, and the folders of networks. It gives the same scores.

    Parameters
    ----------
    classifier : Classifier, str or Path
        A classifier, or its file.
    repo : str
        ``OWNER/NAME``. It is created if it does not exist.
    hashes : bool
        Whether the published file has hashes of the training clips. With them, whoever has a
        recording can find out whether it was used for training.
    public : bool
        Whether everybody may read a repository that is created. One that exists stays as it is.
    licence : str, optional
        The identifier of the classifier's licence, such as 'cc-by-4.0', for the card.

    Returns
    -------
    str
        The address with the commit: ``hf://OWNER/NAME@COMMIT``, for :func:`earmark.load`.

    Raises
    ------
    HubError
        ``repo`` is no name, the token may not write, the Hub cannot be reached or breaks the
        upload off.

    Examples
    --------
    >>> import earmark
    >>> earmark.push("mine.earmark", "alice/street-sounds")  # doctest: +SKIP
    'hf://alice/street-sounds@0b5e...'
    """
    check_repo(repo)
    check_licence(licence)
    if offline := is_hub_offline():
        raise HubError(f"{offline} forbids publishing. Unset it, and run this again.")
    if not isinstance(classifier, Classifier):
        classifier = load(classifier)
    return upload(files_to_publish(classifier, repo, hashes, licence), repo, public)


def files_to_publish(
    classifier: Classifier, repo: str, hashes: bool, licence: str | None
) -> dict[str, bytes]:
    """Return the content of each file of the repository, by name."""
    from earmark.classifier.model_card import model_card
    from earmark.classifier.network_licences import licences_of, licences_text
    from earmark.classifier.publication import published

    public = published(classifier, hashes=hashes).classifier
    licences = [
        replace(entry, name=use.name)
        for entry, use in zip(licences_of(classifier), public.backbones, strict=True)
    ]
    card = model_card(public, repo, licences, licence)
    return {
        MODEL: content_of(public, Path(MODEL)),
        CARD: card.encode(),
        LICENCES: licences_text(licences).encode(),
    }


def upload(files: Mapping[str, bytes], repo: str, public: bool) -> str:
    """Put files into a repository as one commit, and return its address.

    The Hub is then asked for the size and the hash of each file. Raises HubError.
    """
    server, address = Server(), HubAddress(repo)
    api, hub = server.api(), server.hub
    with refusals(address, server):
        exists = _exists(server, address)
    with refusals(address, server, "published"), server.patience():
        if not exists:
            api.create_repo(repo, private=not public, exist_ok=True)
        operations = [
            hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
            for name, content in files.items()
        ]
        message = "Upload a classifier of earmark"
        commit = str(api.create_commit(repo, operations, commit_message=message).oid)
    published = HubAddress(repo, commit)
    _, listing = _listing(server, published, suffix="")
    for name, content in files.items():
        if name not in listing or not _is_same(content, listing[name]):
            raise HubError(
                f"{server.host} has not stored {name} of {published} as it was sent. Run the"
                " command again."
            )
    return str(published)


def address_of(repo: str) -> HubAddress:
    """Return the address for ``OWNER/NAME[@REVISION][#FILE]``, with or without ``hf://``."""
    address = parse(repo if repo.startswith("hf:/") else f"{SCHEME}{repo}")
    assert address is not None
    return address


def file_of(address: HubAddress) -> Path:
    """Return the file that a classifier gets by default: NAME.earmark in the current folder."""
    return Path(f"{address.repo.rpartition('/')[2]}{SUFFIX}")


def check_licence(licence: str | None) -> None:
    """Refuse a licence that is not an identifier of the Hub."""
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,59}", licence):
        raise HubError(
            f"the licence {licence!r} is not an identifier of the Hub. Give one such as apache-2.0,"
            " cc-by-4.0 or other."
        )


# The Hub


def _exists(server: Server, address: HubAddress) -> bool:
    try:
        server.info(address)
    except server.errors.RepositoryNotFoundError as error:
        if isinstance(error, server.errors.GatedRepoError):
            raise
        return False
    return True


def _listing(server: Server, address: HubAddress, suffix: str = SUFFIX) -> tuple[str, Listing]:
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
        raise HubError(
            f"{name} of {address} could not be downloaded from {server.host}: {error.reason}. Run"
            " the command again."
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


def _is_same(content: bytes, entry: Mapping[str, Any]) -> bool:
    return len(content) == entry["bytes"] and _has_hash([content], entry)


def _has_hash(blocks: Any, entry: Mapping[str, Any]) -> bool:
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
