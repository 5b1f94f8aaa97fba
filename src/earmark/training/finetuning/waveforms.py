"""Waveforms of clips, kept in memory if they fit, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.classifier.targets import first_class
from earmark.data.clip import Clip
from earmark.embeddings.sections import LONG_S, clip_seconds
from earmark.errors import AudioError
from earmark.system.threads import workers
from earmark.training.finetuning.model import WindowBatch
from earmark.training.finetuning.recipe import Recipe

KEPT_BYTES = 2**30  # bytes of decoded waveforms in memory
ALIKE = 0.75  # the shortest clip of a part has at least this share of the length of the longest
GROUPED = 8  # batches whose clips are sorted by length together


class Waveforms:
    """The waveforms of clips at the sample rate of each network.

    A clip of up to two minutes is read once and kept while there is room. Of a longer clip, only
    the stretch in use is read, each time. ``lost`` maps clips that can no longer be read to the
    reason. They are not read again.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        networks: Sequence[Backbone],
        options: AudioOptions,
        cache_bytes: int = KEPT_BYTES,
    ) -> None:
        self.clips, self.options, self.room = clips, options, cache_bytes
        self.rates = [network.info.rate_hz for network in networks]
        self.cache: dict[int, list[np.ndarray]] = {}
        self.lost: dict[int, str] = {}
        self.seconds = np.zeros(len(clips))
        with workers() as pool:
            for row, (seconds, waves) in enumerate(pool.map(self._first, clips)):
                self.seconds[row] = seconds
                if waves is not None:
                    self._keep(row, waves)

    def of(self, row: int, start: float, seconds: float) -> list[np.ndarray] | None:
        """Return a stretch of a clip, (n,) for each network; None if it can no longer be read.

        The stretch has at most ``seconds``. ``start`` is its place: 0 at the start of the clip, 1
        at its end.
        """
        if row in self.lost:
            return None
        waves = self.cache.get(row)
        seconds = min(seconds, self.seconds[row])
        at = start * max(0.0, self.seconds[row] - seconds)
        try:
            if waves is None and self.seconds[row] > LONG_S:
                return self._read(self.clips[row], at, at + seconds)
            if waves is None:
                waves = self._read(self.clips[row])
        except AudioError as error:
            self.lost[row] = str(error)
            return None
        return [_stretch(x, at, seconds, rate) for x, rate in zip(waves, self.rates, strict=True)]

    def _first(self, clip: Clip) -> tuple[float, list[np.ndarray] | None]:
        seconds = clip_seconds(clip)
        if seconds > LONG_S:
            return seconds, None
        try:
            waves = self._read(clip)
        except AudioError:
            return 0.0, None  # `of` adds it to `lost` if it is needed
        return len(waves[0]) / self.rates[0], waves

    def _keep(self, row: int, waves: list[np.ndarray]) -> None:
        size = sum(x.nbytes for x in {id(x): x for x in waves}.values())
        if size <= self.room:
            self.cache[row] = waves
            self.room -= size

    def _read(self, clip: Clip, first: float = 0.0, last: float | None = None) -> list[np.ndarray]:
        start, end = clip.start, clip.end
        if last is not None:
            start, end = (clip.start or 0.0) + first, (clip.start or 0.0) + last
        by_rate = {
            rate: audio.read(clip.source, rate, start, end, self.options).samples
            for rate in set(self.rates)
        }
        return [by_rate[rate] for rate in self.rates]


def _stretch(x: np.ndarray, at: float, seconds: float, rate: int) -> np.ndarray:
    first = int(at * rate)
    return x[first : first + max(1, int(seconds * rate))]


def plan(
    rows: np.ndarray,
    seconds: np.ndarray,
    onehot: np.ndarray,
    recipe: Recipe,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Return the batches of an epoch: ``rows`` in random order, with similar lengths in a batch.

    With ``recipe.balanced``, rows of small classes are repeated until each class has as many as
    the largest. ``seconds`` (N,) and ``onehot`` (N, K) are those of all clips.
    """
    order = rng.permutation(_balanced(rows, onehot, rng) if recipe.balanced else rows)
    lengths = np.minimum(seconds, recipe.crop_s or np.inf)
    batches = []
    for first in range(0, len(order), GROUPED * recipe.batch):
        some = order[first : first + GROUPED * recipe.batch]
        some = some[np.argsort(lengths[some] * rng.uniform(1, 1.1, len(some)), kind="stable")]
        batches += [some[i : i + recipe.batch] for i in range(0, len(some), recipe.batch)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _balanced(rows: np.ndarray, onehot: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``rows`` with those of small classes repeated, so that all classes have as many."""
    classes = first_class(onehot[rows]) + 1  # 0: no class
    most = np.bincount(classes).max()
    often = []
    for number in np.unique(classes):
        own = rows[classes == number]
        rest = rng.choice(own, most % len(own), replace=False)
        often += [np.repeat(own, most // len(own)), rest]
    return np.concatenate(often)


def parts(rows: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Cut a batch into parts with clips of similar length; a part is computed at one length."""
    parts: list[list[int]] = []
    for row in rows[np.argsort(-lengths[rows], kind="stable")]:
        if parts and lengths[row] >= ALIKE * lengths[parts[-1][0]]:
            parts[-1].append(row)
        else:
            parts.append([row])
    return [np.array(part) for part in parts]


def window_batches(networks: Sequence[Backbone], waves: Sequence[np.ndarray]) -> list[WindowBatch]:
    """Return the windows of each network, cut from its waveforms (B, n).

    The first windows of all clips come first, then the second ones, and so on.
    """
    batches = []
    for network, xs in zip(networks, waves, strict=True):
        info = network.info
        windowed = [
            audio.window(network.prepare(x), info.window, info.hop, info.context, info.step)
            for x in xs
        ]
        windows, valid = (np.stack(part, 1) for part in zip(*windowed, strict=True))
        clip = np.tile(np.arange(len(windowed)), len(windows))
        windows = windows.reshape(len(clip), -1)
        batches.append(WindowBatch(*map(torch.from_numpy, (windows, valid.ravel(), clip))))
    return batches
