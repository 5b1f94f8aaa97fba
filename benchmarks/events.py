"""Train detectors as a person would, and test them on soundscapes with exact truth.

    python benchmarks/events.py [SET ...] [--to DIR]

SET is digits-SPEAKER, unknown-SPEAKER, esc10-SNR, finch, or a prefix of them; by default all.
Soundscapes come from ``soundscapes.py``: their clips, speakers and background are not those of
training. Each set adds rows to ``results/events.csv``: one for the default threshold, and one for
the best common threshold, which looks at the truth and only shows what the default one loses.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import soundscapes
from earmark.data.dataset import Dataset
from earmark.data.event import RecordingEvents
from earmark.data.event_reading import read_events
from earmark.data.folders import find_clips
from earmark.detection.detecting import EventDetector
from earmark.detection.events import apply_rules
from earmark.training.detector import DetectorTraining, train_detector
from earmark.training.event_figures import EventEvaluation
from earmark.training.event_metrics import evaluate_events
from machine import write

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RATIOS_DB = (20, 10, 0)
LEFT_OUT = "3,7"  # digits that are not in training
UNKNOWN, ASKED = 0.05, " --unknown 0.05"  # the end of the names of sets that ask for it
AROUND_S = 0.5  # of finch song, what lies within so many seconds of a note is annotated
SPEECH = "speech-embedding"
THRESHOLDS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

Row = dict[str, object]


def names() -> list[str]:
    """Return the names of all sets."""
    digits = [f"{kind}-{speaker}" for kind in ("digits", "unknown") for speaker in SPEAKERS]
    asked = [f"unknown-{speaker}{ASKED}" for speaker in SPEAKERS]
    return [*digits, *(f"esc10-{ratio}" for ratio in RATIOS_DB), "finch", *asked]


def make(name: str, root: Path) -> None:
    """Make the soundscapes of a set."""
    kind, _, rest = name.removesuffix(ASKED).partition("-")
    arguments = {
        "digits": ["digits", str(root), "--speaker", rest, "--snr", "10"],
        "unknown": ["digits", str(root), "--speaker", rest, "--snr", "10", "--leave-out", LEFT_OUT],
        "esc10": ["esc10", str(root), "--fold", "5", "--snr", rest],
        "finch": ["finch", str(root)],
    }[kind]
    soundscapes.main(arguments)


def train(name: str, root: Path) -> DetectorTraining:
    """Train a detector on the training part of a set."""
    if name == "finch":
        return train_detector(root / "train", annotated=AROUND_S, backbone=SPEECH)
    group = None if name.startswith("esc10") else "group"
    data = Dataset.read(root / "train" / "manifest.csv", group=group)
    backbone = "auto" if name.startswith("esc10") else SPEECH
    rate = UNKNOWN if name.endswith(ASKED) else None
    return train_detector(data, background=root / "background", backbone=backbone, unknown=rate)


class Searched:
    """Recordings that were searched once; rules may be changed afterwards."""

    def __init__(self, detector: EventDetector, paths: Sequence[str]) -> None:
        self.detector, self.paths = detector, paths
        self.scores, self.seconds = [], []
        start = time.perf_counter()
        for clip in find_clips(paths):
            parts: list = []
            found = detector.detect(clip, scored=parts.append)
            self.scores.append([np.concatenate(column) for column in zip(*parts, strict=True)])
            self.seconds.append(found.recording.seconds)
        self.speed = sum(self.seconds) / (time.perf_counter() - start)

    def events(self, threshold: float | None = None) -> list[RecordingEvents]:
        """Return the events by the detector's rules, or with another threshold for all classes."""
        scorer, rules = self.detector.scorer, self.detector.rules
        labels = scorer.classifier.labels
        if threshold is not None:
            rules = replace(rules, thresholds=(threshold,) * len(labels))
        return [
            RecordingEvents(
                path,
                seconds,
                tuple(apply_rules(*own, labels, rules, scorer.hop_s, scorer.window_s / 2, seconds)),
            )
            for path, own, seconds in zip(self.paths, self.scores, self.seconds, strict=True)
        ]


