"""Active learning: the head, and which windows are chosen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from earmark.labelling.active import (
    ALIKE,
    RIDGE,
    Pool,
    choose,
    fit_head,
    margins_without,
    probability,
)
from made_windows import planted_vectors


@pytest.mark.parametrize("n", [8, 60])
def test_the_head_is_a_logistic_regression(n):
    x, truth = planted_vectors(n, 3, width=20, seed=n)
    weights = np.random.default_rng(0).uniform(0.05, 1, n)
    head = fit_head(x, truth, weights)
    augmented = np.hstack([x, np.ones((n, 1))])  # the penalty is also on the bias
    model = LogisticRegression(C=1 / RIDGE, fit_intercept=False, tol=1e-10, max_iter=10_000)
    model.fit(augmented, truth, sample_weight=weights)
    assert head.weights == pytest.approx(model.coef_[0, :-1], abs=2e-4)
    assert head.bias == pytest.approx(model.coef_[0, -1], abs=2e-4)
    assert probability(head.margins(x)) == pytest.approx(
        model.predict_proba(augmented)[:, 1], abs=2e-4
    )


def test_one_class_and_one_vector_are_enough_for_a_head():
    head = fit_head(np.eye(3, dtype=np.float32)[:1], np.array([True]), np.ones(1))
    assert np.isfinite(head.weights).all() and head.margins(np.eye(3))[0] > 0


@pytest.mark.parametrize("width", [20, 120])  # fewer and more than vectors
def test_margins_without_are_those_of_heads_that_are_fitted_anew(width):
    x, truth = planted_vectors(80, 3, width=width)
    weights = np.random.default_rng(0).uniform(0.05, 1, 80)
    blocks = [np.array([k]) for k in range(20)] + [np.array([k, k + 1, k + 7]) for k in range(20)]
    anew = []
    for block in blocks:
        keep = np.setdiff1d(np.arange(80), block)
        anew.append(float(fit_head(x[keep], truth[keep], weights[keep]).margins(x[block[0]])))
    quick = margins_without(x, truth, weights, blocks)
    assert np.corrcoef(quick, anew)[0, 1] > 0.99
    assert np.abs(quick - anew).max() < 0.35  # curvatures are those of the whole fit
    inside = fit_head(x, truth, weights).margins(x[[block[0] for block in blocks]])
    assert np.abs(quick - anew).mean() < 0.1 * np.abs(inside - anew).mean()


def pool_of(n: int, seed: int = 0, groups: int = 40) -> tuple[Pool, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((2 * n, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.sort(rng.choice(2 * n, n, replace=False))
    margins = (2 * rng.standard_normal(n) - 2).astype(np.float32)
    return Pool(rows, margins, rng.integers(0, groups, n)), vectors


@given(n=st.integers(1, 60), count=st.integers(1, 14), seed=st.integers(0, 5))
def test_each_window_is_asked_for_once_and_as_many_as_there_are(n, count, seed):
    pool, vectors = pool_of(n, seed)
    chosen = choose(pool, lambda rows: vectors[rows], count, np.random.default_rng(seed))
    assert len(chosen.rows) == len(set(chosen.rows)) == min(n, count)
    assert set(chosen.rows) <= set(pool.rows.tolist())
    for why, chance in zip(chosen.why, chosen.chances, strict=True):
        assert math.isnan(chance) if why == "uncertain" else 0 < chance <= 1


def test_a_dozen_is_half_sure_half_uncertain_and_two_at_random():
    pool, vectors = pool_of(2_000)
    chosen = choose(pool, lambda rows: vectors[rows], 12, np.random.default_rng(1))
    assert [chosen.why.count(w) for w in ("sure", "random", "uncertain")] == [5, 2, 5]
    margin = dict(zip(pool.rows.tolist(), pool.margins.tolist(), strict=True))
    own = {w: [margin[r] for r, x in zip(chosen.rows, chosen.why, strict=True) if x == w]
           for w in ("sure", "random", "uncertain")}  # fmt: skip
    assert min(own["sure"]) >= 0 > max(own["random"])
    assert max(map(abs, own["uncertain"])) < 0.2
    n_sure = int((pool.margins >= 0).sum())
    assert chosen.chances[:5] == pytest.approx([5 / 7 / n_sure] * 5)


def test_the_uncertain_ones_are_of_several_groups_and_not_alike():
    pool, vectors = pool_of(2_000)
    vectors[pool.rows[np.argsort(np.abs(pool.margins))[:40]]] = vectors[0]  # forty of one sound
    chosen = choose(pool, lambda rows: vectors[rows], 12, np.random.default_rng(1))
    rows = [r for r, why in zip(chosen.rows, chosen.why, strict=True) if why == "uncertain"]
    likeness = vectors[rows] @ vectors[rows].T - 2 * np.eye(len(rows))
    assert likeness.max() <= ALIKE


def test_the_uncertain_ones_are_of_several_groups_if_there_are():
    pool, vectors = pool_of(2_000, groups=6)
    near = np.argsort(np.abs(pool.margins))[:40]
    for group, most in ((0, 3), (None, 12)):
        if group is None:
            pool.groups[:] = 0
        pool.groups[near] = 0
        chosen = choose(pool, lambda rows: vectors[rows], 12, np.random.default_rng(1))
        rows = [r for r, why in zip(chosen.rows, chosen.why, strict=True) if why == "uncertain"]
        assert len(rows) == 5
        assert np.isin(pool.rows, rows)[pool.groups == 0].sum() <= most


def test_windows_are_drawn_as_often_as_their_chances_say():
    pool, vectors = pool_of(60, seed=3)
    drawn, expected = np.zeros(120), np.zeros(120)
    for seed in range(3_000):
        chosen = choose(pool, lambda rows: vectors[rows], 12, np.random.default_rng(seed))
        for row, chance in zip(chosen.rows, chosen.chances, strict=True):
            if not math.isnan(chance):
                drawn[row] += 1
                expected[row] = 7 * chance * 3_000
    seen = drawn > 0
    assert np.abs(drawn[seen] - expected[seen]).max() < 5 * math.sqrt(expected.max())
