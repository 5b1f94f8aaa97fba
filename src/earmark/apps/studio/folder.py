"""A folder of recordings as the studio shows and changes it; its files are the only state."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from earmark.apps.studio import views
from earmark.apps.studio.first_look import first_rows, rows_of
from earmark.apps.studio.history import Change, Edit, History, edited, edits
from earmark.apps.studio.manifest import (
    LEFT_OUT,
    Row,
    id_of,
    read_rows,
    seconds_text,
    write_rows,
)
from earmark.apps.studio.scanning import PRIVATE, RECORDINGS, Scan, scan
from earmark.apps.studio.uploads import Uploads, free_name
from earmark.data.clip import bare
from earmark.data.dataset import MANIFEST
from earmark.errors import DataError, EarmarkError, amount
from earmark.system.files import relative_path

MOST_LABEL = 200  # characters
LOCK_S = 20.0
TRASH, UPLOADS, HISTORY = "trash", "uploads", "history.jsonl"
GONE = "The folder is not there. Connect its disk, or move it back."


@dataclass(frozen=True)
class Located:
    """Where a clip is: its file, its ends in seconds, its name."""

    path: Path
    start: float | None
    end: float | None
    name: str


class Folder:
    """A folder of recordings. Its methods may be called from several threads.

    Every change is one atomic write of ``earmark.csv``, after the file was read again if another
    program has written it. Methods that change something return ``version`` and ``said``, a
    sentence; they raise KeyError for an unknown id, EarmarkError for what cannot be done.

    Attributes
    ----------
    path : Path
        The folder.
    version : int
        Grows with every change, whoever made it.
    on_change : callable
        Is called after each change, in the thread that noticed it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.abspath(path))
        self.version = 0
        self.on_change: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._rows: list[Row] = []
        self._left_out: list[Row] = []
        self._scan = Scan((), (), (), ())
        self._seen: object = None
        self._problem: dict[str, str] | None = None
        self.uploads = Uploads(self.path / PRIVATE / UPLOADS)
        self.history = History(self.path / PRIVATE / HISTORY)
        self._recovered: list[str] = []
        self._look()
        self._recover()

    # What there is

    def refresh(self) -> bool:
        """Look at the disk again; return whether something has changed."""
        with self._lock:
            has_changed = self._look()
        if has_changed:
            self.on_change()
        return has_changed

    def state(self) -> dict[str, Any]:
        """Return what the page shows all the time."""
        with self._lock:
            undo, redo = self.history.undo, self.history.redo
            return {
                "version": self.version,
                "folder": {"name": self.path.name, "path": str(self.path)},
                **views.counts(self._rows, self._left_out, self._scan),
                "undo": undo and undo.said,
                "redo": redo and redo.said,
                "manifests": [
                    {"id": id_of(name), "name": name}
                    for name in self._scan.tables
                    if name not in (MANIFEST, LEFT_OUT)
                ],
                "trouble": self._trouble(),
                "can_write": self._problem is None and os.access(self.path, os.W_OK),
                "limits": {"piece_s": 30.0},
            }

    def clips(
        self,
        *,
        label: str | None = None,
        unlabelled: bool = False,
        left_out: bool = False,
        first: int = 0,
        count: int = 100,
    ) -> dict[str, Any]:
        """Return some clips of a class, without a label, left out, or all."""
        with self._lock:
            if unlabelled:
                rows = [Row(path) for path in views.without_label(self._named(), self._scan)]
            elif left_out:
                rows = self._left_out
            else:
                rows = [row for row in self._rows if label is None or row.label == label]
            shown = [views.clip(row) for row in rows[first : first + count]]
            return {"version": self.version, "total": len(rows), "clips": shown}

    def recordings(self, *, first: int = 0, count: int = 100, long: bool = False) -> dict[str, Any]:
        """Return some recordings; only long ones, or those with regions, if asked."""
        with self._lock:
            regions = views.regions_of(self._rows)
            paths = [
                path
                for path in self._scan.paths
                if not long or path in regions or views.is_long(self.path / path)
            ]
            shown = [
                {"id": id_of(path), "name": path, "n_regions": len(regions.get(path, ()))}
                for path in paths[first : first + count]
            ]
            return {"version": self.version, "total": len(paths), "recordings": shown}

    def recording(self, id: str) -> dict[str, Any]:
        """Return a recording and its regions."""
        with self._lock:
            path = self._row(id).path
            shown = [views.clip(row) for row in views.regions_of(self._rows).get(path, ())]
            return {"id": id_of(path), "name": path, "regions": shown, "version": self.version}

    def locate(self, id: str) -> Located:
        """Return where a clip or recording is."""
        with self._lock:
            row = self._row(id)
        path = self.path / row.path
        if path.is_symlink() or not path.resolve().is_relative_to(self.path.resolve()):
            raise KeyError(id)
        start, end = (float(text) if text else None for text in (row.start, row.end))
        return Located(path, start, end, row.path)

    def locate_upload(self, id: str) -> Located:
        """Return where a recording is that was uploaded to be tried."""
        about = self.uploads.about(id)
        path = self.path / PRIVATE / UPLOADS / f"{id}.part"
        return Located(path, None, None, str(about["name"]))

    def ids_of(self, clips: Iterable[dict[str, Any]]) -> None:
        """Add ``id`` to clips with ``path``, ``start`` and ``end``; null if there is no such."""
        with self._lock:
            known = {row.key: row for row in (*self._rows, *self._left_out)}
            known |= {(path, "", ""): Row(path) for path in self._scan.paths}
        for clip in clips:
            path = relative_path(Path(self.path, str(clip["path"])), self.path)
            ends = (seconds_text(clip.get("start")), seconds_text(clip.get("end")))
            key = (path, *ends)
            clip["id"] = id_of(*key) if key in known else None

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

    def _look(self) -> bool:
        """Read what has changed on the disk; return whether something has."""
        seen = self._signature()
        if seen == self._seen and self._scan.is_current():
            return False
        if not self.path.is_dir():
            self._problem, self._seen = {"kind": "gone", "detail": GONE}, seen
            self.version += 1
            return True
        try:
            self._scan = scan(self.path)
            has_manifest = (self.path / MANIFEST).exists()
            self._rows = (
                read_rows(self.path / MANIFEST, self.path)
                if has_manifest
                else first_rows(self.path, self._scan)
            )
            has_left_out = (self.path / LEFT_OUT).exists()
            self._left_out = read_rows(self.path / LEFT_OUT, self.path) if has_left_out else []
            self._problem = None
        except DataError as error:
            self._problem = {"kind": "manifest", "detail": str(error)}
        except OSError as error:
            self._problem = {"kind": "gone", "detail": f"{GONE} ({error.strerror})"}
        self._seen = seen
        self.version += 1
        return True

    def _signature(self) -> object:
        def of(name: str) -> object:
            try:
                status = os.stat(self.path / name)
            except OSError:
                return None
            return status.st_mtime_ns, status.st_size, status.st_ino

        return of(MANIFEST), of(LEFT_OUT), self.path.is_dir()

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

    def _trouble(self) -> list[dict[str, str]]:
        trouble = [self._problem] if self._problem else []
        trouble += views.troubles(self.path, self._rows, self._scan, self._recovered)
        return trouble

    def _named(self) -> set[str]:
        return {row.path for row in (*self._rows, *self._left_out)}

    def _row(self, id: str) -> Row:
        with self._lock:
            known = views.by_id(self._rows, self._left_out, self._scan, self.version)
        return known[id]

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
