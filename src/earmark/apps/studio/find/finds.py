"""Searches of archives, as the page asks for them: a process answers, and hits get ids."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from earmark.apps.service import frames
from earmark.apps.service.pool import EndedError, LateError, Pool
from earmark.apps.service.problems import RETRY, ProblemError
from earmark.apps.studio.find.sources import Sources
from earmark.apps.studio.folder.folder import Located
from earmark.apps.studio.mistakes import GONE, UnknownIdError
from earmark.apps.studio.places import ARCHIVES
from earmark.embeddings.archive_file import is_archive
from earmark.errors import EarmarkError

MODULE = "earmark.apps.studio.find.child"
ANSWER_S = 300.0  # for an answer: the first one of a large archive loads a network
IDLE_S = 900.0  # the process ends when it was not asked for so long: it holds gigabytes
MOST_SOUNDS = 100_000  # recordings whose ids are known


class GivesIds(Protocol):
    """What of a folder of the studio is needed here."""

    path: Path

    def ids_of(self, clips: Any) -> None: ...


def archives_in(folder: Path) -> dict[str, Path]:
    """Return the archives of a folder by name; links are left out."""
    place = folder / ARCHIVES
    if place.is_symlink() or not place.is_dir():
        return {}
    with os.scandir(place) as entries:
        names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    return {n: place / n for n in names if not n.startswith(".") and is_archive(place / n)}


class Finds:
    """The archives of a folder. Call its methods on one event loop.

    Parameters
    ----------
    folder : Path
    sources : Sources
        The folders whose recordings may be played.
    seconds : float
        For one answer.
    """

    def __init__(self, folder: Path, sources: Sources, seconds: float = ANSWER_S) -> None:
        self.folder, self.sources, self._seconds = folder, sources, seconds
        self._pool = Pool("search", 1, {}, MODULE)
        self._starting, self._is_started, self._asking = asyncio.Lock(), False, 0
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._sounds: collections.OrderedDict[str, Path] = collections.OrderedDict()

    @property
    def is_awake(self) -> bool:
        """Whether the process runs."""
        return self._is_started

    def archive(self, name: str) -> Path:
        """Return the folder of an archive; UnknownIdError if there is none of this name."""
        path = archives_in(self.folder).get(name)
        if path is None:
            raise UnknownIdError(f"there is no archive {name!r} any more. Choose another one.")
        return path

    async def ask(self, do: str, archive: str, **asked: Any) -> dict[str, Any]:
        """Return the answer of the process to a question about an archive.

        Raises EarmarkError for what the process refuses, and a problem if it does not answer.
        """
        path = await asyncio.to_thread(self.archive, archive)
        return await self._answer({"do": do, "archive": str(path), **asked})

    async def cut(self, stretches: Sequence[Located], to: Path) -> list[Path]:
        """Write stretches of recordings into a folder; return the files, in the same order."""
        asked = [{"path": str(s.path), "start": s.start, "end": s.end} for s in stretches]
        value = await self._answer({"do": "cut", "stretches": asked, "to": str(to)})
        return [Path(path) for path in value["files"]]

    async def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._asking += 1
        try:
            await self._start()
            deadline = asyncio.get_running_loop().time() + self._seconds
            value, _ = await self._pool.ask(frames.pack(asked), deadline)
        except LateError:
            text = f"There was no answer within {self._seconds:g} s. Use the command instead."
            raise ProblemError(504, text) from None
        except EndedError:
            text = (
                "The process that searches has ended, most often because memory ran out. Another"
                " one starts; try again."
            )
            raise ProblemError(503, text, RETRY) from None
        finally:
            self._asking -= 1
            self._wait()
        if "error" in value:
            raise EarmarkError(str(value["error"]))
        return value

    def locate(self, id: str) -> Located:
        """Return where a recording is that was found; UnknownIdError if none was."""
        if id not in self._sounds:
            raise UnknownIdError(GONE)
        path = self._sounds[id]
        return Located(path, None, None, path.name)

    def shown(self, folder: GivesIds, stretches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return stretches of an answer as the page takes them. Reads the disk: use a thread.

        Each has the ``id`` of its recording, by which it is played, whether that is one of the
        folder (``is_own``), and the reason why it cannot be played (``silent``), or None.
        """
        about: dict[str, dict[str, Any]] = {}
        for stretch in stretches:
            place = stretch["recording"]["place"]
            about.setdefault(place, {"path": place})
        folder.ids_of(about.values())
        for place, value in about.items():
            value["is_own"] = value["id"] is not None
            value["silent"] = self._silent(place)
            if value["id"] is None:
                value["id"] = self._id(place) if value["silent"] is None else ""
        return [_shown(stretch, about[stretch["recording"]["place"]]) for stretch in stretches]

    async def close(self) -> None:
        """End the process."""
        if self._timer is not None:
            self._timer.cancel()
        if self._ending is not None:
            await self._ending
        await self._pool.close()

    def _id(self, place: str) -> str:
        id = hashlib.sha256(b"archived\0" + os.fsencode(place)).hexdigest()[:16]
        self._sounds[id] = Path(place)
        self._sounds.move_to_end(id)
        while len(self._sounds) > MOST_SOUNDS:
            self._sounds.popitem(last=False)
        return id

    def _silent(self, place: str) -> str | None:
        """Return why a recording cannot be played, or None."""
        if not self.sources.may_play(place):
            return "outside"
        return None if os.path.isfile(place) else "gone"

    async def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._ending is not None:
            await asyncio.shield(self._ending)
        async with self._starting:
            if not self._is_started:
                await self._pool.start()
                self._is_started = True

    def _wait(self) -> None:
        """Let the process end if nothing is asked for a while."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._asking:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._rest)

    def _rest(self) -> None:
        if not self._asking:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        pool, self._pool = self._pool, Pool("search", 1, {}, MODULE)
        self._is_started = False
        await pool.close()


def _shown(stretch: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    recording = stretch.pop("recording")
    path = recording["path"]
    return {
        **stretch,
        "id": about["id"],
        "is_own": about["is_own"],
        "silent": "gone" if recording["is_gone"] and about["silent"] is None else about["silent"],
        "name": path.rpartition("/")[2],
        "path": path,
        "dataset": recording["dataset"],
        "seconds": recording["seconds"],
        "columns": recording["columns"],
    }
