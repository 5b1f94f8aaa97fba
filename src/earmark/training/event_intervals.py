"""95 % intervals of shares and rates of events, by recording."""

from __future__ import annotations

import numpy as np

from earmark.training import metrics

CONFIDENCE = 0.95
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


def ratio_intervals(part: np.ndarray, whole: np.ndarray, seed: int) -> np.ndarray:
    """Return (F, 2): the intervals of F ratios ``part.sum(0) / whole.sum(0)``.

    Both are (U, F): the sums of each unit, such as a recording, which are resampled as a whole.
    With 20 units or more the interval is a percentile bootstrap, with fewer it is Student's t of
    the ratio estimator (Cochran 1977, section 6.4). Only units with a ``whole`` count. It is NaN
    where there are fewer than two.
    """
    index = metrics.units(np.arange(len(part)), seed) if len(part) else np.zeros(0, int)
    count = int(index.max(initial=-1)) + 1
    sums = np.zeros((2, count, part.shape[1]))
    np.add.at(sums[0], index, part)
    np.add.at(sums[1], index, whole)
    part, whole = sums
    n = (whole > 0).sum(0)
    few = n < metrics.FEW_CLUSTERS
    intervals = np.full((part.shape[1], 2), np.nan)
    if few.any():
        intervals[few] = _student(part[:, few], whole[:, few])
    if not few.all():
        intervals[~few] = _bootstrap(part[:, ~few], whole[:, ~few], seed)
    intervals[n < 2] = np.nan
    return intervals


def share_intervals(part: np.ndarray, whole: np.ndarray, seed: int) -> np.ndarray:
    """Return (F, 2): :func:`ratio_intervals` of shares, which lie between 0 and 1.

    Where all or none of a share is right, the interval ends at the exact binomial limit over units
    (Clopper and Pearson 1934). Where there is one unit, it is 0 to 1.
    """
    intervals = np.clip(ratio_intervals(part, whole, seed), 0, 1)
    n = np.maximum((whole > 0).sum(0), 1)
    hits, sizes = part.sum(0), whole.sum(0)
    limit = TAILS[0] ** (1 / n)
    intervals[hits == 0] = np.stack([np.zeros(len(n)), 1 - limit], axis=1)[hits == 0]
    intervals[hits == sizes] = np.stack([limit, np.ones(len(n))], axis=1)[hits == sizes]
    intervals[np.isnan(intervals).any(1)] = 0, 1
    intervals[sizes == 0] = np.nan
    return np.asarray(intervals)


def rate_intervals(counts: np.ndarray, hours: np.ndarray, seed: int) -> np.ndarray:
    """Return (F, 2): the intervals of counts an hour; ``counts`` (U, F), ``hours`` (U,).

    With no event at all, or one unit, the interval is the exact one of a Poisson count.
    """
    whole = np.broadcast_to(hours[:, None], counts.shape)
    intervals = np.maximum(ratio_intervals(counts, whole, seed), 0)
    total, time = counts.sum(0), float(hours.sum())
    exact = np.isnan(intervals).any(1) | (total == 0)
    for column in np.flatnonzero(exact):
        intervals[column] = poisson_interval(int(total[column]), time)
    return np.asarray(intervals)


def poisson_interval(count: int, hours: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate an hour (Garwood 1936)."""
    from scipy.special import gammaincinv

    low = gammaincinv(count, TAILS[0]) if count else 0.0
    return float(low / hours), float(gammaincinv(count + 1, TAILS[1]) / hours)


def most_per_hour(count: int, hours: float) -> float:
    """Return the rate an hour that ``count`` events in so many hours exclude with 95 % confidence.

    The true rate is at most this. Without any event it is 3 divided by the hours.
    """
    from scipy.special import gammaincinv

    return float(gammaincinv(count + 1, CONFIDENCE) / hours)


def _bootstrap(part: np.ndarray, whole: np.ndarray, seed: int) -> np.ndarray:
    """Return percentile intervals (F, 2) over 2,000 resamples of the units."""
    rng = np.random.default_rng(seed)
    n = len(part)
    ratios = np.full((metrics.BOOTSTRAPS, part.shape[1]), np.nan)
    for rows in metrics.blocks(metrics.BOOTSTRAPS, n):
        weights = rng.multinomial(n, np.full(n, 1 / n), rows.stop - rows.start)
        size = weights @ whole
        np.divide(weights @ part, size, out=ratios[rows], where=size > 0)
    return np.asarray(np.nanquantile(ratios, TAILS, axis=0).T)


def _student(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return Student's t intervals (F, 2) of ratios; NaN for fewer than two units."""
    from scipy.special import stdtrit

    n = (whole > 0).sum(0)
    safe, size = np.maximum(n, 2), np.maximum(whole.sum(0), 1e-300)
    ratio = part.sum(0) / size
    residual = (part - ratio * whole) / (size / safe)
    half = stdtrit(safe - 1, TAILS[1]) * np.sqrt((residual**2).sum(0) / (safe * (safe - 1)))
    return np.stack([ratio - half, ratio + half], axis=1)
