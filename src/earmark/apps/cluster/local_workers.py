"""Worker processes of this machine, as an executor: one core each, replaced if they die."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from earmark.errors import EarmarkError
from earmark.system.threads import available_cores

MOST_DEATHS = 3  # of workers, before a run stops


class Call:
    """One call of a function by a worker, which is repeated if the worker dies."""

    def __init__(self, workers: LocalWorkers, function: Callable[[Any], Any], item: Any) -> None:
        self.workers, self.function, self.item = workers, function, item
        self.future: Future[Any]

    def result(self) -> Any:
        """Wait for the result; EarmarkError if too many workers have died."""
        while True:
            try:
                result = self.future.result()
            except BrokenProcessPool as error:
                self.workers.replace(self.future, error)
                continue
            self.workers.calls.pop(self, None)
            return result

    def cancel(self) -> None:
        """Do not begin the call if it waits."""
        self.workers.calls.pop(self, None)
        self.future.cancel()


class LocalWorkers:
    """Processes that call functions, by default as many as there are cores.

    They are new processes, not forks, so they know nothing of this one's threads. They end with it,
    however it ends. Use it in a ``with`` block.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or available_cores()
        self.calls: dict[Call, None] = {}  # in order; those without a result
        self.deaths = 0
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def submit(self, function: Callable[[Any], Any], item: Any) -> Call:
        """Let a worker call ``function``, which must be pickled by name; return the call."""
        call = Call(self, function, item)
        self._begin(call)
        self.calls[call] = None
        return call

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield the result for each item, in order; all items are given to workers at once."""
        calls = [self.submit(function, item) for item in items]
        return (call.result() for call in calls)

    def replace(self, broken: Future[Any], error: BrokenProcessPool) -> None:
        """Start new workers, and give them all unfinished calls, if ``broken`` is of these."""
        if not any(call.future is broken for call in self.calls):
            return
        self.deaths += 1
        if self.deaths > MOST_DEATHS:
            raise EarmarkError(
                f"worker processes died {self.deaths} times. The system may have ended them for"
                " lack of memory. Leave --on out, which takes less of it."
            ) from error
        self._stop()
        self._start()
        for call in self.calls:
            is_done = call.future.done() and not call.future.cancelled()
            if not is_done or isinstance(call.future.exception(), BrokenProcessPool):
                self._begin(call)

    def _begin(self, call: Call) -> None:
        """Give a call to the workers; if one has just died, to new ones."""
        try:
            call.future = self._pool.submit(call.function, call.item)
        except BrokenProcessPool as error:
            call.future = Future()
            call.future.set_exception(error)

    def _start(self) -> None:
        ends, self._life = self._context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            self.count, self._context, initializer=_prepare, initargs=(ends,)
        )
        self._ends = ends

    def _stop(self) -> None:
        """End all workers at once, also in the middle of a call."""
        self._life.close()
        self._ends.close()
        # Python before 3.11.5 waits for ever to write to a worker that died (python/cpython#94777).
        # Nobody reads in this process, so a write fails once the workers have ended.
        reader = getattr(getattr(self._pool, "_call_queue", None), "_reader", None)
        if reader is not None:
            reader.close()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _prepare(ends: Any) -> None:
    """Prepare a worker: one core, no signals of the terminal, and an end with its parent.

    ``ends`` is one end of a pipe, whose class differs between systems.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(ends,), daemon=True).start()
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def _end_with(ends: Any) -> None:
    """End this process when nobody holds the other end of a pipe any more."""
    with contextlib.suppress(EOFError, OSError):
        ends.recv_bytes()
    os._exit(1)
