"""Recordings to search, each once: the whole, or the stretches that manifests name."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.audio.source import Source
from earmark.data.clip import Clip
from earmark.data.event import RecordingEvents

if TYPE_CHECKING:
    from earmark.detection.detecting import Detection, EventDetector
    from earmark.detection.scores import WindowScores


@dataclass(frozen=True)
class Job:
    """A recording to search: ``clips`` is the whole recording, or stretches of it."""

    path: str
    clips: tuple[Clip, ...]

    @property
    def source(self) -> Source:
        """The recording."""
        return self.clips[0].source

    @property
    def stretches(self) -> list[tuple[float | None, float | None]]:
        """The start and end of each stretch; (None, None) is the whole recording."""
        return [(clip.start, clip.end) for clip in self.clips]


def jobs_of(clips: Iterable[Clip | Path]) -> list[Job]:
    """Return a job for each recording, in the order of their first clips.

    A recording or stretch that is given twice is searched once; one that is given as a whole is
    searched as a whole.
    """
    by_path: dict[str, dict[tuple[float | None, float | None], Clip]] = {}
    for item in clips:
        clip = item if isinstance(item, Clip) else Clip(item)
        own = by_path.setdefault(os.path.abspath(clip.place), {})
        own.setdefault((clip.start, clip.end), clip)
    jobs = []
    for own in by_path.values():
        first = next(iter(own.values()))
        whole = own.get((None, None))
        several = (whole,) if whole else tuple(sorted(own.values(), key=_span))
        jobs.append(Job(first.place, several))
    return jobs


def searched_s(recording: RecordingEvents) -> float:
    """Return how many seconds of a recording were searched."""
    if recording.regions is None:
        return recording.seconds
    return sum(end - start for start, end in recording.regions)


def _span(clip: Clip) -> tuple[float, float]:
    """Return where a stretch starts and ends, in seconds; without an end, at infinity."""
    return clip.start or 0.0, math.inf if clip.end is None else clip.end


def search(
    detector: EventDetector,
    job: Job,
    heard: Callable[[float], None],
    scored: Callable[[float, WindowScores], None],
    threads: int | None = None,
) -> Detection:
    """Return the events of a recording; see :meth:`EventDetector.detect`. Raises AudioError.

    ``scored`` is called with the start of the stretch in seconds, and scores.
    """
    detections = []
    for clip in job.clips:
        start_s = clip.start or 0.0

        def scored_here(scores: WindowScores, start_s: float = start_s) -> None:
            scored(start_s, scores)

        detections.append(detector.detect(clip, heard, scored_here, threads))
    return detections[0] if len(detections) == 1 else _joined(detections)


def _joined(detections: list[Detection]) -> Detection:
    """Return the events of several stretches of a recording as those of one."""
    recordings = [detection.recording for detection in detections]
    events = tuple(sorted({event for recording in recordings for event in recording.events}))
    seconds = max(recording.seconds for recording in recordings)
    regions = _merged(region for recording in recordings for region in recording.regions or ())
    warnings = dict.fromkeys(text for detection in detections for text in detection.warnings)
    whole = RecordingEvents(recordings[0].path, seconds, events, regions)
    return replace(detections[0], recording=whole, warnings=tuple(warnings))


def _merged(regions: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return regions in order; those that overlap or touch become one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(regions):
        if merged and start <= merged[-1][1]:
            start, end = merged[-1][0], max(end, merged.pop()[1])
        merged.append((start, end))
    return tuple(merged)
