"""Scenes for a detector, mixed from labelled clips and background."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.audio.decoder import Samples
from earmark.audio.options import AudioOptions
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.splits import Scheme
from earmark.embeddings.stages import Failure
from earmark.errors import AudioError, DataError
from earmark.system.progress import Step
from earmark.training.backgrounds import SHORTEST_S, pink_noise, read_backgrounds
from earmark.training.scenes import SCENE_S, Scene, Sound, made_scene, mix
from earmark.training.sounds import quiet, sounding

LEAST_S = 15 * 60.0  # of mixed scenes; few clips are used several times
MOST_S = 60 * 60.0  # of sounds; of many clips, an even share of each class is used
MOST_SCENES_S = 3 * 3600.0  # of scenes; if sounds are short, most of it is background
MOST_QUIET_S = 20 * 60.0  # of quiet stretches, in all folds together
MOST_COPIES = 8
MEAN_GAP_S = 1.1  # of background for each sound of a mixed scene
ALONE_S = 60.0  # of background without sounds, in each fold
LEAST_QUIET_S = 5.0  # of quiet stretches in every fold, to be used as background


class MixedScenes:
    """Scenes mixed from clips and background; made again at each iteration, always the same.

    ``background`` are whole recordings, and ``quiet_clips`` are clips of background for each fold.
    """

    def __init__(
        self,
        dataset: Dataset,
        scheme: Scheme,
        rate_hz: int,
        background: Sequence[Path],
        seed: int,
        step: Step,
        quiet_clips: Sequence[Sequence[Clip]] = (),
    ) -> None:
        self.rate_hz, self.seed, self.notes = rate_hz, seed, list[str]()
        self.groups: dict[str, str] | None = None  # scenes count as independent
        self.skipped: list[Failure] = []
        n_folds = len(scheme.names)
        self.sounds: list[list[Sound]] = [[] for _ in range(n_folds)]
        quiet_parts: list[list[Samples]] = [[] for _ in range(n_folds)]
        total, n_sounds = 0.0, 0
        quiet_left = [round(MOST_QUIET_S / n_folds * rate_hz)] * n_folds
        order = _by_class(dataset, seed)
        for count, row in enumerate(order):
            if total > MOST_S or total + MEAN_GAP_S * n_sounds > MOST_SCENES_S:
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
                sound = Sound(x[first:last].copy(), dataset.classes(clip))  # a view would keep x
                self.sounds[fold].append(sound)
                total, n_sounds = total + (last - first) / rate_hz, n_sounds + 1
            for first, last in () if background or any(quiet_clips) else quiet(x, rate_hz):
                if quiet_left[fold] > 0:
                    quiet_parts[fold].append(x[first:last].copy())
                    quiet_left[fold] -= last - first
        if not any(self.sounds):
            failure = self.skipped[0]
            raise DataError(f"no clip could be read. The first is {failure.path}: {failure.reason}")
        for fold, clips in enumerate(quiet_clips):
            quiet_parts[fold] += self._read_some(clips, dataset.audio, quiet_left[fold])
        self.are_given = any(quiet_clips)
        self.backgrounds = self._backgrounds(background, quiet_parts, dataset.audio)
        once_s = total + MEAN_GAP_S * n_sounds
        self.copies = min(MOST_COPIES, max(1, math.ceil(LEAST_S / once_s)))
        self.seconds = once_s * self.copies

    @property
    def labels(self) -> set[str]:
        """The classes of the sounds."""
        return {label for fold in self.sounds for sound in fold for label in sound.labels}

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
            x = audio.read(clip.source, self.rate_hz, clip.start, clip.end, options).samples
        except AudioError as error:
            self.skipped.append(Failure(clip, f"{error.reason}.", error.kind))
            return None
        if clip.label and not x.any():
            self.skipped.append(Failure(clip, "has digital silence only; leave it out.", "silent"))
            return None
        return x

    def _read_some(self, clips: Sequence[Clip], options: AudioOptions, most: int) -> list[Samples]:
        """Return the samples of clips, in order, until they are ``most`` in all."""
        parts = list[Samples]()
        for clip in clips:
            if most <= 0:
                break
            x = self._read(clip, options)
            if x is not None:
                parts.append(x)
                most -= len(x)
        return parts

    def _backgrounds(
        self, paths: Sequence[Path], quiet_parts: Sequence[list[Samples]], options: AudioOptions
    ) -> list[list[Samples]]:
        """Return each fold's background: recordings of its own, or quiet parts of its clips."""
        n_folds = len(self.sounds)
        self.has_background = bool(paths) or self.are_given
        least = round(SHORTEST_S * self.rate_hz)
        parts = [[x for x in own if len(x) >= least] for own in quiet_parts]
        if paths:
            own = read_backgrounds(paths, n_folds, self.rate_hz, options, self.seed, self.skipped)
            return [[*recordings, *clips] for recordings, clips in zip(own, parts, strict=True)]
        seconds = sum(len(x) for own in parts for x in own) / self.rate_hz
        if self.are_given:
            return self._filled_up(parts, seconds)
        if all(sum(map(len, own)) >= LEAST_QUIET_S * self.rate_hz for own in parts):
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
        return [[*own, *(pink_noise(self.rate_hz, rng) for _ in range(4))] for own in parts]

    def _filled_up(self, parts: Sequence[list[Samples]], seconds: float) -> list[list[Samples]]:
        """Return clips of background, with made noise in the folds that have too few of them."""
        self.notes.append(
            f"background is {seconds:.0f} s of clips without the classes. More of it makes fewer"
            " false events: give --background with recordings of the place without the sounds."
        )
        rng, least = np.random.default_rng(self.seed), LEAST_QUIET_S * self.rate_hz
        short = [sum(map(len, own)) < least for own in parts]
        if any(short):
            self.notes.append(
                f"{sum(short)} of {len(parts)} folds have less than {LEAST_QUIET_S:g} s of it, so"
                " made noise was added."
            )
        return [
            [*own, *(pink_noise(self.rate_hz, rng) for _ in range(4 if is_short else 0))]
            for own, is_short in zip(parts, short, strict=True)
        ]


def _by_class(dataset: Dataset, seed: int) -> list[int]:
    """Return the numbers of the clips in random order, one of each class after the other."""
    rng = np.random.default_rng(seed)
    rows: dict[str | None, list[int]] = {}
    for row in rng.permutation(len(dataset)).tolist():
        rows.setdefault(dataset.clips[row].label, []).append(row)
    turns = [(turn, label, row) for label, own in rows.items() for turn, row in enumerate(own)]
    return [row for _, _, row in sorted(turns, key=lambda t: (t[0], t[1] or ""))]
