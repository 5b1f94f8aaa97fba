"""A folder of parts: what its parts share, which of them are whole, and the table of all."""

from __future__ import annotations

import collections
import csv
import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields
from pathlib import Path

from earmark.embeddings.part import Part, PartSettings
from earmark.embeddings.part_files import PartError, PartSummary, check_part
from earmark.embeddings.share import ALL, Share
from earmark.errors import EarmarkError, EarmarkWarning
from earmark.system.files import file_sha256, not_a_file, write_whole
from earmark.system.jsons import json_text, strict_json
from earmark.system.text import to_csv

SETTINGS = "parts.json"
TABLE = "parts.csv"  # of a share: parts-I-of-N.csv
MAX_SETTINGS_BYTES = 1 << 20
MAX_TABLE_BYTES = 1 << 28  # a million parts
MACHINE_DIGITS = 8  # hexadecimal, in the name of a file
COLUMNS = [field.name for field in fields(PartSummary)]

_PART = re.compile(r"(part-\d{6,}-[0-9a-f]+)-[0-9a-f]+\.parquet")
_TABLE = re.compile(r"parts(-\d+-of-\d+)?\.csv")


class PartFolder:
    """The folder ``path`` with the parts of one backbone, created if necessary.

    Raises EarmarkError if it has other files, or parts with other settings.
    """

    def __init__(self, path: Path, settings: PartSettings) -> None:
        self.path, self.settings = path, settings
        try:
            path.mkdir(parents=True, exist_ok=True)
            names = sorted(os.listdir(path))
        except OSError as error:
            raise EarmarkError(
                f"cannot write into the folder {path}: {error.strerror}. Name another folder."
            ) from error
        if SETTINGS not in names:
            if any(not name.startswith(".") for name in names):
                raise EarmarkError(
                    f"{path} has files but no {SETTINGS}, so it is no folder of parts. Name an"
                    " empty folder or a new one."
                )
            write_whole(path / SETTINGS, f"{json_text(settings.to_json(), indent=2)}\n".encode())
        self._check_settings()
        self._files = collections.defaultdict[str, list[str]](list)
        for name in names:
            if match := _PART.fullmatch(name):
                self._files[match[1]].append(name)
        self._known = {
            row.file: row for name in names if _TABLE.fullmatch(name) for row in self._rows(name)
        }

    def _check_settings(self) -> None:
        theirs, ours = read_settings(self.path), self.settings.to_json()
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise EarmarkError(
                    f"{self.path} has parts with {name} {theirs.get(name)!r}, but this run has"
                    f" {value!r}. Use the same earmark, weights and options, or name another"
                    " folder."
                )

    def _rows(self, name: str) -> Iterator[PartSummary]:
        try:
            yield from read_table(self.path / name)
        except EarmarkError as error:
            warnings.warn(f"{error} Its parts are checked again.", EarmarkWarning, stacklevel=2)

    def find(self, part: Part, machine: str | None = None) -> PartSummary | None:
        """Return the summary of a part whose file is whole; None if it must be computed.

        A file that a table lists must have its digest. Any other file is read completely. A file
        that fails gives a warning. ``machine`` also finds a file that another driver has written
        since this folder was listed.
        """
        names = list(self._files.get(part.stem, ()))
        late = name_of(part, machine) if machine else None
        if late and late not in names and (self.path / late).exists():
            names.append(late)
        for name in names:
            try:
                return self._checked(name, part)
            except PartError as error:
                warnings.warn(str(error), EarmarkWarning, stacklevel=2)
        return None

    def _checked(self, name: str, part: Part) -> PartSummary:
        path, known = self.path / name, self._known.get(name)
        if known is None or (known.part, known.clips) != (part.number, len(part.clips)):
            return check_part(path, part)
        try:
            digest = "" if not_a_file(path) else file_sha256(path).hex()
        except OSError as error:
            raise PartError(f"cannot read {path}: {error.strerror}. Compute it again.") from error
        if digest != known.sha256:
            raise PartError(
                f"{path} has changed since it was written: its digest is not that of the table."
                " It is computed again."
            )
        return known

    def write_table(self, summaries: Iterable[PartSummary], share: Share = ALL) -> Path:
        """Write the table of the parts of a share and return its path."""
        own = f"parts-{share.number}-of-{share.count}.csv" if share.count > 1 else TABLE
        rows = sorted((astuple(summary) for summary in summaries), key=lambda row: row[0])
        write_whole(self.path / own, to_csv([COLUMNS, *rows]).encode())
        return self.path / own

    def others(self, summaries: Iterable[PartSummary]) -> list[str]:
        """Return the names of files of parts that are not those of ``summaries``."""
        listed = {summary.file for summary in summaries}
        return [name for names in self._files.values() for name in names if name not in listed]


def name_of(part: Part, machine: str) -> str:
    """Return the name of the file of a part that was computed with ``machine``."""
    return f"{part.stem}{_ending(machine)}"


def _ending(machine: str) -> str:
    return f"-{hashlib.sha256(machine.encode()).hexdigest()[:MACHINE_DIGITS]}.parquet"


def read_settings(folder: Path) -> dict[str, object]:
    """Return what all parts of a folder share, from its file ``parts.json``."""
    path = folder / SETTINGS
    try:
        if (problem := not_a_file(path)) or path.stat().st_size > MAX_SETTINGS_BYTES:
            raise ValueError(problem or "is too large")
        settings = strict_json(path.read_bytes())
        if not isinstance(settings, dict):
            raise ValueError("is not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise EarmarkError(
            f"{path} cannot be used: {getattr(error, 'strerror', None) or error}. Delete it and run"
            " the command again."
        ) from error
    return settings


def read_table(path: Path) -> list[PartSummary]:
    """Return the rows of a table of parts; EarmarkError if it cannot be read."""
    try:
        if (problem := not_a_file(path)) or path.stat().st_size > MAX_TABLE_BYTES:
            raise ValueError(problem or "is too large")
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames != COLUMNS:
                raise ValueError("its columns are others")
            return [_summary(row) for row in reader]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise EarmarkError(
            f"{path} is not a table of parts ({getattr(error, 'strerror', None) or error})."
        ) from error


def _summary(row: dict[str, str]) -> PartSummary:
    kinds = {"int": int, "float": float, "str": str}
    values = {f.name: kinds[str(f.type)](row[f.name]) for f in fields(PartSummary)}
    if not row["file"].endswith(_ending(row["machine"])):
        raise ValueError(f"{row['file']} is not of the machine in its row")
    return PartSummary(**values)
