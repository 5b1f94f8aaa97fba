"""Read the columns of a manifest that earmark does not use, to copy them into a new manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from earmark.data.clip import COLUMNS, LISTS
from earmark.data.dataset import Dataset, own_manifest
from earmark.data.tables import AUDIO_COLUMN, MANIFEST_SUFFIXES, read_table
from earmark.errors import DataError
from earmark.system.jsons import json_text


def other_columns(dataset: Dataset) -> dict[str, list[str]]:
    """Return the unused columns of the manifest of ``dataset``, with one cell per clip.

    The result is empty if the data did not come from a manifest. A column that has one of our names
    but was not used as that column is renamed to ``NAME (other)``.
    """
    source = Path(str(dataset.origin.get("data") or ""))
    source = (source.is_dir() and own_manifest(source)) or source
    if source.suffix.lower() not in MANIFEST_SUFFIXES or not source.is_file():
        return {}
    used = {dataset.origin.get(name) or name for name in COLUMNS}
    names = [
        name
        for name in read_table(source, set()).columns
        if name and name not in used and name != AUDIO_COLUMN
    ]
    rows = [row for _, row in read_table(source, {"path", *names}).rows]
    if len(rows) != len(dataset):
        raise DataError(f"{source} has changed while it was read. Run the same command again.")
    existing = {*COLUMNS, *names}
    columns = {}
    for name in names:
        own = f"{name} (other)" if name in COLUMNS else name
        while own != name and own in existing:
            own += "_"
        columns[own] = [cell_text(row.get(name)) for row in rows]
    return columns


def cell_text(cell: object) -> str:
    """Return a cell as text; lists and objects as JSON, a missing value as ''."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, (*LISTS, Mapping)):
        return json_text(cell)
    return str(cell)
