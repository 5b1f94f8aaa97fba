"""Score inner clips with candidates that were fitted without the folds of these clips.

There are three ways. If clips are fewer than features, heads are solved from a kernel between
clips. If they are more, heads are solved from sums over the clips of each fold. Slow heads are
fitted one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from earmark.training.moments import FoldMoments
from earmark.training.runs import BLOCK, RUN, Scores, Several, Sum, fold_runs

KERNELS_BYTES = 200_000_000  # bytes of kernels in memory at a time


@dataclass(frozen=True)
class FoldedClips:
    """The features, targets and folds of the clips that models are fitted to and tested on.

    In ``targets`` all clips weigh the same, in ``balanced`` all classes do.
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
        """Return clips whose balanced weights are computed once, from all ``targets``.

        ``is_balanced`` says that losses, and some candidates, use those weights.
        """
        return cls(table, targets, targets.balanced(), fold, is_balanced)

    @property
    def n_folds(self) -> int:
        return int(self.fold.max()) + 1

    def weighted(self, candidate: Candidate) -> Targets:
        """Return the targets that a candidate is fitted to."""
        return self.balanced if candidate.balanced else self.targets


@dataclass(frozen=True)
class InnerFit:
    """A job: fit ``candidates``, which read one feature spec, without the folds of ``pair``.

    If layers have ``weights``, these are valid ``only_for`` one tested fold (None: for all clips).
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

    Weighted candidates are fitted again for each tested fold, with its layer ``weights``. The
    choice for all clips is judged by the logits of all these fits. ``step`` is called with the
    share of the work done since the last call.
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
    """Return the fits that judging the ``eligible`` candidates needs."""
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
    """Return logits of inner clips, by kernels or, if clips outnumber features, by sums."""
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
    """Return logits of the clips of a pair of folds by heads fitted to the other clips.

    The ``kernel`` (N, N) is that of all clips. It is centred again on the training clips.
    """
    is_tested = np.isin(clips.fold, fit.pair)
    train, test = np.flatnonzero(~is_tested), np.flatnonzero(is_tested)
    inside, across = (kernel[rows].take(train, 1) for rows in (train, test))
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
        own = flat.reshape(len(test), *bias.shape).transpose(1, 0, 2)
        logits.append(own + bias[:, None].astype(np.float32))
    return _parted(clips, fit, test, np.concatenate(logits))


def _parted(
    clips: FoldedClips, fit: InnerFit, test: np.ndarray, logits: np.ndarray
) -> list[InnerLogits]:
    """Split logits (C, M, K) of the clips at places ``test`` (M,) by fold."""
    parts = []
    for fold in _scored_folds(fit):
        own = clips.fold[test] == fold
        parts.append(InnerLogits(fit.candidates, fit.pair, fold, test[own], logits[:, own]))
    return parts


def _scored_folds(fit: InnerFit) -> list[int]:
    """Return the folds of the pair whose logits count: for one tested fold, the other one."""
    return sorted(fold for fold in {*fit.pair} if fold != fit.only_for)


def fold_moments(
    clips: FoldedClips,
    specs: str | Sequence[FeatureSpec],
    targets: Targets,
    step: Callable[[int], None] = lambda n: None,
) -> FoldMoments:
    """Return sums over the clips of each fold, from one pass.

    ``step`` is called with the number of clips done since the last call.
    """
    table = clips.table
    shift = table.features(specs, some_rows(len(clips.fold), BLOCK)).mean(0)
    total = FoldMoments(shift, clips.n_folds, targets.n_classes)
    runs = fold_runs(clips.fold, clips.n_folds, len(shift))
    jobs = (
        Sum(
            table.run(specs, run.places),
            specs,
            run.fold,
            len(run.folds),
            total.shift,
            targets.rows(run.places),
        )
        for run in runs
    )
    result_bytes = 4 * len(shift) ** 2 * max(len(run.folds) for run in runs)
    for run, own in zip(runs, table.map(Sum.moments, jobs, result_bytes), strict=True):
        total.merge(run.folds, own)
        step(len(run.places))
    return total


def by_moments(
    clips: FoldedClips, fits: Sequence[InnerFit], step: Callable[[int], None]
) -> list[InnerLogits]:
    """Return logits of the clips of each pair of folds by heads fitted to the other clips.

    The first pass sums over the clips, the second scores them. The candidates are linear or
    prototype heads with one spec and one weighting of clips. ``step`` is called in both passes, as
    in :func:`fold_moments`.
    """
    name, table, n_folds = fits[0].candidates[0].features, clips.table, clips.n_folds
    moments = fold_moments(clips, name, clips.weighted(fits[0].candidates[-1]), step)
    several, shift = [], moments.shift
    for fit in fits:
        system = moments.system_without(*fit.pair)
        weights = table.feature_weights(name, fit.weights)
        several.append(Several.solve(system, fit.candidates, shift, weights))
    del moments
    own = [[k for k, fit in enumerate(fits) if f in _scored_folds(fit)] for f in range(n_folds)]
    runs = fold_runs(clips.fold, n_folds, len(shift))
    jobs = (
        Scores(
            table.run(name, run.places),
            name,
            run.fold,
            len(run.folds),
            shift,
            [[several[k] for k in own[fold]] for fold in run.folds],
        )
        for run in runs
    )
    result_bytes = 4 * RUN * max(sum(several[k].bias.size for k in each) for each in own)
    rows: list[list[np.ndarray]] = [[] for _ in own]
    logits: list[list[list[np.ndarray]]] = [[] for _ in own]
    for run, result in zip(runs, table.map(Scores.logits, jobs, result_bytes), strict=True):
        for number, (fold, each) in enumerate(zip(run.folds, result, strict=True)):
            rows[fold].append(run.places[run.fold == number])
            logits[fold] += [each] if each else []
        step(len(run.places))
    inner = list[InnerLogits]()
    for fold in range(n_folds):
        places = np.concatenate(rows[fold])
        for k, blocks in zip(own[fold], zip(*logits[fold], strict=True), strict=bool(len(places))):
            fit, joined = fits[k], np.concatenate(blocks, 1)
            inner.append(InnerLogits(fit.candidates, fit.pair, fold, places, joined))
    return inner


def by_fits(
    clips: FoldedClips, fit: InnerFit, heads_of: Callable[[np.ndarray], Sequence[Head]]
) -> list[InnerLogits]:
    """Return logits of the clips of a pair of folds by heads fitted to the other clips.

    ``heads_of`` fits the candidates to the clips at some places.
    """
    is_tested = np.isin(clips.fold, fit.pair)
    test = np.flatnonzero(is_tested)
    fitted = heads_of(np.flatnonzero(~is_tested))
    blocks = np.array_split(test, range(BLOCK, len(test), BLOCK))
    features = (clips.table.features(fit.candidates[0].features, block) for block in blocks)
    logits = [np.stack([head.logits(x) for head in fitted]) for x in features]
    return _parted(clips, fit, test, np.concatenate(logits, 1))
