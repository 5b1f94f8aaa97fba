"""A dataset after embedding, as training uses it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.examination import before_training
from earmark.data.doctor.findings import Finding
from earmark.data.splits import Scheme
from earmark.embeddings.embedding import Embeddings
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store


@dataclass(frozen=True)
class EmbeddedData:
    """A dataset after embedding: the clips that every backbone could read."""

    dataset: Dataset
    networks: Sequence[Backbone]
    embeddings: Sequence[Embeddings]
    skipped: tuple[Failure, ...]
    content: np.ndarray  # (N,), one number for each distinct sound
    scheme: Scheme
    store: Store | None = None

    @property
    def clips(self) -> tuple[Clip, ...]:
        return self.embeddings[0].clips

    @functools.cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the doctor's quick checks, near copies included."""
        from earmark.embeddings.comparisons import Comparisons

        first, fold = self.embeddings[0], self.scheme.fold
        seconds = first.seconds / max(1, len(self.clips))
        known = None if self.store is None else Comparisons(self.store, first.keys)
        return tuple(
            before_training(
                self.dataset, self.clips, self.content, first.matrix, fold, seconds, known
            )
        )

    @property
    def leaks(self) -> tuple[str, ...]:
        """Warnings about tested clips that are also in the training clips, or nearly so."""
        from earmark.data.doctor.likely_copies import leaking_sets

        sets = leaking_sets(self.findings)
        verb = "is" if sets is not None and sets.startswith("1 ") else "are"
        near = () if sets is None else (f"{sets} {verb} both trained on and tested.",)
        return (*self.scheme.warnings, *near)
