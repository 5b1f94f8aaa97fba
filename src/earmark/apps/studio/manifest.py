"""The table ``earmark.csv`` of a folder: which clips have which labels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earmark.data.tables import read_table
from earmark.errors import DataError
from earmark.system.files import not_a_file, write_whole
from earmark.system.text import to_bytes, to_csv

LEFT_OUT = "left-out.csv"
FIRST = ("path", "start", "end", "label")  # columns
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Row:
    """A clip: its path from the folder, its ends as they are written, its label, other cells."""

    path: str
    start: str = ""
    end: str = ""
    label: str = ""
    others: tuple[tuple[str, str], ...] = field(default=())

    @property
    def key(self) -> Key:
        """What no two rows share."""
        return self.path, self.start, self.end

    @property
    def is_whole(self) -> bool:
        """Whether the clip is a whole recording."""
        return not (self.start or self.end)

    def cell(self, column: str) -> str:
        """Return a cell of another column; '' if there is none."""
        return dict(self.others).get(column, "")


def id_of(path: str, start: str = "", end: str = "") -> str:
    """Return the id of a clip; a client names a clip by it, never by a path."""
    text = "\0".join((path, start, end))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def seconds_text(seconds: float | None) -> str:
    """Return a time as it is written in the table."""
    return "" if seconds is None else repr(round(float(seconds), 6))


def read_rows(path: Path, folder: Path) -> list[Row]:
    """Return the rows of a manifest; paths start from ``folder`` then.

    Raises DataError if it is no table, or a clip is there twice.
    """
    if problem := not_a_file(path):
        raise DataError(f"{path.name} {problem}. Move it elsewhere.")
    table = read_table(path.absolute(), set())
    missing = [name for name in ("path", "label") if name not in table.columns]
    if missing:
        raise DataError(f"{path.name} has no column {missing[0]!r}. Add it, or move the file.")
    names = [name for name in table.columns if name not in FIRST]
    rows: dict[Key, Row] = {}
    for number, cells in table.rows:
        text = {name: "" if cells.get(name) is None else str(cells[name]) for name in cells}
        try:
            ends = [_ends(text.get(name, "")) for name in ("start", "end")]
        except ValueError:
            raise DataError(f"{path.name}, row {number}: start or end is no number.") from None
        place = os.path.normpath(os.path.join(table.folder, text["path"]))
        row = Row(
            Path(os.path.relpath(place, folder)).as_posix(),
            ends[0],
            ends[1],
            text.get("label", "").strip(),
            tuple((name, text[name]) for name in names if text.get(name)),
        )
        if row.key in rows:
            raise DataError(f"{path.name}, row {number}: {row.path} is there twice. Remove one.")
        rows[row.key] = row
    return list(rows.values())


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a manifest that reads back to the same rows; EarmarkError if the disk is full."""
    write_whole(path, to_bytes(to_csv(table_of(rows))))


def table_of(rows: Sequence[Row]) -> Iterable[Sequence[str]]:
    """Yield the lines of a manifest; columns without a value are left out.

    A group stands in every row or in none, so a clip without one is a group of its own.
    """
    others = list(dict.fromkeys(name for row in rows for name, _ in row.others))
    has_ends = any(not row.is_whole for row in rows)
    names = [name for name in FIRST if has_ends or name not in ("start", "end")]
    yield [*names, *others]
    for row in rows:
        own = {"group": row.path, "take": row.path, "split": "train"}
        cells = {name: own[name] for name in others if name in own} | dict(row.others)
        yield [*(getattr(row, name) for name in names), *(cells.get(n, "") for n in others)]


def _ends(text: str) -> str:
    return seconds_text(float(text)) if text.strip() else ""
