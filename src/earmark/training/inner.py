"""How candidates do on inner clips, which are answered by models fitted without their folds.

A model fitted without folds i and j is evidence for both: on j when i tests, on i when j tests. So
one fit serves twice, and the deployed choice (and its calibration) comes from the same evidence.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from earmark.classifier.calibration import Calibration, log_loss, sigmoid
from earmark.classifier.head import KINDS
from earmark.classifier.targets import Targets
from earmark.training import metrics

NEIGHBOURS = 3  # folds on either side that judge a fold: all others, up to seven folds
Pair = tuple[int, int]  # folds that a model was fitted without
_Rank = tuple[float, int, int, bool, float, str]  # of a candidate; the least is the best
BLOCK = 4_096  # clips whose answers are compared at a time
MOST_AT_ONCE = 4_000_000  # logits of several candidates that are compared at a time


@dataclass(frozen=True)
class Candidate:
    """One way to make a classifier: a head, the name of a FeatureSpec, and the head's settings."""

    head: str
    features: str
    penalty: float = 0.0
    balanced: bool = False


@dataclass(frozen=True)
class Choice:
    """The candidate that was kept, its calibration, and what inner clips say of every rival.

    ``loss``, best first, is what chooses; ``quality`` (accuracy) is for people. Where rivals were
    screened on few clips first, ``screened`` has the loss and the quality there.
    """

    best: Candidate
    calibration: Calibration
    loss: Mapping[Candidate, float]
    quality: Mapping[Candidate, float]
    screened: Mapping[Candidate, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class InnerLogits:
    """Logits (C, M, K) of C ``candidates`` for the clips ``rows`` (M,) of one fold, ``held``,
    from models fitted without the folds of ``pair``."""

    candidates: Sequence[Candidate]
    pair: Pair
    held: int
    rows: np.ndarray
    logits: np.ndarray

    def judges(self, tested: int | None) -> bool:
        """Say whether they may choose for the fold ``tested``: it had no part in them."""
        if tested is None or self.pair[0] == self.pair[1]:
            return tested is None
        return tested in self.pair and self.held != tested


def fold_pairs(count: int) -> list[Pair]:
    """Return the pairs of folds that models leave out; of two folds, each with itself."""
    if count == 2:
        return [(0, 0), (1, 1)]
    return sorted(
        {
            (min(i, j % count), max(i, j % count))
            for i in range(count)
            for j in range(i + 1, i + 1 + NEIGHBOURS)
            if j % count != i
        }
    )


def serves(pair: Pair, tests: Iterable[int | None]) -> bool:
    """Say whether a model without the folds of ``pair`` is evidence for one that is tested."""
    return any(tested is None or tested in pair for tested in tests)


class Contest:
    """The rivals judged for one ``tested`` fold (None: for all clips), and the best so far.

    What counts is the log loss at the best temperature; it tells candidates apart with far fewer
    clips than their numbers of errors do. Of clips with several classes it is the squared error of
    the scores. ``targets`` are those of all clips, weighted as a loss counts them. Of equal rivals
    the simpler one is better: ``complexity`` has the size of each spec. Heads of other ``kinds``
    are judged, but never the best. May be used from several threads.
    """

    def __init__(
        self,
        tested: int | None,
        targets: Targets,
        complexity: Mapping[str, int],
        kinds: Sequence[str],
    ) -> None:
        self.tested, self.targets, self.kinds = tested, targets, kinds
        self._complexity = complexity
        self.loss: dict[Candidate, float] = {}
        self.quality: dict[Candidate, float] = {}
        self._best: tuple[_Rank, Candidate, Calibration] | None = None
        self._lock = threading.Lock()

    def enter(
        self, inner: Iterable[InnerLogits], eligible: Iterable[Candidate] | None = None
    ) -> None:
        """Judge the candidates of some logits; all of them, unless ``eligible`` are given."""
        parts = [part for part in inner if part.judges(self.tested)]
        if not parts:
            return
        rows = np.concatenate([part.rows for part in parts])
        targets = self.targets.rows(rows)
        allowed = set(parts[0].candidates if eligible is None else eligible)
        share = targets.weights / targets.weights.sum()
        numbers = [n for n, c in enumerate(parts[0].candidates) if c in allowed]
        step = max(1, MOST_AT_ONCE // (len(rows) * self.targets.n_classes))
        for start in range(0, len(numbers), step):
            some = numbers[start : start + step]
            logits = np.concatenate([part.logits[some] for part in parts], 1)
            candidates = [parts[0].candidates[n] for n in some]
            losses = _losses(candidates, logits, targets) @ share
            for candidate, own, loss in zip(candidates, logits, losses, strict=True):
                self._judge(candidate, own, targets, float(loss))

    def _judge(
        self, candidate: Candidate, logits: np.ndarray, targets: Targets, loss: float
    ) -> None:
        quality = float(np.average(_quality(logits, targets), weights=targets.weights))
        with self._lock:
            self.loss[candidate], self.quality[candidate] = loss, quality
            rank = self._rank(candidate)
            is_best = self._best is None or rank < self._best[0]
            is_best = is_best and candidate.head in self.kinds
        if is_best:
            calibration = Calibration.fit(logits, targets)
            with self._lock:
                if self._best is None or rank < self._best[0]:
                    self._best = rank, candidate, calibration

    def _rank(self, candidate: Candidate) -> _Rank:
        head, size = KIND_ORDER[candidate.head], self._complexity[candidate.features]
        loss, simple = self.loss[candidate], (candidate.balanced, -candidate.penalty)
        return loss, head, size, *simple, candidate.features

    def ranked(self) -> list[Candidate]:
        """Return the rivals that were entered, best first, whatever order they came in."""
        return sorted(self.loss, key=self._rank)

    def choice(self, screened: Contest | None = None) -> Choice:
        """Return the best of the rivals that were entered."""
        assert self._best is not None
        return Choice(
            self._best[1],
            self._best[2],
            {candidate: self.loss[candidate] for candidate in self.ranked()},
            dict(self.quality),
            {c: (screened.loss[c], screened.quality[c]) for c in screened.ranked()}
            if screened
            else {},
        )


Contests = Mapping[int | None, Contest]  # by the fold that is tested
KIND_ORDER = {kind: number for number, kind in enumerate(KINDS)}


def _losses(candidates: Sequence[Candidate], logits: np.ndarray, targets: Targets) -> np.ndarray:
    """Return the loss (C, M) of each clip under ``logits`` (C, M, K) of the candidates."""
    if targets.is_single:
        return log_loss(logits, targets.classes, targets.weights)
    onehot = targets.onehot
    scores = [
        sigmoid(own) if candidate.head == "mlp" else own.clip(0, 1)
        for candidate, own in zip(candidates, logits, strict=True)
    ]
    return np.stack([np.square(own - onehot).mean(1) for own in scores])


def _quality(logits: np.ndarray, targets: Targets) -> np.ndarray:
    """Return how well each clip (M,) is answered, 0 to 1."""
    if targets.is_single:
        return np.asarray(logits.argmax(1) == targets.classes, np.float64)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(logits), BLOCK)]
    onehot = targets.onehot
    return np.concatenate([metrics.quality(logits[b], onehot[b], False) for b in blocks])
