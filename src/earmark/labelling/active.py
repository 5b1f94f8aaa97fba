"""Active learning: a head of one class, and the windows whose labels help it most.

A dozen has windows that the head is sure of, windows that it is uncertain about, and a few drawn at
random from the rest. The sure ones are drawn at random too, so that their labels say how precise
the head is. The uncertain ones are those nearest to the threshold, with a quota for each group,
and none much like another one: a dozen of neighbours teaches less.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

RIDGE = 0.1  # of the weights of a head; vectors have unit length
STEPS = 8  # of Newton's method, which has converged by then
LEAST_CURVATURE = 1e-4
RANDOM = 1 / 6  # of a dozen: two
SURE = 1 / 2  # of the rest
QUOTA = 1 / 4  # of a dozen: the most of one group
ALIKE = 0.6  # cosine of two windows, above which only one is asked for
LEAST_SURE = 20  # windows among which the sure ones are drawn
LOOKED_AT = 500  # windows nearest to the threshold among which the uncertain ones are chosen
UNIFORM = 0.1  # of the random draws: without regard to the scores


@dataclass(frozen=True)
class Head:
    """A linear head of one class: the score of vectors (n, D) is ``x @ weights + bias``."""

    weights: np.ndarray
    bias: float

    def margins(self, vectors: np.ndarray) -> np.ndarray:
        """Return margins (n,); the head takes those of 0 and more for the class."""
        margins: np.ndarray = vectors @ self.weights + np.float32(self.bias)
        return margins


def probability(margins: np.ndarray) -> np.ndarray:
    """Return scores (n,) from 0 to 1 for margins (n,)."""
    scores: np.ndarray = 1 / (1 + np.exp(-np.clip(margins, -30, 30)))
    return scores


def fit_head(vectors: np.ndarray, is_class: np.ndarray, weights: np.ndarray) -> Head:
    """Fit a logistic regression with a ridge penalty.

    Parameters
    ----------
    vectors : array, (n, D)
        Vectors of unit length.
    is_class : array, (n,) bool
    weights : array, (n,)
        How much each vector counts, more than 0.

    Notes
    -----
    Newton's method, on the n coefficients of the vectors or, if these are fewer, on the D weights.
    """
    weights_and_bias = _solved(_with_one(vectors), is_class, weights)[0]
    return Head(weights_and_bias[:-1].astype(np.float32), float(weights_and_bias[-1]))


def margins_without(
    vectors: np.ndarray, is_class: np.ndarray, weights: np.ndarray, blocks: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the margin (b,) of the first vector of each block, of a head that learned without it.

    ``blocks`` have positions of vectors, each up to n. The last step of Newton's method is a least
    squares fit, whose residuals without a block follow from its leverages: no head is fitted anew.
    """
    x = _with_one(vectors)
    w, curvature, target = _solved(x, is_class, weights)
    n, width = x.shape
    is_dual = n <= width
    system = x @ x.T + np.diag(RIDGE / curvature) if is_dual else _primal(x, curvature)
    inverse = np.linalg.inv(system)
    margins = np.empty(len(blocks))
    for k, block in enumerate(blocks):
        own = x[block]
        products = own @ x.T if is_dual else own
        leverages = products @ inverse @ products.T
        if is_dual:  # Woodbury's identity
            leverages = (own @ own.T - leverages) / RIDGE
        leverages *= curvature[block]
        residuals = target[block] - own @ w
        without = np.linalg.solve(np.eye(len(block)) - leverages, residuals)
        margins[k] = target[block[0]] - without[0]
    return margins


def _with_one(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, D + 1) in double precision; the 1 is for the bias."""
    return np.hstack([vectors.astype(np.float64), np.ones((len(vectors), 1))])


def _solved(
    x: np.ndarray, is_class: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights (D + 1,), and curvature (n,) and target (n,) of the last step."""
    n, width = x.shape
    kernel = x @ x.T if n <= width else np.zeros((0, 0))
    margins = curvature = target = np.zeros(n)
    w = np.zeros(width)
    for _ in range(STEPS):
        p = probability(margins)
        curvature = weights * np.maximum(p * (1 - p), LEAST_CURVATURE)
        target = margins + weights * (is_class - p) / curvature
        if n <= width:
            w = x.T @ np.linalg.solve(kernel + np.diag(RIDGE / curvature), target)
        else:
            w = np.linalg.solve(_primal(x, curvature), x.T @ (curvature * target))
        margins = x @ w
    return w, curvature, target


