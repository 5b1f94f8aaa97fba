"""Choose layers, head and penalty inside training folds, and estimate without looking ahead.

For each fold that tests, the choice is made by what happens on the *other* folds. A model trained
without folds i and j is evidence for both: on j when i tests, on i when j tests. So one fit serves
twice, and the deployed choice (and its calibration) comes from the same evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from earmark.classifier.calibration import Calibration, log_loss, sigmoid
from earmark.classifier.head import KINDS, Head
from earmark.classifier.targets import Targets, balanced_weights
from earmark.system.progress import Step, no_step
from earmark.training import heads, metrics, parallel
from earmark.training.kernels import FeatureTable

SLOW = ("logistic", "mlp")
SLOW_FEATURES = 2  # a clip; with more of them slow heads rarely win (decision 0004)
NEIGHBOURS = 2  # folds on either side that judge a fold: all others, up to five folds
JUDGED_BY = 400  # clips that a candidate is trained on, and judged by, for each pair of folds;
JUDGED_BY_OF_CLASS = 12  # or this many of each class. More choose no better (docs/lab-notes.md)


@dataclass(frozen=True)
class Candidate:
    """One way to make a classifier: a head, the name of a FeatureSpec, and the head's settings."""

    head: str
    features: str
    penalty: float = 0.0
    balanced: bool = False


@dataclass(frozen=True)
class Choice:
    """The candidate that was kept, its calibration, and what was found of every candidate.

    ``loss`` is what chooses, ``quality`` (accuracy) is for people; both are of inner clips.
    """

    best: Candidate
    calibration: Calibration
    loss: Mapping[Candidate, float]
    quality: Mapping[Candidate, float]


class FoldPlan(NamedTuple):
    """What one model learns from: it is chosen on and fitted to ``rows``, and asked the ``test``.

    ``inner`` are those of ``rows`` that one fold of the choice held back. All are row numbers.
    """

    rows: np.ndarray
    test: np.ndarray
    inner: np.ndarray
    choice: Choice


Pair = tuple[int, int]


@dataclass(frozen=True)
class InnerLogits:
    """Logits (M, K) of each candidate for the rows ``test`` (M,), trained on those of ``train``."""

    train: np.ndarray
    test: np.ndarray
    logits: dict[Candidate, np.ndarray]


