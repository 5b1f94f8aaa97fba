"""Threads that work ahead within limits, the number of cores for them, and their turns."""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import sys
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
    """Yield a pool of threads; an error or Ctrl-C drops the tasks that have not started."""
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
    """Map in order like ``pool.map``, but read at most ``most`` items ahead of the results.

    With ``size``, it also stops reading ahead while waiting items and results take more than
    ``most_bytes``. An unfinished result counts as large as the largest result so far, so the first
    one is waited for. An item for which ``is_done`` returns True is its own result.
    """
    waiting: collections.deque[Callable[[], R]] = collections.deque()
    size, is_bounded = size or _nothing, size is not None
    lock, waiting_bytes, largest = threading.Lock(), 0, -1

    def count(n_bytes: int) -> None:
        nonlocal waiting_bytes
        with lock:
            waiting_bytes += n_bytes

    def work(item: T, expected: int) -> R:
        nonlocal largest
        result = function(item)
        count(size(result) - expected)
        with lock:
            largest = max(largest, size(result))
        return result

    def take() -> R:
        result = waiting.popleft()()
        count(-size(result))
        return result

    for item in items:
        if is_done is not None and is_done(item):
            count(size(item))
            waiting.append(functools.partial(cast(Callable[[T], R], _same), item))
        else:
            is_first, expected = largest < 0, max(size(item), largest)
            count(expected)
            waiting.append(pool.submit(work, item, expected).result)
            if is_bounded and is_first:
                waiting[-1]()
        while waiting and (len(waiting) > most or waiting_bytes > most_bytes):
            yield take()
    while waiting:
        yield take()


def _nothing(_: object) -> int:
    return 0


def _same(item: T) -> T:
    return item


def one_ahead(pool: Executor, items: Iterator[T]) -> Iterator[T]:
    """Yield ``items``, while a thread of ``pool`` already computes the next one."""
    end: list[T] = []

    def take() -> list[T]:
        return [item] if (item := next(items, None)) is not None else end

    waiting = pool.submit(take)
    while batch := waiting.result():
        waiting = pool.submit(take)
        yield from batch


def give_way() -> None:
    """Let the turns of other processes end before this one gets a turn, where Linux can do that.

    For a process that wakes often beside one that computes: each interruption empties its caches.
    Processes that this one starts are not affected.
    """
    if sys.platform == "linux":
        policy = os.SCHED_BATCH | os.SCHED_RESET_ON_FORK
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, os.sched_param(0))
