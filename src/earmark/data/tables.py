"""Read the table of a manifest: CSV, TSV, JSON lines, a JSON array or Parquet.

Rows have the number that a spreadsheet or editor shows: from 1, counting the header and blank rows.
In Parquet and JSON arrays the first row is row 1.
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
MAX_MANIFEST_BYTES = 1 << 30  # some ten million rows; a larger file cannot be a manifest

AUDIO_COLUMN = "audio"  # data sets of Hugging Face have recordings there, not paths
AUDIO_ROWS = 64  # rows with recordings in memory at a time
PLAIN_ROWS = 65_536

# A cell, or a string in a JSON line, with a byte that is not UTF-8.
_NOT_UTF8 = re.compile('[^,;\t\r\n"]*[\udc80-\udcff][^,;\t\r\n"]*')

_SPAN = ("start", "end", "label")
# How JSON of ``event_files`` begins.
_EVENTS = re.compile(r'\s*\{\s*"schema"\s*:\s*1\s*,\s*"recordings"\s*:\s*\[')

_LINE = re.compile("[^\r\n]*(?:\r\n|[\r\n])|[^\r\n]+")
_PARTS = re.compile(r"[/\\]")  # of a path

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows with their numbers. ``name`` is used in errors; paths start from ``folder``.

    ``notes`` say how the table was read if that is not obvious. ``has_decimal_commas`` says that
    1,234 means 1.234. ``unlabelled`` are recordings with a label track that has no label.
    ``is_embedded`` says that the rows have embeddings, so recordings may be missing.
    """

    name: str
    columns: list[str]
    rows: Iterable[tuple[int, Row]]
    folder: Path
    notes: tuple[str, ...] = ()
    has_decimal_commas: bool = False
    unlabelled: tuple[Path, ...] = ()
    is_embedded: bool = False


def read_table(
    manifest: Path, names: set[str], folder: Path | None = None, *, has_audio: bool = True
) -> Table:
    """Return the table of a manifest, by its suffix; of Parquet, only ``names`` are read.

    Without ``has_audio``, recordings in a column of Parquet are not read.
    """
    folder = folder or manifest.parent
    with _system_errors(manifest):
        _check_suffix(manifest)
        if manifest.suffix.lower() == ".parquet":
            return Table(str(manifest), *_parquet(manifest, names, has_audio), folder)
    text, note = decoded_text(manifest, folder)
    notes = (note,) if note else ()
    if manifest.suffix.lower() in (".csv", ".tsv"):
        delimiter, columns, rows = _csv(manifest, text, names)
        return Table(str(manifest), columns, rows, folder, notes, delimiter == ";")
    return Table(str(manifest), *_json(manifest, text), folder, notes)


def columns_to_read(columns: Iterable[str], names: set[str]) -> list[str]:
    """Return the ``columns`` among ``names``, with the column of recordings if none has paths."""
    columns = list(columns)
    in_use = columns_in_use(names)
    needed = [column for column in columns if plain(column) in in_use]
    if match("path", columns) is None and AUDIO_COLUMN in columns and AUDIO_COLUMN not in needed:
        needed.append(AUDIO_COLUMN)
    return needed


def _check_suffix(manifest: Path) -> None:
    if manifest.suffix.lower() not in MANIFEST_SUFFIXES:
        raise DataError(
            f"{manifest} is neither a folder nor a manifest. Give a folder, or a file that ends in "
            f"{', '.join(MANIFEST_SUFFIXES)}."
        )


