"""A folder of parts: what its parts share, which of them are whole, and the table of all."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple
from pathlib import Path

from earmark.data.parts import COLUMNS, SETTINGS, TABLE, PartSummary, read_settings, read_table
from earmark.embeddings.part import Part, Settings
from earmark.embeddings.part_files import PartError, check_part
from earmark.embeddings.shares import ALL, Share
from earmark.errors import EarmarkError, EarmarkWarning
from earmark.system.files import file_sha256, not_a_file, write_whole
from earmark.system.jsons import json_text
from earmark.system.text import to_csv

UNFINISHED_S = 3600.0  # writing the file of a part takes seconds
MACHINE_DIGITS = 8  # hexadecimal, in the name of a file

_PART = re.compile(r"(part-\d{6,}-[0-9a-f]+)-[0-9a-f]+\.parquet")
_TABLE = re.compile(r"parts(-\d+-of-\d+)?\.csv")


class PartFolder:
    """The folder ``path`` with parts of the same ``settings``, created if necessary.

    ``about`` is what a new folder remembers of the data: the folder of the recordings, and the
    separator of classes. Raises EarmarkError if the folder has other files, or parts with other
    settings.
    """

    def __init__(
        self, path: Path, settings: Settings, about: Mapping[str, str | None] | None = None
    ) -> None:
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
            content = settings.to_json() | {"data": dict(about or {})}
            write_whole(path / SETTINGS, f"{json_text(content, indent=2)}\n".encode())
        self._check_settings()
        self._files = collections.defaultdict[str, list[str]](list)
        for name in names:
            if match := _PART.fullmatch(name):
                self._files[match[1]].append(name)
        self._known = {
            row.file: row for name in names if _TABLE.fullmatch(name) for row in self._rows(name)
        }

    def _check_settings(self) -> None:
        theirs, ours = read_settings(self.path, None), self.settings.to_json()
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise EarmarkError(
                    f"{self.path} has parts with {name} {theirs.get(name)!r}, but this run has"
                    f" {value!r}. Use the same earmark, weights and options, or name another"
                    " folder."
                )

    def _rows(self, name: str) -> Iterator[PartSummary]:
        try:
            rows = read_table(self.path / name)
            wrong = next((row for row in rows if not row.file.endswith(_ending(row.machine))), None)
            if wrong is not None:
                raise EarmarkError(
                    f"{self.path / name} is not a table of parts ({wrong.file} is not a file of the"
                    " machine in its row)."
                )
            yield from rows
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
        if late and late not in names:
            names.append(late)
        for name in names:
            if not os.path.lexists(self.path / name):
                continue
            try:
                return self._checked(name, part)
            except PartError as error:
                warnings.warn(str(error), EarmarkWarning, stacklevel=2)
        return None

    def _checked(self, name: str, part: Part) -> PartSummary:
        path, known = self.path / name, self._known.get(name)
        if known is None or known.part != part.number:
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

    def delete(self, summary: PartSummary) -> None:
        """Delete the file of a part, which must then be computed; EarmarkError if that fails."""
        path = self.path / summary.file
        try:
            path.unlink(missing_ok=True)
            self._known.pop(summary.file, None)
        except OSError as error:
            raise EarmarkError(
                f"cannot delete {path}: {error.strerror}. Delete it, then run the command again."
            ) from error

    def write_table(self, summaries: Iterable[PartSummary], share: Share = ALL) -> Path:
        """Write the table of the parts of a share and return its path."""
        own = f"parts-{share.number}-of-{share.count}.csv" if share.count > 1 else TABLE
        rows = sorted((astuple(summary) for summary in summaries), key=lambda row: row[0])
        write_whole(self.path / own, to_csv([COLUMNS, *rows]).encode())
        self._sweep(self.path / own)
        return self.path / own

    def _sweep(self, table: Path) -> None:
        """Delete the unfinished files of killed runs: those much older than the ``table``.

        Other machines may be writing now. Times of files in one folder come from one clock.
        """
        with contextlib.suppress(OSError):  # another machine deletes them, too
            now_s = table.stat().st_mtime
            for file in self.path.glob(".part-*.part"):
                if now_s - file.stat().st_mtime > UNFINISHED_S:
                    file.unlink()

    def others(self, summaries: Iterable[PartSummary]) -> list[str]:
        """Return the names of files of parts that are not those of ``summaries``."""
        listed = {summary.file for summary in summaries}
        return [name for names in self._files.values() for name in names if name not in listed]


def name_of(part: Part, machine: str) -> str:
    """Return the name of the file of a part that was computed with ``machine``."""
    return f"{part.stem}{_ending(machine)}"


def _ending(machine: str) -> str:
    return f"-{hashlib.sha256(machine.encode()).hexdigest()[:MACHINE_DIGITS]}.parquet"
