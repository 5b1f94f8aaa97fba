"""Events drawn by hand, a plain reference of all rules, and properties of the state machine.

Windows are 1/8 s apart and all rules are multiples of 1/16 s, so sums of floats are exact.
"""

import math

import numpy as np
import pytest

from earmark.detection import EventMachine, EventRules, apply_rules
from earmark.errors import EarmarkError

HOP = 1 / 8
LABELS = ("bell", "rain", "knock")


def rules(count=1, **changes) -> EventRules:
    changes = {"thresholds": (0.5,) * count, "before_s": HOP / 2, "after_s": HOP / 2} | changes
    return EventRules(**changes)


def drawn(*rows: str) -> np.ndarray:
    """Return scores (n, K) for a row of digits a class: tenths, '.' for 0 and 'X' for 1."""
    value = {".": 0.0, "X": 1.0} | {str(digit): digit / 10 for digit in range(10)}
    return np.array([[value[c] for c in row] for row in rows]).T


def found(scores: np.ndarray, some_rules: EventRules, known=None, first_s=HOP / 2, end_s=None):
    """Return the events as (first window, window after the last, class, score)."""
    labels = LABELS[: scores.shape[1]]
    events = apply_rules(scores, known, labels, some_rules, HOP, first_s, end_s)
    return [(e.start / HOP, e.end / HOP, e.label, round(e.score, 6)) for e in events]


# --- each rule, by hand -------------------------------------------------------------------------


def test_an_event_begins_at_the_threshold_and_leaves_below_its_share():
    #                      0123456789
    assert found(drawn("..4535312."), rules()) == [(3, 7, "bell", 0.5)]
    assert found(drawn(".444444..."), rules()) == []
    assert found(drawn("..4535312."), rules(leave=1.0)) == [
        (3, 4, "bell", 0.5),
        (5, 6, "bell", 0.5),
    ]


def test_before_and_after_reach_from_the_centres():
    wide = rules(before_s=2 * HOP, after_s=HOP)
    assert found(drawn("....99...."), wide) == [(2.5, 6.5, "bell", 0.9)]
    late = rules(before_s=-HOP, after_s=3 * HOP)
    assert found(drawn("....99...."), late) == [(5.5, 8.5, "bell", 0.9)]


@pytest.mark.parametrize(
    ("gap", "count"), [(1, 1), (2, 1), (3, 2)], ids=["closer", "just closer", "as far"]
)
def test_events_of_a_class_closer_than_the_gap_are_joined(gap, count):
    scores = drawn("..99" + "." * gap + "88.....")
    assert len(found(scores, rules(min_gap_s=3 * HOP))) == count


def test_the_joined_event_has_the_highest_score():
    joined = rules(min_gap_s=3 * HOP)
    assert found(drawn("..7..9..."), joined) == [(2, 6, "bell", 0.9)]


def test_events_that_overlap_are_one_without_any_gap():
    assert found(drawn("..7.9..."), rules(before_s=HOP, after_s=HOP)) == [(1.5, 5.5, "bell", 0.9)]


def test_short_events_are_dropped_after_joining():
    scores = drawn("..7..99...9.9...")
    least = rules(min_duration_s=2 * HOP)
    assert found(scores, least) == [(5, 7, "bell", 0.9)]
    least = rules(min_duration_s=3 * HOP, min_gap_s=1.5 * HOP)
    assert found(scores, least) == [(10, 13, "bell", 0.9)]


def test_long_events_are_cut_and_each_piece_has_its_own_score():
    scores = drawn("..5556667..")
    assert found(scores, rules(max_duration_s=3 * HOP)) == [
        (2, 5, "bell", 0.5),
        (5, 8, "bell", 0.6),
        (8, 9, "bell", 0.7),
    ]
    assert found(scores, rules(max_duration_s=3 * HOP, min_duration_s=2 * HOP))[-1][:2] == (5, 8)


def test_wide_pieces_meet_half_way_and_none_is_too_long():
    most = rules(before_s=HOP, after_s=HOP, max_duration_s=4 * HOP)
    assert found(drawn("..5556667.."), most) == [
        (1.5, 5, "bell", 0.5),
        (5, 8, "bell", 0.6),
        (8, 9.5, "bell", 0.7),
    ]


def test_a_join_that_would_be_too_long_is_not_made():
    most = rules(min_gap_s=1.0, max_duration_s=4 * HOP)
    assert found(drawn("..99...99...."), most) == [(2, 4, "bell", 0.9), (7, 9, "bell", 0.9)]


def test_padding_goes_to_the_middle_of_the_gap_and_not_beyond_the_recording():
    padded = rules(pad_s=2 * HOP)
    scores = drawn(".9..9.....9.")
    assert found(scores, padded, end_s=12 * HOP) == [
        (0, 3, "bell", 0.9),
        (3, 7, "bell", 0.9),
        (8, 12, "bell", 0.9),
    ]


