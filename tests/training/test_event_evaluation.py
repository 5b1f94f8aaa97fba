"""What a detector finds, compared with annotations: unknown classes, notes, thresholds, text."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.event import Event, RecordingEvents
from earmark.detection.events import EventMachine
from earmark.detection.rules import NEVER, EventRules
from earmark.detection.scores import WindowScores
from earmark.training import detector_summary
from earmark.training.event_evaluation import UnknownSounds, unknown_sounds
from earmark.training.event_metrics import evaluate_events
from earmark.training.event_thresholds import (
    THRESHOLDS,
    ThresholdMachines,
    threshold_figures,
    with_threshold,
)
from earmark.training.event_verdict import event_verdict
from made_events import draw_events, recordings

KNOWN = {"bird", "dog"}


def of(*events, regions=None):
    return [RecordingEvents("a.wav", 100.0, tuple(sorted(events)), regions)]


# Sounds of unknown classes


def test_a_false_event_on_an_unknown_sound_answers_it():
    truth = of(Event(10, 12, "owl"), Event(30, 32, "owl"), Event(50, 52, "fox"))
    answers = of(Event(10.5, 12.5, "bird", 0.9), Event(51.2, 53, "dog", 0.4))
    rows = unknown_sounds(truth, answers, KNOWN)
    assert rows == (UnknownSounds("fox", 1, 0), UnknownSounds("owl", 2, 1))


@pytest.mark.parametrize(
    ("answer", "is_answered"),
    [
        (Event(10, 10.2, "bird"), True),
        (Event(0, 100, "bird"), True),  # its middle is elsewhere, but it has that of the sound
        (Event(11.5, 12.4, "bird"), True),
        (Event(11.5, 12.6, "bird"), False),
        (Event(12, 14, "bird"), False),
    ],
)
def test_the_middle_of_one_must_be_inside_the_other(answer, is_answered):
    (row,) = unknown_sounds(of(Event(10, 12, "owl")), of(answer), KNOWN)
    assert row.answered == is_answered


def test_a_right_event_answers_no_unknown_sound_beside_it():
    truth = of(Event(10, 12, "bird"), Event(10, 12, "owl"))
    (row,) = unknown_sounds(truth, of(Event(10, 12, "bird")), KNOWN)
    assert row == UnknownSounds("owl", 1, 0)


def test_unknown_sounds_outside_annotated_regions_do_not_count():
    truth = of(Event(10, 12, "owl"), Event(50, 52, "owl"), regions=((0.0, 20.0),))
    (row,) = unknown_sounds(truth, of(), KNOWN)
    assert row.events == 1


# Other thresholds


RULES = EventRules((0.5, NEVER), before_s=0.05, after_s=0.05, compete=False)


def test_a_class_that_is_never_answered_stays_so():
    assert with_threshold(RULES, 0.2).thresholds == (0.2, NEVER)


@given(seed=st.integers(0, 99), cut=st.integers(1, 50))
@pytest.mark.slow
def test_the_machines_give_what_each_threshold_gives(seed, cut):
    rng = np.random.default_rng(seed)
    scores = rng.random((60, 2)).astype(np.float32)
    recording = RecordingEvents("a.wav", 6.0, ())
    machines = ThresholdMachines(("bird", "dog"), RULES, 0.1, 0.1)
    for part in np.split(scores, range(cut, 60, cut)):
        machines.feed(WindowScores(part, np.ones(len(part), np.float32)))
    several = machines.finish(recording)
    for threshold, found in zip(THRESHOLDS, several, strict=True):
        machine = EventMachine(("bird", "dog"), with_threshold(RULES, threshold), 0.1, 0.05)
        decisions = [*machine.feed(scores, np.ones(60, np.float32)), *machine.finish(6.0)]
        assert found.events == tuple(sorted(d.event for d in decisions))


def test_figures_at_thresholds_are_those_of_the_evaluation():
    truth, answers = (recordings(several) for several in draw_events(3))
    several = [answers if k % 2 else [replace(r, events=()) for r in answers] for k in range(14)]
    full, empty = evaluate_events(truth, answers).overall, threshold_figures(truth, several)[0]
    row = threshold_figures(truth, several)[1]
    assert row.counts == full.iou30
    assert row.false_per_hour == full.false_per_hour
    assert (empty.counts.right, empty.counts.false, empty.counts.precision) == (0, 0, None)


# Text


def figures(truth, answers):
    evaluation = evaluate_events(truth, answers)
    events = {"verdict": event_verdict(evaluation), "scheme": "3 given recordings"}
    return {"events": {**events, **evaluation.to_json()}, "unknown": []}


def test_the_lines_of_an_evaluation():
    truth = recordings([[Event(10, 12, "bird")], [Event(5, 6, "dog")], []], seconds=3600.0)
    answers = recordings(
        [[Event(10.1, 12, "bird")], [Event(5, 6, "bird")], [Event(1, 2, "dog")]], seconds=3600.0
    )
    values = figures(truth, answers)
    values["unknown"] = [{"label": "owl", "events": 8, "answered": 1}]
    lines = detector_summary.evaluation_lines(values)
    assert lines[0].startswith("  verdict   care: 50 % of the events are found, and 33 % of")
    assert lines[1].startswith("  events    F1 0.400 (")
    assert "with a collar of 0.2 s" in lines[1]
    assert lines[2].startswith("  found     recall 0.500 (")
    assert lines[3].startswith("  false     0.67 events an hour (")
    assert lines[3].endswith("): 2 events in 3.00 hours")
    onset = "  onset     wrong by 100 ms in the median, by at most 100 ms for 90 %"
    assert lines[4:] == [
        f"{onset}; usually 100 ms late",
        "  offset    wrong by 0 ms in the median, by at most 0 ms for 90 %",
        "  tested    3 given recordings; 3.00 hours annotated",
        "  unknown   1 of 8 events of unknown classes answered (12.5 %)",
        "  confused  'dog' answered as 'bird' 1 x",
        "  class  events  recall  precision     F1  false/h",
        "  dog         1   0.000      0.000  0.000     0.33",
        "  bird        1   1.000      0.500  0.667     0.33",
    ]


def test_no_false_event_says_what_the_hours_exclude():
    truth = recordings([[Event(1, 2, "bird")]], seconds=360.0)
    events = figures(truth, truth)["events"]
    said = detector_summary.false_text(events["overall"], events["hours"])
    assert said == "no false event in 0.10 hours; this excludes more than 30 an hour"
    said = detector_summary.false_text(events["overall"], 6 / 3600)
    assert said.startswith("no false event in 6 s; ")


def test_recordings_of_unknown_length_have_no_rate():
    truth = recordings([[Event(1, 2, "bird")]], seconds=0.0)
    events = figures(truth, recordings([[Event(5, 6, "bird")]], seconds=0.0))["events"]
    said = detector_summary.false_text(events["overall"], events["hours"])
    assert said == "1 event; the length of the recordings is unknown"


@pytest.mark.parametrize(("asked", "is_said"), [(1.0, True), (20.0, True), (31.0, False)])
def test_hours_that_are_too_few_for_a_rate_are_said(asked, is_said):
    truth = recordings([[Event(1, 2, "bird")]], seconds=360.0)
    lines = detector_summary.asked_lines(figures(truth, truth)["events"], asked)
    assert "expect a recall of 1.000" in lines[0]
    assert (len(lines) == 2) == is_said
    if is_said:
        assert "exclude more than 30." in lines[1]


@given(seed=st.integers(0, 200))
def test_every_evaluation_can_be_printed(seed):
    drawn = draw_events(seed, most=4)
    truth, answers = (recordings(several, seconds=20.0) for several in drawn)
    lines = detector_summary.evaluation_lines(figures(truth, answers))
    text = "\n".join(lines)
    assert "nan" not in text and "inf " not in text and "None" not in text
    names = [line.split()[0] for line in lines]
    assert names[:4] == ["verdict", "events", "found", "false"]


def test_many_classes_are_cut_short():
    truth = recordings([[Event(k, k + 1, f"c{k:02}") for k in range(40)]])
    lines = detector_summary.class_lines(figures(truth, [])["events"]["classes"])
    assert len(lines) == 32
    assert lines[-1] == "  and 10 more classes; --json has all"
