"""The rows of a table become clips, checked; whatever the table came out of."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.clip import COLUMNS, LIST_SEPARATOR, LISTS, Clip, split_label
from earmark.data.tables import Row, Table
from earmark.errors import DataError, did_you_mean


def clips_of(
    table: Table,
    wanted: dict[str, str],
    named: set[str],
    need_labels: bool,
    separator: str | None = None,
) -> tuple[list[Clip], str | None]:
    """Make a clip of every row, paths absolute; return them and the separator of their classes.

    ``wanted`` maps our columns to the table's; those ``named`` by the user must exist. A label may
    be a list of classes: then the separator, if none is given, is ``LIST_SEPARATOR``. Raises
    DataError, one sentence with the number of the row, for anything missing or contradictory.
    """
    for column in ["path", *([wanted["label"]] if need_labels else []), *sorted(named)]:
        if column not in table.columns:
            raise DataError(
                f"{table.name} has no column {column!r};{did_you_mean(column, table.columns)} "
                f"it has {', '.join(map(repr, table.columns)) or 'none'}."
            )
    clips: dict[int, Clip] = {}
    for number, row in table.rows:
        if isinstance(row.get(wanted["label"]), LISTS):
            separator = separator or LIST_SEPARATOR
        try:
            clips[number] = _clip(row, wanted, table.folder, need_labels, separator)
        except ValueError as error:
            raise DataError(f"{table.name}, row {number}: {error}.") from error
    if not clips:
        raise DataError(f"{table.name} has no rows; list one clip in each.")
    _check_present(table, clips)
    _check_filled(table, clips, {ours for ours, theirs in wanted.items() if theirs in named})
    _check_distinct(table, clips)
    return list(clips.values()), separator


def _clip(
    row: Row, wanted: dict[str, str], folder: Path, need_labels: bool, separator: str | None
) -> Clip:
    """Make a clip of one row; ValueError says what is wrong with it."""
    cells = {name: row.get(wanted.get(name, name)) for name in COLUMNS}
    label = _label(cells.pop("label"), separator)
    text = {name: _text(value) for name, value in cells.items()}
    path = text["path"]
    if not path.strip():
        raise ValueError("the path is empty; name a recording")
    if need_labels and not label:
        raise ValueError(f"{path!r} has an empty {wanted['label']}; label it or remove the row")
    group, fold, split = (text[name].strip() or None for name in ("group", "fold", "split"))
    start, end = (_seconds(name, text[name]) for name in ("start", "end"))
    if start is not None and start < 0:
        raise ValueError(f"start {start:g} is negative; give seconds from the beginning")
    if end is not None and end <= (start or 0):
        raise ValueError(f"end {end:g} is not after start {start or 0:g}; both are in seconds")
    return Clip(Path(os.path.abspath(folder / path)), label, start, end, group, fold, split)


def _label(cell: Any, separator: str | None) -> str | None:
    """Return a label, each of its classes stripped and named once; None for an empty cell."""
    if isinstance(cell, LISTS):
        names = [_text(item).strip() for item in cell]
        held = next((name for name in names if separator and separator in name), None)
        if held is not None:
            raise ValueError(f"the class {held!r} holds the separator {separator!r}; give another")
    else:
        whole = _text(cell).strip()
        names = [name.strip() for name in split_label(whole, separator)] if whole else []
    if "" in names:
        raise ValueError(f"the label {cell!r} has an empty class; name it or drop the separator")
    return (separator or "").join(dict.fromkeys(names)) or None


def _text(value: Any) -> str:
    """Return a cell as text, an absent one as empty; whole numbers without a decimal point."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (*LISTS, dict, bytes)):
        raise ValueError(f"{str(value)[:60]} is not a single value; give text or a number")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _seconds(name: str, text: str) -> float | None:
    """Read a time in seconds, None from an empty cell."""
    if not text.strip():
        return None
    with contextlib.suppress(ValueError):
        if math.isfinite(seconds := float(text)):
            return seconds
    raise ValueError(f"{name} {text!r} is not a number; give seconds, such as 1.5")


def _check_present(table: Table, clips: dict[int, Clip]) -> None:
    there = {path: os.path.isfile(path) for path in {clip.path for clip in clips.values()}}
    lost = [f"row {n} {str(c.path)!r}" for n, c in clips.items() if not there[c.path]]
    if lost:
        raise DataError(
            f"{table.name}: {len(lost)} of {len(clips)} rows name a recording that is not there, "
            f"first {', '.join(lost[:3])}; paths are relative to {table.folder}."
        )


def _check_filled(table: Table, clips: dict[int, Clip], named: Iterable[str]) -> None:
    """A group, fold or split is a matter of all clips or of none."""
    for name in ("group", "fold", "split"):
        empty = [n for n, clip in clips.items() if getattr(clip, name) is None]
        if empty and (len(empty) < len(clips) or name in named):
            raise DataError(
                f"{table.name}, row {empty[0]}: the {name} is empty, as in {len(empty)} of "
                f"{len(clips)} rows; fill it in everywhere or drop the column."
            )


def _check_distinct(table: Table, clips: dict[int, Clip]) -> None:
    seen: dict[tuple[Path, float, float | None], int] = {}
    for n, clip in clips.items():
        first = seen.setdefault(clip.key, n)
        if first != n:
            a, b = clips[first].label, clip.label
            labels = f"label it {a!r} and {b!r}" if a != b else "are the same clip"
            raise DataError(f"{table.name}: rows {first} and {n} {labels} ({clip.path}); keep one.")
