"""Figures of events at thresholds other than the chosen ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from earmark.data.event import Event, RecordingEvents
from earmark.detection.events import EventMachine
from earmark.detection.rules import NEVER, EventRules
from earmark.detection.scores import WindowScores
from earmark.training.event_figures import MatchCounts
from earmark.training.event_matching import IouCriterion, match
from earmark.training.event_tables import tabulate

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


@dataclass(frozen=True)
class ThresholdFigures:
    """What is found with one ``threshold`` for all classes; an answer is right at an IoU of 0.3."""

    threshold: float
    counts: MatchCounts
    false_per_hour: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures, and the counts that they come from."""
        return {
            "threshold": self.threshold,
            "precision": self.counts.precision,
            "recall": self.counts.recall,
            "f1": self.counts.f1,
            "false_per_hour": self.false_per_hour,
            **asdict(self.counts),
        }


def with_threshold(rules: EventRules, threshold: float) -> EventRules:
    """Return the rules with one threshold; classes that are never answered stay so."""
    own = tuple(threshold if value < NEVER else value for value in rules.thresholds)
    return replace(rules, thresholds=own)


class ThresholdMachines:
    """Finds the events of one recording at every threshold of ``THRESHOLDS``, as scores come."""

    def __init__(
        self, labels: Sequence[str], rules: EventRules, hop_s: float, window_s: float
    ) -> None:
        self.machines = [
            EventMachine(labels, with_threshold(rules, threshold), hop_s, window_s / 2)
            for threshold in THRESHOLDS
        ]
        self.events: list[list[Event]] = [[] for _ in THRESHOLDS]

    def feed(self, scores: WindowScores) -> None:
        """Continue with further windows."""
        for machine, events in zip(self.machines, self.events, strict=True):
            events += [d.event for d in machine.feed(scores.scores, scores.known)]

    def finish(self, recording: RecordingEvents) -> list[RecordingEvents]:
        """Return the recording with the events of each threshold."""
        several = []
        for machine, events in zip(self.machines, self.events, strict=True):
            events += [d.event for d in machine.finish(recording.seconds)]
            several.append(replace(recording, events=tuple(sorted(events))))
        return several


def threshold_figures(
    truth: Sequence[RecordingEvents], answers: Sequence[Sequence[RecordingEvents]]
) -> tuple[ThresholdFigures, ...]:
    """Return the figures at each of ``THRESHOLDS``; ``answers`` has all recordings for each."""
    rows = []
    for threshold, own in zip(THRESHOLDS, answers, strict=True):
        tables = tabulate(truth, own)
        right = len(match(tables.truth, tables.answers, IouCriterion(0.3))[0])
        false = len(tables.answers) - right
        counts = MatchCounts(right, false, len(tables.truth) - right)
        rows.append(
            ThresholdFigures(threshold, counts, false / tables.hours if tables.hours else None)
        )
    return tuple(rows)


def scene_figures(
    truth: Sequence[RecordingEvents],
    answers_of: Callable[[Sequence[EventRules]], Sequence[RecordingEvents]],
    rules: Sequence[EventRules],
) -> tuple[ThresholdFigures, ...]:
    """Return the figures of the scenes of ``truth`` by the ``rules`` of each fold.

    ``answers_of`` finds the events of these and other scenes by some rules.
    """
    paths = {recording.path for recording in truth}
    several = []
    for threshold in THRESHOLDS:
        found = answers_of([with_threshold(own, threshold) for own in rules])
        several.append([recording for recording in found if recording.path in paths])
    return threshold_figures(truth, several)
