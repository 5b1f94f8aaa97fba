"""Matching: the largest, of least error; against brute force, greedy matching and mir_eval."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.data.event import Event
from earmark.training import event_matching
from earmark.training.event_matching import CollarCriterion, IouCriterion, match, pairs
from earmark.training.event_tables import tabulate
from made_events import draw_events, recordings

CRITERIA = (
    IouCriterion(0.3),
    IouCriterion(0.5),
    IouCriterion(1.0),
    CollarCriterion(),
    CollarCriterion(0.02),
    CollarCriterion(1.0, 0.5),
)
SEEDS = st.integers(0, 2**32 - 1)


def tables(truth, answers):
    both = tabulate(recordings(truth), recordings(answers))
    return both.truth, both.answers


def holds(criterion, true, answer) -> bool:
    """The criterion, as its documentation says it."""
    if isinstance(criterion, IouCriterion):
        both = min(true.end, answer.end) - max(true.start, answer.start)
        either = max(true.end, answer.end) - min(true.start, answer.start)
        return both > 0 and both / either >= criterion.least - 1e-9
    offset = max(criterion.collar_s, criterion.offset_share * true.seconds)
    onset_is_near = abs(true.start - answer.start) <= criterion.collar_s + 1e-9
    return onset_is_near and abs(true.end - answer.end) <= offset + 1e-9


def error_of(truth, answers, true, answer) -> float:
    errors = np.square(truth.start[true] - answers.start[answer])
    return float((errors + np.square(truth.end[true] - answers.end[answer])).sum())


def brute_force(truth, answers, edges) -> tuple[int, float]:
    """Return the size and the error of the best matching, of all there are."""
    best = (0, 0.0)
    for size in range(1, min(len(truth), len(answers)) + 1):
        for chosen in itertools.combinations(edges, size):
            true, answer = zip(*chosen, strict=True)
            if len({*true}) == len({*answer}) == size:
                error = error_of(truth, answers, list(true), list(answer))
                best = min(best, (-size, error))
    return -best[0], best[1]


@pytest.mark.parametrize("criterion", CRITERIA, ids=str)
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_pairs_are_all_that_the_criterion_allows(criterion, seed):
    truth, answers = draw_events(seed)
    both = tabulate(recordings(truth), recordings(answers))
    got = pairs(both.truth, both.answers, criterion)
    expected = sum(
        holds(criterion, true, answer) and true.label == answer.label
        for i in range(len(truth))
        for true, answer in itertools.product(truth[i], answers[i])
    )
    assert len(got[0]) == expected
    for table, rows in zip((both.truth, both.answers), got, strict=True):
        assert (rows >= 0).all() and (rows < len(table)).all()
    assert (both.truth.group(3)[got[0]] == both.answers.group(3)[got[1]]).all()


@pytest.mark.parametrize("criterion", CRITERIA[:4], ids=str)
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_brute_force_finds_no_better_matching(criterion, seed):
    rng = np.random.default_rng(seed)
    start = np.sort(rng.uniform(0, 2, 9)).round(2)
    events = [
        Event(float(s), float(s + d), "bird")
        for s, d in zip(start, rng.uniform(0.2, 1, 9).round(2), strict=True)
    ]
    truth, answers = tables([events[::2]], [events[1::2]])
    edges = list(zip(*(rows.tolist() for rows in pairs(truth, answers, criterion)), strict=True))
    true, answer = match(truth, answers, criterion)
    size, error = brute_force(truth, answers, edges)
    assert len(true) == size and len({*true}) == size and len({*answer}) == size
    assert {*zip(true.tolist(), answer.tolist(), strict=True)} <= {*edges}
    assert error_of(truth, answers, true, answer) == pytest.approx(error, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_matching_is_never_smaller_than_a_greedy_one(seed):
    truth, answers = tables(*draw_events(seed, most=60))
    for criterion in CRITERIA:
        used_true, used_answer = set(), set()
        for true, answer in zip(*pairs(truth, answers, criterion), strict=True):
            if true not in used_true and answer not in used_answer:
                used_true.add(true)
                used_answer.add(answer)
        assert len(match(truth, answers, criterion)[0]) >= len(used_true)


def test_greedy_is_worse_in_the_case_that_mir_eval_was_made_for():
    truth = [Event(10.0, 11.0, "bird"), Event(10.15, 11.15, "bird")]
    answers = [Event(9.85, 10.85, "bird"), Event(10.0, 11.0, "bird")]
    matched = match(*tables([truth], [answers]), CollarCriterion())
    assert [rows.tolist() for rows in matched] == [[0, 1], [0, 1]]  # not 10.0 to 10.0


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_batches_do_not_change_the_matching(seed):
    truth, answers = tables(*draw_events(seed, most=80))
    whole = match(truth, answers, CollarCriterion(1.0, 0.5))
    batch = event_matching.BATCH, event_matching.MOST_PAIRS
    event_matching.BATCH, event_matching.MOST_PAIRS = 1, 7
    try:
        parts = match(truth, answers, CollarCriterion(1.0, 0.5))
    finally:
        event_matching.BATCH, event_matching.MOST_PAIRS = batch
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0, 3.7, 86_399.9])
@pytest.mark.parametrize(
    ("answer", "is_right"), [((1.2, 2.2), True), ((0.8, 1.8), True), ((1.21, 2.2), False)]
)
def test_an_error_of_exactly_the_collar_is_right_at_any_time(shift, answer, is_right):
    truth, answers = tables(
        [[Event(shift + 1.0, shift + 2.0, "bird")]],
        [[Event(shift + answer[0], shift + answer[1], "bird")]],
    )
    assert len(match(truth, answers, CollarCriterion())[0]) == is_right


def test_one_event_that_covers_many_is_compared_with_each_once():
    truth = [Event(0.0, 1000.0, "bird"), *(Event(i + 0.1, i + 1.0, "bird") for i in range(999))]
    answers = [Event(i + 0.2, i + 0.9, "bird") for i in range(999)]
    true, answer = match(*tables([truth], [answers]), IouCriterion(0.5))
    assert len(true) == 999 and (true == answer + 1).all()


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_mir_eval_matches_as_many_intervals(seed):
    transcription = pytest.importorskip(
        "mir_eval.transcription", reason="mir_eval is not installed"
    )
    events, given = draw_events(seed, n_recordings=1, most=40)
    truth, answers = tables(events, given)
    for collar, share in ((0.2, 0.2), (0.05, 0.2), (0.02, 0.5)):
        expected = 0
        for label in range(3):
            true, answer = (t.take(t.label == label) for t in (truth, answers))
            sides = [
                (np.stack([t.start, t.end], axis=1), np.full(len(t), 440.0)) for t in (true, answer)
            ]
            if len(true) and len(answer):
                expected += len(
                    transcription.match_notes(
                        *sides[0],
                        *sides[1],
                        onset_tolerance=collar,
                        offset_ratio=share,
                        offset_min_tolerance=collar,
                    )
                )
        assert len(match(truth, answers, CollarCriterion(collar, share))[0]) == expected
