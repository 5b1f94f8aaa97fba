"""Threads that read: a few for files, and many for recordings elsewhere, which they wait for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from earmark.audio.decoder import Refusal
from earmark.audio.fetching import fetch
from earmark.audio.uri import Ranged, UriSource
from earmark.data.clip import Clip
from earmark.embeddings.hashes import KnownVersions
from earmark.embeddings.stages import Failure, Request

FETCHERS = 32  # recordings that are fetched at once; each thread waits for a server


class Readers(Executor):
    """Runs a task in the pool for the place of its first argument, a clip or a request.

    A recording that is read in blocks where it lies is decoded while they come.
    """

    def __init__(self, files: ThreadPoolExecutor, elsewhere: ThreadPoolExecutor) -> None:
        self.files, self.elsewhere = files, elsewhere

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        item: Clip | Request = arguments[0]
        waits = isinstance(item.source, (UriSource, Ranged))
        return (self.elsewhere if waits else self.files).submit(function, *arguments, **named)


@contextlib.contextmanager
def open_readers(threads: int) -> Iterator[Readers]:
    """Yield pools of ``threads`` for files and ``FETCHERS`` for the rest; threads start if needed.

    An error or Ctrl-C drops the tasks that have not started.
    """
    with contextlib.ExitStack() as stack:
        pools = []
        for count, name in ((threads, "earmark-read"), (FETCHERS, "earmark-fetch")):
            pool = stack.enter_context(ThreadPoolExecutor(count, name))
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            pools.append(pool)
        yield Readers(*pools)


def needs_no_fetching(item: object) -> bool:
    """Return whether an item has its recording, or will not be decoded."""
    return not (isinstance(item, Request) and item.is_known and isinstance(item.source, UriSource))


def fetch_known(request: Request, known: KnownVersions) -> Request | Failure:
    """Fetch the recording of a request that was made without reading it."""
    clip, source = request.clip, request.source
    assert isinstance(source, UriSource)
    is_stretch = clip.start is not None or clip.end is not None
    try:
        fetched = fetch(source, is_stretch, known.objects.status(source.uri))
    except Refusal as refusal:
        return Failure(clip, f"{refusal}.", refusal.kind, request.key)
    return replace(request, source=fetched, is_known=False)