def decoded_text(path: Path, folder: Path | None = None) -> tuple[str, str | None]:
    """Return a text file without a byte order mark, and a note on its encoding, or None.

    File names (from ``folder``) need not be UTF-8. If the text has such names of existing files,
    these cells keep their bytes, and the other cells are decoded separately. Raises DataError if
    the encoding is not clear, or if the text has a NUL character.
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
            f"{path}, line {line}: there is a NUL character, so the file is damaged or not text."
            " Save it again as UTF-8."
        )
    return text, None if note is None else f"{path} {note}"


def _files_named(text: str, folder: Path) -> set[str]:
    """Return the cells of ``text`` that are not UTF-8 and name existing files."""
    names = set()
    for cell in set(_NOT_UTF8.findall(text)):
        plain = cell.strip().replace("\\", "/")
        if os.path.isfile(folder / plain) or os.path.isfile(folder / plain.rpartition("/")[2]):
            names.add(cell)
    return names


def _around(raw: str, names: set[str]) -> tuple[str, str | None]:
    """Decode the cells that have no part of ``names`` as Windows-1252, if that is clear."""
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
    """Raise a DataError if ``path`` is not a file, is too large, or cannot be read."""
    try:
        if problem := not_a_file(path):
            raise DataError(f"{path} {problem}. Give a table that is a file.")
        size = path.stat().st_size
        if size > MAX_MANIFEST_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes, but a manifest may have at most"
                f" {MAX_MANIFEST_BYTES:,}. List paths instead of embedding audio, or split it."
            )
        yield
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or first_line(error)}. Check its permissions."
        ) from error


_SEP = re.compile(r"\s*\"?sep=(.)\"?[^\S\r\n]*\r?\n", re.IGNORECASE)  # a first line for Excel


def _csv(
    manifest: Path, text: str, names: set[str]
) -> tuple[str, list[str], Iterable[tuple[int, Row]]]:
    """Return the delimiter, columns and rows; the delimiter is the most frequent in the header.

    Two columns with the same name are refused only if that name is among ``names``. Blank cells
    beyond the header are ignored.
    """
    sep = _SEP.match(text)
    header = re.split(r"[\r\n]", text[sep.end() if sep else 0 :].lstrip(), maxsplit=1)[0]
    candidates = "\t,;|" if manifest.suffix.lower() == ".tsv" else ",;\t|"
    delimiter = sep[1] if sep else max(candidates, key=header.count)
    start = sep.end() if sep else 0
    lines = (line[0] for line in _LINE.finditer(text, start))  # StringIO takes 4 times the memory
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a cell may be that long
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True)
    rows = _filled_rows(manifest, reader, 2 if sep else 1)
    columns = [name.strip() for name in next(rows, (1, []))[1]]
    while columns and not columns[-1]:
        columns.pop()
    in_use = columns_in_use(names)
    repeated = [c for c in columns if c and columns.count(c) > 1 and plain(c) in in_use]
    if repeated:
        raise DataError(f"{manifest} has two columns {repeated[0]!r}. Rename one.")
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
        raise DataError(f"{manifest}, row {number + 1}: {error}. Correct its quotes.") from error


def _named_rows(
    manifest: Path, columns: list[str], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, Row]]:
    for number, row in rows:
        while len(row) > len(columns) and not row[-1].strip():
            row.pop()
        if len(row) != len(columns):
            raise DataError(
                f"{manifest}, row {number}: it has {amount(len(row), 'cell')}, but the header has"
                f" {len(columns)}. Put cells that contain the delimiter in quotes."
            )
        yield number, dict(zip(columns, row, strict=True))


def _json(manifest: Path, text: str) -> tuple[list[str], Iterable[tuple[int, Row]]]:
    """Return the columns and rows of JSON: one object per line, or one array of objects.

    The events that ``event_files`` writes are one object.
    """
    if _EVENTS.match(text):
        rows_of_events = list(_events(manifest, text))
        names = (name for row in rows_of_events for name in row)
        return list(dict.fromkeys(("path", *_SPAN, *names))), enumerate(rows_of_events, 1)
    is_array = text.lstrip().startswith("[")
    objects: list[Row] = _objects(manifest, 1, text) if is_array else []

    def rows() -> Iterator[tuple[int, Row]]:  # only one object is in memory, except in an array
        if is_array:
            yield from enumerate(objects, 1)
            return
        for number, line in enumerate(_lines(text), 1):
            if line.strip():
                yield number, _objects(manifest, number, line)

    columns: dict[str, None] = {}
    for number, row in rows():
        if not isinstance(row, dict):
            raise DataError(f'{manifest}, row {number}: not an object. Write {{"path": ...}}.')
        columns |= dict.fromkeys(row)
    return list(columns), rows()


def _events(manifest: Path, text: str) -> Iterator[Row]:
    """Yield a row for each event, and one with only a path for a recording without events."""
    for number, recording in enumerate(_objects(manifest, 1, text)["recordings"], 1):
        events = recording.get("events") if isinstance(recording, dict) else None
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise DataError(
                f"{manifest}: recording {number} has no list of events. Write the file again."
            )
        about = {name: cell for name, cell in recording.items() if name != "events"}
        for event in events or [{}]:
            yield {**dict.fromkeys(_SPAN), **about, **event}


def _lines(text: str) -> Iterator[str]:
    r"""Yield the parts of ``text.split("\n")``, without having all of them in memory."""
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
            f"{manifest}, row {number}: not JSON ({error}). Write one object per line."
        ) from error


def _parquet(
    manifest: Path, names: set[str], has_audio: bool
) -> tuple[list[str], Iterable[tuple[int, Row]]]:
    """Return the columns and rows of Parquet, with only ``names`` and any embedded audio read."""
    pyarrow = extras.load("pyarrow", "parquet", f"reading {manifest}", DataError)
    pq = extras.load("pyarrow.parquet", "parquet", f"reading {manifest}", DataError)
    damage = (pyarrow.ArrowException, UnicodeDecodeError, OSError)

    def rows(batches: Iterable[Any]) -> Iterator[Row]:
        try:
            for batch in batches:
                yield from batch.to_pylist()
        except damage as error:
            raise DataError(
                f"{manifest} is a damaged Parquet file ({first_line(error)}). Write it again."
            ) from error

    try:
        table = pq.ParquetFile(manifest)
        columns = list(table.schema_arrow.names)
    except damage as error:
        if getattr(error, "errno", None):
            raise  # the file system's error
        raise DataError(
            f"{manifest} is not a Parquet file ({first_line(error)}). Write it again."
        ) from error
    selection = columns_to_read(columns, names)
    if not has_audio:
        selection = [name for name in selection if name != AUDIO_COLUMN]
    size = AUDIO_ROWS if AUDIO_COLUMN in selection else PLAIN_ROWS
    batches = table.iter_batches(size, columns=selection)
    return columns, enumerate(rows(batches), 1)
