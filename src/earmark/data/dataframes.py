"""Read objects as tables: frames of any library that narwhals supports, Hugging Face data sets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.data.embedded import with_recordings
from earmark.data.huggingface import hugging_face
from earmark.data.tables import AUDIO_COLUMN, AUDIO_ROWS, Row, Table, columns_to_read
from earmark.errors import DataError

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw


def read_object(
    data: object, names: set[str], root: str | Path | None = None, path: str = "path"
) -> Table:
    """Return a frame, or a data set of Hugging Face, as a table.

    Only the columns ``names`` and the recordings are read. Rows are counted from 1. Relative paths
    start from ``root``, by default the current folder.
    """
    folder = Path(os.path.abspath(root or "."))
    package = type(data).__module__.partition(".")[0]
    kind = f"{package} {type(data).__name__}".removeprefix("builtins ")
    if package == "datasets" and (hasattr(data, "features") or isinstance(data, dict)):
        columns, rows = hugging_face(data, names)
    else:
        columns, rows = _frame(data, kind, names)
    return with_recordings(Table(f"the {kind}", columns, enumerate(rows, 1), folder), path)


def _frame(data: object, kind: str, names: set[str]) -> tuple[list[str], Iterable[Row]]:
    """Return the columns and rows of a frame; a lazy frame is collected."""
    import narwhals.stable.v2 as nw

    try:
        frame = nw.from_native(data, pass_through=True)
        if not isinstance(frame, (nw.DataFrame, nw.LazyFrame)):
            raise DataError(
                f"a {kind} is not a data set. Give a folder, a manifest, a frame (of pandas,"
                " polars, pyarrow or another library that narwhals supports), or a data set of"
                " Hugging Face."
            )
        columns = [name for name in frame.collect_schema().names() if isinstance(name, str)]
    except nw.exceptions.DuplicateError as error:
        raise DataError(f"the {kind} has two columns with the same name. Rename one.") from error
    selection = columns_to_read(columns, names)
    return columns, _rows(frame.lazy().select(selection).collect(), selection)


def _rows(frame: nw.DataFrame[Any], columns: list[str]) -> Iterator[Row]:
    """Yield the rows of a frame; only a few embedded recordings are in memory at a time."""
    size = AUDIO_ROWS if AUDIO_COLUMN in columns else max(1, len(frame))
    for start in range(0, len(frame), size):
        block = frame[start : start + size]
        for row in zip(*(_cells(block[name]) for name in columns), strict=True):
            yield dict(zip(columns, row, strict=True))


def _cells(column: nw.Series[Any]) -> list[Any]:
    """Return the cells of a column; None for values that its library counts as missing."""
    missing = column.is_null().to_list()
    return [None if m else cell for cell, m in zip(column.to_list(), missing, strict=True)]
