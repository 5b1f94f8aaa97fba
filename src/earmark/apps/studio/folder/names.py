"""Names from a browser: labels, and names of files and folders that are safe on every system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from earmark.data.clip import bare
from earmark.data.label_cells import text_list
from earmark.errors import DataError
from earmark.system.text import UNSHOWABLE, one_line

MOST_LABEL, MOST_NAME, MOST_FOLDERS = 100, 100, 8  # letters, bytes, folders in each other
_UNSAFE = re.compile(r'[<>:"/\\|?*]')
# Names of devices, which Windows takes for themselves with any suffix.
DEVICES = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)


def checked_label(name: str, classes: Iterable[str]) -> str:
    """Return the label for what a person typed: the class that differs from it in case alone.

    Markup is text like any other. Raises DataError for a label that tables cannot keep.
    """
    label = bare(name)
    if not label:
        raise DataError("the name of the class is blank. Give it a name.")
    if len(label) > MOST_LABEL:
        raise DataError(f"the name has more than {MOST_LABEL} letters. Give a shorter one.")
    if UNSHOWABLE.search(label):
        raise DataError(
            f"the name '{one_line(label)}' has a character that cannot be shown. Remove it."
        )
    if text_list(label) is not None:
        raise DataError(f"{label} would be read as a list of classes. Leave out its brackets.")
    known = list(classes)
    if label in known:
        return label
    return next((other for other in known if folded(other) == folded(label)), label)


def folded(name: str) -> str:
    """Return a name in one case and one Unicode form, to compare it with others."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def safe_name(name: str, other: str) -> str:
    """Return the last part of a name as the name of a file; ``other`` if nothing is left.

    It keeps its suffix. It has no character that a system does not allow, and is not hidden.
    """
    last = re.split(r"[/\\]", name)[-1]
    last = UNSHOWABLE.sub("", unicodedata.normalize("NFC", last))
    last = _UNSAFE.sub("_", last).strip(" .")
    if DEVICES.fullmatch(last):
        last = f"_{last}"
    stem, suffix = (last[: -len(s)], s) if (s := Path(last).suffix[:12]) else (last, "")
    while len(stem.encode()) > MOST_NAME:
        stem = stem[:-1]
    stem = stem.strip(" .")
    return f"{stem}{suffix}" if stem else other


def safe_folders(name: str) -> list[str]:
    """Return the folders in ``name``, each safe; none leads up or is hidden."""
    parts = [safe_name(part, "") for part in re.split(r"[/\\]", name)]
    return [part for part in parts if part][:MOST_FOLDERS]


def free_place(folder: Path, name: str) -> Path:
    """Return a path in ``folder`` that no file has, also if case does not count: 'a 2.wav'."""
    try:
        taken = {folded(entry.name) for entry in folder.iterdir()}
    except FileNotFoundError:
        taken = set()
    path, number = Path(name), 1
    while folded(path.name) in taken:
        number += 1
        path = Path(f"{Path(name).stem} {number}{Path(name).suffix}")
    return folder / path.name


def same_folder(folder: Path, name: str) -> Path:
    """Return the sub-folder with this name, or the one that differs from it in case alone."""
    try:
        inside = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    except FileNotFoundError:
        inside = []
    if name in inside:
        return folder / name
    return folder / next((other for other in inside if folded(other) == folded(name)), name)
