"""Recordings that a table holds as bytes: in files of the cache, or in place, named by row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from earmark.data.columns import match
from earmark.data.tables import AUDIO_COLUMN, Row, Table, read_table
from earmark.errors import DataError
from earmark.system import extras
from earmark.system.cache import cache_folder
from earmark.system.files import whole_file
from earmark.system.objects import MEMBER


def rows_in_place(manifest: Path, names: set[str], folder: Path | None) -> Table | None:
    """Return the table of a Parquet file whose rows all have recordings, without reading those.

    Its column ``path`` names each recording by its row, from 0: ``FILE.parquet::ROW``. None for any
    other table.
    """
    if manifest.suffix.lower() != ".parquet" or not manifest.is_file():
        return None
    table = read_table(manifest, names, folder, has_audio=False)
    if match("path", table.columns) is not None or not _has_all_bytes(manifest):
        return None

    def rows() -> Iterator[tuple[int, Row]]:
        for number, row in table.rows:
            yield number, {**row, "path": f"{manifest}{MEMBER}{number - 1}"}

    columns = [name for name in table.columns if name != AUDIO_COLUMN]
    return replace(table, columns=[*columns, "path"], rows=rows())


def _has_all_bytes(manifest: Path) -> bool:
    """Return whether the column of audio has bytes in each row, by the statistics of the file."""
    pq = extras.load("pyarrow.parquet", "parquet", f"reading {manifest}", DataError)
    metadata = pq.ParquetFile(manifest).metadata
    groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
    chunks = [
        [column for column in map(group.column, range(group.num_columns))
         if column.path_in_schema == f"{AUDIO_COLUMN}.bytes"]
        for group in groups
    ]  # fmt: skip
    return bool(chunks) and all(
        len(own) == 1 and (s := own[0].statistics) and s.has_null_count and s.null_count == 0
        for own in chunks
    )


def with_recordings(table: Table, path: str = "path") -> Table:
    """Return the table with a ``path`` column if it has ``audio`` instead; else unchanged.

    If the column ``path`` is ``audio`` itself, its cells become paths.

    Embedded recordings are copied into the cache folder without decoding. The name of each file is
    the hash of its content, and an existing file is not written again.
    """
    if AUDIO_COLUMN not in table.columns:
        return table
    if path != AUDIO_COLUMN and match(path, table.columns) is not None:
        return table
    name = AUDIO_COLUMN if path == AUDIO_COLUMN else "path"
    copies: Counter[str] = Counter()

    def rows() -> Iterator[tuple[int, Row]]:
        for number, row in table.rows:
            try:
                yield number, {**row, name: _recording(row[AUDIO_COLUMN], copies)}
            except ValueError as error:
                raise DataError(f"{table.name}, row {number}: {error}.") from error

    columns = list(dict.fromkeys([*table.columns, name]))
    return replace(table, columns=columns, rows=rows())


def _recording(cell: object, copies: Counter[str]) -> str:
    """Return the path of a recording that a cell gives as a path, or as bytes and a name.

    ``copies`` counts the rows with the same content: each such row is a recording of its own.
    """
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, Mapping) or not (cell.get("bytes") or cell.get("path")):
        raise ValueError(
            f"{str(cell)[:60]} is not a recording. Give a path, or its bytes as"
            ' {"bytes": ..., "path": ...}'
        )
    content, name = cell.get("bytes"), str(cell.get("path") or "")
    if not content:
        return name
    digest = hashlib.sha256(content).hexdigest()[:32]
    copies[digest] += 1
    number = f"-{copies[digest]}" if copies[digest] > 1 else ""
    path = cache_folder() / "recordings" / digest[:2] / f"{digest}{number}{Path(name).suffix}"
    if not path.is_file() or path.stat().st_size != len(content):
        _write(path, content)
    return str(path)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror}. Free some space, or set EARMARK_CACHE to"
            " another folder."
        ) from error
