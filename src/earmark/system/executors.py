"""Executors: workers in other processes or on other machines, whose results come in order."""

from __future__ import annotations

import collections
import itertools
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from earmark.errors import EarmarkError
from earmark.version import __version__

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Anything with ``map(function, items)``, such as an executor of ``concurrent.futures``.

    With a method ``submit(function, item)``, whose results have a method ``result()``, work goes on
    while results are used. Functions and items can be pickled.
    """

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]: ...


@dataclass(frozen=True)
class Task(Generic[T, R]):
    """A ``function`` and its ``item``; ``version`` is that of the earmark which asks for it."""

    function: Callable[[T], R]
    item: T
    version: str = __version__


def perform(task: Task[T, R]) -> R:
    """Return the result of a task; EarmarkError if another version of earmark asks for it."""
    if task.version != __version__:
        raise EarmarkError(
            f"the worker on {platform.node()} has earmark {__version__}, but this run has"
            f" {task.version}. Install the same earmark on all machines."
        )
    return task.function(task.item)


def map_on(
    executor: Executor, function: Callable[[T], R], items: Iterable[T], ahead: Callable[[], int]
) -> Iterator[R]:
    """Yield the result of ``function`` for each item, in order, by the workers of an executor.

    At most ``ahead()`` items are read ahead of the results. It is asked again and again, because an
    executor may get more workers.
    """
    tasks = (Task(function, item) for item in items)
    submit = getattr(executor, "submit", None)
    if submit is None:
        while some := list(itertools.islice(tasks, ahead())):
            yield from executor.map(perform, some)
        return
    waiting: collections.deque[Any] = collections.deque()
    try:
        for task in tasks:
            waiting.append(submit(perform, task))
            while len(waiting) >= ahead():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
