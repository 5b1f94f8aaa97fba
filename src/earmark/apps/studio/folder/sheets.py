"""Tables of clips: the manifest, the clips that were left out, and those without a label.

A sheet keeps every column and the order of rows. It is never changed; a change makes a new one.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from earmark.data.clip import COLUMNS, Clip
from earmark.data.columns import resolve
from earmark.data.rows import RowReader
from earmark.data.tables import read_table
from earmark.errors import DataError
from earmark.system.files import relative_path
from earmark.system.text import to_bytes, to_csv

REASON, TAKE = "reason", "take"
_PLAIN_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_NO_OPTIONS = dict.fromkeys(COLUMNS)


def clip_id(place: str, start: float | None, end: float | None) -> str:
    """Return the id of a clip: 16 hexadecimal digits."""
    text = f"{place}\0{start or 0.0!r}\0{'' if end is None else repr(float(end))}"
    return hashlib.sha256(to_bytes(text)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a sheet.

    Attributes
    ----------
    place : str
        The path of the recording, relative to the folder, with slashes.
    start, end : float or None
        Seconds; None means the beginning or the end of the recording.
    label : str or None
        The label as it is read; its cell may have blanks around it.
    cells : dict
        The text in every column, by the name of the column.
    id : str
        See :func:`clip_id`.
    """

    place: str
    start: float | None
    end: float | None
    label: str | None
    cells: dict[str, str]
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", clip_id(self.place, self.start, self.end))

    @property
    def is_whole(self) -> bool:
        """Whether the clip is the whole recording."""
        return not self.start and self.end is None

    def as_json(self) -> list[Any]:
        """Return the row for the history."""
        return [self.place, self.start, self.end, self.label, self.cells]

    @classmethod
    def from_json(cls, value: Sequence[Any] | None) -> Row | None:
        return None if value is None else cls(*value)


@dataclass(frozen=True)
class Sheet:
    """Rows in their order. ``names`` has the column of each of our names, such as 'label'."""

    columns: tuple[str, ...]
    names: Mapping[str, str]
    rows: tuple[Row, ...] = ()

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """The position of each row by its id."""
        return {row.id: at for at, row in enumerate(self.rows)}

    @functools.cached_property
    def places(self) -> dict[str, list[Row]]:
        """The rows of each recording."""
        rows: dict[str, list[Row]] = {}
        for row in self.rows:
            rows.setdefault(row.place, []).append(row)
        return rows

    def find(self, id: str) -> Row | None:
        """Return the row with this id, if there is one."""
        at = self.index.get(id)
        return None if at is None else self.rows[at]

    def cell(self, row: Row, ours: str) -> str:
        """Return the text of a row in the column with one of our names; '' if there is none."""
        return row.cells.get(self.names.get(ours, ours), "")

    def row(self, row: Row, **changed: Any) -> Row:
        """Return ``row`` with another start, end or label, also in its cells."""
        cells = {column: row.cells.get(column, "") for column in self.columns}
        for ours, value in changed.items():
            if ours in self.names:
                cells[self.names[ours]] = _text(value)
        return replace(row, id="", cells=cells, **changed)

    @functools.cached_property
    def words(self) -> dict[str, Counter[str]]:
        """How often each word is in the columns of groups, folds and splits; empty cells not."""
        words = {}
        for ours in ("group", "fold", "split"):
            if column := self.names.get(ours):
                words[ours] = Counter(row.cells.get(column, "").strip() for row in self.rows)
                words[ours].pop("", None)
        return words

    def with_columns(self, columns: Iterable[str], names: Mapping[str, str]) -> Sheet:
        """Return the sheet with these columns; a recording without a take is a take of its own."""
        columns = tuple(columns)
        if columns == self.columns:
            return self
        rows = []
        for row in self.rows:
            cells = {column: row.cells.get(column, "") for column in columns}
            if TAKE in cells and TAKE not in self.columns:
                cells[TAKE] = row.place
            rows.append(replace(row, cells=cells))
        return Sheet(columns, dict(names), tuple(rows))

    def content(self) -> bytes:
        """Return the sheet as CSV."""
        header = ",".join(self.columns)
        most = max(header.count(other) for other in ";\t|")
        sign = "sep=,\n" if most > header.count(",") else ""  # or another delimiter would be read
        rows = ([row.cells.get(column, "") for column in self.columns] for row in self.rows)
        return to_bytes(sign + to_csv([list(self.columns), *rows]))


