"""Rules as JSON, thresholds as text, and what is refused."""

import json
import math

import numpy as np
import pytest

from earmark.detection import EventRules, apply_rules, parse_thresholds
from earmark.errors import EarmarkError
from earmark.system.jsons import json_text

RULES = EventRules(
    thresholds=(0.5, math.inf),
    before_s=0.1,
    after_s=0.2,
    max_duration_s=5.0,
    calibration=(1.5, -0.2),
)


@pytest.mark.parametrize("rules", [RULES, EventRules((0.25,), after_s=1)])
def test_rules_come_back_from_json(rules):
    assert EventRules.from_json(json.loads(json_text(rules.to_json()))) == rules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": []}, "thresholds is ()"),
        ({"thresholds": [0.5, 0]}, "a threshold is 0. Give a number above 0."),
        ({"thresholds": [0.5, math.nan]}, "a threshold is nan"),
        ({"thresholds": 0.5}, "thresholds is 0.5"),
        ({"leave": 0}, "leave is 0"),
        ({"leave": 1.1}, "leave is 1.1"),
        ({"before_s": "1"}, "before_s is '1'"),
        ({"after_s": math.inf}, "after_s is inf"),
        ({"min_gap_s": -1}, "min_gap_s is -1. Give seconds, 0 or more."),
        ({"min_duration_s": None}, "min_duration_s is None"),
        ({"min_duration_s": 6}, "max_duration_s is 5.0. Give at least 6 s"),
        ({"max_duration_s": 0.1}, "max_duration_s is 0.1. Give at least 0.3 s"),
        ({"max_duration_s": math.nan}, "max_duration_s is nan"),
        ({"pad_s": True}, "pad_s is True"),
        ({"compete": 1}, "compete is 1. Give true or false."),
        ({"unknown_threshold": math.nan}, "unknown_threshold is nan"),
        ({"calibration": [1]}, "calibration is (1,)"),
        ({"calibration": [-1, 0]}, "calibration is (-1, 0)"),
        ({"min_gap": 1}, "unknown field 'min_gap'. Did you mean 'min_gap_s'?"),
    ],
)
def test_wrong_rules_are_refused_with_their_field(change, message):
    with pytest.raises(EarmarkError) as caught:
        EventRules.from_json(RULES.to_json() | change)
    assert message in str(caught.value)


def test_missing_fields_and_other_values_are_refused():
    saved = RULES.to_json()
    del saved["leave"]
    with pytest.raises(EarmarkError, match="have no leave"):
        EventRules.from_json(saved)
    with pytest.raises(EarmarkError, match="the value is 3"):
        EventRules.from_json(3)


LABELS = ("bell", "a=b", "rain, heavy", "rain")
DEFAULT = (0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", DEFAULT),
        ("0.5", (0.5, 0.5, 0.5, 0.5)),
        ("bell=0.7", (0.7, 0.2, 0.3, 0.4)),
        ("0.5, bell = auto ,rain=1", (0.1, 0.5, 0.5, 1)),
        ("a=b=0.9,rain, heavy=0.8", (0.1, 0.9, 0.8, 0.4)),
        ("bell=0.7,0.5", (0.7, 0.5, 0.5, 0.5)),
        ("bell=inf", (math.inf, 0.2, 0.3, 0.4)),
    ],
)
def test_thresholds_are_read_from_text(text, expected):
    assert parse_thresholds(text, LABELS, DEFAULT) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bel=0.7", "no class 'bel'. Did you mean 'bell'?"),
        ("", "The threshold '' is not a number above 0"),
        ("0.5,", "The threshold '' is not"),
        ("high", "The threshold 'high' is not"),
        ("bell=-1", "The threshold 'bell=-1' is not"),
        ("nan", "The threshold 'nan' is not"),
        ("0.5,0.6", "'0.5,0.6' has two thresholds for all classes, 0.5 and 0.6."),
        ("auto,0.6", "two thresholds for all classes, auto and 0.6."),
        ("bell=0.5,bell=0.6", "has 'bell' twice. Give it once."),
    ],
)
def test_wrong_thresholds_are_refused(text, message):
    with pytest.raises(EarmarkError) as caught:
        parse_thresholds(text, LABELS, DEFAULT)
    assert message in str(caught.value)


LONG_EVENT = np.array([0.0] * 5 + [0.9] * 10 + [0.0] * 5)[:, None]


@pytest.mark.parametrize("most_s", [0.1, 0.15, 0.2, 0.5])
def test_a_new_maximum_cuts_events_and_does_not_drop_them(most_s):
    rules = EventRules((0.5,), before_s=-0.02, after_s=0.021, min_duration_s=0.184)
    events = apply_rules(
        LONG_EVENT, None, ["bell"], rules.changed(0.08, max_duration_s=most_s), 0.08
    )
    assert events
    assert all(event.seconds <= most_s + 1e-6 for event in events)


@pytest.mark.parametrize("changes", [{}, {"min_duration_s": 0.19}, {"min_duration_s": 0.0}])
def test_a_maximum_that_no_event_could_keep_to_is_refused(changes):
    rules = EventRules((0.5,), before_s=-0.05, after_s=0.02)
    most_s = 0.2 if changes.get("min_duration_s") else 0.01
    with pytest.raises(EarmarkError, match=f"a maximum of {most_s:g} s, because events are cut"):
        rules.changed(0.08, max_duration_s=most_s, **changes)


def test_other_changes_leave_the_minimum_duration():
    rules = EventRules((0.5,), min_duration_s=0.2)
    assert rules.changed(0.08, pad_s=0.1).min_duration_s == 0.2
    assert rules.changed(0.08, max_duration_s=math.inf).min_duration_s == 0.2


def test_an_unknown_rule_is_named():
    with pytest.raises(EarmarkError, match="have no 'min_gap'. Did you mean 'min_gap_s'?"):
        EventRules((0.5,)).changed(0.08, min_gap=1)
