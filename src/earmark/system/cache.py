"""The folders of the user's cache, and the deletion of files in them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import platformdirs

from earmark.errors import StoreError

_is_local: ContextVar[bool] = ContextVar("earmark_no_downloads", default=False)
_RUN = re.compile("[0-9a-f]{24}")  # the name of a folder of one fine-tuning


def cache_folder() -> Path:
    """Return the folder for the store and downloads: ``EARMARK_CACHE`` or the platform's own."""
    return Path(os.environ.get("EARMARK_CACHE") or platformdirs.user_cache_dir("earmark"))


def engines_folder() -> Path:
    """Return the folder of models that engines compiled; it may be deleted at any time."""
    return cache_folder() / "engines"


def finetuning_folder() -> Path:
    """Return the folder of unfinished fine-tunings; a deleted one must start from the beginning."""
    return cache_folder() / "finetuning"


def hub_folder() -> Path:
    """Return the folder of classifiers from the Hub; a deleted one is downloaded again."""
    return cache_folder() / "hub"


def overviews_folder() -> Path:
    """Return the folder of overviews of long recordings; a deleted one is drawn again."""
    return cache_folder() / "overviews"


def is_offline() -> bool:
    """Return whether ``EARMARK_OFFLINE`` or :func:`no_downloads` forbids downloads."""
    return _is_local.get() or os.environ.get("EARMARK_OFFLINE", "0") not in ("", "0")


@contextlib.contextmanager
def no_downloads() -> Iterator[None]:
    """Forbid downloads inside the block, in this thread."""
    token = _is_local.set(True)
    try:
        yield
    finally:
        _is_local.reset(token)


def bytes_in(folder: Path) -> int:
    """Return the total size in bytes of the files in a folder; 0 if the folder does not exist."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@contextlib.contextmanager
def deleting(what: object) -> Iterator[None]:
    """Turn an OSError into a StoreError that says why ``what`` cannot be deleted."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot delete {error.filename or what}: {error.strerror}. Check its permissions, or"
            " set EARMARK_CACHE to another folder."
        ) from error


def delete_rest() -> None:
    """Delete all compiled models, unfinished fine-tunings and overviews, but no other files."""
    with deleting(cache_folder()):
        for pattern in ("*.openvino", "*.choice.json"):
            for file in engines_folder().glob(pattern):
                file.unlink(missing_ok=True)
        for run in finetuning_folder().glob("*"):
            if _RUN.fullmatch(run.name):
                shutil.rmtree(run)
        for file in overviews_folder().glob("*"):
            file.unlink(missing_ok=True)
    for folder in (engines_folder(), finetuning_folder(), overviews_folder()):
        with contextlib.suppress(OSError):  # the folder is missing, or other files are in it
            folder.rmdir()
