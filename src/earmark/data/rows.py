"""Check the rows of a table and turn them into clips."""

from __future__ import annotations

import functools
import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark.data.clip import LIST_SEPARATOR, LISTS, Clip, bare, split_label
from earmark.data.columns import resolve
from earmark.data.label_cells import several_in_one, text_list
from earmark.data.located import Locator, elsewhere
from earmark.data.remote import check_allowed, local_path, place_of
from earmark.data.seconds import Seconds
from earmark.data.split_words import SplitMap, check_words, is_fold, role
from earmark.data.tables import Row, Table
from earmark.errors import DataError, amount
from earmark.system.files import not_a_file
from earmark.system.objects import MEMBER, row_of, shown
from earmark.system.text import one_line

MOST_PATHS = 65_536  # in a cache, so that the stretches of one recording share the path
TO_ANSWER = ("path", "start", "end")  # columns that are read of a list to predict
Numbers = Sequence[int]  # of the rows of clips


def clips_of(
    table: Table,
    options: Mapping[str, str | None],
    *,
    need_labels: bool,
    separator: str | None = None,
    split_map: SplitMap = SplitMap(),  # noqa: B008  # frozen
    is_list: bool = False,
    allow_remote: bool = False,
) -> tuple[list[Clip], str | None, list[str]]:
    """Return a clip with an absolute path for every row, the separator of classes, and notes.

    ``options`` maps our names of columns to the names that the user gave, or None. A label may be a
    list of classes; the separator is then ``LIST_SEPARATOR`` unless one is given. With a separator,
    a clip whose label is empty has no class. ``is_list`` says that the clips are only to be
    predicted: rows may repeat, and recordings may be missing. Raises DataError, with the number of
    the row, for anything missing or contradictory, and for recordings that lie elsewhere unless
    ``allow_remote``.
    """
    columns, notes = resolve(table.name, table.columns, options, need_labels)
    if split_map.is_off or is_list:
        columns.pop("split", None)
    if is_list:
        columns = {ours: columns[ours] for ours in TO_ANSWER if ours in columns}
    reader = RowReader(table, columns, separator, split_map, takes_uris=True)
    numbers, clips = array("q"), list[Clip]()
    for number, row in table.rows:
        try:
            clips.append(reader.clip(number, row))
        except ValueError as error:
            raise DataError(f"{table.name}, row {number}: {error}.") from error
        numbers.append(number)
    if reader.has_text_lists:
        notes.append(
            f"column {columns['label']!r} has lists written as text, each read as several classes;"
            " earmark 0.1 read each as one class"
        )
    if not clips:
        what = "labels. Label some sounds" if table.unlabelled else "rows. Write one row per clip"
        raise DataError(f"{table.name} has no {what}.")
    if not allow_remote:
        check_allowed(table.name, numbers, clips)
    reader.seconds.check()
    separator = reader.separator
    if need_labels and not is_list and separator is None:
        numbers, clips, without = _without_unlabelled(numbers, clips)
        notes += without
    if not is_list:
        if need_labels:
            _label_rest(table, numbers, clips, columns["label"], separator)
        if not table.is_embedded:
            check_present(table, numbers, clips, reader.locator.missing)
        _check_filled(table, numbers, clips, {ours for ours, theirs in options.items() if theirs})
        _check_distinct(table, numbers, clips)
        check_words((clip.split for clip in clips), table.name)
        _check_folds(table.name, columns, clips)
        if need_labels:
            notes += several_in_one(columns["label"], clips, separator)
    return clips, separator, [*table.notes, *notes, *_not_utf8(clips)]


