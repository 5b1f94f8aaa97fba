"""Work on a run of clips: sum over them, or score them. Workers may do it, in any order."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.training.inner import Candidate
from earmark.training.kernels import FeatureTable
from earmark.training.moments import FoldMoments, System

RUN = 8_192  # clips that are summed or scored as one task, whoever does it
BLOCK = 1_024  # clips whose features are in memory at a time
GROUP_BYTES = 1 << 26  # of sums of a run: those of one fold, or of as many as fit


class FoldRun(NamedTuple):
    """A run of clips of some ``folds``: their ``places`` (n,), and for each the number of its fold.

    ``fold`` (n,) counts from 0 among the ``folds``.
    """

    folds: Sequence[int]
    places: np.ndarray
    fold: np.ndarray


def fold_runs(fold: np.ndarray, n_folds: int, n_features: int) -> list[FoldRun]:
    """Cut clips of the folds ``fold`` (N,) into runs, whose sums over the features are not large.

    Several folds in one run save reading: clips that follow each other are in one file, but seldom
    in one fold.
    """
    at_once = min(n_folds, max(1, GROUP_BYTES // (4 * n_features**2)))
    runs = []
    for first in range(0, n_folds, at_once):
        folds = range(first, min(n_folds, first + at_once))
        for places in runs_of(np.flatnonzero(np.isin(fold, folds))):
            runs.append(FoldRun(folds, places, fold[places] - first))
    return runs


def runs_of(rows: np.ndarray) -> list[np.ndarray]:
    """Return ``rows`` (N,) cut into runs."""
    return [rows[first : first + RUN] for first in range(0, len(rows), RUN)]


@dataclass(frozen=True)
class Job:
    """Work on a run of clips: those of ``table``, of which it reads ``specs``.

    ``fold`` (n,) are numbers of ``n_folds`` folds, from 0.
    """

    table: FeatureTable
    specs: str | Sequence[FeatureSpec]
    fold: np.ndarray
    n_folds: int

    def blocks(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield a fold, numbers (n,) and features (n, D) of some of its clips."""
        for first in range(0, len(self.table), BLOCK):
            some = self.fold[first : first + BLOCK]
            for fold in range(self.n_folds):
                rows = first + np.flatnonzero(some == fold)
                if len(rows):
                    yield fold, rows, self.table.features(self.specs, rows)


@dataclass(frozen=True)
class Sum(Job):
    """Sum over clips with ``targets``; ``shift`` (D,) is their rough mean."""

    shift: np.ndarray
    targets: Targets

    def moments(self) -> FoldMoments:
        """Return the sums over the clips of each fold."""
        moments = FoldMoments(self.shift, self.n_folds, self.targets.n_classes)
        waiting: dict[int, list[tuple[np.ndarray, np.ndarray]]] = collections.defaultdict(list)
        for fold, rows, features in self.blocks():
            waiting[fold].append((rows, features))
            if sum(len(rows) for rows, _ in waiting[fold]) >= BLOCK:
                self._add(moments, fold, waiting.pop(fold))
        for fold in sorted(waiting):
            self._add(moments, fold, waiting[fold])
        return moments

    def _add(
        self, moments: FoldMoments, fold: int, several: list[tuple[np.ndarray, np.ndarray]]
    ) -> None:
        rows, features = map(np.concatenate, zip(*several, strict=True))
        moments.add(fold, features, self.targets.rows(rows))


@dataclass(frozen=True)
class Several:
    """C heads of one spec, with ``weight`` (C * K, d) and ``bias`` (C, K).

    They read the features ``columns`` (d,) minus a rough mean.
    """

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
    ) -> Several:
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
        """Return logits (C, n, K) for features (n, D) minus their rough mean."""
        flat = x[:, self.columns] @ self.weight.T
        several = flat.reshape(len(flat), len(self.bias), -1).transpose(1, 0, 2)
        return np.ascontiguousarray(several + self.bias[:, None])


@dataclass(frozen=True)
class Scores(Job):
    """Score clips, whose features have a rough mean ``shift`` (D,), with the heads of their fold.

    ``several`` has a list of heads for each fold.
    """

    shift: np.ndarray
    several: Sequence[Sequence[Several]]

    def logits(self) -> list[list[np.ndarray]]:
        """Return, for each fold, the logits (C, n, K) of its clips by each of its heads."""
        blocks: list[list[list[np.ndarray]]] = [[[] for _ in own] for own in self.several]
        for fold, _, features in self.blocks():
            features -= self.shift
            for own, each in zip(blocks[fold], self.several[fold], strict=True):
                own.append(each.logits(features))
        return [[np.concatenate(own, 1) for own in each if own] for each in blocks]


@dataclass(frozen=True)
class Answers(Job):
    """Score the clips of each fold with its fitted head, which is one of ``heads``."""

    heads: Sequence[Head]

    def logits(self) -> list[np.ndarray | None]:
        """Return the logits (n, K) of the clips of each fold; None if there are none."""
        blocks: list[list[np.ndarray]] = [[] for _ in self.heads]
        for fold, _, features in self.blocks():
            blocks[fold].append(self.heads[fold].logits(features))
        return [np.concatenate(own) if own else None for own in blocks]
