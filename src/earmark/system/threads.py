"""Threads that work ahead, but not too far, and how many of them there should be."""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def workers(
    threads: int | None = None, initializer: Callable[..., object] | None = None, *arguments: Any
) -> Iterator[ThreadPoolExecutor]:
    """Yield threads; after an error or Ctrl-C, do not wait for what they have not begun."""
    with ThreadPoolExecutor(threads, "earmark", initializer, arguments) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def map_ahead(
    pool: Executor, function: Callable[[T], R], items: Iterable[T], most: int
) -> Iterator[R]:
    """Map in order like ``pool.map``, but take from ``items`` only ``most`` ahead of the result."""
    waiting: collections.deque[Future[R]] = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
