"""The state machine that turns scores of windows into events, for files and for streams.

Events come from tracks. If classes compete, there is one track; else each class has its own. The
events of a track never overlap. All durations are compared in numbers of windows times the hop, so
a sound yields the same event wherever it stands, and however the windows are handed over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from earmark.classifier.prediction import UNKNOWN
from earmark.data.event import Event
from earmark.detection.rules import ROUNDING, EventRules
from earmark.detection.runs import Run, Runs
from earmark.errors import EarmarkError, amount

CELLS = 2**20  # scores that are processed at a time


@dataclass(frozen=True)
class Decision:
    """An event that is final.

    Attributes
    ----------
    event : Event
    decided_s : float
        How much had been heard when the event became final: the centre of the window that decided
        it, or the end of the recording. It does not depend on how windows are handed over.
    raw_score : float
        The highest score of a window of the event, before calibration.
    known_score : float or None
        The highest known-score of a window of the event. Windows at the edges of a sound are like
        nothing in training, so the best window must count; and with the highest one, a higher
        threshold never brings an event back.
    """

    event: Event
    decided_s: float
    raw_score: float
    known_score: float | None


@dataclass
class _Stretch:
    """Windows ``first..last`` of one class, which will become an event."""

    k: int
    first: int
    last: int
    score: float
    known: float
    lead_s: float  # from the start to the centre of the first window
    start_s: float  # of the event, with padding


@dataclass
class _Track:
    """Stretches of which at most one is active at a time."""

    current: _Stretch | None = None
    earlier: _Stretch | None = None  # the last one before it that was long enough


class _Answer(NamedTuple):
    """An event that becomes final when the window ``final`` is heard."""

    final: int
    decision: Decision
    stretch: _Stretch


class _Meeting(NamedTuple):
    """The ends of two neighbours on a track, and the most padding between them."""

    tail_s: float  # from the centre of the last window to the end
    lead_s: float  # from the start to the centre of the next first window
    pad_s: float


class EventMachine:
    """Turn scores of windows into events, each as soon as it is final.

    Parameters
    ----------
    labels : sequence of str, (K,)
    rules : EventRules
    hop_s : float
        Seconds between the centres of windows.
    first_s : float
        The centre of the first window, in seconds from the beginning of the recording.
    """

    def __init__(
        self, labels: Sequence[str], rules: EventRules, hop_s: float, first_s: float = 0.0
    ) -> None:
        if len(labels) != len(rules.thresholds):
            raise EarmarkError(
                f"The event rules have {amount(len(rules.thresholds), 'threshold')} for"
                f" {amount(len(labels), 'class')}. Give one for each class."
            )
        if not (math.isfinite(hop_s) and hop_s > 0):
            raise EarmarkError(f"The hop is {hop_s!r} s. Give seconds above 0.")
        self.labels, self.rules, self.hop_s = tuple(labels), rules, float(hop_s)
        self._runs = Runs(np.asarray(rules.thresholds, np.float64), rules.leave, rules.compete)
        self._wait = self._windows_to_wait()
        self.reset(first_s)

    @property
    def heard_s(self) -> float:
        """The centre of the last window; before the first one, where sound begins."""
        return self._centre(self._n - 1) if self._n else self._begin_s

    def reset(self, first_s: float = 0.0, begin_s: float = 0.0) -> None:
        """Forget everything; the next window has its centre at ``first_s``.

        No event starts before ``begin_s``.
        """
        if not (math.isfinite(first_s) and math.isfinite(begin_s)):
            raise EarmarkError(
                f"The first window is at {first_s!r} s of sound from {begin_s!r} s. Give numbers."
            )
        self._first_s, self._begin_s, self._n = float(first_s), float(begin_s), 0
        count = 1 if self.rules.compete else len(self.labels)
        self._tracks = [_Track() for _ in range(count)]
        self._waiting: list[_Answer] = []
        self._answered_s = -math.inf  # the end of the last event

    def feed(self, scores: np.ndarray, known: np.ndarray | None = None) -> list[Decision]:
        """Return the events that have become final, by start.

        ``scores`` (n, K) from 0 to 1 and the known-scores ``known`` (n,) continue those of the
        last call. Raises EarmarkError for scores of another shape, NaN, and scores outside 0..1.
        """
        scores, known = np.asarray(scores), None if known is None else np.asarray(known)
        self._check(scores, known)
        step = max(1, CELLS // len(self.labels))
        for start in range(0, len(scores), step):
            rows = slice(start, start + step)
            self._hear(scores[rows], None if known is None else known[rows])
        return self._release(self._n, None)

    def finish(self, end_s: float | None = None) -> list[Decision]:
        """Return the events that are left, by start; none reaches beyond ``end_s``.

        Call :meth:`reset` before the machine hears another recording.
        """
        if end_s is not None and not end_s >= self._answered_s - ROUNDING:
            raise EarmarkError(
                f"The recording ends at {end_s:g} s, but an event until {self._answered_s:g} s has"
                " been answered. Give the true end of the recording."
            )
        for track in self._tracks:
            self._close_at_rest(track)
        return self._release(None, end_s)

    def gap(self, end_s: float, begin_s: float, first_s: float) -> list[Decision]:
        """Return the events that are left after sound was lost from ``end_s`` to ``begin_s``.

        No event spans the gap. The next window has its centre at ``first_s``.
        """
        if not begin_s >= end_s:
            raise EarmarkError(
                f"Sound was lost from {end_s!r} to {begin_s!r} s. Give an end after the start."
            )
        decisions = self.finish(end_s)
        self.reset(first_s, begin_s)
        return decisions

    def _check(self, scores: np.ndarray, known: np.ndarray | None) -> None:
        if scores.ndim != 2 or scores.shape[1] != len(self.labels):
            raise EarmarkError(
                f"The scores have the shape {scores.shape}. Give (windows, {len(self.labels)})."
            )
        if len(scores) and not (scores.min() >= 0 and scores.max() <= 1 + 1e-3):  # NaN: neither
            raise EarmarkError("A score is NaN or outside 0 to 1. Give the scores of a classifier.")
        if known is None:
            if self.rules.unknown_threshold is not None:
                raise EarmarkError(
                    "The event rules have an unknown_threshold, but there are no known-scores."
                    " Give them, or rules without it."
                )
        elif known.shape != scores.shape[:1] or np.isnan(known).any():
            raise EarmarkError(
                f"The known-scores have the shape {known.shape} or hold NaN. Give a number for"
                f" each of the {len(scores)} windows."
            )

    def _centre(self, window: int) -> float:
        return self._first_s + window * self.hop_s

    def _hear(self, scores: np.ndarray, known: np.ndarray | None) -> None:
        """Continue with a block of windows, and close the stretches that nothing can join."""
        stretches = [track.current for track in self._tracks]
        active = [x.k if x is not None and x.last == self._n - 1 else None for x in stretches]
        for number, run in self._runs.find(scores, active):
            self._add(self._tracks[number], run, scores, known)
        self._n += len(scores)
        for track in self._tracks:
            if track.current is not None and track.current.last + self._wait < self._n:
                self._close_at_rest(track)

    def _add(self, track: _Track, run: Run, scores: np.ndarray, known: np.ndarray | None) -> None:
        """Add a run of this block to the track: to a stretch that it joins, or to new ones."""
        start = run.start
        while start < run.stop:
            stretch = self._stretch_for(track, run.k, self._n + start)
            stop = min(run.stop, self._room(stretch) - self._n)
            rows = slice(start, stop)
            stretch.last = self._n + stop - 1
            stretch.score = max(stretch.score, float(scores[rows, run.k].max()))
            if known is not None:
                stretch.known = max(stretch.known, float(known[rows].max()))
            start = stop

    def _stretch_for(self, track: _Track, k: int, first: int) -> _Stretch:
        """Return the track's current stretch after window ``first``, in which ``k`` is active.

        If the current stretch is another one and too short, the earlier one goes on if it can.
        """
        current, earlier = track.current, track.earlier
        if current is None:
            start_s = self._centre(first) - self.rules.before_s - self.rules.pad_s
            new = _Stretch(k, first, first, 0.0, -math.inf, self.rules.before_s, start_s)
        elif self._joins(current, k, first):
            return current
        elif (
            earlier is not None
            and self._joins(earlier, k, first)
            and self._is_short(current, self._meet(current, first).tail_s)
        ):
            self._take_back(earlier)
            new, track.earlier = earlier, None
        else:
            new = self._follow(track, current, k, first)
        track.current = new
        return new

    def _take_back(self, stretch: _Stretch) -> None:
        """Remove the answer for a competing stretch that goes on, if it has one."""
        for place in reversed(range(len(self._waiting))):
            other = self._waiting[place].stretch
            if other is stretch:
                del self._waiting[place]
            if other.last <= stretch.last:
                return

    def _joins(self, stretch: _Stretch, k: int, first: int) -> bool:
        """Tell whether a run of class ``k`` from window ``first`` continues the stretch."""
        has_room = first < self._room(stretch)
        return stretch.k == k and has_room and not self._is_apart(first - stretch.last)

    def _room(self, stretch: _Stretch) -> int:
        """Return the first window for which the stretch has no room; it has room for one."""
        if self.rules.max_duration_s == math.inf:
            return 2**62
        left_s = self.rules.max_duration_s - stretch.lead_s - self.rules.after_s
        return stretch.first + 1 + max(0, math.floor((left_s + ROUNDING) / self.hop_s))

    def _meet(self, stretch: _Stretch, first: int) -> _Meeting:
        """Return how the stretch meets another one that begins with window ``first``.

        Two that would overlap meet half-way between their windows, or as near as they reach.
        """
        rules, apart_s = self.rules, (first - stretch.last) * self.hop_s
        gap_s = apart_s - rules.around_s
        if gap_s > 0:
            return _Meeting(rules.after_s, rules.before_s, min(rules.pad_s, gap_s / 2))
        lead_s = min(max(apart_s / 2, apart_s - rules.after_s), rules.before_s)
        return _Meeting(apart_s - lead_s, lead_s, 0.0)

    def _is_short(self, stretch: _Stretch, tail_s: float) -> bool:
        duration_s = stretch.lead_s + (stretch.last - stretch.first) * self.hop_s + tail_s
        return duration_s < self.rules.min_duration_s - ROUNDING

    def _follow(self, track: _Track, stretch: _Stretch, k: int, first: int) -> _Stretch:
        """Close the track's stretch and return the next one, which begins with window ``first``."""
        meeting = self._meet(stretch, first)
        start_s = self._centre(first) - meeting.lead_s - meeting.pad_s
        end_s = min(self._centre(stretch.last) + meeting.tail_s + meeting.pad_s, start_s)
        has_room = first < self._room(stretch)
        can_go_on = has_room and self.rules.compete and self.rules.min_duration_s > 0
        final = stretch.last + self._wait if can_go_on else first
        self._close(track, stretch, meeting, end_s, final)
        return _Stretch(k, first, first, 0.0, -math.inf, meeting.lead_s, start_s)

    def _close_at_rest(self, track: _Track) -> None:
        """Close the track's stretch when no other is near."""
        stretch, rules = track.current, self.rules
        track.current = None
        if stretch is not None:
            end_s = self._centre(stretch.last) + rules.after_s + rules.pad_s
            meeting = _Meeting(rules.after_s, rules.before_s, rules.pad_s)
            self._close(track, stretch, meeting, end_s, stretch.last + self._wait)

    def _close(
        self, track: _Track, stretch: _Stretch, meeting: _Meeting, end_s: float, final: int
    ) -> None:
        """Turn a stretch into an event, unless it is too short or unknown."""
        if self._is_short(stretch, meeting.tail_s):
            return
        track.earlier, least = stretch, self.rules.unknown_threshold
        is_unknown = least is not None and stretch.known < least
        if is_unknown and not self.rules.show_unknown:
            return
        rest = math.ceil((meeting.tail_s + meeting.pad_s - ROUNDING) / self.hop_s)
        final = max(min(final, stretch.last + self._wait), stretch.last + rest)
        label = UNKNOWN if is_unknown else self.labels[stretch.k]
        event = Event(stretch.start_s, end_s, label, self.rules.calibrated(stretch.score))
        known = None if stretch.known == -math.inf else stretch.known
        self._waiting.append(_Answer(final, Decision(event, 0.0, stretch.score, known), stretch))

    def _windows_to_wait(self) -> int:
        """Return how many windows after a stretch make it final, if nothing is active in them.

        A run that begins later cannot join the stretch, and its padding does not meet the
        stretch's own.
        """
        gap_s = max(self.rules.min_gap_s - ROUNDING, 2 * self.rules.pad_s)
        wait = max(1, math.floor((self.rules.around_s + gap_s) / self.hop_s) - 2)
        while not self._is_apart(wait + 1) or (wait + 1) * self.hop_s - self.rules.around_s < gap_s:
            wait += 1
        return wait

    def _is_apart(self, windows: int) -> bool:
        """Tell whether runs of one class, so many windows from last to first, are not joined."""
        gap_s = windows * self.hop_s - self.rules.around_s
        return windows > 1 and gap_s > ROUNDING and gap_s >= self.rules.min_gap_s - ROUNDING

    def _release(self, n: int | None, end_s: float | None) -> list[Decision]:
        """Return the events that are final after ``n`` windows (None: all), cut at the ends."""
        ready = [answer for answer in self._waiting if n is None or answer.final < n]
        self._waiting = [answer for answer in self._waiting if n is not None and answer.final >= n]
        decisions = []
        for final, decision, _ in ready:
            event = decision.event
            start = max(event.start, self._begin_s)
            end = event.end if end_s is None else min(event.end, end_s)
            if n is not None:
                decided_s = self._centre(final)
            else:
                decided_s = self.heard_s if end_s is None else end_s
            if end - start > ROUNDING:  # else rounding decides whether it has a length at all
                event = replace(event, start=start, end=end)
                decisions.append(replace(decision, event=event, decided_s=decided_s))
                self._answered_s = max(self._answered_s, end)
        return sorted(decisions, key=lambda decision: decision.event)


def apply_rules(
    scores: np.ndarray,
    known: np.ndarray | None,
    labels: Sequence[str],
    rules: EventRules,
    hop_s: float,
    first_s: float = 0.0,
    end_s: float | None = None,
) -> list[Event]:
    """Return the events of a whole recording, sorted; see :class:`EventMachine`."""
    machine = EventMachine(labels, rules, hop_s, first_s)
    decisions = machine.feed(scores, known) + machine.finish(end_s)
    return sorted(decision.event for decision in decisions)
