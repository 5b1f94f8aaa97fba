"""Find near copies: the same sound re-encoded, trimmed, louder, equalised, or at another rate.

Comparing spectra is not enough. Two recordings of rain have spectra as similar as a recording and
its copy; so has the word *eight*, said twice by one speaker. Only the waveforms of copies agree.
There are three steps, each finer and slower:

1. ``_neighbours`` computes an embedding of each clip (mean and deviation of the spectrum of its
   loud parts, which trimming and gain change little), and the nearest neighbours of each clip.
2. ``_aligned`` finds the shift at which the spectrograms of two neighbours agree best.
3. ``_shared_s`` measures for how long the *phases* of the waveforms agree at that shift, half a
   second at a time, with nearly flat spectra. The phases of a copy agree in any encoding.

docs/doctor.md has the measurements behind the thresholds; benchmarks/doctor.py makes them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft

VERSION = 1  # raise it when the result for two clips may change, here or in a sketch
NEAR_S = 300.0  # seconds at the beginning of each clip that are compared
HOP_S = 0.025
BANDS = 24
BAND_EDGES_HZ = np.linspace(150, 3_700, BANDS + 1)  # present even in telephone audio at 8 kHz
RANGE_DB = 50  # below the loudest band and frame; a codec may invent softer sound
STEPS = 5  # per dB: a sketch has whole numbers up to 250
LOUD_DB = 30  # frames softer than the loudest by more than this are not in the embedding

NEIGHBOURS = 20
FEW = 4_000  # pairs that are always affordable: below 200 clips, more neighbours are compared
SHRINKAGE = 0.1
BLOCK_DISTANCES = 2**22  # of the distance matrix at a time: 16 MB, and 32 MB for their order
BATCH = 256  # pairs that one thread compares at a time
LEAST_AGREEMENT = 0.4  # of spectrograms; 99 % of copies have 0.5 or more
RATE_HZ = 8_000  # of the waveforms that are compared
BAND_HZ = (100, 3_600)
LEAST_OVERLAP = RATE_HZ // 10
LEAST_S = LEAST_OVERLAP / RATE_HZ  # of a clip
LEAST_OVERALL = 0.3  # least coherence of a pair of one stretch; for n stretches, / sqrt(n),
LEAST_OVERALL_EVER = 0.15  # but not less than this
STRETCH = RATE_HZ // 2
MOST_STRETCHES = 60  # per pair, evenly spread
LEAST_COHERENCE = 0.8  # copies have 0.84 or more, a word said twice at most 0.76
LEAST_SHARED_S = 1.0  # or half of the sounding part of the shorter clip
SOUNDING_DB = 40  # below the loudest stretch

Sketch = np.ndarray  # (T, BANDS) uint8: decibels above the floor, times STEPS; one row per HOP_S
Waveform = np.ndarray  # (n,) float32 at RATE_HZ


class Pair(NamedTuple):
    """Two clips, by index, and how many seconds of the same sound they share."""

    first: int
    second: int
    shared_s: float


def band_weights(frame: int, rate_hz: int) -> np.ndarray:
    """Return (F, BANDS): 1 where a bin of a spectrum of ``frame`` samples is in a band, else 0."""
    hz = np.arange(frame // 2 + 1) * rate_hz / frame
    band = np.searchsorted(BAND_EDGES_HZ, hz, side="right") - 1
    return np.asarray(band[:, None] == np.arange(BANDS), np.float32)


def sketch(power: np.ndarray) -> Sketch:
    """Return the power in bands (T, BANDS) as whole steps above the floor."""
    level = 10 * np.log10(power + 1e-20)
    above = np.maximum(level - level.max() + RANGE_DB, 0)
    return np.asarray(np.round(above * STEPS), np.uint8)


def find(
    sketches: Sequence[Sketch],
    waveform: Callable[[int], Waveform],
    run: Callable[..., Iterable[list[Pair]]] = map,
) -> list[Pair]:
    """Return the sorted pairs of clips with the same sound.

    ``waveform`` returns clip number i at RATE_HZ; ``run`` may be the ``map`` of a pool.
    """
    if len(sketches) < 2:
        return []
    matches = functools.partial(compare, sketches, waveform)
    numbers = _neighbours(sketches)
    batches = (numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH))
    return [pair for pairs in run(matches, batches) for pair in pairs]


def compare(
    sketches: Sequence[Sketch] | Mapping[int, Sketch],
    waveform: Callable[[int], Waveform],
    numbers: np.ndarray,
) -> list[Pair]:
    """Return those of the pairs ``numbers`` (P, 2) that have the same sound."""
    pairs = []
    for i, j in numbers.tolist():
        agreement, shift = _aligned(sketches[i], sketches[j])
        if agreement >= LEAST_AGREEMENT:
            shared_s = _shared_s(waveform(i), waveform(j), round(shift * HOP_S * RATE_HZ))
            if shared_s:
                pairs.append(Pair(i, j, shared_s))
    return pairs


def _neighbours(sketches: Sequence[Sketch]) -> np.ndarray:
    """Return (P, 2), sorted: pairs of clips in which one is a nearest neighbour of the other."""
    x = _whitened(np.array([_embedding(s) for s in sketches]))
    square = (x * x).sum(1)
    most = min(max(NEIGHBOURS, FEW // len(x)), len(x) - 1)
    numbers = []
    block = max(1, BLOCK_DISTANCES // len(x))
    for at in range(0, len(x), block):
        distance = square - 2 * x[at : at + block] @ x.T
        own = np.arange(at, at + len(distance))[:, None]
        distance[own - at, own] = np.inf
        near = np.argpartition(distance, most - 1, axis=1)[:, :most]
        numbers.append((np.minimum(own, near) * len(x) + np.maximum(own, near)).ravel())
    return np.stack(np.divmod(np.unique(np.concatenate(numbers)), len(x)), 1)


def _embedding(sketch: Sketch) -> np.ndarray:
    level = sketch.astype(np.float32) / STEPS  # (T, BANDS) dB
    loudness = 10 * np.log10((10 ** (level / 10)).sum(1))
    loud = level[loudness >= loudness.max() - LOUD_DB]
    mean = loud.mean(0)
    return np.concatenate([mean - mean.mean(), loud.std(0)])


def _whitened(x: np.ndarray) -> np.ndarray:
    """Return ``x`` (N, D) rotated and scaled to unit covariance; SHRINKAGE limits the scaling."""
    x = x - x.mean(0)
    variance, axes = np.linalg.eigh(x.T @ x / len(x))
    scale = 1 / np.sqrt(variance + SHRINKAGE * variance.mean() + 1e-9)
    return np.asarray(x @ (axes * scale), np.float32)


def _aligned(a: Sketch, b: Sketch) -> tuple[float, int]:
    """Return the best correlation over all shifts that overlap by at least half, and that shift.

    Row ``t`` of ``b`` matches row ``t + shift`` of ``a``. Differences between neighbouring bands
    are correlated, because loudness says little and rhythms repeat. Each correlation is multiplied
    by the share of the energy of ``a`` or ``b`` in the overlap, whichever is larger.
    """
    x, y = (np.diff(s.astype(np.float32), axis=1) for s in (a, b))
    x, y = x - x.mean(0), y - y.mean(0)
    size = scipy.fft.next_fast_len(len(x) + len(y) - 1, real=True)
    cross = scipy.fft.rfft(x, size, axis=0) * np.conj(scipy.fft.rfft(y, size, axis=0))
    product = scipy.fft.irfft(cross.sum(1), size)
    shift = np.arange(1 - len(y), len(x))
    start, end = np.maximum(0, shift), np.minimum(len(x), shift + len(y))
    in_x, in_y = _energy(x, start, end), _energy(y, start - shift, end - shift)  # shares of 1
    scale = np.linalg.norm(x) * np.linalg.norm(y) + 1e-6
    agreement = np.maximum(in_x, in_y) * product[shift] / scale / (np.sqrt(in_x * in_y) + 1e-3)
    agreement[end - start < min(len(x), len(y)) / 2] = -1
    best = int(agreement.argmax())
    return float(agreement[best]), int(shift[best])


def _energy(x: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the share of the energy of ``x`` (T, D) in each stretch ``start..end``."""
    total = np.concatenate([[0.0], np.cumsum(np.square(x).sum(1), dtype=np.float64)])
    return np.asarray((total[end] - total[start]) / (total[-1] + 1e-6))


