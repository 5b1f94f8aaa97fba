"""What intervals of events resample: recordings, or stretches of a minute of few recordings."""

import numpy as np
import pytest

from earmark.data.event import Event
from earmark.training.event_tables import EventTables, tabulate, units
from made_events import recordings


def bird(middle: float) -> Event:
    return Event(middle - 0.5, middle + 0.5, "bird")


def tables(several, seconds=150.0, regions=None) -> EventTables:
    return tabulate(recordings(several, seconds, regions), [])


@pytest.mark.parametrize(("n", "name", "count"), [(4, "stretch", 12), (5, "recording", 5)])
def test_five_recordings_are_enough(n, name, count):
    several = units(tables([[]] * n))
    assert (several.name, len(several.seconds)) == (name, count)
    assert several.seconds.sum() == 150 * n


def test_events_belong_to_the_minute_of_their_middle():
    both = tables([[bird(0.6), bird(59.9), bird(60.1), bird(170)], [bird(1), bird(121)]])
    several = units(both)
    assert several.seconds.tolist() == [60, 60, 30] * 2
    assert several.of(both.truth).tolist() == [0, 0, 1, 2, 3, 5]  # 170 s is after its end


def test_events_belong_to_their_recording():
    both = tables([[bird(1), bird(100)], [], [bird(1)], [], []])
    assert units(both).of(both.truth).tolist() == [0, 0, 2]


def test_the_time_of_a_stretch_is_its_annotated_time():
    both = tables([[bird(20), bird(90)]], regions=(((10.0, 30.0), (50.0, 100.0)),))
    several = units(both)
    assert several.seconds.tolist() == [30, 40]
    assert several.of(both.truth).tolist() == [0, 1]
    assert units(tables([[]], regions=((),))).seconds.tolist() == [0]


def test_a_recording_of_unknown_length_ends_with_its_last_event():
    both = tables([[bird(20), bird(130)], [bird(1)]], seconds=0)
    several = units(both)
    assert np.isnan(several.seconds).all() and several.of(both.truth).tolist() == [0, 2, 3]


def test_a_year_has_a_thousand_stretches():
    several = units(tables([[]], seconds=365 * 86_400.0))
    assert len(several.seconds) == 1_000
    assert several.seconds == pytest.approx(np.full(1_000, 31_536))


def test_groups_of_recordings_are_units():
    both = tables([[bird(1)], [bird(1), bird(2)], [], [], [], [bird(3)]])
    groups = {path: "abacde"[place] for place, path in enumerate(both.paths)}
    several = units(both, groups)
    assert several.name == "group"
    assert several.seconds.tolist() == [300, 150, 150, 150, 150]
    assert several.of(both.truth).tolist() == [0, 1, 1, 4]


def test_few_groups_are_no_units():
    both = tables([[]] * 6)
    assert units(both, dict.fromkeys(both.paths, "a")).name == "recording"
