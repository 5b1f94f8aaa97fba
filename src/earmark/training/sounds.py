"""Find what sounds in clips and recordings, and the quiet stretches between."""

from __future__ import annotations

import numpy as np

from earmark.audio.decoder import Samples

FRAME_S = 0.01
BELOW_PEAK_DB = 30.0  # a frame sounds if its level is at most this far below the loudest frame
JOINED_S = 1.0  # shorter silences inside a sound belong to it
SHORTEST_S = 0.03  # shorter stretches are clicks at the edge of the threshold
QUIET_DB = 35.0  # stretches below this are background


def frame_levels(x: Samples, rate_hz: int) -> np.ndarray:
    """Return the level in dB (full scale 0) of each frame of ``FRAME_S`` of samples ``x`` (n,)."""
    size = max(1, round(FRAME_S * rate_hz))
    count = -(-len(x) // size)
    padded = np.pad(x.astype(np.float64), (0, count * size - len(x)))
    power = np.square(padded.reshape(count, size)).mean(1)
    return np.asarray(10 * np.log10(power + 1e-12))


def sounding(x: Samples, rate_hz: int) -> list[tuple[int, int]]:
    """Return the stretches (first, last sample) of ``x`` (n,) that sound, in order.

    A frame sounds if it is at most ``BELOW_PEAK_DB`` below the loudest. Silences up to ``JOINED_S``
    do not divide a sound. There is at least one stretch.
    """
    levels = frame_levels(x, rate_hz)
    active = levels >= levels.max() - BELOW_PEAK_DB
    stretches = joined_runs(active, round(JOINED_S / FRAME_S))
    long = [run for run in stretches if (run[1] - run[0]) * FRAME_S >= SHORTEST_S]
    size = max(1, round(FRAME_S * rate_hz))
    return [(a * size, min(len(x), b * size)) for a, b in long or stretches]


def quiet(x: Samples, rate_hz: int, least_s: float = 0.25) -> list[tuple[int, int]]:
    """Return the stretches (first, last sample) of at least ``least_s`` in which little sounds."""
    levels = frame_levels(x, rate_hz)
    size = max(1, round(FRAME_S * rate_hz))
    runs = joined_runs(levels < levels.max() - QUIET_DB, 0)
    return [(a * size, min(len(x), b * size)) for a, b in runs if (b - a) * FRAME_S >= least_s]


def joined_runs(active: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """Return the runs (first, end) of true values; runs at most ``gap`` apart are joined."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    runs: list[tuple[int, int]] = []
    for first, end in edges.reshape(-1, 2).tolist():
        if runs and first - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((first, end))
    return runs
