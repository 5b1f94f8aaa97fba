"""A cluster without Ray: workers in this process, in simulated time, that die or are slow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earmark.apps.cluster.driver import Answer, WorkerDiedError
from earmark.apps.cluster.worker import Worker
from earmark.data.clip import Clip
from earmark.data.parts import PartSummary
from earmark.embeddings.part import Part

START_S = 2.0  # until a worker is ready


@dataclass(eq=False)
class Call:
    """A call and, once it is done, what came of it."""

    work: Callable[[], Any] | None = None
    result: Any = None
    is_done: bool = False


@dataclass(eq=False)
class StubWorker:
    """A worker: the calls that it has still to do, and when the first of them is done."""

    number: int
    calls: list[tuple[Call, int, Part | None]] = field(default_factory=list)
    done_at: float = 0.0
    dropped: set[int] = field(default_factory=set)
    is_skipping: bool = False  # its first call was dropped before it began
    is_dead: bool = False
    real: Worker | None = None


class StubCluster:
    """``seconds`` and ``dies`` are asked for (worker, part); the part is None for the start.

    ``begun`` has (worker, part) for each part that a worker began to compute, and ``computed``
    those that it finished. ``room`` is how many workers can run at once. With a ``job``, parts are
    computed in truth.
    """

    def __init__(
        self,
        capacity: int = 2,
        grows: bool = False,
        room: int | None = None,
        seconds: Callable[[int, int | None], float] = lambda worker, part: 1.0,
        dies: Callable[[int, int | None], bool] = lambda worker, part: False,
        refusal: str | None = None,
        job: dict[str, Any] | None = None,
    ) -> None:
        self.capacity, self.grows = capacity, grows
        self.room = room or capacity
        self.seconds, self.dies, self.refusal, self.job = seconds, dies, refusal, job
        self.now, self.workers = 0.0, list[StubWorker]()
        self.begun, self.computed = list[tuple[int, int]](), list[tuple[int, int]]()
        self.most_at_a_worker = 0

    def start(self) -> tuple[StubWorker, Call]:
        worker, call = StubWorker(len(self.workers)), Call(lambda: self.refusal)
        if self.job is not None:
            worker.real = Worker(self.job)
            call.work = worker.real.prepare
        self.workers.append(worker)
        worker.calls.append((call, -1, None))
        worker.done_at = self.now + START_S
        return worker, call

    def compute(self, worker: StubWorker, errand: int, part: Part) -> Call:
        call = Call()
        worker.calls.append((call, errand, part))
        if len(worker.calls) == 1:
            self._begin(worker)
        self.most_at_a_worker = max(self.most_at_a_worker, len(worker.calls))
        return call

    def drop(self, worker: StubWorker, errand: int) -> None:
        worker.dropped.add(errand)
        if worker.real is not None:
            worker.real.drop(errand)

    def stop(self, worker: StubWorker) -> None:
        worker.is_dead = True

    def wait(self, calls: Sequence[Call], seconds: float) -> list[Call]:
        assert calls, "the driver waits for nothing"
        until = self.now + seconds
        while not any(call.is_done for call in calls):
            running = [w for w in self.workers if not w.is_dead][: self.room]
            busy = [worker for worker in running if worker.calls]
            first = min(busy, key=lambda worker: worker.done_at, default=None)
            if first is None or first.done_at > until:
                self.now = until
                return []
            self.now = max(self.now, first.done_at)
            self._finish(first)
        return [call for call in calls if call.is_done]

    def _finish(self, worker: StubWorker) -> None:
        call, errand, part = worker.calls[0]
        is_at_work = not worker.is_skipping
        if is_at_work and self.dies(worker.number, None if part is None else part.number):
            worker.is_dead = True
            for lost, _, _ in worker.calls:
                lost.is_done, lost.result = True, WorkerDiedError("it was killed")
            return
        del worker.calls[0]
        call.is_done = True
        call.result = self._result(worker, call, errand, part)
        if worker.calls:
            self._begin(worker)

    def _begin(self, worker: StubWorker) -> None:
        _, errand, part = worker.calls[0]
        worker.is_skipping, worker.done_at = errand in worker.dropped, self.now
        if not worker.is_skipping:
            self.begun.append((worker.number, part.number))
            worker.done_at += self.seconds(worker.number, part.number)

    def _result(self, worker: StubWorker, call: Call, errand: int, part: Part | None) -> Any:
        if worker.real is not None:
            with _elsewhere():
                return call.work() if part is None else worker.real.compute(errand, part)
        if part is None:
            return call.work()
        if worker.is_skipping:
            return Answer()
        self.computed.append((worker.number, part.number))
        name, clips = f"part-{part.number:06d}.parquet", len(part.clips)
        return Answer(PartSummary(part.number, name, "", 0, clips, 0, 0, 1.0, "a stub"), True)

    def result(self, call: Call) -> Any:
        if isinstance(call.result, WorkerDiedError):
            raise call.result
        return call.result


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Stand in another folder, as workers on other machines do."""
    here = Path.cwd()
    os.chdir(here.anchor)
    try:
        yield
    finally:
        os.chdir(here)


def stub_parts(count: int) -> Iterator[Part]:
    """Yield parts of one clip."""
    for number in range(count):
        yield Part(number, (Clip(Path(f"{number}.wav")),), f"{number:016x}")
