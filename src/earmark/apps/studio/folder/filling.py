"""Fill in a new row: what other rows have filled in everywhere may not be empty in it."""

from __future__ import annotations

from typing import Any

from earmark.apps.studio.folder.sheets import TAKE, Row, Sheet, clip_id, widened
from earmark.data.split_words import TRAIN, role

STRETCH = ("start", "end")


def new_row(
    sheet: Sheet,
    place: str,
    label: str | None,
    start: float | None = None,
    end: float | None = None,
    take: str | None = None,
) -> tuple[Row, Sheet]:
    """Return a row for a recording or a stretch of it, and the sheet with the columns it needs.

    Groups, folds, splits and takes are those of other rows of the recording. Else the recording is
    a group and a take of its own, its fold is one of the folds, and its split that for training.
    """
    needed = STRETCH if start is not None or end is not None else ()
    sheet = widened(sheet, (*needed, *([TAKE] if take else [])))
    near = sheet.places.get(place)
    cells = dict(near[0].cells) if near else _first_cells(sheet, place, take)
    if take:
        cells[sheet.names.get(TAKE, TAKE)] = take
    about: dict[str, Any] = {"start": start, "end": end, "label": label}
    row = sheet.row(Row(place, start, end, label, cells), **about)
    if not near:
        row.cells[sheet.names["path"]] = place
    return row, sheet


def _first_cells(sheet: Sheet, place: str, take: str | None) -> dict[str, str]:
    cells = {sheet.names.get(TAKE, TAKE): place} if TAKE in sheet.columns else {}
    for ours, words in sheet.words.items():
        if not words:
            continue
        column = sheet.names[ours]
        if ours == "group":
            cells[column] = take or place
        elif ours == "fold":
            folds = sorted(words)
            cells[column] = folds[int(clip_id(place, None, None), 16) % len(folds)]
        else:
            training = [word for word, _ in words.most_common() if role(word) == TRAIN]
            cells[column] = training[0] if training else TRAIN
    return cells
