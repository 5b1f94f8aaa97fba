"""Run calls in parallel threads, each on one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from earmark.system.threads import workers

T = TypeVar("T")


def side_by_side(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Call ``work`` for each item; calls run in parallel, each on one core.

    Small matrices gain nothing from several cores, and BLAS threads that wait for each other make
    them slower.
    """
    import torch
    from threadpoolctl import threadpool_limits

    from earmark.embeddings.computing import restored_threads

    with restored_threads():
        threads = torch.get_num_threads()
        with threadpool_limits(1), workers(threads, torch.set_num_threads, 1) as pool:
            list(pool.map(work, items))
