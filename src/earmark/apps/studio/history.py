"""The changes of a folder's labels, which can be undone and made again, also after a restart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.apps.studio.manifest import Row
from earmark.system.files import open_file, write_whole

MOST_CHANGES = 200
MOST_BYTES = 1 << 28
TABLES = ("clips", "left_out")
Edit = tuple[int, Row | None, Row | None]  # where it was or is, the row before, the row after


@dataclass(frozen=True)
class Change:
    """One change: what it did, as a sentence; edits of both tables; files that were moved."""

    said: str
    clips: tuple[Edit, ...] = ()
    left_out: tuple[Edit, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()

    def reversed(self) -> Change:
        """Return the change that undoes this one."""
        clips, left_out = (tuple((n, b, a) for n, a, b in getattr(self, name)) for name in TABLES)
        moved = tuple((target, source) for source, target in reversed(self.moved))
        return Change(self.said, clips, left_out, moved)


def edits(before: Sequence[Row], after: Sequence[Row]) -> tuple[Edit, ...]:
    """Return what makes ``after`` of ``before``."""
    old, new = {row.key: row for row in before}, {row.key: row for row in after}
    gone = [(n, row, new.get(row.key)) for n, row in enumerate(before) if new.get(row.key) != row]
    come = [(n, None, row) for n, row in enumerate(after) if row.key not in old]
    return (*gone, *come)


def edited(rows: Iterable[Row], changes: Sequence[Edit]) -> list[Row]:
    """Return rows with edits made; what another program has changed since stays as it is."""
    by_key = {row.key: row for row in rows}
    for _, before, after in changes:
        if before is not None and by_key.get(before.key) == before:
            if after is None:
                del by_key[before.key]
            else:
                by_key[before.key] = after
    result = list(by_key.values())
    for place, before, after in sorted(
        (edit for edit in changes if edit[1] is None), key=lambda edit: edit[0]
    ):
        if after is not None and before is None and after.key not in by_key:
            result.insert(place, after)
    return result


class History:
    """The latest changes, in a file. ``done`` of them are in effect; the others were undone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changes: list[Change] = []
        self.done = 0
        for line in _lines(path):
            try:
                value = json.loads(line)
                if "at" in value:
                    self.done = min(int(value["at"]), len(self.changes))
                else:
                    self._take(_change(value))
            except (ValueError, TypeError, KeyError):  # the last line of a killed process
                continue
        self._lines = 0

    @property
    def undo(self) -> Change | None:
        """The change that would be undone."""
        return self.changes[self.done - 1] if self.done else None

    @property
    def redo(self) -> Change | None:
        """The change that would be made again."""
        return self.changes[self.done] if self.done < len(self.changes) else None

    def add(self, change: Change) -> None:
        """Take a change that was made; those that were undone are forgotten."""
        is_cut = self.done < len(self.changes) or len(self.changes) >= MOST_CHANGES
        self._take(change)
        if is_cut:
            self._write()
        else:
            self._append(_text(change))

    def move(self, steps: int) -> None:
        """Take note that a change was undone (-1) or made again (1)."""
        self.done += steps
        self._append(json.dumps({"at": self.done}))

    def _take(self, change: Change) -> None:
        del self.changes[self.done :]
        self.changes.append(change)
        del self.changes[:-MOST_CHANGES]
        self.done = len(self.changes)

    def _append(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())

    def _write(self) -> None:
        lines = [*map(_text, self.changes), json.dumps({"at": self.done})]
        write_whole(self.path, "".join(f"{line}\n" for line in lines).encode())


def _lines(path: Path) -> list[str]:
    try:
        with open_file(path) as file:
            content = file.read(MOST_BYTES)
    except OSError:
        return []
    return content.decode("utf-8", "replace").splitlines()


def _text(change: Change) -> str:
    tables = {name: [_edit_cells(edit) for edit in getattr(change, name)] for name in TABLES}
    return json.dumps({"said": change.said, "moved": change.moved, **tables})


def _edit_cells(edit: Edit) -> list[Any]:
    place, *rows = edit
    return [place, *(row and [*row.key, row.label, list(row.others)] for row in rows)]


def _change(value: dict[str, Any]) -> Change:
    tables = {
        name: tuple((int(place), _row(a), _row(b)) for place, a, b in value[name])
        for name in TABLES
    }
    moved = tuple((str(a), str(b)) for a, b in value["moved"])
    return Change(str(value["said"]), moved=moved, **tables)


def _row(cells: list[Any] | None) -> Row | None:
    if cells is None:
        return None
    path, start, end, label, others = cells
    return Row(path, start, end, label, tuple((str(name), str(cell)) for name, cell in others))
