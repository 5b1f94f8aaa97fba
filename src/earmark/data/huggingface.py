"""Read data sets of Hugging Face's ``datasets`` as tables; it is imported at its first use."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from earmark.data.tables import AUDIO_COLUMN, Row, columns_to_read
from earmark.errors import DataError, first_line


def is_saved(folder: Path) -> bool:
    """Return whether ``datasets`` saved this folder: one data set, or one for each split."""
    is_one = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return is_one or (folder / "dataset_dict.json").is_file()


def load_saved(folder: Path) -> Any:
    """Open a folder that ``save_to_disk`` of Hugging Face's ``datasets`` wrote."""
    try:
        datasets = library()
    except ImportError as error:
        raise DataError(
            f"{folder} was saved by Hugging Face's datasets, which is not installed. Run: pip"
            " install datasets. Or give a manifest."
        ) from error
    try:
        return datasets.load_from_disk(str(folder))
    except Exception as error:  # errors of Arrow, of JSON, of datasets
        raise DataError(
            f"cannot open {folder} as a data set: {first_line(error)}. Save it again."
        ) from error


def library() -> Any:
    return importlib.import_module("datasets")


def hugging_face(data: Any, names: set[str]) -> tuple[list[str], Iterable[Row]]:
    """Return the columns and rows of a data set, or of all its splits with a column ``split``.

    Recordings are not decoded: they stay bytes or a path. Class numbers become class names, and -1,
    which means no class, becomes None.
    """
    splits: Mapping[str | None, Any] = data if isinstance(data, dict) else {None: data}
    parts = {split: _undecoded(part) for split, part in splits.items()}
    columns = dict.fromkeys(ours for _, our_name in parts.values() for ours in our_name.values())
    if None not in parts:
        columns |= {"split": None}
    rows = (row for split, part in parts.items() for row in _hf_rows(split, *part, names))
    return list(columns), rows


def _undecoded(part: Any) -> tuple[Any, dict[str, str]]:
    """Return the data set without decoding of recordings, and our name of each column."""
    datasets = library()
    if part.features is None:  # a stream that was not read yet
        part = part._resolve_features()
    our_name = {name: name for name in part.column_names}
    recordings = [n for n, feature in part.features.items() if isinstance(feature, datasets.Audio)]
    if len(recordings) > 1 and AUDIO_COLUMN not in recordings:
        raise DataError(
            f"the data set has several columns of audio ({', '.join(recordings)}). Rename the one"
            f" to use to {AUDIO_COLUMN!r}."
        )
    if recordings:
        column = AUDIO_COLUMN if AUDIO_COLUMN in recordings else recordings[0]
        part = part.cast_column(column, datasets.Audio(decode=False))
        our_name[column] = AUDIO_COLUMN
        our_name.pop("path", None)  # an old path of the recording
    return (part.with_format(None) if hasattr(part, "with_format") else part), our_name


def _hf_rows(
    split: str | None, part: Any, our_name: dict[str, str], names: set[str]
) -> Iterator[Row]:
    needed = columns_to_read(our_name.values(), names)
    for row in part.select_columns([name for name, ours in our_name.items() if ours in needed]):
        cells = {our_name[n]: _class_names(part.features[n], cell) for n, cell in row.items()}
        yield cells if split is None else {**cells, "split": str(split)}


def _class_names(feature: Any, value: Any) -> Any:
    """Return class names for class numbers, alone or in a list; other values stay unchanged."""
    if isinstance(value, list):
        inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
        return [_class_names(inner, item) for item in value]
    if isinstance(value, int) and hasattr(feature, "int2str"):
        return feature.int2str(value) if value >= 0 else None
    return value