def test_one_class_at_a_time_and_the_border_is_half_way():
    scores = drawn("..9998....", "....7995..")
    wide = {"before_s": HOP, "after_s": HOP}
    assert found(scores, rules(2, **wide)) == [(1.5, 5, "bell", 0.9), (5, 8.5, "rain", 0.9)]
    assert found(scores, rules(2, **wide, compete=False)) == [
        (1.5, 6.5, "bell", 0.9),
        (3.5, 8.5, "rain", 0.9),
    ]


def test_competing_classes_are_compared_by_score_over_threshold():
    scores = drawn("..9999..", "....6666")
    assert found(scores, rules(thresholds=(0.6, 0.3)))[-1] == (4, 8, "rain", 0.6)
    assert found(scores, rules(thresholds=(0.6, 0.5))) == [
        (2, 6, "bell", 0.9),
        (6, 8, "rain", 0.6),
    ]


def test_a_class_below_its_threshold_takes_nothing_over():
    """Rain is nearer to its threshold, but does not reach it; the bell is above its leave level."""
    assert found(drawn("..94444..", "...44444."), rules(2)) == [(2, 7, "bell", 0.9)]


def test_of_equal_classes_the_active_one_stays_and_else_the_first_begins():
    scores = drawn("..XXX.XX", ".XXXX.XX")
    assert found(scores, rules(2)) == [(1, 5, "rain", 1.0), (6, 8, "bell", 1.0)]
    assert found(drawn("..4XX...", ".X4XX..."), rules(2)) == [(1, 5, "rain", 1.0)]
    assert found(drawn("..1XX...", ".X1XX..."), rules(2))[1] == (3, 5, "bell", 1.0)
    three = drawn(".X6..", "..8..", "..8..")
    assert found(three, rules(3)) == [(1, 2, "bell", 1.0), (2, 3, "rain", 0.8)]


def test_competing_events_are_not_joined_across_another_class():
    scores = drawn("..99..99..", "....99....")
    assert [e[2] for e in found(scores, rules(2, min_gap_s=1.0))] == ["bell", "rain", "bell"]
    coexist = rules(2, min_gap_s=1.0, compete=False)
    assert found(scores, coexist) == [(2, 8, "bell", 0.9), (4, 6, "rain", 0.9)]


def test_a_stretch_too_short_to_be_an_event_does_not_cut_another():
    scores = drawn("..999.999..", ".....9.....")
    short = rules(2, min_gap_s=1.0, min_duration_s=2 * HOP)
    assert found(scores, short) == [(2, 9, "bell", 0.9)]
    apart = rules(2, min_gap_s=HOP, min_duration_s=2 * HOP)
    assert found(scores, apart) == [(2, 5, "bell", 0.9), (6, 9, "bell", 0.9)]
    several = drawn("..999..99..", ".....9.....", "......9....")
    assert found(several, rules(3, min_gap_s=1.0, min_duration_s=2 * HOP)) == [(2, 9, "bell", 0.9)]


def test_two_classes_at_once_have_their_own_events():
    scores = drawn(".99999..", "..999...")
    assert found(scores, rules(2, compete=False)) == [(1, 6, "bell", 0.9), (2, 5, "rain", 0.9)]


@pytest.mark.parametrize("never", [math.inf, 1.5])
def test_a_class_above_one_is_never_answered(never):
    scores = drawn("XXXX", ".99.")
    assert found(scores, rules(thresholds=(never, 0.5))) == [(1, 3, "rain", 0.9)]
    assert found(scores, rules(thresholds=(never, 0.5), compete=False)) == [(1, 3, "rain", 0.9)]


def test_events_at_both_ends_of_a_recording():
    wide = rules(before_s=2 * HOP, after_s=2 * HOP)
    assert found(drawn("9.....9"), wide, end_s=7 * HOP) == [
        (0, 2.5, "bell", 0.9),
        (4.5, 7, "bell", 0.9),
    ]
    assert found(drawn("9"), wide, end_s=HOP / 4) == [(0, 0.25, "bell", 0.9)]
    early = rules(before_s=2 * HOP, after_s=-HOP)
    assert found(drawn("9....."), early) == []  # all of it is before the recording


def test_parts_beyond_the_recording_count_for_the_duration():
    least = rules(before_s=2 * HOP, after_s=2 * HOP, min_duration_s=4 * HOP)
    assert found(drawn("9....."), least) == [(0, 2.5, "bell", 0.9)]