class RowReader:
    """Turns rows into clips; repeated texts are in memory once.

    If a label is a list, ``separator`` becomes ``LIST_SEPARATOR`` unless one is given. Recordings
    elsewhere are refused unless it ``takes_uris``; the caller then has to ask for permission.
    """

    def __init__(
        self,
        table: Table,
        columns: Mapping[str, str],
        separator: str | None,
        split_map: SplitMap = SplitMap(),  # noqa: B008  # frozen
        *,
        takes_uris: bool = False,
    ) -> None:
        self.columns, self.separator, self.split_map = columns, separator, split_map
        self.seconds = Seconds(table.name, table.has_decimal_commas)
        self.locator, self.takes_uris = Locator(table.folder), takes_uris
        self.has_text_lists = False
        self._paths: dict[str, Path | str] = {}

    def clip(self, number: int, row: Row) -> Clip:
        """Return the clip of one row; ValueError says what is wrong with it."""
        cell = row.get(self.columns.get("label", ""))
        is_text = isinstance(cell, str) and text_list(cell) is not None
        if is_text or isinstance(cell, LISTS):
            self.separator = self.separator or LIST_SEPARATOR
        self.has_text_lists |= is_text
        label = _label(cell, self.separator)
        text = {n: _text(row.get(column)) for n, column in self.columns.items() if n != "label"}
        if not text["path"].strip():
            raise ValueError("the path is empty. Name a recording")
        parts = (text.get(name, "").strip() for name in ("group", "fold", "split"))
        group, fold, split = (sys.intern(part) if part else None for part in parts)
        start, end = self._stretch(number, text)
        if split is not None:
            split = self.split_map.applied(split)
        place = self._path(text["path"])
        return Clip(place, label, start, end, group, fold, split)  # type: ignore[arg-type]

    def stretch(self, number: int, row: Row) -> tuple[float | None, float | None]:
        """Return the start and the end of the clip of one row; ValueError as for :meth:`clip`."""
        names = [name for name in ("start", "end") if name in self.columns]
        return self._stretch(number, {name: _text(row.get(self.columns[name])) for name in names})

    def _stretch(self, number: int, text: Mapping[str, str]) -> tuple[float | None, float | None]:
        times = (self.seconds.read(number, n, text.get(n, "")) for n in ("start", "end"))
        start, end = times
        if start is not None and start < 0:
            raise ValueError(f"start {start:g} is negative. Give seconds from the beginning")
        if end is not None and end <= (start or 0):
            raise ValueError(f"end {end:g} is not after start {start or 0:g}. Both are in seconds")
        return start, end

    def _path(self, name: str) -> Path | str:
        """Return the path of the recording on this disk or its URI, from a cache if possible."""
        path = self._paths.get(name)
        if path is None:
            if len(self._paths) >= MOST_PATHS:
                self._paths.clear()
            uri = place_of(name)
            if uri is not None and not self.takes_uris:
                raise ValueError(f"{shown(uri)!r} is elsewhere. Copy it to this machine")
            path = uri or self._here(str(Path(local_path(name))))
            self._paths[name] = path
        return path

    def _here(self, name: str) -> Path:
        """Return the path of a file, or of a row of a Parquet file."""
        if (row := row_of(name)) is None:
            return self.locator.find(name)
        file = self.locator.find(row[0])
        path = Path(f"{file}{MEMBER}{row[1]}")
        if not file.is_file():
            self.locator.missing.add(str(path))
        return path


def _without_unlabelled(
    numbers: array[int], clips: list[Clip]
) -> tuple[array[int], list[Clip], list[str]]:
    """Leave out whole recordings without a label if all labels are those of stretches.

    Such a row says that the recording was searched and has no event. Also return a note.
    """
    is_bare = [clip.label is None and clip.start is None and clip.end is None for clip in clips]
    labelled = [clip for clip, bare in zip(clips, is_bare, strict=True) if not bare]
    if not any(is_bare) or any(clip.end is None for clip in labelled) or not labelled:
        return numbers, clips, []
    rows = array("q", (n for n, bare in zip(numbers, is_bare, strict=True) if not bare))
    count = len(clips) - len(labelled)
    verb = "has" if count == 1 else "have"
    note = f"{amount(count, 'row')} {verb} only a path: no clip is read from there"
    return rows, labelled, [note]


def _check_folds(name: str, columns: Mapping[str, str], clips: Sequence[Clip]) -> None:
    """Refuse folds that are named like splits: each would be tested in turn, even 'train'."""
    words = dict.fromkeys(clip.fold for clip in clips if clip.fold is not None)
    split_names = [word for word in words if role(word) and not is_fold(word)]
    if split_names and len(words) > 1:
        raise DataError(
            f"{name} has the folds {', '.join(map(repr, list(words)[:5]))}, which are names of"
            f" splits. Give --split {columns['fold']}, or rename the folds."
        )


def _label_rest(
    table: Table, numbers: Numbers, clips: list[Clip], column: str, separator: str | None
) -> None:
    """Turn clips without a label into clips of no class; DataError if each must have a class."""
    for row, clip in enumerate(clips):
        if clip.label is not None:
            continue
        if separator is None:
            raise DataError(
                f"{table.name}, row {numbers[row]}: {clip.path.name!r} has an empty {column}. Label"
                " it, or remove the row. If clips may have several classes or none, give a"
                " separator."
            )
        clips[row] = replace(clip, label="")


def _label(cell: object, separator: str | None) -> str | None:
    """Return a label with its distinct classes, without blanks; None for an empty cell."""
    return _label_of_text(cell, separator) if type(cell) is str else _cleaned(cell, separator)


