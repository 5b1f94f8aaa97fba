"""Screen all candidates on some hundred clips; those far behind are not tried on all clips."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from earmark.classifier.targets import Targets
from earmark.system.progress import Step
from earmark.training import heads, parallel
from earmark.training.fitting import SLOW
from earmark.training.inner import Candidate, Contests, fold_pairs, serves
from earmark.training.judging import FoldedClips, InnerFit, by_kernel

SCREENED_BY = 400  # clips that train a candidate in screening
SCREENED_BY_OF_CLASS = 12  # or this many of each class, if that is more
SCREENED_CLASSES = 60  # at most this many classes take part
NEARLY_ALL = 1.25  # up to this many times the screened clips, all clips are screened
SLOW_FEATURES = 2  # with more features per clip, slow heads rarely win (decision 0004)
AT_ONCE = 4  # kernels that are processed in parallel


def few_clips(clips: FoldedClips, seed: int) -> FoldedClips:
    """Return the clips to screen on: an even share of each class and fold.

    Of many classes, some are left out. If ``clips`` are not many more, the same object is returned.
    """
    n_folds, counts = clips.n_folds, clips.targets.counts
    present = np.flatnonzero(counts)
    each = -(-_trained(len(present)) // max(1, n_folds - 2))
    n_classes = len(present)
    if clips.targets.is_single:  # at least as many classes as are needed for enough clips
        enough = math.ceil(each * n_folds * len(present) / counts.sum())
        n_classes = min(n_classes, max(SCREENED_CLASSES, enough))
    if len(clips.fold) <= NEARLY_ALL * each * n_folds and n_classes == len(present):
        return clips
    targets = clips.targets
    if n_classes < len(present):
        picks = present[np.linspace(0, len(present) - 1, n_classes).round().astype(int)]
        number = np.full(len(counts), -1)
        number[picks] = np.arange(n_classes)
        targets = Targets(number[targets.classes], n_classes, targets.weights)
    inside = targets.first >= 0 if targets.is_single else np.ones(len(targets), bool)
    rows = np.concatenate(
        [
            thinned(np.flatnonzero((clips.fold == fold) & inside), targets, each, seed)
            for fold in range(n_folds)
        ]
    )
    targets = targets.rows(rows)
    return FoldedClips.of(clips.table.loaded(rows), targets, clips.fold[rows], clips.is_balanced)


def _trained(n_classes: int) -> int:
    """Return how many clips train a candidate in screening."""
    return max(SCREENED_BY, SCREENED_BY_OF_CLASS * min(n_classes, SCREENED_CLASSES))


def thinned(rows: np.ndarray, targets: Targets, most: int, seed: int) -> np.ndarray:
    """Return ``rows``, or an even share of each class if they are more than ``most``."""
    if len(rows) <= most:
        return rows
    shuffled = np.random.default_rng(seed).permutation(rows)
    by_class = shuffled[np.argsort(targets.first[shuffled], kind="stable")]
    return np.sort(by_class[np.linspace(0, len(rows) - 1, most).astype(int)])


def screen(
    few: FoldedClips, kinds: Sequence[str], contests: Contests, step: Step, *, is_final: bool
) -> None:
    """Judge every cheap candidate of these ``kinds`` of heads; ``step`` counts feature specs.

    For ``is_final`` see :func:`heads.screened_penalties`.
    """
    pairs = [pair for pair in fold_pairs(few.n_folds) if serves(pair, contests)]
    cheap = [kind for kind in kinds if kind in heads.SUMMED]
    if "linear" not in cheap and len(cheap) < len(kinds):
        cheap.append("linear")  # it shows which layers slow heads should try

    def judge(named: tuple[str, np.ndarray]) -> None:
        name, kernel = named
        candidates = [
            Candidate(kind, name, penalty, is_balanced)
            for kind in cheap
            for is_balanced in ([False, True] if few.is_balanced and kind == "linear" else [False])
            for penalty in heads.screened_penalties(kind, is_final=is_final)
        ]
        fits = [InnerFit(pair, candidates) for pair in pairs]
        inner = [part for fit in fits for part in by_kernel(few, kernel, fit)]
        for contest in contests.values():
            contest.enter(inner)
        step()

    kernels = few.table.kernels(few.table.names, np.arange(len(few.fold)))
    while batch := list(itertools.islice(kernels, AT_ONCE)):
        parallel.side_by_side(judge, batch)


def slow_rivals(
    few: FoldedClips, kinds: Sequence[str], contests: Contests
) -> Mapping[int | None, list[Candidate]]:
    """Return the slow heads that are worth their time in each contest.

    They read the layers that are best for the linear head. If these have many features, slow heads
    rarely win and are left out.
    """
    slow = [kind for kind in kinds if kind in SLOW]
    trained = round(len(few.fold) * max(1, few.n_folds - 2) / few.n_folds)
    most = SLOW_FEATURES * min(_trained(few.targets.n_classes), trained)
    rivals: dict[int | None, list[Candidate]] = {}
    for tested, contest in contests.items():
        linear = (candidate for candidate in contest.ranked() if candidate.head == "linear")
        name = next(linear).features if slow else ""
        is_hopeless = "linear" in kinds and slow and few.table.size(name) > most
        rivals[tested] = [
            Candidate(kind, name, penalty)
            for kind in ([] if is_hopeless else slow)
            for penalty in heads.PENALTIES[kind]
        ]
    return rivals
