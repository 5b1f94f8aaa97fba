"""The minutes with the most errors: true and detected events side by side, with players."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earmark.data.clip import Clip
from earmark.data.event import RecordingEvents
from earmark.report import palette
from earmark.report.event_contents import EventContents
from earmark.report.players import players
from earmark.training.event_matching import EventTable, IouCriterion, match
from earmark.training.event_tables import EventTables, tabulate

MINUTE_S = 60.0
LINES_S = (60.0, 20.0, 10.0, 5.0)  # how long a line may be
EVENTS_OF_LINE = 50  # a line is at most so many usual events long
MOST_MINUTES = 10
MOST_BYTES = 3_000_000  # of all players; a minute has 240 kB
COMPRESSION = 0.9  # 24 kbit/s at 16 kHz
MOST_LEVELS = 3  # events at the same time that are drawn below each other
RIGHT, MISSED, FALSE, UNKNOWN = "right", "missed", "false", "unknown"


@dataclass(frozen=True)
class Bar:
    """An event on a line: its place in percent of the line, and how it was judged."""

    label: str
    left: float
    width: float
    level: int
    kind: str  # RIGHT, MISSED, FALSE or UNKNOWN
    colour: str
    title: str


@dataclass(frozen=True)
class Line:
    """Some seconds of a recording, the true events above the detected ones.

    ``share`` is how much of a full line the recording fills, in percent. ``blind`` has the (left,
    width) of what was not annotated, in percent of the line.
    """

    at: str
    share: float
    truth: tuple[Bar, ...]
    answers: tuple[Bar, ...]
    blind: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Judged:
    """Events of a recording with their kinds."""

    truth: list[tuple[float, float, str, str]]
    answers: list[tuple[float, float, str, str]]


def timeline(contents: EventContents) -> dict[str, object] | None:
    """Return the worst minutes, worst first; None without errors."""
    tables, labels = tabulate(contents.truth, contents.answers), contents.labels
    known = np.array([label in labels for label in tables.labels], bool)
    is_found, is_right = np.zeros(len(tables.truth), bool), np.zeros(len(tables.answers), bool)
    true, answer = match(tables.truth, tables.answers, IouCriterion(0.3))
    is_found[true], is_right[answer] = True, True
    missed = tables.truth.take(~is_found & known[tables.truth.label])
    false = tables.answers.take(~is_right)
    line_s = _line_s(tables.truth)
    counts = {FALSE: _by_minute(false), MISSED: _by_minute(missed)}
    worst = (counts[FALSE] + counts[MISSED]).most_common(MOST_MINUTES)
    if not worst:
        return None
    recordings = {recording.path: recording for recording in contents.truth}
    minutes, clips = list[dict[str, object]](), list[Clip]()
    for (place, number), _ in worst:
        recording = recordings[tables.paths[place]]
        judged = _judged(tables, place, is_found, is_right, known)
        start = number * MINUTE_S
        end = min(start + MINUTE_S, max(_end(recording, judged), start + 1))
        clips.append(Clip(Path(recording.path), start=start, end=end))
        minutes.append(
            {
                "path": recording.path,
                "span": (_clock(start), _clock(end)),
                "lines": list(_lines(recording, judged, (start, end), line_s, labels)),
                "missed": counts[MISSED][place, number],
                "false": counts[FALSE][place, number],
                "player": None,
            }
        )
    if contents.is_heard:
        sounds = players(clips, contents.audio, MOST_BYTES, MINUTE_S, COMPRESSION)
        minutes = [{**m, "player": p} for m, p in zip(minutes, sounds, strict=True)]
    return {
        "minutes": minutes,
        "line_s": line_s,
        "errors": len(missed) + len(false),
        "shown": sum(count for _, count in worst),
        "has_unknown": bool((~known[tables.truth.label]).any()),
        "has_blind": any(recording.regions is not None for recording in contents.truth),
    }


def _by_minute(events: EventTable) -> Counter[tuple[int, int]]:
    minutes = (np.maximum(events.middle, 0) // MINUTE_S).astype(int)
    return Counter(zip(events.recording.tolist(), minutes.tolist(), strict=True))


def _judged(
    tables: EventTables,
    place: int,
    is_found: np.ndarray,
    is_right: np.ndarray,
    known: np.ndarray,
) -> _Judged:
    def rows(
        table: EventTable, is_good: np.ndarray, bad: str
    ) -> list[tuple[float, float, str, str]]:
        return [
            (
                float(table.start[n]),
                float(table.end[n]),
                tables.labels[table.label[n]],
                UNKNOWN if not known[table.label[n]] else RIGHT if is_good[n] else bad,
            )
            for n in np.flatnonzero(table.recording == place)
        ]

    return _Judged(
        sorted(rows(tables.truth, is_found, MISSED)), sorted(rows(tables.answers, is_right, FALSE))
    )


def _end(recording: RecordingEvents, judged: _Judged) -> float:
    ends = [end for _, end, _, _ in (*judged.truth, *judged.answers)]
    return recording.seconds or max(ends, default=0.0)


def _line_s(truth: EventTable) -> float:
    """Return how many seconds a line has, so that usual events are wide enough to read."""
    usual_s = float(np.median(truth.end - truth.start)) if len(truth) else 1.0
    return next((s for s in LINES_S if s <= EVENTS_OF_LINE * usual_s), LINES_S[-1])


def _lines(
    recording: RecordingEvents,
    judged: _Judged,
    span: tuple[float, float],
    line_s: float,
    labels: Sequence[str],
) -> Iterator[Line]:
    at, end = span
    while at < end - 1e-3:
        stop = min(at + line_s, end)
        blind = _unannotated(recording.regions, at, stop)
        yield Line(
            _clock(at),
            100 * (stop - at) / line_s,
            tuple(_bars(judged.truth, (at, stop), labels)),
            tuple(_bars(judged.answers, (at, stop), labels)),
            tuple(_place(a, b, (at, stop)) for a, b in blind),
        )
        at += line_s


def _bars(
    events: Iterable[tuple[float, float, str, str]],
    span: tuple[float, float],
    labels: Sequence[str],
) -> Iterator[Bar]:
    free = [0.0] * MOST_LEVELS  # when each level ends
    for start, end, label, kind in events:
        if end <= span[0] or start >= span[1]:
            continue
        level = next((n for n, until in enumerate(free) if until <= start), MOST_LEVELS - 1)
        free[level] = end
        left, width = _place(start, end, span)
        colour = palette.look(labels.index(label))[0] if kind == RIGHT else ""
        title = f"{label}, {kind}: {start:.2f} to {end:.2f} s"
        yield Bar(label, left, width, level, kind, colour, title)


def _place(start: float, end: float, span: tuple[float, float]) -> tuple[float, float]:
    """Return left and width of what lies inside a line, in percent of it."""
    start, end = max(start, span[0]), min(end, span[1])
    scale = 100 / (span[1] - span[0])
    return scale * (start - span[0]), scale * (end - start)


def _unannotated(
    regions: Sequence[tuple[float, float]] | None, at: float, stop: float
) -> Iterator[tuple[float, float]]:
    if regions is None:
        return
    for start, end in (*regions, (stop, stop)):
        if start > at:
            yield at, min(start, stop)
        at = max(at, min(end, stop))
        if at >= stop:
            return


def _clock(seconds: float) -> str:
    """Return '1:02:20' or '2:20'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