def widened(sheet: Sheet, columns: Iterable[str]) -> Sheet:
    """Return the sheet with further columns at its end; those it has already do not count."""
    more = [c for c in dict.fromkeys(columns) if c not in sheet.columns]
    ours = {c: c for c in more if c in (*COLUMNS, TAKE, REASON) and c not in sheet.names}
    return sheet.with_columns((*sheet.columns, *more), {**sheet.names, **ours})


def transferred(
    row: Row, source: Sheet, target: Sheet, label: str | None, reason: str | None = None
) -> tuple[Row, Sheet]:
    """Return a row of ``source`` for ``target``, and the target with columns for all its cells."""
    of_ours = {column: ours for ours, column in source.names.items()}
    cells = {} if reason is None else {REASON: reason}
    for column, text in row.cells.items():
        ours = of_ours.get(column)
        own = target.names.get(ours, ours) if ours else column
        if column != REASON and (text or own in target.columns):
            cells[own] = text
    cells[target.names["path"]] = row.cells.get(source.names["path"]) or row.place
    target = widened(target, cells)
    return target.row(replace(row, cells=cells), label=label), target


def _text(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def empty_sheet(*columns: str) -> Sheet:
    """Return a sheet without rows, with our names of columns and further ones."""
    names = (*("path", "start", "end", "label"), *columns)
    return Sheet(names, {name: name for name in names})


def read_sheet(
    path: Path, folder: Path, *, need_labels: bool = True, base: Path | None = None
) -> Sheet:
    """Return the table of a file, with paths relative to ``folder``.

    The paths in the file start from ``base``, which is its own folder unless it is given.
    Raises DataError, with the number of the row, for anything that cannot be kept exactly.
    """
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise DataError(f"{path} is not a .csv. Give a table as text.")
    table = read_table(path, set(), base or path.parent)
    names, _ = resolve(table.name, table.columns, _NO_OPTIONS, need_labels)
    twice = [column for column in table.columns if table.columns.count(column) > 1]
    if twice:
        raise DataError(f"{path} has two columns {twice[0]!r}. Rename one.")
    reader, rows, seen = RowReader(table, names, None), list[Row](), dict[str, int]()
    prefix = str(folder) + os.sep
    for number, cells in table.rows:
        try:
            clip = reader.clip(number, cells)
        except ValueError as error:
            raise DataError(f"{table.name}, row {number}: {error}.") from error
        row = _row(clip, dict(cells), names, prefix, folder)
        if row.id in seen:
            raise DataError(
                f"{table.name}: rows {seen[row.id]} and {number} are the same clip"
                f" ({clip.place}). Keep one."
            )
        seen[row.id] = number
        rows.append(row)
    reader.seconds.check()
    return Sheet(tuple(table.columns), names, tuple(rows))


def _row(
    clip: Clip, cells: dict[str, str], names: Mapping[str, str], prefix: str, folder: Path
) -> Row:
    place = clip.place
    if place.startswith(prefix):
        place = place[len(prefix) :].replace(os.sep, "/")
    else:
        place = relative_path(clip.path, folder)
    for ours in ("start", "end"):  # a decimal comma would be read differently in our CSV
        value = getattr(clip, ours)
        if value is not None and not _PLAIN_NUMBER.fullmatch(cells[names[ours]].strip()):
            cells[names[ours]] = repr(value)
    return Row(place, clip.start, clip.end, clip.label, cells)
