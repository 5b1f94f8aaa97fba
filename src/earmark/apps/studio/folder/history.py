"""The history of changes: a file of JSON lines, written before each change and after it.

A line says that a change is made ("do"), unmade ("undo") or made again ("redo"); the line "end"
says that this was completed. After a crash, the last line without an end is completed. "over" says
that a change cannot be unmade, or made again, any more.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from earmark.apps.studio.folder.changes import Change
from earmark.system.files import not_a_file, write_whole

MOST_CHANGES = 200  # that can be undone after the file was shortened
MOST_BYTES = 64 << 20  # of the file; then it is shortened
FILE = "history.jsonl"


class Pending(NamedTuple):
    """A change that was begun and not ended: made, or unmade if not ``forward``."""

    change: Change
    forward: bool


class History:
    """The changes of a folder, in the file ``history.jsonl`` of ``place``.

    Other processes may write to the file while this one does not hold the folder's lock, so call
    :meth:`refresh` once it is held.
    """

    def __init__(self, place: Path) -> None:
        self.path = place / FILE
        self.done: list[Change] = []
        self.undone: list[Change] = []
        self.pending: Pending | None = None
        self._number, self._size, self._known = 0, 0, (-1, -1)

    def refresh(self) -> None:
        """Read what another process has written."""
        try:
            status = os.stat(self.path)
            known = (status.st_ino, status.st_size)
        except OSError:
            known = (-1, -1)
        if known == self._known:
            return
        self.done, self.undone, self.pending, self._size = [], [], None, 0
        if known != (-1, -1):
            self._read()
        self._known = known

    def next_number(self) -> int:
        """Return a number that no change has had."""
        return self._number + 1

    def added_from(self, source: str) -> str | None:
        """Return the place of the recording that came from ``source``; None if it was undone."""
        moves = (move for change in reversed(self.done) for move in change.moves)
        return next((move.place for move in moves if move.adds and move.source == source), None)

    @contextlib.contextmanager
    def writing(self, word: str, change: Change) -> Iterator[None]:
        """Write that a change is 'do'ne, 'undo'ne or 'redo'ne; the block does it.

        If the block fails, the file becomes as it was before. Raises OSError.
        """
        begin = self._size
        line = change.as_json() if word == "do" else change.number
        try:
            self._append({word: line}, is_safe=True)
            yield
        except BaseException:
            with contextlib.suppress(OSError), open(self.path, "rb+") as file:
                file.truncate(begin)
            self._size = begin
            self._remember()
            raise
        self._apply(word, change)
        self.pending = None
        with contextlib.suppress(OSError):  # a change without an end is only looked at again
            self._append({"end": change.number})
        if self._size > MOST_BYTES:
            self._shorten()

    def end(self, pending: Pending) -> None:
        """Write that what was begun before a crash is completed now."""
        self._append({"end": pending.change.number}, is_safe=True)
        self.pending = None

    def pass_over(self, stack: list[Change]) -> None:
        """Forget the last change of ``done`` or ``undone``; raises OSError."""
        self._append({"over": stack[-1].number}, is_safe=True)
        stack.pop()

    def _append(self, line: dict[str, Any], is_safe: bool = False) -> None:
        if problem := not_a_file(self.path):
            raise OSError(f"{self.path} {problem}")
        content = json.dumps(line).encode() + b"\n"
        with open(self.path, "ab", buffering=0) as file:
            file.truncate(self._size)  # a line that a crash has cut
            written = 0
            while written < len(content):
                written += file.write(content[written:]) or 0
            if is_safe:
                os.fsync(file.fileno())
        self._size += len(content)
        self._remember()

    def _remember(self) -> None:
        with contextlib.suppress(OSError):
            status = os.stat(self.path)
            self._known = (status.st_ino, status.st_size)

    def _read(self) -> None:
        with open(self.path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    ((word, value),) = json.loads(line).items()
                    self._heed(word, value)
                except (ValueError, TypeError, LookupError, RecursionError, AttributeError):
                    self.done, self.undone, self.pending = [], [], None
                self._size += len(line)

    def _heed(self, word: str, value: Any) -> None:
        if word == "end":
            self.pending = None
            return
        if word == "over":
            stack = self.done if _last(self.done) == value else self.undone
            if _last(stack) != value:
                raise ValueError("the lines are not in order")
            stack.pop()
            return
        if word == "do":
            change = Change.from_json(value)
        else:
            change = (self.done if word == "undo" else self.undone)[-1]
            if change.number != value:
                raise ValueError("the lines are not in order")
        self.pending = Pending(change, word != "undo")
        self._apply(word, change)

    def _apply(self, word: str, change: Change) -> None:
        if word == "do":
            self.done.append(change)
            self.undone.clear()
        elif word == "undo":
            self.undone.append(self.done.pop())
        else:
            self.done.append(self.undone.pop())
        self._number = max(self._number, change.number)

    def _shorten(self) -> None:
        """Keep the last changes only; those that are undone go."""
        kept: list[bytes] = []
        for change in reversed(self.done[-MOST_CHANGES:]):
            line = json.dumps({"do": change.as_json()}).encode() + b"\n"
            if sum(map(len, kept)) + len(line) > MOST_BYTES // 2:
                break
            kept.insert(0, line)
        last = json.dumps({"end": self._number}).encode() + b"\n"
        try:
            write_whole(self.path, [*kept, last])
        except Exception:  # the longer file is as good
            return
        self.done, self.undone = self.done[len(self.done) - len(kept) :], []
        self._size = sum(map(len, kept)) + len(last)
        self._remember()


def _last(stack: list[Change]) -> int:
    """Return the number of the last change; 0 if there is none."""
    return stack[-1].number if stack else 0
