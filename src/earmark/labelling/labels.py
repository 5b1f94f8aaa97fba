"""The labels of an archive: a table of decisions to which each answer is appended at once.

A line is one write to the end of the file, under a lock, so that several people may label at once
and a killed process loses no answer.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import getpass
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from earmark.data.tables import MAX_MANIFEST_BYTES
from earmark.errors import DataError, EarmarkError
from earmark.labelling.decisions import (
    ALL_COLUMNS,
    ANSWER_COLUMNS,
    UNDO,
    WAY_OUT,
    WHEN,
    Decision,
    cells_of,
    decision_of,
    in_force,
)
from earmark.system.files import not_a_file
from earmark.system.text import to_bytes, to_csv

NAME = "labels.csv"
BUSY_S = 20.0  # seconds to wait for another process
MOST_LINES = 16  # of one row: names of files may have line breaks
OPTIONAL = "content"  # tables of people may lack it
HEADER = to_bytes(to_csv([ALL_COLUMNS]))


@dataclass(frozen=True)
class Labels:
    """The labels of an archive at one moment.

    Attributes
    ----------
    decisions : list of Decision
        Those in force, in the order in which they were made: not undone, replaced or contradicted.
    contradictions : list of (Decision, Decision)
        The answers of two people on one stretch that contradict each other; neither is in force.
    notes : list of str
        Lines of the table that are not whole, and are left out.
    """

    decisions: list[Decision]
    contradictions: list[tuple[Decision, Decision]]
    notes: list[str]


def labels_of(archive: str | Path) -> Path:
    """Return the file that has the labels of an archive, unless another one is named."""
    return Path(archive) / NAME


class LabelFile:
    """The labels of an archive, for one person who adds to them.

    Parameters
    ----------
    path : str or Path
        The table; it need not exist yet.
    who : str, optional
        The person; by default the name of the user.
    """

    def __init__(self, path: str | Path, who: str | None = None) -> None:
        self.path = Path(os.path.abspath(path))
        self.who = (who or _user()).strip()

    def __repr__(self) -> str:
        return f"LabelFile({str(self.path)!r}, {self.who!r})"

    def read(self) -> Labels:
        """Return the labels now; none if the file does not exist. Raises DataError."""
        rows, notes = self._rows()
        return Labels(*in_force(rows), notes)

    def check(self) -> None:
        """Refuse a file that cannot be read or added to. Raises DataError or EarmarkError."""
        self._rows()
        with self._locked():
            if self.path.exists():
                os.close(os.open(self.path, os.O_RDWR | os.O_APPEND))

    def add(self, decision: Decision) -> Decision:
        """Append a decision, with the person and the time if it has none, and return it.

        It is on the disk when this returns. Raises EarmarkError if it cannot be written.
        """
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        decision = replace(decision, who=decision.who or self.who, when=decision.when or now, row=0)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        with self._locked():
            file = os.open(self.path, flags, 0o644)
            try:
                self._append(file, decision)
            finally:
                os.close(file)
        return decision

    def undo(self) -> Decision | None:
        """Take back the last answer of this person, and return it; None if there is none left."""
        last = list[Decision]()
        for decision in self._rows()[0]:
            if decision.who != self.who:
                continue
            if decision.word != UNDO:
                last.append(decision)
                continue
            key = (decision.stretch, decision.suggested)
            for k in range(len(last) - 1, -1, -1):
                if (last[k].stretch, last[k].suggested) == key:
                    del last[k]
                    break
        if last:
            self.add(replace(last[-1], word=UNDO, when=""))
        return last[-1] if last else None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let no other process write the file in a block. Explains errors of the system."""
        if problem := not_a_file(self.path):
            raise DataError(f"{self.path} {problem}. {WAY_OUT}")
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=BUSY_S)
        try:
            with lock:
                yield
        except Timeout as error:
            raise EarmarkError(
                f"another process is writing {self.path}. Wait for it, and try again."
            ) from error
        except OSError as error:
            raise EarmarkError(
                f"cannot write {self.path}: {error.strerror}. Name a file for the labels in another"
                " place with --labels FILE."
            ) from error

    def _append(self, file: int, decision: Decision) -> None:
        """Write a line to the end of the open file, after a header if it is empty."""
        size = os.fstat(file).st_size
        start = os.read(file, 1 << 16)
        if HEADER.startswith(start) and len(start) < len(HEADER):  # nothing, or half a header
            os.ftruncate(file, 0)
            before, columns = HEADER, list(ALL_COLUMNS)
        else:
            os.lseek(file, size - 1, os.SEEK_SET)
            before = b"" if os.read(file, 1) in (b"\n", b"\r") else b"\n"
            columns = self._columns(start.decode("utf-8-sig", "replace"))
        cells = cells_of(decision, self.path.parent)
        line = before + to_bytes(to_csv([[cells.get(column, "") for column in columns]]))
        if os.write(file, line) != len(line):
            raise OSError(None, "the disk is full")
        os.fsync(file)
        if before == HEADER and os.name == "posix":  # the name of a new file, too
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _columns(self, text: str) -> list[str]:
        """Return the columns in the first line of a text; DataError if they are not those here."""
        first = io.StringIO(text, newline="").readline()
        columns = [name.strip() for name in next(csv.reader([first]), [])]
        if len(columns) == 1 and (";" in first or "\t" in first):
            raise DataError(
                f"{self.path} has no commas between its columns. Save it as CSV with commas."
            )
        for column in ALL_COLUMNS:
            if column not in (*columns, OPTIONAL):
                is_review = column in ANSWER_COLUMNS
                raise DataError(
                    f"{self.path} has no column {column!r}, so it has no labels of an archive. Name"
                    " another file with --labels"
                    f"{', and take the answers of this one over with --apply' * is_review}."
                )
        return columns

    def _rows(self) -> tuple[list[Decision], list[str]]:
        """Return all rows of the file, and notes on lines that are not whole."""
        text = self._text()
        if HEADER.startswith(to_bytes(text)):
            return [], []
        columns = self._columns(text)
        lines = io.StringIO(text, newline="").readlines()
        decisions, notes, k = list[Decision](), list[str](), 1
        while k < len(lines):
            decision, used, problem = self._row(columns, lines, k)
            if decision is not None:
                decisions.append(decision)
            elif problem:
                notes.append(f"{self.path}, line {k + 1} is left out: {problem}.")
            k += used
        return decisions, notes

    def _row(
        self, columns: Sequence[str], lines: Sequence[str], first: int
    ) -> tuple[Decision | None, int, str]:
        """Return the decision that begins in a line, its number of lines, and what is wrong.

        A cell in quotes may have line breaks; but a line that was cut off ends where it ends.
        """
        if not lines[first].strip(", \t\r\n"):  # spreadsheets write rows without a cell
            return None, 1, ""
        problem = "it is not whole"
        for count in range(1, MOST_LINES + 1):
            own = lines[first : first + count]
            if "\0" in own[-1]:  # what some file systems leave after a power cut
                break
            try:
                (cells,) = csv.reader(own, strict=True)
            except (csv.Error, ValueError):
                if count == len(own):
                    continue
                break
            if len(cells) == len(columns):
                try:
                    decision = decision_of(
                        dict(zip(columns, cells, strict=True)), self.path.parent, first + 1
                    )
                except ValueError as error:
                    problem = str(error)
                    break
                if WHEN.fullmatch(decision.when) and decision.who and decision.word:
                    return decision, count, ""
                problem = "who, when or the decision is missing"
            break
        return None, 1, problem

    def _text(self) -> str:
        """Return the content of the file; empty if there is none. Raises DataError."""
        if problem := not_a_file(self.path):
            raise DataError(f"{self.path} {problem}. {WAY_OUT}")
        try:
            if self.path.stat().st_size > MAX_MANIFEST_BYTES:
                raise DataError(f"{self.path} is too large for a table of labels. {WAY_OUT}")
            content = self.path.read_bytes()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise DataError(
                f"cannot read {self.path}: {error.strerror}. Check its permissions."
            ) from error
        return content.decode("utf-8-sig", "surrogateescape")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number without a name
        return "unknown"
