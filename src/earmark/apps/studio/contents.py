"""What is in a folder of recordings: clips, classes and trouble, as its files say."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.apps.studio import views
from earmark.apps.studio.first_look import first_rows
from earmark.apps.studio.history import History
from earmark.apps.studio.manifest import LEFT_OUT, Row, id_of, read_rows, seconds_text
from earmark.apps.studio.scanning import PRIVATE, Scan, scan
from earmark.apps.studio.uploads import Uploads
from earmark.data.dataset import MANIFEST
from earmark.errors import DataError
from earmark.system.files import relative_path

UPLOADS, HISTORY = "uploads", "history.jsonl"
GONE = "The folder is not there. Connect its disk, or move it back."


@dataclass(frozen=True)
class Located:
    """Where a clip is: its file, its ends in seconds, its name."""

    path: Path
    start: float | None
    end: float | None
    name: str


class Contents:
    """What is in a folder. Methods may be called from several threads.

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
                {
                    "id": id_of(path),
                    "name": path.rpartition("/")[2],
                    "place": path,
                    "n_regions": len(regions.get(path, ())),
                }
                for path in paths[first : first + count]
            ]
            return {"version": self.version, "total": len(paths), "recordings": shown}

    def recording(self, id: str) -> dict[str, Any]:
        """Return a recording and its regions."""
        with self._lock:
            path = self._row(id).path
            shown = [views.clip(row) for row in views.regions_of(self._rows).get(path, ())]
            return {
                "id": id_of(path),
                "name": path.rpartition("/")[2],
                "place": path,
                "regions": shown,
                "version": self.version,
            }

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
