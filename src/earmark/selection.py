"""Choose layers, head and penalty inside training folds, and estimate without looking ahead.

For each fold that tests, the choice is made by what happens on the *other* folds. A model trained
without folds i and j is evidence for both: on j when i tests, on i when j tests. So one fit serves
twice, and the deployed choice (and its temperature) comes from the same evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from earmark import heads
from earmark.calibration import fit_temperature
from earmark.dataset import Clip
from earmark.heads import Head, Span
from earmark.splits import Scheme, make_scheme

INNER_FOLDS = 3  # made where the given folds are too few to nest
NEIGHBOURS = 2  # folds on either side that judge a fold: all others, up to five folds
JUDGED_BY = 640  # clips that a candidate is trained on while it is judged; more choose no better


@dataclass(frozen=True)
class Candidate:
    """One way to make a classifier: a head, the name of a layer set, and a penalty."""

    head: str
    layers: str
    penalty: float = 0.0


@dataclass(frozen=True)
class Choice:
    """The candidate that was kept, its temperature, and the inner accuracy of every candidate."""

    best: Candidate
    temperature: float
    accuracy: Mapping[Candidate, float]


Pair = tuple[int, int]


@dataclass
class Search:
    """Candidates over ``features`` (layer set -> (N, D)), judged on ``fold`` (N,) numbers."""

    features: Mapping[str, np.ndarray]
    truth: np.ndarray
    classes: int
    fold: np.ndarray
    kinds: Sequence[str] = heads.KINDS
    seed: int = 0
    _evidence: dict[tuple[Pair, Candidate], np.ndarray] = field(default_factory=dict)

    def choose(self, tested: int | None = None) -> Choice:
        """Choose for the fold that is ``tested``, without it, or for all clips (None).

        The mlp, which is slow, competes on the layers that are best for the linear head.
        """
        pairs = [pair for pair in self._pairs() if tested is None or tested in pair]
        self._judge(pairs)
        if "mlp" in self.kinds:
            rival = Candidate("mlp", self._simplest(pairs, tested, ("linear",)).layers)
            self._judge_mlp(pairs, rival)
        best = self._simplest(pairs, tested, self.kinds)
        logits, truth = self._held(pairs, tested, best)
        right = {c: self._right(pairs, tested, c).mean() for c in self._candidates(pairs)}
        return Choice(best, fit_temperature(logits, truth), {c: float(r) for c, r in right.items()})

    def fit(self, candidate: Candidate, without: int | None = None) -> Head:
        """Fit ``candidate`` on all clips but those of fold ``without``."""
        rows = self.fold != (-1 if without is None else without)
        span = Span(self.features[candidate.layers][rows])
        return heads.fit(
            candidate.head, span, self.truth[rows], self.classes, candidate.penalty, self.seed
        )

    def out_of_fold(self) -> np.ndarray:
        """Return logits / temperature (N, K), chosen, scaled and fitted without the clip's fold."""
        logits = np.zeros((len(self.truth), self.classes), np.float32)

        def answer(tested: int) -> None:
            choice, rows = choices[tested], self.fold == tested
            head = self.fit(choice.best, tested)
            logits[rows] = head.logits(self.features[choice.best.layers][rows]) / choice.temperature

        choices = [self.choose(tested) for tested in range(self._folds)]
        heads.side_by_side(answer, range(self._folds))
        return logits

    @property
    def _folds(self) -> int:
        return int(self.fold.max()) + 1

    def _pairs(self) -> list[Pair]:
        count = self._folds
        return sorted(
            {
                (min(i, j % count), max(i, j % count))
                for i in range(count)
                for j in range(i + 1, i + 1 + NEIGHBOURS)
                if j % count != i
            }
        )

    def _judge(self, pairs: Sequence[Pair]) -> None:
        """Fit the cheap candidates without each pair of folds, unless that is done already."""
        known = {pair for pair, _ in self._evidence}

        def judge(job: tuple[Pair, str]) -> None:
            (pair, layers), held = job, self._rows(job[0])
            train = self._training(pair)
            span, truth = Span(self.features[layers][train]), self.truth[train]
            others = self.features[layers][held]
            if "prototype" in self.kinds:
                head = heads.fit("prototype", span, truth, self.classes, 0.0, self.seed)
                self._evidence[pair, Candidate("prototype", layers)] = head.logits(others)
            if {"linear", "mlp"} & set(self.kinds):
                path = heads.path_logits(span, truth, self.classes, span.project(others))
                for penalty, logits in path.items():
                    self._evidence[pair, Candidate("linear", layers, penalty)] = logits

        new = [pair for pair in pairs if pair not in known]
        heads.side_by_side(judge, [(pair, layers) for layers in self.features for pair in new])

    def _judge_mlp(self, pairs: Sequence[Pair], rival: Candidate) -> None:
        def judge(pair: Pair) -> None:
            train = self._training(pair)
            features = self.features[rival.layers]
            head = heads.fit(
                "mlp", Span(features[train]), self.truth[train], self.classes, 0.0, self.seed
            )
            self._evidence[pair, rival] = head.logits(features[self._rows(pair)])

        heads.side_by_side(judge, [pair for pair in pairs if (pair, rival) not in self._evidence])

    def _rows(self, pair: Pair) -> np.ndarray:
        return np.flatnonzero(np.isin(self.fold, pair))

    def _training(self, pair: Pair) -> np.ndarray:
        """Return the rows outside of ``pair``, or an even share of each class if they are many."""
        rows = np.flatnonzero(~np.isin(self.fold, pair))
        if len(rows) <= JUDGED_BY:
            return rows
        shuffled = np.random.default_rng(self.seed).permutation(rows)
        by_class = shuffled[np.argsort(self.truth[shuffled], kind="stable")]
        return np.sort(by_class[np.linspace(0, len(rows) - 1, JUDGED_BY).astype(int)])

    def _held(
        self, pairs: Sequence[Pair], tested: int | None, candidate: Candidate
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return inner logits (M, K) and truth (M,), never of a clip in the ``tested`` fold."""
        logits, truth = [], []
        for pair in pairs:
            rows = self._rows(pair)
            inner = self.fold[rows] != (-1 if tested is None else tested)
            logits.append(self._evidence[pair, candidate][inner])
            truth.append(self.truth[rows][inner])
        return np.concatenate(logits), np.concatenate(truth)

    def _right(self, pairs: Sequence[Pair], tested: int | None, candidate: Candidate) -> np.ndarray:
        logits, truth = self._held(pairs, tested, candidate)
        return np.asarray(logits.argmax(1) == truth)

    def _candidates(self, pairs: Sequence[Pair]) -> list[Candidate]:
        """Return, in order, what was judged on all of ``pairs``."""
        known = dict.fromkeys(candidate for _, candidate in self._evidence)
        return [c for c in known if all((pair, c) in self._evidence for pair in pairs)]

    def _simplest(
        self, pairs: Sequence[Pair], tested: int | None, kinds: Sequence[str]
    ) -> Candidate:
        """Return the simplest candidate that is within one standard error of the best.

        The error is that of the paired difference over the inner clips.
        """
        allowed = sorted(
            (c for c in self._candidates(pairs) if c.head in kinds), key=self._complexity
        )
        right = {c: self._right(pairs, tested, c).astype(float) for c in allowed}
        best = max(allowed, key=lambda c: right[c].mean())
        for candidate in allowed:
            loss = right[best] - right[candidate]
            if loss.mean() <= loss.std() / np.sqrt(len(loss)):
                return candidate
        return best

    def _complexity(self, c: Candidate) -> tuple[int, int, float]:
        return heads.KINDS.index(c.head), self.features[c.layers].shape[1], c.penalty


@dataclass(frozen=True)
class Solution:
    """The deployed ``head`` and how it was ``chosen``; calibrated logits (N, K) of the ``tested``
    clips, each from a model chosen and fitted without its fold (rows of other clips are zero)."""

    chosen: Choice
    head: Head
    logits: np.ndarray
    tested: np.ndarray  # (N,) bool


def solve(search: Search, clips: Sequence[Clip], content: np.ndarray, scheme: Scheme) -> Solution:
    """Select, estimate and fit as ``scheme`` says; ``search`` covers all ``clips``.

    With a test split the deployed head never sees the test clips. Two folds are too few to nest,
    so their training halves are split again.
    """
    if scheme.held_out is None and len(scheme.names) > 2:
        chosen, logits = search.choose(), search.out_of_fold()
        return Solution(chosen, search.fit(chosen.best), logits, np.ones(len(clips), bool))
    logits = np.zeros((len(clips), search.classes), np.float32)
    folds = range(len(scheme.names)) if scheme.held_out is None else [scheme.held_out]
    for tested in folds:
        rows = scheme.fold == tested
        inner = _inner(search, clips, content, ~rows)
        chosen = inner.choose()
        head = inner.fit(chosen.best)
        answers = head.logits(search.features[chosen.best.layers][rows])
        logits[rows] = answers / chosen.temperature
    if scheme.held_out is None:
        inner = _inner(search, clips, content, np.ones(len(clips), bool))
        chosen = inner.choose()
        head = inner.fit(chosen.best)
    return Solution(chosen, head, logits, np.isin(scheme.fold, folds))


def _inner(search: Search, clips: Sequence[Clip], content: np.ndarray, rows: np.ndarray) -> Search:
    """Return a search over ``rows`` alone, on folds made inside them."""
    inside = [replace(clip, fold=None) for clip, row in zip(clips, rows, strict=True) if row]
    if len({clip.group for clip in inside}) < INNER_FOLDS:
        inside = [replace(clip, group=None) for clip in inside]
    scheme = make_scheme(inside, content[rows], folds=INNER_FOLDS, seed=search.seed)
    return Search(
        {name: features[rows] for name, features in search.features.items()},
        search.truth[rows],
        search.classes,
        scheme.fold,
        search.kinds,
        search.seed,
    )
