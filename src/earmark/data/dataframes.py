"""Frames of pandas and polars as tables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from earmark.data.embedded import with_recordings
from earmark.data.huggingface import hugging_face
from earmark.data.tables import AUDIO_COLUMN, Row, Table
from earmark.errors import DataError


def read_object(data: Any, used: set[str], root: str | Path | None = None) -> Table:
    """Return a frame of pandas or polars, or a data set of Hugging Face's, as a table.

    Only the columns ``used`` are read, and the recordings. Rows are counted from 1. Relative paths
    begin in ``root``, by default the current folder.
    """
    folder = Path(os.path.abspath(root or "."))
    kind = f"{type(data).__module__.partition('.')[0]} {type(data).__name__}"
    if kind == "pandas DataFrame":
        columns, rows = _pandas(data, used)
    elif kind in ("polars DataFrame", "polars LazyFrame"):
        columns, rows = _polars(data, used)
    elif kind.startswith("datasets ") and (hasattr(data, "features") or isinstance(data, dict)):
        columns, rows = hugging_face(data, used)
    else:
        raise DataError(
            f"a {kind} is no data set; give a folder, a manifest, a frame of pandas or polars, or a"
            " data set of Hugging Face's."
        )
    return with_recordings(Table(f"the {kind}", columns, enumerate(rows, 1), folder))


def _pandas(frame: Any, used: set[str]) -> tuple[list[str], Iterable[Row]]:
    names = [str(name) for name in frame.columns]
    wanted = [i for i, name in enumerate(names) if name in used or name == AUDIO_COLUMN]
    columns = (frame.iloc[:, i] for i in wanted)
    cells = [c.astype(object).where(c.notna(), None).tolist() for c in columns]
    rows = zip(*cells, strict=True) if cells else ()
    return names, (dict(zip((names[i] for i in wanted), row, strict=True)) for row in rows)


def _polars(frame: Any, used: set[str]) -> tuple[list[str], Iterable[Row]]:
    names = list(frame.collect_schema().names())
    wanted = frame.select([name for name in names if name in used or name == AUDIO_COLUMN])
    if hasattr(wanted, "collect"):
        wanted = wanted.collect()
    return names, wanted.iter_rows(named=True)
