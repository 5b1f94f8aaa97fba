"""Fit a candidate to some clips: from sums over them, from their features, or in small batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.classifier.head import Head
from earmark.training import batches, heads, parallel
from earmark.training.inner import Candidate
from earmark.training.judging import FoldedClips, fold_moments

SLOW = ("logistic", "mlp")
MOST_BESIDE = 1_000  # clips; of more, heads are fitted one after the other
LONG = 5_000  # clips, and more than features, of which heads are fitted from sums
MEMORY = 4_000_000_000  # bytes that a training may take


@dataclass(frozen=True)
class Fitter:
    """Fits candidates to ``clips`` in ``memory`` bytes, with random numbers of ``seed``."""

    clips: FoldedClips
    seed: int = 0
    memory: int = MEMORY

    def fit(self, candidate: Candidate, places: np.ndarray) -> Head:
        """Fit ``candidate`` to the clips at ``places``."""
        table, kind, name = self.clips.table, candidate.head, candidate.features
        targets = self.clips.weighted(candidate).rows(places)
        if self.is_summed(candidate):
            fold = np.zeros(len(places), np.int64)
            alone = FoldedClips(table.only(places), targets, targets, fold)
            system = fold_moments(alone, candidate).system([0])
            return heads.summed_head(kind, system, candidate.penalty)
        if kind in SLOW and not self.is_small(name, len(places)):
            own = table.only(places)
            return batches.fit(
                kind,
                lambda rows: own.features(name, rows),
                targets,
                candidate.penalty,
                self.seed,
            )
        features = table.features(name, places)
        return heads.fit(kind, features, targets, candidate.penalty, self.seed)

    def fit_path(self, candidates: Sequence[Candidate], places: np.ndarray) -> list[Head]:
        """Fit candidates of one kind and spec, which differ in penalty only."""
        kind, name = candidates[0].head, candidates[0].features
        if len(candidates) == 1 or not self.is_small(name, len(places)):
            return [self.fit(candidate, places) for candidate in candidates]
        features = self.clips.table.features(name, places)
        path = dict(heads.fit_path(kind, features, self.clips.targets.rows(places), self.seed))
        return [path[candidate.penalty] for candidate in candidates]

    def fit_without(self, candidate: Candidate, folds: Sequence[Sequence[int]]) -> Iterator[Head]:
        """Yield heads that are fitted without some folds each; they share what they can."""
        if self.is_summed(candidate):
            moments = fold_moments(self.clips, candidate)
            for left_out in folds:
                system = moments.system_without(*left_out)
                yield heads.summed_head(candidate.head, system, candidate.penalty)
            return
        import torch

        fitted: dict[int, Head] = {}

        def fit(number: int) -> None:
            places = np.flatnonzero(~np.isin(self.clips.fold, folds[number]))
            fitted[number] = self.fit(candidate, places)

        n_clips = len(self.clips.fold)
        together = n_clips <= MOST_BESIDE  # larger matrices have work for all cores
        if candidate.head == "logistic":  # not so its many small products
            together = self.is_small(candidate.features, n_clips * torch.get_num_threads())
        if not together or not self.clips.table.is_in_memory:
            for number in range(len(folds)):
                fit(number)
        else:
            parallel.side_by_side(fit, range(len(folds)))
        yield from (fitted[number] for number in range(len(folds)))

    def is_summed(self, candidate: Candidate) -> bool:
        """Say whether a head is fitted from sums over the clips, some at a time."""
        size = self.clips.table.size(candidate.features)
        return candidate.head in heads.SUMMED and len(self.clips.fold) > max(LONG, size)

    def is_small(self, name: str, n_clips: int) -> bool:
        """Say whether features of so many clips, and two copies, are a small part of the memory."""
        return 12 * n_clips * self.clips.table.size(name) <= self.memory // 4
