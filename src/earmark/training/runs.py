"""Work on a run of clips: sum over them, or score them. Workers may do it, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.training.inner import Candidate
from earmark.training.kernels import FeatureTable
from earmark.training.moments import FoldMoments, System

RUN = 8_192  # clips that are summed or scored as one task, whoever does it
BLOCK = 1_024  # clips whose features are in memory at a time


@dataclass(frozen=True)
class Job:
    """Work on a run of clips: those of ``table``, of which it reads ``specs``."""

    table: FeatureTable
    specs: str | Sequence[FeatureSpec]

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield numbers (n,) and features (n, D) of the clips, in blocks."""
        for first in range(0, len(self.table), BLOCK):
            rows = np.arange(first, min(len(self.table), first + BLOCK))
            yield rows, self.table.features(self.specs, rows)


@dataclass(frozen=True)
class Sum(Job):
    """Sum over clips of one fold with ``targets``; ``shift`` (D,) is their rough mean."""

    shift: np.ndarray
    targets: Targets

    def moments(self) -> FoldMoments:
        """Return the sums, as of one fold."""
        moments = FoldMoments(self.shift, 1, self.targets.n_classes)
        for rows, features in self.blocks():
            moments.add(0, features, self.targets.rows(rows))
        return moments


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
    """Score clips, whose features have a rough mean ``shift`` (D,), with ``several`` heads each."""

    shift: np.ndarray
    several: Sequence[Several]

    def logits(self) -> list[np.ndarray]:
        """Return the logits (C, n, K) by each of ``several``."""
        blocks: list[list[np.ndarray]] = [[] for _ in self.several]
        for _, features in self.blocks():
            features -= self.shift
            for own, each in zip(blocks, self.several, strict=True):
                own.append(each.logits(features))
        return [np.concatenate(own, 1) for own in blocks]


@dataclass(frozen=True)
class Answers(Job):
    """Score clips with one fitted ``head``."""

    head: Head

    def logits(self) -> np.ndarray:
        """Return the logits (n, K)."""
        return np.concatenate([self.head.logits(features) for _, features in self.blocks()])
