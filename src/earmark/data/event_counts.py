"""Count events by class and hour."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from earmark.data.clock import time_at
from earmark.data.event import RecordingEvents

HOUR_S = 3600


@dataclass
class HourCounts:
    """The events of one hour.

    Attributes
    ----------
    hour : str
        '05:00' is the hour of the day from 5 to 6 o'clock, of all days together. 'hour 1' is the
        first hour of all recordings whose clock time is unknown.
    seconds : float
        How much of the recordings was annotated or searched in this hour, to compute rates.
    events : Counter
        The number of events by class; an event counts in the hour in which it begins.
    """

    hour: str
    seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)


def counts(recordings: Iterable[RecordingEvents]) -> list[HourCounts]:
    """Return the events by hour, in the order of hours; those of unknown clock time come last.

    Examples
    --------
    >>> from datetime import datetime
    >>> from earmark.data.event import Event, RecordingEvents
    >>> from earmark.data.event_counts import counts
    >>> events = Event(10, 12, "owl"), Event(3700, 3701, "owl"), Event(3702, 3703, "fox")
    >>> night = RecordingEvents("n.wav", 7200, events, begins_at=datetime(2026, 5, 1, 22, 0))
    >>> [(row.hour, row.seconds, dict(row.events)) for row in counts([night])]
    [('22:00', 3600.0, {'owl': 1}), ('23:00', 3600.0, {'owl': 1, 'fox': 1})]
    """
    rows: dict[tuple[bool, int], HourCounts] = {}

    def row_of(recording: RecordingEvents, second: float) -> HourCounts:
        begins = recording.begins_at
        hour = int(second // HOUR_S) if begins is None else time_at(begins, second).hour
        name = f"hour {hour + 1}" if begins is None else f"{hour:02}:00"
        return rows.setdefault((begins is None, hour), HourCounts(name))

    for recording in recordings:
        for event in recording.events:
            row_of(recording, event.start).events[event.label] += 1
        regions = recording.regions
        for start, end in ((0.0, recording.seconds),) if regions is None else regions:
            for first, last in _by_hour(recording, start, end):
                row_of(recording, (first + last) / 2).seconds += last - first
    return [rows[key] for key in sorted(rows)]


def _by_hour(recording: RecordingEvents, start: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield the parts of a stretch that lie within one hour each."""
    begins = recording.begins_at
    past = 0.0 if begins is None else begins.minute * 60 + begins.second + begins.microsecond / 1e6
    while start < end:
        full_hour = (math.floor((past + start) / HOUR_S) + 1) * HOUR_S - past
        yield start, min(full_hour, end)
        start = full_hour
