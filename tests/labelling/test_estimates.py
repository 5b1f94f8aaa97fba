"""Estimates from windows that were drawn at random, and their intervals."""

import numpy as np
import pytest
from scipy.stats import chi2

from earmark.labelling.estimates import Draws, Interval, share, weighted_count


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (8, 10, 0.4439, 0.9748),
        (81, 263, 0.2527, 0.3676),
    ],
)
def test_a_share_has_the_exact_interval(hits, n, low, high):
    """Newcombe, Statistics in Medicine 17 (1998), 857-872, has the last one."""
    interval = share(np.arange(n) < hits, np.ones(n))
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (hits / n, low, high), abs=6e-5
    )


def test_unequal_weights_count_as_fewer_windows():
    even, uneven = (share(np.ones(10, bool), w) for w in (np.ones(10), np.arange(1.0, 11)))
    assert uneven.low < even.low
    assert uneven.low == pytest.approx(share(np.ones(8, bool), np.ones(8)).low, abs=0.02)


@pytest.mark.parametrize("hits", [0, 1, 7])
def test_equal_weights_have_the_exact_interval_of_poisson(hits):
    """Garwood, Biometrika 28 (1936), 437-442."""
    interval = weighted_count(np.full(hits, 2.0), 2.0)
    low = chi2.ppf(0.025, 2 * hits) if hits else 0
    expected = (2 * hits, low, chi2.ppf(0.975, 2 * hits + 2))
    assert (interval.value, interval.low, interval.high) == pytest.approx(expected)


def test_an_interval_takes_known_numbers_and_ends_at_0():
    assert Interval(5, 2, 9).plus(-4).times(2) == Interval(2, 0, 10)


def test_too_few_draws_say_nothing():
    two = np.ones(2)
    draws = Draws(np.array([True, False]), two, np.array([0.9, 0.1]), two)
    assert draws.precision(0.5) is None
    many = [np.ones(27), np.full(27, 0.01), np.ones(27), np.ones(27)]
    assert Draws(many[0].astype(bool), *many[1:]).total() is None


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_intervals_cover_what_they_estimate(factor):
    """The scores are wrong by a factor, and the draws correct it."""
    rng = np.random.default_rng(0)
    scores = rng.beta(0.4, 2.5, 20_000)
    high, low = np.flatnonzero(scores >= 0.5), np.flatnonzero(scores < 0.5)
    p = scores[low] / scores[low].sum()
    chances = np.empty(len(scores))
    chances[high], chances[low] = 0.5 / len(high), 0.5 * p
    inside, runs = np.zeros(2), 200
    for _ in range(runs):
        truth = rng.random(len(scores)) < np.minimum(1, factor * scores)
        own = np.concatenate([rng.choice(high, 25), rng.choice(low, 25, p=p)])
        own = rng.permutation(own)
        draws = Draws(truth[own], chances[own], scores[own], np.full(50, 7))
        precision, everything = draws.precision(0.5), draws.total()
        assert precision is not None and everything is not None
        inside += [precision.low <= truth[high].mean() <= precision.high,
                   everything.low <= truth.sum() + 7 <= everything.high]  # fmt: skip
    assert (inside >= 0.92 * runs).all()
