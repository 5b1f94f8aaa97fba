"""Windows by workers: this process reads and merges, and the workers run the network over passes.

A pass is some seconds of a recording with the context of the network. Its numbers depend on these
samples alone, so it does not matter who computes it. What depends on the order, such as windows
that lie in two passes, is merged here. So the windows are those of one process, to the last bit, at
whatever window a run begins.
"""

from __future__ import annotations

import collections
import functools
import itertools
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from earmark.backbones.base import Backbone, LayerStats
from earmark.backbones.engines import engine_name
from earmark.backbones.registry import load_backbone
from earmark.embeddings.computing import restored_threads
from earmark.embeddings.part_work import machine_of
from earmark.embeddings.sliding import Pass, SlidingWindows, Stats
from earmark.embeddings.window_settings import WindowSettings
from earmark.errors import EarmarkError
from earmark.system.executors import Executor, map_on
from earmark.system.threads import available_cores

RUN = 6  # passes, or ends of recordings, that a worker gets at a time
EACH = 3  # runs on their way for each worker
MOST_BYTES = 1 << 29  # of runs on their way
LEAST_AHEAD = 3  # runs on their way, however large they are

T = TypeVar("T")
Arrays = Mapping[str, tuple[np.ndarray, ...]]  # the statistics of each layer


@dataclass(frozen=True)
class Job:
    """What a worker loads: a backbone with its engine, and the ``settings`` that it must have."""

    backbone: str
    precision: str
    engine: str
    settings: WindowSettings


@dataclass(frozen=True)
class PassRun:
    """Passes that follow each other, for one worker."""

    job: Job
    passes: tuple[Pass, ...]


@dataclass(frozen=True)
class Computed:
    """The statistics of each pass of a run, and the machine that decided their last bits."""

    machine: str
    stats: tuple[Arrays, ...]


class PassWorkers:
    """The workers of an ``executor``, all of which load the network of a ``job``.

    ``backbone`` is the network of this process.
    """

    def __init__(self, executor: Executor, job: Job, backbone: Backbone) -> None:
        self.executor, self.job, self.backbone = executor, job, backbone
        self._machines: set[str] = set()

    def machine(self) -> str:
        """Return the machines of all passes so far."""
        return "; ".join(sorted(self._machines)) or machine_of(self.backbone)

    def compute(
        self, items: Iterable[T], pass_of: Callable[[T], Pass | None]
    ) -> Iterator[tuple[T, Stats | None]]:
        """Yield each item with the statistics of its pass, or None if it has none, in order.

        Raises EarmarkError if a worker is refused, or if workers die again and again.
        """
        self._choose_engine()
        waiting: collections.deque[list[T]] = collections.deque()
        iterator = iter(items)

        def runs() -> Iterator[PassRun]:
            while run := list(itertools.islice(iterator, RUN)):
                waiting.append(run)
                yield PassRun(self.job, tuple(filter(None, map(pass_of, run))))

        for computed in map_on(self.executor, compute_run, runs(), self._ahead):
            if computed.stats:
                self._machines.add(computed.machine)
            stats = iter(computed.stats)
            for item in waiting.popleft():
                yield item, None if pass_of(item) is None else _as_tensors(next(stats))

    def _choose_engine(self) -> None:
        """Let 'auto' time the engines once, before several workers of this machine would."""
        if engine_name(self.backbone) == "auto":
            sliding = _sliding(self.backbone, self.job.settings)
            silence = np.zeros(sliding.grid.length, np.float32)
            for piece in [*sliding.cut(silence), *sliding.finish()]:
                sliding.compute(piece)

    def _ahead(self) -> int:
        sliding = _sliding(self.backbone, self.job.settings)
        samples = sliding.hops * sliding.grid.hop + sliding.grid.length
        each = RUN * 4 * (samples + sliding.hops * self.job.settings.width)
        count: int = getattr(self.executor, "count", available_cores())
        return max(LEAST_AHEAD, min(EACH * count, MOST_BYTES // each))


def compute_run(run: PassRun) -> Computed:
    """Compute the passes of a run on one core, or on the GPU. A worker calls it."""
    with restored_threads():
        torch.set_num_threads(1)
        backbone = _loaded(run.job)
        sliding = _sliding(backbone, run.job.settings)
        stats = [sliding.compute(Pass(np.array(piece.samples), piece.hops)) for piece in run.passes]
        return Computed(machine_of(backbone), tuple(map(_as_arrays, stats)))


@functools.lru_cache(maxsize=1)
def _loaded(job: Job) -> Backbone:
    """Load the network of a job; EarmarkError if it differs from that of the command."""
    backbone = load_backbone(job.backbone, job.precision, job.engine)
    wanted = job.settings
    own = WindowSettings.on_grid(backbone, wanted.audio, wanted.window_s, wanted.hop_s).to_json()
    for name, value in wanted.to_json().items():
        if own[name] != value:
            raise EarmarkError(
                f"the worker on {platform.node()} has {name} {own[name]!r}, but this run has"
                f" {value!r}. All machines need the same earmark and the same weights."
            )
    return backbone


def _sliding(backbone: Backbone, settings: WindowSettings) -> SlidingWindows:
    return SlidingWindows(backbone, settings.window_s, settings.hop_s)


def _as_arrays(stats: Stats) -> dict[str, tuple[Any, ...]]:
    """Return statistics as arrays: PyTorch would send a tensor through a file descriptor."""
    return {name: tuple(column.numpy() for column in layer) for name, layer in stats.items()}


def _as_tensors(arrays: Arrays) -> dict[str, LayerStats]:
    """Return statistics as tensors; Ray's arrays cannot be written, which PyTorch warns of."""
    return {
        name: LayerStats(*(torch.from_numpy(np.require(a, None, "W")) for a in columns))
        for name, columns in arrays.items()
    }
