"""The contents of the report of a detector, gathered from its training or an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.classifier.classifier import Classifier
from earmark.data.dataset import Dataset
from earmark.data.event import RecordingEvents
from earmark.detection.rules import NEVER
from earmark.training.detector import DetectorTraining
from earmark.training.event_evaluation import DetectorEvaluation, of_classes
from earmark.training.event_thresholds import ThresholdFigures


@dataclass(frozen=True)
class EventContents:
    """What ``report.html`` shows of detected events besides the summary.

    Attributes
    ----------
    command : str
        The command or call that repeats the run.
    labels : tuple of str
        The classes of the detector.
    truth, answers : sequence of RecordingEvents
        The true and the detected events of each recording; the true ones may be of other classes.
    thresholds : sequence of ThresholdFigures
        What other thresholds give.
    chosen : tuple of float
        The thresholds in use, without those of classes that are never answered.
    source : str
        Where the recordings came from.
    audio : AudioOptions
        How recordings were read.
    is_heard : bool
        Whether the paths are those of recordings, so that there can be players.
    """

    command: str
    labels: tuple[str, ...]
    truth: Sequence[RecordingEvents]
    answers: Sequence[RecordingEvents]
    thresholds: Sequence[ThresholdFigures] = ()
    chosen: tuple[float, ...] = ()
    source: str = ""
    audio: AudioOptions = AS_IT_IS
    is_heard: bool = False

    @property
    def known_truth(self) -> list[RecordingEvents]:
        """The true events of the detector's classes."""
        return of_classes(self.truth, set(self.labels))


def contents_of_detector(
    training: DetectorTraining, dataset: Dataset, command: str
) -> EventContents:
    """Return the contents of the report of a detector's training on ``dataset``."""
    classifier = training.classifier
    assert classifier.detector is not None
    thresholds = classifier.detector.rules["thresholds"]
    return EventContents(
        command,
        classifier.labels,
        training.truth,
        training.answers,
        training.thresholds,
        tuple(value for value in thresholds if value is not None),
        dataset.source,
        dataset.audio,
    )


def contents_of_event_evaluation(
    evaluation: DetectorEvaluation, classifier: Classifier, source: str, command: str
) -> EventContents:
    """Return the contents of the report of an evaluation on the recordings of ``source``."""
    return EventContents(
        command,
        classifier.labels,
        evaluation.truth,
        evaluation.answers,
        evaluation.thresholds,
        tuple(value for value in evaluation.rules.thresholds if value < NEVER),
        source,
        classifier.audio,
        is_heard=True,
    )
