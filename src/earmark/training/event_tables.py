"""True events and answers as tables of numbers: what is counted, and in how many hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.event import RecordingEvents
from earmark.errors import DataError, amount, some
from earmark.training.event_matching import EventTable, first_at_least

FEW_RECORDINGS = 5  # with fewer recordings, intervals resample stretches of them
STRETCH_S = 60.0
MOST_STRETCHES = 1_000  # of one recording; of a longer one, stretches are longer
Regions = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class EventTables:
    """True events and answers of the same recordings, which are sorted by path.

    ``seconds`` (R,) is the annotated time of each recording, NaN if unknown. ``regions`` has, for
    each recording, the annotated stretches in seconds; None is the whole recording. ``truth`` and
    ``answers`` are the events that count, ``all_truth`` and ``all_answers`` are all.
    """

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    seconds: np.ndarray
    regions: tuple[Regions | None, ...]
    truth: EventTable
    answers: EventTable
    all_truth: EventTable
    all_answers: EventTable

    @property
    def hours(self) -> float | None:
        """The annotated time in hours; None if the length of a recording is unknown."""
        total = float(self.seconds.sum()) / 3600
        return total if total > 0 else None


def tabulate(truth: Sequence[RecordingEvents], answers: Sequence[RecordingEvents]) -> EventTables:
    """Return events as tables; recordings are matched by path.

    An event counts, as a whole, if its middle lies in an annotated region of the recording: from
    the region's start to before its end. A recording without answers counts like one with an empty
    list of answers. Raises DataError for a path that comes twice and for answers to a recording
    that ``truth`` does not have.
    """
    truth = sorted(truth, key=lambda recording: recording.path)
    paths, answered = _paths(truth, "true events"), _paths(answers, "answers")
    if unknown := [path for path in answered if path not in paths]:
        raise DataError(
            f"answers are given for {amount(len(unknown), 'recording')} without true events:"
            f" {some(unknown, 'recording')}. Annotate them, or leave them out."
        )
    given = [answers[answered[path]] if path in answered else None for path in paths]
    labels = sorted({event.label for recording in (*truth, *answers) for event in recording.events})
    regions = tuple(recording.regions for recording in truth)
    tables = [_table(recordings, labels) for recordings in (truth, given)]
    seconds = [_seconds(*both) for both in zip(truth, given, strict=True)]
    return EventTables(
        tuple(paths),
        tuple(labels),
        np.array(seconds, float),
        regions,
        *(_inside(table, regions) for table in tables),
        *tables,
    )


def _paths(recordings: Sequence[RecordingEvents], what: str) -> dict[str, int]:
    places = {recording.path: place for place, recording in enumerate(recordings)}
    if len(places) < len(recordings):
        twice = [r.path for place, r in enumerate(recordings) if places[r.path] != place]
        raise DataError(
            f"the {what} of {some(twice, 'recording')} are given more than once. Put all"
            " events of a recording into one list."
        )
    return places


def _seconds(truth: RecordingEvents, answers: RecordingEvents | None) -> float:
    """Return the annotated time of a recording; NaN if its length is unknown."""
    if truth.regions is not None:
        return sum(end - start for start, end in truth.regions)
    return truth.seconds or (answers.seconds if answers else 0) or np.nan


def _table(recordings: Iterable[RecordingEvents | None], labels: Sequence[str]) -> EventTable:
    number = {label: place for place, label in enumerate(labels)}
    rows = [
        (place, number[event.label], event.start, event.end, event.score)
        for place, recording in enumerate(recordings)
        for event in (recording.events if recording else ())
    ]
    columns = np.array(rows, float).reshape(-1, 5).T
    recording, label = columns[:2].astype(np.int64)
    return EventTable(recording, label, *columns[2:]).sorted()


def _inside(events: EventTable, regions: Sequence[Regions | None]) -> EventTable:
    """Return the events whose middle lies in a region."""
    place, start, end = flat_regions(regions)
    whole = np.array([region is None for region in regions], bool)
    middle = events.middle
    first = np.searchsorted(place, events.recording, "left")
    last = np.searchsorted(place, events.recording, "right")
    nearest = first_at_least(end, np.nextafter(middle, np.inf), first, last)
    is_inside = whole[events.recording]
    rows = np.flatnonzero(nearest < last)
    is_inside[rows] |= start[nearest[rows]] <= middle[rows]
    return events.take(is_inside)


def flat_regions(regions: Sequence[Regions | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the recording (N,), start and end of every region."""
    rows = [(i, *bounds) for i, several in enumerate(regions) for bounds in several or ()]
    place, start, end = np.array(rows, float).reshape(-1, 3).T
    return place.astype(np.int64), start, end


@dataclass(frozen=True)
class Units:
    """What intervals resample: recordings, groups of them, or stretches of few recordings.

    ``seconds`` (U,) is the annotated time of each, NaN if unknown; ``name`` says what a unit is.
    """

    name: str
    seconds: np.ndarray
    first: np.ndarray  # (R,) the number of the first unit of each recording
    length: np.ndarray  # (R,) the length of its units in seconds

    def of(self, events: EventTable) -> np.ndarray:
        """Return the unit (N,) of each event, by its middle."""
        place = events.recording
        if np.isinf(self.length).all():
            return np.asarray(self.first[place])
        within = np.maximum(events.middle / self.length[place], 0).astype(np.int64)
        last = np.append(self.first[1:], len(self.seconds)) - 1
        return np.asarray(np.minimum(self.first[place] + within, last[place]))


def units(tables: EventTables, groups: Mapping[str, str] | None = None) -> Units:
    """Return recordings as units, or stretches of a minute if there are fewer than 5 recordings.

    If ``groups`` names the group of each path, at least 5 groups are the units.
    """
    n = len(tables.paths)
    names = [groups[path] for path in tables.paths] if groups else []
    if len(set(names)) >= FEW_RECORDINGS:
        distinct, number = np.unique(names, return_inverse=True)
        own_s = np.bincount(number, tables.seconds, len(distinct))
        return Units("group", own_s, number, np.full(n, np.inf))
    if n >= FEW_RECORDINGS:
        return Units("recording", tables.seconds, np.arange(n), np.full(n, np.inf))
    ends = [_end(tables, place) for place in range(n)]
    lengths = np.array([max(STRETCH_S, end / MOST_STRETCHES) for end in ends])
    counts = np.maximum(np.ceil(np.array(ends) / lengths), 1).astype(int)
    seconds = [_split(tables, i, lengths[i], counts[i]) for i in range(n)]
    first = np.cumsum(counts) - counts
    return Units("stretch", np.concatenate([*seconds, np.zeros(0)]), first, lengths)


def _end(tables: EventTables, place: int) -> float:
    """Return the second at which the annotated time of a recording ends."""
    regions = tables.regions[place]
    if regions is not None:
        return max((end for _, end in regions), default=0.0)
    if not np.isnan(tables.seconds[place]):
        return float(tables.seconds[place])
    ends = (table.end[table.recording == place] for table in (tables.truth, tables.answers))
    return float(max(end.max(initial=0.0) for end in ends))


def _split(tables: EventTables, place: int, length: float, count: int) -> np.ndarray:
    """Return the annotated time (count,) of each stretch of a recording."""
    regions, total = tables.regions[place], tables.seconds[place]
    if np.isnan(total):
        return np.full(count, np.nan)
    bounds = np.arange(count + 1) * length
    seconds = np.zeros(count)
    for start, end in regions if regions is not None else ((0.0, total),):
        seconds += np.diff(np.clip(bounds, start, end))
    return seconds
