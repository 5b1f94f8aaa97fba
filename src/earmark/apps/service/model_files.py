"""Private copies of the files of classifiers.

Processes load the copies. So all of them have the same classifiers, also one that starts again
after the file has changed or was damaged.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from earmark.errors import EarmarkError, ModelError
from earmark.system.files import not_a_file, open_file

BLOCK_BYTES = 2**20
Status = tuple[int, ...]  # of a file: what changes if it is written or replaced


@dataclass(frozen=True)
class Copies:
    """Copies of files by the names of their classifiers.

    Attributes
    ----------
    folder : Path
        Where the copies are.
    sources : dict
        The files that were copied.
    paths : dict
        The path of each copy.
    hashes : dict
        A hash of each.
    statuses : dict
        The status that each file had.
    """

    folder: Path
    sources: Mapping[str, Path]
    paths: Mapping[str, str]
    hashes: Mapping[str, bytes]
    statuses: Mapping[str, Status]

    def delete(self) -> None:
        """Delete the copies."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def explain(self, text: str) -> str:
        """Return a sentence about a copy as one about its source."""
        for name, path in self.paths.items():
            text = text.replace(path, str(self.sources[name]))
        return text


def copy_models(models: Mapping[str, Path]) -> Copies:
    """Copy the files; EarmarkError if one cannot be read, changes meanwhile, or has no room."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="earmark-serve-"))
    except OSError as error:
        raise _no_room(error) from error
    paths, hashes, statuses = {}, {}, {}
    try:
        for number, (name, path) in enumerate(models.items()):
            copy = folder / f"{number}.earmark"
            paths[name] = str(copy)
            hashes[name], statuses[name] = _copy(path, copy)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Copies(folder, dict(models), paths, hashes, statuses)


def status_of(path: Path) -> Status | None:
    """Return the status of a file, None if it has none."""
    try:
        return _status(os.stat(path))
    except OSError:
        return None


def _status(status: os.stat_result) -> Status:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


def _copy(path: Path, copy: Path) -> tuple[bytes, Status]:
    if problem := not_a_file(path):
        raise ModelError(f"{path} {problem}. Give the file that `earmark train` wrote.")
    try:
        source = open_file(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}. Check the file.") from error
    with source:
        before, digest = _status(os.fstat(source.fileno())), hashlib.sha256()
        try:
            with open(copy, "wb") as target:
                while block := source.read(BLOCK_BYTES):
                    digest.update(block)
                    target.write(block)
        except OSError as error:
            raise _no_room(error) from error
        if before != _status(os.fstat(source.fileno())):
            raise ModelError(f"{path} changed while it was read. Wait until it is written.")
    return digest.digest(), before


def _no_room(error: OSError) -> EarmarkError:
    return EarmarkError(
        f"cannot copy the classifiers into {tempfile.gettempdir()}: {error.strerror}. Make room"
        " there, or set TMPDIR to another folder."
    )
