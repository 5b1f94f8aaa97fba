"""Scores of windows that slide over a stream of samples or a recording."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from earmark.audio.decoder import Samples
from earmark.audio.resampling import StreamResampler
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.classifier.classifier import Classifier
from earmark.classifier.features import FeatureSpec, compute_features
from earmark.classifier.head import Head
from earmark.embeddings.sliding import PASS_S, Pass, SlidingWindows, Stats
from earmark.errors import ModelError
from earmark.system.threads import map_ahead

BLOCK_ROWS = 1_024  # windows whose features are in memory at a time


class WindowScores(NamedTuple):
    """Scores (n, K) of consecutive windows, and their known-scores (n,)."""

    scores: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def none(cls, n_classes: int) -> WindowScores:
        """Return the scores of no window."""
        return cls(np.zeros((0, n_classes), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True)
class WindowScorer:
    """A classifier with its networks loaded, each restricted to the layers in use."""

    classifier: Classifier
    networks: Sequence[Backbone]
    window_s: float
    hop_s: float

    @classmethod
    def load(cls, classifier: Classifier, window_s: float, hop_s: float) -> WindowScorer:
        """Load the networks of a classifier."""
        networks = classifier.networks()
        for network, use in zip(networks, classifier.backbones, strict=True):
            network.restrict_to_layers(use.layers)
        return cls(classifier, networks, window_s, hop_s)

    @property
    def first_s(self) -> float:
        """The centre of the first window, in seconds."""
        return self.window_s / 2

    def windows(self, pass_s: float = PASS_S) -> list[SlidingWindows]:
        """Return new sliding windows of each network; ModelError if they do not fit its frames."""
        try:
            return [SlidingWindows(n, self.window_s, self.hop_s, pass_s) for n in self.networks]
        except ValueError as error:
            raise ModelError(
                f"the windows do not fit the network {error}. Train the detector again."
            ) from error

    def score(self, matrices: Sequence[np.ndarray]) -> WindowScores:
        """Return the scores of windows from each network's embeddings (n, E) of them."""
        classifier = self.classifier
        return score_windows(
            classifier.head,
            classifier.calibrated,
            [network.info for network in self.networks],
            matrices,
            classifier.features,
            len(classifier.labels),
        )


def score_windows(
    head: Head,
    calibrate: Callable[[np.ndarray], np.ndarray],
    infos: Sequence[BackboneInfo],
    matrices: Sequence[np.ndarray],
    specs: Sequence[FeatureSpec],
    n_classes: int,
) -> WindowScores:
    """Return the scores of windows by a head, from each backbone's embeddings (n, E) of them.

    ``calibrate`` turns logits into scores. Outputs after the first ``n_classes`` are background.
    """
    parts = [WindowScores.none(n_classes)]
    for start in range(0, len(matrices[0]), BLOCK_ROWS):
        some = [matrix[start : start + BLOCK_ROWS] for matrix in matrices]
        logits, known = head.logits_and_known(compute_features(infos, some, specs), n_classes)
        parts.append(WindowScores(calibrate(logits)[:, :n_classes], known))
    return WindowScores(*map(np.concatenate, zip(*parts, strict=True)))


class _Passes:
    """Cuts a stream of samples into passes of several networks, each at its own rate."""

    def __init__(self, windows: Sequence[SlidingWindows], rate_hz: int) -> None:
        self._windows = windows
        rates = {own.backbone.info.rate_hz for own in windows}
        self._resamplers = {hz: StreamResampler(rate_hz, hz) for hz in rates}

    def feed(self, samples: Samples) -> Iterator[tuple[int, Pass]]:
        """Yield the passes that ``samples`` complete, with the numbers of their networks."""
        resampled = {hz: r.feed(samples) for hz, r in self._resamplers.items()}
        for number, own in enumerate(self._windows):
            for piece in own.cut(resampled[own.backbone.info.rate_hz]):
                yield number, piece

    def finish(self) -> Iterator[tuple[int, Pass]]:
        """Yield the last passes: the stream has ended."""
        rest = {hz: r.flush() for hz, r in self._resamplers.items()}
        for number, own in enumerate(self._windows):
            for piece in (*own.cut(rest[own.backbone.info.rate_hz]), *own.finish()):
                yield number, piece


