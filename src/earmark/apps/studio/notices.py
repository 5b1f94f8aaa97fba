"""What has changed, told to every open page: server-sent events that a page can take up again.

Every event says how something is now, not what happened to it. So only the newest of each is kept,
and a page that was away, or reads slowly, gets what it needs and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

from earmark.apps.service.problems import RETRY, ProblemError
from earmark.system.jsons import json_text

BEAT_S = 15.0  # between signs of life
AGAIN_MS = 1_000  # before a browser connects again
MOST_PAGES = 200  # that may be open
MOST_KEPT = 200  # things of which the newest event is kept


class Notices:
    """The newest event of each thing, and the pages that wait for others.

    Attributes
    ----------
    pages : int
        How many pages listen.
    """

    def __init__(self) -> None:
        self._run, self._number = secrets.token_hex(4), 0
        self._newest: dict[tuple[str, str], tuple[int, str]] = {}  # the oldest first
        self._waiting: set[asyncio.Event] = set()
        self._is_closed = False

    @property
    def pages(self) -> int:
        return len(self._waiting)

    def publish(self, kind: str, data: dict[str, Any], key: str = "") -> None:
        """Tell every page how a thing is now; ``key`` tells things of one kind apart."""
        self._number += 1
        self._newest.pop((kind, key), None)
        self._newest[kind, key] = self._number, json_text(data)
        if len(self._newest) > MOST_KEPT:
            del self._newest[next(iter(self._newest))]
        self._wake()

    def close(self) -> None:
        """Let every page go."""
        self._is_closed = True
        self._wake()

    def listen(self, last: str | None) -> AsyncIterator[bytes]:
        """Return the bytes of events after the one with the id ``last``; a problem if too many."""
        if self.pages >= MOST_PAGES:
            text = f"{MOST_PAGES} pages are open already. Close one."
            raise ProblemError(503, text, RETRY)
        run, _, number = (last or "").partition("-")
        is_known = run == self._run and number.isdecimal() and len(number) < 20
        return self._events(int(number) if is_known else 0)

    async def _events(self, seen: int) -> AsyncIterator[bytes]:
        with self._page() as news:
            yield f"retry: {AGAIN_MS}\n\n".encode()
            while not self._is_closed:
                news.clear()
                for (kind, _), (number, text) in list(self._newest.items()):
                    if number > seen:
                        yield f"id: {self._run}-{number}\nevent: {kind}\ndata: {text}\n\n".encode()
                        seen = number
                try:
                    await asyncio.wait_for(news.wait(), BEAT_S)
                except asyncio.TimeoutError:
                    yield b": still here\n\n"

    @contextlib.contextmanager
    def _page(self) -> Iterator[asyncio.Event]:
        news = asyncio.Event()
        self._waiting.add(news)
        try:
            yield news
        finally:
            self._waiting.discard(news)

    def _wake(self) -> None:
        for news in self._waiting:
            news.set()