@dataclass
class Search:
    """Candidates over the features of ``table``, judged on ``fold`` (N,) numbers.

    What counts is the log loss, of clips with several classes the squared error. With
    ``balanced``, each class counts the same, and heads that were trained so compete as well.
    """

    table: FeatureTable
    targets: Targets
    fold: np.ndarray
    kinds: Sequence[str] = KINDS
    seed: int = 0
    balanced: bool = False
    separator: str | None = None  # between the classes of a clip that has several
    step: Step = no_step  # called :func:`steps` times
    _inner_logits: dict[Pair, InnerLogits] = field(default_factory=dict)

    def choose(self, tested: int | None = None) -> Choice:
        """Choose for the fold that is ``tested``, without it, or for all clips (None).

        Slow heads compete on the layers that are best for the linear one, if those have few enough
        features that they can win.
        """
        pairs = [pair for pair in fold_pairs(self._folds) if tested is None or tested in pair]
        for pair in pairs:
            if pair not in self._inner_logits:
                self._inner_logits[pair] = self._judge(pair)
        losses = self._losses(pairs, tested)
        for rival in self._slow(losses):
            losses |= self._judge_slow(pairs, tested, rival.head, rival.features)
        best = min((c for c in losses if c.head in self.kinds), key=lambda c: losses[c])
        logits, rows = self._held(pairs, tested, best)
        calibration = Calibration.fit(logits, self.targets_of(rows, self.balanced))
        quality = {c: self._quality(pairs, tested, c) for c in losses}
        self.step()
        return Choice(best, calibration, losses, quality)

    def plans(self) -> list[FoldPlan]:
        """Choose for each fold in turn, without it."""
        return [
            FoldPlan(
                self.rows_but(tested),
                np.flatnonzero(self.fold == tested),
                np.flatnonzero(self.fold == (tested + 1) % self._folds),
                self.choose(tested),
            )
            for tested in range(self._folds)
        ]

    def out_of_fold(self, plans: Sequence[FoldPlan] = ()) -> np.ndarray:
        """Return calibrated logits (N, K), chosen, fitted and scaled without the clip's fold.

        ``plans`` are those for each tested fold, if they are known.
        """
        plans = plans or self.plans()
        logits = np.zeros(self.targets.onehot.shape, np.float32)

        def answer(plan: FoldPlan) -> None:
            logits[plan.test] = self.answers(plan, self.fit_rows(plan.choice.best, plan.rows))
            self.step()

        parallel.side_by_side(answer, plans)
        return logits

    def answers(self, plan: FoldPlan, head: Head) -> np.ndarray:
        """Return calibrated logits (T, K) of the clips that ``plan`` tests."""
        answers = head.logits(self.table.features(plan.choice.best.features, plan.test))
        return np.asarray(plan.choice.calibration.logits(answers), np.float32)

    def rows_but(self, *folds: int | None) -> np.ndarray:
        """Return the rows that are in none of ``folds``; None stands for no fold."""
        return np.flatnonzero(~np.isin(self.fold, [fold for fold in folds if fold is not None]))

    def rows_without(self, tested: int, most: int) -> np.ndarray:
        """Return the rows outside of a fold, or an even share of each class if they are more."""
        return self._thinned(np.flatnonzero(self.fold != tested), most)

    @property
    def _folds(self) -> int:
        return int(self.fold.max()) + 1

    def _judge(self, pair: Pair) -> InnerLogits:
        """Answer the clips of ``pair`` with every cheap candidate, fitted without them."""
        train, test = self._split(pair)
        kernels = self.table.kernels(train, test)
        kinds = [kind for kind in self.kinds if kind not in SLOW]
        if "linear" not in kinds and len(kinds) < len(self.kinds):
            kinds.append("linear")  # which says where slow heads compete
        logits: dict[Candidate, np.ndarray] = {}

        def judge(layers: str) -> None:
            inside, across = kernels.of(layers)
            for kind in kinds:
                penalties = heads.PENALTIES[kind]
                for balanced in {False, self.balanced and kind == "linear"}:
                    targets = self.targets_of(train, balanced)
                    duals, bias = heads.solve(kind, inside, targets, penalties)
                    for penalty, dual, offset in zip(penalties, duals, bias, strict=True):
                        candidate = Candidate(kind, layers, penalty, balanced)
                        logits[candidate] = (across @ dual + offset).astype(np.float32)
            self.step()

        parallel.side_by_side(judge, self.table.names)
        return InnerLogits(
            train, test, {c: logits[c] for c in sorted(logits, key=self._complexity)}
        )

    def _slow(self, losses: Mapping[Candidate, float]) -> list[Candidate]:
        """Return the slow heads that are worth their time, and the layers they compete on."""
        slow = [kind for kind in self.kinds if kind in SLOW]
        if not slow:
            return []
        features = min((c for c in losses if c.head == "linear"), key=lambda c: losses[c]).features
        clips = len(next(iter(self._inner_logits.values())).train)
        if "linear" in self.kinds and self.table.size(features) > SLOW_FEATURES * clips:
            return []
        return [Candidate(kind, features) for kind in slow]

    def _judge_slow(
        self, pairs: Sequence[Pair], tested: int | None, kind: str, layers: str
    ) -> dict[Candidate, float]:
        """Fit a slow head without each pair of folds, unless that is done already."""
        rivals = [Candidate(kind, layers, penalty) for penalty in heads.PENALTIES[kind]]

        def judge(pair: Pair) -> None:
            known = self._inner_logits[pair]
            features = self.table.features(layers, known.train)
            test = self.table.features(layers, known.test)
            path = heads.fit_path(kind, features, self.targets.rows(known.train), self.seed)
            for rival, (_, head) in zip(rivals, path, strict=True):
                known.logits[rival] = head.logits(test)

        new = [pair for pair in pairs if rivals[0] not in self._inner_logits[pair].logits]
        parallel.side_by_side(judge, new)
        return self._losses(pairs, tested, rivals)

    def _losses(
        self, pairs: Sequence[Pair], tested: int | None, candidates: Sequence[Candidate] = ()
    ) -> dict[Candidate, float]:
        """Return the mean inner loss of candidates, of all fast ones if none are given.

        Of clips with one class: the log loss at the best temperature; it tells candidates apart
        with far fewer clips than their numbers of errors do. Of clips with several: the squared
        error of the scores.
        """
        fast = [c for c in self._inner_logits[pairs[0]].logits if c.head not in SLOW]
        rivals = list(candidates) or fast
        rows = self._held(pairs, tested, rivals[0])[1]
        targets = self.targets_of(rows, self.balanced)
        logits = np.stack([self._held(pairs, tested, c)[0] for c in rivals])
        if targets.is_single:
            loss = log_loss(logits, targets.onehot, targets.weights)
        else:
            is_sigmoid = np.array([c.head == "mlp" for c in rivals])[:, None, None]
            scores = np.where(is_sigmoid, sigmoid(logits), logits.clip(0, 1))
            loss = np.square(scores - targets.onehot).mean(2)
        return dict(zip(rivals, (loss * targets.weights).mean(1).tolist(), strict=True))

    def fit_rows(self, candidate: Candidate, rows: np.ndarray) -> Head:
        """Fit ``candidate`` on the clips ``rows``."""
        features = self.table.features(candidate.features, rows)
        targets = self.targets_of(rows, candidate.balanced)
        return heads.fit(candidate.head, features, targets, candidate.penalty, self.seed)

    def targets_of(self, rows: np.ndarray, balanced: bool) -> Targets:
        """Return the targets of ``rows``, ``balanced`` so that each class counts the same."""
        targets = self.targets.rows(rows)
        if not balanced:
            return targets
        return replace(targets, weights=balanced_weights(targets.onehot))

    def _split(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to train on and those held out for a pair; many are thinned evenly."""
        most = max(JUDGED_BY, JUDGED_BY_OF_CLASS * self.targets.onehot.shape[1])
        train = self._thinned(np.flatnonzero(~np.isin(self.fold, pair)), most)
        test = [
            self._thinned(np.flatnonzero(self.fold == fold), most // 2) for fold in sorted({*pair})
        ]
        return train, np.concatenate(test)

    def _thinned(self, rows: np.ndarray, most: int) -> np.ndarray:
        """Return ``rows``, or an even share of each class where they are very many."""
        if len(rows) <= most:
            return rows
        shuffled = np.random.default_rng(self.seed).permutation(rows)
        by_class = shuffled[np.argsort(self.targets.onehot[shuffled].argmax(1), kind="stable")]
        return np.sort(by_class[np.linspace(0, len(rows) - 1, most).astype(int)])

    def _held(
        self, pairs: Sequence[Pair], tested: int | None, candidate: Candidate
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return inner logits (M, K) and rows (M,), never of a clip in the ``tested`` fold."""
        logits, rows = [], []
        for known in (self._inner_logits[pair] for pair in pairs):
            inner = self.fold[known.test] != (-1 if tested is None else tested)
            logits.append(known.logits[candidate][inner])
            rows.append(known.test[inner])
        return np.concatenate(logits), np.concatenate(rows)

    def _quality(self, pairs: Sequence[Pair], tested: int | None, candidate: Candidate) -> float:
        """Return how well inner clips are answered, 0 to 1, each class weighted as wanted."""
        logits, rows = self._held(pairs, tested, candidate)
        targets = self.targets_of(rows, self.balanced)
        quality = metrics.quality(logits, targets.onehot, targets.is_single)
        return float((quality * targets.weights).mean())

    def _complexity(self, c: Candidate) -> tuple[int, int, bool, float]:
        return KINDS.index(c.head), self.table.size(c.features), c.balanced, -c.penalty


def fold_pairs(count: int) -> list[Pair]:
    """Return the folds that are left out together; of two folds, each by itself."""
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
