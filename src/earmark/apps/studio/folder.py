"""A folder of recordings as the studio shows and changes it; its files are the only state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from earmark.apps.studio import views
from earmark.apps.studio.contents import GONE, Contents
from earmark.apps.studio.first_look import rows_of
from earmark.apps.studio.history import Change, Edit, edited, edits
from earmark.apps.studio.manifest import (
    LEFT_OUT,
    Row,
    id_of,
    read_rows,
    seconds_text,
    write_rows,
)
from earmark.apps.studio.scanning import PRIVATE, RECORDINGS, scan
from earmark.apps.studio.uploads import free_name
from earmark.data.clip import bare
from earmark.data.dataset import MANIFEST
from earmark.errors import EarmarkError, amount
from earmark.system.files import relative_path

MOST_LABEL = 200  # characters
LOCK_S = 20.0
TRASH = "trash"


class Folder(Contents):
    """A folder of recordings and every change to it; see :class:`Contents`.

    Every change is one atomic write of ``earmark.csv``, after the file was read again if another
    program has written it. Methods that change something return ``version`` and ``said``, a
    sentence; they raise KeyError for an unknown id, EarmarkError for what cannot be done.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._recover()

    # Changes

    def settle(self) -> None:
        """Write the manifest if there is none yet: from then on, commands read it."""
        with self._lock, self._writing():
            if not (self.path / MANIFEST).exists() and self._rows:
                write_rows(self.path / MANIFEST, self._rows)
                self._seen = self._signature()

    def label(self, ids: Sequence[str], label: str | None) -> dict[str, Any]:
        """Give clips a label; None takes it away, and a clip that is a stretch is deleted then."""
        name = None if label is None else self._name(label)
        chosen = {self._row(id).key: self._row(id) for id in ids}

        def change(rows: list[Row]) -> list[Row]:
            if name is None:
                return [row for row in rows if row.key not in chosen]
            known = {row.key for row in rows}
            new = [replace(row, label=name) for key, row in chosen.items() if key not in known]
            return [replace(r, label=name) if r.key in chosen else r for r in rows] + new

        clips = amount(len(chosen), "clip")
        said = f"Labelled {clips} {name}." if name else f"Took the label from {clips}."
        back = [row for row in self._left_out if row.key not in chosen]
        return self._change(said, change, back if len(back) < len(self._left_out) else None)

    def add_region(
        self, recording: str, start: float, end: float, label: str | None
    ) -> dict[str, Any]:
        """Make a stretch of a recording a clip."""
        row = self._region(self._row(recording).path, start, end, self._name(label or ""))
        if any(other.key == row.key for other in self._rows):
            raise EarmarkError("there is a clip with these ends already. Choose other ends.")
        return self._change(f"Added {row.label}.", lambda rows: [*rows, row]) | _shown(row)

    def move_region(self, id: str, start: float, end: float, label: str | None) -> dict[str, Any]:
        """Give a stretch other ends, and another label if one is given."""
        old = self._row(id)
        name = old.label if label is None else self._name(label)
        row = replace(self._region(old.path, start, end, name), others=old.others)
        if row.key != old.key and any(other.key == row.key for other in self._rows):
            raise EarmarkError("there is a clip with these ends already. Choose other ends.")

        def change(rows: list[Row]) -> list[Row]:
            return [row if other.key == old.key else other for other in rows]

        return self._change(f"Moved {row.label}.", change) | _shown(row)

    def leave_out(self, ids: Sequence[str], reason: str = "") -> dict[str, Any]:
        """Leave clips out of training; they stay in ``left-out.csv``."""
        chosen = {self._row(id).key: self._row(id) for id in ids}
        more = [_left_out(row, reason) for row in chosen.values()]
        kept = [row for row in self._left_out if row.key not in chosen]
        said = f"Left out {amount(len(chosen), 'clip')}."
        return self._change(
            said, lambda rows: [row for row in rows if row.key not in chosen], [*kept, *more]
        )

    def take_back(self, ids: Sequence[str]) -> dict[str, Any]:
        """Take clips back that were left out, with the labels that they had."""
        chosen = {row.key: row for row in self._left_out if id_of(*row.key) in set(ids)}
        if len(chosen) < len(set(ids)):
            raise KeyError(ids)
        back = [_taken_back(row) for row in chosen.values() if row.label]
        kept = [row for row in self._left_out if row.key not in chosen]

        def change(rows: list[Row]) -> list[Row]:
            known = {row.key for row in rows}
            return [*rows, *(row for row in back if row.key not in known)]

        return self._change(f"Took back {amount(len(chosen), 'clip')}.", change, kept)

    def delete(self, ids: Sequence[str]) -> dict[str, Any]:
        """Move recordings to the trash with all their clips; a stretch only loses its row."""
        chosen = [self._row(id) for id in ids]
        whole = {row.path for row in chosen if row.is_whole}
        keys = {row.key for row in chosen}
        trash = self.path / PRIVATE / TRASH
        trash.mkdir(parents=True, exist_ok=True)
        moved = []
        for path in whole:
            there = free_name(trash, f"{id_of(path)}-{Path(path).name}")
            moved.append((path, relative_path(there, self.path)))
            os.replace(self.path / path, there)

        def change(rows: list[Row]) -> list[Row]:
            return [row for row in rows if row.key not in keys and row.path not in whole]

        n = amount(len(whole), "recording") if whole else amount(len(chosen), "clip")
        return self._change(f"Deleted {n}.", change, moved=moved)

    def rename_class(self, old: str, new: str) -> dict[str, Any]:
        """Rename a class; if there is a class of the new name, the two become one."""
        if all(row.label != old for row in self._rows):
            raise KeyError(old)
        name = self._name(new, renamed=old)

        def change(rows: list[Row]) -> list[Row]:
            return [replace(row, label=name) if row.label == old else row for row in rows]

        return self._change(f"Renamed {old} to {name}.", change)

    def adopt(
        self, manifest: Path, left_out: Sequence[dict[str, Any]] = (), said: str = ""
    ) -> dict[str, Any]:
        """Take over a manifest that a command wrote, as one change that can be undone."""
        new = read_rows(manifest, self.path)
        more = [
            _left_out(
                Row(
                    relative_path(Path(self.path, str(clip["path"])), self.path),
                    seconds_text(clip.get("start")),
                    seconds_text(clip.get("end")),
                    str(clip.get("label") or ""),
                ),
                str(clip.get("reason") or ""),
            )
            for clip in left_out
        ]
        keys = {row.key for row in more}
        kept = [row for row in self._left_out if row.key not in keys]
        return self._change(said or "Took over a manifest.", lambda _: new, [*kept, *more])

    def import_manifest(self, id: str) -> dict[str, Any]:
        """Take over the labels of another manifest that lies in the folder."""
        names = {id_of(name): name for name in self._scan.tables}
        name = names[id]
        new = rows_of(self.path / name, self.path)
        return self._change(f"Read the labels of {name}.", lambda _: new)

    def undo(self) -> dict[str, Any]:
        """Undo the last change."""
        return self._step(self.history.undo, -1)

    def redo(self) -> dict[str, Any]:
        """Make a change again that was undone."""
        return self._step(self.history.redo, 1)

    # Uploads

    def begin_upload(self, about: dict[str, Any]) -> str:
        """Begin an upload; see :class:`Uploads`."""
        if about.get("label"):
            about = {**about, "label": self._name(about["label"])}
        self._check_writable()
        return self.uploads.begin(about)

    def append(self, upload: str, offset: int, data: bytes) -> int:
        """Add bytes to an upload; return how many it has."""
        return self.uploads.append(upload, offset, data)

    def finish_upload(self, upload: str) -> dict[str, Any]:
        """End an upload. The recording is in the folder then, with its label if it has one."""
        about = self.uploads.about(upload)
        if about.get("purpose") == "try":
            return {"version": self.version, "said": "", "clip": None}
        with self._lock, self._writing():
            path = self.uploads.finish(upload, self.path / RECORDINGS)
            place = relative_path(path, self.path)
            others = (("take", str(about["take"])),) if about.get("take") else ()
            row = Row(place, label=str(about.get("label") or ""), others=others)
            if row.label:
                new = [*self._rows, row]
                self._save(f"Added {path.name}.", new, None, ())
            self._look()
        self.on_change()
        return {"version": self.version, "said": f"Added {path.name}."} | _shown(row)

    def drop_upload(self, upload: str) -> None:
        """Forget an upload."""
        self.uploads.drop(upload)

    # How it is done

    def _change(
        self,
        said: str,
        change: Callable[[list[Row]], list[Row]],
        left_out: list[Row] | None = None,
        moved: Sequence[tuple[str, str]] = (),
    ) -> dict[str, Any]:
        with self._lock, self._writing():
            self._save(said, change(list(self._rows)), left_out, moved)
        self.on_change()
        return {"version": self.version, "said": said}

    def _save(
        self,
        said: str,
        rows: list[Row],
        left_out: list[Row] | None,
        moved: Sequence[tuple[str, str]],
    ) -> None:
        """Write both tables and the history. What is left out is written first: never lost."""
        clips = edits(self._rows, rows)
        left: tuple[Edit, ...] = () if left_out is None else edits(self._left_out, left_out)
        if not (clips or left or moved):
            return
        self._write(rows, left_out)
        self.history.add(Change(said, clips, left, tuple(moved)))

    def _write(self, rows: list[Row], left_out: list[Row] | None) -> None:
        if left_out is not None:
            write_rows(self.path / LEFT_OUT, left_out)
            self._left_out = left_out
        write_rows(self.path / MANIFEST, rows)
        self._rows = rows
        self._seen = self._signature()
        self.version += 1
        if not self._scan.is_current():
            self._scan = scan(self.path)

    def _step(self, change: Change | None, steps: int) -> dict[str, Any]:
        if change is None:
            raise EarmarkError(f"there is nothing to {'undo' if steps < 0 else 'redo'}.")
        made = change.reversed() if steps < 0 else change
        with self._lock, self._writing():
            for source, target in made.moved:
                if (self.path / source).is_file() and not (self.path / target).exists():
                    (self.path / target).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(self.path / source, self.path / target)
            left = edited(self._left_out, made.left_out) if made.left_out else None
            self._write(edited(self._rows, made.clips), left)
            self.history.move(steps)
        self.on_change()
        word = "Undone" if steps < 0 else "Done again"
        return {"version": self.version, "said": f"{word}: {change.said}"}

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock of the tables, with what is on the disk now."""
        self._check_writable()
        private = self.path / PRIVATE
        private.mkdir(exist_ok=True)
        with FileLock(private / "labels.lock", timeout=LOCK_S):
            self._look()
            self._check_writable()
            yield

    def _check_writable(self) -> None:
        if not self.path.is_dir():
            raise EarmarkError(GONE)
        if self._problem is not None:
            raise EarmarkError(f"{self._problem['detail']} Until then, nothing is changed.")

    def _recover(self) -> None:
        """Keep the sound of pieces that a killed server had not finished; forget other uploads."""
        for id, about in list(self.uploads.left()):
            if self.uploads.is_worth_keeping(id, about):
                with contextlib.suppress(EarmarkError, OSError, KeyError):
                    clip = self.finish_upload(id)["clip"]
                    self._recovered.append(Path(clip["name"]).name)
            else:
                with contextlib.suppress(OSError, KeyError):
                    self.uploads.drop(id)

    def _name(self, label: str, renamed: str = "") -> str:
        """Return the name of a class; EarmarkError for one that cannot be a class."""
        name = bare(label)
        if not name or len(name) > MOST_LABEL or not name.isprintable():
            raise EarmarkError(
                f"{label[:40]!r} cannot be a class. Give a name of 1 to {MOST_LABEL} characters."
            )
        names = {row.label for row in self._rows} - {renamed}
        twins = [other for other in names if other.casefold() == name.casefold()]
        if twins and name not in names:
            raise EarmarkError(f"there is a class {twins[0]!r} already. Choose that one.")
        return name

    def _region(self, path: str, start: float, end: float, label: str) -> Row:
        if not 0 <= start < end:
            raise EarmarkError("the end must come after the start. Choose other ends.")
        return Row(path, seconds_text(start), seconds_text(end), label)


def _left_out(row: Row, reason: str) -> Row:
    others = tuple(pair for pair in row.others if pair[0] != "reason")
    return replace(row, others=(*others, ("reason", reason)) if reason else others)


def _taken_back(row: Row) -> Row:
    return replace(row, others=tuple(pair for pair in row.others if pair[0] != "reason"))


def _shown(row: Row) -> dict[str, Any]:
    return {"clip": views.clip(row)}
