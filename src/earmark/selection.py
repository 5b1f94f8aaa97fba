"""Choose layers, head and penalty inside training folds, and estimate without looking ahead.

For each fold that tests, the choice is made by what happens on the *other* folds. A model trained
without folds i and j is evidence for both: on j when i tests, on i when j tests. So K folds cost
K (K - 1) / 2 fits of each candidate, and the deployed choice is made from the same evidence.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from earmark import heads
from earmark.dataset import Clip
from earmark.heads import Head, Span
from earmark.splits import Scheme, make_scheme

INNER_FOLDS = 3  # made where the given folds are too few to nest
MOST_FOR_ALL_PAIRS = 1_000  # clips; beyond this a fold is judged by its two neighbours only


@dataclass(frozen=True)
class Candidate:
    """One way to make a classifier: a head, the name of a layer set, and a penalty."""

    head: str
    layers: str
    penalty: float = 0.0


@dataclass(frozen=True)
class Choice:
    """The candidate that was kept, and the mean inner accuracy of every candidate."""

    best: Candidate
    accuracy: Mapping[Candidate, float]


@dataclass
class Search:
    """Candidates over ``features`` (layer set -> (N, D)), judged on ``fold`` (N,) numbers."""

    features: Mapping[str, np.ndarray]
    truth: np.ndarray
    classes: int
    fold: np.ndarray
    kinds: Sequence[str] = heads.KINDS
    seed: int = 0
    _evidence: dict[tuple[int, int], dict[Candidate, tuple[float, float]]] = field(
        default_factory=dict
    )

    @property
    def folds(self) -> range:
        return range(int(self.fold.max()) + 1)

    def choose(self, tested: int | None = None) -> Choice:
        """Choose for the fold that is ``tested``, without it, or for all clips (None)."""
        pairs = self._pairs() if tested is None else [p for p in self._pairs() if tested in p]
        for pair in pairs:
            if pair not in self._evidence:
                self._evidence[pair] = self._judge(pair)
        choice = self._simplest(pairs, tested)
        if "mlp" not in self.kinds:
            return choice
        layers = self._simplest(pairs, tested).best.layers
        rival = Candidate("mlp", layers)
        for pair in pairs:
            if rival not in self._evidence[pair]:
                self._evidence[pair][rival] = self._judge_mlp(pair, layers)
        return self._simplest(pairs, tested)

    def fit(self, candidate: Candidate, without: int | None = None) -> Head:
        """Fit ``candidate`` on all clips but those of fold ``without``."""
        rows = self.fold != (-1 if without is None else without)
        span = Span(self.features[candidate.layers][rows])
        return heads.fit(
            candidate.head, span, self.truth[rows], self.classes, candidate.penalty, self.seed
        )

    def out_of_fold(self) -> tuple[np.ndarray, list[Candidate]]:
        """Return logits (N, K), each from a model chosen and fitted without the clip's fold."""
        logits = np.zeros((len(self.truth), self.classes), np.float32)
        chosen = []
        for tested in self.folds:
            best = self.choose(tested).best
            rows = self.fold == tested
            logits[rows] = self.fit(best, tested).logits(self.features[best.layers][rows])
            chosen.append(best)
        return logits, chosen

    def _pairs(self) -> list[tuple[int, int]]:
        count = len(self.folds)
        if len(self.truth) <= MOST_FOR_ALL_PAIRS:
            return list(itertools.combinations(self.folds, 2))
        return sorted({(min(i, j), max(i, j)) for i in self.folds for j in [(i + 1) % count]})

    def _judge(self, pair: tuple[int, int]) -> dict[Candidate, tuple[float, float]]:
        """Return, for each cheap candidate fitted without ``pair``, its accuracy on either."""
        train = ~np.isin(self.fold, pair)
        found = {}
        for layers, features in self.features.items():
            span = Span(features[train])
            others = span.project(features[~train])
            if "prototype" in self.kinds:
                head = heads.fit("prototype", span, self.truth[train], self.classes, 0.0, self.seed)
                logits = head.logits(features[~train])
                found[Candidate("prototype", layers)] = self._accuracy(pair, logits)
            if "linear" in self.kinds or "mlp" in self.kinds:
                path = heads.path_logits(span, self.truth[train], self.classes, others)
                for penalty, logits in path.items():
                    found[Candidate("linear", layers, penalty)] = self._accuracy(pair, logits)
        return found

    def _judge_mlp(self, pair: tuple[int, int], layers: str) -> tuple[float, float]:
        train = ~np.isin(self.fold, pair)
        span = Span(self.features[layers][train])
        head = heads.fit("mlp", span, self.truth[train], self.classes, 0.0, self.seed)
        return self._accuracy(pair, head.logits(self.features[layers][~train]))

    def _accuracy(self, pair: tuple[int, int], logits: np.ndarray) -> tuple[float, float]:
        held = np.isin(self.fold, pair)
        right = logits.argmax(1) == self.truth[held]
        first = self.fold[held] == pair[0]
        return float(right[first].mean()), float(right[~first].mean())

    def _simplest(self, pairs: Sequence[tuple[int, int]], tested: int | None) -> Choice:
        """Keep the simplest candidate whose loss to the best is within one standard error.

        The error is that of the paired difference over the inner folds.
        """
        table = {}
        for candidate in self._evidence[pairs[0]]:
            if all(candidate in self._evidence[pair] for pair in pairs):
                both = [(p, self._evidence[p][candidate]) for p in pairs]
                table[candidate] = np.array(
                    [
                        s
                        for p, score in both
                        for fold, s in zip(p, score, strict=True)
                        if fold != tested
                    ]
                )
        mean = {candidate: float(scores.mean()) for candidate, scores in table.items()}
        allowed = [c for c in table if c.head in self.kinds] or list(table)
        best = max(allowed, key=lambda c: mean[c])
        near = []
        for candidate in allowed:
            loss = table[best] - table[candidate]
            error = loss.std(ddof=1) / np.sqrt(len(loss)) if len(loss) > 1 else 0.0
            if loss.mean() <= error:
                near.append(candidate)
        return Choice(min(near, key=self._complexity), mean)

    def _complexity(self, c: Candidate) -> tuple[int, int, float]:
        return heads.KINDS.index(c.head), self.features[c.layers].shape[1], c.penalty


@dataclass(frozen=True)
class Solution:
    """The deployed ``head`` and how it was ``chosen``; logits (N, K) of the ``tested`` clips, each
    from a model chosen and fitted without the clip's fold (rows of other clips are zero)."""

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
        chosen, logits = search.choose(), search.out_of_fold()[0]
        return Solution(chosen, search.fit(chosen.best), logits, np.ones(len(clips), bool))
    logits = np.zeros((len(clips), search.classes), np.float32)
    folds = range(len(scheme.names)) if scheme.held_out is None else [scheme.held_out]
    for tested in folds:
        rows = scheme.fold == tested
        inner = _inner(search, clips, content, ~rows)
        chosen = inner.choose()
        head = inner.fit(chosen.best)
        logits[rows] = head.logits(search.features[chosen.best.layers][rows])
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
