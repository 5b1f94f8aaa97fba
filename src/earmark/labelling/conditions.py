"""Conditions on the columns of recordings: ``site=north``, ``date>=2024-05``."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from earmark.errors import DataError, EarmarkError, did_you_mean

if TYPE_CHECKING:
    from earmark.embeddings.archive import ArchiveRecording

OWN = ("path", "dataset")  # columns that every recording has
_CONDITION = re.compile(r"\s*([^=!<>]+?)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.S)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """A column, a comparison and a value.

    ``=`` and ``!=`` compare texts and allow ``*`` in the value. The others compare numbers if both
    sides are numbers, else texts, so that dates like 2024-05-01 are in order.
    """

    column: str
    sign: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Return the condition that is written COLUMN=VALUE; EarmarkError otherwise."""
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise EarmarkError(
                f"--where is {text!r}. Give COLUMN=VALUE, such as site=north or date>=2024-05."
            )
        return cls(*match.groups())

    def holds(self, recording: ArchiveRecording) -> bool:
        """Return whether a recording meets it; one without the column meets only ``!=``."""
        own = cell_of(recording, self.column)
        if self.sign in ("=", "!="):
            return fnmatch.fnmatchcase(own, self.value) == (self.sign == "=")
        if not own:
            return False
        try:
            return _ORDERS[self.sign](float(own), float(self.value))
        except ValueError:
            return _ORDERS[self.sign](own, self.value)


def check_columns(conditions: Sequence[Condition], recordings: Iterable[ArchiveRecording]) -> None:
    """Refuse conditions on columns that no recording has."""
    recordings = list(recordings)
    for condition in conditions:
        check_column(condition.column, recordings)


def check_column(column: str, recordings: Iterable[ArchiveRecording]) -> None:
    """Refuse a column that no recording has."""
    columns = set(OWN)
    for recording in recordings:
        columns |= recording.columns.keys()
    if column not in columns:
        raise DataError(
            f"no recording of the archive has a column {column!r}."
            f"{did_you_mean(column, columns)} Its columns are {', '.join(sorted(columns))}."
        )


def cell_of(recording: ArchiveRecording, column: str) -> str:
    """Return the cell of a column of a recording; empty if it does not have the column."""
    if column in recording.columns:
        return recording.columns[column]
    return str(getattr(recording, column)) if column in OWN else ""
