"""What a search compares: a short vector for each window, made from the parts of an archive.

A vector has the means of two layers, the middle one and the last one. Each number is standardised
over the archive, and each layer has the same length, so the product of two vectors is the mean of
two cosines. Vectors are in files of plain float16, one a part, that can be made again at any time.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from earmark.embeddings.computing import compute_pool
from earmark.embeddings.part_files import read_layers
from earmark.errors import EarmarkError
from earmark.system.files import write_whole
from earmark.system.threads import available_cores

VECTORS, SUFFIX = "vectors", ".f16"
LEAST_WINDOWS = 8  # fewer have no useful deviation
LEAST_SHARE = 1e-3  # of the deviation of all numbers: a smaller one is mostly rounding
BLOCK_ROWS = 128  # that stay in a core's cache, also as float32


@dataclass(frozen=True)
class Centre:
    """The mean (D,) and the deviation (D,) of windows of an archive, both float32.

    ``sizes`` are the numbers of each layer among D, and ``windows`` says of how many windows.
    """

    mean: np.ndarray
    deviation: np.ndarray
    sizes: tuple[int, ...]
    windows: int = 0

    @classmethod
    def none(cls, sizes: Sequence[int]) -> Centre:
        """Return the centre that changes nothing."""
        n = sum(sizes)
        return cls(np.zeros(n, np.float32), np.ones(n, np.float32), tuple(sizes))

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray], sizes: Sequence[int]) -> Centre:
        """Return the centre of rows (n, D), which come in blocks."""
        count, total, squares = 0, np.zeros(sum(sizes)), np.zeros(sum(sizes))
        first: np.ndarray | None = None
        for block in blocks:
            if not len(block):
                continue
            rows = block.astype(np.float64)
            first = rows[0] if first is None else first  # subtracted: the squares keep their digits
            rows = rows - first
            count += len(rows)
            total += rows.sum(0)
            squares += np.square(rows).sum(0)
        if first is None or count < LEAST_WINDOWS:
            return cls.none(sizes)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
        at = 0
        for size in sizes:
            own = deviation[at : at + size]
            own += LEAST_SHARE * own.mean() + 1e-12
            at += size
        shifted = (mean + first).astype(np.float32)
        return cls(shifted, deviation.astype(np.float32), tuple(sizes), count)

    @property
    def content(self) -> bytes:
        """The bytes to keep."""
        return np.concatenate([self.mean, self.deviation]).astype("<f4").tobytes()

    @classmethod
    def from_content(cls, content: bytes | None, sizes: Sequence[int], windows: int) -> Centre:
        """Return the centre that was kept; without one, or with another length, no centre."""
        if content is None or len(content) != 8 * sum(sizes):
            return cls.none(sizes)
        mean, deviation = np.frombuffer(content, "<f4").reshape(2, -1)
        return cls(mean, deviation, tuple(sizes), windows)

    @functools.cached_property
    def name(self) -> str:
        """A short text that differs for other centres."""
        return hashlib.sha256(self.content).hexdigest()[:8]

    def vectors(self, means: np.ndarray) -> np.ndarray:
        """Return vectors (n, D) float32 of unit length, or 0, for means of layers (n, D)."""
        x: np.ndarray = (means.astype(np.float32) - self.mean) / self.deviation
        at = 0
        for size in self.sizes:
            own = x[:, at : at + size]
            length = np.sqrt(np.einsum("nd,nd->n", own, own))[:, None]
            own /= np.maximum(length, 1e-6) * np.float32(len(self.sizes) ** 0.5)
            at += size
        return x


@dataclass(frozen=True)
class VectorFiles:
    """The vectors of the parts in the folder of a network, for one centre.

    ``layers`` are those of the parts: names, and numbers of each, means before deviations.
    """

    folder: Path
    layers: Mapping[str, int]
    centre: Centre

    def path(self, part_file: str) -> Path:
        """Return the file of the vectors of a part."""
        return self.folder / VECTORS / f"{Path(part_file).stem}.{self.centre.name}{SUFFIX}"

    def write(self, part_file: str) -> None:
        """Make the file of a part. Raises EarmarkError."""
        write_whole(self.path(part_file), self._made(part_file).tobytes())

    def blocks(self, part_file: str, rows: int) -> Iterator[np.ndarray]:
        """Yield the vectors of a part in blocks of rows (n, D) float16."""
        vectors = self._matrix(part_file, rows)
        yield from (vectors[first : first + BLOCK_ROWS] for first in range(0, rows, BLOCK_ROWS))

    def _matrix(self, part_file: str, rows: int) -> np.ndarray:
        """Return the vectors of a part (rows, D) float16.

        The file is mapped, because a copy of it would cost half as much as a search.
        """
        if not self.is_there(part_file, rows):
            return self._made(part_file)
        shape = (rows, len(self.centre.mean))
        return np.asarray(np.memmap(self.path(part_file), "<f2", "c", shape=shape))

    def of_rows(self, parts: Sequence[tuple[str, int]], rows: np.ndarray) -> np.ndarray:
        """Return the vectors (n, D) float32 of rows (n,), counted over parts (name, rows)."""
        vectors = np.empty((len(rows), len(self.centre.mean)), np.float32)
        first = 0
        for name, count in parts:
            own = np.flatnonzero((rows >= first) & (rows < first + count))
            if len(own):
                vectors[own] = self._matrix(name, count)[rows[own] - first]
            first += count
        return vectors

    def is_there(self, part_file: str, rows: int) -> bool:
        """Return whether a part has its file."""
        path = self.path(part_file)
        return path.is_file() and path.stat().st_size == 2 * rows * len(self.centre.mean)

    def _made(self, part_file: str) -> np.ndarray:
        means = means_of_part(self.folder / part_file, self.layers)
        return self.centre.vectors(means).astype("<f2")

    def delete_others(self, part_files: Iterable[str]) -> None:
        """Delete the files of other centres, and of parts that are not among these."""
        own = {self.path(file).name for file in part_files}
        for path in (self.folder / VECTORS).glob(f"*{SUFFIX}"):
            if path.name not in own:
                path.unlink(missing_ok=True)

    def of_embeddings(self, rows: np.ndarray) -> np.ndarray:
        """Return vectors (n, D) float32 for embeddings (n, E) with all layers of the parts."""
        return self.centre.vectors(_means(rows, self.layers, searched_layers(self.layers)))

    def similarities(self, parts: Sequence[tuple[str, int]], query: np.ndarray) -> np.ndarray:
        """Return the product of ``query`` (D,) with each row of parts (name, rows): float32."""

        def products(part: tuple[str, int]) -> np.ndarray:
            return _products(self.blocks(*part), part[1], query)

        with compute_pool(available_cores()) as pool:
            results = list(pool.map(products, parts))
        return np.concatenate(results) if results else np.zeros(0, np.float32)


def searched_layers(layers: Mapping[str, int]) -> list[str]:
    """Return the layers that vectors have: the middle one and the last one."""
    names = list(layers)
    return list(dict.fromkeys((names[len(names) // 2], names[-1])))


def sizes_of(layers: Mapping[str, int]) -> tuple[int, ...]:
    """Return how many numbers of a vector each of these layers has."""
    return tuple(layers[name] // 2 for name in searched_layers(layers))


def means_of_part(path: Path, layers: Mapping[str, int]) -> np.ndarray:
    """Return the means of the searched layers (n, D) of a part. Raises PartError."""
    names = searched_layers(layers)
    return _means(read_layers(path, names), {name: layers[name] for name in names}, names)


def _means(rows: np.ndarray, layers: Mapping[str, int], names: Sequence[str]) -> np.ndarray:
    """Return the means of some of the layers of embeddings (n, E), side by side."""
    if rows.shape[1] != sum(layers.values()):
        raise EarmarkError(
            f"the embeddings have {rows.shape[1]:,} numbers, but the archive has"
            f" {sum(layers.values()):,}. Use the same layers."
        )
    ends = np.cumsum(list(layers.values())).tolist()
    firsts = dict(zip(layers, [0, *ends[:-1]], strict=True))
    return np.concatenate(
        [rows[:, firsts[name] : firsts[name] + layers[name] // 2] for name in names], 1
    )


@torch.inference_mode()
def _products(blocks: Iterable[np.ndarray], rows: int, query: np.ndarray) -> np.ndarray:
    """Return blocks of vectors (n, D) float16 times ``query`` (D,), in float32: (rows,)."""
    column = torch.from_numpy(query.astype(np.float32))
    single, products, first = torch.empty(BLOCK_ROWS, len(query)), torch.empty(rows), 0
    for block in blocks:
        own = single[: len(block)].copy_(torch.from_numpy(block))
        torch.mv(own, column, out=products[first : first + len(block)])
        first += len(block)
    return products.numpy()