class ScoreStream:
    """Scores the windows of a stream of samples (n,) at ``rate_hz``, however they are fed.

    Every network reads the stream at its own rate.
    """

    def __init__(self, scorer: WindowScorer, rate_hz: int, pass_s: float = PASS_S) -> None:
        self.scorer, self.rate_hz = scorer, rate_hz
        self._windows = scorer.windows(pass_s)
        self._passes = _Passes(self._windows, rate_hz)
        self._rows = _Rows(self._windows)

    def feed(self, samples: Samples) -> WindowScores:
        """Return the scores of the windows that are complete with ``samples``."""
        return self._score(self._passes.feed(samples))

    def finish(self) -> WindowScores:
        """Return the scores of the last windows; silence follows the stream."""
        return self._score(self._passes.finish(), is_end=True)

    def _score(self, passes: Iterable[tuple[int, Pass]], is_end: bool = False) -> WindowScores:
        for number, piece in passes:
            windows = self._windows[number]
            self._rows.add(number, windows.merge(windows.compute(piece)))
        parts = [WindowScores.none(len(self.scorer.classifier.labels))]
        parts += map(self.scorer.score, self._rows.take(is_end))
        return WindowScores(*map(np.concatenate, zip(*parts, strict=True)))


def score_blocks(
    scorer: WindowScorer,
    blocks: Iterable[Samples],
    rate_hz: int,
    pool: Executor,
    ahead: int,
    heard: Callable[[float], None] = lambda seconds: None,
) -> Iterator[WindowScores]:
    """Yield the scores of a recording while threads of ``pool`` compute ``ahead`` passes.

    The scores are those of a :class:`ScoreStream`, to the bit. ``heard`` is called with the seconds
    of every block that was read.
    """
    windows = scorer.windows()
    rows = _Rows(windows)

    def passes() -> Iterator[tuple[int, Pass]]:
        cutter = _Passes(windows, rate_hz)
        for block in blocks:
            heard(len(block) / rate_hz)
            yield from cutter.feed(block)
        yield from cutter.finish()

    def compute(job: tuple[int, Pass]) -> tuple[int, Stats]:
        number, piece = job
        return number, windows[number].compute(piece)

    def groups() -> Iterator[list[np.ndarray]]:
        for number, stats in map_ahead(pool, compute, passes(), ahead):
            rows.add(number, windows[number].merge(stats))
            yield from rows.take()
        yield from rows.take(is_end=True)

    yield from map_ahead(pool, scorer.score, groups(), ahead)


class _Rows:
    """Embeddings of windows by several networks, which come at different times.

    They leave in groups that do not depend on when they came: the last bits of a score may depend
    on how many rows are computed together.
    """

    def __init__(self, windows: Sequence[SlidingWindows]) -> None:
        self._waiting: list[collections.deque[np.ndarray]] = [collections.deque() for _ in windows]
        self._size = windows[0].hops
        self._next = self._size - max(w.lag for w in windows) % self._size  # a pass completes it

    def add(self, number: int, matrix: np.ndarray) -> None:
        """Add embeddings (n, E) of a network."""
        if len(matrix):
            self._waiting[number].append(matrix)

    def take(self, is_end: bool = False) -> list[list[np.ndarray]]:
        """Return the groups that all networks have computed; at the end, a smaller one as well."""
        count = min(sum(map(len, matrices)) for matrices in self._waiting)
        if count < (1 if is_end else self._next):
            return []
        joined = [np.concatenate([*matrices]) for matrices in self._waiting]
        groups, at = [], 0
        while at + self._next <= count or (is_end and at < count):
            groups.append([matrix[at : min(at + self._next, count)] for matrix in joined])
            at, self._next = min(at + self._next, count), self._size
        for matrices, rows in zip(self._waiting, joined, strict=True):
            matrices.clear()
            if at < len(rows):
                matrices.append(rows[at:])
        return groups
