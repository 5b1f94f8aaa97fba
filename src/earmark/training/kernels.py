"""The features of all clips under all specs, and the kernels that judge them cheaply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.backbones.info import BackboneInfo
from earmark.classifier.features import (
    FeatureSpec,
    Statistic,
    compute_features,
    compute_statistic,
    list_statistics,
)
from earmark.embeddings.rows import Matrix
from earmark.training.heads import standard


@dataclass(frozen=True)
class FeatureTable:
    """Embeddings (N, E) of each backbone, and the ``specs`` of features of them, by name.

    The kernel of a spec (inner products of its standardised features) is the sum of the kernels of
    its statistics. Many specs share statistics, so all their kernels cost one pass. Where the clips
    are some of the rows of the ``matrices``, ``index`` (N,) says which.
    """

    infos: Sequence[BackboneInfo]
    matrices: Sequence[Matrix]
    specs: Mapping[str, FeatureSpec]
    index: np.ndarray | None = None

    def __len__(self) -> int:
        return self.matrices[0].shape[0] if self.index is None else len(self.index)

    @property
    def names(self) -> list[str]:
        return list(self.specs)

    def features(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return (len(rows), D) float32 of the spec ``name``."""
        return compute_features(self.infos, self._embeddings(rows, name), self.specs[name])

    def size(self, name: str) -> int:
        """Return D, the number of features of the spec ``name``."""
        return sum(self._size(part) for part in self._parts(name))

    @property
    def bytes_in_memory(self) -> int:
        """How many bytes the embeddings take that are in memory."""
        return sum(m.nbytes for m in self.matrices if isinstance(m, np.ndarray))

    @property
    def is_in_memory(self) -> bool:
        """Whether any thread may read: a store is read by the thread that opened it."""
        return all(isinstance(matrix, np.ndarray) for matrix in self.matrices)

    def only(self, rows: np.ndarray) -> FeatureTable:
        """Keep the clips ``rows``, in the order given."""
        return replace(self, index=rows if self.index is None else self.index[rows])

    def loaded(self, rows: np.ndarray) -> FeatureTable:
        """Keep the clips ``rows``, with their embeddings in memory."""
        return FeatureTable(self.infos, self._embeddings(rows), self.specs)

    def kernel(self, name: str, rows: np.ndarray, scaled_by: int | None = None) -> np.ndarray:
        """Return the kernel (n, n) of ``rows`` under a spec.

        Features are standardised on the first ``scaled_by`` of them, by default on all.
        """
        matrices = self._embeddings(rows, name)
        total = np.zeros((len(rows), len(rows)), np.float32)
        for part in self._parts(name):
            total += self._products(part, matrices[part.backbone], scaled_by)
        return total / np.float32(self.size(name))

    def kernels(self, names: Sequence[str], rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each spec with its kernel (n, n), standardised on ``rows``, when it is complete.

        A statistic that several specs share is computed once.
        """
        matrices = self._embeddings(rows)
        missing = {name: list(self._parts(name)) for name in names}
        sums: dict[str, np.ndarray] = {}
        for part in dict.fromkeys(part for parts in missing.values() for part in parts):
            products = self._products(part, matrices[part.backbone])
            for name in [name for name, parts in missing.items() if part in parts]:
                missing[name].remove(part)
                if name in sums:
                    sums[name] += products
                elif missing[name]:
                    sums[name] = products.copy()
                if not missing[name]:
                    total = sums.pop(name, products)
                    yield name, total / np.float32(self.size(name))

    def _products(
        self, part: Statistic, matrix: np.ndarray, scaled_by: int | None = None
    ) -> np.ndarray:
        """Return (n, n), the inner products of a statistic not yet scaled by size."""
        x = compute_statistic(self.infos[part.backbone], matrix, part)
        mean, scale = standard(x[:scaled_by])
        x -= mean
        x /= scale / np.sqrt(x.shape[1], dtype=np.float32)
        return np.asarray(x @ x.T)

    def _embeddings(self, rows: np.ndarray, name: str | None = None) -> list[np.ndarray]:
        """Return the embeddings (n, E) of each backbone; empty of one that ``name`` leaves out."""
        places = rows if self.index is None else self.index[rows]
        used = [True] * len(self.infos)
        if name is not None:
            used = [bool(layers) for layers in self.specs[name].layers]
        return [m[places] if u else np.zeros(0) for m, u in zip(self.matrices, used, strict=True)]

    def _parts(self, name: str) -> tuple[Statistic, ...]:
        return list_statistics(self.infos, self.specs[name])

    def _size(self, part: Statistic) -> int:
        layer = self.infos[part.backbone].layer(part.layers[0])
        return layer.size if part.has_bands else layer.channels