def figures(evaluation: EventEvaluation) -> Row:
    """Return the figures of all classes together."""
    overall = evaluation.overall
    onset, offset = overall.onset_error, overall.offset_error
    return {
        "events": overall.iou30.right + overall.iou30.missed,
        "f1_iou30": round(overall.f1_iou30 or 0, 4),
        "f1_iou30_low": round(overall.intervals["f1_iou30"][0], 4),
        "f1_iou30_high": round(overall.intervals["f1_iou30"][1], 4),
        "f1_iou50": round(overall.f1_iou50 or 0, 4),
        "f1_collar": round(overall.f1_collar or 0, 4),
        "precision": round(overall.precision or 0, 4),
        "recall": round(overall.recall or 0, 4),
        "onset_s": round(onset.median_absolute, 4) if onset else "",
        "offset_s": round(offset.median_absolute, 4) if offset else "",
    }


def answered_unknown(root: Path, answers: Sequence[RecordingEvents]) -> tuple[int, int]:
    """Return how many events of classes that were left out were answered, and their number."""
    answered = total = 0
    for recording in answers:
        track = root / "unknown" / f"{Path(recording.path).stem}.txt"
        for line in track.read_text().splitlines() if track.is_file() else ():
            start, end = (float(cell) for cell in line.split("\t")[:2])
            middle = (start + end) / 2
            total += 1
            answered += any(
                e.start <= middle <= e.end or start <= (e.start + e.end) / 2 <= end
                for e in recording.events
            )
    return answered, total


def silent(detector: EventDetector, folder: Path) -> tuple[int, int]:
    """Return how many recordings have no event, and their number."""
    events = [detector.detect(clip).recording.events for clip in find_clips([str(folder)])]
    return sum(not own for own in events), len(events)


def measure(name: str, folder: Path) -> Iterator[Row]:
    """Yield the rows of a set."""
    root = folder / name
    make(name, root)
    start, cpu = time.perf_counter(), time.process_time()
    training = train(name, root)
    cost = {
        "train_s": round(time.perf_counter() - start, 1),
        "train_cpu_s": round(time.process_time() - cpu, 1),
    }
    detector = EventDetector.load(training.classifier)
    truth = read_events(root / "test", annotated=AROUND_S if name == "finch" else None)
    searched = Searched(detector, [recording.path for recording in truth])
    estimated = training.evaluation.overall
    collar_s = 0.02 if name == "finch" else 0.2
    own = evaluate_events(truth, searched.events(), collar_s=collar_s)
    answers = searched.events()
    unknown = answered_unknown(root, answers)
    row = {
        "set": name,
        "backbone": "+".join(use.name for use in training.classifier.backbones),
        "window_s": training.classifier.detector.window_s,
        "hop_s": training.classifier.detector.hop_s,
        "threshold": "default",
        **figures(own),
        "estimated_f1_iou30": round(estimated.f1_iou30 or 0, 4),
        "unknown_answered": f"{unknown[0]} of {unknown[1]}" if unknown[1] else "",
        **cost,
        "detect_real_time": round(searched.speed),
    }
    if unknown[1]:
        without = replace(detector, rules=replace(detector.rules, unknown_threshold=None))
        searched.detector = without
        before = evaluate_events(truth, searched.events(), collar_s=collar_s).overall.recall or 0
        row["recall_lost"] = round(before - (own.overall.recall or 0), 4)
        searched.detector = detector
    if name.startswith(("digits", "esc10")):
        halves = folder / "halves"
        if not halves.exists():
            soundscapes.main(["halves", str(halves)])
        row["silent_pieces"] = "{} of {}".format(*silent(detector, halves / "odd"))
    yield row
    tried = {t: evaluate_events(truth, searched.events(t), collar_s=collar_s) for t in THRESHOLDS}
    best = max(tried, key=lambda t: tried[t].overall.f1_iou30 or 0)
    yield {"set": name, "threshold": best, **figures(tried[best])}
    if name == "digits-theo":
        yield from hours(detector, folder)


def hours(detector: EventDetector, folder: Path) -> Iterator[Row]:
    """Yield the number of events in an hour each of silence, hum, white noise and dither."""
    root = folder / "hours"
    if not root.exists():
        soundscapes.main(["hours", str(root)])
    for clip in find_clips([str(root)]):
        found = detector.detect(clip).recording
        name = f"hour of {Path(found.path).stem}"
        yield {"set": name, "threshold": "default", "events": len(found.events)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    wanted = arguments.sets or names()
    chosen = [n for prefix in wanted for n in names() if n.startswith(prefix)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.to or Path(temporary)
        folder.mkdir(exist_ok=True)
        rows: list[Row] = []
        for name in chosen:
            for row in measure(name, folder):
                print(row, flush=True)
                rows.append(row)
    empty: Row = dict.fromkeys((column for row in rows for column in row), "")
    write("events", [empty | row for row in rows])


if __name__ == "__main__":
    main()
