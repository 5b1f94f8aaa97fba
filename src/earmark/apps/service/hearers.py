"""The processes that score live streams: the first starts with the first stream."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from earmark.apps.service import frames
from earmark.apps.service.pool import MODULE, Child, EndedError
from earmark.apps.service.problems import RETRY, RETRY_S, ProblemError
from earmark.apps.service.settings import Settings

EACH = 4  # streams of one process before another is started, up to --workers
LATE_S = 120.0  # for an answer, before the process is ended; loading a classifier counts


class WrongError(Exception):
    """Sound that a process refused, in a sentence."""


class Hearer:
    """One process. Streams take turns in the order in which they ask."""

    def __init__(self, child: Child) -> None:
        self._child, self._turn = child, asyncio.Lock()
        self.streams, self.has_ended = 0, False

    async def ask(self, value: dict[str, Any], body: bytes = b"") -> list[str]:
        """Return the texts that answer a message.

        Raises WrongError if the process refuses it, EndedError if the process has ended.
        """
        # shielded, because the answer belongs to this message even if nobody waits for it
        return await asyncio.shield(asyncio.ensure_future(self._ask(frames.pack(value, body))))

    async def _ask(self, message: bytes) -> list[str]:
        async with self._turn:
            if self.has_ended:
                raise EndedError
            try:
                answer, texts = await asyncio.wait_for(self._child.ask(message), LATE_S)
            except (EndedError, asyncio.TimeoutError):
                self.has_ended = True
                await self._child.end()
                raise EndedError from None
        if "error" in answer:
            text = str(answer["error"])
            raise WrongError(f"{text[:1].upper()}{text[1:]}")
        return texts.decode().split("\n") if texts else []

    async def close(self) -> None:
        """Let the process end."""
        self.has_ended = True
        await self._child.close()


class Hearers:
    """The processes, and the places of streams.

    Attributes
    ----------
    paths : dict
        The files of classifiers that a new process loads, by their names in requests.
    streams : int
        The streams that are open.
    heard_s : float
        Seconds of sound that were scored.
    replaced : int
        Processes that failed.
    stopping : asyncio.Event
        Set when the service stops: streams finish what they have.
    on_replaced : callable
        What to call when one has failed, with the role and why.
    """

    def __init__(self, settings: Settings, module: str = MODULE) -> None:
        self._settings, self._module = settings, module
        self.paths = {name: str(path) for name, path in settings.models.items()}
        self._hearers: list[Hearer] = []
        self._starting = asyncio.Lock()
        self._numbers = itertools.count()
        self.streams, self.heard_s, self.replaced = 0, 0.0, 0
        self.stopping = asyncio.Event()
        self.on_replaced: Callable[[str, str], None] = lambda role, why: None

    @contextlib.contextmanager
    def enter(self) -> Iterator[int]:
        """Take a place for a stream and yield its number; a problem if all are taken."""
        most = self._settings.limits.streams
        if self.stopping.is_set():
            text = "The service stops. Open a stream when it runs again."
            raise ProblemError(503, text, RETRY)
        if self.streams >= most:
            text = f"{most} streams are open already. Try again in {RETRY_S} s."
            raise ProblemError(503, text, RETRY)
        self.streams += 1
        try:
            yield next(self._numbers)
        finally:
            self.streams -= 1

    @contextlib.asynccontextmanager
    async def hearer(self) -> AsyncIterator[Hearer]:
        """Yield a process for a stream; EarmarkError if none can be started."""
        async with self._starting:
            hearer = await self._choose()
            hearer.streams += 1
        try:
            yield hearer
        finally:
            hearer.streams -= 1
            self._forget_ended()
            if hearer not in self._hearers and not hearer.streams and not hearer.has_ended:
                await hearer.close()

    async def _choose(self) -> Hearer:
        self._forget_ended()
        least = min(self._hearers, key=lambda hearer: hearer.streams, default=None)
        is_busy = least is None or least.streams >= EACH
        if least is None or (is_busy and len(self._hearers) < self._settings.workers):
            least = await self._start()
            self._hearers.append(least)
        return least

    async def _start(self) -> Hearer:
        return Hearer(await Child.start("listen", self.told(), self._module))

    def told(self) -> dict[str, Any]:
        """Return what a new process is told."""
        return {"models": self.paths, "allow_remote": self._settings.allow_remote}

    def _forget_ended(self) -> None:
        ended = [hearer for hearer in self._hearers if hearer.has_ended]
        for hearer in ended:
            self._hearers.remove(hearer)
            self.replaced += 1
            self.on_replaced("listen", "it ended, or gave no answer")

    async def renew(self) -> None:
        """Let the next stream start a new process, which loads the classifiers anew.

        Streams that are open go on with theirs, which ends after the last of them.
        """
        async with self._starting:
            self._forget_ended()
            before, self._hearers = self._hearers, []
        await asyncio.gather(*(hearer.close() for hearer in before if not hearer.streams))

    def stop(self) -> None:
        """Let every stream finish with what was heard."""
        self.stopping.set()

    async def close(self) -> None:
        """End the processes."""
        self._forget_ended()
        await asyncio.gather(*(hearer.close() for hearer in self._hearers))
        self._hearers = []
