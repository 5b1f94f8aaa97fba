"""The cost of networks that compute each window by itself, measured before a long detection."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from earmark.detection.scores import WindowScorer
from earmark.embeddings.computing import compute_pool
from earmark.embeddings.sliding import Pass, SlidingWindows
from earmark.system.threads import available_cores

WINDOWS = 8  # that are timed


class Cost(NamedTuple):
    """How many windows an hour of sound has, and how much faster than real time they are."""

    windows_per_hour: float
    speed: float


def cost_of(scorer: WindowScorer) -> Cost | None:
    """Return the cost of a detection; None if every network computes each sample only once."""
    if all(network.block_step() is not None for network in scorer.networks):
        return None
    seconds = sum(_seconds_per_window(windows) for windows in scorer.windows())
    return Cost(3600 / scorer.hop_s, available_cores() * scorer.hop_s / seconds)


def _seconds_per_window(windows: SlidingWindows) -> float:
    """Time a few windows of noise on one core."""
    grid, context = windows.grid, windows.backbone.info.context
    n = 2 * context + (WINDOWS - 1) * grid.hop + grid.length
    noise = np.random.default_rng(0).normal(0, 0.1, n).astype(np.float32)

    def run() -> float:
        start = time.perf_counter()
        windows.compute(Pass(noise, WINDOWS))
        return time.perf_counter() - start

    with compute_pool(1) as pool:
        pool.submit(run).result()  # the first pass is slower
        return pool.submit(run).result() / WINDOWS
