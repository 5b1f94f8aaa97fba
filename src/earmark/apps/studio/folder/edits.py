"""The changes of labels: each returns the sentence and the sheets as they are afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from earmark.apps.studio.folder.changes import CLIPS, LEFT_OUT, TRAY, Move
from earmark.apps.studio.folder.filling import new_row
from earmark.apps.studio.folder.ledger import Ledger
from earmark.apps.studio.folder.names import checked_label
from earmark.apps.studio.folder.sheets import TAKE, Row, Sheet, transferred
from earmark.apps.studio.folder.views import about_recording, classes, find, place_of, shown
from earmark.apps.studio.mistakes import GONE, ConflictError, UnknownIdError
from earmark.errors import DataError, amount
from earmark.system.text import one_line

Edited = tuple[str, dict[str, Sheet]]
MOST_REASON = 500  # letters


class Draft:
    """The sheets of a folder while a change is made of them: rows are taken out and put in."""

    def __init__(self, ledger: Ledger) -> None:
        self.sheets = dict(ledger.sheets)
        self._gone: dict[str, set[str]] = {}
        self._new: dict[str, dict[str, Row]] = {}

    def take_out(self, name: str, row: Row) -> None:
        """Remove a row."""
        self._gone.setdefault(name, set()).add(row.id)
        self._new.get(name, {}).pop(row.id, None)

    def put(self, name: str, row: Row, instead: str | None = None) -> None:
        """Put a row at the end, or in the place of the row with the id ``instead``."""
        self._new.setdefault(name, {})[instead or row.id] = row

    def transfer(self, row: Row, source: str, target: str, reason: str | None = None) -> None:
        """Take a row out of one sheet and put it into another, with all its cells."""
        new, self.sheets[target] = transferred(
            row, self.sheets[source], self.sheets[target], row.label, reason
        )
        self.take_out(source, row)
        self.put(target, new)

    def rows(self, name: str) -> list[Row]:
        """Return the rows as they are now."""
        gone, new = self._gone.get(name, set()), dict(self._new.get(name, {}))
        rows = [new.pop(row.id, row) for row in self.sheets[name].rows if row.id not in gone]
        return [*rows, *new.values()]

    def result(self) -> dict[str, Sheet]:
        """Return the sheets after the change; ConflictError if a clip would be there twice."""
        for name in self._gone.keys() | self._new.keys():
            sheet, rows = self.sheets[name], self.rows(name)
            width, known = sheet.columns, set(sheet.columns)
            rows = [row if row.cells.keys() == known else _fit(row, width) for row in rows]
            if len({row.id for row in rows}) < len(rows):
                raise ConflictError("there is a clip with these ends already. Change that one.")
            self.sheets[name] = Sheet(width, sheet.names, tuple(rows))
        return self.sheets


def _fit(row: Row, columns: Iterable[str]) -> Row:
    cells = {column: row.cells.get(column, "") for column in columns}
    if TAKE in cells and TAKE not in row.cells:
        cells[TAKE] = row.place
    return replace(row, cells=cells)


def label_clips(ledger: Ledger, ids: Sequence[str], label: str | None) -> Edited:
    """Give clips a label, or take it away; stretches that lose their label are removed."""
    name = None if label is None else real_label(ledger, label)
    draft, count = Draft(ledger), 0
    for id in dict.fromkeys(ids):
        source, sheet, row = found(ledger, id)
        if source == CLIPS and row.label == name:
            continue
        count += 1
        if source == CLIPS and name is not None:
            draft.put(CLIPS, sheet.row(row, label=name), row.id)
        elif source == CLIPS and not row.is_whole:
            draft.take_out(CLIPS, row)
        elif source == CLIPS:
            draft.transfer(replace(row, label=None), CLIPS, TRAY)
        elif name is None:
            count -= 1
        else:
            _into_clips(draft, source, row, name)
    clips = amount(count, "clip")
    said = f"Took the label of {clips} away." if name is None else f"Labelled {clips} {_q(name)}."
    return said, draft.result()


def _into_clips(draft: Draft, source: str, row: Row, name: str | None) -> None:
    """Put a row of another sheet into the manifest, filled in as its other rows are."""
    own = draft.sheets[source]
    new, draft.sheets[CLIPS] = new_row(
        draft.sheets[CLIPS], row.place, name, row.start, row.end, own.cell(row, TAKE) or None
    )
    moved, draft.sheets[CLIPS] = transferred(row, own, draft.sheets[CLIPS], label=name)
    cells = {c: moved.cells.get(c) or new.cells.get(c, "") for c in draft.sheets[CLIPS].columns}
    draft.take_out(source, row)
    draft.put(CLIPS, replace(moved, cells=cells))


def add_region(
    ledger: Ledger, recording: str, start: float, end: float, label: str | None
) -> tuple[str, dict[str, Sheet], str]:
    """Make a stretch of a recording a clip; also return its id."""
    place = place_of(ledger, recording)
    if place is None:
        raise UnknownIdError(GONE)
    if label is None:
        raise DataError("a stretch of a recording needs a label. Choose a class.")
    name, draft = real_label(ledger, label), Draft(ledger)
    check_ends(ledger, place, start, end)
    row, draft.sheets[CLIPS] = new_row(draft.sheets[CLIPS], place, name, float(start), float(end))
    if ledger.sheets[CLIPS].find(row.id) or ledger.sheets[LEFT_OUT].find(row.id):
        raise ConflictError("there is a clip with these ends already. Change that one.")
    draft.put(CLIPS, row)
    return f"Labelled {span(start, end)} {_q(name)}.", draft.result(), row.id


def add_regions(
    ledger: Ledger, stretches: Sequence[tuple[str, float, float]], label: str
) -> Edited:
    """Make stretches (recording, start, end) clips of a class, as one change.

    A stretch that is a clip already gets the label; one that was left out stays so.
    """
    name, draft, ids = real_label(ledger, label), Draft(ledger), set[str]()
    for recording, start, end in stretches:
        place = place_of(ledger, recording)
        if place is None:
            raise UnknownIdError(GONE)
        check_ends(ledger, place, start, end)
        row, draft.sheets[CLIPS] = new_row(
            draft.sheets[CLIPS], place, name, float(start), float(end)
        )
        known = ledger.sheets[CLIPS].find(row.id)
        if ledger.sheets[LEFT_OUT].find(row.id) or (known and known.label == name):
            continue
        draft.put(CLIPS, row)
        ids.add(row.id)
    return f"Labelled {amount(len(ids), 'clip')} {_q(name)}.", draft.result()


def move_region(
    ledger: Ledger, id: str, start: float, end: float, label: str | None
) -> tuple[str, dict[str, Sheet], str]:
    """Give a clip other ends, and perhaps another label; also return its new id."""
    source, _, row = found(ledger, id)
    if source != CLIPS:
        raise ConflictError("only a clip with a label has ends. Give it a label first.")
    name = row.label if label is None else real_label(ledger, label)
    check_ends(ledger, row.place, start, end)
    draft = Draft(ledger)
    _, draft.sheets[CLIPS] = new_row(draft.sheets[CLIPS], row.place, name, start, end)
    new = draft.sheets[CLIPS].row(row, start=float(start), end=float(end), label=name)
    draft.put(CLIPS, new, row.id)
    if new.id != row.id and ledger.sheets[LEFT_OUT].find(new.id):
        raise ConflictError("a clip with these ends was left out. Take that one back.")
    return f"Moved a clip of {_q(name or '')} to {span(start, end)}.", draft.result(), new.id


def leave_out(ledger: Ledger, ids: Sequence[str], reason: str) -> Edited:
    """Move clips from the manifest, or from those without a label, to what was left out."""
    draft, count = Draft(ledger), 0
    why = one_line(reason)[:MOST_REASON]
    for id in dict.fromkeys(ids):
        source, _, row = found(ledger, id)
        if source != LEFT_OUT:
            draft.transfer(row, source, LEFT_OUT, why)
            count += 1
    return f"Left out {amount(count, 'clip')}.", draft.result()


def take_back(ledger: Ledger, ids: Sequence[str]) -> Edited:
    """Move clips back that were left out."""
    draft, count = Draft(ledger), 0
    for id in dict.fromkeys(ids):
        source, _, row = found(ledger, id)
        if source != LEFT_OUT:
            continue
        count += 1
        if row.label is None:
            draft.transfer(row, LEFT_OUT, TRAY)
        else:
            _into_clips(draft, LEFT_OUT, row, row.label)
    return f"Took back {amount(count, 'clip')}.", draft.result()


def delete(ledger: Ledger, ids: Sequence[str]) -> tuple[str, dict[str, Sheet], list[Move]]:
    """Remove stretches, and move recordings to the trash with all their clips."""
    draft, moves, count = Draft(ledger), dict[str, Move](), 0
    for id in dict.fromkeys(ids):
        source, _, row = found(ledger, id)
        if not row.is_whole:
            draft.take_out(source, row)
            count += 1
            continue
        if row.place in moves:
            continue
        moves[row.place] = Move(row.place, ledger.trash.place_of(row.place), None, False)
        for name, sheet in ledger.sheets.items():
            for other in sheet.places.get(row.place, ()):
                draft.take_out(name, other)
    for place in moves:
        ledger.absolute(place)  # only what is inside the folder
    parts = [amount(len(moves), "recording")] if moves else []
    parts += [amount(count, "clip")] if count else []
    return f"Deleted {' and '.join(parts)}.", draft.result(), list(moves.values())


def rename_class(ledger: Ledger, old: str, new: str) -> Edited:
    """Give a class another name; if another class has it, the two become one."""
    before = next((name for name in classes(ledger) if shown(name) == old), None)
    if before is None:
        raise UnknownIdError(f"there is no class {_q(old)} any more. Reload the page.")
    others = [name for name in classes(ledger) if name != before]
    after = checked_label(new, others)
    draft = Draft(ledger)
    for name in (CLIPS, LEFT_OUT):
        sheet = ledger.sheets[name]
        for row in sheet.rows:
            if row.label == before != after:
                draft.put(name, sheet.row(row, label=after), row.id)
    if after in others:
        return f"Merged {_q(before)} into {_q(after)}.", draft.result()
    return f"Renamed {_q(before)} to {_q(after)}.", draft.result()


def real_label(ledger: Ledger, label: str) -> str:
    """Return the label in the manifest for one of the page; DataError if it is not possible."""
    known = list(classes(ledger))
    own = next((name for name in known if shown(name) == label), None)
    return own if own is not None else checked_label(label, known)


def found(ledger: Ledger, id: str) -> tuple[str, Sheet, Row]:
    """Return where a clip is; UnknownIdError if it is nowhere."""
    result = find(ledger, id)
    if result is None:
        raise UnknownIdError(GONE)
    return result


def check_ends(ledger: Ledger, place: str, start: float, end: float) -> None:
    """Refuse a stretch that is not inside its recording."""
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        raise DataError(f"{start} to {end} s is no stretch. The end must be after the start.")
    seconds = about_recording(ledger, place)["seconds"]
    if seconds is not None and end > seconds + 0.01:
        raise DataError(
            f"the stretch ends at {end:.6g} s, but the recording has {seconds:.6g} s. Draw it"
            " inside."
        )


def span(start: float, end: float) -> str:
    """Return a stretch for people to read."""
    return f"{start:.6g} to {end:.6g} s"


def _q(name: str) -> str:
    return f"'{one_line(name)}'"
