"""Read the table of a manifest: CSV, TSV, JSON lines, a JSON array, Parquet.

A table is the names of its columns, and rows with the number that a spreadsheet or editor shows:
from 1, header and blank rows included. In Parquet and JSON arrays the first is row 1.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.data.columns import columns_in_use, match, plain
from earmark.data.encodings import decode
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

_LINE = re.compile("[^\r\n]*(?:\r\n|[\r\n])|[^\r\n]+")
_PARTS = re.compile(r"[/\\]")  # of a path

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows with their numbers; ``name`` stands for it in errors, paths begin in ``folder``.

    ``notes`` say how it was read, where that is not plain. ``has_decimal_commas`` says that 1,234
    is a little more than 1.
    """

    name: str
    columns: list[str]
    rows: Iterable[tuple[int, Row]]
    folder: Path
    notes: tuple[str, ...] = ()
    has_decimal_commas: bool = False


def read_table(manifest: Path, names: set[str], folder: Path | None = None) -> Table:
    """Open a manifest by its suffix; of Parquet, only the columns ``names`` are read."""
    folder = folder or manifest.parent
    with _system_errors(manifest):
        _check_suffix(manifest)
        if manifest.suffix.lower() == ".parquet":
            return Table(str(manifest), *_parquet(manifest, names), folder)
    text, note = decoded_text(manifest, folder)
    notes = (note,) if note else ()
    if manifest.suffix.lower() in (".csv", ".tsv"):
        delimiter, columns, rows = _csv(manifest, text, names)
        return Table(str(manifest), columns, rows, folder, notes, delimiter == ";")
    return Table(str(manifest), *_json(manifest, text), folder, notes)


def columns_to_read(columns: Iterable[str], names: set[str]) -> list[str]:
    """Return which ``columns`` are among ``names``, and the recordings if nothing has paths."""
    columns = list(columns)
    in_use = columns_in_use(names)
    needed = [column for column in columns if plain(column) in in_use]
    if match("path", columns) is None and AUDIO_COLUMN in columns and AUDIO_COLUMN not in needed:
        needed.append(AUDIO_COLUMN)
    return needed


def _check_suffix(manifest: Path) -> None:
    if manifest.suffix.lower() not in MANIFEST_SUFFIXES:
        raise DataError(
            f"{manifest} is neither a folder nor a manifest; give one of "
            f"{', '.join(MANIFEST_SUFFIXES)}."
        )


def decoded_text(path: Path, folder: Path | None = None) -> tuple[str, str | None]:
    """Read a text file, without a byte order mark; return what to know of its encoding, too.

    Names of files, which begin in ``folder``, need not be UTF-8: where the text names such a file,
    these cells keep their bytes, and the others are read for themselves. DataError where its
    encoding is not clear, and where it holds NUL, which no text does.
    """
    with _system_errors(path):
        content = path.read_bytes()
    unclear: ValueError | None = None
    text, note = "", None
    try:
        text, note = decode(content)
    except ValueError as error:
        unclear = error
    if unclear is not None or note is not None:
        raw = content.decode("utf-8-sig", "surrogateescape")
        if names := _files_named(raw, folder or path.parent):
            text, note = _around(raw, names)
        elif unclear is not None:
            raise DataError(f"{path} {unclear}.") from unclear
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}, line {line}: it holds a NUL character, which no text has; it may be damaged,"
            " or no text at all: save it again as UTF-8."
        )
    return text, None if note is None else f"{path} {note}"


def _files_named(text: str, folder: Path) -> set[str]:
    """Return the cells of ``text`` that are not UTF-8 and are names of files, in some folder."""
    names = set()
    for cell in set(_NOT_UTF8.findall(text)):
        plain = cell.strip().replace("\\", "/")
        if os.path.isfile(folder / plain) or os.path.isfile(folder / plain.rpartition("/")[2]):
            names.add(cell)
    return names


