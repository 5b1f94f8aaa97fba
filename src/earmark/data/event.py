"""Events: stretches of recordings that have a label, as annotated or as detected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, order=True)
class Event:
    """A stretch of a long recording or stream that was given a label.

    Attributes
    ----------
    start, end : float
        Seconds from the beginning of the recording; start < end.
    label : str
        The class.
    score : float
        The probability that the event is right, 0 to 1; 1 if a person annotated it.
    """

    start: float
    end: float
    label: str
    score: float = 1.0

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.end - self.start


@dataclass(frozen=True)
class RecordingEvents:
    """The events of one recording, sorted by start; there may be none.

    Attributes
    ----------
    path : str
        The recording.
    seconds : float
        Its length; 0 if unknown.
    events : tuple of Event
    regions : tuple of (start, end)
        The stretches in seconds that were annotated or searched, sorted and apart from each other.
        None means the whole recording.
    begins_at : datetime, optional
        The clock time of its first sample.
    """

    path: str
    seconds: float
    events: tuple[Event, ...]
    regions: tuple[tuple[float, float], ...] | None = None
    begins_at: datetime | None = None
