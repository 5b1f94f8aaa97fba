"""Answer inner clips with candidates that were fitted without the folds of these clips.

There are three ways. A kernel between clips serves where clips are fewer than features. Sums over
the clips of each fold serve where they are more. Slow heads are fitted one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.training import heads
from earmark.training.inner import Candidate, InnerLogits, Pair
from earmark.training.kernels import FeatureTable
from earmark.training.moments import FoldMoments, System

BLOCK = 1_024  # clips whose features are in memory at a time


@dataclass(frozen=True)
class FoldedClips:
    """Clips with their features, targets and folds: what models are fitted to and asked.

    Clips of ``targets`` all count the same; those of ``balanced`` so that each class does.
    """

    table: FeatureTable
    targets: Targets
    balanced: Targets
    fold: np.ndarray
    is_balanced: bool = False

    @classmethod
    def of(
        cls, table: FeatureTable, targets: Targets, fold: np.ndarray, is_balanced: bool
    ) -> FoldedClips:
        """Make them of ``targets``; balanced weights come from all of the clips, once.

        ``is_balanced`` says that heads with those weights compete, and that losses have them.
        """
        return cls(table, targets, targets.balanced(), fold, is_balanced)

    @property
    def n_folds(self) -> int:
        return int(self.fold.max()) + 1

    def weighted(self, candidate: Candidate) -> Targets:
        """Return the targets that a candidate is fitted to."""
        return self.balanced if candidate.balanced else self.targets

    def blocks(self, name: str, fold: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield places (n,) and features (n, D) of the clips of a fold, some at a time."""
        places = np.flatnonzero(self.fold == fold)
        for start in range(0, len(places), BLOCK):
            some = places[start : start + BLOCK]
            yield some, self.table.features(name, some)


def by_kernel(
    clips: FoldedClips, kernel: np.ndarray, candidates: Sequence[Candidate], pair: Pair
) -> list[InnerLogits]:
    """Answer the clips of ``pair``'s folds by heads fitted to the others, from one ``kernel``.

    The kernel (N, N) is that of all clips, and is centred anew on those that train. Candidates
    differ in head, weights and penalty only.
    """
    is_held = np.isin(clips.fold, pair)
    train, held = np.flatnonzero(~is_held), np.flatnonzero(is_held)
    columns = kernel[:, train]
    means = columns.mean(1)
    centre = means[train]
    columns -= means[:, None]
    columns -= centre - centre.mean()
    inside, across = columns[train], columns[held]
    logits = []
    for (kind, _), group in groupby(candidates, lambda c: (c.head, c.balanced)):
        several = list(group)
        targets = clips.weighted(several[0]).rows(train)
        duals, bias = heads.solve(kind, inside, targets, [c.penalty for c in several])
        flat = across @ np.hstack(list(duals)).astype(np.float32)
        answers = flat.reshape(len(held), *bias.shape).transpose(1, 0, 2)
        logits.append(answers + bias[:, None].astype(np.float32))
    return _parted(clips, candidates, pair, held, np.concatenate(logits))


def _parted(
    clips: FoldedClips,
    candidates: Sequence[Candidate],
    pair: Pair,
    held: np.ndarray,
    logits: np.ndarray,
) -> list[InnerLogits]:
    """Part logits (C, M, K) of the places ``held`` (M,) by fold."""
    parts = []
    for fold in sorted({*pair}):
        own = clips.fold[held] == fold
        parts.append(InnerLogits(candidates, pair, fold, held[own], logits[:, own]))
    return parts


def fold_moments(
    clips: FoldedClips, candidate: Candidate, step: Callable[[int], None] = lambda n: None
) -> FoldMoments:
    """Sum over the clips of each fold, in one pass; ``step`` is told how many are done."""
    targets = clips.weighted(candidate)
    some = np.linspace(0, len(clips.fold) - 1, min(len(clips.fold), BLOCK)).astype(int)
    shift = clips.table.features(candidate.features, some).mean(0)
    moments = FoldMoments(shift, clips.n_folds, targets.n_classes)
    for fold in range(clips.n_folds):
        for places, features in clips.blocks(candidate.features, fold):
            moments.add(fold, features, targets.rows(places))
            step(len(places))
    return moments


def by_moments(
    clips: FoldedClips,
    candidates: Sequence[Candidate],
    pairs: Sequence[Pair],
    step: Callable[[int], None],
) -> list[InnerLogits]:
    """Answer the clips of each pair's folds by heads fitted to the others, in two passes.

    The first sums over the clips, the second scores them. Candidates have one spec and one
    weighting, and are linear or prototype heads. ``step`` is told of clips in each pass.
    """
    moments, several = fold_moments(clips, candidates[-1], step), {}
    for pair in pairs:
        system = moments.system_without(*pair)
        several[pair] = _Several.solve(system, candidates)
    del moments
    inner = []
    for fold in range(clips.n_folds):
        own = [pair for pair in pairs if fold in pair]
        places, answers = [], {pair: list[np.ndarray]() for pair in own}
        for some, features in clips.blocks(candidates[0].features, fold):
            places.append(some)
            for pair in own:
                answers[pair].append(several[pair].logits(features))
            step(len(some))
        if places:
            rows = np.concatenate(places)
            inner += [
                InnerLogits(candidates, pair, fold, rows, np.concatenate(answers[pair], 1))
                for pair in own
            ]
    return inner


@dataclass(frozen=True)
class _Several:
    """Heads of one spec with one standardisation: ``weight`` (C * K, D) and ``bias`` (C, K)."""

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def solve(cls, system: System, candidates: Sequence[Candidate]) -> _Several:
        weights, biases = [], []
        for candidate in candidates:
            weight, bias = system.solve(candidate.head, candidate.penalty)
            weights.append(weight.astype(np.float32))
            biases.append(bias)
        mean, scale = (np.asarray(v, np.float32) for v in (system.mean, system.scale))
        return cls(mean, scale, np.concatenate(weights), np.stack(biases).astype(np.float32))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return (C, n, K) for features (n, D)."""
        flat = ((features - self.mean) / self.scale) @ self.weight.T
        several = flat.reshape(len(flat), len(self.bias), -1).transpose(1, 0, 2)
        return np.ascontiguousarray(several + self.bias[:, None])


def by_fits(
    clips: FoldedClips,
    candidates: Sequence[Candidate],
    pair: Pair,
    heads_of: Callable[[np.ndarray], Sequence[Head]],
) -> list[InnerLogits]:
    """Answer the clips of ``pair``'s folds by the heads that ``heads_of`` fits to other places."""
    is_held = np.isin(clips.fold, pair)
    held = np.flatnonzero(is_held)
    fitted = heads_of(np.flatnonzero(~is_held))
    blocks = np.array_split(held, range(BLOCK, len(held), BLOCK))
    features = (clips.table.features(candidates[0].features, block) for block in blocks)
    logits = [np.stack([head.logits(x) for head in fitted]) for x in features]
    return _parted(clips, candidates, pair, held, np.concatenate(logits, 1))
