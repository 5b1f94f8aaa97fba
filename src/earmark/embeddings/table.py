"""Rows of embeddings in blocks, and of them the columns of some layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from earmark.backbones.info import BackboneInfo
from earmark.embeddings.pooling import columns
from earmark.embeddings.store import Record

BLOCK_BYTES = 16 * 2**20  # of rows that are read and checked at a time


class RowSource(Protocol):
    """What has rows by key: a store."""

    def get(self, keys: Sequence[bytes], width: int | None = None) -> dict[bytes, Record]:
        """Return the records of those ``keys`` that are there, intact and ``width`` long."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a table: ``features`` (n, D) float32, the first of them row ``first``.

    ``is_present`` (n,) bool is False for a row that is not stored or was damaged: its features are
    NaN, so that they cannot be taken for an embedding.
    """

    first: int
    features: np.ndarray
    is_present: np.ndarray


@dataclass(frozen=True)
class EmbeddingTable:
    """The rows (N, E) of ``keys``, in their order; no more than a block is in memory.

    Attributes
    ----------
    info : BackboneInfo
        The network that the rows are of: it says which columns are a layer's.
    source : RowSource
        Where they are. Every row that is read is checked against its digest.
    keys : sequence of bytes
        16 bytes a row, those of ``Request.key``.

    Examples
    --------
    >>> import earmark
    >>> from earmark.embeddings.table import EmbeddingTable
    >>> info = earmark.load_backbone("logmel").info
    >>> with earmark.Store() as store:
    ...     table = EmbeddingTable(info, store, [])
    ...     sum(block.is_present.sum() for block in table.blocks(["logmel"]))
    0
    """

    info: BackboneInfo
    source: RowSource
    keys: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def width(self) -> int:
        """How many numbers a row has: E."""
        return 2 * sum(layer.size for layer in self.info.layers)

    def read(self, rows: slice, layers: Sequence[str]) -> Block:
        """Return consecutive rows: means and deviations of each layer, in the order given.

        Raises BackboneError for a layer that the network does not have, ValueError for a slice
        with a step, StoreError where the store cannot be read.
        """
        first, last, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"rows with a step of {step}; give consecutive rows.")
        keys, picked = self.keys[first:last], columns(self.info, layers)
        records = self.source.get(keys, self.width)
        features = np.full((len(keys), len(picked)), np.nan, np.float32)
        for features_row, key in zip(features, keys, strict=True):
            if key in records:
                features_row[:] = records[key].vector[picked]
        return Block(first, features, np.array([key in records for key in keys], bool))

    def blocks(self, layers: Sequence[str], rows: int | None = None) -> Iterator[Block]:
        """Yield all rows in blocks of ``rows``; by default, as many as have ``BLOCK_BYTES``."""
        rows = rows or max(1, BLOCK_BYTES // (2 * self.width))
        for first in range(0, len(self), rows):
            yield self.read(slice(first, first + rows), layers)
