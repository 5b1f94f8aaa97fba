"""Figures of detected events: F1, false events an hour, errors of onsets and offsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

CRITERIA = ("iou30", "iou50", "collar")


@dataclass(frozen=True)
class MatchCounts:
    """How many events, or segments, are right, false and missed.

    Attributes
    ----------
    right, false, missed : int
        Answers with a true event, answers without one, and true events without an answer.
    """

    right: int
    false: int
    missed: int

    @property
    def precision(self) -> float | None:
        """The share of answers that are right; None without answers."""
        return _ratio(self.right, self.right + self.false)

    @property
    def recall(self) -> float | None:
        """The share of true events that were answered; None without true events."""
        return _ratio(self.right, self.right + self.missed)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None without answers and without true events."""
        return _ratio(2 * self.right, 2 * self.right + self.false + self.missed)


@dataclass(frozen=True)
class BoundaryErrors:
    """Errors of the onsets or of the offsets of matched events (IoU 0.3), in seconds.

    Attributes
    ----------
    median : float
        The median of answer - truth; negative if answers are early.
    median_absolute, p90_absolute : float
        The median and the 90th percentile of the absolute error.
    """

    median: float
    median_absolute: float
    p90_absolute: float


@dataclass(frozen=True)
class EventFigures:
    """The figures of one class, or of the events of all classes together.

    Figures without a criterion in their name use an IoU of 0.3.

    Attributes
    ----------
    label : str or None
        The class; None for all classes together (micro average).
    iou30, iou50, collar, segments : MatchCounts
        Events matched at IoU 0.3, at IoU 0.5 and by collar; segments of 1 s.
    false_per_hour : float or None
        False answers per hour of annotated time; None if the length of a recording is unknown.
    false_per_hour_upper : float or None
        The highest rate that the count of false answers does not exclude (one-sided, 95 %, exact
        for a Poisson count). With 0 false answers in 8 minutes it is 22.5.
    onset_error, offset_error : BoundaryErrors or None
        None if no answer is right.
    intervals : dict
        95 % intervals (low, high) of 'f1_iou30', 'f1_iou50', 'f1_collar', 'precision', 'recall' and
        'false_per_hour'. A figure that is None has no interval.
    """

    label: str | None
    iou30: MatchCounts
    iou50: MatchCounts
    collar: MatchCounts
    segments: MatchCounts
    false_per_hour: float | None
    false_per_hour_upper: float | None
    onset_error: BoundaryErrors | None
    offset_error: BoundaryErrors | None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def precision(self) -> float | None:
        """The share of answers that are right."""
        return self.iou30.precision

    @property
    def recall(self) -> float | None:
        """The share of true events that were answered."""
        return self.iou30.recall

    @property
    def f1_iou30(self) -> float | None:
        """F1 at IoU 0.3."""
        return self.iou30.f1

    @property
    def f1_iou50(self) -> float | None:
        """F1 at IoU 0.5."""
        return self.iou50.f1

    @property
    def f1_collar(self) -> float | None:
        """F1 by collar."""
        return self.collar.f1

    @property
    def f1_segments(self) -> float | None:
        """F1 of segments of 1 s."""
        return self.segments.f1

    def to_json(self) -> dict[str, Any]:
        """Return the figures, the counts they come from, and the intervals."""
        counts = {name: asdict(getattr(self, name)) for name in (*CRITERIA, "segments")}
        return {
            "label": self.label,
            "precision": self.precision,
            "recall": self.recall,
            "f1_iou30": self.f1_iou30,
            "f1_iou50": self.f1_iou50,
            "f1_collar": self.f1_collar,
            "f1_segments": self.f1_segments,
            "false_per_hour": self.false_per_hour,
            "false_per_hour_upper": self.false_per_hour_upper,
            "onset_error_s": self.onset_error and asdict(self.onset_error),
            "offset_error_s": self.offset_error and asdict(self.offset_error),
            "ci95": {name: list(interval) for name, interval in self.intervals.items()},
            "counts": counts,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> EventFigures:
        """Return the figures that :meth:`to_json` wrote; KeyError if one is missing."""
        onset, offset = saved["onset_error_s"], saved["offset_error_s"]
        return cls(
            label=saved["label"],
            **{name: MatchCounts(**saved["counts"][name]) for name in (*CRITERIA, "segments")},
            false_per_hour=saved["false_per_hour"],
            false_per_hour_upper=saved["false_per_hour_upper"],
            onset_error=onset and BoundaryErrors(**onset),
            offset_error=offset and BoundaryErrors(**offset),
            intervals={name: (low, high) for name, (low, high) in saved["ci95"].items()},
        )


@dataclass(frozen=True)
class Confusion:
    """How many false answers lie on true events of another class.

    Attributes
    ----------
    label : str
        The class of the true events.
    answered : str
        The class of the answers.
    count : int
        The number of answers.
    """

    label: str
    answered: str
    count: int


@dataclass(frozen=True)
class EventEvaluation:
    """Detected events compared with the true events of the same recordings.

    Attributes
    ----------
    n_recordings : int
    hours : float or None
        Annotated time; None if the length of a recording is unknown.
    collar_s : float
        The collar of ``f1_collar`` in seconds.
    resampled : str
        What the intervals resample: 'recording', or 'group' if groups of recordings are known. With
        fewer than 5 recordings it is 'stretch': a minute of one, more if a recording has over
        1,000. Stretches of a recording are alike, so these intervals are too narrow for new
        recordings.
    overall : EventFigures
        All classes together.
    classes : tuple of EventFigures
        Each class that has true events or answers, by name.
    confusions : tuple of Confusion
        Most frequent first.
    """

    n_recordings: int
    hours: float | None
    collar_s: float
    resampled: str
    overall: EventFigures
    classes: tuple[EventFigures, ...]
    confusions: tuple[Confusion, ...]

    @property
    def macro_f1_iou30(self) -> float | None:
        """The mean F1 of the classes at IoU 0.3."""
        return self._mean("f1_iou30")

    @property
    def macro_f1_iou50(self) -> float | None:
        """The mean F1 of the classes at IoU 0.5."""
        return self._mean("f1_iou50")

    @property
    def macro_f1_collar(self) -> float | None:
        """The mean F1 of the classes by collar."""
        return self._mean("f1_collar")

    def _mean(self, name: str) -> float | None:
        values = [value for row in self.classes if (value := getattr(row, name)) is not None]
        return sum(values) / len(values) if values else None

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as JSON."""
        return {
            "recordings": self.n_recordings,
            "hours": self.hours,
            "collar_s": self.collar_s,
            "resampled": self.resampled,
            "macro_f1_iou30": self.macro_f1_iou30,
            "macro_f1_iou50": self.macro_f1_iou50,
            "macro_f1_collar": self.macro_f1_collar,
            "overall": self.overall.to_json(),
            "classes": [row.to_json() for row in self.classes],
            "confusions": [asdict(confusion) for confusion in self.confusions],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> EventEvaluation:
        """Return the evaluation that :meth:`to_json` wrote; KeyError if something is missing."""
        return cls(
            n_recordings=saved["recordings"],
            hours=saved["hours"],
            collar_s=saved["collar_s"],
            resampled=saved["resampled"],
            overall=EventFigures.from_json(saved["overall"]),
            classes=tuple(map(EventFigures.from_json, saved["classes"])),
            confusions=tuple(Confusion(**row) for row in saved["confusions"]),
        )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
