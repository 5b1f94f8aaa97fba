"""Find, fetch and check the files of pretrained weights.

A file is looked for in this order: a path that the caller gives, the folders in
``EARMARK_WEIGHTS``, the user's cache, the publisher's URL. Wherever it comes from, it is used only
if its hash is right.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import os
import pickle
import shutil
import socket
import sqlite3
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from earmark.errors import BackboneError
from earmark.store import cache_folder

SILENCE_S = 30.0  # a server that says nothing for so long is taken for dead
TRIES = 4  # connections in a row that brought nothing new, before a download is given up
BACK_OFF_S = 1.0  # waited after the first of them; doubled after each
BLOCK = 1 << 20  # bytes received, and hashed, at a time
MAX_BYTES = 8 << 30  # of a file that is loaded whole into memory
SHA256_DIGITS = 64

_BROKEN_LINE = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP: what may be over in a moment
_NOTHING_LEFT = 416  # HTTP: the range asked for begins at the file's end

Progress = Callable[[int, int], None]  # bytes here so far, bytes in all


@dataclass(frozen=True)
class WeightFile:
    """A published file; its ``name`` is its own among all files of all backbones.

    ``sha256`` is the whole hash in hex, or the beginning that the publisher prints, or empty where
    nothing is published: then the whole hash is noted at first use and must be that ever after.
    ``bytes`` is the size, exact or nearly: it is shown, and a download of twice as much is cut off.
    """

    name: str
    url: str
    sha256: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.name} ({self.bytes / 1e6:,.1f} MB)"


def weights_folder() -> Path:
    """Return where downloads are kept."""
    return cache_folder() / "weights"


def find(file: WeightFile, path: str | Path | None = None) -> Path | None:
    """Return the copy of ``file`` that is at hand, its hash checked; None where there is none.

    ``path``, a file of any name or a folder, is the only place looked at if given. Otherwise the
    folders in ``EARMARK_WEIGHTS``, each with its direct sub-folders, come before the cache. The
    first copy found must be right: BackboneError for a wrong hash, or for a ``path`` without it.
    """
    if path is not None:
        at = Path(path) / file.name if Path(path).is_dir() else Path(path)
        if not at.is_file():
            raise BackboneError(f"no file {at}; give the path of {file}, published at {file.url}.")
        places: Iterator[Path] = iter([at])
    else:
        places = _places(file.name)
    for place in places:
        if place.is_file():
            check(file, place)
            return place
    return None


def fetch(file: WeightFile, to: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Return a checked copy of ``file``: one at hand, or else from its publisher into the cache.

    With ``to``, the copy is made in that folder, to be carried to a machine without a network,
    where ``EARMARK_WEIGHTS`` names it. A broken download goes on where it stopped, now or at the
    next call; of several processes, one downloads and the others wait. A file appears whole or not
    at all. Raises BackboneError when it cannot be had, when ``EARMARK_OFFLINE`` forbids the
    download, when the bytes are wrong, and when the folder cannot be written.
    """
    found = find(file)
    if found is not None and to is None:
        return found
    if found is None and os.environ.get("EARMARK_OFFLINE", "0") not in ("", "0"):
        raise BackboneError(
            f"{file} is not on this machine and EARMARK_OFFLINE forbids to fetch it from"
            f" {file.url}; {_ways_around(file)}."
        )
    target = Path(to or weights_folder()) / file.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(weights_folder() / f"{file.name}.lock"):
            if target.is_file():
                check(file, target)
            else:
                _bring(file, found, target, progress)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise BackboneError(
            f"{file} cannot be written to {target.parent}: {reason}; make room there or name"
            " another folder in EARMARK_CACHE."
        ) from error
    return target


