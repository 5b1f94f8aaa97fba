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
    pool: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    most: int,
    size: Callable[[T | R], int] | None = None,
    most_bytes: int = 0,
) -> Iterator[R]:
    """Map in order like ``pool.map``, but take from ``items`` only ``most`` ahead of the result.

    With ``size``, no more are taken either while those that wait, or their results, have more than
    ``most_bytes``.
    """
    waiting: collections.deque[tuple[T, Future[R]]] = collections.deque()

    def is_much() -> bool:
        if len(waiting) > most:
            return True
        return size is not None and sum(size(_latest(*pair)) for pair in waiting) > most_bytes

    for item in items:
        waiting.append((item, pool.submit(function, item)))
        while waiting and is_much():
            yield waiting.popleft()[1].result()
    while waiting:
        yield waiting.popleft()[1].result()


def _latest(item: T, future: Future[R]) -> T | R:
    return future.result() if future.done() and not future.exception() else item


def one_ahead(pool: Executor, items: Iterator[T]) -> Iterator[T]:
    """Yield ``items``; a thread of ``pool`` makes the next one meanwhile."""
    end: list[T] = []

    def take() -> list[T]:
        return [item] if (item := next(items, None)) is not None else end

    waiting = pool.submit(take)
    while taken := waiting.result():
        waiting = pool.submit(take)
        yield from taken
