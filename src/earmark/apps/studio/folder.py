"""The folder of a studio: its manifest, its recordings, and every change to them."""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import hashlib
import os
import secrets
import shutil
import threading
import wave
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.audio.reading import header_of
from earmark.audio.source import FileSource
from earmark.data.dataset import Dataset
from earmark.data.folders import is_recording
from earmark.errors import AudioError, DataError, EarmarkError, amount
from earmark.system.files import write_whole
from earmark.system.text import to_bytes, to_csv

MANIFEST, LEFT_OUT, PRIVATE = "earmark.csv", "left-out.csv", ".studio"
NEVER = frozenset({"models", "reports", "decisions", "exports"})
COLUMNS = ("path", "start", "end", "label")
LONG_S = 60.0
UPLOAD_BYTES, MOST_UPLOADS, PIECE_S = 4 * 2**30, 32, 30
Row = dict[str, str]


@dataclass(frozen=True)
class Located:
    """Where a clip is: the file, and the stretch of it in seconds."""

    path: Path
    start: float | None
    end: float | None
    name: str


def clip_id(path: str, start: str, end: str) -> str:
    text = "\0".join((path, start, end))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Folder:
    """The clips of a folder; see the module."""

    def __init__(self, path: Path) -> None:
        self.path, self.version = path, 0
        self.on_change: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._rows: list[Row] = []
        self._left: list[Row] = []
        self._files: list[str] = []
        self._columns: list[str] = list(COLUMNS)
        self._status: Any = None
        self._trouble: list[dict[str, str]] = []
        self._done: list[tuple[str, Any]] = []
        self._undone: list[tuple[str, Any]] = []
        self._uploads: dict[str, dict[str, Any]] = {}
        shutil.rmtree(path / PRIVATE / "uploads", ignore_errors=True)
        self.refresh()

    def refresh(self) -> bool:
        with self._lock:
            files = sorted(self._walk())
            status = [_status(self.path / MANIFEST), _status(self.path / LEFT_OUT), files]
            if status == self._status:
                return False
            self._status, self._files = status, files
            self._trouble = []
            try:
                self._read()
            except (EarmarkError, OSError) as error:
                self._trouble = [{"kind": "manifest", "detail": str(error)}]
            if not self.path.is_dir():
                self._trouble = [{"kind": "gone", "detail": f"{self.path} is not there any more."}]
            self.version += 1
        self.on_change()
        return True

    def _read(self) -> None:
        manifest = self.path / MANIFEST
        if manifest.is_file():
            self._columns, self._rows = _table(manifest)
        else:
            self._rows, self._columns = [], list(COLUMNS)
            with contextlib.suppress(DataError):
                for clip in Dataset.read(self.path, least_classes=0, need_labels=False):
                    inner = os.path.relpath(clip.path, self.path).replace(os.sep, "/")
                    if clip.label is not None and inner.split("/")[0] not in NEVER:
                        ends = ["" if at is None else f"{at:g}" for at in (clip.start, clip.end)]
                        cells = (inner, *ends, clip.label)
                        self._rows.append(dict(zip(COLUMNS, cells, strict=True)))
        left = self.path / LEFT_OUT
        self._left = _table(left)[1] if left.is_file() else []

    def _walk(self) -> Iterable[str]:
        for at, folders, files in os.walk(self.path):
            is_top = Path(at) == self.path
            folders[:] = [f for f in sorted(folders) if f[0] != "." and not (is_top and f in NEVER)]
            for name in files:
                path = Path(at, name)
                if is_recording(path) and not path.is_symlink():
                    yield path.relative_to(self.path).as_posix()

    def _tray(self) -> list[Row]:
        named = {row["path"] for row in (*self._rows, *self._left)}
        new = [{**dict.fromkeys(COLUMNS, ""), "path": f} for f in self._files if f not in named]
        return [*(row for row in self._rows if not row["label"]), *new]

    def _classes(self) -> list[str]:
        return list(dict.fromkeys(row["label"] for row in self._rows if row["label"]))

    def state(self) -> dict[str, Any]:
        with self._lock:
            labelled = [row for row in self._rows if row["label"]]
            classes = []
            for name in self._classes():
                own = [row for row in labelled if row["label"] == name]
                takes = len({row.get("take") or row["path"] for row in own})
                classes.append({"name": name, "n_clips": len(own), "n_takes": takes})
            tray = self._tray()
            return {
                "version": self.version,
                "folder": {"name": self.path.name, "path": str(self.path)},
                "counts": {
                    "recordings": len(self._files),
                    "clips": len(labelled) + len(tray),
                    "labelled": len(labelled),
                    "unlabelled": len(tray),
                    "left_out": len(self._left),
                },
                "classes": classes,
                "columns": [c for c in self._columns if c not in (*COLUMNS, "fold", "split")],
                "undo": self._done[-1][0] if self._done else None,
                "redo": self._undone[-1][0] if self._undone else None,
                "manifests": [],
                "trouble": self._trouble,
                "can_write": os.access(self.path, os.W_OK),
                "limits": {"upload_bytes": UPLOAD_BYTES, "piece_s": PIECE_S},
            }

    def _clip(self, row: Row) -> dict[str, Any]:
        about = self._about(row["path"])
        start, end = _number(row["start"]), _number(row["end"])
        whole = about.get("seconds")
        last = whole if end is None else end
        return {
            "id": clip_id(row["path"], row["start"], row["end"]),
            "recording": clip_id(row["path"], "", ""),
            "name": row["path"].rpartition("/")[2],
            "start": start,
            "end": end,
            "seconds": None if last is None else last - (start or 0.0),
            "label": row["label"] or None,
            "group": row.get("group") or None,
            "take": row.get("take") or None,
            "error": about.get("error"),
            "is_recorded": row["path"].startswith("recordings/"),
            **({"reason": row["reason"]} if "reason" in row else {}),
        }

    def _about(self, path: str) -> dict[str, Any]:
        full = self.path / path
        return _header(str(full), _status(full))

    def clips(
        self, *, label: str | None = None, unlabelled: bool = False, left_out: bool = False,
        first: int = 0, count: int = 100,
    ) -> dict[str, Any]:  # fmt: skip
        with self._lock:
            rows = self._left if left_out else self._tray() if unlabelled else self._rows
            if label is not None:
                rows = [row for row in rows if row["label"] == label]
            shown, version, total = rows[first : first + count], self.version, len(rows)
        return {"version": version, "total": total, "clips": [self._clip(row) for row in shown]}

    def recordings(self, *, first: int = 0, count: int = 100, long: bool = False) -> dict[str, Any]:
        with self._lock:
            paths, version = list(self._files), self.version
        if long:
            paths = [p for p in paths if (self._about(p).get("seconds") or 0) >= LONG_S]
        shown = [self._recording(path) for path in paths[first : first + count]]
        return {"version": version, "total": len(paths), "recordings": shown}

    def _recording(self, path: str) -> dict[str, Any]:
        return {
            "id": clip_id(path, "", ""), "name": path.rpartition("/")[2], "seconds": None,
            "rate_hz": None, "channels": None, "bytes": None, "error": None, **self._about(path),
        }  # fmt: skip

    def recording(self, id: str) -> dict[str, Any]:
        with self._lock:
            path = next((p for p in self._files if clip_id(p, "", "") == id), None)
            if path is None:
                raise KeyError(id)
            rows = [row for row in self._rows if row["path"] == path and row["start"] + row["end"]]
        return {**self._recording(path), "regions": [self._clip(row) for row in rows]}

    def _find(self, id: str) -> Row:
        for row in (*self._rows, *self._left, *self._tray()):
            if clip_id(row["path"], row["start"], row["end"]) == id:
                return row
        for path in self._files:
            if clip_id(path, "", "") == id:
                return {**dict.fromkeys(COLUMNS, ""), "path": path}
        raise KeyError(id)

    def locate(self, id: str) -> Located:
        with self._lock:
            row = self._find(id)
        path = self.path / row["path"]
        return Located(path, _number(row["start"]), _number(row["end"]), path.name)

    def locate_upload(self, id: str) -> Located:
        upload = self._uploads[id]
        return Located(upload["path"], None, None, upload["name"])

    def ids_of(self, clips: Iterable[dict[str, Any]]) -> None:
        with self._lock:
            own = [*self._rows, *self._left, *self._tray()]
            known = {}
            for row in own:
                known[row["path"], _number(row["start"]), _number(row["end"])] = row
        for clip in clips:
            inner = os.path.relpath(self.path / clip["path"], self.path).replace(os.sep, "/")
            row = known.get((inner, clip.get("start"), clip.get("end")))
            clip["id"] = row and clip_id(row["path"], row["start"], row["end"])

    def label(self, ids: Sequence[str], label: str | None) -> dict[str, Any]:
        def change() -> str:
            for row in map(self._find, ids):
                if not any(row is own for own in self._rows):
                    self._left = [own for own in self._left if own is not row]
                    self._rows.append(row)
                self._rows[self._at(row)] = {**row, "label": label or ""}
            what = f"labelled {label!r}" if label else "lost its label"
            return f"{amount(len(ids), 'clip')} {what}"

        return self._change(change)

    def add_region(self, recording: str, start: float, end: float, label: str | None) -> Any:
        def change() -> str:
            path = self._find(recording)["path"]
            cells = (path, f"{start:.6g}", f"{end:.6g}", label or "")
            self._rows.append(dict(zip(COLUMNS, cells, strict=True)))
            return "A region was made"

        answer = self._change(change)
        return {**answer, "clip": self._clip(self._rows[-1])}

    def move_region(self, id: str, start: float, end: float, label: str | None) -> Any:
        moved: Row = {}

        def change() -> str:
            row = self._find(id)
            moved.update(row, start=f"{start:.6g}", end=f"{end:.6g}", label=label or "")
            self._rows[self._at(row)] = moved
            return "A region was moved"

        answer = self._change(change)
        return {**answer, "clip": self._clip(moved)}

    def leave_out(self, ids: Sequence[str], reason: str = "") -> dict[str, Any]:
        def change() -> str:
            for row in map(self._find, ids):
                self._rows = [own for own in self._rows if own is not row]
                self._left.append({**row, "reason": reason})
            return f"{amount(len(ids), 'clip')} left out"

        return self._change(change)

    def take_back(self, ids: Sequence[str]) -> dict[str, Any]:
        def change() -> str:
            for row in map(self._find, ids):
                self._left = [own for own in self._left if own is not row]
                self._rows.append({k: v for k, v in row.items() if k != "reason"})
            return f"{amount(len(ids), 'clip')} taken back"

        return self._change(change)

    def delete(self, ids: Sequence[str]) -> dict[str, Any]:
        def change() -> str:
            for row in list(map(self._find, ids)):
                self._rows = [own for own in self._rows if own is not row]
                self._left = [own for own in self._left if own is not row]
            return f"{amount(len(ids), 'clip')} deleted"

        return self._change(change)

    def rename_class(self, old: str, new: str) -> dict[str, Any]:
        def change() -> str:
            for k, row in enumerate(self._rows):
                if row["label"] == old:
                    self._rows[k] = {**row, "label": new}
            return f"{old!r} is {new!r} now"

        return self._change(change)

    def adopt(
        self, manifest: Path, left_out: Sequence[dict[str, Any]] = (), said: str = ""
    ) -> dict[str, Any]:
        def change() -> str:
            columns, rows = _table(manifest)
            for row in rows:
                full = manifest.parent / row["path"]
                row["path"] = os.path.relpath(full, self.path).replace(os.sep, "/")
            self._columns, self._rows = columns, rows
            for clip in left_out:
                inner = os.path.relpath(self.path / clip["path"], self.path).replace(os.sep, "/")
                ends = ["" if clip.get(k) is None else f"{clip[k]:g}" for k in ("start", "end")]
                cells = (inner, *ends, clip.get("label") or "")
                row = dict(zip(COLUMNS, cells, strict=True))
                self._left.append({**row, "reason": str(clip.get("reason", ""))})
            return said.rstrip(".") or "The labels were taken over"

        return self._change(change)

    def import_manifest(self, id: str) -> dict[str, Any]:
        raise KeyError(id)

    def undo(self) -> dict[str, Any]:
        return self._step(self._done, self._undone, "Undone")

    def redo(self) -> dict[str, Any]:
        return self._step(self._undone, self._done, "Done again")

    def _step(self, source: list[Any], target: list[Any], word: str) -> dict[str, Any]:
        with self._lock:
            if not source:
                raise EarmarkError("there is nothing to undo. Change something first.")
            said, before = source.pop()
            target.append((said, (list(self._rows), list(self._left))))
            self._rows, self._left = before
            self._write()
        self.on_change()
        return {"version": self.version, "said": f"{word}: {said}."}

    def _at(self, row: Row) -> int:
        return next(k for k, own in enumerate(self._rows) if own is row)

    def _change(self, change: Callable[[], str]) -> dict[str, Any]:
        with self._lock:
            self.refresh()
            before = list(self._rows), list(self._left)
            try:
                said = change()
                self._write()
            except BaseException:
                self._rows, self._left = before
                raise
            self._done.append((said, before))
            self._undone.clear()
        self.on_change()
        return {"version": self.version, "said": f"{said}.", "undo": said}

    def _write(self) -> None:
        columns = list(dict.fromkeys([*COLUMNS, *self._columns]))
        for row in self._rows:
            columns += [c for c in row if c not in columns and c != "reason"]
        _save(self.path / MANIFEST, columns, self._rows)
        if self._left or (self.path / LEFT_OUT).exists():
            _save(self.path / LEFT_OUT, [*COLUMNS, "reason"], self._left)
        self._columns = columns
        self._files = sorted(self._walk())
        self._status = [_status(self.path / MANIFEST), _status(self.path / LEFT_OUT), self._files]
        self.version += 1

    def begin_upload(self, about: dict[str, Any]) -> str:
        if len(self._uploads) >= MOST_UPLOADS:
            raise EarmarkError(f"{MOST_UPLOADS} uploads are open already. Wait for one of them.")
        if (about.get("bytes") or 0) > UPLOAD_BYTES:
            raise EarmarkError(
                f"the file has more than {UPLOAD_BYTES:,} bytes. Send a shorter one."
            )
        id, place = secrets.token_hex(8), self.path / PRIVATE / "uploads"
        place.mkdir(parents=True, exist_ok=True)
        suffix = Path(about["name"]).suffix[:10] if about["kind"] == "file" else ".pcm"
        path = place / f"{id}{suffix}"
        path.touch(mode=0o600)
        self._uploads[id] = {**about, "path": path, "offset": 0}
        return id

    def append(self, upload: str, offset: int, data: bytes) -> int:
        own = self._uploads[upload]
        if offset != own["offset"]:
            raise EarmarkError(f"the upload is at {own['offset']:,} bytes. Go on from there.")
        if offset + len(data) > UPLOAD_BYTES:
            raise OSError(errno.EFBIG, "too large")
        with open(own["path"], "ab") as file:
            file.write(data)
        own["offset"] += len(data)
        return int(own["offset"])

    def finish_upload(self, upload: str) -> dict[str, Any]:
        own = self._uploads[upload]
        if own["kind"] == "pcm":
            own["path"] = _as_wav(own["path"], own["rate_hz"] or 48_000)
        if own["purpose"] == "try":
            return {"version": self.version, "upload": upload, "clip": None}
        del self._uploads[upload]
        parts = (own.get("folder") or "").replace("\\", "/").split("/")
        safe = [p for p in parts if p.strip(". ")]
        place = self.path.joinpath("recordings", *safe)
        place.mkdir(parents=True, exist_ok=True)
        stem = "".join(c if c.isalnum() or c in " -_.()" else "_" for c in Path(own["name"]).name)
        stem = Path(stem).stem.strip(". ")[:80] or "recording"
        target, number = place / f"{stem}{own['path'].suffix}", 1
        while target.exists():
            number += 1
            target = place / f"{stem} {number}{own['path'].suffix}"
        os.replace(own["path"], target)
        row = {**dict.fromkeys(COLUMNS, ""), "path": target.relative_to(self.path).as_posix()}
        row |= {"label": own.get("label") or "", "take": own.get("take") or ""}

        def change() -> str:
            self._rows.append(row)
            return f"{target.name} was added"

        return {**self._change(change), "clip": self._clip(row)}

    def drop_upload(self, upload: str) -> None:
        self._uploads.pop(upload)["path"].unlink(missing_ok=True)


