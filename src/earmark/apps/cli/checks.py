"""Checks before anything heavy is imported, and before hours are spent."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from earmark.backbones.registry import check_several, split_names
from earmark.errors import EarmarkError, ModelError
from earmark.system.files import not_a_file

REPORT_FILES = ("answers.csv", "confusion.csv", "summary.json", "report.html")


def check_output(path: Path, *inputs: str | Path) -> None:
    """Refuse a file that cannot be written or is one of ``inputs``.

    Its folder may be missing, but not the one above.
    """
    mode = _mode(path)
    reason = ""
    if mode is not None and not stat.S_ISREG(mode):
        reason = "is a folder" if stat.S_ISDIR(mode) else not_a_file(path) or ""
    elif not path.absolute().parent.parent.is_dir():
        reason = f"needs the folder {path.parent}"
    if reason:
        raise EarmarkError(f"cannot write {path}: it {reason}; name a file in an existing folder.")
    _check_apart(path, inputs)
    check_folder(path.parent)


def check_model_output(path: Path, *inputs: str | Path) -> None:
    """Refuse a file that cannot be written, or that is there and is no classifier."""
    check_output(path)
    if path.exists() and not is_classifier(path):
        raise EarmarkError(
            f"{path} is there already and is not a classifier; name another file with -o."
        )
    _check_apart(path, inputs)


def check_folder(folder: Path | None, *inputs: str | Path) -> None:
    """Refuse a folder, there or still to be made, that cannot be written or is an input."""
    if folder is None:
        return
    _mode(folder)
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise EarmarkError(
            f"cannot write into the folder {folder}: {error.strerror}; name another."
        ) from error
    _check_apart(folder, inputs)


def check_report(folder: Path | None, source: str | Path, output: Path | None = None) -> None:
    """Refuse a report's folder that cannot be written, is DATA, or would overwrite ``output``."""
    if folder is None:
        return
    check_folder(folder, source)
    for path in (folder, *(folder / name for name in REPORT_FILES)):
        if output is not None and os.path.abspath(path) == os.path.abspath(output):
            raise EarmarkError(f"{output} is named by -o and by --report; name two places.")
        if path != folder:
            check_output(path, source)


def _mode(path: Path) -> int | None:
    """Return the kind of what is at ``path``; None for nothing; refuse what can be no path."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EarmarkError(f"cannot write {path}: {error.strerror}; name another.") from error


def _check_apart(output: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse an output that is one of the inputs."""
    for path in inputs:
        if os.path.exists(path) and os.path.exists(output) and os.path.samefile(path, output):
            raise EarmarkError(f"{output} is an input and would be overwritten; name another.")


def check_model(path: Path) -> None:
    """Refuse a file that is not a classifier."""
    if not is_classifier(path):
        reason = f"there is no classifier at {path}"
        if path.is_file():
            reason = f"{path} is not a classifier, or is cut short"
        elif problem := not_a_file(path):
            reason = f"{path} {problem}"
        raise ModelError(f"{reason}; give the file that `earmark train` wrote.")


def separator_of(model: Path) -> str | None:
    """Return what stood between the classes of one clip where a classifier was trained, if any.

    Only its header is read: of what is wrong with the rest, loading it tells.
    """
    from safetensors import safe_open

    from earmark.classifier.file import separator_of

    with safe_open(model, framework="numpy") as file:
        text = file.metadata()["earmark"]
    try:
        header = json.loads(text)
        return separator_of(header["provenance"], header["calibration"]["is_single"])
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def is_classifier(path: Path) -> bool:
    """Say whether a file is a classifier, by its header alone."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return False  # a pipe would be waited for
    try:
        with safe_open(path, framework="numpy") as file:
            return "earmark" in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def check_share(option: str, share: float | None, example: float) -> None:
    """Refuse a number that is no share between 0 and 1."""
    if share is not None and not 0 < share < 1:
        raise EarmarkError(
            f"{option} is {share:g}; give a number between 0 and 1, such as {example:g}."
        )


def check_backbones(names: str, *, several: bool = False) -> None:
    """Refuse names that no backbone has, and only one where ``several`` must be; allow 'auto'."""
    if names != "auto":
        known = split_names(names)
        if several:
            check_several(known)
