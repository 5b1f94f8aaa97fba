"""Calls side by side, each on one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from earmark.system.threads import workers

T = TypeVar("T")


def side_by_side(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Call ``work`` for each item, on all cores, each call on one.

    Small matrices gain nothing from several cores, and lose when BLAS threads wait for each other.
    """
    import torch
    from threadpoolctl import threadpool_limits

    from earmark.embeddings.computing import restored_threads

    with restored_threads():
        threads = torch.get_num_threads()
        with threadpool_limits(1), workers(threads, torch.set_num_threads, 1) as pool:
            list(pool.map(work, items))
