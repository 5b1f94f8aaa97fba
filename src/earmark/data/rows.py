"""Check the rows of a table and make clips of them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.data.clip import COLUMNS, LIST_SEPARATOR, LISTS, Clip, bare, split_label
from earmark.data.columns import resolve
from earmark.data.label_cells import several_in_one, text_list
from earmark.data.located import Locator, elsewhere
from earmark.data.seconds import Seconds
from earmark.data.split_words import SplitMap, check_words, is_fold, role
from earmark.data.tables import Row, Table
from earmark.errors import DataError, amount
from earmark.system.files import not_a_file
from earmark.system.text import one_line


def clips_of(
    table: Table,
    given: Mapping[str, str | None],
    *,
    need_labels: bool,
    separator: str | None = None,
    split_map: SplitMap = SplitMap(),  # noqa: B008  # frozen
    is_list: bool = False,
) -> tuple[list[Clip], str | None, list[str]]:
    """Make a clip of every row, with absolute paths.

    Return them, the separator of classes, and what a person should know of how they were read.
    ``given`` maps our names of columns to those that the user gave, None where none was given. A
    label may be a list of classes: the separator, if none is given, is then ``LIST_SEPARATOR``.
    With a separator, a clip whose label is empty has no class. ``is_list`` says that rows are only
    to be answered: they may repeat, and recordings may be missing. Raises DataError, one sentence
    with the number of the row, for anything missing or contradictory.
    """
    columns, notes = resolve(table.name, table.columns, given, need_labels)
    if split_map.is_off or is_list:
        columns.pop("split", None)
    if is_list:
        columns = {ours: columns[ours] for ours in ("path", "start", "end") if ours in columns}
    seconds = Seconds(table.name, table.has_decimal_commas)
    locator = Locator(table.folder)
    clips: dict[int, Clip] = {}
    has_text_lists = False
    for number, row in table.rows:
        cell = row.get(columns.get("label", ""))
        is_text = isinstance(cell, str) and text_list(cell) is not None
        if is_text or isinstance(cell, LISTS):
            separator = separator or LIST_SEPARATOR
        has_text_lists |= is_text
        try:
            clip = _clip(row, columns, seconds, number, separator)
            clips[number] = _settled(clip, locator, split_map)
        except ValueError as error:
            raise DataError(f"{table.name}, row {number}: {error}.") from error
    if has_text_lists:
        notes.append(
            f"column {columns['label']!r} has lists written as text, and is read so; earmark 0.1"
            " took each for one class"
        )
    if not clips:
        raise DataError(f"{table.name} has no rows; list one clip in each.")
    seconds.check()
    if not is_list:
        if need_labels:
            clips = _labelled(table, clips, columns["label"], separator)
        _check_present(table, clips)
        _check_filled(table, clips, {ours for ours, theirs in given.items() if theirs})
        _check_distinct(table, clips)
        check_words((clip.split for clip in clips.values()), table.name)
        _check_folds(table.name, columns, clips.values())
        if need_labels:
            notes += several_in_one(columns["label"], clips.values(), separator)
    return list(clips.values()), separator, [*table.notes, *notes, *_not_utf8(clips.values())]


def _clip(
    row: Row,
    columns: Mapping[str, str],
    seconds: Seconds,
    number: int,
    separator: str | None,
) -> Clip:
    """Make a clip of one row; ValueError says what is wrong with it."""
    cells = {name: row.get(columns[name]) if name in columns else None for name in COLUMNS}
    label = _label(cells.pop("label"), separator)
    text = {name: _text(value) for name, value in cells.items()}
    path = text["path"]
    if not path.strip():
        raise ValueError("the path is empty; name a recording")
    group, fold, split = (text[name].strip() or None for name in ("group", "fold", "split"))
    start, end = (seconds.read(number, name, text[name]) for name in ("start", "end"))
    if start is not None and start < 0:
        raise ValueError(f"start {start:g} is negative; give seconds from the beginning")
    if end is not None and end <= (start or 0):
        raise ValueError(f"end {end:g} is not after start {start or 0:g}; both are in seconds")
    return Clip(Path(path), label, start, end, group, fold, split)


def _settled(clip: Clip, locator: Locator, split_map: SplitMap) -> Clip:
    """Return the clip with the path that its recording has on this disk, and its mapped split."""
    split = None if clip.split is None else split_map.applied(clip.split)
    return replace(clip, path=locator.find(str(clip.path)), split=split)


def _check_folds(name: str, columns: Mapping[str, str], clips: Iterable[Clip]) -> None:
    """Refuse folds whose names are those of splits: they would be tested one after the other."""
    words = dict.fromkeys(clip.fold for clip in clips if clip.fold is not None)
    named = [word for word in words if role(word) and not is_fold(word)]
    if named and len(words) > 1:
        raise DataError(
            f"{name} has the folds {', '.join(map(repr, list(words)[:5]))}, which are names of"
            f" splits; give --split {columns['fold']}, or name the folds otherwise."
        )


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
    if isinstance(cell, str) and (written := text_list(cell)) is not None:
        cell, separator = written, separator or LIST_SEPARATOR
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
    text = str(value)
    if "\0" in text:
        raise ValueError(f"{text[:60]!r} holds a NUL character; remove it")
    return text


def _not_utf8(clips: Iterable[Clip]) -> list[str]:
    """Say which labels hold bytes that are no letters, as names of folders may."""
    odd = [c.label for c in clips if c.label and one_line(c.label) != c.label]
    odd = [label for label in odd if any("\ud800" <= letter <= "\udfff" for letter in label)]
    if not odd:
        return []
    return [
        f"the label '{one_line(odd[0])}' is not UTF-8, and its encoding is not clear: its bytes are"
        " kept; save the table as UTF-8 to see letters"
    ]


def _check_present(table: Table, clips: dict[int, Clip]) -> None:
    """Refuse a table most of whose recordings are not there: its paths are meant otherwise.

    A few are left to those who read them, and list them.
    """
    is_file = {path: os.path.isfile(path) for path in {clip.path for clip in clips.values()}}
    missing = [(n, clip.path) for n, clip in clips.items() if not is_file[clip.path]]
    if len(missing) > len(clips) / 2:
        near = elsewhere(table.folder, [path for _, path in missing[:: 1 + len(missing) // 8]])
        first = [f"row {n} {str(path)!r}{_which(path)}" for n, path in missing[:3]]
        raise DataError(
            f"{table.name}: the recording is not there in {len(missing)} of"
            f" {amount(len(clips), 'row')}, first {', '.join(first)}; paths are relative to"
            f" {table.folder}.{near}"
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
