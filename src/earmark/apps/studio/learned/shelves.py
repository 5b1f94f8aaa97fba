"""The files that the studio offers: found by listing a folder, never by a name of a request."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from earmark.apps.studio.places import EXPORTS, MODEL_SUFFIX, MODELS, REPORTS
from earmark.errors import EarmarkError
from earmark.system.files import open_file

PAGE = "report.html"


def model_files(folder: Path) -> dict[str, Path]:
    """Return the files of classifiers by name, without links."""
    return {
        name.removesuffix(MODEL_SUFFIX): path
        for name, path in _entries(folder / MODELS)
        if name.endswith(MODEL_SUFFIX) and not name.startswith(".") and is_regular(path)
    }


def report_files(folder: Path, name: str) -> dict[str, Path]:
    """Return a file of each report by the report's name, such as ``report.html``."""
    reports = ((report, dict(_entries(path))) for report, path in _entries(folder / REPORTS))
    return {
        report: files[name]
        for report, files in reports
        if name in files and is_regular(files[name])
    }


def exports(folder: Path) -> dict[str, Path]:
    """Return the exported files and folders by name, without links."""
    return {
        name: path
        for name, path in _entries(folder / EXPORTS)
        if not name.startswith(".") and (is_regular(path) or _is_folder(path))
    }


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the regular files of an exported folder, with their names in it; links are left out."""
    for name, path in sorted(_entries(folder)):
        if is_regular(path):
            yield name, path
        elif _is_folder(path):
            for inner, inner_path in files_below(path):
                yield f"{name}/{inner}", inner_path


def open_found(path: Path) -> BinaryIO:
    """Open a file that was found; EarmarkError if it has gone, or has become a link."""
    try:
        file = open_file(path)
    except OSError as error:
        raise EarmarkError(f"cannot read {path.name}: {error.strerror}. Look again.") from error
    if not _is_same(path, file):
        file.close()
        raise EarmarkError(f"cannot read {path.name}: it is a link now. Look again.")
    return file


def _is_same(path: Path, file: BinaryIO) -> bool:
    """Say whether an open file is the regular file at its path, and not what a link leads to."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file.fileno()))
    except OSError:
        return False


def is_regular(path: Path) -> bool:
    """Return whether a regular file is there; a link to one is not."""
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISREG(os.lstat(path).st_mode)
    return False


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return stat.S_ISDIR(os.lstat(path).st_mode)
    return False


def _entries(folder: Path) -> list[tuple[str, Path]]:
    """Return the names in a folder; none if it is not there, or is a link."""
    if not _is_folder(folder):
        return []
    with contextlib.suppress(OSError):
        return [(name, folder / name) for name in sorted(os.listdir(folder))]
    return []


def signature(folder: Path) -> object:
    """Return what changes if a classifier, a report or an export is made, changed or deleted."""
    places = (model_files(folder), report_files(folder, PAGE), exports(folder))
    return [[(name, _status(path)) for name, path in listed.items()] for listed in places]


def _status(path: Path) -> tuple[int, ...]:
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        return status.st_mtime_ns, status.st_size, status.st_ino
    return ()


def about(name: str, path: Path) -> dict[str, Any]:
    """Return the JSON of an export: its name, its size in bytes, and when it was made."""
    files = [inner for _, inner in files_below(path)] if _is_folder(path) else [path]
    sizes, made_at = 0, 0.0
    for file in files:
        with contextlib.suppress(OSError):
            status = os.lstat(file)
            sizes, made_at = sizes + status.st_size, max(made_at, status.st_mtime)
    return {"name": name, "bytes": sizes, "made_at": utc(made_at), "is_web": _is_folder(path)}


def utc(seconds: float) -> str:
    """Return a time as text, such as 2026-01-31T12:00:00.000Z."""
    at = datetime.fromtimestamp(seconds, timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
