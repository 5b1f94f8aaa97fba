"""Figures of events: by hand, against sed_eval, their properties, regions and intervals."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sed_eval_figures
from earmark.data.event import Event, RecordingEvents
from earmark.errors import DataError
from earmark.training.event_figures import Confusion, EventEvaluation, MatchCounts
from earmark.training.event_metrics import evaluate_events
from made_events import LABELS, draw_events, recordings

SEEDS = st.integers(0, 2**32 - 1)
FIGURES = ("f1_iou30", "f1_iou50", "f1_collar", "f1_segments", "precision", "recall")


def evaluate(truth, answers, **options):
    return evaluate_events(recordings(truth), recordings(answers), **options)


def bird(start: float, end: float) -> Event:
    return Event(start, end, "bird")


def test_figures_by_hand():
    truth = [[bird(1, 2), bird(5, 6), Event(8, 9, "dog")], []]
    answers = [[bird(1.1, 2.2), bird(8, 9), Event(20.5, 20.6, "dog")], []]
    evaluation = evaluate(truth, answers)
    overall = evaluation.overall
    assert overall.iou30 == overall.iou50 == overall.collar == MatchCounts(1, 2, 2)
    assert overall.precision == overall.recall == overall.f1_collar == pytest.approx(1 / 3)
    assert overall.segments == MatchCounts(1, 3, 2)  # second 2 is answered, and not true
    assert overall.onset_error.median == pytest.approx(0.1)
    assert overall.offset_error.p90_absolute == pytest.approx(0.2)
    birds, dogs = evaluation.classes
    assert (birds.label, birds.iou30, dogs.label, dogs.iou30) == (
        "bird", MatchCounts(1, 1, 1), "dog", MatchCounts(0, 1, 1),
    )  # fmt: skip
    assert dogs.onset_error is None and dogs.f1_iou30 == 0
    assert evaluation.macro_f1_iou30 == pytest.approx(0.25)
    assert evaluation.confusions == (Confusion("dog", "bird", 1),)
    assert evaluation.hours == pytest.approx(2 / 60)
    assert overall.false_per_hour == pytest.approx(60)


def test_early_answers_have_negative_errors():
    starts = (1.0, 5.0, 9.0)
    truth = [[bird(s, s + 1) for s in starts]]
    answers = [[bird(1 - 0.3, 2), bird(5 - 0.1, 6.2), bird(9.02, 10)]]
    overall = evaluate(truth, answers).overall
    assert overall.onset_error.median == pytest.approx(-0.1)
    assert overall.onset_error.median_absolute == pytest.approx(0.1)
    assert overall.onset_error.p90_absolute == pytest.approx(0.1 + 0.8 * 0.2)
    assert overall.offset_error.median == pytest.approx(0.0)


def test_a_smaller_collar_is_used_for_notes():
    truth, answers = [[bird(1, 1.08)]], [[bird(1.03, 1.1)]]
    assert evaluate(truth, answers).overall.f1_collar == 1
    assert evaluate(truth, answers, collar_s=0.02).overall.f1_collar == 0
    assert evaluate(truth, [[bird(1.21, 1.25)]]).overall.f1_collar == 0


def test_errors_confusions_and_rates_are_those_of_iou_30():
    truth, answers = [[bird(1, 2), Event(0, 9, "rain")]], [[bird(1.5, 2.2), Event(0, 9, "rain")]]
    evaluation = evaluate(truth, answers)  # the bird's IoU is 0.42
    birds = evaluation.classes[0]
    assert (birds.iou30, birds.iou50) == (MatchCounts(1, 0, 0), MatchCounts(0, 1, 1))
    assert birds.onset_error.median == pytest.approx(0.5)
    assert evaluation.confusions == () and birds.intervals["false_per_hour"][0] == 0
    assert birds.intervals["false_per_hour"][1] == pytest.approx(60 * 3.6889, rel=1e-4)


def test_an_event_shorter_than_a_microsecond_has_a_segment():
    tiny, other = bird(3, 3 + 1e-7), bird(3 + 2e-7, 3 + 3e-7)
    overall = evaluate([[tiny]], [[other]]).overall
    assert overall.segments == MatchCounts(1, 0, 0) and overall.iou30 == MatchCounts(0, 1, 1)


@pytest.mark.parametrize("case", json.loads(sed_eval_figures.GOLDEN.read_text()))
def test_sed_eval_has_the_same_figures(case):
    sides = [
        [[Event(*row) for row in events] for events in case[name]] for name in ("truth", "answers")
    ]
    check_sed_eval(*sides, case["figures"])


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_sed_eval_has_the_same_figures_of_any_events(seed):
    pytest.importorskip("sed_eval", reason="sed_eval is not installed")
    truth, answers = draw_events(seed)
    if any(truth) and any(answers):  # sed_eval divides by zero
        check_sed_eval(truth, answers, sed_eval_figures.figures_of(truth, answers))


def check_sed_eval(truth, answers, expected) -> None:
    for collar in sed_eval_figures.COLLARS:
        evaluation = evaluate(truth, answers, collar_s=collar)
        rows = (evaluation.overall, *by_label(evaluation))
        counts = [row and row.collar for row in rows]
        assert values(counts) == pytest.approx(zeros(expected[f"collar {collar}"]), abs=1e-9)
        counts = [row and row.segments for row in rows]
        assert values(counts) == pytest.approx(zeros(expected["segments"]), abs=1e-9)


def by_label(evaluation: EventEvaluation) -> list:
    rows = {row.label: row for row in evaluation.classes}
    return [rows.get(label) for label in LABELS]


def values(counts) -> list:
    overall, *classes = counts
    shares = [overall.f1, overall.precision, overall.recall]
    return zeros([*shares, *(row and row.f1 for row in classes)])


def zeros(figures) -> list:
    return [figure or 0.0 for figure in figures]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_perfect_answers_have_an_f1_of_1(seed):
    truth, _ = draw_events(seed)
    evaluation = evaluate(truth, truth)
    for row in (evaluation.overall, *evaluation.classes):
        if any(truth):
            assert {getattr(row, name) for name in FIGURES} == {1.0}
            assert row.false_per_hour == 0 and row.onset_error.p90_absolute == 0
    assert evaluation.confusions == ()


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_events_and_recordings_does_not_matter(seed):
    truth, answers = (recordings(events) for events in draw_events(seed))
    turned = [
        [dataclasses.replace(r, events=r.events[::-1]) for r in several[::-1]]
        for several in (truth, answers)
    ]
    assert evaluate_events(*turned).classes == evaluate_events(truth, answers).classes


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_f1_by_iou_stays_when_truth_and_answers_are_exchanged(seed):
    truth, answers = draw_events(seed)
    ours, theirs = evaluate(truth, answers).overall, evaluate(answers, truth).overall
    for name in ("f1_iou30", "f1_iou50", "f1_segments"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (ours.precision, ours.recall) == (theirs.recall, theirs.precision)
    if ours.onset_error:
        assert ours.onset_error.median == pytest.approx(-theirs.onset_error.median)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, shift=st.integers(0, 100_000))
def test_later_events_have_the_same_figures(seed, shift):
    sides = draw_events(seed)
    later = [
        [[Event(e.start + shift, e.end + shift, e.label, e.score) for e in one] for one in several]
        for several in sides
    ]
    before, after = evaluate(*sides).overall, evaluate(*later).overall
    for name in ("iou30", "iou50", "collar", "segments"):
        assert getattr(before, name) == getattr(after, name)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, start=st.floats(100, 1000))
def test_a_false_event_lowers_f1(seed, start):
    truth, answers = draw_events(seed)
    before = evaluate(truth, answers).overall
    more = [[*answers[0], bird(start, start + 1)], *answers[1:]]
    after = evaluate(truth, more).overall
    for name in ("f1_iou30", "f1_iou50", "f1_collar", "f1_segments"):
        assert getattr(after, name) <= (getattr(before, name) or 0)
    assert after.recall == before.recall
    assert after.false_per_hour > before.false_per_hour


REGIONS = (((10.0, 20.0), (30.0, 40.0)),)


@pytest.mark.parametrize(
    ("start", "end", "counts"),
    [
        (9.2, 10.7, 0), (9.3, 10.7, 1), (19.0, 20.9, 1), (19.0, 21.0, 0), (25.0, 26.0, 0),
        (5.0, 44.0, 0), (29.8, 30.4, 1), (100.0, 101.0, 0),
    ],
)  # fmt: skip
def test_an_event_counts_if_its_middle_lies_in_a_region(start, end, counts):
    truth = recordings([[bird(11, 12)]], regions=REGIONS)
    overall = evaluate_events(truth, recordings([[bird(start, end)]])).overall
    assert overall.iou30 == MatchCounts(0, counts, 1)
    swapped = recordings([[bird(start, end), bird(11, 12)]], regions=REGIONS)
    assert evaluate_events(swapped, []).overall.iou30 == MatchCounts(0, 0, counts + 1)


def test_hours_and_segments_are_those_of_regions():
    truth = recordings([[bird(11, 12)], [bird(1, 2)]], regions=(*REGIONS, ()))
    answers = recordings([[bird(8, 12), bird(20.5, 39)], [bird(1, 3)]])
    evaluation = evaluate_events(truth, answers)
    assert evaluation.hours == pytest.approx(20 / 3600)
    assert evaluation.overall.iou30 == MatchCounts(0, 1, 1)  # the middle of the second is 29.75
    assert evaluation.overall.segments == MatchCounts(1, 1 + 9, 0)  # seconds 11; 10, 30 to 38


def test_a_recording_without_answers_counts_fully():
    truth = [[bird(1, 2)], [bird(1, 2)]]
    only_one = evaluate_events(recordings(truth), recordings(truth[:1]))
    assert only_one.overall.iou30 == MatchCounts(1, 0, 1)
    assert only_one.hours == pytest.approx(2 / 60)


def test_answers_to_a_recording_without_truth_are_refused():
    with pytest.raises(DataError) as error:
        evaluate_events(recordings([[]]), recordings([[], [], []]))
    assert str(error.value) == (
        "answers are given for 2 recordings without true events: '1.wav', '2.wav'. Annotate them,"
        " or leave them out."
    )
    with pytest.raises(DataError) as error:
        evaluate_events(recordings([[]]) * 2, [])
    assert str(error.value) == (
        "the true events of '0.wav' are given more than once. Put all events of a recording into"
        " one list."
    )


def test_no_events_at_all():
    evaluation = evaluate([[]], [[]])
    assert evaluation.overall.f1_iou30 is None and evaluation.macro_f1_iou30 is None
    assert evaluation.classes == () and evaluation.overall.false_per_hour == 0
    assert evaluate_events([], []).hours is None


def test_a_rate_needs_the_length_of_every_recording():
    truth = [RecordingEvents("a.wav", 0, (bird(1, 2),)), RecordingEvents("b.wav", 60, ())]
    unknown = evaluate_events(truth, [])
    assert unknown.hours is None and unknown.overall.false_per_hour is None
    assert unknown.overall.false_per_hour_upper is None
    assert "false_per_hour" not in unknown.overall.intervals
    answers = [RecordingEvents("a.wav", 60, ())]  # who answers has read the recording
    assert evaluate_events(truth, answers).hours == pytest.approx(2 / 60)


def test_an_answer_is_confused_with_the_event_that_it_overlaps_most():
    truth = [[Event(0, 100, "rain"), Event(9.5, 10.5, "dog"), bird(40, 41)]]
    answers = [[bird(9.0, 11.5), bird(40, 41), bird(50, 50.5), bird(200, 201)]]
    confusions = evaluate(truth, answers).confusions
    assert confusions == (Confusion("rain", "bird", 2),)


@pytest.mark.parametrize(("rain_end", "label"), [(10.0, "dog"), (10.8, "rain")])
def test_of_two_events_the_one_with_more_overlap_counts(rain_end, label):
    truth = [[Event(0, rain_end, "rain"), Event(9.3, 12, "dog")]]
    answers = [[bird(9.0, 10.6)]]  # 1.0 or 1.6 s of rain, 1.3 s of the dog
    assert evaluate(truth, answers).confusions == (Confusion(label, "bird", 1),)


def test_of_two_events_with_the_same_overlap_the_first_counts():
    truth = [[Event(0, 10, "rain"), Event(0, 10, "dog")]]
    assert evaluate(truth, [[bird(1, 2)]]).confusions == (Confusion("dog", "bird", 1),)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_json_gives_the_same_evaluation(seed):
    evaluation = evaluate(*draw_events(seed))
    saved = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert EventEvaluation.from_json(saved) == evaluation
    assert saved["overall"]["f1_iou30"] == evaluation.overall.f1_iou30


def test_intervals_hold_their_figures_and_are_the_same_twice():
    sides = draw_events(5, n_recordings=30)
    evaluation = evaluate(*sides)
    assert evaluation.resampled == "recording" and evaluation == evaluate(*sides)
    for row in (evaluation.overall, *evaluation.classes):
        assert len(row.intervals) == 6
        for name, (low, high) in row.intervals.items():
            assert low < getattr(row, name) < high
    assert evaluation.classes[0].intervals != evaluate(*sides, seed=1).classes[0].intervals


def test_few_recordings_are_cut_into_stretches_of_a_minute():
    truth = recordings([[bird(60 * i + 5, 60 * i + 6) for i in range(20)]], seconds=1200)
    answers = recordings([[bird(60 * i + 5, 60 * i + 6) for i in range(0, 20, 2)]], seconds=1200)
    evaluation = evaluate_events(truth, answers)
    assert evaluation.resampled == "stretch"
    low, high = evaluation.overall.intervals["recall"]
    assert 0.2 < low < 0.35 and 0.65 < high < 0.8


def test_no_false_event_in_8_minutes_supports_no_rate():
    truth = recordings([[bird(1, 2)]], seconds=480)
    overall = evaluate_events(truth, truth).overall
    assert overall.false_per_hour == 0
    assert overall.false_per_hour_upper == pytest.approx(22.468, abs=0.001)  # -log(0.05) / (8 / 60)
    low, high = overall.intervals["false_per_hour"]
    assert low == 0 and high == pytest.approx(27.667, abs=0.001)  # -log(0.025) / (8 / 60)
