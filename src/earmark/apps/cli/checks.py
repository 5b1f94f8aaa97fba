"""Checks before anything heavy is imported, and before hours are spent."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from earmark.backbones.registry import check_several, split_names
from earmark.errors import EarmarkError, ModelError


def check_output(path: Path) -> None:
    """Refuse a file that cannot be written; its folder may be missing, but not the one above."""
    if path.is_dir() or not path.absolute().parent.parent.is_dir():
        reason = "is a folder" if path.is_dir() else f"needs the folder {path.parent}"
        raise EarmarkError(f"cannot write {path}: it {reason}; name a file in an existing folder.")
    check_folder(path.parent)


def check_model_output(path: Path) -> None:
    """Refuse a file that cannot be written, or that is there and is no classifier."""
    check_output(path)
    if path.exists() and not is_classifier(path):
        raise EarmarkError(
            f"{path} is there already and is not a classifier; name another file with -o."
        )


def check_folder(folder: Path | None) -> None:
    """Refuse a folder, there or still to be made, in which nothing can be written."""
    if folder is None:
        return
    nearest = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise EarmarkError(
            f"cannot write into the folder {folder}: {error.strerror}; name another."
        ) from error


def check_model(path: Path) -> None:
    """Refuse a file that is not a classifier."""
    if not is_classifier(path):
        reason = f"there is no classifier at {path}"
        if path.is_file():
            reason = f"{path} is not a classifier, or is cut short"
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
