"""Give parts out to workers until all are done; what carries the calls is a :class:`Cluster`.

A worker has at most two parts: it computes one, and the next waits at it. So the driver holds some
parts for each worker, and never a list of clips. A worker that dies is replaced, and its parts are
given out again. When no more parts come, a worker without one takes over the part that waits at
another worker, or a part that takes much longer than others. A part may be computed twice without
harm: its file is put in place whole, with the same bytes.
"""

from __future__ import annotations

import collections
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from earmark.data.parts import PartSummary
from earmark.embeddings.part import Part
from earmark.errors import EarmarkError

AT_A_WORKER = 2  # parts: one that is computed, one that waits
MAX_DEATHS = 3  # of workers with the same part, and of starts in a row
MAX_WORKERS = 10_000
SLOW = 3.0  # times the median: a part that takes longer is also given to an idle worker
SLOW_S = 10.0  # but not before so many seconds
WAIT_S = 1.0  # between two looks for slow parts


class WorkerDiedError(Exception):
    """The worker of a call is gone, or failed in a way that it may not survive."""


class Cluster(Protocol):
    """The calls that the driver needs. Handles of workers and of calls are opaque.

    ``start`` begins a worker and returns its handle, and a call whose result is None, or a
    sentence that says why the worker must not be used. ``drop`` tells a worker not to begin an
    errand. The result of ``compute`` is an
    :class:`Answer`; that of a call to a dead worker is WorkerDiedError, which ``result`` raises.
    """

    capacity: int  # workers that have room at once now
    grows: bool  # whether more workers may find room later

    def start(self) -> tuple[Any, Any]: ...
    def compute(self, worker: Any, errand: int, part: Part) -> Any: ...
    def drop(self, worker: Any, errand: int) -> None: ...
    def stop(self, worker: Any) -> None: ...
    def wait(self, calls: Sequence[Any], seconds: float) -> Sequence[Any]: ...
    def result(self, call: Any) -> Any: ...


@dataclass(frozen=True)
class Answer:
    """What a worker says of a part.

    Attributes
    ----------
    summary : PartSummary or None
        The part, whose file is in place; None if it was dropped or there is a problem.
    computed : bool
        Whether it was computed now.
    problem : str
        A sentence that stops the run; empty if all is well.
    """

    summary: PartSummary | None = None
    computed: bool = False
    problem: str = ""


@dataclass(eq=False)
class _Worker:
    handle: Any
    call: Any  # of its start
    failed_before: int = 0  # failed starts in a row before it was asked for
    is_ready: bool = False
    errands: list[_Errand] = field(default_factory=list)  # in the order that they are computed


@dataclass(eq=False)
class _Errand:
    """A part that a worker has; ``number`` counts errands, since a part may come back."""

    number: int
    part: Part
    call: Any
    worker: _Worker
    since: float  # when it became the first of its worker
    is_dropped: bool = False


