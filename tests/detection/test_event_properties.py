"""A plain reference of all rules, and properties that hold for any scores and rules.

Windows are 1/8 s apart and all rules are multiples of 1/16 s, so sums of floats are exact.
"""

import math
from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from earmark.detection import EventMachine, EventRules, apply_rules

HOP = 1 / 8
LABELS = ("bell", "rain", "knock")
COMPETE = st.booleans()


def seconds(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda steps: steps / 16)


@st.composite
def some_rules(draw, compete=COMPETE) -> EventRules:
    before = draw(seconds(-4, 8))
    after = draw(seconds(1, 8)) + draw(st.sampled_from([1, 1, 0])) * max(0.0, -before)
    if draw(st.booleans()):
        before, after = after, before
    least = draw(st.sampled_from([0.0, 0.0, 1 / 8, 0.5, 1.0]))
    most = draw(st.sampled_from([math.inf, 0.0, 0.25, 1.0])) + max(least, before + after)
    thresholds = st.sampled_from([0.25, 0.5, 0.75, 1.0, math.inf])
    return EventRules(
        thresholds=tuple(draw(thresholds) for _ in LABELS),
        leave=draw(st.sampled_from([0.5, 0.75, 1.0])),
        before_s=before,
        after_s=after,
        min_gap_s=draw(st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.5])),
        min_duration_s=least,
        max_duration_s=most,
        pad_s=draw(st.sampled_from([0.0, 0.0, 1 / 16, 0.25, 1.0])),
        compete=draw(compete),
        unknown_threshold=draw(st.sampled_from([None, 0.5])),
        show_unknown=draw(st.booleans()),
    )


@st.composite
def recordings(draw) -> tuple[np.ndarray, np.ndarray]:
    """Draw scores and known-scores of up to 60 windows, mostly 0, in eighths."""
    n = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    quiet = draw(st.sampled_from([0.0, 0.3, 0.7, 0.9]))
    scores = rng.integers(0, 9, (n, len(LABELS))) / 8
    length = draw(st.integers(1, 5))  # sounds last longer than a window
    scores = np.repeat(scores, length, axis=0)[:n]
    scores[rng.random(scores.shape) < quiet] = 0
    return scores.astype(np.float32), rng.integers(0, 9, n) / 8


# --- the reference: whole recordings, window by window ------------------------------------------


def active_classes(scores, rules, classes) -> list[int | None]:
    """Return the active one of ``classes`` in each window."""
    answer, active = [], None
    for row in scores.tolist():
        if active is not None and row[active] < rules.leave * rules.thresholds[active]:
            active = None
        for k in classes:
            threshold = rules.thresholds[k]
            if threshold <= 1 and row[k] >= threshold:
                reaches = active is not None and row[active] >= rules.thresholds[active]
                share = row[active] / rules.thresholds[active] if active is not None else 0
                if not reaches or row[k] / threshold > share:
                    active = k
        answer.append(active)
    return answer


def can_grow(piece, window, k, rules) -> bool:
    """Tell whether a window of class ``k`` joins a piece that ends before it."""
    apart = (window - piece["windows"][-1]) * HOP
    gap = apart - rules.before_s - rules.after_s
    length = window * HOP + rules.after_s - piece["start"]
    is_near = apart == HOP or gap <= 0 or gap < rules.min_gap_s
    return piece["k"] == k and is_near and length <= rules.max_duration_s


def pieces(active, rules) -> list[dict]:
    """Group windows into pieces of one class, joined and not too long, with their start and end."""
    grouped: list[dict] = []
    for window, k in enumerate(active):
        if k is None:
            continue
        start, end = window * HOP - rules.before_s, window * HOP + rules.after_s
        if grouped and can_grow(grouped[-1], window, k, rules):
            grouped[-1]["windows"].append(window)
            grouped[-1]["end"] = end
            continue
        if grouped:
            last = grouped[-1]
            if last["end"] >= start:
                middle = (last["windows"][-1] + window) / 2 * HOP
                start = last["end"] = min(max(middle, start), last["end"])
            long = [x for x in grouped if x["end"] - x["start"] >= rules.min_duration_s]
            if long and long[-1] is not last and can_grow(long[-1], window, k, rules):
                del grouped[grouped.index(long[-1]) + 1 :]
                long[-1]["windows"].append(window)
                long[-1]["end"] = window * HOP + rules.after_s
                continue
        grouped.append({"k": k, "windows": [window], "start": start, "end": end})
    return grouped


