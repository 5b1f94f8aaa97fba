"""Answer inner clips with candidates that were fitted without the folds of these clips.

There are three ways. A kernel between clips serves where clips are fewer than features. Sums over
the clips of each fold serve where they are more. Slow heads are fitted one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from earmark.classifier.calibration import some_rows
from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.training import heads, parallel
from earmark.training.inner import (
    Candidate,
    Contests,
    InnerLogits,
    Pair,
    Weights,
    fold_pairs,
    serves,
)
from earmark.training.kernels import FeatureTable
from earmark.training.moments import FoldMoments, System

BLOCK = 1_024  # clips whose features are in memory at a time
KERNELS_BYTES = 200_000_000  # of the kernels that are in memory at a time


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

    def blocks(
        self, specs: str | Sequence[FeatureSpec], fold: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield places (n,) and features (n, D) of the clips of a fold, some at a time."""
        places = np.flatnonzero(self.fold == fold)
        for start in range(0, len(places), BLOCK):
            some = places[start : start + BLOCK]
            yield some, self.table.features(specs, some)


@dataclass(frozen=True)
class InnerFit:
    """Heads to fit without the folds of ``pair``: ``candidates`` that read one feature spec.

    Layers may have ``weights``; those were made ``only_for`` a fold that tests, or for all clips.
    """

    pair: Pair
    candidates: Sequence[Candidate]
    weights: Weights = ()
    only_for: int | None = None


Eligible = Mapping[int | None, Collection[Candidate]]  # for each tested fold
LayerWeights = Mapping[int | None, Weights]  # for each tested fold


def judge(
    clips: FoldedClips,
    eligible: Eligible,
    contests: Contests,
    weights: LayerWeights,
    step: Callable[[float], None] = lambda share: None,
) -> None:
    """Enter candidates of one spec and one balance into the contests for which they are eligible.

    Weighted ones are fitted anew for each fold that is tested, with its ``weights`` of layers. The
    choice for all clips is judged by the answers of all these fits. ``step`` is told which share is
    done.
    """
    fits = _inner_fits(eligible, weights, clips.n_folds)
    inner = _answer(clips, fits, step)
    for is_weighted in (False, True):
        parts = [part for part in inner if part.candidates[0].is_weighted == is_weighted]

        def enter(
            tested: int | None,
            parts: Sequence[InnerLogits] = parts,
            is_weighted: bool = is_weighted,
        ) -> None:
            own = [c for c in eligible[tested] if c.is_weighted == is_weighted]
            if own:
                contests[tested].enter(parts, own)

        parallel.side_by_side(enter, list(eligible))


def _inner_fits(eligible: Eligible, weights: LayerWeights, n_folds: int) -> list[InnerFit]:
    """Return what must be fitted to judge the ``eligible`` candidates."""
    pairs = [pair for pair in fold_pairs(n_folds) if serves(pair, eligible)]
    every = {candidate for several in eligible.values() for candidate in several}
    plain = _sorted(candidate for candidate in every if not candidate.is_weighted)
    fits = [InnerFit(pair, plain) for pair in pairs] if plain else []
    folds: list[int | None] = [tested for tested in weights if tested is not None]
    for tested in folds or [None]:
        several = {*eligible.get(tested, ()), *eligible.get(None, ())}
        weighted = _sorted(candidate for candidate in several if candidate.is_weighted)
        for pair in pairs if weighted else ():
            if tested is None or tested in pair:
                fits.append(InnerFit(pair, weighted, weights[tested], tested))
    return fits


def _sorted(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda c: (c.head != "prototype", -c.penalty))


