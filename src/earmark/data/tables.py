"""Read the table of a manifest: CSV, TSV, JSON lines, a JSON array, Parquet.

A table is the names of its columns, and rows with the number that a spreadsheet or editor shows:
from 1, header and blank rows included. In Parquet and JSON arrays the first is row 1.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.errors import DataError, amount, first_line
from earmark.system import extras
from earmark.system.files import not_a_file

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
MAX_MANIFEST_BYTES = 1 << 30  # some ten million rows; a bigger "manifest" is something else

AUDIO_COLUMN = "audio"  # Hugging Face's data sets have recordings there, not paths
AUDIO_ROWS = 64  # of them in memory at a time
PLAIN_ROWS = 65_536

# A cell, or the string of a JSON line, in which a byte is not UTF-8.
_NOT_UTF8 = re.compile('[^,;\t\r\n"]*[\udc80-\udcff][^,;\t\r\n"]*')

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows with their numbers; ``name`` stands for it in errors, paths begin in ``folder``."""

    name: str
    columns: list[str]
    rows: Iterable[tuple[int, Row]]
    folder: Path


def read_table(manifest: Path, names: set[str], folder: Path | None = None) -> Table:
    """Open a manifest by its suffix; of Parquet, only the columns ``names`` are read."""
    columns, rows = _columns_and_rows(manifest, names, folder)
    return Table(str(manifest), columns, rows, folder or manifest.parent)


def columns_to_read(columns: Iterable[str], names: set[str]) -> list[str]:
    """Return which ``columns`` are among ``names``, and the recordings if nothing has paths."""
    columns = list(columns)
    needed = names if "path" in columns else names | {AUDIO_COLUMN}
    return [column for column in columns if column in needed]


def _columns_and_rows(
    manifest: Path, names: set[str], folder: Path | None
) -> tuple[list[str], Iterable[tuple[int, Row]]]:
    suffix = manifest.suffix.lower()
    if suffix not in MANIFEST_SUFFIXES:
        raise DataError(
            f"{manifest} is neither a folder nor a manifest; give one of "
            f"{', '.join(MANIFEST_SUFFIXES)}."
        )
    with _system_errors(manifest):
        if suffix == ".parquet":
            return _parquet(manifest, names)
    text = read_text(manifest, folder)
    return _csv(manifest, text) if suffix in (".csv", ".tsv") else _json(manifest, text)


def read_text(path: Path, folder: Path | None = None) -> str:
    """Read a text file, without a byte order mark; DataError where it cannot be read as UTF-8.

    Names of files, which begin in ``folder``, need not be UTF-8: they keep their bytes.
    """
    with _system_errors(path):
        content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = content.decode("utf-8-sig", "surrogateescape")
        if any(os.path.isfile((folder or path.parent) / name) for name in _NOT_UTF8.findall(text)):
            return text
        raise DataError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8.") from error


@contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    """Say why ``path`` is not read: it is a pipe, or the system's reason."""
    try:
        if problem := not_a_file(path):
            raise DataError(f"{path} {problem}; give a table that is a file.")
        size = path.stat().st_size
        if size > MAX_MANIFEST_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes, more than the {MAX_MANIFEST_BYTES:,} that a"
                " manifest may have; list paths instead of embedding audio, or split it."
            )
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or first_line(error)}; check its permissions."
        ) from error


def _csv(manifest: Path, text: str) -> tuple[list[str], Iterable[tuple[int, Row]]]:
    """Read delimited text; in a .csv the delimiter is the one that the header has most of."""
    header = text.lstrip().partition("\n")[0]
    delimiter = "\t" if manifest.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True)
    rows = _filled_rows(manifest, reader)
    columns = [name.strip() for name in next(rows, (1, []))[1]]
    repeated = [name for name in columns if name and columns.count(name) > 1]
    if repeated:
        raise DataError(f"{manifest} has two columns {repeated[0]!r}; rename one.")
    return columns, _named_rows(manifest, columns, rows)


def _filled_rows(manifest: Path, reader: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Number the rows from 1 and yield those that are not blank."""
    number = 0
    try:
        for number, row in enumerate(reader, 1):
            if any(cell.strip() for cell in row):
                yield number, row
    except csv.Error as error:
        raise DataError(f"{manifest}, row {number + 1}: {error}; mend its quotes.") from error


def _named_rows(
    manifest: Path, columns: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, Row]]:
    for number, row in rows:
        if len(row) != len(columns):
            raise DataError(
                f"{manifest}, row {number}: {amount(len(row), 'cell')}, but the header has"
                f" {len(columns)}; quote cells that contain the delimiter."
            )
        yield number, dict(zip(columns, row, strict=True))


def _json(manifest: Path, text: str) -> tuple[list[str], Iterable[tuple[int, Row]]]:
    """Read one JSON object per line, or one array of objects."""
    rows: list[tuple[int, Any]] = []
    number = 1
    try:
        if text.lstrip().startswith("["):
            rows = list(enumerate(json.loads(text), 1))
        else:
            for number, line in enumerate(text.split("\n"), 1):
                if line.strip():
                    rows.append((number, json.loads(line)))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{manifest}, row {number}: not JSON ({error}); write one object per line."
        ) from error
    for number, row in rows:
        if not isinstance(row, dict):
            raise DataError(f'{manifest}, row {number}: not an object; write {{"path": ...}}.')
    return list(dict.fromkeys(name for _, row in rows for name in row)), rows


def _parquet(manifest: Path, names: set[str]) -> tuple[list[str], Iterable[tuple[int, Row]]]:
    """Read the columns ``names``; embedded audio is read in batches, and only without paths."""
    pyarrow = extras.load("pyarrow", "parquet", f"reading {manifest}", DataError)
    pq = extras.load("pyarrow.parquet", "parquet", f"reading {manifest}", DataError)
    damage = (pyarrow.ArrowException, UnicodeDecodeError, OSError)

    def rows(batches: Iterable[Any]) -> Iterator[Row]:
        try:
            for batch in batches:
                yield from batch.to_pylist()
        except damage as error:
            raise DataError(
                f"{manifest} is damaged Parquet ({first_line(error)}); write it again."
            ) from error

    try:
        table = pq.ParquetFile(manifest)
        columns = list(table.schema_arrow.names)
    except damage as error:
        if getattr(error, "errno", None):
            raise  # the system's reason
        raise DataError(
            f"{manifest} is not Parquet ({first_line(error)}); write it again."
        ) from error
    selection = columns_to_read(columns, names)
    size = AUDIO_ROWS if AUDIO_COLUMN in selection else PLAIN_ROWS
    batches = table.iter_batches(size, columns=selection)
    if AUDIO_COLUMN in selection:
        return columns, enumerate(rows(batches), 1)
    return columns, list(enumerate(rows(batches), 1))
