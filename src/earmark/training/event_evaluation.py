"""evaluate_detector(): compare the events that a classifier finds with annotated ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.classifier.classifier import Classifier
from earmark.classifier.estimate import Figures
from earmark.data.clip import Clip
from earmark.data.event import RecordingEvents
from earmark.data.event_reading import read_events
from earmark.detection.detecting import NO_DETECTOR, Detection, EventDetector
from earmark.detection.rules import EventRules
from earmark.embeddings.stages import Failure
from earmark.errors import AudioError, DataError, EarmarkError, amount, listed, some
from earmark.system.progress import Progress, Stages
from earmark.training.event_figures import EventEvaluation
from earmark.training.event_matching import IouCriterion, match
from earmark.training.event_metrics import evaluate_events
from earmark.training.event_tables import tabulate
from earmark.training.event_thresholds import (
    ThresholdFigures,
    ThresholdMachines,
    threshold_figures,
)
from earmark.training.event_verdict import event_verdict

COLLAR_S = 0.2
MANY_ANSWERED = 0.1  # of unknown sounds: a reason for care
KNOWN_TRUTH = (
    "a detector's file does not say which recordings it was trained on. The figures hold only if it"
    " was not trained on these."
)


@dataclass(frozen=True)
class UnknownSounds:
    """Annotated events of a class that the classifier does not know.

    Attributes
    ----------
    label : str
        The class.
    events : int
        How many there are in annotated regions.
    answered : int
        On how many of them lies a false event: the middle of one of both is inside the other.
    """

    label: str
    events: int
    answered: int


@dataclass(frozen=True, repr=False)
class DetectorEvaluation:
    """The result of :func:`evaluate_detector`.

    ``print(evaluation)`` shows what ``earmark evaluate --events`` prints.

    Attributes
    ----------
    evaluation : EventEvaluation
        The figures of the events of known classes.
    verdict : dict
        Its 'word' is 'use', 'care' or 'worthless'; 'why' is the reason.
    truth, answers : list of RecordingEvents
        The annotated events, also of unknown classes, and the detected events of each recording.
    unknown : tuple of UnknownSounds
        Annotated classes that the classifier does not know.
    thresholds : tuple of ThresholdFigures
        What other thresholds would give; empty unless asked for.
    rules : EventRules
        The rules in use.
    skipped : tuple of Failure
        The recordings that could not be read, with the reason.
    warnings : tuple of str
        On the classifier, and on recordings that are incomplete; these begin with the path.
    notes : tuple of str
        What to know of the comparison, as sentences.
    """

    evaluation: EventEvaluation
    verdict: Figures
    truth: list[RecordingEvents]
    answers: list[RecordingEvents]
    unknown: tuple[UnknownSounds, ...]
    thresholds: tuple[ThresholdFigures, ...]
    rules: EventRules
    skipped: tuple[Failure, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        f1 = self.evaluation.overall.f1_iou30
        shown = "no events" if f1 is None else f"F1={f1:.3f}"
        return f"DetectorEvaluation({shown}, {amount(len(self.truth), 'recording')})"

    def __str__(self) -> str:
        from earmark.training.detector_summary import evaluation_text

        return evaluation_text(self.figures)

    @property
    def figures(self) -> dict[str, Any]:
        """What ``evaluate --events --json`` prints, without the names of the files."""
        return {
            "events": {
                "verdict": dict(self.verdict),
                "scheme": scheme_of(self.truth),
                **self.evaluation.to_json(),
            },
            "unknown": [asdict(row) for row in self.unknown],
            "skipped": [{"path": f.path, "reason": f.reason} for f in self.skipped],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def scheme_of(truth: Sequence[RecordingEvents]) -> str:
    """Return what was compared, in words."""
    parts = sum(recording.regions is not None for recording in truth)
    where = " inside annotated regions" if parts == len(truth) else ""
    return f"{amount(len(truth), 'given recording')}{where}"


def evaluate_detector(
    classifier: Classifier | str | Path,
    data: object,
    *,
    annotated: float | None = None,
    collar: float = COLLAR_S,
    thresholds: str = "auto",
    other_thresholds: bool = False,
    progress: Progress | None = None,
    columns: dict[str, Any] | None = None,
    **changes: Any,
) -> DetectorEvaluation:
    """Compare the events that a classifier finds in recordings with those that are annotated.

    Parameters
    ----------
    classifier : Classifier, str or Path
        A classifier, or its file.
    data : str, Path, frame or list of RecordingEvents
        Label tracks beside recordings, a manifest with start and end, or what ``detect`` wrote: see
        :func:`~earmark.data.event_reading.read_events`.
    annotated : float, optional
        Only stretches up to so many seconds from an event were annotated, so nothing else counts.
    collar : float
        The seconds by which an onset may be wrong in the figures by collar; 0.02 suits song.
    thresholds : str
        'auto', a number, or CLASS=NUMBER with commas between.
    other_thresholds : bool
        Also compute what other thresholds give.
    progress : Progress, optional
        Told of each recording.
    columns : dict, optional
        Further arguments of ``read_events``: label, separator, path, start, end, root.
    **changes
        Rules to change: attributes of :class:`earmark.detection.EventRules`.

    Returns
    -------
    DetectorEvaluation

    Raises
    ------
    DataError
        Nothing is annotated, the classifier knows no class of it, or no recording can be read.
    EarmarkError
        A rule, threshold or collar has an impossible value.

    Examples
    --------
    >>> import earmark
    >>> truth = earmark.RecordingEvents("new.wav", 1.0, (earmark.Event(0.0, 1.0, "low"),))
    >>> earmark.evaluate_detector("mine.earmark", [truth])
    DetectorEvaluation(F1=..., 1 recording)
    """
    if not isinstance(classifier, Classifier):
        classifier = Classifier.load(classifier)
    if not 0 < collar < np.inf:
        raise EarmarkError(f"the collar is {collar:g} s. Give more than 0 s, such as 0.2.")
    truth = _truth(classifier, data, annotated, columns or {})
    _check(classifier, truth)
    detector = EventDetector.load(classifier, thresholds, **changes)
    heard = _Heard(detector, other_thresholds)
    with Stages(progress).stage("detect", len(truth), "detecting events") as _:
        for recording in truth:
            seconds = heard.detect(recording)
            if progress is not None:
                progress.advance(seconds)
    if not heard.answers:
        first = heard.skipped[0]
        raise DataError(
            f"none of {amount(len(truth), 'recording')} could be read. The first is {first.path}:"
            f" {first.reason}"
        )
    return _compared(classifier, heard, collar)


def _truth(
    classifier: Classifier, data: object, annotated: float | None, columns: dict[str, Any]
) -> list[RecordingEvents]:
    if isinstance(data, list) and all(isinstance(x, RecordingEvents) for x in data):
        return data
    columns = {"separator": classifier.separator, **columns}
    return read_events(data, annotated=annotated, **columns)


def _check(classifier: Classifier, truth: Sequence[RecordingEvents]) -> None:
    """Raise DataError if there is nothing to compare."""
    labels = {event.label for recording in truth for event in recording.events}
    if labels and not labels & set(classifier.labels):
        raise DataError(
            f"the classifier knows none of the annotated classes, {some(sorted(labels))}. Known:"
            f" {listed(classifier.labels)}."
        )
    if not truth:
        raise DataError("there are no recordings to compare. Give at least one.")


class _Heard:
    """The recordings that could be read, with the true and the detected events of each."""

    def __init__(self, detector: EventDetector, other_thresholds: bool) -> None:
        self.detector, self.other_thresholds = detector, other_thresholds
        self.truth, self.answers = list[RecordingEvents](), list[RecordingEvents]()
        self.others = list[list[RecordingEvents]]()
        self.skipped, self.warnings = list[Failure](), list[str]()

    def detect(self, recording: RecordingEvents) -> float:
        """Detect the events of a recording; return its length, 0 if it cannot be read."""
        clip, scorer = Clip(Path(recording.path)), self.detector.scorer
        machines = (
            ThresholdMachines(
                scorer.classifier.labels, self.detector.rules, scorer.hop_s, scorer.window_s
            )
            if self.other_thresholds
            else None
        )
        try:
            found = self.detector.detect(clip, scored=machines.feed if machines else _ignore)
        except AudioError as error:
            self.skipped.append(Failure(clip, f"{error.reason}.", error.kind))
            return 0.0
        self._keep(recording, found, machines)
        return found.recording.seconds

    def _keep(
        self, recording: RecordingEvents, found: Detection, machines: ThresholdMachines | None
    ) -> None:
        answers = replace(found.recording, path=recording.path)
        self.truth.append(replace(recording, seconds=recording.seconds or answers.seconds))
        self.answers.append(answers)
        self.warnings += [f"{recording.path}: {text}" for text in found.warnings]
        if machines is not None:
            self.others.append(machines.finish(answers))


def _ignore(_: object) -> None:
    """Do nothing with scores that nobody needs."""


def _compared(classifier: Classifier, heard: _Heard, collar_s: float) -> DetectorEvaluation:
    known = set(classifier.labels)
    truth = of_classes(heard.truth, known)
    evaluation = evaluate_events(truth, heard.answers, collar_s=collar_s)
    unknown = unknown_sounds(heard.truth, heard.answers, known)
    others = list(zip(*heard.others, strict=True))
    return DetectorEvaluation(
        evaluation,
        event_verdict(evaluation, _doubts(unknown)),
        heard.truth,
        heard.answers,
        unknown,
        threshold_figures(truth, others) if others else (),
        heard.detector.rules,
        tuple(heard.skipped),
        (*([NO_DETECTOR] if classifier.detector is None else []), *heard.warnings),
        _notes(unknown),
    )


def of_classes(recordings: Sequence[RecordingEvents], labels: set[str]) -> list[RecordingEvents]:
    """Return the recordings with only the events of some classes."""
    return [
        replace(recording, events=tuple(e for e in recording.events if e.label in labels))
        for recording in recordings
    ]


def unknown_sounds(
    truth: Sequence[RecordingEvents], answers: Sequence[RecordingEvents], known: set[str]
) -> tuple[UnknownSounds, ...]:
    """Return how many events of each unknown class there are, and how many were answered."""
    tables = tabulate(truth, answers)
    _, right = match(tables.truth, tables.answers, IouCriterion(0.3))
    is_false = np.ones(len(tables.answers), bool)
    is_false[right] = False
    false = tables.answers.take(is_false)
    events, answered = Counter[str](), Counter[str]()
    for number, k in enumerate(tables.truth.label.tolist()):
        label = tables.labels[k]
        if label in known:
            continue
        start, end = tables.truth.start[number], tables.truth.end[number]
        place = tables.truth.recording[number]
        here = false.take(np.arange(*np.searchsorted(false.recording, [place, place + 1])))
        is_inside = (start <= here.middle) & (here.middle <= end)
        holds = (here.start <= (start + end) / 2) & ((start + end) / 2 <= here.end)
        events[label] += 1
        answered[label] += bool((is_inside | holds).any())
    return tuple(UnknownSounds(label, events[label], answered[label]) for label in sorted(events))


def _doubts(unknown: Sequence[UnknownSounds]) -> tuple[str, ...]:
    events, answered = _totals(unknown)
    if not events or answered <= MANY_ANSWERED * events:
        return ()
    return (f"{answered} of {amount(events, 'sound')} of unknown classes were answered",)


def _totals(unknown: Sequence[UnknownSounds]) -> tuple[int, int]:
    return sum(row.events for row in unknown), sum(row.answered for row in unknown)


def _notes(unknown: Sequence[UnknownSounds]) -> tuple[str, ...]:
    notes = [KNOWN_TRUTH]
    if unknown:
        events, answered = _totals(unknown)
        labels = [row.label for row in unknown]
        verb = "was" if answered == 1 else "were"
        notes.append(
            f"the classifier does not know {amount(len(labels), 'annotated class')}:"
            f" {some(labels)}. Of {amount(events, 'such event')}, {answered} {verb} answered with"
            " another class; such answers count as false."
        )
    return tuple(notes)
