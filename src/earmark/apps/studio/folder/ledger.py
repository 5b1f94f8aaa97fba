"""The sheets of a folder on disk: read, noticed when another program writes them, and changed.

Each change is one step: it is written down first, then files are moved and sheets replaced whole.
A change that a crash interrupted is completed when the folder is next read.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from earmark.apps.studio.folder.changes import (
    CLIPS,
    LEFT_OUT,
    TRAY,
    Change,
    Edit,
    Move,
    changed,
    difference,
)
from earmark.apps.studio.folder.history import History
from earmark.apps.studio.folder.opening import new_tracks, opened
from earmark.apps.studio.folder.scanning import Scan, is_inside, scan, stamp
from earmark.apps.studio.folder.sheets import REASON, Sheet, clip_id, empty_sheet, read_sheet
from earmark.apps.studio.folder.trash import Trash
from earmark.apps.studio.mistakes import ConflictError, ImpossibleError, of_the_disk
from earmark.apps.studio.places import LEFT_OUT_FILE, MANIFEST, PRIVATE
from earmark.errors import DataError, EarmarkError, amount
from earmark.system.files import whole_file

LOCK_S = 10.0  # the most to wait for another studio on the same folder
FILES = {CLIPS: MANIFEST, LEFT_OUT: LEFT_OUT_FILE, TRAY: f"{PRIVATE}/tray.csv"}
Trouble = dict[str, str]


class Ledger:
    """What is known of a folder, in memory and on disk; several threads may use it.

    ``version`` grows with every change that is seen. ``on_change`` is called after each, without
    the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.version = time.time_ns() // 1_000_000  # above those of earlier runs
        self.on_change: Callable[[], None] = lambda: None
        self.lock = threading.RLock()
        self.sheets = {CLIPS: empty_sheet(), LEFT_OUT: empty_sheet(REASON), TRAY: empty_sheet()}
        self.found = Scan()
        self.ids: dict[str, str] = {}  # of recordings
        self.news: list[Trouble] = []  # of what was recovered at the start
        self.trash = Trash(self.path)
        self.history = History(self.path / PRIVATE)
        self._stamps: dict[str, Any] = {}
        self._wrong: dict[str, Trouble] = {}
        self._device = self._device_now()
        self._is_open = False
        self._refresh()
        self._complete()

    # Reading

    def refresh(self) -> bool:
        """Look at the disk again; return whether anything has changed."""
        with self.lock:
            is_new = self._refresh()
        if is_new:
            self.on_change()
        return is_new

    def trouble(self) -> list[Trouble]:
        """Return what is wrong with the folder, each with its ``kind`` and a ``detail``."""
        with self.lock:
            found = self.found
            links = [
                _told("links", found.links, "is a link out of the folder, or to another folder", "")
            ]
            unlisted = [_told("unreadable", found.unlisted, "cannot be listed", "permissions")]
            cut = [{"kind": "many", "detail": _MANY}] if found.is_cut else []
            readonly = [] if self._is_writable() else [self._readonly()]
            all_of = [*self._wrong.values(), *links, *unlisted, *cut, *readonly, *self.news]
            return [dict(one) for one in all_of if one]

    @property
    def can_write(self) -> bool:
        """Whether the folder can be changed now."""
        return not {"gone", *FILES} & self._wrong.keys() and self._is_writable()

    def can_undo(self) -> tuple[str | None, str | None]:
        """Return what undo and redo would change."""
        with self.lock:
            done, undone = self.history.done, self.history.undone
            return done[-1].said if done else None, undone[-1].said if undone else None

    def new_tracks(self) -> list[str]:
        """Return the label tracks that the manifest has not taken over."""
        if self._is_unwritten():  # what is shown is theirs
            return []
        return new_tracks(self.path, self.found, self.sheets[CLIPS])

    def absolute(self, place: str) -> Path:
        """Return the path of a recording; DataError if it is not inside the folder."""
        path = self.path / place
        if not is_inside(path, self.path):
            raise DataError(
                f"{place} lies outside the folder, so the studio does not open it. Copy it into the"
                " folder."
            )
        return path

    def _refresh(self) -> bool:
        if self._device_now() != self._device and self._is_open:
            return self._note("gone", f"{self.path} is not there any more. Bring it back.")
        try:
            is_new = self._note("gone", "")
            if not self.found.is_current():
                found = scan(self.path)
                is_new |= self._scanned(found)
            is_new |= self._read_sheets()
        except OSError as error:
            return self._note("gone", f"cannot read {self.path}: {error.strerror}. Bring it back.")
        self._is_open, self._device = True, self._device_now()
        self.version += is_new
        return is_new

    def _scanned(self, found: Scan) -> bool:
        both = [(one.links, one.unlisted, one.tables, one.tracks) for one in (found, self.found)]
        is_new = both[0] != both[1] or found.recordings.keys() != self.found.recordings.keys()
        self.found = found
        if is_new:
            known = {place: id for id, place in self.ids.items()}
            ids = (known.get(place) or clip_id(place, None, None) for place in found.recordings)
            self.ids = dict(zip(ids, found.recordings, strict=True))
        return is_new

    def _read_sheets(self) -> bool:
        is_new = False
        for name, file in FILES.items():
            now: Any = stamp(self.path / file)
            if name == CLIPS and now is None:
                tracks = tuple(stamp(self.path / track) for track in self.found.tracks)
                now = (tuple(self.found.recordings), tracks)
            if now == self._stamps.get(name, ""):
                continue
            self._stamps[name] = now
            is_new = True
            self._read_sheet(name, self.path / file)
        return is_new

    def _read_sheet(self, name: str, path: Path) -> None:
        wrong, detail = list[str](), ""
        try:
            if path.is_symlink():
                raise DataError(f"{path} is a link. Put a file in its place.")
            if os.path.lexists(path):
                need_labels = name == CLIPS
                read = read_sheet(path, self.path, need_labels=need_labels, base=self.path)
                self.sheets[name] = read
            elif name == CLIPS:
                self.sheets[name], wrong = opened(self.path, self.found)
            else:
                self.sheets[name] = empty_sheet(*([REASON] if name == LEFT_OUT else []))
        except EarmarkError as error:
            detail = f"{error} Nothing is changed until it can be read."
        self._note(name, detail, "manifest")
        self._note("layout", " ".join(wrong[:3]))

    def _note(self, key: str, detail: str, kind: str = "") -> bool:
        """Keep or forget a trouble; return whether it is new."""
        before = self._wrong.get(key)
        if not detail:
            return self._wrong.pop(key, None) is not None
        self._wrong[key] = {"kind": kind or key, "detail": detail}
        is_new = before != self._wrong[key]
        self.version += is_new and key == "gone"
        return is_new

    def _device_now(self) -> int | None:
        try:
            return os.stat(self.path).st_dev
        except OSError:
            return None

    def _is_writable(self) -> bool:
        return "gone" in self._wrong or os.access(self.path, os.W_OK | os.X_OK)

    def _readonly(self) -> Trouble:
        detail = f"{self.path} may not be written, so nothing can be changed. Check its permissions"
        return {"kind": "readonly", "detail": f"{detail}."}

    # Changing

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the folder, as it is on disk now; EarmarkError if it cannot be changed."""
        before = self.version
        try:
            with self.lock, self._held():
                self._refresh()
                self.refuse()
                self._complete_held()
                yield
        finally:
            if self.version != before:
                self.on_change()

    def settle(self) -> None:
        """Write the manifest if there is none, so that commands read what is shown."""
        with self.changing():
            if self._is_unwritten() and self.sheets[CLIPS].rows:
                with self._errors("write the manifest"):
                    self._write([CLIPS])

    def commit(
        self,
        said: str,
        sheets: dict[str, Sheet],
        moves: Iterable[Move] = (),
    ) -> Change:
        """Make a change: these sheets become the folder's. Call it inside :meth:`changing`."""
        edits, columns = difference(self.sheets, sheets)
        number = self.history.next_number()
        change = Change(number, said, edits, tuple(moves), columns)
        self._do("do", change, {**self.sheets, **sheets})
        return change

    def undo(self) -> str:
        """Unmake the last change; return what it was."""
        return self._step("undo", "There is nothing to undo.")

    def redo(self) -> str:
        """Make the change again that was undone last; return what it was."""
        return self._step("redo", "There is nothing to redo.")

    def _step(self, word: str, nothing: str) -> str:
        with self.changing():
            stack = self.history.done if word == "undo" else self.history.undone
            if not stack:
                raise ConflictError(nothing)
            change = stack[-1]
            try:
                sheets = changed(self.sheets, change, forward=word == "redo")
                self._do(word, change, sheets)
            except ImpossibleError as error:
                self._pass_over(word, stack)
                raise ConflictError(_passed_over(word, change.said, f"{error}", stack)) from error
        return change.said

    def _pass_over(self, word: str, stack: list[Change]) -> None:
        """Forget a change that cannot be unmade, or made again: it must not be in the way."""
        with self._errors(f"{word} the change"):
            self.history.pass_over(stack)
        self.version += 1

    def _do(self, word: str, change: Change, sheets: dict[str, Sheet]) -> None:
        before, names = self.sheets, [name for name in FILES if sheets[name] != self.sheets[name]]
        if self._is_unwritten() and CLIPS not in names:
            names.append(CLIPS)
        with self._errors("save the change"), self.history.writing(word, change):
            moved = list[Move]()
            try:
                self.sheets = sheets
                for move in change.moves:
                    self.trash.move(move, word != "undo")
                    moved.append(move)
                self._write(_gaining_first(names, change.edits, word != "undo"))
            except BaseException:
                self.sheets = before
                for move in reversed(moved):
                    self.trash.move(move, word == "undo")
                raise
        self.version += 1
        self._rescan(change.moves)

    def _write(self, names: Sequence[str]) -> None:
        """Replace the files of sheets, the first of ``names`` first; all are written before."""
        with contextlib.ExitStack() as stack:
            for name in reversed(names):
                part = stack.enter_context(whole_file(self.path / FILES[name]))
                with part.open("wb") as file:
                    file.write(self.sheets[name].content())
                    file.flush()
                    os.fsync(file.fileno())
        for name in names:
            self._stamps[name] = stamp(self.path / FILES[name])

    def _is_unwritten(self) -> bool:
        return not os.path.lexists(self.path / MANIFEST)

    def _rescan(self, moves: Sequence[Move]) -> None:
        """Look at the folder again after recordings have come or gone."""
        if moves:
            self._scanned(scan(self.path))

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the lock of the folder's own place, which is made if there is none."""
        with self._errors("change the folder"):
            self.own()
            held = FileLock(self.path / PRIVATE / "lock", thread_local=False)
            try:
                held.acquire(timeout=LOCK_S)
            except Timeout:
                raise ConflictError(
                    "another studio is changing this folder. Wait a moment and try again."
                ) from None
        try:
            self.history.refresh()
            yield
        finally:
            held.release()

    def own(self, *inner: str) -> Path:
        """Return a folder for the studio's own files, which is made; OSError if it cannot be."""
        path = self.path
        for name in (PRIVATE, *inner):
            path /= name
            if path.is_symlink():
                raise EarmarkError(
                    f"{path} is a link. Remove it: the studio keeps its own files there."
                )
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o755)
        return path

    @property
    def has_pending(self) -> bool:
        """Whether a change that a crash interrupted could not be completed yet."""
        return self.history.pending is not None

    def refuse(self) -> None:
        """Raise ConflictError if the folder cannot be changed as it is now."""
        for key in ("gone", *FILES):
            if key in self._wrong:
                raise ConflictError(self._wrong[key]["detail"])

    def _complete(self) -> None:
        """Complete, at the start, what a crash has interrupted."""
        if not (self.path / PRIVATE).is_dir() or not self.can_write:
            return
        with contextlib.suppress(EarmarkError), self.lock, self._held():
            self._complete_held()
            self.empty_trash()

    def empty_trash(self) -> None:
        """Delete for good what was deleted long ago; call it while the folder is held."""
        with contextlib.suppress(OSError):  # another time
            self.trash.empty()

    def _complete_held(self) -> None:
        pending = self.history.pending
        if pending is None:
            return
        change, forward = pending
        before = self.sheets
        with self._errors("complete the last change"):
            self.sheets = changed(before, change, forward=forward, is_repeat=True)
            try:
                for move in change.moves:
                    with contextlib.suppress(FileNotFoundError, ConflictError):
                        self.trash.move(move, forward)
                names = [name for name in FILES if self.sheets[name] != before[name]]
                self._write(_gaining_first(names, change.edits, forward))
                self.history.end(pending)
            except BaseException:
                self.sheets = before
                raise
        self.version += 1
        self._rescan(change.moves)

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Say in a sentence what the system could not do."""
        try:
            yield
        except FileNotFoundError as error:
            if not self.path.is_dir():
                raise ConflictError(f"{self.path} is not there any more. Bring it back.") from error
            raise of_the_disk(error, what) from error
        except OSError as error:
            raise of_the_disk(error, what) from error


_MANY = "There are more recordings than the studio shows. Open a sub-folder of it."


def _passed_over(word: str, said: str, why: str, older: Sequence[Change]) -> str:
    made = "undone" if word == "undo" else "done again"
    again = f" {word.capitalize()} again goes on with the change before it." if older else ""
    return f"“{said.rstrip('.')}” cannot be {made}: {why}{again}"


def _told(kind: str, places: Sequence[str], what: str, check: str) -> Trouble | None:
    if not places:
        return None
    more = f" and {amount(len(places) - 1, 'more path')}" if len(places) > 1 else ""
    help = f"Check its {check}." if check else "It is not read; copy its recordings into the folder"
    return {"kind": kind, "detail": f"{places[0]!r} {what}{more}. {help.rstrip('.')}."}


def _gaining_first(names: Sequence[str], edits: Sequence[Edit], forward: bool) -> list[str]:
    """Return the sheets in the order to write them: those that get rows first."""

    def lost(name: str) -> int:
        own = [(e.was, e.now) if forward else (e.now, e.was) for e in edits if e.sheet == name]
        return sum(now is None for _, now in own) - sum(was is None for was, _ in own)

    return sorted(names, key=lost)
