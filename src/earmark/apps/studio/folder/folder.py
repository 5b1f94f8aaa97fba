"""The folder of a studio: its clips, its recordings, and every change to them.

The state is the plain folder: ``earmark.csv`` has the labels, ``left-out.csv`` the clips that were
left out, ``recordings/`` what came through the page, and ``.studio/`` the history and the trash.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from earmark.apps.studio.folder import edits, imports, views
from earmark.apps.studio.folder.changes import CLIPS, LEFT_OUT, TRAY, Move
from earmark.apps.studio.folder.earlier import paths_of, place_in
from earmark.apps.studio.folder.filling import new_row
from earmark.apps.studio.folder.ledger import Ledger
from earmark.apps.studio.folder.names import free_place, safe_folders, safe_name, same_folder
from earmark.apps.studio.folder.scanning import is_sound
from earmark.apps.studio.folder.sheets import Sheet, clip_id
from earmark.apps.studio.folder.uploads import (
    LEAST_S,
    PIECE_S,
    PLACE,
    SOUND,
    UPLOAD_BYTES,
    Upload,
    Uploads,
)
from earmark.apps.studio.mistakes import GONE, UnknownIdError
from earmark.apps.studio.places import PRIVATE, RECORDINGS
from earmark.data.tables import MANIFEST_SUFFIXES
from earmark.errors import EarmarkError, amount
from earmark.system.files import relative_path
from earmark.system.text import UNSHOWABLE

MOST_TAKE = 64  # letters
MOST_REMEMBERED = 1_000  # finished uploads, if a browser asks again


class Located(NamedTuple):
    """Where a clip is: the file, and the stretch of it in seconds."""

    path: Path
    start: float | None
    end: float | None
    name: str


class Folder:
    """The clips and recordings of a folder; several threads may use it.

    Clips are named by ids. Changes return the new ``version``, the sentence ``said`` and ``undo``,
    what undoing would unmake. They raise UnknownIdError (a KeyError) for an id that is not there,
    ConflictError if the folder is not as it was, DiskFullError, and EarmarkError for the rest.
    """

    def __init__(self, path: str | Path) -> None:
        self.ledger = Ledger(Path(path))
        self.path: Path = self.ledger.path
        self._paths = paths_of(self.ledger)
        self._uploads = Uploads(self.ledger)
        self._finished: dict[str, str] = {}
        self._recovered: set[str] = set()  # uploads that were kept although they had not ended
        self._recover()

    @property
    def version(self) -> int:
        """A number that grows with every change that is seen."""
        return self.ledger.version

    @property
    def on_change(self) -> Callable[[], None]:
        """What is called after each change, by whoever made it."""
        return self.ledger.on_change

    @on_change.setter
    def on_change(self, call: Callable[[], None]) -> None:
        self.ledger.on_change = call

    # Reading

    def refresh(self) -> bool:
        """Look at the disk again; return whether something has changed."""
        return self.ledger.refresh()

    def settle(self) -> None:
        """Write the manifest if there is none, before a command reads the folder."""
        self.ledger.settle()

    def state(self) -> dict[str, Any]:
        """Return what ``/api/state`` says of the folder."""
        ledger = self.ledger
        with ledger.lock:
            of_class, bare = views.classes(ledger), views.tray(ledger)
            labelled = sum(map(len, of_class.values()))
            undo, redo = ledger.can_undo()
            return {
                "version": ledger.version,
                "folder": {
                    "name": views.shown(self.path.name),
                    "path": views.shown(f"{self.path}"),
                },
                "counts": {
                    "recordings": len(ledger.found.recordings),
                    "clips": labelled + len(bare),
                    "labelled": labelled,
                    "unlabelled": len(bare),
                    "left_out": len(ledger.sheets[LEFT_OUT].rows),
                },
                "classes": views.class_counts(ledger, of_class),
                "columns": views.groups(ledger.sheets[CLIPS]),
                "undo": undo,
                "redo": redo,
                "manifests": views.tables(ledger),
                "trouble": ledger.trouble(),
                "can_write": ledger.can_write,
                "limits": {"upload_bytes": UPLOAD_BYTES, "piece_s": int(PIECE_S)},
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
        """Return some clips of a class, without a label, that were left out, or all with one."""
        ledger = self.ledger
        with ledger.lock:
            if unlabelled:
                rows = views.tray(ledger)
            else:
                sheet = ledger.sheets[LEFT_OUT if left_out else CLIPS]
                rows = [(sheet, row) for row in sheet.rows if left_out or row.label is not None]
                if label is not None:
                    rows = [(s, r) for s, r in rows if r.label and views.shown(r.label) == label]
            chosen, version = views.page_of(rows, first, count), ledger.version
        clips = views.clips_json(ledger, chosen)
        return {"version": version, "total": len(rows), "clips": clips}

    def recordings(self, *, first: int = 0, count: int = 100, long: bool = False) -> dict[str, Any]:
        """Return some recordings, or those for the editor."""
        ledger = self.ledger
        with ledger.lock:
            places, version = list(ledger.found.recordings), ledger.version
        if long:
            places = [place for place in places if views.is_long(ledger, place)]
        chosen = views.page_of(places, first, count)
        shown = [views.recording_json(ledger, place) for place in chosen]
        return {"version": version, "total": len(places), "recordings": shown}

    def recording(self, id: str) -> dict[str, Any]:
        """Return a recording with its ``regions``: the clips that are a stretch of it."""
        ledger = self.ledger
        with ledger.lock:
            place = self._place(id)
            sheet = ledger.sheets[CLIPS]
            rows = [row for row in sheet.places.get(place, ()) if not row.is_whole]
            rows.sort(key=lambda row: (row.start or 0.0, row.end or 0.0))
            version = ledger.version
        about = views.recording_json(ledger, place, is_alone=True)
        return {
            **about,
            "version": version,
            "regions": views.clips_json(ledger, [(sheet, row) for row in rows]),
        }

    def locate(self, id: str) -> Located:
        """Return where a clip or a recording is, always inside the folder."""
        ledger = self.ledger
        with ledger.lock:
            found = views.find(ledger, id)
            place = found[2].place if found else self._place(id)
        try:
            path = ledger.absolute(place)
        except EarmarkError as error:
            raise UnknownIdError(str(error)) from error
        start, end = (found[2].start, found[2].end) if found else (None, None)
        return Located(path, start, end, path.name)

    def locate_upload(self, id: str) -> Located:
        """Return where a recording is that is only tried."""
        upload = self._uploads.get(id)
        return Located(upload.sound, None, None, str(upload.about.get("name") or ""))

    def ids_of(self, clips: Iterable[dict[str, Any]]) -> None:
        """Add the ``id`` to clips as commands print them; None if the folder has no such clip."""
        with self.ledger.lock:
            for clip in clips:
                place = place_in(self._paths, self.path / str(clip["path"]))
                id = clip_id(place, clip.get("start"), clip.get("end"))
                clip["id"] = id if views.find(self.ledger, id) else None

    # Changing

    def label(self, ids: Sequence[str], label: str | None) -> dict[str, Any]:
        """Give clips a label; None takes it away."""
        return self._changed(lambda: edits.label_clips(self.ledger, ids, label))

    def add_region(
        self, recording: str, start: float, end: float, label: str | None
    ) -> dict[str, Any]:
        """Make a stretch of a recording a clip; the answer has the ``clip``."""
        return self._region(lambda: edits.add_region(self.ledger, recording, start, end, label))

    def add_regions(
        self, stretches: Sequence[tuple[str, float, float]], label: str
    ) -> dict[str, Any]:
        """Make stretches (recording, start, end) clips of a class."""
        return self._changed(lambda: edits.add_regions(self.ledger, stretches, label))

    def move_region(self, id: str, start: float, end: float, label: str | None) -> dict[str, Any]:
        """Give a clip other ends, and perhaps another label; the answer has the ``clip``."""
        return self._region(lambda: edits.move_region(self.ledger, id, start, end, label))

    def leave_out(self, ids: Sequence[str], reason: str = "") -> dict[str, Any]:
        """Leave clips out of training; they are listed in ``left-out.csv``."""
        return self._changed(lambda: edits.leave_out(self.ledger, ids, reason))

    def take_back(self, ids: Sequence[str]) -> dict[str, Any]:
        """Take clips back that were left out."""
        return self._changed(lambda: edits.take_back(self.ledger, ids))

    def delete(self, ids: Sequence[str]) -> dict[str, Any]:
        """Remove stretches; move recordings to the trash."""
        with self.ledger.changing():
            said, sheets, moves = edits.delete(self.ledger, ids)
            self.ledger.commit(said, sheets, moves)
            self.ledger.empty_trash()
        return self._answer(said)

    def rename_class(self, old: str, new: str) -> dict[str, Any]:
        """Give a class another name; if another class has it, the two become one."""
        return self._changed(lambda: edits.rename_class(self.ledger, old, new))

    def adopt(
        self, manifest: Path, left_out: Sequence[dict[str, Any]] = (), said: str = ""
    ) -> dict[str, Any]:
        """Take over a manifest that a command wrote, as one change.

        ``left_out`` are the clips that the command has left out. Clips that are in neither stay.
        """
        return self._changed(lambda: imports.adopted(self.ledger, manifest, left_out, said))

    def import_manifest(self, id: str) -> dict[str, Any]:
        """Take over the labels of another table in the folder, or of its label tracks."""

        def imported() -> edits.Edited:
            if id == views.TRACKS:
                return imports.imported_tracks(self.ledger)
            tables = {clip_id(table, None, None): table for table in self.ledger.found.tables}
            if id not in tables:
                raise UnknownIdError("the table is not there any more. Reload the page.")
            return imports.imported(self.ledger, self.ledger.absolute(tables[id]))

        return self._changed(imported)

    def undo(self) -> dict[str, Any]:
        """Unmake the last change."""
        return self._answer(f"Undone: {self.ledger.undo()}")

    def redo(self) -> dict[str, Any]:
        """Make the change again that was undone last."""
        return self._answer(f"Done again: {self.ledger.redo()}")

    # Uploads

    def begin_upload(self, about: dict[str, Any]) -> str:
        """Begin an upload, and return its id; see :mod:`uploads`."""
        name = safe_name(str(about.get("name") or ""), "recording")
        if about.get("kind") == "file" and about.get("purpose") != "try" and not _is_wanted(name):
            raise EarmarkError(
                f"{name!r} is no recording, by its name. Drop recordings, or tables of labels."
            )
        label = about.get("label")
        with self.ledger.lock:
            if label is not None:
                label = edits.real_label(self.ledger, label)
            self.ledger.refuse()
        take = UNSHOWABLE.sub("", str(about.get("take") or ""))[:MOST_TAKE].strip() or None
        return self._uploads.begin({**about, "name": name, "label": label, "take": take})

    def append(self, upload: str, offset: int, data: bytes) -> int:
        """Add bytes to an upload; return how many have come."""
        return self._uploads.append(upload, offset, data)

    def finish_upload(self, upload: str) -> dict[str, Any]:
        """End an upload; the answer has its ``clip``, or None if it is only tried."""
        if id := self._finished.get(upload) or self._kept_earlier(upload):
            return self._with_clip(self._answer("It was kept already."), id)
        own = self._uploads.get(upload)
        if own.is_try:
            self._uploads.ready(own)
            return {"version": self.version, "upload": upload, "clip": None}
        said, id = self._keep(own)
        self._finished[upload] = id
        while len(self._finished) > MOST_REMEMBERED:
            self._finished.pop(next(iter(self._finished)))
        return self._with_clip(self._answer(said), id)

    def drop_upload(self, upload: str) -> None:
        """Forget an upload, and delete what has come of it, also if an earlier studio had it."""
        id = None if upload in self._finished else self._kept_earlier(upload)
        if id is None:
            self._uploads.drop(upload)
            return
        self._recovered.discard(upload)
        self._tell_of_recovered()
        self.delete([id])

    def _keep(self, upload: Upload, said: str = "Added {}.") -> tuple[str, str]:
        """Move what was uploaded to the recordings; return the sentence and the clip's id."""
        ledger, about = self.ledger, upload.about
        with ledger.changing():
            sound = self._uploads.ready(upload)
            place = self._free_place(about)
            label, take = about.get("label"), about.get("take")
            source = relative_path(sound, self.path)
            move = Move(place, ledger.trash.place_of(place), source, adds=True)
            sheets = self._with_row(place, label, take) if is_sound(place) else {}
            said = said.format(f"'{views.shown(place.rpartition('/')[2])}'")
            ledger.commit(said, sheets, [move])
        with contextlib.suppress(UnknownIdError):
            self._uploads.drop(upload.id)
        return said, clip_id(place, None, None)

    def _with_row(self, place: str, label: str | None, take: str | None) -> dict[str, Sheet]:
        if label is None and take is None:
            return {}
        name = TRAY if label is None else CLIPS
        row, sheet = new_row(self.ledger.sheets[name], place, label, take=take)
        sheet = sheet.with_columns(sheet.columns, sheet.names)
        return {name: Sheet(sheet.columns, sheet.names, (*sheet.rows, row))}

    def _free_place(self, about: dict[str, Any]) -> str:
        folder = self.path / RECORDINGS
        for name in safe_folders(str(about.get("folder") or "")):
            folder = same_folder(folder, name)
        name = str(about["name"])
        if about["kind"] == "pcm":
            name = f"{name.removesuffix('.wav')}.wav"
        place = relative_path(free_place(folder, name), self.path)
        self.ledger.absolute(place)  # no link on the way may lead out
        return place

    def _recover(self) -> None:
        """Keep the recorded pieces that an ended studio has not finished."""
        if not self.ledger.can_write or self.ledger.has_pending:
            return
        lost = list[str]()
        for upload in self._uploads.left():
            is_whole = upload.n_bytes == upload.about.get("bytes")
            if (upload.is_pcm and upload.seconds >= LEAST_S) or (not upload.is_pcm and is_whole):
                with contextlib.suppress(EarmarkError):
                    self._keep(upload, "Recovered {}.")
                    self._recovered.add(upload.id)
                continue
            if not upload.is_pcm:
                lost.append(str(upload.about["name"]))
            self._uploads.drop(upload.id)
        self._tell_of_recovered()
        if lost:
            text = f"'{lost[0]}' had come only in part when the studio ended. Drop it again."
            self.ledger.news.append({"kind": "unfinished", "detail": text})

    def _kept_earlier(self, upload: str) -> str | None:
        """Return the clip of an upload that an earlier studio, or its recovery, has kept."""
        place = self.ledger.history.added_from(f"{PRIVATE}/{PLACE}/{upload}/{SOUND}")
        return None if place is None else clip_id(place, None, None)

    def _tell_of_recovered(self) -> None:
        self.ledger.news = [one for one in self.ledger.news if one["kind"] != "recovered"]
        if n := len(self._recovered):
            verb, them = ("was", "it") if n == 1 else ("were", "them")
            text = f"{amount(n, 'recording')} had not been finished and {verb} kept."
            self.ledger.news.append({"kind": "recovered", "detail": f"{text} Listen to {them}."})

    # Helpers

    def _changed(self, edit: Callable[[], edits.Edited]) -> dict[str, Any]:
        with self.ledger.changing():
            said, sheets = edit()
            self.ledger.commit(said, sheets)
        return self._answer(said)

    def _region(self, edit: Callable[[], tuple[str, dict[str, Sheet], str]]) -> dict[str, Any]:
        with self.ledger.changing():
            said, sheets, id = edit()
            self.ledger.commit(said, sheets)
        return self._with_clip(self._answer(said), id)

    def _with_clip(self, answer: dict[str, Any], id: str) -> dict[str, Any]:
        with self.ledger.lock:
            found = views.find(self.ledger, id)
        clip = views.clip_json(self.ledger, found[1], found[2]) if found else None
        return {**answer, "clip": clip}

    def _answer(self, said: str) -> dict[str, Any]:
        with self.ledger.lock:
            return {"version": self.version, "said": said, "undo": self.ledger.can_undo()[0]}

    def _place(self, id: str) -> str:
        place = views.place_of(self.ledger, id)
        if place is None:
            raise UnknownIdError(GONE)
        return place


def _is_wanted(name: str) -> bool:
    return is_sound(name) or name.lower().endswith((*MANIFEST_SUFFIXES, ".txt"))