class Driver:
    """Computes ``parts`` with workers of ``cluster``; ``clock`` returns seconds."""

    def __init__(
        self,
        cluster: Cluster,
        parts: Iterator[Part],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cluster, self.clock = cluster, clock
        self._parts = parts
        self._waiting: collections.deque[Part] = collections.deque()
        self._open: dict[int, Part] = {}  # that were read and are not done
        self._workers: list[_Worker] = []
        self._deaths: collections.Counter[int] = collections.Counter()  # by number of part
        self._failed_starts = 0
        self._numbers = itertools.count()
        self._took_s: collections.deque[float] = collections.deque(maxlen=100)

    def run(self) -> Iterator[tuple[Part, Answer]]:
        """Yield each part when it is done.

        Raises
        ------
        EarmarkError
            A worker is refused, a file cannot be written, or workers die with the same part.
        """
        try:
            while True:
                self._give_out()
                self._hire()
                if not self._open:
                    return
                for call in self.cluster.wait(self._calls(), WAIT_S):
                    yield from self._returned(call)
        finally:
            for worker in self._workers:
                self.cluster.stop(worker.handle)

    def _calls(self) -> list[Any]:
        starting = [worker.call for worker in self._workers if not worker.is_ready]
        return starting + [e.call for worker in self._workers for e in worker.errands]

    def _fill(self, count: int) -> bool:
        """Read parts until ``count`` wait; return whether so many do."""
        for part in itertools.islice(self._parts, max(0, count - len(self._waiting))):
            self._open[part.number] = part
            self._waiting.append(part)
        return len(self._waiting) >= count

    def _hire(self) -> None:
        """Start workers for the parts that wait, as many as the cluster has room for.

        A cluster that grows is asked for twice as many as are ready. So it sees that more machines
        would be used.
        """
        ready = sum(worker.is_ready for worker in self._workers)
        wanted = self.cluster.capacity
        if self.cluster.grows:
            wanted = min(MAX_WORKERS, max(wanted, 2 * ready))
        starting = len(self._workers) - ready
        while len(self._workers) < wanted and self._fill(starting + 1):
            self._workers.append(_Worker(*self.cluster.start(), self._failed_starts))
            starting += 1

    def _give_out(self) -> None:
        ready = [worker for worker in self._workers if worker.is_ready]
        for depth in range(1, AT_A_WORKER + 1):
            for worker in ready:
                if len(worker.errands) < depth and self._fill(1):
                    self._send(worker, self._waiting.popleft())
        if idle := [worker for worker in ready if not worker.errands]:
            for worker, part in zip(idle, self._to_take_over(len(idle)), strict=False):
                self._send(worker, part)

    def _send(self, worker: _Worker, part: Part) -> None:
        number = next(self._numbers)
        call = self.cluster.compute(worker.handle, number, part)
        worker.errands.append(_Errand(number, part, call, worker, self.clock()))

    def _to_take_over(self, most: int) -> list[Part]:
        """Return at most so many parts that idle workers should compute.

        Parts that wait come first; their workers are told to drop them.
        """
        copies = collections.Counter(
            e.part.number for w in self._workers for e in w.errands if not e.is_dropped
        )
        single = [
            errand
            for worker in self._workers
            for errand in worker.errands
            if not errand.is_dropped and copies[errand.part.number] == 1
        ]
        queued = [errand for errand in single if errand is not errand.worker.errands[0]][:most]
        for errand in queued:
            self._drop(errand)
        slow: list[_Errand] = []
        if self._took_s:
            limit_s = max(SLOW_S, SLOW * statistics.median(self._took_s))
            now = self.clock()
            slow = [e for e in single if not e.is_dropped and now - e.since > limit_s]
            slow.sort(key=lambda errand: errand.since)
        return [errand.part for errand in (*queued, *slow)][:most]

    def _drop(self, errand: _Errand) -> None:
        errand.is_dropped = True
        self.cluster.drop(errand.worker.handle, errand.number)

    def _returned(self, call: Any) -> Iterator[tuple[Part, Answer]]:
        """Handle the result of a call, unless its worker has been given up since."""
        for worker in self._workers:
            errand = next((e for e in worker.errands if e.call is call), None)
            if errand is None and (worker.is_ready or worker.call is not call):
                continue
            try:
                result = self.cluster.result(call)
            except WorkerDiedError as death:
                self._bury(worker, str(death))
                return
            if errand is None:
                self._greet(worker, result)
            else:
                yield from self._answered(errand, result)
            return

    def _greet(self, worker: _Worker, refusal: str | None) -> None:
        if refusal:
            raise EarmarkError(refusal)
        worker.is_ready, self._failed_starts = True, 0
        for other in self._workers:
            other.failed_before = 0

    def _answered(self, errand: _Errand, answer: Answer) -> Iterator[tuple[Part, Answer]]:
        errands, number = errand.worker.errands, errand.part.number
        if answer.problem:
            raise EarmarkError(answer.problem)
        now = self.clock()
        if answer.computed:
            self._took_s.append(now - errand.since)
        errands.remove(errand)
        if errands:
            errands[0].since = now
        if answer.summary is None or self._open.pop(number, None) is None:
            return
        for worker in self._workers:
            for other in worker.errands:
                if other.part.number == number and not other.is_dropped:
                    self._drop(other)
        yield errand.part, answer

    def _bury(self, worker: _Worker, reason: str) -> None:
        """Give the parts of a dead worker out again; EarmarkError if that has been too often."""
        self._workers.remove(worker)
        self.cluster.stop(worker.handle)
        if not worker.is_ready:
            # Workers that were asked for together may die together, with their machine.
            self._failed_starts = max(self._failed_starts, worker.failed_before + 1)
            if self._failed_starts > MAX_DEATHS:
                raise EarmarkError(
                    f"workers died before they were ready, {self._failed_starts} times in a row."
                    f" The last one said: {reason}. Look at the memory of the machines and at their"
                    " logs, then run the same command again."
                )
            return
        lost = [errand for errand in worker.errands if errand.part.number in self._open]
        if lost and lost[0] is worker.errands[0]:  # it was computed when the worker died
            self._count_death(lost[0].part, reason)
        elsewhere = {e.part.number for w in self._workers for e in w.errands if not e.is_dropped}
        elsewhere |= {part.number for part in self._waiting}
        again = [e.part for e in lost if e.part.number not in elsewhere]
        self._waiting.extendleft(reversed(again))

    def _count_death(self, part: Part, reason: str) -> None:
        self._deaths[part.number] += 1
        if self._deaths[part.number] > MAX_DEATHS:
            first, last = part.clips[0].place, part.clips[-1].place
            raise EarmarkError(
                f"part {part.number} ended {self._deaths[part.number]} workers ({reason}). Its"
                f" recordings are those from {first} to {last}. Look for a very large or a damaged"
                " one among them, or give the workers more memory. Then run the same command again."
            )
