"""Take over the labels of another manifest: one that a command wrote, or one that lies around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from earmark.apps.studio.folder.changes import CLIPS, LEFT_OUT, TRAY
from earmark.apps.studio.folder.edits import Draft, Edited
from earmark.apps.studio.folder.filling import new_row
from earmark.apps.studio.folder.ledger import Ledger
from earmark.apps.studio.folder.opening import labels_of
from earmark.apps.studio.folder.sheets import Row, Sheet, clip_id, read_sheet, transferred, widened
from earmark.data.clip import COLUMNS
from earmark.data.dataset import Dataset
from earmark.data.other_columns import other_columns
from earmark.errors import DataError, amount
from earmark.system.files import relative_path


def adopted(
    ledger: Ledger, manifest: Path, left_out: Sequence[Mapping[str, Any]], said: str
) -> Edited:
    """Return the sheets with what a command has written, and what it has left out.

    Clips that the command did not know stay as they are: they are newer than its manifest.
    """
    draft = Draft(ledger)
    new = read_sheet(manifest, ledger.path)
    _merge(draft, new)
    for clip in left_out:
        place = relative_path(ledger.path / str(clip["path"]), ledger.path)
        id = clip_id(place, clip.get("start"), clip.get("end"))
        row = ledger.sheets[CLIPS].find(id)
        if row is not None and new.find(id) is None:
            reason = str(clip.get("reason") or "")
            draft.transfer(row, CLIPS, LEFT_OUT, reason)
    return said or "Took the labels over.", draft.result()


def imported(ledger: Ledger, manifest: Path) -> Edited:
    """Return the sheets with the labels of another manifest in the folder, and its columns."""
    dataset = Dataset.read(manifest, least_classes=1)
    others = other_columns(dataset)
    more = [name for name in COLUMNS if any(getattr(clip, name) is not None for clip in dataset)]
    columns = list(dict.fromkeys([*("path", "label"), *more, *others]))
    rows = []
    for at, clip in enumerate(dataset):
        place = relative_path(clip.path, ledger.path)
        ours = {n: getattr(clip, n) for n in columns if n in COLUMNS} | {"path": place}
        cells = {name: "" if value is None else str(value) for name, value in ours.items()}
        cells |= {name: others[name][at] for name in others}
        rows.append(Row(place, clip.start, clip.end, clip.label or None, cells))
    if dataset.separator:
        raise DataError(
            f"{manifest.name} has clips of several classes. Train on it with the command line."
        )
    names = {name: name for name in columns if name in COLUMNS}
    draft = Draft(ledger)
    count = _merge(draft, Sheet(tuple(columns), names, tuple(rows)))
    said = f"Took over {amount(count, 'label')} of {relative_path(manifest, ledger.path)}."
    return said, draft.result()


def imported_tracks(ledger: Ledger) -> Edited:
    """Return the sheets with the stretches of the label tracks that were not taken over yet."""
    tracks = ledger.new_tracks()
    sheet, wrong = labels_of(ledger.path, ledger.found, tracks)
    if not sheet.rows:
        raise DataError(wrong[0] if wrong else "the label tracks have no labels. Draw some.")
    draft = Draft(ledger)
    count = _merge(draft, sheet)
    said = f"Took over {amount(count, 'label')} of {amount(len(tracks), 'label track')}."
    return said, draft.result()


def _merge(draft: Draft, new: Sheet) -> int:
    """Put the rows of another sheet into the manifest; return how many there are."""
    own = draft.sheets[CLIPS]
    ours = [name for name in new.names if name in ("start", "end", "group", "fold", "split")]
    ours = [name for name in ours if name not in own.names]
    others = [column for column in new.columns if column not in new.names.values()]
    draft.sheets[CLIPS] = widened(own, [*ours, *others])
    tray, count = draft.sheets[TRAY], 0
    for row in new.rows:
        if draft.sheets[LEFT_OUT].find(row.id) or row.label is None:
            continue
        moved, draft.sheets[CLIPS] = transferred(row, new, draft.sheets[CLIPS], row.label)
        kept = own.find(row.id)
        if kept is None:
            kept, draft.sheets[CLIPS] = new_row(
                draft.sheets[CLIPS], row.place, row.label, row.start, row.end
            )
        path = draft.sheets[CLIPS].names["path"]  # the other table's start from its own folder
        cells = {
            column: kept.cells.get(column, "")
            if column == path
            else text or kept.cells.get(column, "")
            for column, text in moved.cells.items()
        }
        draft.put(CLIPS, replace(moved, cells=cells), row.id)
        if known := tray.find(row.id):
            draft.take_out(TRAY, known)
        count += 1
    fill_groups(draft)
    return count


def fill_groups(draft: Draft) -> None:
    """Fill in the groups that only some rows have: each other recording is a group of its own."""
    sheet = draft.sheets[CLIPS]
    column = sheet.names.get("group")
    if column is None:
        return
    for row in draft.rows(CLIPS):
        if not row.cells.get(column, "").strip():
            cells = {**row.cells, column: row.place}
            draft.put(CLIPS, replace(row, cells=cells), row.id)
