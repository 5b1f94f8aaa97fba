"""Find events in recordings with a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from earmark import audio
from earmark.classifier.classifier import Classifier
from earmark.classifier.detector import Detector
from earmark.classifier.recordings import Recordings, clips_of, one_clip
from earmark.data.clip import Clip
from earmark.data.event import Event, RecordingEvents
from earmark.detection.events import EventMachine
from earmark.detection.rules import EventRules, parse_thresholds
from earmark.detection.scores import WindowScorer, WindowScores, score_blocks
from earmark.detection.streams import STEP_S, EventStream
from earmark.embeddings.computing import compute_pool
from earmark.embeddings.sliding import PASS_S
from earmark.errors import AudioError, EarmarkError
from earmark.system.threads import available_cores

SHORTEST_S, LONGEST_S = 0.24, 3.0  # windows of a classifier that was trained on clips
HOP_S = 0.08
UNTRAINED = 0.5  # the threshold of such a classifier

NO_DETECTOR = (
    "this classifier was trained on clips, so many events will be false. Train it again with"
    " --detector."
)


@dataclass(frozen=True)
class Detection:
    """The events of one recording, and warnings about it; ``error`` if it could not be read."""

    recording: RecordingEvents
    warnings: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class EventDetector:
    """A classifier with its networks loaded, and the rules that turn scores into events."""

    scorer: WindowScorer
    rules: EventRules

    @classmethod
    def load(
        cls, classifier: Classifier, thresholds: str | float = "auto", **changes: Any
    ) -> EventDetector:
        """Load a classifier's networks; ``thresholds`` and ``changes`` replace parts of its rules.

        ``thresholds`` is 'auto', a number, or CLASS=NUMBER with commas between. ``changes`` are
        attributes of :class:`EventRules`.
        """
        detector = detector_of(classifier)
        rules = EventRules.from_json(detector.rules)
        own = parse_thresholds(str(thresholds), classifier.labels, rules.thresholds)
        rules = rules.changed(detector.hop_s, thresholds=own, **changes)
        return cls(WindowScorer.load(classifier, detector.window_s, detector.hop_s), rules)

    def detect(
        self,
        clip: Clip,
        heard: Callable[[float], None] = lambda seconds: None,
        scored: Callable[[WindowScores], None] = lambda scores: None,
        threads: int | None = None,
    ) -> Detection:
        """Return the events of a recording, read in blocks, so that it may have any length.

        ``heard`` is called with the seconds of each block, ``scored`` with the scores of windows in
        order. So many ``threads`` compute, or as many as there are cores. Raises AudioError.
        """
        scorer, threads = self.scorer, threads or available_cores()
        labels = scorer.classifier.labels
        start_s = clip.start or 0.0
        machine = EventMachine(labels, self.rules, scorer.hop_s, scorer.window_s / 2)
        n_samples, rate_hz, events = 0, 1, list[Event]()

        def count(seconds: float) -> None:
            nonlocal n_samples
            n_samples += round(seconds * rate_hz)
            heard(seconds)

        options = scorer.classifier.audio
        with (
            compute_pool(threads) as pool,
            audio.open_stream(
                clip.source, None, clip.start, clip.end, options, is_endless=True
            ) as stream,
        ):
            rate_hz = stream.rate_hz
            for scores in score_blocks(
                scorer, stream.blocks, stream.rate_hz, pool, 2 * threads, count
            ):
                scored(scores)
                events += [d.event for d in machine.feed(scores.scores, scores.known)]
            total = n_samples / rate_hz
            events += [d.event for d in machine.finish(total)]
            warnings = stream.warnings
        moved = sorted(replace(e, start=e.start + start_s, end=e.end + start_s) for e in events)
        is_whole = clip.start is None and clip.end is None
        regions = None if is_whole else ((start_s, start_s + total),)
        seconds = start_s + total
        recording = RecordingEvents(clip.source.name, seconds, tuple(moved), regions)
        return Detection(recording, warnings)

    def stream(self, rate_hz: int, step_s: float = STEP_S) -> EventStream:
        """Begin a stream at a sample rate."""
        is_number = isinstance(rate_hz, (int, float, np.number)) and not isinstance(rate_hz, bool)
        if not is_number or rate_hz % 1 != 0 or rate_hz < 1:
            raise EarmarkError(
                f"rate_hz is {rate_hz!r}. Give a whole number of samples per second."
            )
        if not 0 < step_s <= PASS_S:
            raise EarmarkError(
                f"The step is {step_s!r} s. Give seconds above 0, at most {PASS_S:g}."
            )
        return EventStream(self.scorer, self.rules, int(rate_hz), step_s)


def detector_of(classifier: Classifier) -> Detector:
    """Return the classifier's detector, or windows and rules for one trained on clips."""
    if classifier.detector is not None:
        return classifier.detector
    shortest, longest = classifier.provenance.get("clip_seconds", (1.0, 1.0))
    hops = round(min(max((shortest + longest) / 2, SHORTEST_S), LONGEST_S) / HOP_S)
    window_s = round(hops * HOP_S, 6)
    thresholds = classifier.decision_rule.thresholds or (UNTRAINED,) * len(classifier.labels)
    rules = EventRules(
        tuple(max(1e-6, t) for t in thresholds),
        before_s=window_s / 4,
        after_s=window_s / 4,
        min_gap_s=window_s / 2,
        compete=classifier.calibration.is_single,
        unknown_threshold=classifier.decision_rule.unknown_threshold,
    )
    return Detector(window_s, HOP_S, False, rules.to_json(), {})


def detect(
    classifier: Classifier, recordings: Recordings, rate_hz: int | None, **options: Any
) -> list[Event] | list[RecordingEvents]:
    """Return the events of one recording, or those of several; see :meth:`Classifier.detect`."""
    clip = one_clip(recordings, rate_hz)
    if clip is not None:
        detector = EventDetector.load(classifier, **options)
        return list(detector.detect(clip).recording.events)
    found = list(detect_iter(classifier, recordings, rate_hz, **options))
    if failed := next((d for d in found if d.error is not None), None):
        raise AudioError(
            failed.recording.path, (failed.error or "").removesuffix("."), "unreadable"
        )
    return [detection.recording for detection in found]


def detect_iter(
    classifier: Classifier, recordings: Recordings, rate_hz: int | None = None, **options: Any
) -> Iterator[Detection]:
    """Yield the events of each recording, in order; one that cannot be read has an ``error``."""
    detector = EventDetector.load(classifier, **options)
    for clip in clips_of(recordings, rate_hz):
        try:
            yield detector.detect(clip)
        except AudioError as error:
            empty = RecordingEvents(clip.source.name, 0.0, ())
            yield Detection(empty, error=f"{error.reason}.")