def _primal(x: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return the normal matrix (D + 1, D + 1) of a least squares fit."""
    normal: np.ndarray = (x.T * curvature) @ x + RIDGE * np.eye(x.shape[1])
    return normal


@dataclass(frozen=True)
class Chosen:
    """Rows of windows to ask for, why, and the chance that one draw gives it (nan: not drawn)."""

    rows: list[int] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)

    def add(self, row: int, why: str, chance: float = math.nan) -> None:
        """Add a window."""
        self.rows.append(row)
        self.why.append(why)
        self.chances.append(chance)


@dataclass(frozen=True)
class Pool:
    """The windows that may be asked for: n of them.

    Attributes
    ----------
    rows : array, (n,) int64
        Their rows in the archive.
    margins : array, (n,)
        Margins of the head.
    groups : array, (n,) int64
        The group of each, such as its recording.
    """

    rows: np.ndarray
    margins: np.ndarray
    groups: np.ndarray

    def sure(self) -> np.ndarray:
        """Return a mask (n,) of the windows that the head takes for the class.

        If these are few, it has the windows with the highest margins, LEAST_SURE at least.
        """
        mask: np.ndarray = self.margins >= 0
        least = min(LEAST_SURE, len(mask))
        if int(mask.sum()) < least:
            mask = np.zeros(len(mask), bool)
            mask[np.argpartition(-self.margins, least - 1)[:least]] = True
        return mask

    def nearest(self, count: int) -> np.ndarray:
        """Return positions (count,) of the windows nearest to the threshold, nearest first."""
        distance = np.abs(self.margins)
        count = min(count, len(distance))
        near = np.argpartition(distance, count - 1)[:count] if count else np.zeros(0, np.int64)
        return near[np.argsort(distance[near], kind="stable")]


def choose(
    pool: Pool,
    vectors_of: Callable[[np.ndarray], np.ndarray],
    count: int,
    rng: np.random.Generator,
) -> Chosen:
    """Choose ``count`` windows; ``vectors_of`` returns the vectors (n, D) of rows (n,)."""
    chosen = _drawn(pool, count, rng)
    near = pool.nearest(LOOKED_AT)
    near = near[~np.isin(pool.rows[near], chosen.rows)]
    taken = vectors_of(np.array(chosen.rows, np.int64))
    _add_uncertain(pool, near, vectors_of(pool.rows[near]), taken, count, chosen)
    return chosen


def _drawn(pool: Pool, count: int, rng: np.random.Generator) -> Chosen:
    """Draw the sure and the random windows; most of the latter in proportion to their scores.

    The chances of all windows of the pool in one of these draws add up to 1.
    """
    chosen = Chosen()
    is_sure = pool.sure()
    sure, rest = np.flatnonzero(is_sure), np.flatnonzero(~is_sure)
    n_random = min(len(rest), round(count * RANDOM))
    n_sure = min(len(sure), round((count - n_random) * SURE))
    n = n_sure + n_random
    for position in rng.choice(sure, n_sure, replace=False).tolist():
        chosen.add(int(pool.rows[position]), "sure", n_sure / n / len(sure))
    if n_random:
        scores = probability(pool.margins[rest]).astype(np.float64)
        share = (1 - UNIFORM) * scores / scores.sum() + UNIFORM / len(rest)
        for k in rng.choice(len(rest), n_random, replace=False, p=share).tolist():
            chosen.add(int(pool.rows[rest[k]]), "random", n_random / n * float(share[k]))
    return chosen


def _add_uncertain(
    pool: Pool,
    positions: np.ndarray,
    vectors: np.ndarray,
    taken: np.ndarray,
    count: int,
    chosen: Chosen,
) -> None:
    """Add uncertain windows until ``chosen`` has ``count`` of them.

    Parameters
    ----------
    pool : Pool
    positions : array, (m,) int64
        Windows of the pool, nearest to the threshold first, with their ``vectors`` (m, D).
    taken : array, (c, D)
        The vectors of those that are chosen.
    """
    most = max(1, round(count * QUOTA))
    per_group = Counter(pool.groups[np.isin(pool.rows, chosen.rows)].tolist())
    likeness = np.max(vectors @ taken.T, 1, initial=-1.0)
    own = set[int]()
    for quota, alike in (
        (most, ALIKE),
        (count, ALIKE),
        (count, math.inf),
    ):  # if there are no others
        for k, position in enumerate(positions.tolist()):
            if len(chosen.rows) >= count:
                return
            group = int(pool.groups[position])
            if k in own or likeness[k] > alike or per_group[group] >= quota:
                continue
            own.add(k)
            per_group[group] += 1
            chosen.add(int(pool.rows[position]), "uncertain")
            likeness = np.maximum(likeness, vectors @ vectors[k])
