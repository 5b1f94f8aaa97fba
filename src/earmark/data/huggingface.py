"""Data sets of Hugging Face's ``datasets`` as tables; the library is imported when one is given."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from earmark.data.tables import AUDIO_COLUMN, Row
from earmark.errors import DataError


def is_saved(folder: Path) -> bool:
    """Say whether ``datasets`` saved this folder: one data set, or one a split."""
    one = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return one or (folder / "dataset_dict.json").is_file()


def load_saved(folder: Path) -> Any:
    """Open a folder that ``save_to_disk`` of Hugging Face's ``datasets`` wrote."""
    try:
        datasets = library()
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


def library() -> Any:
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
    datasets = library()
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
