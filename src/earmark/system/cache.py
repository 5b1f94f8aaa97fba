"""The folders of the user's cache, and what may be deleted in them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from earmark.errors import StoreError

_RUN = re.compile("[0-9a-f]{24}")  # the folder of a fine-tuning


def cache_folder() -> Path:
    """Return the folder of store and downloads: ``EARMARK_CACHE`` or the platform's own."""
    return Path(os.environ.get("EARMARK_CACHE") or platformdirs.user_cache_dir("earmark"))


def engines_folder() -> Path:
    """Return the folder of models that engines compiled; it may be deleted at any time."""
    return cache_folder() / "engines"


def finetuning_folder() -> Path:
    """Return the folder of unfinished fine-tunings; deleting one costs the time it took."""
    return cache_folder() / "finetuning"


def is_offline() -> bool:
    """Say whether ``EARMARK_OFFLINE`` forbids downloads."""
    return os.environ.get("EARMARK_OFFLINE", "0") not in ("", "0")


def bytes_in(folder: Path) -> int:
    """Return how many bytes the files in a folder take; 0 where it is not there."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@contextlib.contextmanager
def deleting(what: object) -> Iterator[None]:
    """Say in one sentence that ``what`` cannot be deleted, as in a folder that is read-only."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{error.filename or what} cannot be deleted: {error.strerror}; check its permissions,"
            " or name another folder in EARMARK_CACHE."
        ) from error


def delete_rest() -> None:
    """Delete all compiled models and unfinished fine-tunings, and nothing that is not earmark's."""
    with deleting(cache_folder()):
        for pattern in ("*.openvino", "*.choice.json"):
            for file in engines_folder().glob(pattern):
                file.unlink(missing_ok=True)
        for run in finetuning_folder().glob("*"):
            if _RUN.fullmatch(run.name):
                shutil.rmtree(run)
    for folder in (engines_folder(), finetuning_folder()):
        with contextlib.suppress(OSError):  # it is not there, or somebody keeps files in it
            folder.rmdir()
