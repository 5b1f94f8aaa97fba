"""The features of all clips under all specs, and the kernels that judge them cheaply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from earmark.backbones.info import BackboneInfo
from earmark.classifier.features import (
    FeatureSpec,
    Statistic,
    compute_features,
    compute_statistic,
    list_statistics,
)
from earmark.training import heads, parallel


@dataclass(frozen=True)
class FeatureTable:
    """Embeddings (N, E) of each backbone, and the ``specs`` of features of them, by name.

    The kernel of a spec (inner products of its standardised features) is the sum of the kernels of
    its statistics. Many specs share statistics, so all their kernels cost one pass.
    """

    infos: Sequence[BackboneInfo]
    matrices: Sequence[np.ndarray]
    specs: Mapping[str, FeatureSpec]

    @property
    def names(self) -> list[str]:
        return list(self.specs)

    def features(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return (len(rows), D) float32 of the spec ``name``."""
        matrices = [matrix[rows] for matrix in self.matrices]
        return compute_features(self.infos, matrices, self.specs[name])

    def size(self, name: str) -> int:
        """Return D, the number of features of the spec ``name``."""
        return sum(self._size(part) for part in self._parts(name))

    def only(self, rows: np.ndarray) -> FeatureTable:
        """Keep the clips ``rows``, in the order given."""
        return FeatureTable(self.infos, [matrix[rows] for matrix in self.matrices], self.specs)

    def kernels(self, train: np.ndarray, others: np.ndarray, names: Sequence[str] = ()) -> Kernels:
        """Compute what kernels are made of, standardised on the rows ``train``.

        Those of all specs, unless ``names`` are given.
        """
        names = names or self.names
        rows = np.concatenate([train, others])
        matrices = [matrix[rows] for matrix in self.matrices]
        kernels: dict[Statistic, np.ndarray] = {}

        def compute(part: Statistic) -> None:
            x = compute_statistic(self.infos[part.backbone], matrices[part.backbone], part)
            mean, scale = heads.standard(x[: len(train)])
            z = (x - mean) / (scale / np.sqrt(x.shape[1], dtype=np.float32))
            kernels[part] = z @ z[: len(train)].T

        parallel.side_by_side(compute, list({part: 0 for n in names for part in self._parts(n)}))
        parts = {name: self._parts(name) for name in names}
        return Kernels({name: KernelSum(p, self.size(name)) for name, p in parts.items()}, kernels)

    def _parts(self, name: str) -> tuple[Statistic, ...]:
        return list_statistics(self.infos, self.specs[name])

    def _size(self, part: Statistic) -> int:
        layer = self.infos[part.backbone].layer(part.layers[0])
        return layer.size if part.has_bands else layer.channels


class KernelSum(NamedTuple):
    """What a kernel is made of, and the number of features in it."""

    parts: tuple[Statistic, ...]
    size: int


@dataclass(frozen=True)
class Kernels:
    """Kernels of all specs between some training clips (n) and those and others (m)."""

    sums: Mapping[str, KernelSum]
    parts: Mapping[Statistic, np.ndarray]  # (n + m, n), of features that are not yet scaled by size

    def of(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the kernel of the training clips (n, n) and that of the others (m, n)."""
        parts, size = self.sums[name]
        kernel = self.parts[parts[0]].copy()
        for part in parts[1:]:
            kernel += self.parts[part]
        kernel /= size
        n = kernel.shape[1]
        return kernel[:n], kernel[n:]
