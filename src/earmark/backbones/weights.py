"""Find, fetch and check the files of pretrained weights.

A file is looked for in this order: a path that the caller gives, the folders in
``EARMARK_WEIGHTS``, the user's cache, the publisher's URL. Wherever it comes from, it is used only
if its hash is right.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from filelock import FileLock
from torch import Tensor, nn

from earmark.errors import BackboneError, WeightsError, first_line
from earmark.system.cache import cache_folder, is_offline
from earmark.system.download import DownloadError, download
from earmark.system.files import file_sha256, not_a_file
from earmark.system.progress import ByteProgress

MAX_BYTES = 8 << 30  # of a file that is loaded whole into memory
SHA256_DIGITS = 64
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class WeightFile:
    """A published file; its ``name`` is its own among all files of all backbones.

    ``sha256`` is the whole hash in hex, or the beginning that the publisher prints, or empty where
    nothing is published: then the whole hash is noted at first use, and must stay the same.
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
        place = Path(path) / file.name if Path(path).is_dir() else Path(path)
        if problem := not_a_file(place):
            raise BackboneError(f"{place} {problem}; give the path of {file}.")
        if not place.is_file():
            raise BackboneError(
                f"no file {place}; give the path of {file}, published at {file.url}."
            )
        places = iter([place])
    else:
        places = _places(file.name)
    copy = next((place for place in places if place.is_file()), None)
    if copy is not None:
        check(file, copy)
    return copy


def find_by_name(name: str) -> Path | None:
    """Return the first file called ``name`` where weights are looked for, its hash unchecked."""
    return next((place for place in _places(name) if place.is_file()), None)


def fetch(
    file: WeightFile, to: str | Path | None = None, progress: ByteProgress | None = None
) -> Path:
    """Return a checked copy of ``file``: one at hand, or else from its publisher into the cache.

    With ``to``, the copy is made in that folder: take it to a machine without a network, and name
    it there in ``EARMARK_WEIGHTS``. A broken download goes on where it stopped, now or at the next
    call; of several processes, one downloads and the others wait. A file appears whole or not at
    all. Raises BackboneError when the download fails, when ``EARMARK_OFFLINE`` forbids the
    download, when the bytes are wrong, and when the folder cannot be written.
    """
    copy = find(file)
    if copy is not None and to is None:
        return copy
    if copy is None and is_offline():
        raise WeightsError(
            f"{file} is not on this machine and EARMARK_OFFLINE=1 forbids downloading it from"
            f" {file.url}",
            _ways_around(file),
        )
    target = Path(to or weights_folder()) / file.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        weights_folder().mkdir(parents=True, exist_ok=True)
        with FileLock(weights_folder() / f"{file.name}.lock"):
            if target.is_file():
                check(file, target)
            else:
                _bring(file, copy, target, progress)
    except OSError as error:
        reason = error.strerror or error
        raise WeightsError(
            f"{file} cannot be written to {target.parent}: {reason}",
            "make room there or name another folder in EARMARK_CACHE",
        ) from error
    return target


def check(file: WeightFile, path: Path, downloaded: bool = False) -> str:
    """Return the SHA-256 of ``path``; BackboneError if it is not the one of ``file``."""
    size, expected = path.stat().st_size, file.sha256
    digest = sha256(path) if size <= MAX_BYTES else "(not computed)"
    note = weights_folder() / f"{file.name}.sha256"
    if len(expected) < SHA256_DIGITS and note.is_file():
        expected = note.read_text(encoding="ascii").strip()
    if not digest.startswith(expected):
        noted = "" if expected == file.sha256 else f" (noted at its first use in {note})"
        what = f"what {file.url} sent" if downloaded else str(path)
        again = "run the same command again" if downloaded else "delete it and fetch it anew"
        raise WeightsError(
            f"{what} is not the published {file.name}: got SHA-256 {digest} and"
            f" {size:,} bytes, wanted {expected}{noted} and about {file.bytes:,}"
            " bytes",
            f"{again}, or find a right copy and {_ways_around(file)}",
        )
    if len(expected) < SHA256_DIGITS:
        with contextlib.suppress(OSError):  # a cache that cannot be written only forgets
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{digest}\n", encoding="ascii")
    return digest


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex; see :func:`files.file_sha256`."""
    try:
        return file_sha256(path).hex()
    except OSError as error:
        raise BackboneError(
            f"{path} cannot be read: {error.strerror}; check it and its permissions."
        ) from error


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
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise BackboneError(
                f"{path} is a pointer of Git LFS and not the weights themselves; run `git lfs pull`"
                " in its folder."
            )
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BackboneError(
            f"{path} is not a plain state dict: it is damaged, or holds Python objects, which are"
            " never run; save it anew with torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:  # torch raises what it likes for a damaged file
        raise BackboneError(
            f"{path} cannot be read as weights: {first_line(error)}; fetch it anew."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BackboneError(
            f"{path} holds {type(state).__name__} and not a plain state dict of tensors; save it"
            " anew with torch.save(model.state_dict(), path)."
        )
    check_finite(path, state)
    return state


def check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse weights with NaN or infinity: BackboneError names the file and the first tensor."""
    for name, x in state.items():
        finite = torch.isfinite(x.float() if x.itemsize == 1 else x)
        if not bool(finite.all()):
            raise BackboneError(
                f"{path}: the tensor {name} has NaN or infinity in {int((~finite).sum()):,} of"
                f" {x.numel():,} values; fetch the weights anew, or repeat the training that made"
                " them."
            )


def assign(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Give ``module`` the tensors of ``state`` without copying; every name and shape must match.

    BackboneError, with the first difference, for the weights of another network; ``source`` is
    what it calls them.
    """
    own = module.state_dict()
    for name in [*own, *state]:
        shapes = [tuple(d[name].shape) if name in d else None for d in (state, own)]
        if shapes[0] != shapes[1]:
            theirs, ours = ("nothing" if s is None else f"shape {s}" for s in shapes)
            raise BackboneError(
                f"{source} holds the weights of another network: {name} is {theirs}, wanted {ours};"
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


def _bring(
    file: WeightFile, copy: Path | None, target: Path, progress: ByteProgress | None
) -> None:
    """Duplicate ``copy``, or download, beside ``target``; take its place if the hash is right."""
    part = target.with_name(f"{target.name}.part")
    if copy is None:
        try:
            download(file.url, part, file.bytes, progress)
        except DownloadError as error:
            raise WeightsError(
                f"{file} could not be downloaded from {file.url}: {error.reason}",
                "run the same command again, which goes on after the"
                f" {error.received / 1e6:,.1f} MB that came, or {_ways_around(file)}",
            ) from error
    else:
        shutil.copyfile(copy, part)
    try:
        check(file, part, downloaded=copy is None)
    except BackboneError:
        part.unlink()
        raise
    os.replace(part, target)
