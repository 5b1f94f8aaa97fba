"""Listen to live sound: blocks and gaps go in; events with clock times, and gaps, come out."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from earmark.audio.live import Clock, Gap, LiveInput, LiveItem
from earmark.data.event import Event
from earmark.detection.detecting import EventDetector
from earmark.detection.streams import STEP_S
from earmark.errors import AudioError

MARK_S = 0.01  # clock times that are kept are at least this far apart
KEPT_S = 60.0  # how long they are kept, and as long as events wait for what may join them


@dataclass(frozen=True)
class HeardEvent:
    """An event, and two clock times in seconds since the epoch.

    Attributes
    ----------
    event : Event
        In seconds since the stream began; sound that was lost counts.
    heard_at : float
        When its last sound arrived.
    decided_at : float
        When it became final.
    """

    event: Event
    heard_at: float
    decided_at: float


@dataclass(frozen=True)
class LostSound:
    """Sound was lost at ``at_s`` seconds after the stream began; the events before it are final."""

    at_s: float
    lost_s: float
    reason: str


@dataclass(frozen=True)
class ListeningEnd:
    """The end: seconds that were heard and that were lost, and the number of events."""

    heard_s: float
    lost_s: float
    events: int


Record = HeardEvent | LostSound | ListeningEnd


class Listener:
    """Turns live items into records, each as soon as it is final.

    Parameters
    ----------
    detector : EventDetector
    step_s : float
        Seconds of sound that are computed at once.
    until_s : float
        Seconds after which listening ends.
    clock : callable
        Returns the time in seconds since the epoch. It must be the clock that the input uses.
    """

    def __init__(
        self,
        detector: EventDetector,
        step_s: float = STEP_S,
        until_s: float = math.inf,
        clock: Clock = time.time,
    ) -> None:
        rules, first_hz = detector.rules, detector.scorer.networks[0].info.rate_hz
        self.stream = detector.stream(first_hz, step_s)  # the first block sets its true rate
        self.lost_s, self.until_s = 0.0, until_s
        self._clock, self._events = clock, 0
        self._marks = _Marks(clock(), KEPT_S + 2 * (rules.min_gap_s + rules.pad_s))
        self._is_new = True  # nothing was heard since the beginning or the last gap

    @property
    def heard_s(self) -> float:
        """Seconds of sound that were heard."""
        return self.stream.heard_s - self.lost_s

    @property
    def is_done(self) -> bool:
        """Whether the stream has reached ``until_s``."""
        return self._room(self.stream.rate_hz) == 0

    def hear(self, item: LiveItem) -> list[Record]:
        """Return the records that are final now that ``item`` came."""
        if isinstance(item, Gap):
            return self._lose(item)
        records = self._change_rate(item.rate_hz)
        samples = item.samples[: self._room(item.rate_hz)]
        unheard_s = (len(item.samples) - len(samples)) / item.rate_hz
        events = self.stream.feed(samples)
        self._is_new = False
        self._marks.add(self.stream.heard_s, item.heard_at - unheard_s)
        return records + self._answers(events)

    def finish(self) -> list[Record]:
        """Return the events that are left, and the end; silence follows the stream."""
        records = self._answers(self.stream.finish())
        return [*records, ListeningEnd(self.heard_s, self.lost_s, self._events)]

    def _room(self, rate_hz: int) -> int | None:
        """Return how many more samples the stream takes; None if it does not end."""
        if self.until_s == math.inf:
            return None
        return max(0, round((self.until_s - self.stream.heard_s) * rate_hz))

    def _change_rate(self, rate_hz: int) -> list[Record]:
        before_hz = self.stream.rate_hz
        if rate_hz == before_hz:
            return []
        if not self._is_new:
            gap = Gap(0.0, f"the sample rate changed from {before_hz} to {rate_hz} Hz")
            return self._lose(gap, rate_hz)
        self.stream.gap(0.0, rate_hz)
        return []

    def _lose(self, gap: Gap, rate_hz: int | None = None) -> list[Record]:
        at_s = self.stream.heard_s
        records = self._answers(self.stream.gap(gap.lost_s, rate_hz))
        self.lost_s += gap.lost_s
        self._is_new = True
        return [*records, LostSound(at_s, gap.lost_s, gap.reason)]

    def _answers(self, events: Sequence[Event]) -> list[Record]:
        self._events += len(events)
        return [HeardEvent(e, self._marks.heard_at(e.end), self._clock()) for e in events]


class _Marks:
    """When the sound at a position arrived: positions and clock times of the last blocks."""

    def __init__(self, begins_at: float, kept_s: float) -> None:
        self._kept_s = kept_s
        self._marks: deque[tuple[float, float]] = deque([(0.0, begins_at)])

    def add(self, end_s: float, heard_at: float) -> None:
        """Add the end of a block; small blocks are added to the one before."""
        marks = self._marks
        if len(marks) > 1 and end_s - marks[-2][0] < MARK_S:
            marks.pop()
        marks.append((end_s, heard_at))
        while len(marks) > 1 and end_s - marks[0][0] > self._kept_s:
            marks.popleft()

    def heard_at(self, at_s: float) -> float:
        """Return the clock time of a position: as far before its block's end as it lies in it.

        A block that came faster than its sound lasts came at once, after the block before it.
        """
        later_s, later_at = self._marks[-1]
        for end_s, heard_at in reversed(self._marks):
            if end_s < at_s:
                return max(heard_at, later_at - (later_s - at_s))
            later_s, later_at = end_s, heard_at
        return later_at - (later_s - at_s)


def listen(
    detector: EventDetector,
    live: LiveInput,
    *,
    step_s: float = STEP_S,
    until_s: float = math.inf,
    clock: Clock = time.time,
) -> Iterator[Record]:
    """Yield the events and gaps of live sound, each as soon as it is final, and then its end.

    Parameters
    ----------
    detector, step_s, until_s, clock
        As in :class:`Listener`.
    live : LiveInput
        Opened by the caller, who closes it.

    Raises
    ------
    AudioError
        After the other records, if the source cannot be read any further.
    """
    listener = Listener(detector, step_s, until_s, clock)
    try:
        for item in live:
            yield from listener.hear(item)
            if listener.is_done:
                break
    except AudioError:
        yield from listener.finish()
        raise
    yield from listener.finish()