def reference(scores, known, rules, first_s, end_s) -> list[tuple]:
    tracks = [range(len(LABELS))] if rules.compete else [[k] for k in range(len(LABELS))]
    events = []
    for classes in tracks:
        grouped = pieces(active_classes(scores, rules, classes), rules)
        for place, piece in enumerate(grouped):
            if piece["end"] - piece["start"] < rules.min_duration_s:
                continue
            label = LABELS[piece["k"]]
            known_score = max(known[w] for w in piece["windows"])
            if rules.unknown_threshold is not None and known_score < rules.unknown_threshold:
                if not rules.show_unknown:
                    continue
                label = "unknown"
            left = right = rules.pad_s
            if place:
                left = min(left, (piece["start"] - grouped[place - 1]["end"]) / 2)
            if place + 1 < len(grouped):
                right = min(right, (grouped[place + 1]["start"] - piece["end"]) / 2)
            start = max(0.0, first_s + piece["start"] - left)
            end = first_s + piece["end"] + right
            end = end if end_s is None else min(end, end_s)
            if start < end:
                score = max(scores[w][piece["k"]] for w in piece["windows"])
                events.append((start, end, label, float(score)))
    return sorted(events)


# --- properties ---------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(recordings(), some_rules(), seconds(0, 8), st.one_of(st.none(), seconds(0, 8)))
def test_the_machine_agrees_with_the_reference(recording, rules, first_s, rest_s):
    scores, known = recording
    end_s = None if rest_s is None else first_s + len(scores) * HOP + rest_s
    events = apply_rules(scores, known, LABELS, rules, HOP, first_s, end_s)
    plain = [(event.start, event.end, event.label, event.score) for event in events]
    assert plain == reference(scores, known, rules, first_s, end_s)


@settings(max_examples=200, deadline=None)
@given(recordings(), some_rules(), st.data())
def test_events_are_the_same_at_any_chunking_and_come_as_soon_as_they_are_final(
    recording, rules, data
):
    scores, known = recording
    whole = EventMachine(LABELS, rules, HOP)
    expected = whole.feed(scores, known), whole.finish(len(scores) * HOP)
    single = EventMachine(LABELS, rules, HOP)
    one_by_one = []
    for window in range(len(scores)):
        decisions = single.feed(scores[window : window + 1], known[window : window + 1])
        assert all(decision.decided_s == single.heard_s for decision in decisions)
        assert all(decision.event.end <= single.heard_s for decision in decisions)
        one_by_one += decisions
    assert sorted(one_by_one, key=lambda d: d.event) == expected[0]
    assert single.finish(len(scores) * HOP) == expected[1]
    cuts = data.draw(st.lists(st.integers(0, len(scores)), max_size=5).map(sorted))
    chunked = EventMachine(LABELS, rules, HOP)
    several = []
    for start, stop in zip([0, *cuts], [*cuts, len(scores)], strict=True):
        decisions = chunked.feed(scores[start:stop], known[start:stop])
        assert decisions == sorted(decisions, key=lambda d: d.event)
        several += decisions
    assert sorted(several, key=lambda d: d.event) == expected[0]
    assert chunked.finish(len(scores) * HOP) == expected[1]


@settings(max_examples=200, deadline=None)
@given(recordings(), some_rules(), seconds(0, 8))
def test_events_are_inside_the_recording_and_apart(recording, rules, first_s):
    scores, known = recording
    end_s = first_s + len(scores) * HOP
    events = apply_rules(scores, known, LABELS, rules, HOP, first_s, end_s)
    assert all(0 <= event.start < event.end <= end_s for event in events)
    assert all(e.seconds <= rules.max_duration_s + 2 * rules.pad_s for e in events)
    for label in {event.label for event in events}:
        own = events if rules.compete else [event for event in events if event.label == label]
        if rules.compete or label != "unknown":
            assert all(a.end <= b.start for a, b in pairwise(own))


