"""One running studio: its folder, jobs, sounds and processes, and what they tell the page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from earmark.apps.service.admission import Admission
from earmark.apps.service.logs import Log, frames_of
from earmark.apps.service.metrics import Metrics
from earmark.apps.service.settings import is_loopback
from earmark.apps.studio.find.finds import Finds
from earmark.apps.studio.find.rounds import Rounds
from earmark.apps.studio.find.sources import Sources
from earmark.apps.studio.folder.folder import Folder, Located
from earmark.apps.studio.jobs.jobs import Jobs
from earmark.apps.studio.learned import shelves
from earmark.apps.studio.learned.remedies import Remedies
from earmark.apps.studio.learned.reviews import Reviews
from earmark.apps.studio.live.live import StudioHearers
from earmark.apps.studio.live.trying import Tries
from earmark.apps.studio.mistakes import UnknownIdError
from earmark.apps.studio.notices import Notices
from earmark.apps.studio.settings import StudioSettings
from earmark.apps.studio.sounds.sounds import Sounds
from earmark.errors import EarmarkError
from earmark.version import __version__

LOOK_S = 2.0  # seconds between two looks at the disk; only while a page is open


class Studio:
    """A folder in a browser.

    Parameters
    ----------
    path : Path
        The folder.
    settings : StudioSettings
        Its address, certificate and limits.
    """

    def __init__(self, path: Path, settings: StudioSettings, log: Log | None = None) -> None:
        self.path, self.settings, self.log = path, settings, log or Log()
        self.admission, self.metrics = Admission(settings.limits), Metrics()
        self.notices, self.hearers = Notices(), StudioHearers(settings, path)
        self.tries, self.sounds = Tries(path), Sounds()
        self.sources = Sources(path, settings.recordings)
        self.finds, self.rounds = Finds(path, self.sources), Rounds(path)
        self.jobs = Jobs(path, self._job_changed, self.sources.named)
        self._remedies: Remedies | None = None
        self._reviews: Reviews | None = None
        self._opening: asyncio.Future[Folder] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: Any = None
        self._trouble: Any = []

    def check_place(self) -> None:
        """Take every request: the studio has no queue."""

    async def start(self) -> None:
        """Begin to read the folder and to take up jobs; returns at once."""
        loop = asyncio.get_running_loop()
        self._opening = asyncio.ensure_future(asyncio.to_thread(self._open, loop))
        for work in (self.sounds.start(), self._take_up(), self._watch()):
            self._soon(work)

    async def folder(self) -> Folder:
        """Return the folder, once it is read."""
        assert self._opening is not None
        return await asyncio.shield(self._opening)

    def locate(self, folder: Folder, id: str) -> Located:
        """Return where a sound is: of the folder, found in an archive, or an upload to try.

        Raises UnknownIdError.
        """
        for place in (folder.locate, self.finds.locate):
            with contextlib.suppress(UnknownIdError):
                return place(id)
        return folder.locate_upload(id)

    async def remedies(self) -> Remedies:
        """Return what takes over the results of remedies."""
        if self._remedies is None:
            folder = await self.folder()
            self._remedies = self._remedies or Remedies(folder, self.jobs)
        return self._remedies

    async def reviews(self) -> Reviews:
        """Return the reviews of the folder."""
        if self._reviews is None:
            folder = await self.folder()
            self._reviews = self._reviews or Reviews(folder)
        return self._reviews

    async def close(self) -> None:
        """End the processes. Jobs go on; another studio takes them up."""
        if self._opening is not None:
            self._opening.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closing = (self.jobs, self.hearers, self.tries, self.sounds, self.finds)
        await asyncio.gather(*(each.close() for each in closing))

    async def state(self) -> dict[str, Any]:
        """Return the JSON of ``/api/state``."""
        folder = await self.folder()
        state = await asyncio.to_thread(folder.state)
        return {
            **state,
            "models": list(await asyncio.to_thread(shelves.model_files, self.path)),
            "jobs": self.jobs.list(),
            "is_remote": not is_loopback(self.settings.host),
            "version_text": f"earmark {__version__}",
        }

    async def _take_up(self) -> None:
        """Take up the jobs of an earlier server; what they have made belongs to the folder."""
        await self.remedies()
        await self.jobs.attach()

    def _open(self, loop: asyncio.AbstractEventLoop) -> Folder:
        folder = Folder(self.path)

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._folder_changed, folder)

        folder.on_change = tell
        return folder

    def _folder_changed(self, folder: Folder) -> None:
        self.notices.publish("state", {"version": folder.version})

    def _job_changed(self, job: dict[str, Any]) -> None:
        self.notices.publish("job", job, job["id"])
        if self._remedies is not None:
            self._remedies.heed(job)
        if job["ended_at"] is not None and self._opening is not None:
            self._soon(self.look())

    def _soon(self, work: Coroutine[Any, Any, None], name: str | None = None) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Log what went wrong beside all requests; the next request that needs it says so, too."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            why = {"error": type(error).__name__, "traceback": frames_of(error.__traceback__)}
            if isinstance(error, EarmarkError):
                why = {"detail": str(error)}
            self.log.event("fault", "error", **why)

    async def _watch(self) -> None:
        """Look at the disk from time to time: the command line may write to it as well."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self.notices.pages and not any(t.get_name() == "look" for t in self._tasks):
                self._soon(self.look(), "look")

    async def look(self) -> None:
        """Look at the disk now, and tell the page what has changed."""
        folder = await self.folder()
        await asyncio.to_thread(folder.refresh)
        trouble = (await asyncio.to_thread(folder.state))["trouble"]
        if trouble != self._trouble:
            self._trouble = trouble
            self.notices.publish("folder", {"trouble": trouble})
        seen = await asyncio.to_thread(shelves.signature, self.path)
        if seen != self._seen:
            if self._seen is not None:
                self.notices.publish("models", {})
            self._seen = seen