@functools.lru_cache(maxsize=65_536)
def _label_of_text(cell: str, separator: str | None) -> str | None:
    return _cleaned(cell, separator)


def _cleaned(cell: object, separator: str | None) -> str | None:
    if isinstance(cell, str) and (items := text_list(cell)) is not None:
        cell, separator = items, separator or LIST_SEPARATOR
    if isinstance(cell, LISTS):
        names = [bare(_text(item)) for item in cell]
        for name in names:
            if separator and separator in name:
                raise ValueError(
                    f"the class {name!r} contains the separator {separator!r}. Give another"
                    " separator"
                )
    else:
        whole = bare(_text(cell))
        names = [bare(name) for name in split_label(whole, separator)] if whole else []
    if "" in names:
        raise ValueError(f"the label {cell!r} has an empty class. Name it, or remove a separator")
    return (separator or "").join(dict.fromkeys(names)) or None


def _text(value: object) -> str:
    """Return a cell as text, '' for a missing one; whole numbers have no decimal point."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (*LISTS, dict, bytes)):
        raise ValueError(f"{str(value)[:60]} is not a single value. Give text or a number")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    if "\0" in text:
        raise ValueError(f"{text[:60]!r} contains a NUL character. Remove it")
    return text


def _not_utf8(clips: Sequence[Clip]) -> list[str]:
    """Return a note if labels contain bytes that are not UTF-8, as names of folders may."""
    labels = dict.fromkeys(clip.label for clip in clips if clip.label)
    odd = [label for label in labels if one_line(label) != label]
    odd = [label for label in odd if any("\ud800" <= letter <= "\udfff" for letter in label)]
    if not odd:
        return []
    return [
        f"the label '{one_line(odd[0])}' is not UTF-8, and its encoding is not clear, so its bytes"
        " are kept; save the table as UTF-8 to see letters"
    ]


def check_present(table: Table, numbers: Numbers, clips: Sequence[Clip], missing: Set[str]) -> None:
    """Refuse a table if most of its recordings do not exist: its paths must be wrong.

    If only a few are missing, they are reported when recordings are read.
    """
    rows = [row for row, clip in enumerate(clips) if clip.place in missing] if missing else []
    if len(rows) > len(clips) / 2:
        near = elsewhere(table.folder, [clips[row].path for row in rows[:: 1 + len(rows) // 8]])
        paths = [(numbers[row], clips[row].path) for row in rows[:3]]
        first = [f"row {n} {str(path)!r}{_which(path)}" for n, path in paths]
        verb = "names" if len(rows) == 1 else "name"
        raise DataError(
            f"{table.name}: {len(rows):,} of {amount(len(clips), 'row')} {verb} a recording that"
            f" does not exist, first {', '.join(first)}. Paths are relative to {table.folder}."
            f"{near or ' Correct the paths, or give --root.'}"
        )


def _which(path: Path) -> str:
    problem = not_a_file(path)
    return f", which {problem}" if problem else ""


def _check_filled(
    table: Table, numbers: Numbers, clips: Sequence[Clip], required: Iterable[str]
) -> None:
    """Refuse a column of groups, folds or splits that only some clips have."""
    for name in ("group", "fold", "split"):
        empty = [row for row, clip in enumerate(clips) if getattr(clip, name) is None]
        if empty and (len(empty) < len(clips) or name in required):
            raise DataError(
                f"{table.name}, row {numbers[empty[0]]}: the {name} is empty, as in {len(empty)} of"
                f" {amount(len(clips), 'row')}. Fill it in everywhere, or remove the column."
            )


def _check_distinct(table: Table, numbers: Numbers, clips: Sequence[Clip]) -> None:
    """Refuse two rows for one clip."""
    hashes = np.fromiter((hash(clip.key) for clip in clips), np.int64, len(clips))
    order = np.argsort(hashes, kind="stable")
    is_twin = np.zeros(len(clips), bool)  # another clip has the same hash
    is_twin[order[1:]] = hashes[order[1:]] == hashes[order[:-1]]
    is_twin[order[:-1]] |= is_twin[order[1:]]
    first_row: dict[tuple[str, float, float | None], int] = {}
    for row in np.flatnonzero(is_twin).tolist():
        first = first_row.setdefault(clips[row].key, row)
        if first != row:
            a, b = clips[first].label, clips[row].label
            what = f" with the labels {a!r} and {b!r}" if a != b else ""
            raise DataError(
                f"{table.name}: rows {numbers[first]} and {numbers[row]} are the same clip{what}"
                f" ({clips[row].place}). Keep one."
            )
