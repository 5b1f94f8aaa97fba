"""Turn X, y and groups of a scikit-learn estimator into clips."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.source import BytesSource, SampleSource
from earmark.classifier.samples import samples_of
from earmark.data.clip import Clip
from earmark.errors import (
    AudioError,
    AudioInputError,
    DataError,
    EarmarkError,
    InputError,
    ModelError,
    StoreError,
    WeightsError,
    amount,
)

GIVE = "Give a list of paths or arrays, a column of a data frame, or a 2-D array of waveforms"
_NO_INPUT_ERRORS = (ModelError, StoreError, WeightsError)  # have another cause than an argument


@contextlib.contextmanager
def as_input_errors() -> Iterator[None]:
    """Raise errors that an argument causes as ValueErrors, which scikit-learn expects."""
    try:
        yield
    except AudioError as error:
        raise AudioInputError(error.path, error.reason, error.kind) from error
    except _NO_INPUT_ERRORS:
        raise
    except EarmarkError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(str(error)) from error


def clips_of(X: Any, rate_hz: int | None) -> tuple[list[Clip], int | None]:
    """Return a clip for each recording in ``X``, and the width n if it is a 2-D array, else None.

    ``X`` is a list or an object array of recordings, a column of a data frame, or a 2-D array
    (N, n) with a waveform in each row. A recording is a path, the bytes of a file, an array (n,) or
    (n, channels), a mapping with 'array' and 'sampling_rate', or a clip. Arrays without a rate of
    their own are at ``rate_hz``. Raises InputError, or what scikit-learn raises for a 2-D array
    that is not one of numbers.
    """
    items, width = _items(X), None
    if items is None:
        items = _rows(X)
        width = len(items[0])
    clips = [_clip(item, f"X[{number}]", rate_hz) for number, item in enumerate(items)]
    if not clips:
        raise InputError(f"X has 0 clips (0 sample(s)), but at least 1 is needed. {GIVE}.")
    return clips, width


def labelled(clips: Sequence[Clip], labels: Sequence[str], groups: Any) -> tuple[Clip, ...]:
    """Return the clips with their labels and, unless ``groups`` is None, their groups.

    A single group says nothing about how to divide the clips, so it is left out.
    """
    names: list[str | None] = [None] * len(clips)
    if groups is not None:
        values = listed(groups)
        check_length(values, clips, "groups")
        lost = next((number for number, value in enumerate(values) if _is_missing(value)), None)
        if lost is not None:
            raise InputError(
                f"groups[{lost}] is missing. Give a group for every clip, or no groups."
            )
        if len(set(values)) > 1:
            names = [str(value) for value in values]
    return tuple(
        replace(clip, label=label, group=group, fold=None, split=None)
        for clip, label, group in zip(clips, labels, names, strict=True)
    )


def check_length(values: Sequence[Any], clips: Sequence[Clip], name: str) -> None:
    """Raise InputError if ``values`` of an argument are more or fewer than the clips of X."""
    if len(values) != len(clips):
        raise InputError(
            f"{name} has {len(values):,} values, but X has {amount(len(clips), 'clip')}. Give one"
            " value for each clip."
        )


def listed(values: Any) -> list[Any]:
    """Return an array, a column of a data frame or another sequence as a list."""
    column = _column(values)
    if column is not None:
        return column
    return list(np.asarray(values).tolist() if hasattr(values, "__array__") else values)


def _items(X: Any) -> list[Any] | None:
    """Return the recordings of ``X``, or None if it must be a 2-D array of waveforms."""
    if hasattr(X, "toarray"):  # a sparse matrix, which scikit-learn refuses
        return None
    if X is None or isinstance(X, (str, os.PathLike, bytes, bytearray, Mapping, Clip)):
        raise InputError(f"X is {_named(X)}, but a list is needed. {GIVE}.")
    column = _column(X)
    if column is not None:
        return _refuse_one_waveform(column)
    _refuse_table(X)
    if hasattr(X, "__array__"):
        array = np.asarray(X)
        if array.ndim == 1:
            return _refuse_one_waveform(list(array))
        is_text = array.dtype.kind in "US" or (array.dtype == object and _is_column(array))
        return list(array[:, 0]) if array.ndim == 2 and array.shape[1] == 1 and is_text else None
    try:
        items = list(X)
    except TypeError:
        raise InputError(f"X is a {type(X).__name__}. {GIVE}.") from None
    lists = [isinstance(item, (list, tuple)) for item in items]
    if items and all(lists) and len(set(map(len, items))) == 1:
        return None
    return _refuse_one_waveform(items)


def _is_column(array: np.ndarray) -> bool:
    """Say whether an object array (N, 1) has recordings rather than numbers."""
    return array.shape[1:] == (1,) and not any(map(_is_number, array[:, 0]))


def _column(values: Any) -> list[Any] | None:
    """Return the cells of a column, or of a data frame with a single column; else None."""
    import narwhals.stable.v2 as nw

    native = nw.from_native(values, allow_series=True, pass_through=True)
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    if isinstance(native, nw.DataFrame):
        if len(native.columns) != 1 or native[native.columns[0]].dtype.is_numeric():
            return None
        native = native[native.columns[0]]
    if not isinstance(native, nw.Series):
        return None
    missing = native.is_null().to_list()
    return [None if m else cell for cell, m in zip(native.to_list(), missing, strict=True)]


def _refuse_table(X: Any) -> None:
    """Refuse a data frame that has text, such as paths, beside other columns."""
    import narwhals.stable.v2 as nw

    frame = nw.from_native(X, pass_through=True)
    if isinstance(frame, (nw.DataFrame, nw.LazyFrame)):
        texts = [name for name, kind in frame.collect_schema().items() if kind == nw.String]
        if texts:
            raise InputError(
                f"X is a data frame with several columns, but one column of recordings is needed."
                f" Give it alone, such as X[{texts[0]!r}]."
            )


def _refuse_one_waveform(items: list[Any]) -> list[Any]:
    if items and all(map(_is_number, items)):
        raise InputError(
            f"X is one list of {len(items):,} numbers, but a list of recordings is needed. Reshape"
            " your data, such as X[None], if it is one waveform."
        )
    return items


def _rows(X: Any) -> list[np.ndarray]:
    """Return the rows of a 2-D array of numbers; scikit-learn says what is wrong with others."""
    from sklearn.utils.validation import check_array

    names = signature(check_array).parameters
    finite = "ensure_all_finite" if "ensure_all_finite" in names else "force_all_finite"  # till 1.5
    table = check_array(X, dtype="numeric", **{finite: False})
    wrong = ~np.isfinite(table).all(1)
    if wrong.any():
        raise InputError(
            f"X[{int(wrong.argmax())}] has samples that are NaN or infinite (inf). Repair or remove"
            " that waveform."
        )
    return list(table)


def _clip(item: Any, name: str, rate_hz: int | None) -> Clip:
    """Return one recording of X as a clip."""
    if isinstance(item, Clip):
        return item
    if isinstance(item, (str, os.PathLike)) and os.fspath(item):
        return Clip(Path(os.fspath(item)))
    if isinstance(item, (bytes, bytearray, memoryview)):
        return Clip(Path(name), recording=BytesSource(bytes(item), name))
    samples, own_hz = samples_of(item, name)
    if isinstance(samples, (list, tuple)):
        samples = _floats(samples, name)
    if samples is None or not hasattr(samples, "__array__") or np.ndim(samples) == 0:
        raise InputError(f"{name} is {_named(item)}, which is not a recording. {GIVE}.")
    rate_hz = rate_hz if own_hz is None else own_hz
    source = SampleSource.of(samples, rate_hz, f"the samples of {name}")
    return Clip(Path(name), recording=replace(source, name=name))


def _floats(samples: Sequence[Any], name: str) -> np.ndarray:
    try:
        return np.asarray(samples, float)
    except (TypeError, ValueError):
        raise InputError(f"{name} is not a waveform of numbers. {GIVE}.") from None


def _is_number(item: Any) -> bool:
    return isinstance(item, (int, float, complex, np.number, np.bool_))


def _is_missing(item: Any) -> bool:
    return item is None or (isinstance(item, float) and math.isnan(item))


def _named(item: Any) -> str:
    """Return the kind of an object in words."""
    if _is_missing(item):
        return "missing"
    if isinstance(item, (str, os.PathLike)):
        return "one path" if os.fspath(item) else "an empty path"
    return f"a {type(item).__name__}"


def check_labels(labels: Sequence[str]) -> None:
    """Raise DataError for a class that has a single clip, or whose name is blank."""
    blank = next((label for label in labels if not label.strip()), None)
    if blank is not None:
        raise DataError(f"y has the class {blank!r}, whose name is blank. Give it a name.")
    counts = Counter(labels)
    if len(counts) < 2:
        raise DataError(
            f"y has only 1 class, {labels[0]!r}, but at least 2 are needed. Add recordings of"
            " another class."
        )
    few = [label for label, count in counts.items() if count < 2]
    if few:
        raise DataError(
            f"class {few[0]!r} has 1 clip, but at least 2 are needed: one to train on and one to"
            " select by. Add recordings, or remove the class."
        )