def _answer(
    clips: FoldedClips, fits: Sequence[InnerFit], step: Callable[[float], None]
) -> list[InnerLogits]:
    """Answer inner clips by kernels, or by sums where clips are more than features."""
    n_clips, name = len(clips.fold), fits[0].candidates[0].features
    if n_clips > clips.table.sizes[name]:
        return by_moments(clips, fits, lambda n: step(n / (2 * n_clips)))
    several = list(dict.fromkeys(fit.weights for fit in fits))
    at_once = max(1, KERNELS_BYTES // (4 * n_clips**2))
    inner: dict[int, list[InnerLogits]] = {}
    for start in range(0, len(several), at_once):
        some = several[start : start + at_once]
        kernels = clips.table.weighted_kernels(name, np.arange(n_clips), some)
        kernel_of = dict(zip(some, kernels, strict=True))

        def answer(number: int, kernel_of: dict[Weights, np.ndarray] = kernel_of) -> None:
            inner[number] = by_kernel(clips, kernel_of[fits[number].weights], fits[number])
            step(1 / len(fits))

        own = [number for number, fit in enumerate(fits) if fit.weights in kernel_of]
        parallel.side_by_side(answer, own)
    return [part for number in sorted(inner) for part in inner[number]]


def by_kernel(clips: FoldedClips, kernel: np.ndarray, fit: InnerFit) -> list[InnerLogits]:
    """Answer the clips of a pair of folds by heads fitted to the others, from one ``kernel``.

    The kernel (N, N) is that of all clips, and is centred anew on those that train.
    """
    is_held = np.isin(clips.fold, fit.pair)
    train, held = np.flatnonzero(~is_held), np.flatnonzero(is_held)
    inside, across = (kernel[rows].take(train, 1) for rows in (train, held))
    centre = inside.mean(1)
    inside -= centre[:, None]
    across -= across.mean(1)[:, None]
    centre -= centre.mean()
    inside -= centre
    across -= centre
    logits = []
    for (kind, _), group in groupby(fit.candidates, lambda c: (c.head, c.balanced)):
        several = list(group)
        targets = clips.weighted(several[0]).rows(train)
        duals, bias = heads.solve(kind, inside, targets, [c.penalty for c in several])
        flat = across @ np.hstack(list(duals)).astype(np.float32)
        answers = flat.reshape(len(held), *bias.shape).transpose(1, 0, 2)
        logits.append(answers + bias[:, None].astype(np.float32))
    return _parted(clips, fit, held, np.concatenate(logits))


def _parted(
    clips: FoldedClips, fit: InnerFit, held: np.ndarray, logits: np.ndarray
) -> list[InnerLogits]:
    """Part logits (C, M, K) of the places ``held`` (M,) by fold."""
    parts = []
    for fold in _answered(fit):
        own = clips.fold[held] == fold
        parts.append(InnerLogits(fit.candidates, fit.pair, fold, held[own], logits[:, own]))
    return parts


def _answered(fit: InnerFit) -> list[int]:
    """Return the folds whose answers are evidence: for the fold that is tested, the other."""
    return sorted(fold for fold in {*fit.pair} if fold != fit.only_for)


def fold_moments(
    clips: FoldedClips,
    specs: str | Sequence[FeatureSpec],
    targets: Targets,
    step: Callable[[int], None] = lambda n: None,
) -> FoldMoments:
    """Sum over the clips of each fold, in one pass; ``step`` is told how many are done."""
    shift = clips.table.features(specs, some_rows(len(clips.fold), BLOCK)).mean(0)
    moments = FoldMoments(shift, clips.n_folds, targets.n_classes)
    for fold in range(clips.n_folds):
        for places, features in clips.blocks(specs, fold):
            moments.add(fold, features, targets.rows(places))
            step(len(places))
    return moments


def by_moments(
    clips: FoldedClips, fits: Sequence[InnerFit], step: Callable[[int], None]
) -> list[InnerLogits]:
    """Answer the clips of each pair's folds by heads fitted to the others, in two passes.

    The first sums over the clips, the second scores them. Candidates have one spec and one
    weighting of clips, and are linear or prototype heads. ``step`` is told of clips in each pass.
    """
    name, table = fits[0].candidates[0].features, clips.table
    moments = fold_moments(clips, name, clips.weighted(fits[0].candidates[-1]), step)
    several, shift = [], moments.shift
    for fit in fits:
        system = moments.system_without(*fit.pair)
        weights = table.feature_weights(name, fit.weights)
        several.append(_Several.solve(system, fit.candidates, shift, weights))
    del moments
    inner = []
    for fold in range(clips.n_folds):
        own = [number for number, fit in enumerate(fits) if fold in _answered(fit)]
        places, answers = [], {number: list[np.ndarray]() for number in own}
        for some, features in clips.blocks(name, fold):
            places.append(some)
            features -= shift
            for number in own:
                answers[number].append(several[number].logits(features))
            step(len(some))
        if places:
            rows = np.concatenate(places)
            for number in own:
                fit, logits = fits[number], np.concatenate(answers[number], 1)
                inner.append(InnerLogits(fit.candidates, fit.pair, fold, rows, logits))
    return inner


@dataclass(frozen=True)
class _Several:
    """Heads of one spec: ``weight`` (C * K, d) of the features ``columns`` (d,) less their rough
    mean ``shift``, and ``bias`` (C, K)."""

    columns: np.ndarray | slice
    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def solve(
        cls,
        system: System,
        candidates: Sequence[Candidate],
        shift: np.ndarray,
        weights: np.ndarray | None,
    ) -> _Several:
        """Solve ``system``; features may have ``weights`` (D,), and those of 0 are not read."""
        columns: np.ndarray | slice = slice(None)
        if weights is not None:
            columns = np.flatnonzero(weights)
            system = system.part(columns, weights[columns])
        slopes, biases = [], []
        for candidate in candidates:
            weight, bias = system.solve(candidate.head, candidate.penalty)
            slope = weight / system.scale
            slopes.append(slope.astype(np.float32))
            biases.append(bias - slope @ (system.mean - shift[columns]))
        return cls(columns, np.concatenate(slopes), np.stack(biases).astype(np.float32))

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return (C, n, K) for features (n, D) less their rough mean."""
        flat = x[:, self.columns] @ self.weight.T
        several = flat.reshape(len(flat), len(self.bias), -1).transpose(1, 0, 2)
        return np.ascontiguousarray(several + self.bias[:, None])


def by_fits(
    clips: FoldedClips, fit: InnerFit, heads_of: Callable[[np.ndarray], Sequence[Head]]
) -> list[InnerLogits]:
    """Answer the clips of a pair of folds by the heads that ``heads_of`` fits to other places."""
    is_held = np.isin(clips.fold, fit.pair)
    held = np.flatnonzero(is_held)
    fitted = heads_of(np.flatnonzero(~is_held))
    blocks = np.array_split(held, range(BLOCK, len(held), BLOCK))
    features = (clips.table.features(fit.candidates[0].features, block) for block in blocks)
    logits = [np.stack([head.logits(x) for head in fitted]) for x in features]
    return _parted(clips, fit, held, np.concatenate(logits, 1))