def check(file: WeightFile, path: Path, downloaded: bool = False) -> str:
    """Return the SHA-256 of ``path``; BackboneError if it is not the one of ``file``."""
    got, wanted = sha256(path), file.sha256
    note = weights_folder() / f"{file.name}.sha256"
    if len(wanted) < SHA256_DIGITS and note.is_file():
        wanted = note.read_text(encoding="ascii").strip()
    if not got.startswith(wanted):
        noted = "" if wanted == file.sha256 else f" (noted at its first use in {note})"
        what = f"what {file.url} sent" if downloaded else str(path)
        again = "run the same command again" if downloaded else "delete it and fetch it anew"
        raise BackboneError(
            f"{what} is not the published {file.name}: got SHA-256 {got} and"
            f" {path.stat().st_size:,} bytes, wanted {wanted}{noted} and about {file.bytes:,}"
            f" bytes; {again}, or find a right copy and {_ways_around(file)}."
        )
    if len(wanted) < SHA256_DIGITS:
        with contextlib.suppress(OSError):  # a cache that cannot be written only forgets
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{got}\n", encoding="ascii")
    return got


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex, computed once a process unless the file changes.

    Nothing is remembered between processes: hashing the largest file, 289 MB, takes 0.2 to 1 s,
    beside the second that importing torch takes, and a record of earlier hashes could go stale.
    """
    try:
        stat = path.stat()
        return _sha256(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise BackboneError(
            f"{path} cannot be read: {error.strerror}; check it and its permissions."
        ) from error


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file or a PyTorch state dict, on the CPU.

    No code in the file is run. Raises BackboneError for a file that is not one of these, is
    damaged or larger than ``MAX_BYTES``, or holds more than named tensors.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BackboneError(
            f"{path} has {size:,} bytes and at most {MAX_BYTES:,} are loaded; give the weights of"
            " one network."
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BackboneError(
            f"{path} is not a plain state dict: it is damaged, or holds Python objects, which are"
            " never run; save it anew with torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:  # torch raises what it likes for a damaged file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise BackboneError(
            f"{path} cannot be read as weights: {reason}; fetch it anew."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BackboneError(
            f"{path} holds {type(state).__name__} and not a plain state dict of tensors; save it"
            " anew with torch.save(model.state_dict(), path)."
        )
    return state


def assign(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Give ``module`` the tensors of ``state`` without copying; every name and shape must match.

    BackboneError, with the first difference, for the weights of another network; ``source`` is
    what it calls them.
    """
    wanted = module.state_dict()
    for name in [*wanted, *state]:
        shapes = [tuple(d[name].shape) if name in d else None for d in (state, wanted)]
        if shapes[0] != shapes[1]:
            got, want = ("nothing" if s is None else f"shape {s}" for s in shapes)
            raise BackboneError(
                f"{source} holds the weights of another network: {name} is {got}, wanted {want};"
                " give the file that belongs to this backbone."
            )
    module.load_state_dict(state, assign=True)


def _places(name: str) -> Iterator[Path]:
    """Yield where ``name`` may lie: the folders of ``EARMARK_WEIGHTS``, then the cache."""
    for entry in os.environ.get("EARMARK_WEIGHTS", "").split(os.pathsep):
        if entry:
            root = Path(entry).expanduser()
            yield root / name
            yield from sorted(root.glob(f"*/{name}"))
    yield weights_folder() / name


def _ways_around(file: WeightFile) -> str:
    return (
        f"put {file.name} into {weights_folder()}, or into any folder and name that folder in"
        " EARMARK_WEIGHTS"
    )


def _bring(file: WeightFile, found: Path | None, target: Path, progress: Progress | None) -> None:
    """Copy ``found``, or download, to a file beside ``target``; rename it if its hash is right."""
    part = target.with_name(f"{target.name}.part")
    if found is None:
        download(file, part, progress)
    else:
        shutil.copyfile(found, part)
    try:
        check(file, part, downloaded=found is None)
    except BackboneError:
        part.unlink()
        raise
    os.replace(part, target)


def download(file: WeightFile, part: Path, progress: Progress | None) -> None:
    """Receive until ``part`` is complete; go on after broken lines as long as something comes."""
    failures, before = 0, -1
    while True:
        try:
            return _receive(file, part, progress)
        except _BROKEN_LINE as error:
            have = part.stat().st_size if part.exists() else 0
            failures = failures + 1 if have <= before else 1
            before = have
            code = error.code if isinstance(error, urllib.error.HTTPError) else 503
            offline = isinstance(getattr(error, "reason", None), socket.gaierror)
            if code not in _PASSING or failures == TRIES or offline:
                raise BackboneError(
                    f"{file} could not be fetched from {file.url}: {_reason(error)}; run the same"
                    f" command again, which goes on after the {have / 1e6:,.1f} MB that came, or"
                    f" {_ways_around(file)}."
                ) from error
        time.sleep(BACK_OFF_S * 2 ** (failures - 1))


def _receive(file: WeightFile, part: Path, progress: Progress | None) -> None:
    """Append to ``part`` what the server has beyond it, or write it anew if it sends the whole."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "earmark"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(file.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=SILENCE_S)
    except urllib.error.HTTPError as error:
        if error.code == _NOTHING_LEFT and have:
            return  # complete, or not what it should be: its hash will tell
        raise
    with response:
        have = have if response.status == http.client.PARTIAL_CONTENT else 0
        total = have + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as out:
            while block := _read(response):
                out.write(block)
                have += len(block)
                if have > 2 * file.bytes:
                    break  # whatever this is, it is not the file: its hash will tell
                if progress is not None:
                    progress(have, max(total, have))
            else:
                if have < total:
                    raise ConnectionError(f"the line broke after {have:,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(BLOCK)
    except ssl.SSLError as error:  # an OSError like a full disk, but of the line
        raise ConnectionError(str(error)) from error


def _reason(error: Exception) -> str:
    """Say in a few words why a server could not be reached, or what it answered."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    said = getattr(error, "reason", error)
    return getattr(said, "strerror", None) or str(said) or type(error).__name__


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time through; the lock ends with its holder, however that ends.

    SQLite's locks work alike on every system. The file, empty, stays: others may wait on it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        while not _locked(db):
            pass  # a second has passed; Ctrl-C is heard here
        yield
    finally:
        db.close()


def _locked(db: sqlite3.Connection) -> bool:
    try:
        db.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return False
        raise
    return True
