"""The labels of a folder that has no manifest yet, and those of another manifest in it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from earmark.apps.studio.manifest import Row, seconds_text
from earmark.apps.studio.scanning import OWN, RECORDINGS, Scan
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.other_columns import other_columns
from earmark.errors import DataError
from earmark.system.files import relative_path


def first_rows(folder: Path, scan: Scan) -> list[Row]:
    """Return the clips that the command line reads in a folder without a manifest.

    If it refuses the folder, the name of a sub-folder is the label of what is in it; recordings
    beside the sub-folders have none.
    """
    if not scan.paths:
        return []
    has_own = any(os.path.isdir(folder / name) for name in OWN)
    try:
        if has_own:
            raise DataError("its own folders are no classes")
        return [row for row in _rows(Dataset.read(folder, least_classes=1).clips, folder) if row]
    except DataError:
        parts = [path.split("/") for path in scan.paths]
        return [
            Row("/".join(part), label=part[0])
            for part in parts
            if len(part) > 1 and part[0] != RECORDINGS
        ]


def rows_of(manifest: Path, folder: Path) -> list[Row]:
    """Return the clips of another manifest, with its other columns; DataError if it is none."""
    dataset = Dataset.read(manifest, least_classes=1)
    columns = other_columns(dataset)
    rows = list(_rows(dataset.clips, folder))
    return [
        Row(
            row.path,
            row.start,
            row.end,
            row.label,
            (*row.others, *((name, cells[n]) for name, cells in columns.items() if cells[n])),
        )
        for n, row in enumerate(rows)
    ]


def _rows(clips: Iterable[Clip], folder: Path) -> Iterable[Row]:
    for clip in clips:
        others = tuple(
            (name, str(value))
            for name in ("group", "fold", "split")
            if (value := getattr(clip, name)) is not None
        )
        yield Row(
            relative_path(clip.path, folder),
            seconds_text(clip.start),
            seconds_text(clip.end),
            clip.label or "",
            others,
        )