@settings(max_examples=200, deadline=None)
@given(recordings(), some_rules())
def test_an_event_is_decided_soon_after_its_end(recording, rules):
    scores, known = recording
    machine = EventMachine(LABELS, rules, HOP)
    wait_s = max(rules.min_gap_s, 2 * rules.pad_s) + max(rules.before_s, 0) + HOP
    if rules.compete:  # the border to another class lies before the event's own end
        wait_s += max(rules.after_s, 0)
    for decision in machine.feed(scores, known):
        assert decision.decided_s <= decision.event.end + wait_s


@settings(max_examples=200, deadline=None)
@given(recordings(), some_rules(compete=st.just(False)), st.integers(0, 3))
def test_a_higher_threshold_gives_no_event_where_there_was_none(recording, rules, more):
    scores, known = recording
    changes = {"pad_s": 0.0, "max_duration_s": math.inf, "show_unknown": False}
    low = EventRules(**(vars(rules) | changes))
    thresholds = tuple(value + more / 8 for value in low.thresholds)
    high = EventRules(**(vars(low) | {"thresholds": thresholds}))
    events = apply_rules(scores, known, LABELS, low, HOP)
    for event in apply_rules(scores, known, LABELS, high, HOP):
        assert any(
            other.start <= event.start and event.end <= other.end and other.score >= event.score
            for other in events
            if other.label == event.label
        )


def rounded(events) -> list[tuple]:
    return sorted((round(e.start, 7), round(e.end, 7), e.label, e.score) for e in events)


_LOUD = np.float32([[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]])
_RULES = EventRules((0.25, 0.25, 0.25), leave=0.5, before_s=-3 / 16, after_s=0.0625, compete=False)
OF_NO_LENGTH = (_LOUD, np.ones(5)), _RULES  # its events end where they begin


@settings(max_examples=100, deadline=None)
@given(recordings(), some_rules(), st.integers(0, 1000))
@example(*OF_NO_LENGTH, 1)
@example(*OF_NO_LENGTH, 7)
def test_a_sound_gives_the_same_events_wherever_it_stands(recording, rules, windows):
    """Also with a hop and rules that are no sums of powers of two."""
    scores, known = recording
    names = ("before_s", "after_s", "min_gap_s", "min_duration_s", "max_duration_s", "pad_s")
    rules = EventRules(**(vars(rules) | {name: vars(rules)[name] * 0.64 for name in names}))
    quiet = np.zeros((windows, len(LABELS)), np.float32)
    later = np.concatenate([quiet, scores]), np.concatenate([np.zeros(windows), known])
    late = apply_rules(*later, LABELS, rules, 0.08, 100.0)
    early = apply_rules(scores, known, LABELS, rules, 0.08, 100.0 + windows * 0.08)
    assert rounded(late) == rounded(early)


def test_blocks_give_what_the_whole_gives(monkeypatch):
    rng = np.random.default_rng(1)
    scores = np.repeat(rng.random((400, 3)), 3, axis=0)
    rules = EventRules((0.7,) * 3, before_s=0.2, after_s=0.1, max_duration_s=0.9)
    expected = apply_rules(scores, None, LABELS, rules, 0.08)
    assert len(expected) > 100
    monkeypatch.setattr("earmark.detection.events.CELLS", 21)
    assert apply_rules(scores, None, LABELS, rules, 0.08) == expected


def test_a_long_event_is_held_in_a_few_numbers():
    machine = EventMachine(LABELS, EventRules((0.5,) * 3, before_s=0.04, after_s=0.04), 0.08, 0.04)
    for _ in range(100):
        assert machine.feed(np.full((1000, 3), 0.9)) == []
    assert len(machine._tracks) == 1 and not machine._waiting
    held = vars(machine._tracks[0].current).values()
    assert not any(isinstance(value, (list, np.ndarray)) for value in held)
    (decision,) = machine.finish()
    assert abs(decision.event.seconds - 8000) < 1e-6
