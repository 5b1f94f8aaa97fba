"""A dataset after embedding, as training uses it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.examination import before_training
from earmark.data.doctor.findings import Finding
from earmark.data.splits import Scheme, make_scheme
from earmark.embeddings.embedding import Embeddings, embed
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.errors import DataError
from earmark.system.progress import Stages
from earmark.training.parts import embeddings_of_parts, folder_of_parts


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


def embed_data(
    dataset: Dataset,
    networks: Sequence[Backbone],
    stages: Stages,
    folds: int,
    seed: int,
    store: Store | None,
    memory: float,
    *,
    is_inner: bool = False,
) -> EmbeddedData:
    """Embed with every network and make the folds; refuse unsuitable data before embedding.

    ``memory`` is in gigabytes, and ``is_inner`` as for :func:`make_scheme`.
    """
    whole = partial(
        make_scheme, folds=folds, seed=seed, separator=dataset.separator, is_inner=is_inner
    )
    whole(dataset.clips, np.arange(len(dataset)))  # an early check; equal recordings come later
    embeddings, skipped = _embed_all(dataset, networks, store, memory, stages)
    content = embeddings[0].sounds
    scheme = whole(embeddings[0].clips, content)
    return EmbeddedData(dataset, networks, embeddings, skipped, content, scheme, store)


def _embed_all(
    dataset: Dataset,
    networks: Sequence[Backbone],
    store: Store | None,
    memory: float,
    stages: Stages,
) -> tuple[list[Embeddings], tuple[Failure, ...]]:
    """Embed with every network, and keep the clips that every network could read.

    Embeddings of a folder of parts are read from there.
    """
    embeddings, folder = [], folder_of_parts(dataset)
    most_bytes = int(memory * 1e9 / 4 / len(networks))
    for network in networks:
        with stages.stage("embed", len(dataset), f"embedding with {network.info.name}"):
            own = folder and embeddings_of_parts(folder, dataset, network, most_bytes)
            embeddings.append(
                own
                or embed(
                    dataset.clips,
                    network,
                    store,
                    options=dataset.audio,
                    progress=stages.progress,
                    most_bytes=most_bytes,
                )
            )
    common = set.intersection(*(set(e.clips) for e in embeddings))
    if not common:
        first = embeddings[0].failures[0]
        raise DataError(
            f"none of the {len(dataset)} clips could be read. The first is {first.path}:"
            f" {first.reason}"
        )
    failures = {failure.path: failure for e in embeddings for failure in e.failures}
    return [e.only(common) for e in embeddings], tuple(failures.values())
