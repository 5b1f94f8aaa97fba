"""The workers of a training, and how many runs of clips they may have at a time.

A run is a fixed number of clips, whoever works on it, and results are used in the order of the
runs. So a training does not depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from earmark.system.executors import Executor, map_on
from earmark.system.threads import map_ahead, workers

if TYPE_CHECKING:
    from earmark.embeddings.table import EmbeddingTable

LEAST_THREADS = 2  # that sum in this process, however little memory there is
LEAST_AHEAD = 3  # runs in flight, however little memory there is
MOST_AHEAD = 512  # runs in flight, however small their results are

T = TypeVar("T")
R = TypeVar("R")


class Mapper(Protocol):
    """Works on runs of clips, in any order; the results come in the order of the runs."""

    @property
    def files(self) -> Sequence[EmbeddingTable]:
        """What to read instead of the rows in memory, one for each backbone; or nothing."""

    def map(self, function: Callable[[T], R], items: Iterable[T], result_bytes: int) -> Iterator[R]:
        """Yield the result of ``function`` for each item, each of about ``result_bytes``."""


@dataclass(frozen=True)
class Threads:
    """Threads of this process, each on one core, as a worker is: so they compute the same bits.

    Sums that are computed at a time may take ``memory`` bytes.
    """

    memory: int
    files: Sequence[EmbeddingTable] = ()

    def map(self, function: Callable[[T], R], items: Iterable[T], result_bytes: int) -> Iterator[R]:
        """Yield the result of ``function`` for each item, in order, each of ``result_bytes``."""
        import torch
        from threadpoolctl import threadpool_limits

        from earmark.embeddings.computing import restored_threads

        at_once = max(LEAST_THREADS, self.memory // max(1, 2 * result_bytes))
        with restored_threads():
            count = min(torch.get_num_threads(), at_once)
            torch.set_num_threads(1)
            with threadpool_limits(1), workers(count, torch.set_num_threads, 1) as pool:
                yield from map_ahead(pool, function, items, count)


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
        yield from map_on(self.executor, function, items, lambda: ahead)
