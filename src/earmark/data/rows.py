"""Check the rows of a table and make clips of them."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.data.clip import COLUMNS, LIST_SEPARATOR, LISTS, Clip, bare, split_label
from earmark.data.tables import Row, Table
from earmark.errors import DataError, amount, did_you_mean
from earmark.system.files import not_a_file


def clips_of(
    table: Table,
    columns: Mapping[str, str],
    *,
    required: set[str],
    need_labels: bool,
    separator: str | None = None,
) -> tuple[list[Clip], str | None]:
    """Make a clip of every row, with absolute paths; return them and the separator of classes.

    ``columns`` maps our names of columns to the table's; ``required`` are columns of the table that
    the user asked for. A label may be a list of classes: the separator, if none is given, is then
    ``LIST_SEPARATOR``. With a separator, a clip whose label is empty has no class. Raises
    DataError, one sentence with the number of the row, for anything missing or contradictory.
    """
    for column in ["path", *([columns["label"]] if need_labels else []), *sorted(required)]:
        if column not in table.columns:
            raise DataError(
                f"{table.name} has no column {column!r};{did_you_mean(column, table.columns)} "
                f"it has {', '.join(map(repr, table.columns)) or 'none'}."
            )
    clips: dict[int, Clip] = {}
    for number, row in table.rows:
        if isinstance(row.get(columns["label"]), LISTS):
            separator = separator or LIST_SEPARATOR
        try:
            clips[number] = _clip(row, columns, table.folder, separator)
        except ValueError as error:
            raise DataError(f"{table.name}, row {number}: {error}.") from error
    if not clips:
        raise DataError(f"{table.name} has no rows; list one clip in each.")
    if need_labels:
        clips = _labelled(table, clips, columns["label"], separator)
    _check_present(table, clips)
    _check_filled(table, clips, {ours for ours, theirs in columns.items() if theirs in required})
    _check_distinct(table, clips)
    return list(clips.values()), separator


def _clip(row: Row, columns: Mapping[str, str], folder: Path, separator: str | None) -> Clip:
    """Make a clip of one row; ValueError says what is wrong with it."""
    cells = {name: row.get(columns.get(name, name)) for name in COLUMNS}
    label = _label(cells.pop("label"), separator)
    text = {name: _text(value) for name, value in cells.items()}
    path = text["path"]
    if not path.strip():
        raise ValueError("the path is empty; name a recording")
    group, fold, split = (text[name].strip() or None for name in ("group", "fold", "split"))
    start, end = (_seconds(name, text[name]) for name in ("start", "end"))
    if start is not None and start < 0:
        raise ValueError(f"start {start:g} is negative; give seconds from the beginning")
    if end is not None and end <= (start or 0):
        raise ValueError(f"end {end:g} is not after start {start or 0:g}; both are in seconds")
    return Clip(Path(os.path.abspath(folder / path)), label, start, end, group, fold, split)


def _labelled(
    table: Table, clips: dict[int, Clip], column: str, separator: str | None
) -> dict[int, Clip]:
    """Return the clips, those without a label as of no class; DataError where each has one."""
    empty = [number for number, clip in clips.items() if clip.label is None]
    if empty and separator is None:
        raise DataError(
            f"{table.name}, row {empty[0]}: {clips[empty[0]].path.name!r} has an empty {column};"
            " label it or remove the row, or give a separator if clips may have several classes or"
            " none."
        )
    return {**clips, **{number: replace(clips[number], label="") for number in empty}}


def _label(cell: object, separator: str | None) -> str | None:
    """Return a label, each of its classes stripped and named once; None for an empty cell."""
    if isinstance(cell, LISTS):
        names = [bare(_text(item)) for item in cell]
        for name in names:
            if separator and separator in name:
                raise ValueError(
                    f"the class {name!r} contains the separator {separator!r}; give another one"
                )
    else:
        whole = bare(_text(cell))
        names = [bare(name) for name in split_label(whole, separator)] if whole else []
    if "" in names:
        raise ValueError(f"the label {cell!r} has an empty class; name it or drop the separator")
    return (separator or "").join(dict.fromkeys(names)) or None


def _text(value: object) -> str:
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
    """Refuse a table most of whose recordings are not there: its paths are meant otherwise.

    A few are left to those who read them, and list them.
    """
    is_file = {path: os.path.isfile(path) for path in {clip.path for clip in clips.values()}}
    missing = [(n, clip.path) for n, clip in clips.items() if not is_file[clip.path]]
    if len(missing) > len(clips) / 2:
        first = [f"row {n} {str(path)!r}{_which(path)}" for n, path in missing[:3]]
        raise DataError(
            f"{table.name}: the recording is not there in {len(missing)} of"
            f" {amount(len(clips), 'row')}, first {', '.join(first)}; paths are relative to"
            f" {table.folder}."
        )


def _which(path: Path) -> str:
    problem = not_a_file(path)
    return f", which {problem}" if problem else ""


def _check_filled(table: Table, clips: dict[int, Clip], required: Iterable[str]) -> None:
    """Refuse a group, fold or split that some clips have and others lack."""
    for name in ("group", "fold", "split"):
        empty = [n for n, clip in clips.items() if getattr(clip, name) is None]
        if empty and (len(empty) < len(clips) or name in required):
            raise DataError(
                f"{table.name}, row {empty[0]}: the {name} is empty, as in {len(empty)} of "
                f"{amount(len(clips), 'row')}; fill it in everywhere or drop the column."
            )


def _check_distinct(table: Table, clips: dict[int, Clip]) -> None:
    first_row: dict[tuple[Path, float, float | None], int] = {}
    for n, clip in clips.items():
        first = first_row.setdefault(clip.key, n)
        if first != n:
            a, b = clips[first].label, clip.label
            what = f"label it {a!r} and {b!r}" if a != b else "are the same clip"
            raise DataError(f"{table.name}: rows {first} and {n} {what} ({clip.path}); keep one.")
