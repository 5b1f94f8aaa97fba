"""Calls side by side, each on one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def side_by_side(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Call ``work`` for each item, on all cores, each call on one.

    Small matrices gain nothing from several cores, and lose when BLAS threads wait for each other.
    """
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    try:
        with (
            threadpool_limits(1),
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            try:
                list(pool.map(work, items))
            except BaseException:  # Ctrl-C: do not wait for what has not begun
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(threads)
