"""Embed clips: all their vectors, and what could not be read."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.data.clip import Clip
from earmark.embeddings.pipeline import embed_stream
from earmark.embeddings.pooling import columns
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.system.progress import Progress


@dataclass(frozen=True)
class Embeddings:
    """What a backbone heard: ``matrix`` (N, E), one row for each of ``clips``, in their order.

    A row holds, layer after layer, the mean and then the standard deviation of each unit.
    ``failures`` are the clips that could not be read; they have no row. ``computed`` counts the
    rows that did not come out of the store; ``seconds`` is the length of all the audio.
    ``warnings`` say, path first, what was not read of a recording, or not as it is.
    """

    info: BackboneInfo
    clips: tuple[Clip, ...]
    matrix: np.ndarray
    failures: tuple[Failure, ...]
    seconds: float
    computed: int
    warnings: tuple[str, ...] = ()

    def only(self, clips: Container[Clip]) -> Embeddings:
        """Keep the rows of those ``clips``, in the order they have."""
        rows = [clip in clips for clip in self.clips]
        kept = tuple(itertools.compress(self.clips, rows))
        return replace(self, clips=kept, matrix=self.matrix[rows])

    def features(self, layers: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32: means and deviations of the named layers, side by side."""
        return self.matrix[:, columns(self.info, layers)].astype(np.float32)


def embed(
    clips: Iterable[Clip],
    backbone: Backbone,
    store: Store | None = None,
    *,
    options: AudioOptions = audio.AS_IT_IS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Embeddings:
    """Embed ``clips`` in their order, taking from and adding to ``store`` where there is one.

    A clip that cannot be read is listed in ``failures`` and the others go on. ``threads``
    (default: the number of cores) compute side by side, each with one core.
    """
    width = 2 * sum(layer.size for layer in backbone.info.layers)
    rows, failures, warnings = _Rows(width), [], []
    embedded: list[Clip] = []
    seconds, computed = 0.0, 0
    stream = embed_stream(
        clips, backbone, store, options=options, threads=threads, progress=progress
    )
    for result in stream:
        if isinstance(result, Failure):
            failures.append(result)
            continue
        rows.append(result.vector)
        embedded.append(result.clip)
        seconds += result.seconds
        computed += result.is_computed
        warnings += [f"{result.clip.path}: {text}" for text in result.warnings]
    return Embeddings(
        backbone.info,
        tuple(embedded),
        rows.matrix(),
        tuple(failures),
        seconds,
        computed,
        tuple(dict.fromkeys(warnings)),
    )


class _Rows:
    """A matrix (N, width) that grows in place, float16 until a row is float32."""

    def __init__(self, width: int) -> None:
        self.count, self.rows = 0, np.zeros((0, width), np.float16)

    def append(self, row: np.ndarray) -> None:
        if row.dtype != self.rows.dtype:
            self.rows = self.rows.astype(np.result_type(row, self.rows))
        if self.count == len(self.rows):
            self._resize(max(64, self.count * 3 // 2))
        self.rows[self.count] = row
        self.count += 1

    def matrix(self) -> np.ndarray:
        self._resize(self.count)
        return self.rows

    def _resize(self, rows: int) -> None:
        self.rows.resize((rows, self.rows.shape[1]), refcheck=False)