def test_unknown_events_are_left_out_or_labelled():
    scores, known = drawn("..99..99.."), np.array([0, 0, 3, 4, 9, 9, 2, 8, 0, 0]) / 10
    assert found(scores, rules(unknown_threshold=0.5), known) == [(6, 8, "bell", 0.9)]
    shown = rules(unknown_threshold=0.5, show_unknown=True)
    assert [e[2] for e in found(scores, shown, known)] == ["unknown", "bell"]


def test_the_score_is_calibrated_on_its_logit():
    raw = 0.9
    expected = 1 / (1 + math.exp(-(0.5 * math.log(raw / (1 - raw)) - 1)))
    machine = EventMachine(LABELS[:1], rules(calibration=(0.5, -1.0)), HOP)
    decision = (machine.feed(drawn("..9..."), np.full(6, 0.3)) + machine.finish())[0]
    assert decision.event.score == round(expected, 4)
    assert (decision.raw_score, decision.known_score) == (0.9, 0.3)
    certain = apply_rules(drawn("X"), None, LABELS[:1], rules(calibration=(2.0, 0.0)), HOP)
    assert 0.999 < certain[0].score <= 1


def test_no_event_spans_lost_sound():
    machine = EventMachine(LABELS[:1], rules(min_gap_s=1.0, before_s=HOP, after_s=HOP), HOP, HOP)
    events = [d.event for d in machine.feed(drawn("..999"))]
    events += [d.event for d in machine.gap(end_s=5.5 * HOP, begin_s=20 * HOP, first_s=20.5 * HOP)]
    assert machine.heard_s == 20 * HOP
    events += [d.event for d in machine.feed(drawn("99..")) + machine.finish(25 * HOP)]
    assert [(e.start / HOP, e.end / HOP) for e in events] == [(2, 5.5), (20, 22.5)]


def test_the_machine_says_when_an_event_is_final():
    machine = EventMachine(LABELS[:1], rules(min_gap_s=3 * HOP), HOP)
    assert machine.feed(drawn("..99..")) == []  # window 6 could still join
    (decision,) = machine.feed(drawn("."))
    assert decision.decided_s == machine.heard_s == 6 * HOP
    assert decision.event.end == 3.5 * HOP


@pytest.mark.parametrize(
    ("scores", "known", "message"),
    [
        (np.full((4, 1), np.nan), None, "A score is NaN or outside 0 to 1."),
        (np.full((4, 1), -1.0), None, "A score is NaN or outside 0 to 1."),
        (np.full((4, 1), 3.0), None, "A score is NaN or outside 0 to 1."),
        (np.zeros((4, 2)), None, "The scores have the shape (4, 2). Give (windows, 1)."),
        (np.zeros(4), None, "The scores have the shape (4,)."),
        (np.zeros((4, 1)), np.zeros(3), "The known-scores have the shape (3,)"),
        (np.zeros((4, 1)), np.full(4, np.nan), "hold NaN"),
    ],
)
def test_wrong_scores_are_refused(scores, known, message):
    with pytest.raises(EarmarkError) as caught:
        apply_rules(scores, known, LABELS[:1], rules(), HOP)
    assert message in str(caught.value)


def test_what_cannot_be_is_refused():
    with pytest.raises(EarmarkError, match="have an unknown_threshold"):
        apply_rules(drawn("99"), None, LABELS[:1], rules(unknown_threshold=0.5), HOP)
    with pytest.raises(EarmarkError, match="have 1 threshold for 2 classes"):
        EventMachine(LABELS[:2], rules(), HOP)
    with pytest.raises(EarmarkError, match="The hop is 0 s"):
        EventMachine(LABELS[:1], rules(), 0)
    machine = EventMachine(LABELS[:1], rules(), HOP)
    with pytest.raises(EarmarkError, match="Sound was lost from 5 to 4 s"):
        machine.gap(5, 4, 6)
    with pytest.raises(EarmarkError, match="The first window is at nan s"):
        machine.reset(math.nan)
    assert len(machine.feed(drawn("..99......"))) == 1
    with pytest.raises(EarmarkError, match="ends at 0.3 s, but an event until 0.4375 s"):
        machine.finish(0.3)


def test_a_recording_without_windows_has_no_events():
    assert apply_rules(np.zeros((0, 1)), None, LABELS[:1], rules(), HOP, end_s=0.0) == []


def test_scores_rounded_to_single_precision_reach_their_threshold():
    """A score a bit above 1, as a softmax in single precision may give, counts as 1."""
    (event,) = apply_rules(np.float32([[1.0000001]]), None, LABELS[:1], rules(), HOP)
    assert event.score == 1


def test_events_may_be_shorter_than_their_windows_reach():
    tight = rules(before_s=-HOP, after_s=-HOP)
    assert found(drawn("..7....."), tight) == []
    assert found(drawn("..777..."), tight) == []
    assert [event[:2] for event in found(drawn("..7777.."), tight)] == [(3.5, 4.5)]
