"""Executors: the workers of a training, and how many runs of clips they may have at a time.

A run is a fixed number of clips, whoever works on it, and results are used in the order of the
runs. So a training does not depend on the number of workers.
"""

from __future__ import annotations

import collections
import itertools
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from earmark.errors import EarmarkError
from earmark.version import __version__

if TYPE_CHECKING:
    from earmark.embeddings.table import EmbeddingTable

LEAST_AHEAD = 3  # runs in flight, however little memory there is
MOST_AHEAD = 512  # runs in flight, however small their results are

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


@dataclass(frozen=True)
class Workers:
    """The workers of an ``executor``, which read ``files``, one for each backbone.

    Results that wait may take ``memory`` bytes.
    """

    executor: Executor
    files: Sequence[EmbeddingTable]
    memory: int

    def map(self, function: Callable[[T], R], items: Iterable[T], result_bytes: int) -> Iterator[R]:
        """Yield the result of ``function`` for each item, in order, each of ``result_bytes``."""
        ahead = min(max(LEAST_AHEAD, self.memory // max(1, result_bytes)), MOST_AHEAD)
        tasks = (Task(function, item) for item in items)
        submit = getattr(self.executor, "submit", None)
        if submit is None:
            while some := list(itertools.islice(tasks, ahead)):
                yield from self.executor.map(perform, some)
            return
        waiting: collections.deque[Any] = collections.deque()
        try:
            for task in tasks:
                waiting.append(submit(perform, task))
                if len(waiting) == ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
