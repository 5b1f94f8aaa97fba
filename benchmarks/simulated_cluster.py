"""A cluster in simulated time: nodes that come late, die or are slow, and a store that fails.

It makes the calls of :class:`earmark.apps.cluster.driver.Cluster`, so the real driver gives out the
parts. Nothing is computed: a part takes as long as is drawn from the distributions of a
:class:`World`. A heap has the events, and the clock jumps from one to the next.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from earmark.apps.cluster.driver import Answer, WorkerDiedError
from earmark.data.parts import PartSummary
from earmark.embeddings.part import Part
from earmark.embeddings.shares import PART_CLIPS

FETCHES = 32  # recordings that a worker fetches at once


@dataclass(frozen=True)
class World:
    """What happens, as distributions; all times are in seconds.

    Times are lognormal with a median and a sigma; lives are exponential with a mean.
    """

    workers: int  # the most that the cluster has room for
    node_workers: int = 8  # a node has room for so many, and they die together
    first_share: float = 0.25  # of the nodes, which are there at the beginning
    part_s: tuple[float, float] = (20.0, 0.5)  # to compute a part
    straggler: tuple[float, float] = (0.005, 10.0)  # chance that an attempt takes so many times
    slow_node: tuple[float, float] = (0.02, 3.0)  # the same for all attempts of a node
    latency_s: tuple[float, float] = (0.04, 1.0)  # of a request to the store
    error: float = 0.01  # chance that a request fails and is repeated
    pause_s: float = 0.5  # before it is repeated; doubled after each
    node_s: tuple[float, float] = (90.0, 0.5)  # until a node that was asked for is there
    start_s: tuple[float, float] = (15.0, 0.3)  # until a worker is ready
    node_life_s: float = 24 * 3600.0
    driver_life_s: float = 4 * 3600.0
    driver_pause_s: float = 60.0  # until somebody starts a driver again
    check_s: float = 0.02  # to check the file of a part that is done


class DriverDiedError(Exception):
    """The process of the driver is killed."""


@dataclass(eq=False)
class Call:
    """A call and, once it is done, what came of it."""

    result: Any = None
    is_done: bool = False


@dataclass(eq=False)
class Node:
    """A machine: how many times slower it is than others, and its workers."""

    factor: float
    workers: list[Worker] = field(default_factory=list)


@dataclass(eq=False)
class Worker:
    """A worker, its node, and its calls with the errand and part of each; the first one runs."""

    prepare: Call
    node: Node | None = None
    calls: list[tuple[Call, int, Part]] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    since: float = 0.0
    is_gone: bool = False


@dataclass
class Tally:
    """What was computed: seconds of attempts, and how often each part was completed."""

    busy_s: float = 0.0
    useful_s: float = 0.0  # of the first attempt of each part that was completed
    attempts: int = 0
    completed: int = 0
    worker_deaths: int = 0
    node_deaths: int = 0
    driver_deaths: int = 0
    cluster_cpu_s: float = 0.0  # what this simulation takes, beside the driver


class SimulatedCluster:
    """See the module. ``done`` has the numbers of the parts whose files are in place."""

    grows = True

    def __init__(self, world: World, seed: int = 0) -> None:
        self.world, self.chance = world, np.random.default_rng(seed)
        self.now, self.tally, self.done = 0.0, Tally(), set[int]()
        self.most_nodes = max(1, world.workers // world.node_workers)
        self.driver_dies_at = math.inf
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._nodes: list[Node] = []
        self._coming = 0  # nodes that were asked for
        self._pending: list[Worker] = []  # without a node
        self._returned: list[Call] = []
        first = max(1, round(self.most_nodes * world.first_share))
        for _ in range(first):
            self._add_node()
        self.capacity = min(world.workers, first * world.node_workers)

    # The calls of a cluster

    def start(self) -> tuple[Worker, Call]:
        begin = time.thread_time()
        worker = Worker(Call())
        self._pending.append(worker)
        self._place()
        self.tally.cluster_cpu_s += time.thread_time() - begin
        return worker, worker.prepare

    def compute(self, worker: Worker, errand: int, part: Part) -> Call:
        begin = time.thread_time()
        call = Call()
        if worker.is_gone:
            self._finish(call, WorkerDiedError("its node died"))
        else:
            worker.calls.append((call, errand, part))
            if len(worker.calls) == 1:
                self._begin(worker)
        self.tally.cluster_cpu_s += time.thread_time() - begin
        return call

    def drop(self, worker: Worker, errand: int) -> None:
        worker.dropped.add(errand)

    def stop(self, worker: Worker) -> None:
        begin = time.thread_time()
        self._remove(worker)
        self.tally.cluster_cpu_s += time.thread_time() - begin

    def wait(self, calls: Sequence[Call], seconds: float) -> Sequence[Call]:
        begin = time.thread_time()
        try:
            return self._wait(self.now + seconds)
        finally:
            self.tally.cluster_cpu_s += time.thread_time() - begin

    def result(self, call: Call) -> Any:
        if isinstance(call.result, WorkerDiedError):
            raise call.result
        return call.result

    # Simulated time

    def let_driver_live(self) -> None:
        """Draw when the driver dies."""
        self.driver_dies_at = self.now + self.chance.exponential(self.world.driver_life_s)

    def _wait(self, until: float) -> Sequence[Call]:
        while not self._returned:
            if not self._events or self._events[0][0] > until:
                self.now = max(self.now, until)
                break
            at, _, happen = heapq.heappop(self._events)
            self.now = max(self.now, at)
            happen()
        if self.now > self.driver_dies_at:
            raise DriverDiedError
        returned, self._returned = self._returned, []
        return returned

    def _at(self, delay_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay_s, next(self._numbers), happen))

    def _draw(self, median_sigma: tuple[float, float]) -> float:
        return float(self.chance.lognormal(math.log(median_sigma[0]), median_sigma[1]))

    def _happens(self, chance_factor: tuple[float, float]) -> float:
        """Return the factor if its chance comes true, else 1."""
        return chance_factor[1] if self.chance.random() < chance_factor[0] else 1.0

    # Nodes and workers

    def _add_node(self) -> None:
        node = Node(self._happens(self.world.slow_node))
        self._nodes.append(node)
        self._at(self.chance.exponential(self.world.node_life_s), lambda: self._end_node(node))
        self._place()

    def _end_node(self, node: Node) -> None:
        self._nodes.remove(node)
        self.tally.node_deaths += 1
        for worker in list(node.workers):
            self.tally.worker_deaths += 1
            calls = [call for call, _, _ in worker.calls]
            self._remove(worker)
            for call in (worker.prepare, *calls):
                if not call.is_done:
                    self._finish(call, WorkerDiedError("its node died"))
        self._ask_for_nodes()

    def _node_comes(self) -> None:
        self._coming -= 1
        self._add_node()

    def _ask_for_nodes(self) -> None:
        """Ask for nodes, as an autoscaler does while workers have no place."""
        missing = math.ceil(len(self._pending) / self.world.node_workers)
        room = self.most_nodes - len(self._nodes)
        while self._coming < min(missing, room):
            self._coming += 1
            self._at(self._draw(self.world.node_s), self._node_comes)

    def _place(self) -> None:
        """Put workers on nodes with room."""
        for node in self._nodes:
            while self._pending and len(node.workers) < self.world.node_workers:
                worker = self._pending.pop(0)
                worker.node = node
                node.workers.append(worker)
                self._at(self._draw(self.world.start_s), lambda w=worker: self._ready(w))
        self._ask_for_nodes()

    def _ready(self, worker: Worker) -> None:
        if not worker.is_gone:
            self._finish(worker.prepare, None)

    def _remove(self, worker: Worker) -> None:
        if worker.is_gone:
            return
        worker.is_gone = True
        if worker in self._pending:
            self._pending.remove(worker)
        if worker.node is not None:
            worker.node.workers.remove(worker)
        if worker.calls and worker.since >= 0:
            self.tally.busy_s += self.now - worker.since  # lost
        self._place()

    def _finish(self, call: Call, result: Any) -> None:
        call.result, call.is_done = result, True
        self._returned.append(call)

    # Parts

    def _begin(self, worker: Worker) -> None:
        call, errand, part = worker.calls[0]
        worker.since = self.now
        if errand in worker.dropped:
            worker.dropped.discard(errand)
            self._at(0.0, lambda: self._end(worker, call, Answer()))
            return
        if part.number in self.done:
            answer = Answer(summary_of(part), False)
            self._at(self.world.check_s, lambda: self._end(worker, call, answer))
            return
        self.tally.attempts += 1
        assert worker.node is not None
        took_s = self.part_s() * worker.node.factor * self._happens(self.world.straggler)
        self._at(took_s, lambda: self._end(worker, call, Answer(summary_of(part), True)))

    def part_s(self) -> float:
        """Draw what a part takes: computing and fetching go on at the same time."""
        world = self.world
        wait_s = self.chance.lognormal(math.log(world.latency_s[0]), world.latency_s[1], PART_CLIPS)
        again = np.flatnonzero(self.chance.random(PART_CLIPS) < world.error)
        pause_s = world.pause_s
        while len(again):
            wait_s[again] += pause_s + self.chance.lognormal(
                math.log(world.latency_s[0]), world.latency_s[1], len(again)
            )
            pause_s *= 2
            again = again[self.chance.random(len(again)) < world.error]
        fetching_s = max(wait_s.sum() / FETCHES, wait_s.max())
        return max(self._draw(world.part_s), float(fetching_s))

    def _end(self, worker: Worker, call: Call, answer: Answer) -> None:
        if worker.is_gone:
            return
        took_s = self.now - worker.since
        self.tally.busy_s += took_s
        if answer.computed and answer.summary is not None:
            self.tally.completed += 1
            if answer.summary.part not in self.done:
                self.done.add(answer.summary.part)
                self.tally.useful_s += took_s
        del worker.calls[0]
        self._finish(call, answer)
        if worker.calls:
            self._begin(worker)


def summary_of(part: Part) -> PartSummary:
    """Return what a worker would say of a part."""
    return PartSummary(part.number, f"{part.stem}.parquet", "", 0, len(part.clips), 0, 0, 0.0, "")