def _shared_s(x: Waveform, y: Waveform, shift: int) -> float:
    """Return how many seconds of the same sound ``x`` and ``y`` share, with ``y`` shifted.

    0 means different sounds. ``shift``, in samples, may be wrong by one row of a sketch.
    """
    u, v = _overlap(x, y, shift)
    if len(u) < LEAST_OVERLAP:
        return 0.0
    lag, coherence = _lag(u, v, slack=round(HOP_S * RATE_HZ))
    least = max(LEAST_OVERALL_EVER, LEAST_OVERALL / np.sqrt(max(1, len(u) / STRETCH)))
    u, v = _overlap(x, y, shift + lag)
    if coherence < least or len(u) < LEAST_OVERLAP:
        return 0.0
    count = max(1, len(u) // STRETCH)
    length = len(u) // count
    rows = np.unique(np.linspace(0, count - 1, min(count, MOST_STRETCHES)).astype(int))
    u, v = (w[: count * length].reshape(count, length)[rows] for w in (u, v))
    same_s = float((_coherence(u, v) >= LEAST_COHERENCE).mean() * count * length / RATE_HZ)
    least_s = min(LEAST_SHARED_S, *(_sounding_s(w) / 2 for w in (x, y)))
    return same_s if same_s >= least_s else 0.0


def _overlap(x: Waveform, y: Waveform, shift: int) -> tuple[Waveform, Waveform]:
    start, end = max(0, shift), min(len(x), shift + len(y))
    return x[start:end], y[start - shift : end - shift]


def _lag(u: Waveform, v: Waveform, slack: int) -> tuple[int, float]:
    """Return the best shift of ``v`` (up to ``slack`` samples) to match ``u``, and coherence."""
    size = scipy.fft.next_fast_len(len(u) + slack, real=True)
    band = _band(size)
    cross = np.zeros(size // 2 + 1, np.complex64)
    cross[band], total = _flattened(u, v, size, band)
    near = np.arange(-slack, slack + 1)
    coherence = np.abs(scipy.fft.irfft(cross, size)[near]) * (size / 2) / total
    best = int(coherence.argmax())
    return int(near[best]), float(coherence[best])


def _coherence(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return (W,), 0 to 1: how well the phases in each row of (W, n) agree, up to the sign.

    Shifts of up to two samples are tried, in steps of a quarter, because copies may be resampled.
    """
    size = scipy.fft.next_fast_len(2 * u.shape[1], real=True)
    cross, total = _flattened(u, v, size, _band(size))
    agreement = cross.view(np.float32) @ _turns(size)
    return np.asarray(np.abs(agreement).max(1) / total)


def _band(size: int) -> slice:
    """Return the bins of a spectrum of ``size`` samples that are in BAND_HZ."""
    return slice(*(round(hz * size / RATE_HZ) for hz in BAND_HZ))


@functools.lru_cache(maxsize=8)
def _turns(size: int) -> np.ndarray:
    """Return (2 F, 17), a matrix for shifts of -2 to 2 samples in steps of a quarter.

    A cross spectrum (real, imaginary, real ...) times this matrix is its real sum after each shift.
    """
    band = _band(size)
    radians = 2 * np.pi / size * np.arange(band.start, band.stop)
    angle = radians[:, None] * np.arange(-2, 2.25, 0.25)
    return np.stack([np.cos(angle), -np.sin(angle)], 1).reshape(-1, 17).astype(np.float32)


def _flattened(
    u: np.ndarray, v: np.ndarray, size: int, band: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cross spectrum (..., F) with a nearly flat magnitude, and the magnitude's sum."""
    cross = scipy.fft.rfft(u, size)[..., band] * np.conj(scipy.fft.rfft(v, size)[..., band])
    root = np.sqrt(np.abs(cross)) + 1e-9
    cross /= root * np.sqrt(root)  # the magnitude becomes its fourth root
    return cross, np.sqrt(root).sum(-1)


def _sounding_s(x: Waveform) -> float:
    """Return how many seconds of ``x`` are within SOUNDING_DB of its loudest stretch."""
    power = [float(np.mean(part * part)) for part in np.split(x, range(STRETCH, len(x), STRETCH))]
    loud = np.array(power) >= max(power) * 10 ** (-SOUNDING_DB / 10)
    return float(loud.mean() * len(x) / RATE_HZ)