def _around(raw: str, names: set[str]) -> tuple[str, str | None]:
    """Read the cells that share nothing with ``names`` as Windows-1252, if that is clear."""
    parts = {part for name in names for part in _PARTS.split(name.strip())}
    cells = [cell for cell in _NOT_UTF8.findall(raw) if parts.isdisjoint(_PARTS.split(cell))]
    try:
        _, note = decode(os.fsencode("\n".join(cells)))
    except ValueError:
        return raw, None
    text = {cell: decode(os.fsencode(cell))[0] for cell in cells}
    return _NOT_UTF8.sub(lambda cell: text.get(cell[0], cell[0]), raw), note


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


_SEP = re.compile(r"\s*\"?sep=(.)\"?[^\S\r\n]*\r?\n", re.IGNORECASE)  # Excel's first line


def _csv(
    manifest: Path, text: str, names: set[str]
) -> tuple[str, list[str], Iterable[tuple[int, Row]]]:
    """Read delimited text; the delimiter is the one that the header has most of.

    Two columns of one name are refused only where that name is among ``names``. Blank cells beyond
    the header are dropped.
    """
    named = _SEP.match(text)
    header = re.split(r"[\r\n]", text[named.end() if named else 0 :].lstrip(), maxsplit=1)[0]
    candidates = "\t,;|" if manifest.suffix.lower() == ".tsv" else ",;\t|"
    delimiter = named[1] if named else max(candidates, key=header.count)
    start = named.end() if named else 0
    lines = (line[0] for line in _LINE.finditer(text, start))  # a StringIO would take four times
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a cell may be as long as that
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True)
    rows = _filled_rows(manifest, reader, 2 if named else 1)
    columns = [name.strip() for name in next(rows, (1, []))[1]]
    while columns and not columns[-1]:
        columns.pop()
    in_use = columns_in_use(names)
    repeated = [c for c in columns if c and columns.count(c) > 1 and plain(c) in in_use]
    if repeated:
        raise DataError(f"{manifest} has two columns {repeated[0]!r}; rename one.")
    return delimiter, columns, _named_rows(manifest, columns, rows)


def _filled_rows(
    manifest: Path, reader: Iterable[list[str]], first: int = 1
) -> Iterator[tuple[int, list[str]]]:
    """Number the rows from ``first`` and yield those that are not blank."""
    number = first - 1
    try:
        for number, row in enumerate(reader, first):
            if any(cell.strip() for cell in row):
                yield number, row
    except csv.Error as error:
        raise DataError(f"{manifest}, row {number + 1}: {error}; mend its quotes.") from error


def _named_rows(
    manifest: Path, columns: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, Row]]:
    for number, row in rows:
        while len(row) > len(columns) and not row[-1].strip():
            row.pop()
        if len(row) != len(columns):
            raise DataError(
                f"{manifest}, row {number}: {amount(len(row), 'cell')}, but the header has"
                f" {len(columns)}; quote cells that contain the delimiter."
            )
        yield number, dict(zip(columns, row, strict=True))


def _json(manifest: Path, text: str) -> tuple[list[str], Iterable[tuple[int, Row]]]:
    """Read one JSON object per line, or one array of objects."""
    is_array = text.lstrip().startswith("[")
    objects: list[Row] = _objects(manifest, 1, text) if is_array else []

    def rows() -> Iterator[tuple[int, Row]]:  # of lines, no more than one is in memory
        if is_array:
            yield from enumerate(objects, 1)
            return
        for number, line in enumerate(_lines(text), 1):
            if line.strip():
                yield number, _objects(manifest, number, line)

    names: dict[str, None] = {}
    for number, row in rows():
        if not isinstance(row, dict):
            raise DataError(f'{manifest}, row {number}: not an object; write {{"path": ...}}.')
        names |= dict.fromkeys(row)
    return list(names), rows()


def _lines(text: str) -> Iterator[str]:
    """Yield what ``text.split`` returns of its lines."""
    start = 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _objects(manifest: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{manifest}, row {number}: not JSON ({error}); write one object per line."
        ) from error


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
    return columns, enumerate(rows(batches), 1)
