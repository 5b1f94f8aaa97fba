"""Curves over thresholds are exact; thresholds for F1 and for false events; reliability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data.event import Event
from earmark.training.event_curves import ReliabilityBin, event_curves, event_reliability
from earmark.training.event_matching import CollarCriterion, IouCriterion, match
from earmark.training.event_tables import tabulate
from made_events import draw_events, recordings

SEEDS = st.integers(0, 2**32 - 1)
CRITERIA = (IouCriterion(0.3), IouCriterion(0.5), CollarCriterion(), CollarCriterion(1.0, 0.5))


@pytest.mark.parametrize("criterion", CRITERIA, ids=str)
@settings(max_examples=12, deadline=None)
@given(seed=SEEDS)
def test_a_curve_is_what_a_new_matching_at_each_threshold_gives(criterion, seed):
    truth, answers = draw_events(seed, most=40)
    curves = event_curves(recordings(truth), recordings(answers), criterion)
    assert curves[-1].label is None and curves[-1].n_true == sum(map(len, truth))
    assert sum(curve.n_true for curve in curves[:-1]) == curves[-1].n_true
    for curve in curves:
        scores = {e.score for one in answers for e in one if curve.label in (None, e.label)}
        assert curve.thresholds.tolist() == sorted(scores, reverse=True)
        for i, threshold in enumerate(curve.thresholds):
            left = [[e for e in one if e.score >= threshold] for one in answers]
            both = tabulate(recordings(truth), recordings(left))
            k = curve.label and both.labels.index(curve.label)
            is_own = np.full(len(both.answers), True) if k is None else both.answers.label == k
            right = is_own[match(both.truth, both.answers, criterion)[1]].sum()
            assert (curve.right[i], curve.false[i]) == (right, is_own.sum() - right)


def bird(start: float, score: float = 1.0) -> Event:
    return Event(start, start + 1, "bird", score)


TRUTH = recordings([[bird(s) for s in (10, 20, 30)]], seconds=3600)
ANSWERS = recordings(
    [[bird(10, 0.9), bird(500, 0.8), bird(20, 0.6), bird(600, 0.2), bird(700, 0.2)]]
)


def test_a_curve_by_hand():
    curve = event_curves(TRUTH, ANSWERS)[0]
    assert curve.label == "bird" and curve.n_true == 3 and curve.hours == 1
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.6, 0.2]
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 2 / 5])
    assert curve.recall == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert curve.f1 == pytest.approx([1 / 2, 2 / 5, 2 / 3, 1 / 2])
    assert curve.false_per_hour.tolist() == [0, 1, 1, 3]
    assert curve.best_threshold() == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("rate", "threshold"), [(0, 0.85), (0.99, 0.85), (1, 0.4), (2.9, 0.4), (3, 0.1), (99, 0.1)]
)
def test_the_threshold_for_a_rate_is_the_lowest_that_keeps_it(rate, threshold):
    assert event_curves(TRUTH, ANSWERS)[0].threshold_for(rate) == pytest.approx(threshold)


def test_there_may_be_no_such_threshold():
    only_false = recordings([[bird(500, 0.5)]])
    curve = event_curves(TRUTH, only_false)[0]
    assert curve.threshold_for(0.5) is None and curve.best_threshold() is None
    unknown = recordings([[bird(10)]], seconds=0)
    assert event_curves(unknown, unknown)[0].threshold_for(10) is None
    empty = event_curves(TRUTH, [])[0]
    assert empty.best_threshold() is None and empty.threshold_for(1) is None


def test_of_two_answers_on_one_event_the_surer_is_right():
    answers = recordings([[bird(10.0, 0.31), bird(10.2, 0.94), bird(30, 0.96)]])
    assert event_reliability(TRUTH, answers) == [
        ReliabilityBin(1, pytest.approx(0.31), 0.0),
        ReliabilityBin(2, pytest.approx(0.95), 1.0),
    ]


def test_scores_that_are_probabilities_are_reliable():
    rng = np.random.default_rng(0)
    scores = rng.random(4_000)
    truth = recordings([[bird(3.0 * i) for i in np.flatnonzero(rng.random(4_000) < scores)]])
    answers = recordings([[bird(3.0 * i, float(score)) for i, score in enumerate(scores)]])
    bins = event_reliability(truth, answers)
    assert len(bins) == 10 and sum(row.n for row in bins) == 4_000
    assert all(abs(row.right - row.mean_score) < 0.08 for row in bins)