def _as_wav(path: Path, rate_hz: int) -> Path:
    target = path.with_suffix(".wav")
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(path.read_bytes())
    path.unlink()
    return target


def _table(path: Path) -> tuple[list[str], list[Row]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        rows = [
            {c: row.get(c) or "" for c in dict.fromkeys([*COLUMNS, *columns])} for row in reader
        ]
    return columns, rows


def _save(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    cells = [[row.get(c, "") for c in columns] for row in rows]
    write_whole(path, to_bytes(to_csv([list(columns), *cells])))


def _status(path: Path) -> tuple[int, ...]:
    with contextlib.suppress(OSError):
        status = os.stat(path)
        return status.st_mtime_ns, status.st_size, status.st_ino
    return ()


def _number(cell: str) -> float | None:
    with contextlib.suppress(ValueError):
        return float(cell) if cell else None
    return None


@functools.lru_cache(100_000)
def _header(path: str, status: tuple[int, ...]) -> dict[str, Any]:
    if not status:
        return {"error": "The file is not there any more."}
    try:
        header = header_of(FileSource(Path(path)))
    except AudioError as error:
        return {"error": f"{error.reason}.", "bytes": status[1]}
    seconds = header.frames / header.rate_hz
    return {"seconds": seconds, "rate_hz": header.rate_hz, "channels": header.channels,
            "bytes": status[1]}  # fmt: skip
