"""Tables out of what other libraries hold: pandas and polars frames, Hugging Face data sets.

None of these libraries is imported unless one of its objects, or a folder that it saved, is given.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from earmark.errors import DataError
from earmark.manifests import AUDIO_COLUMN, Row, Table
from earmark.system.cache import cache_folder
from earmark.system.files import whole_file


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


def with_recordings(table: Table) -> Table:
    """Give a table without ``path`` that has ``audio`` a ``path``, writing embedded bytes to files.

    The bytes of a recording are copied, undecoded, into the folder of the cache, where a file's
    name is the hash of its content; a copy that is there already is used.
    """
    if "path" in table.columns or AUDIO_COLUMN not in table.columns:
        return table
    seen: Counter[str] = Counter()

    def rows() -> Iterator[tuple[int, Row]]:
        for number, row in table.rows:
            try:
                yield number, {**row, "path": _recording(row[AUDIO_COLUMN], seen)}
            except ValueError as error:
                raise DataError(f"{table.name}, row {number}: {error}.") from error

    return Table(table.name, [*table.columns, "path"], rows(), table.folder)


def is_saved(folder: Path) -> bool:
    """Say whether ``datasets`` saved this folder: one data set, or one a split."""
    one = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return one or (folder / "dataset_dict.json").is_file()


def load_saved(folder: Path) -> Any:
    """Open a folder that ``save_to_disk`` of Hugging Face's ``datasets`` wrote."""
    try:
        datasets = _library()
    except ImportError as error:
        raise DataError(
            f"{folder} was saved by Hugging Face's datasets, which is not installed; pip install"
            " 'earmark[datasets]', or give a manifest."
        ) from error
    try:
        return datasets.load_from_disk(str(folder))
    except Exception as error:  # of Arrow, of JSON, of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(
            f"{folder} cannot be opened as a data set: {reason}; save it anew."
        ) from error


def _library() -> Any:
    return importlib.import_module("datasets")


def hugging_face(data: Any, used: set[str]) -> tuple[list[str], Iterable[Row]]:
    """Return columns and rows of one data set, or of all splits, whose names are then ``split``.

    Recordings are taken as they are stored, as bytes or a path, and never decoded here. Numbers of
    classes become their names, and -1, which stands for none, nothing.
    """
    parts: Mapping[Any, Any] = data if isinstance(data, dict) else {None: data}
    opened = {split: _undecoded(part) for split, part in parts.items()}
    names = dict.fromkeys(name for _, columns in opened.values() for name in columns.values())
    if None not in parts:
        names |= {"split": None}
    rows = (row for split, part in opened.items() for row in _hf_rows(split, *part, used))
    return list(names), rows


def _undecoded(part: Any) -> tuple[Any, dict[str, str]]:
    """Return a data set that gives recordings as they are stored, and our names of its columns."""
    datasets = _library()
    if part.features is None:  # a stream that was never looked into
        part = part._resolve_features()
    columns = {name: name for name in part.column_names}
    found = [n for n, feature in part.features.items() if isinstance(feature, datasets.Audio)]
    if len(found) > 1 and AUDIO_COLUMN not in found:
        raise DataError(
            f"the data set has several columns of audio ({', '.join(found)}); rename the one that"
            f" is meant to {AUDIO_COLUMN}."
        )
    if found:
        column = AUDIO_COLUMN if AUDIO_COLUMN in found else found[0]
        part = part.cast_column(column, datasets.Audio(decode=False))
        columns[column] = AUDIO_COLUMN
        columns.pop("path", None)  # a name that the recording had once
    return (part.with_format(None) if hasattr(part, "with_format") else part), columns


def _hf_rows(split: Any, part: Any, columns: dict[str, str], used: set[str]) -> Iterator[Row]:
    wanted = [name for name, ours in columns.items() if ours in used or ours == AUDIO_COLUMN]
    for row in part.select_columns(wanted):
        named = {columns[n]: _class_names(part.features[n], value) for n, value in row.items()}
        yield named if split is None else {**named, "split": str(split)}


def _class_names(feature: Any, value: Any) -> Any:
    """Return the name, or list of names, of classes that are given as numbers; else the value."""
    if isinstance(value, list):
        inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
        return [_class_names(inner, item) for item in value]
    if isinstance(value, int) and hasattr(feature, "int2str"):
        return feature.int2str(value) if value >= 0 else None
    return value


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


def _recording(cell: Any, seen: Counter[str]) -> str:
    """Return the path of a recording that is given as a path, or as its bytes and a name."""
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, Mapping) or not (cell.get("bytes") or cell.get("path")):
        raise ValueError(
            f"{str(cell)[:60]} is no recording; give a path, or its bytes as"
            ' {"bytes": ..., "path": ...}'
        )
    content, name = cell.get("bytes"), str(cell.get("path") or "")
    if not content:
        return name
    digest = hashlib.sha256(content).hexdigest()[:32]
    seen[digest] += 1  # two rows of equal sound are two recordings, as two files would be
    again = f"-{seen[digest]}" if seen[digest] > 1 else ""
    path = cache_folder() / "recordings" / digest[:2] / f"{digest}{again}{Path(name).suffix}"
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
            f"{path} cannot be written: {error.strerror}; make room, or name another folder in"
            " EARMARK_CACHE."
        ) from error
