"""Judge candidates on inner clips, which are scored by models fitted without their folds.

A model fitted without folds i and j serves twice: its logits on j help to choose for tested fold
i, and those on i for tested fold j. All of them together choose and calibrate the classifier that
is saved.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from earmark.classifier.calibration import Calibration, log_loss, sigmoid, some_rows
from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import KINDS
from earmark.classifier.targets import Targets
from earmark.training import metrics
from earmark.training.kernels import FeatureTable

NEIGHBOURS = 3  # folds on either side that judge a fold; these are all others up to seven folds
Pair = tuple[int, int]  # folds that a model was fitted without
_Rank = tuple[float, int, int, bool, bool, float, str]  # of a candidate; the lowest is the best
Weights = tuple[float, ...]  # of the layers of a spec, in order
COUNTS = (1, 2, 3, 4)  # numbers of candidates that may be averaged
MOST_KEPT = 4_000  # clips whose logits are kept for averaging; with many classes fewer
LEAST_UNIT = 1e-9  # if every clip has every class
BLOCK = 4_096  # clips that are judged at a time
MOST_AT_ONCE = 4_000_000  # logits of several candidates that are judged at a time


@dataclass(frozen=True)
class Candidate:
    """One way to make a classifier: a kind of head, the name of a FeatureSpec, and settings.

    If it ``is_weighted``, each layer is weighted by how well it does alone (``weighting.py``). The
    ``weights`` (L,) depend on the training clips, so a candidate that is judged over several folds
    has none yet.
    """

    head: str
    features: str
    penalty: float = 0.0
    balanced: bool = False
    is_weighted: bool = False
    weights: tuple[float, ...] = ()

    @property
    def reading(self) -> str:
        """What the head reads, in words."""
        return f"{self.features}, weighted" if self.is_weighted else self.features


@dataclass(frozen=True)
class Average:
    """Candidates whose logits are averaged, with ``factors`` that sum to 1.

    Several members are all linear heads, and their average is one, too. A single member may be of
    any kind.
    """

    members: tuple[Candidate, ...]
    factors: tuple[float, ...] = (1.0,)

    @property
    def is_single(self) -> bool:
        return len(self.members) == 1

    @property
    def head(self) -> str:
        """The kind of the fitted head."""
        return self.members[0].head if self.is_single else "linear"

    def specs(self, table: FeatureTable) -> tuple[FeatureSpec, ...]:
        """Return the feature specs of all members."""
        specs = (table.spec(member.features, member.weights) for member in self.members)
        return tuple(dict.fromkeys(specs))

    @property
    def reading(self) -> str:
        """What the head reads, in words."""
        return " + ".join(dict.fromkeys(member.reading for member in self.members))


@dataclass(frozen=True)
class Choice:
    """The chosen average, its calibration, and the figures of all candidates on inner clips.

    The choice goes by ``loss``, which is sorted, best first. ``quality`` (accuracy) is for people.
    If candidates were screened on few clips first, ``screened`` has their loss and quality there.
    """

    best: Average
    calibration: Calibration
    loss: Mapping[Candidate, float]
    quality: Mapping[Candidate, float]
    screened: Mapping[Candidate, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class InnerLogits:
    """Logits (C, M, K) of C ``candidates`` for the M clips ``rows`` of the fold ``held``.

    The models were fitted without the folds of ``pair``. The logits help to choose for the other
    fold of the pair.
    """

    candidates: Sequence[Candidate]
    pair: Pair
    held: int
    rows: np.ndarray
    logits: np.ndarray

    def judges(self, tested: int | None) -> bool:
        """Return whether these logits may help to choose for the fold ``tested``."""
        if tested is None or self.pair[0] == self.pair[1]:
            return tested is None
        return tested in self.pair and self.held != tested


def fold_pairs(count: int) -> list[Pair]:
    """Return the pairs of folds that models leave out; with two folds, each fold alone."""
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
    """Return whether a model fitted without ``pair`` helps to choose for one of the ``tests``."""
    return any(tested is None or tested in pair for tested in tests)


class Contest:
    """Compares candidates for one ``tested`` fold (None: for all clips) and chooses the best.

    The loss is the log loss at the best temperature, which needs far fewer clips than the number
    of errors to show a difference. For clips with several classes it is the squared error of the
    scores. ``targets`` are those of all clips, weighted as the loss counts them. Of equals the
    simpler candidate wins. Heads of other ``kinds`` are judged but never chosen. Several threads
    may use a contest.
    """

    def __init__(
        self, tested: int | None, targets: Targets, table: FeatureTable, kinds: Sequence[str]
    ) -> None:
        self.tested, self.targets, self.kinds, self.table = tested, targets, kinds, table
        self.loss: dict[Candidate, float] = {}
        self.quality: dict[Candidate, float] = {}
        self._best: dict[Hashable, _Answers] = {}  # one for each of the best few sets of layers
        self._lock = threading.Lock()

    def enter(
        self, inner: Iterable[InnerLogits], eligible: Iterable[Candidate] | None = None
    ) -> None:
        """Judge the candidates of ``inner``, or only those that are ``eligible``."""
        parts = [part for part in inner if part.judges(self.tested)]
        parts.sort(key=lambda part: (part.pair, part.held))
        if not parts:
            return
        rows = np.concatenate([part.rows for part in parts])
        targets, n_clips = self.targets.rows(rows), len(np.unique(rows))
        allowed = set(parts[0].candidates if eligible is None else eligible)
        share = targets.weights / targets.weights.sum()
        candidates = [c for c in parts[0].candidates if c in allowed]
        numbers = [{c: n for n, c in enumerate(part.candidates)} for part in parts]
        step = max(1, MOST_AT_ONCE // (len(rows) * self.targets.n_classes))
        for start in range(0, len(candidates), step):
            some = candidates[start : start + step]
            logits = np.concatenate(
                [
                    part.logits[[number[candidate] for candidate in some]]
                    for part, number in zip(parts, numbers, strict=True)
                ],
                1,
            )
            losses = _losses(some, logits, targets, n_clips) @ share
            for candidate, own, loss in zip(some, logits, losses, strict=True):
                quality = np.average(_quality(own, targets), weights=targets.weights)
                self.loss[candidate], self.quality[candidate] = float(loss), float(quality)
                self._keep(candidate, own, rows)

    def _keep(self, candidate: Candidate, logits: np.ndarray, rows: np.ndarray) -> None:
        """Keep the logits of a candidate if it is the best with its layers and may be averaged."""
        if candidate.head not in self.kinds:
            return
        layers = self.table.specs[candidate.features].layers
        key = layers, candidate.is_weighted, candidate.head == "mlp"
        rank = self._rank(candidate)
        sample = some_rows(len(rows), MOST_KEPT // max(1, self.targets.n_classes // 100))
        with self._lock:
            if key in self._best and self._best[key].rank < rank:
                return
            self._best[key] = _Answers(rank, candidate, logits[sample], rows[sample])
            if len(self._best) > 2 * max(COUNTS):
                del self._best[max(self._best, key=lambda key: self._best[key].rank)]

    @functools.cached_property
    def unit(self) -> float:
        """The size of a nat in this loss, if guessing costs log(K) nats."""
        if self.targets.is_single:
            return 1.0
        share = self.targets.prior
        loss = (share * (1 - share)).mean() / np.log(max(2, self.targets.n_classes))
        return max(float(loss), LEAST_UNIT)

    def _rank(self, candidate: Candidate) -> _Rank:
        """Return the key that sorts candidates: the loss, then how simple they are."""
        head, size = KIND_ORDER[candidate.head], self.table.sizes[candidate.features]
        loss, simple = self.loss[candidate], (candidate.balanced, -candidate.penalty)
        return loss, head, size, candidate.is_weighted, *simple, candidate.features

    def ranked(self) -> list[Candidate]:
        """Return the candidates that were entered, best first, in whatever order they came."""
        return sorted(self.loss, key=self._rank)

    def best(self) -> Candidate:
        """Return the best candidate that may be chosen."""
        return min(self._best.values(), key=lambda answers: answers.rank).candidate

    def choice(self, screened: Contest | None = None, weights: Weights = ()) -> Choice:
        """Return the best candidate, or the average of the best few if its loss is lower.

        ``weights`` (L,) are those of all layers, from the training clips.
        """
        average, calibration = self._chosen()
        members = (replace(c, weights=weights) if c.is_weighted else c for c in average.members)
        average = replace(average, members=tuple(members))
        return Choice(
            average,
            calibration,
            {candidate: self.loss[candidate] for candidate in self.ranked()},
            dict(self.quality),
            {c: (screened.loss[c], screened.quality[c]) for c in screened.ranked()}
            if screened
            else {},
        )

    def _chosen(self) -> tuple[Average, Calibration]:
        """Return the average with the lowest loss, and its calibration; of equals the smallest."""
        ranked = sorted(self._best.values(), key=lambda answers: answers.rank)
        rows = ranked[0].rows
        targets, n_clips = self.targets.rows(rows), len(np.unique(rows))
        share = targets.weights / targets.weights.sum()
        linear = [answers for answers in ranked if answers.candidate.head != "mlp"]
        sharpness = self._sharpness(linear, targets, n_clips)
        rivals = [(Average((ranked[0].candidate,)), ranked[0].logits)]
        for count in COUNTS if "linear" in self.kinds else ():
            if count <= len(linear):
                factors = sharpness[:count] / sharpness[:count].sum()
                members = tuple(answers.candidate for answers in linear[:count])
                logits = sum(f * a.logits for f, a in zip(factors, linear[:count], strict=True))
                rivals.append((Average(members, tuple(factors.tolist())), np.asarray(logits)))
        losses = [
            float((_losses(average.members[:1], z[None], targets, n_clips) @ share)[0])
            for average, z in rivals
        ]
        average, logits = rivals[int(np.argmin(losses))]
        return average, Calibration.fit(logits, targets, n_clips)

    @staticmethod
    def _sharpness(several: Sequence[_Answers], targets: Targets, n_clips: int) -> np.ndarray:
        """Return a factor for the logits of each candidate: 1 / temperature.

        For clips with several classes it is 1.
        """
        if not targets.is_single:
            return np.ones(len(several))
        fits = [Calibration.fit(answers.logits, targets, n_clips) for answers in several]
        return np.array([1 / fit.temperature for fit in fits])


@dataclass(frozen=True)
class _Answers:
    """The ``logits`` (M, K) of a candidate for the clips ``rows`` (M,), and its ``rank``."""

    rank: _Rank
    candidate: Candidate
    logits: np.ndarray
    rows: np.ndarray


Contests = Mapping[int | None, Contest]  # by the fold that is tested
KIND_ORDER = {kind: number for number, kind in enumerate(KINDS)}


def _losses(
    candidates: Sequence[Candidate], logits: np.ndarray, targets: Targets, n_clips: int
) -> np.ndarray:
    """Return the loss (C, M) of each candidate and clip, from ``logits`` (C, M, K).

    The M rows are of ``n_clips`` different clips; a clip may occur several times.
    """
    if targets.is_single:
        return log_loss(logits, targets.classes, targets.weights, n_clips)
    onehot = targets.onehot
    scores = [
        sigmoid(own) if candidate.head == "mlp" else own.clip(0, 1)
        for candidate, own in zip(candidates, logits, strict=True)
    ]
    return np.stack([np.square(own - onehot).mean(1) for own in scores])


def _quality(logits: np.ndarray, targets: Targets) -> np.ndarray:
    """Return how well each clip (M,) is classified, 0 to 1."""
    if targets.is_single:
        return np.asarray(logits.argmax(1) == targets.classes, np.float64)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(logits), BLOCK)]
    onehot = targets.onehot
    return np.concatenate([metrics.quality(logits[b], onehot[b], False) for b in blocks])
