"""Decisions by hand: ranks of conformal sets, thresholds with ties, thresholds of other folds."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.classifier import decision
from earmark.classifier.decision import (
    DecisionRule,
    best_thresholds,
    conformal_quantile,
    fold_thresholds,
    nonconformity,
)
from earmark.errors import EarmarkError

SCORES = st.integers(0, 8).map(lambda eighths: eighths / 8)


@pytest.mark.parametrize(
    ("count", "coverage", "rank"),
    [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (99, 0.95, 95), (3, 0.5, 2), (4, 0.5, 3)],
)
def test_the_rank_of_a_set_counts_the_new_clip_too(count, coverage, rank):
    """The k-th of n values, k = ceil((n + 1) * coverage): Vovk et al. 2005."""
    values = np.arange(1, count + 1) / 1_000
    assert conformal_quantile(values, coverage) == rank / 1_000


@pytest.mark.parametrize(("count", "coverage"), [(8, 0.9), (1, 0.6), (18, 0.96), (0, 0.1)])
def test_too_few_clips_put_every_class_into_the_set(count, coverage):
    assert conformal_quantile(np.arange(count) / 1_000, coverage) == 1.0


@given(count=st.integers(1, 60), percent=st.integers(1, 99))
def test_one_clip_of_all_is_covered_as_often_as_promised(count, percent):
    """Each of n + 1 equally likely clips in turn is the new one: at least the share is covered."""
    coverage = percent / 100
    if abs((count + 1) * percent % 100) < 1:  # a whole rank, where rounding decides
        return
    values = np.arange(count + 1) / (count + 1)
    covered = [
        values[new] <= conformal_quantile(np.delete(values, new), coverage)
        for new in range(count + 1)
    ]
    needed = math.ceil(Fraction(percent, 100) * (count + 1))
    assert sum(covered) == needed  # and not one clip more


def test_a_rule_keeps_the_nonconformity_of_each_clip():
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.25, 0.5, 0.25]])
    onehot = np.eye(3)[[0, 2, 1]]
    np.testing.assert_allclose(nonconformity(scores, onehot), [0.3, 0.6, 0.5])
    rule = DecisionRule.fit(scores, onehot, is_single=True)
    assert rule.nonconformity == pytest.approx((0.3, 0.5, 0.6)) and rule.thresholds == ()
    assert rule.most_nonconformity(0.5) == pytest.approx(0.5)
    assert rule.most_nonconformity(0.75) == pytest.approx(0.6)
    assert rule.most_nonconformity(0.8) == 1.0


def test_of_many_clips_a_thousand_even_quantiles_are_kept(monkeypatch):
    assert decision.LEVELS == 1_000
    monkeypatch.setattr(decision, "LEVELS", 5)
    values = np.linspace(0.1, 0.9, 9)
    scores = np.stack([1 - values, values], 1)[::-1]
    rule = DecisionRule.fit(scores, np.eye(2)[np.zeros(9, int)], is_single=True)
    assert rule.nonconformity == pytest.approx((0.1, 0.3, 0.5, 0.7, 0.9))


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.5, 1.5])
def test_a_coverage_that_is_none_is_refused(coverage):
    with pytest.raises(EarmarkError, match=f"{coverage:g}"):
        DecisionRule(nonconformity=(0.1, 0.2)).most_nonconformity(coverage)
    with pytest.raises(EarmarkError):
        DecisionRule(thresholds=(0.5,)).most_nonconformity(0.9)


def test_the_names_in_a_file_are_those_of_0_1():
    rule = DecisionRule((0.5,), (0.1, 0.2), 0.3)
    saved = json.loads(json.dumps(rule.to_json()))
    assert saved == {"thresholds": [0.5], "disbelief": [0.1, 0.2], "unknown_below": 0.3}
    assert DecisionRule.from_json(saved) == rule
    assert DecisionRule() == DecisionRule((), (), None)


def f1(has: np.ndarray, chosen: np.ndarray) -> float:
    return 2 * (has & chosen).sum() / max(1, has.sum() + chosen.sum())


@given(st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=12))
@settings(max_examples=300)
def test_a_threshold_lies_half_way_below_the_best_score(rows):
    """By trying every distinct score; of equal F1 it is the highest. Ties stay together."""
    scores, has = (np.array(column) for column in zip(*rows, strict=True))
    (found,) = best_thresholds(scores[:, None], has[:, None].astype(float))
    if not has.any():
        assert found == 0.5
        return
    distinct = sorted(set(scores), reverse=True)
    best = max(distinct, key=lambda t: (round(f1(has, scores >= t), 12), t))
    below = max((t for t in distinct if t < best), default=0.0)
    assert found == pytest.approx((best + below) / 2)


def test_the_last_clip_may_have_the_class():
    scores = np.array([[0.9], [0.6], [0.4]])
    assert best_thresholds(scores, np.array([[0], [0], [1]])) == pytest.approx([0.2])
    assert best_thresholds(scores, np.array([[1], [0], [0]])) == pytest.approx([0.75])
    assert best_thresholds(scores, np.array([[1], [0], [1]])) == pytest.approx([0.2])


def test_thresholds_of_a_fold_are_those_of_the_other_folds():
    rng = np.random.default_rng(0)
    scores = np.round(rng.random((90, 3)), 1)
    onehot = (rng.random((90, 3)) < scores * 0.8).astype(float)
    onehot[:, 2] = 0
    fold = rng.integers(0, 4, 90)
    found = fold_thresholds(scores, onehot, fold)
    assert found.shape == (4, 3)
    for number in range(4):
        others = fold != number
        np.testing.assert_allclose(found[number], best_thresholds(scores[others], onehot[others]))
    assert (found[:, 2] == 0.5).all()
