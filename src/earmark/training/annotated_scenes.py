"""Scenes for a detector, cut from recordings whose events are annotated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.audio.decoder import Samples
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.event import Event
from earmark.data.event_reading import around_events, read_events
from earmark.data.splits import Scheme
from earmark.embeddings.stages import Failure
from earmark.errors import AudioError, DataError
from earmark.training.backgrounds import read_backgrounds
from earmark.training.scenes import SCENE_S, Scene, made_scene

MOST_PIECE_S = 5 * 60.0  # longer events are cut, because a scene is in memory as a whole
SHORTER_S = 0.05  # a piece that lacks more was cut short
OVERLAPPING = 0.02  # with more events that overlap one of another class, classes coexist


class AnnotatedScenes:
    """Scenes cut from recordings whose events are annotated; borders lie in the gaps."""

    def __init__(
        self,
        dataset: Dataset,
        scheme: Scheme,
        rate_hz: int,
        annotated_s: float | None,
        background: Sequence[Path],
        most_s: float,
        seed: int,
    ) -> None:
        self.rate_hz, self.options, self.seed = rate_hz, dataset.audio, seed
        self.notes, self.skipped = list[str](), list[Failure]()
        self.groups: dict[str, str] = {}  # of each scene, once it was made
        self.pieces: list[tuple[Clip, int, tuple[Event, ...], float]] = []
        self.annotated_s, self.n_folds = annotated_s, len(scheme.names)
        fold_of = dict(zip(dataset.clips, scheme.fold.tolist(), strict=True))
        for clips in _by_recording(dataset):
            events = {
                Event(clip.start or 0.0, float(clip.end), label)  # type: ignore[arg-type]
                for clip in clips
                for label in dataset.classes(clip)
            }
            self._cut(clips[0], fold_of[clips[0]], sorted(events))
        if annotated_s is None:
            for number, clip in enumerate(_without_events(dataset)):
                self._cut(clip, number % self.n_folds, ())
        self._keep(most_s)
        self.backgrounds: list[list[Samples]] = [[] for _ in range(self.n_folds)]
        if background:
            self.backgrounds = read_backgrounds(
                background, self.n_folds, rate_hz, dataset.audio, seed, self.skipped
            )

    def _cut(self, clip: Clip, fold: int, events: Sequence[Event]) -> None:
        """Add the pieces of one recording."""
        try:
            header = audio.header_of(clip.source)
        except AudioError as error:
            self.skipped.append(Failure(clip, f"{error.reason}.", error.kind))
            return
        seconds = header.frames / header.rate_hz or max((e.end for e in events), default=0.0)
        at = 0.0
        while at < seconds - SHORTER_S:
            border = min(at + SCENE_S, seconds)
            while crossing := [e for e in events if e.start < border < e.end]:
                border = max(e.end for e in crossing)
            border = min(border, at + MOST_PIECE_S)
            border = seconds if seconds - border < 5 else min(border, seconds)
            inside = tuple(
                Event(max(e.start, at) - at, min(e.end, border) - at, e.label)
                for e in events
                if e.start < border and e.end > at
            )
            whole = replace(clip, start=at, end=border, label=None)
            if inside or self.annotated_s is None:
                self.pieces.append((whole, fold, inside, border - at))
            at = border

    def _keep(self, most_s: float) -> None:
        """Keep pieces with events, and a fourth of the time without; at most ``most_s`` in all.

        Of pieces with events, each class has an even share, so that no rare class is lost.
        """
        rng = np.random.default_rng(self.seed)
        total = sum(piece[3] for piece in self.pieces)
        if total <= most_s:
            return
        order = rng.permutation(len(self.pieces)).tolist()
        turns, count = dict[int, int](), Counter[str]()
        for k in order:
            if labels := {event.label for event in self.pieces[k][2]}:
                turns[k] = min(count[label] for label in labels)
                count.update(labels)
        full = sorted(turns, key=turns.__getitem__)
        empty = [k for k in order if not self.pieces[k][2]]
        kept, seconds = list[int](), 0.0
        for group, limit in ((full, 0.75 * most_s if empty else most_s), (empty, most_s)):
            for k in group:
                if seconds < limit:
                    kept.append(k)
                    seconds += self.pieces[k][3]
        self.notes.append(
            f"of {total / 3600:.1f} hours of annotated recordings, {seconds / 3600:.1f} hours were"
            " used, chosen at random; pieces with events came first, an even share of each class."
        )
        self.pieces = [self.pieces[k] for k in sorted(kept)]

    @property
    def labels(self) -> set[str]:
        """The classes of the events."""
        return {event.label for piece in self.pieces for event in piece[2]}

    @property
    def durations(self) -> np.ndarray:
        """The duration of every event in seconds."""
        return np.array([event.seconds for piece in self.pieces for event in piece[2]])

    def __len__(self) -> int:
        return len(self.pieces) + self.n_folds + sum(map(len, self.backgrounds))

    def __iter__(self) -> Iterator[Scene]:
        rng = np.random.default_rng(self.seed)
        for number, (clip, fold, events, seconds) in enumerate(self.pieces):
            try:
                x = audio.read(clip.source, self.rate_hz, clip.start, clip.end, self.options)
            except AudioError as error:
                self.skipped.append(Failure(clip, f"{error.reason}.", error.kind))
                continue
            heard_s = len(x.samples) / self.rate_hz
            if heard_s < seconds - SHORTER_S:
                self.notes.append(
                    f"{clip.place} ends {seconds - heard_s:.1f} s before the end that its header"
                    " gives. Events after its end were left out."
                )
                seconds = heard_s
                events = tuple(
                    replace(e, end=min(e.end, heard_s)) for e in events if e.start < heard_s
                )
            regions = None
            if self.annotated_s is not None:
                regions = around_events(events, self.annotated_s, seconds)
            name = f"{number} {clip.name}"
            self.groups[name] = clip.group or clip.place
            yield Scene(name, fold, x.samples, self.rate_hz, events, regions)
        for fold in range(self.n_folds):
            for number, piece in enumerate(self.backgrounds[fold]):
                name = f"background {fold}.{number}"
                self.groups[name] = name
                yield Scene(name, fold, piece, self.rate_hz)
            yield made_scene(fold, self.rate_hz, rng)


def do_classes_overlap(dataset: Dataset) -> bool:
    """Return whether stretches of different classes overlap often in the same recording."""
    count = 0
    for clips in _by_recording(dataset):
        last: Clip | None = None  # the one that ends last
        for clip in sorted(clips, key=lambda clip: clip.start or 0.0):
            if last is not None and (clip.start or 0.0) < (last.end or 0.0):
                count += clip.label != last.label
            if last is None or (clip.end or 0.0) > (last.end or 0.0):
                last = clip
    return count > OVERLAPPING * len(dataset)


def _by_recording(dataset: Dataset) -> list[list[Clip]]:
    """Return the clips of each recording."""
    clips: dict[str, list[Clip]] = {}
    for clip in dataset.clips:
        clips.setdefault(clip.place, []).append(clip)
    return list(clips.values())


def _without_events(dataset: Dataset) -> list[Clip]:
    """Return the recordings that were annotated as having no event."""
    origin = dataset.origin
    if not origin.get("data"):
        return []
    names = ("label", "separator", "root", "path", "start", "end")
    options = {name: origin[name] for name in names if origin.get(name)}
    try:
        recordings = read_events(origin["data"], **options)  # type: ignore[arg-type]
    except DataError:  # read as clips before, so this table has no recordings without events
        return []
    return [Clip(Path(recording.path)) for recording in recordings if not recording.events]
