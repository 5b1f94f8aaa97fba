"""A change of the sheets and files of a folder, which can be made and unmade exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from earmark.apps.studio.folder.sheets import Row, Sheet
from earmark.apps.studio.mistakes import ImpossibleError

CLIPS, LEFT_OUT, TRAY = "clips", "left_out", "tray"  # the sheets
Sheets = Mapping[str, Sheet]


class Edit(NamedTuple):
    """What becomes of one row: ``was`` before, ``now`` after; None if there is none.

    ``at`` is the position of a row that is removed or put in, in the sheet that has it.
    """

    sheet: str
    at: int
    was: Row | None
    now: Row | None


class Move(NamedTuple):
    """A recording that comes to ``place`` (``adds``) or goes from there to ``trash``.

    It comes from ``source`` the first time. All are paths relative to the folder.
    """

    place: str
    trash: str
    source: str | None
    adds: bool


@dataclass(frozen=True)
class Change:
    """Edits of rows, moves of files, and the columns of sheets before and after.

    ``columns`` has for a sheet ``[[columns, names], [columns, names]]``; ``said`` is a sentence.
    """

    number: int
    said: str
    edits: tuple[Edit, ...] = ()
    moves: tuple[Move, ...] = ()
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the change for the history."""
        edits = [
            [e.sheet, e.at, e.was and e.was.as_json(), e.now and e.now.as_json()]
            for e in self.edits
        ]
        moves, columns = [list(move) for move in self.moves], dict(self.columns)
        about = {"number": self.number, "said": self.said}
        return {**about, "edits": edits, "moves": moves, "columns": columns}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Change:
        edits = tuple(
            Edit(sheet, at, Row.from_json(was), Row.from_json(now))
            for sheet, at, was, now in value["edits"]
        )
        moves = tuple(Move(*move) for move in value["moves"])
        return cls(value["number"], value["said"], edits, moves, value["columns"])


def difference(before: Sheets, after: Sheets) -> tuple[tuple[Edit, ...], dict[str, Any]]:
    """Return the edits and the columns that make ``before`` become ``after``.

    A row that has another id afterwards is removed and put in again.
    """
    edits, columns = list[Edit](), {}
    for name, new in after.items():
        old = before[name]
        if new is old:
            continue
        if old.columns != new.columns:
            columns[name] = [[list(s.columns), dict(s.names)] for s in (old, new)]
        widths = old.with_columns(new.columns, new.names)
        for at, row in enumerate(old.rows):
            now = new.find(row.id)
            if now is None:
                edits.append(Edit(name, at, row, None))
            elif now is not row and now != widths.rows[at]:
                edits.append(Edit(name, at, row, now))
        edits += [
            Edit(name, at, None, row) for at, row in enumerate(new.rows) if row.id not in old.index
        ]
    return tuple(edits), columns


def changed(
    sheets: Sheets, change: Change, *, forward: bool, is_repeat: bool = False
) -> dict[str, Sheet]:
    """Return the sheets after a change was made, or unmade.

    ``is_repeat`` says that a part of it may have been done before. Raises ImpossibleError if the
    rows are not as the change expects them.
    """
    result = dict(sheets)
    for name in {edit.sheet for edit in change.edits} | change.columns.keys():
        sheet = sheets[name]
        own = [edit for edit in change.edits if edit.sheet == name]
        if name in change.columns:
            sheet = _with_columns(sheet, change.columns[name], forward)
        pairs = [(e.at, e.was, e.now) if forward else (e.at, e.now, e.was) for e in own]
        result[name] = _edited(sheet, pairs, is_repeat)
    return result


def _with_columns(sheet: Sheet, both: Sequence[Any], forward: bool) -> Sheet:
    before, after = both if forward else reversed(both)
    columns, names = after
    if list(sheet.columns) != list(before[0]):  # another program has changed them: keep all
        columns = [*sheet.columns, *(c for c in columns if c not in sheet.columns)]
        names = {**names, **sheet.names}
    return sheet.with_columns(columns, names)


def _edited(
    sheet: Sheet, pairs: Iterable[tuple[int, Row | None, Row | None]], is_repeat: bool
) -> Sheet:
    rows: list[Row | None] = list(sheet.rows)
    new: list[tuple[int, Row]] = []
    for at, was, now in pairs:
        here = None if was is None else sheet.index.get(was.id)
        if was is not None and (here is None or sheet.rows[here].label != was.label):
            if is_repeat:
                continue
            raise ImpossibleError(
                f"{was.place!r} was changed by another program since. Change it here by hand."
            )
        if was is not None and here is not None:
            rows[here] = now and _fitted(sheet, now, was, sheet.rows[here])
        elif now is not None and sheet.find(now.id) is None:
            new.append((at, _fitted(sheet, now)))
        elif not is_repeat and now is not None:
            raise ImpossibleError(
                f"{now.place!r} was added by another program since. Change it here by hand."
            )
    kept = [row for row in rows if row is not None]
    for at, row in sorted(new, key=lambda pair: pair[0]):
        kept.insert(at, row)
    return Sheet(sheet.columns, sheet.names, tuple(kept))


def _fitted(sheet: Sheet, row: Row, was: Row | None = None, here: Row | None = None) -> Row:
    """Return a row with a cell for each column of the sheet, and no others.

    Cells that do not differ between ``row`` and ``was`` are those of ``here``: another program may
    have changed them.
    """
    cells = {column: row.cells.get(column, "") for column in sheet.columns}
    if was is not None and here is not None:
        for column in cells:
            if cells[column] == was.cells.get(column, ""):
                cells[column] = here.cells.get(column, "")
    return Row(row.place, row.start, row.end, row.label, cells, row.id)
