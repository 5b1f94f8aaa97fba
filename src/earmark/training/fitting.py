"""Fit a candidate to clips: from sums over the clips, from their features, or in batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.errors import EarmarkError
from earmark.training import batches, heads, parallel
from earmark.training.average import fit, joined
from earmark.training.inner import Average, Candidate
from earmark.training.judging import FoldedClips, fold_moments
from earmark.training.moments import moments_bytes

SLOW = ("logistic", "mlp")
MOST_BESIDE = 1_000  # with more clips, heads are fitted one after the other
LONG = 5_000  # with more clips than this and than features, heads are fitted from sums
MEMORY = 4_000_000_000  # bytes that a training may take
PROGRAM = 500_000_000  # bytes that the program itself takes


def check_memory(gigabytes: float) -> None:
    """Raise EarmarkError for a limit of memory that is not a number above 0."""
    if not 0 < gigabytes < math.inf:
        raise EarmarkError(f"memory is {gigabytes:g} GB. Give a number above 0, such as 4.")


@dataclass(frozen=True)
class Fitter:
    """Fits candidates to ``clips`` within ``memory`` bytes; ``seed`` is that of random numbers."""

    clips: FoldedClips
    seed: int = 0
    memory: int = MEMORY

    def fit(self, candidate: Candidate, places: np.ndarray) -> Head:
        """Fit ``candidate`` to the clips at ``places``."""
        table, kind = self.clips.table, candidate.head
        specs = (table.spec(candidate.features, candidate.weights),)
        weights = table.spec_weights(candidate.features, candidate.weights)
        targets = self.clips.weighted(candidate).rows(places)
        if self._is_summed(candidate):
            fold = np.zeros(len(places), np.int64)
            alone = FoldedClips(table.only(places), targets, targets, fold)
            system = fold_moments(alone, specs, targets).system([0])
            return heads.summed_head(kind, system, candidate.penalty, weights)
        if kind in SLOW and not self.is_small(specs, len(places)):
            own = table.only(places)
            return batches.fit(
                kind,
                lambda rows: own.features(specs, rows),
                targets,
                candidate.penalty,
                self.seed,
            )
        features = table.features(specs, places)
        return heads.fit(kind, features, targets, candidate.penalty, self.seed, weights)

    def fit_average(self, average: Average, places: np.ndarray) -> Head:
        """Fit all members of ``average`` to the clips at ``places``; return one head."""
        table, specs = self.clips.table, average.specs(self.clips.table)
        is_summed = any(map(self._is_summed, average.members))
        if average.is_single or is_summed or not self.is_small(specs, len(places)):
            members = [self.fit(member, places) for member in average.members]
            return joined(average, table, members)

        def targets_of(balanced: bool) -> Targets:
            return (self.clips.balanced if balanced else self.clips.targets).rows(places)

        return fit(average, table, table.features(specs, places), targets_of, self.seed)

    def fit_path(self, candidates: Sequence[Candidate], places: np.ndarray) -> list[Head]:
        """Fit candidates of one kind and spec that differ only in their penalty."""
        kind, name = candidates[0].head, candidates[0].features
        specs = (self.clips.table.specs[name],)
        if len(candidates) == 1 or not self.is_small(specs, len(places)):
            return [self.fit(candidate, places) for candidate in candidates]
        features = self.clips.table.features(name, places)
        path = dict(heads.fit_path(kind, features, self.clips.targets.rows(places), self.seed))
        return [path[candidate.penalty] for candidate in candidates]

    def fit_without(
        self, averages: Sequence[Average], folds: Sequence[Sequence[int]]
    ) -> Iterator[Head]:
        """Yield the head of each average, fitted to the clips outside its ``folds``."""
        import torch

        sums = self._from_sums(averages, folds)
        fitted: dict[int, Head] = {}

        def fit(number: int) -> None:
            places = np.flatnonzero(~np.isin(self.clips.fold, folds[number]))
            fitted[number] = self.fit_average(averages[number], places)

        jobs = [number for number in range(len(averages)) if number not in sums]
        members = [member for number in jobs for member in averages[number].members]
        n_clips = len(self.clips.fold)
        together = n_clips <= MOST_BESIDE  # larger matrices keep all cores busy
        if any(member.head == "logistic" for member in members):  # its many small products do not
            n_beside = n_clips * torch.get_num_threads()
            specs = self.clips.table.specs
            together = all(self.is_small([specs[m.features]], n_beside) for m in members)
        if together and self.clips.table.is_in_memory:
            parallel.side_by_side(fit, jobs)
        else:
            for number in jobs:
                fit(number)
        for number in range(len(averages)):
            yield sums[number] if number in sums else fitted[number]

    def _from_sums(
        self, averages: Sequence[Average], folds: Sequence[Sequence[int]]
    ) -> dict[int, Head]:
        """Fit the averages whose members are all fitted from sums.

        One pass over the clips serves them all. Members with balanced classes take another pass.
        """
        table, fitted = self.clips.table, dict[tuple[int, Candidate], Head]()
        summed = [n for n, a in enumerate(averages) if all(map(self._is_summed, a.members))]
        for is_balanced in (False, True):
            jobs = [
                (number, member, table.spec(member.features, member.weights))
                for number in summed
                for member in averages[number].members
                if member.balanced == is_balanced
            ]
            specs = tuple(dict.fromkeys(spec for _, _, spec in jobs))
            groups = [specs] if self._fit_together(specs) else [(spec,) for spec in specs]
            for group in groups:
                own = [job for job in jobs if job[2] in group]
                moments = fold_moments(self.clips, group, self.clips.weighted(own[0][1]))
                for number, member, spec in own:
                    weights = table.spec_weights(member.features, member.weights)
                    system = moments.system_without(*folds[number])
                    if len(group) > 1:
                        system = system.part(table.columns(group, spec))
                    fitted[number, member] = heads.summed_head(
                        member.head, system, member.penalty, weights
                    )
        return {
            number: joined(
                averages[number], table, [fitted[number, m] for m in averages[number].members]
            )
            for number in summed
        }

    def _fit_together(self, specs: Sequence[FeatureSpec]) -> bool:
        """Return whether one pass can sum over the features of all ``specs`` within the memory."""
        clips = self.clips
        size, n_classes = clips.table.size(specs), clips.targets.n_classes
        if not specs or not self._are_fewer(size):
            return False
        needed = moments_bytes(size, n_classes, clips.n_folds) + clips.table.bytes_in_memory
        return needed + PROGRAM <= self.memory

    def _is_summed(self, candidate: Candidate) -> bool:
        """Return whether a head is fitted from sums over the clips."""
        spec = self.clips.table.spec(candidate.features, candidate.weights)
        return candidate.head in heads.SUMMED and self._are_fewer(self.clips.table.size([spec]))

    def _are_fewer(self, n_features: int) -> bool:
        """Return whether features are fewer than clips, and clips so many that sums are faster."""
        return len(self.clips.fold) > max(LONG, n_features)

    def is_small(self, specs: Sequence[FeatureSpec], n_clips: int) -> bool:
        """Return whether the features of ``n_clips``, with two copies, take little memory."""
        return 12 * n_clips * self.clips.table.size(specs) <= self.memory // 4
