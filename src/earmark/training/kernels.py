"""The features of all clips under all specs, and their kernels (inner products of clips)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from earmark.backbones.info import BackboneInfo
from earmark.classifier.features import (
    FeatureSpec,
    Statistic,
    compute_features,
    compute_statistic,
    count_features,
    layers_read,
    list_statistics,
    statistic_size,
)
from earmark.embeddings.rows import Matrix
from earmark.training.executors import Workers
from earmark.training.heads import standard

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class FeatureTable:
    """Embeddings (N, E) of each backbone, and named feature ``specs`` that read them.

    The kernel of a spec (inner products of its standardised features) is the sum of the kernels of
    its statistics. Many specs share statistics, so all their kernels cost one pass. If the clips
    are only some rows of the ``matrices``, ``index`` (N,) names these rows. If there are
    ``workers``, they work on runs of clips.
    """

    infos: Sequence[BackboneInfo]
    matrices: Sequence[Matrix]
    specs: Mapping[str, FeatureSpec]
    index: np.ndarray | None = None
    workers: Workers | None = None

    def __len__(self) -> int:
        return self.matrices[0].shape[0] if self.index is None else len(self.index)

    @property
    def names(self) -> list[str]:
        return list(self.specs)

    def spec(self, name: str, weights: Sequence[float] = ()) -> FeatureSpec:
        """Return a spec; with ``weights`` (L,), without the layers whose weight is 0."""
        spec, keep = self.specs[name], iter(weights)
        if not weights:
            return spec
        layers = tuple(tuple(y for y in names if next(keep)) for names in spec.layers)
        return replace(spec, layers=layers)

    def features(self, specs: str | Sequence[FeatureSpec], rows: np.ndarray) -> np.ndarray:
        """Return features (n, D) float32 of n rows, for a named spec or several specs together."""
        specs = self._specs(specs)
        return compute_features(self.infos, self._embeddings(rows, specs), specs)

    def size(self, specs: str | Sequence[FeatureSpec]) -> int:
        """Return D, the number of features of a named spec, or of several specs together."""
        return count_features(self.infos, self._specs(specs))

    @functools.cached_property
    def sizes(self) -> Mapping[str, int]:
        """The number of features of each spec, by name."""
        return {name: self.size(name) for name in self.specs}

    def columns(self, specs: Sequence[FeatureSpec], spec: FeatureSpec) -> np.ndarray:
        """Return the columns (d,) of the features of one spec among those (D,) of ``specs``."""
        parts = list_statistics(self.infos, specs)
        sizes = [statistic_size(self.infos, part) for part in parts]
        ends = dict(zip(parts, np.cumsum(sizes).tolist(), strict=True))
        places = [
            np.arange(ends[part] - statistic_size(self.infos, part), ends[part])
            for part in list_statistics(self.infos, [spec])
        ]
        return np.concatenate(places)

    def feature_weights(self, name: str, weights: Sequence[float]) -> np.ndarray | None:
        """Return weights (D,) of features from ``weights`` (L,) of layers; None for equal ones.

        The layers are those of the spec, in order. The weight of a layer is divided equally among
        its features.
        """
        if not weights:
            return None
        sizes = [statistic_size(self.infos, part) for part in self._parts(name)]
        return np.repeat(self._part_weights(name, weights), sizes)

    def spec_weights(self, name: str, weights: Sequence[float]) -> np.ndarray | None:
        """Return the weights (d,) of the features that :meth:`spec` keeps; None for equal ones."""
        whole = self.feature_weights(name, weights)
        return None if whole is None else whole[whole > 0]

    @property
    def bytes_in_memory(self) -> int:
        """The number of bytes of the embeddings in memory."""
        return sum(m.nbytes for m in self.matrices if isinstance(m, np.ndarray))

    @property
    def is_in_memory(self) -> bool:
        """Whether all embeddings are in memory, where any thread may read them.

        A store can only be read by the thread that opened it.
        """
        return all(isinstance(matrix, np.ndarray) for matrix in self.matrices)

    def only(self, rows: np.ndarray) -> FeatureTable:
        """Return a table of the clips ``rows``, in this order."""
        return replace(self, index=rows if self.index is None else self.index[rows])

    def run(self, specs: str | Sequence[FeatureSpec], rows: np.ndarray) -> FeatureTable:
        """Return a table of a run of clips, for work that reads only ``specs``.

        If there are workers, it can be sent to one, and reads only the layers in use.
        """
        if self.workers is None:
            return self.only(rows)
        places = rows if self.index is None else self.index[rows]
        used = layers_read(self._specs(specs))
        files = [
            file.only(places).reading(names) if names else file.only(places[:0])
            for file, names in zip(self.workers.files, used, strict=True)
        ]
        return FeatureTable(self.infos, files, self.specs, np.arange(len(rows)))

    def map(self, function: Callable[[T], R], items: Iterable[T], result_bytes: int) -> Iterator[R]:
        """Yield the result of ``function`` for each item, in order; workers compute if there are.

        A result has about ``result_bytes``.
        """
        if self.workers is None:
            return map(function, items)
        return self.workers.map(function, items, result_bytes)

    def loaded(self, rows: np.ndarray) -> FeatureTable:
        """Return a table of the clips ``rows``, with their embeddings in memory."""
        every = tuple(self.specs.values())
        return FeatureTable(self.infos, self._embeddings(rows, every), self.specs)

    def kernel(
        self,
        name: str,
        rows: np.ndarray,
        scaled_by: int | None = None,
        weights: Sequence[float] = (),
    ) -> np.ndarray:
        """Return the kernel (n, n) of ``rows`` under a spec, whose layers may have ``weights``.

        Features are standardised on the first ``scaled_by`` rows, by default on all.
        """
        return self.weighted_kernels(name, rows, [weights], scaled_by)[0]

    def weighted_kernels(
        self,
        name: str,
        rows: np.ndarray,
        weights: Sequence[Sequence[float]],
        scaled_by: int | None = None,
    ) -> list[np.ndarray]:
        """Return the kernels (n, n) of ``rows`` under a spec, one for each of the ``weights``."""
        matrices = self._embeddings(rows, self._specs(name))
        totals = [np.zeros((len(rows), len(rows)), np.float32) for _ in weights]
        sizes = [0.0] * len(weights)
        shares = [self._part_weights(name, own) for own in weights]
        for number, part in enumerate(self._parts(name)):
            if not any(own[number] for own in shares):
                continue
            products = self._products(part, matrices[part.backbone], scaled_by)
            for k, own in enumerate(shares):
                if own[number]:
                    add_times(totals[k], products, own[number])
                sizes[k] += own[number] * statistic_size(self.infos, part)
        for total, size in zip(totals, sizes, strict=True):
            total /= np.float32(size)
        return totals

    def kernels(self, names: Sequence[str], rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each spec with its kernel (n, n), standardised on ``rows``.

        A statistic that several specs share is computed once. Specs come in the order in which
        their kernels are complete.
        """
        matrices = self._embeddings(rows, tuple(self.specs.values()))
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
        """Return the inner products (n, n) of a statistic, as sums over its features."""
        x = compute_statistic(self.infos[part.backbone], matrix, part)
        mean, scale = standard(x[:scaled_by])
        x -= mean
        x /= scale / np.sqrt(x.shape[1], dtype=np.float32)
        return np.asarray(x @ x.T)

    def _embeddings(self, rows: np.ndarray, specs: Sequence[FeatureSpec]) -> list[np.ndarray]:
        """Return the embeddings (n, E) of each backbone; empty if no spec reads the backbone."""
        places = rows if self.index is None else self.index[rows]
        used = layers_read(specs)
        return [m[places] if u else np.zeros(0) for m, u in zip(self.matrices, used, strict=True)]

    def _specs(self, specs: str | Sequence[FeatureSpec]) -> Sequence[FeatureSpec]:
        return (self.specs[specs],) if isinstance(specs, str) else specs

    def _parts(self, name: str) -> tuple[Statistic, ...]:
        return list_statistics(self.infos, [self.specs[name]])

    def _part_weights(self, name: str, weights: Sequence[float]) -> np.ndarray:
        """Return, for each statistic of a spec, the weight of each of its features."""
        parts = self._parts(name)
        if not weights:
            return np.ones(len(parts))
        layers = self.specs[name].layers
        names = [(k, layer) for k, several in enumerate(layers) for layer in several]
        weight_of = dict(zip(names, weights, strict=True))
        size_of = dict.fromkeys(names, 0)
        for part in parts:
            size_of[part.backbone, part.layers[0]] += statistic_size(self.infos, part)
        keys = [(part.backbone, part.layers[0]) for part in parts]
        return np.array([weight_of[key] / size_of[key] for key in keys])


def add_times(total: np.ndarray, values: np.ndarray, factor: float) -> None:
    """Add ``factor`` times ``values`` to ``total``, in one pass over the memory."""
    import torch

    torch.from_numpy(total).add_(torch.from_numpy(values), alpha=factor)
