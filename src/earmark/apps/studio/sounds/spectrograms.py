"""Mel spectrograms as pictures, and peaks: arithmetic on blocks of samples.

A column of a picture shows the loudest sound of each row within its time. It depends only on its
own time and on half a window of sound around it, so a cut of a picture equals a picture of the cut.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from earmark.audio.decoder import Samples

FLOOR_DB, CEILING_DB = -95.0, -15.0  # levels 0 and 255; a sine at full scale has 0 dB
TOP_HZ = 160_000.0  # of pictures; porpoises and most bats stay below
WINDOW_S = 0.025  # of sound for one spectrum
ULTRASOUND_HZ, SHORT_S = 100_000, 0.005  # the shorter window for higher rates: bats call briefly
MEL_HZ = 700.0  # the mel scale is even below this, and in octaves above
CHUNK = 128  # spectra at a time; more leave the processor's cache

Levels = NDArray[np.uint8]  # (columns, rows), row 0 is the highest


@dataclass(frozen=True, eq=False)
class Lens:
    """How recordings of one rate are looked at.

    Attributes
    ----------
    rate_hz, rows : int
        Rate of the samples, and rows of the picture.
    top_hz : float
        The frequency at the upper edge of row 0; the lowest row begins at 0 Hz.
    step_s : float
        The most time between two spectra: a power of two, at most half a window.
    window : ndarray of float32, (n,)
        What a stretch of samples is multiplied by.
    filters : ndarray of float32, (n // 2 + 1, rows)
        The share of each frequency in each row.
    """

    rate_hz: int
    rows: int
    top_hz: float
    step_s: float
    window: Samples = field(repr=False)
    filters: Samples = field(repr=False)

    def power(self, frames: Samples) -> Samples:
        """Return the power (m, rows) of ``frames`` (m, n); a sine at full scale has 1."""
        spectra = scipy.fft.rfft(frames * self.window)
        return np.asarray((spectra.real**2 + spectra.imag**2) @ self.filters, np.float32)


@functools.lru_cache(maxsize=64)
def lens_of(rate_hz: int, rows: int) -> Lens:
    """Return the lens for a rate and a number of rows."""
    seconds = SHORT_S if rate_hz > ULTRASOUND_HZ else WINDOW_S
    n = 1 << max(4, round(math.log2(seconds * rate_hz)))
    window = np.hanning(n + 1)[:-1]
    top_hz = min(rate_hz / 2, TOP_HZ)
    filters = _filters(n, rate_hz, rows, top_hz) / (window.sum() / 2) ** 2
    step_s = 2.0 ** math.floor(math.log2(n / 2 / rate_hz))
    return Lens(
        rate_hz, rows, top_hz, step_s, window.astype(np.float32), filters.astype(np.float32)
    )


def _filters(n: int, rate_hz: int, rows: int, top_hz: float) -> NDArray[np.float64]:
    """Return triangles (n // 2 + 1, rows) with the sum 1, at least one step of frequency wide."""
    mel = np.log1p(top_hz / MEL_HZ) * (1 - (np.arange(-1, rows + 1) + 0.5) / rows)
    hertz = MEL_HZ * np.expm1(mel)  # of row -1 to row `rows`, falling
    bins_hz = np.arange(n // 2 + 1)[:, None] * (rate_hz / n)
    above, centre, below = hertz[:-2], hertz[1:-1], hertz[2:]
    rise = np.maximum(centre - below, rate_hz / n)
    fall = np.maximum(above - centre, rate_hz / n)
    weights = np.minimum((bins_hz - centre) / rise + 1, 1 - (bins_hz - centre) / fall).clip(0)
    return np.asarray(weights / weights.sum(0))


@dataclass(frozen=True)
class Grid:
    """The columns of a picture: column c shows ``start_s + c * column_s`` and the time after it."""

    start_s: float
    column_s: float
    columns: int

    def per_column(self, lens: Lens) -> int:
        """Return the number of spectra in a column."""
        return max(1, math.ceil(self.column_s / lens.step_s - 1e-9))


def to_levels(power: Samples) -> Levels:
    """Return power (1 is a sine at full scale) as levels of 0 to 255."""
    decibels = 10 * np.log10(np.maximum(power, 1e-20))
    share = (decibels - FLOOR_DB) / (CEILING_DB - FLOOR_DB)
    return np.asarray(np.rint(255 * share.clip(0, 1)), np.uint8)


def draw(blocks: Iterator[Samples], first: int, lens: Lens, grid: Grid) -> Iterator[Levels]:
    """Yield the columns of a picture in order, some at a time, as levels (m, rows).

    ``blocks`` are consecutive samples (n,), the first with the index ``first`` in the recording.
    Before and after them is silence. Memory does not grow with the number of columns.
    """
    tape, n = _Tape(blocks, first), len(lens.window)
    per = grid.per_column(lens)
    at, total, kept = 0, per * grid.columns, np.zeros(lens.rows, np.float32)
    while at < total:
        whole = CHUNK // per * per
        count = min(whole or CHUNK, total - at if whole else per - at % per)
        middles = grid.start_s + grid.column_s * (np.arange(at, at + count) + 0.5) / per
        begins = np.floor(middles * lens.rate_hz + 1e-6).astype(np.int64) - n // 2
        power = lens.power(tape.take(begins, n))
        at += count
        if whole:
            yield to_levels(power.reshape(-1, per, lens.rows).max(1))
            continue
        kept = np.maximum(kept, power.max(0))
        if at % per == 0:
            yield to_levels(kept[None])
            kept = np.zeros_like(kept)


def drawn(blocks: Iterator[Samples], first: int, lens: Lens, grid: Grid) -> Levels:
    """Return all columns of :func:`draw` (columns, rows)."""
    return np.concatenate([*draw(blocks, first, lens, grid)])


class _Tape:
    """Samples that pass by: gives stretches whose beginnings never go back."""

    def __init__(self, blocks: Iterator[Samples], first: int) -> None:
        self._blocks, self._first = blocks, first
        self._samples = np.zeros(0, np.float32)

    def take(self, begins: NDArray[np.int64], n: int) -> Samples:
        """Return the stretches (m, n) that begin at the samples ``begins``."""
        self._drop(int(begins[0]))
        while self._first + len(self._samples) < begins[-1] + n:
            block = next(self._blocks, None)
            if block is None:
                lacking = int(begins[-1]) + n - self._first - len(self._samples)
                block = np.zeros(lacking, np.float32)
            self._samples = np.concatenate([self._samples, block])
            self._drop(int(begins[0]))
        return sliding_window_view(self._samples, n)[begins - self._first]

    def _drop(self, begin: int) -> None:
        """Let go of what is before a sample; put silence before the first."""
        if begin < self._first:
            silence = np.zeros(self._first - begin, np.float32)
            self._samples, self._first = np.concatenate([silence, self._samples]), begin
        past = min(begin - self._first, len(self._samples))
        self._samples, self._first = self._samples[past:], self._first + past


class Peaks:
    """The least and the greatest sample of each point of a waveform.

    Attributes
    ----------
    pairs : ndarray of int8, (points, 2)
        Full scale is 127; 0 where there is no sound.
    """

    def __init__(self, grid: Grid, rate_hz: int, first: int) -> None:
        edges = grid.start_s + grid.column_s * np.arange(grid.columns + 1)
        self._edges = np.floor(edges * rate_hz + 1e-6).astype(np.int64)
        self._at = first
        self._low = np.full(grid.columns, np.inf, np.float32)
        self._high = np.full(grid.columns, -np.inf, np.float32)

    def feed(self, block: Samples) -> None:
        """Take the next samples (n,)."""
        begin, self._at = self._at, self._at + len(block)
        ends = np.maximum(self._edges[1:], self._edges[:-1] + 1)  # a point has at least one sample
        points = np.flatnonzero((self._edges[:-1] < self._at) & (ends > begin))
        if not len(points):
            return
        froms = np.maximum(self._edges[points] - begin, 0)
        cuts = np.stack([froms, np.minimum(ends[points] - begin, len(block))], 1).ravel()
        padded = np.append(block, np.float32(0))  # reduceat allows no cut at the very end
        for values, ufunc in ((self._low, np.minimum), (self._high, np.maximum)):
            values[points] = ufunc(values[points], ufunc.reduceat(padded, cuts)[::2])

    @property
    def pairs(self) -> NDArray[np.int8]:
        return self.between(0, len(self._low))

    def between(self, first: int, last: int) -> NDArray[np.int8]:
        """Return the points ``first..last`` (n, 2)."""
        both = np.stack([self._low[first:last], self._high[first:last]], 1)
        both[both[:, 0] > both[:, 1]] = 0
        return np.asarray(np.rint(127 * both.clip(-1, 1)), np.int8)
