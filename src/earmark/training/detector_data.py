"""The scenes of a detector's training: mixed from clips, or cut from annotated recordings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.audio.decoder import Samples
from earmark.audio.options import AudioOptions
from earmark.data import folders
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.event import Event
from earmark.data.splits import Scheme
from earmark.embeddings.stages import Failure
from earmark.errors import AudioError, DataError, amount
from earmark.system.progress import Step
from earmark.training.scenes import SCENE_S, Scene, Sound, made_scene, mix
from earmark.training.sounds import quiet, sounding

LEAST_S = 15 * 60.0  # of mixed scenes; few clips are used several times
MOST_S = 60 * 60.0  # of scenes, and of sounds; of many clips, an even share of each class is used
MOST_COPIES = 8
MEAN_GAP_S = 1.1  # of background for each sound of a mixed scene
MOST_BACKGROUND_S = 20 * 60.0
BACKGROUND_PIECE_S = 30.0  # at most so much of one recording of background
ALONE_S = 60.0  # of background without sounds, in each fold
SHORTEST_S = 0.5  # shorter pieces of background are not used


class MixedScenes:
    """Scenes mixed from clips and background; made again at each iteration, always the same."""

    def __init__(
        self,
        dataset: Dataset,
        scheme: Scheme,
        rate_hz: int,
        background: Sequence[Path],
        seed: int,
        step: Step,
    ) -> None:
        self.rate_hz, self.seed, self.notes = rate_hz, seed, list[str]()
        self.skipped: list[Failure] = []
        n_folds = len(scheme.names)
        self.sounds: list[list[Sound]] = [[] for _ in range(n_folds)]
        quiet_parts: list[list[Samples]] = [[] for _ in range(n_folds)]
        total = 0.0
        order = _by_class(dataset, seed)
        for count, row in enumerate(order):
            if total > MOST_S:
                self.notes.append(
                    f"of {len(dataset):,} clips, {count:,} were used, an even share of each class:"
                    f" they have {total / 60:.0f} minutes of sound."
                )
                break
            clip, fold = dataset.clips[row], int(scheme.fold[row])
            x = self._read(clip, dataset.audio)
            step()
            if x is None:
                continue
            for first, last in sounding(x, rate_hz):
                self.sounds[fold].append(Sound(x[first:last], dataset.classes(clip)))
                total += (last - first) / rate_hz
            quiet_parts[fold] += [x[a:b] for a, b in quiet(x, rate_hz)]
        if not any(self.sounds):
            failure = self.skipped[0]
            raise DataError(f"no clip could be read. The first is {failure.path}: {failure.reason}")
        self.backgrounds = self._backgrounds(background, quiet_parts, dataset.audio)
        n_sounds = sum(map(len, self.sounds))
        once_s = total + MEAN_GAP_S * n_sounds
        self.copies = min(MOST_COPIES, max(1, math.ceil(LEAST_S / once_s)))
        self.seconds = once_s * self.copies

    @property
    def durations(self) -> np.ndarray:
        """The duration of every sound in seconds."""
        return np.array([len(s.samples) / self.rate_hz for fold in self.sounds for s in fold])

    def __len__(self) -> int:
        return round(self.seconds / SCENE_S) + 2 * len(self.sounds)

    def __iter__(self) -> Iterator[Scene]:
        rng = np.random.default_rng(self.seed)
        for fold, sounds in enumerate(self.sounds):
            own = self.backgrounds[fold]
            if sounds:
                yield from mix(sounds, own, fold, self.rate_hz, self.copies, rng)
            alone = np.concatenate(own)[: round(ALONE_S * self.rate_hz)]
            if self.has_background:
                yield Scene(f"background {fold}", fold, alone, self.rate_hz)
            yield made_scene(fold, self.rate_hz, rng)

    def _read(self, clip: Clip, options: AudioOptions) -> Samples | None:
        try:
            return audio.read(clip.source, self.rate_hz, clip.start, clip.end, options).samples
        except AudioError as error:
            self.skipped.append(Failure(clip, f"{error.reason}.", error.kind))
            return None

    def _backgrounds(
        self, paths: Sequence[Path], quiet_parts: Sequence[list[Samples]], options: AudioOptions
    ) -> list[list[Samples]]:
        """Return each fold's background: recordings of its own, or quiet parts of its clips."""
        n_folds = len(self.sounds)
        self.has_background = bool(paths)
        if paths:
            return self._read_backgrounds(paths, n_folds, options)
        least = round(SHORTEST_S * self.rate_hz)
        parts = [[x for x in own if len(x) >= least] for own in quiet_parts]
        seconds = sum(len(x) for own in parts for x in own) / self.rate_hz
        if all(sum(map(len, own)) >= 5 * self.rate_hz for own in parts):
            self.notes.append(
                f"background is {seconds:.0f} s of quiet stretches of the clips. Give --background"
                " with recordings of the place without the sounds."
            )
            return parts
        self.notes.append(
            "background is made noise, because the clips have few quiet stretches. Give"
            " --background with recordings of the place without the sounds."
        )
        rng = np.random.default_rng(self.seed)
        return [[*own, *(_noise(self.rate_hz, rng) for _ in range(4))] for own in parts]

    def _read_backgrounds(
        self, paths: Sequence[Path], n_folds: int, options: AudioOptions
    ) -> list[list[Samples]]:
        """Read pieces of background recordings; neighbours in the folder share a fold."""
        rng = np.random.default_rng(self.seed)
        most = max(n_folds, round(MOST_BACKGROUND_S / BACKGROUND_PIECE_S))
        picks = paths
        if len(paths) > most:
            picks = [paths[k] for k in np.linspace(0, len(paths) - 1, most).astype(int)]
        pieces: list[Samples] = []
        each_s = max(BACKGROUND_PIECE_S, MOST_BACKGROUND_S / len(picks))
        for path in picks:
            clip = Clip(path)
            try:
                header = audio.header_of(path)
                seconds = header.frames / header.rate_hz
                start = float(rng.uniform(0, seconds - each_s)) if seconds > each_s else None
                end = None if start is None else start + each_s
                x = self._read(replace(clip, start=start, end=end), options)
            except AudioError as error:
                self.skipped.append(Failure(clip, f"{error.reason}.", error.kind))
                continue
            if x is not None and len(x) >= SHORTEST_S * self.rate_hz:
                pieces.append(x)
        if not pieces:
            raise DataError(
                f"none of {amount(len(paths), 'recording')} of background could be read. Give"
                " --background a folder of recordings without the sounds."
            )
        while len(pieces) < n_folds:  # few long recordings: every fold gets its own stretch
            longest = max(range(len(pieces)), key=lambda k: len(pieces[k]))
            x = pieces.pop(longest)
            if len(x) < 2 * self.rate_hz:
                raise DataError(
                    f"the background has {sum(map(len, pieces)) / self.rate_hz:.1f} s, too little"
                    f" for {n_folds} folds. Give at least a minute of sound."
                )
            pieces += [x[: len(x) // 2], x[len(x) // 2 :]]
        return [list(part) for part in _split(pieces, n_folds)]


def _split(pieces: Sequence[Samples], n: int) -> list[Sequence[Samples]]:
    """Split pieces into n runs of neighbours, none empty."""
    borders = [k * len(pieces) // n for k in range(n + 1)]
    return [pieces[a:b] for a, b in itertools.pairwise(borders)]


def _by_class(dataset: Dataset, seed: int) -> list[int]:
    """Return the numbers of the clips in random order, one of each class after the other."""
    rng = np.random.default_rng(seed)
    rows: dict[str | None, list[int]] = {}
    for row in rng.permutation(len(dataset)).tolist():
        rows.setdefault(dataset.clips[row].label, []).append(row)
    turns = [(turn, label, row) for label, own in rows.items() for turn, row in enumerate(own)]
    return [row for _, _, row in sorted(turns, key=lambda t: (t[0], t[1] or ""))]


def _noise(rate_hz: int, rng: np.random.Generator) -> Samples:
    """Return 10 s of pink noise at a random level."""
    n = 10 * rate_hz
    pink = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) / np.sqrt(np.arange(1, n // 2 + 2)), n)
    level = 10 ** float(rng.uniform(-4, -1.5))
    return np.asarray(level * pink / pink.std(), np.float32)


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
        self.pieces: list[tuple[Clip, int, tuple[Event, ...], float]] = []
        self.annotated_s, self.background = annotated_s, background
        self.n_folds = len(scheme.names)
        by_recording: dict[str, list[int]] = {}
        for row, clip in enumerate(dataset.clips):
            by_recording.setdefault(clip.place, []).append(row)
        for rows in by_recording.values():
            events = sorted(
                Event(c.start or 0.0, float(c.end), label)  # type: ignore[arg-type]
                for c in (dataset.clips[r] for r in rows)
                for label in dataset.classes(c)
            )
            self._cut(dataset.clips[rows[0]], int(scheme.fold[rows[0]]), events)
        self._keep(most_s)

    def _cut(self, clip: Clip, fold: int, events: Sequence[Event]) -> None:
        """Add the pieces of one recording."""
        try:
            header = audio.header_of(clip.source)
        except AudioError as error:
            self.skipped.append(Failure(clip, f"{error.reason}.", error.kind))
            return
        seconds = header.frames / header.rate_hz or events[-1].end
        at = 0.0
        while at < seconds - 0.05:
            border = min(at + SCENE_S, seconds)
            while crossing := [e for e in events if e.start < border < e.end]:
                border = max(e.end for e in crossing)
            border = seconds if seconds - border < 5 else min(border, seconds)
            inside = tuple(
                Event(e.start - at, min(e.end, seconds) - at, e.label)
                for e in events
                if at <= e.start < border and min(e.end, seconds) > e.start
            )
            whole = replace(clip, start=at, end=border, label=None)
            if inside or self.annotated_s is None:
                self.pieces.append((whole, fold, inside, border - at))
            at = border

    def _keep(self, most_s: float) -> None:
        """Keep pieces with events, and a fourth of the time without; at most ``most_s`` in all."""
        rng = np.random.default_rng(self.seed)
        total = sum(piece[3] for piece in self.pieces)
        if total <= most_s:
            return
        order = rng.permutation(len(self.pieces)).tolist()
        full = [k for k in order if self.pieces[k][2]]
        empty = [k for k in order if not self.pieces[k][2]]
        kept, seconds = list[int](), 0.0
        for group, limit in ((full, 0.75 * most_s if empty else most_s), (empty, most_s)):
            for k in group:
                if seconds < limit:
                    kept.append(k)
                    seconds += self.pieces[k][3]
        self.notes.append(
            f"of {total / 3600:.1f} hours of annotated recordings, {seconds / 3600:.1f} hours were"
            " used, chosen at random; pieces with events came first."
        )
        self.pieces = [self.pieces[k] for k in sorted(kept)]

    @property
    def durations(self) -> np.ndarray:
        """The duration of every event in seconds."""
        return np.array([event.seconds for piece in self.pieces for event in piece[2]])

    def __len__(self) -> int:
        return len(self.pieces) + self.n_folds

    def __iter__(self) -> Iterator[Scene]:
        rng = np.random.default_rng(self.seed)
        for number, (clip, fold, events, seconds) in enumerate(self.pieces):
            try:
                x = audio.read(clip.source, self.rate_hz, clip.start, clip.end, self.options)
            except AudioError as error:
                self.skipped.append(Failure(clip, f"{error.reason}.", error.kind))
                continue
            regions = None
            if self.annotated_s is not None:
                regions = _regions(events, self.annotated_s, seconds)
            name = f"{number} {clip.name}"
            yield Scene(name, fold, x.samples, self.rate_hz, events, regions)
        for fold in range(self.n_folds):
            yield made_scene(fold, self.rate_hz, rng)


def _regions(
    events: Sequence[Event], around_s: float, seconds: float
) -> tuple[tuple[float, float], ...]:
    """Return the stretches within ``around_s`` of an event, joined."""
    regions: list[tuple[float, float]] = []
    for event in sorted(events):
        start, end = max(0.0, event.start - around_s), min(seconds, event.end + around_s)
        if regions and start <= regions[-1][1]:
            regions[-1] = (regions[-1][0], max(end, regions[-1][1]))
        else:
            regions.append((start, end))
    return tuple(regions)


def background_paths(background: str | Path | None) -> list[Path]:
    """Return the recordings of a background folder, or the single recording; none for None."""
    if background is None:
        return []
    path = Path(background)
    if path.is_dir():
        paths = folders.paths([path])
        if not paths:
            raise DataError(
                f"{path} has no recordings. Give --background a folder of recordings without the"
                " sounds."
            )
        return paths
    if not path.is_file():
        raise DataError(f"{path} does not exist. Give --background a folder of recordings.")
    return [path]
