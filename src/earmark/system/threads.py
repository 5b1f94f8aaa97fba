"""Threads that work ahead, but not too far, and how many of them there should be."""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar, cast

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
    is_done: Callable[[T], bool] | None = None,
) -> Iterator[R]:
    """Map in order like ``pool.map``, but take from ``items`` only ``most`` ahead of the result.

    With ``size``, no more are taken either while those that wait, or their results, have more than
    ``most_bytes``; a result that is not there yet counts as the largest so far, which the first one
    tells. An item of which ``is_done`` is true is its own result.
    """
    waiting: collections.deque[Callable[[], R]] = collections.deque()
    size, is_bounded = size or _nothing, size is not None
    lock, held, largest = threading.Lock(), 0, -1

    def hold(count: int) -> None:
        nonlocal held
        with lock:
            held += count

    def work(item: T, expected: int) -> R:
        nonlocal largest
        result = function(item)
        hold(size(result) - expected)
        with lock:
            largest = max(largest, size(result))
        return result

    def take() -> R:
        result = waiting.popleft()()
        hold(-size(result))
        return result

    for item in items:
        if is_done is not None and is_done(item):
            hold(size(item))
            waiting.append(functools.partial(cast(Callable[[T], R], _same), item))
        else:
            is_first, expected = largest < 0, max(size(item), largest)
            hold(expected)
            waiting.append(pool.submit(work, item, expected).result)
            if is_bounded and is_first:
                waiting[-1]()
        while waiting and (len(waiting) > most or held > most_bytes):
            yield take()
    while waiting:
        yield take()


def _nothing(_: object) -> int:
    return 0


def _same(item: T) -> T:
    return item


def one_ahead(pool: Executor, items: Iterator[T]) -> Iterator[T]:
    """Yield ``items``; a thread of ``pool`` makes the next one meanwhile."""
    end: list[T] = []

    def take() -> list[T]:
        return [item] if (item := next(items, None)) is not None else end

    waiting = pool.submit(take)
    while taken := waiting.result():
        waiting = pool.submit(take)
        yield from taken
