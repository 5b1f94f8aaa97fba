"""Intervals of shares and rates of events: against SciPy, and how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, chi2

from earmark.training import metrics
from earmark.training.event_intervals import (
    most_per_hour,
    poisson_interval,
    rate_intervals,
    ratio_intervals,
    share_intervals,
)


def test_many_units_are_resampled_as_scipy_does():
    rng = np.random.default_rng(0)
    whole = rng.integers(1, 20, (40, 1)).astype(float)
    part = rng.binomial(whole.astype(int), 0.7).astype(float)
    (own,) = ratio_intervals(part, whole, seed=0)
    expected = bootstrap(
        (part[:, 0], whole[:, 0]), lambda p, w, axis: p.sum(axis) / w.sum(axis),
        paired=True, vectorized=True, method="percentile", n_resamples=5_000, rng=1,
    ).confidence_interval  # fmt: skip
    assert own == pytest.approx(expected, abs=0.01)  # of 2,000 resamples


@pytest.mark.parametrize(("n", "least"), [(6, 0.9), (12, 0.91), (40, 0.91)])
def test_95_of_100_intervals_hold_the_true_share(n, least):
    rng = np.random.default_rng(n)
    rate = np.clip(rng.normal(0.7, 0.1, (n, 300)), 0, 1)  # recordings differ
    whole = rng.integers(5, 20, (n, 300))
    part = rng.binomial(whole, rate)
    low, high = share_intervals(part.astype(float), whole.astype(float), seed=0).T
    assert least <= ((low <= 0.7) & (high >= 0.7)).mean() <= 0.99


@pytest.mark.parametrize("n", [4, 19, 25])
def test_shares_of_clips_have_the_interval_of_their_accuracy(n):
    rng = np.random.default_rng(n)
    cluster = np.concatenate([np.arange(n), rng.integers(0, n, 200)])
    right = (rng.random(len(cluster)) < 0.8).astype(float)
    part, whole = (np.bincount(cluster, values)[:, None] for values in (right, None))
    expected = metrics.accuracy_interval(right, cluster, 0)
    few = n < metrics.FEW_CLUSTERS
    assert share_intervals(part, whole, 0)[0] == pytest.approx(expected, abs=1e-9 if few else 0.01)


def test_all_or_none_right_have_the_binomial_limit_over_units():
    whole = np.ones((9, 2))
    part = whole * [1, 0]
    for k, hits in enumerate((9, 0)):
        exact = binomtest(hits, 9).proportion_ci()
        assert share_intervals(part, whole, 0)[k] == pytest.approx((exact.low, exact.high))


def test_one_unit_says_nothing_about_others():
    assert share_intervals(np.array([[3.0]]), np.array([[4.0]]), 0).tolist() == [[0, 1]]
    assert share_intervals(np.ones((1, 1)), np.ones((1, 1)), 0)[0] == pytest.approx([0.025, 1])
    assert np.isnan(share_intervals(np.zeros((2, 1)), np.zeros((2, 1)), 0)).all()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_rates_have_the_exact_interval_of_a_poisson_count(count):
    low = chi2.ppf(0.025, 2 * count) / 2 / 0.5 if count else 0
    expected = (low, chi2.ppf(0.975, 2 * count + 2) / 2 / 0.5)
    assert poisson_interval(count, 0.5) == pytest.approx(expected)
    assert most_per_hour(count, 0.5) == pytest.approx(chi2.ppf(0.95, 2 * count + 2) / 2 / 0.5)
    one_unit = rate_intervals(np.array([[count]]), np.array([0.5]), 0)
    assert one_unit[0] == pytest.approx(expected)


def test_a_rate_is_never_negative():
    ((low, high),) = rate_intervals(np.array([[0.0], [0.0], [9.0]]), np.ones(3), 0)
    assert low == 0 and high > 3


def test_a_rate_of_many_units_is_resampled():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2, (200, 1)).astype(float)
    ((low, high),) = rate_intervals(counts, np.full(200, 0.5), 0)
    exact = poisson_interval(int(counts.sum()), 100.0)
    assert (low, high) == pytest.approx(exact, rel=0.03)
