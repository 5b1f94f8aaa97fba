"""Embed clips: all their vectors, and what could not be read."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.backbones.registry import load_backbone
from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, as_dataset
from earmark.embeddings.files import RowsOnDisk, write_blocks
from earmark.embeddings.pipeline import embed_stream
from earmark.embeddings.pooling import columns
from earmark.embeddings.stages import Failure, Result
from earmark.embeddings.store import Store
from earmark.errors import EarmarkError
from earmark.system.progress import Progress


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of clips: ``matrix`` (N, E), one row for each of ``clips``, in their order.

    A row holds, layer after layer, the mean and then the standard deviation of each unit.
    ``failures`` are the clips that could not be read; they have no row. ``computed`` counts the
    rows that did not come out of the store; ``clip_seconds`` (N,) are the lengths of the clips and
    ``seconds`` that of all the audio.
    ``warnings`` begin with the path and say what is missing of a recording, or was changed.
    ``notes`` do where it is very little, and the clip did not come out of the store.
    ``contents`` has a hash of each clip's recording.
    """

    info: BackboneInfo
    clips: tuple[Clip, ...]
    matrix: np.ndarray
    failures: tuple[Failure, ...]
    clip_seconds: np.ndarray
    computed: int
    warnings: tuple[str, ...] = ()
    contents: tuple[bytes, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Embeddings({self.matrix.shape}, {self.info.name!r}, {len(self.failures)} failures)"

    def only(self, clips: Container[Clip]) -> Embeddings:
        """Keep the rows of those ``clips``, in the order they have."""
        rows = [clip in clips for clip in self.clips]
        own = tuple(itertools.compress(self.clips, rows))
        contents = tuple(itertools.compress(self.contents, rows))
        return replace(
            self,
            clips=own,
            matrix=self.matrix[rows],
            clip_seconds=self.clip_seconds[rows],
            contents=contents,
        )

    @property
    def seconds(self) -> float:
        return float(self.clip_seconds.sum())

    def features(self, layers: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32: means and deviations of the named layers, side by side."""
        return self.matrix[:, columns(self.info, layers)].astype(np.float32)


def embed(
    data: DataLike,
    backbone: Backbone | str,
    store: Store | None = None,
    *,
    options: AudioOptions | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Embeddings:
    """Turn clips into vectors with a pretrained network.

    Parameters
    ----------
    data : str, Path, Dataset, frame, or clips
        What :meth:`Dataset.read` takes, labels not needed; or clips.
    backbone : str or Backbone
        A name, or a network of :func:`earmark.load_backbone`.
    store : Store, optional
        Embeddings are taken from it and added to it.
    options : AudioOptions, optional
        How recordings are read; by default as the data set says, or as they are.
    threads : int, optional
        How many compute side by side, each with one core; by default the number of cores.
    progress : Progress, optional
        Counts finished clips.

    Returns
    -------
    Embeddings
        A row for each clip, in order; clips that could not be read are in ``failures``.

    Raises
    ------
    BackboneError
        An unknown name, or weights that are missing.
    DataError
        Data that cannot be read.

    Examples
    --------
    >>> import earmark
    >>> embeddings = earmark.embed("recordings", "speech-embedding")
    >>> embeddings.features(["embedding"]).shape
    (12, 192)
    """
    clips: Iterable[Clip]
    if isinstance(data, (list, tuple, Iterator)):
        clips = data
    else:
        dataset = as_dataset(data, need_labels=False)
        clips, options = dataset.clips, options or dataset.audio
    if isinstance(backbone, str):
        backbone = load_backbone(backbone)
    options = options or AS_IT_IS
    results = embed_stream(
        clips, backbone, store, options=options, threads=threads, progress=progress
    )
    return _collect(backbone.info, results, _Rows(_width(backbone.info)))


def embed_to_file(
    path: Path,
    clips: Iterable[Clip],
    backbone: Backbone,
    store: Store | None = None,
    *,
    layers: str = "all",
    options: AudioOptions = AS_IT_IS,
    progress: Progress | None = None,
) -> Embeddings:
    """Embed clips and write them as :func:`write_embeddings` does, without holding their matrix.

    What is returned has none of the rows, and otherwise all that :func:`embed` tells. Nothing is
    written where no clip could be read. The folder of ``path`` is made if need be.
    """
    try:
        near = next(folder for folder in path.absolute().parents if folder.is_dir())
        with tempfile.TemporaryFile(dir=near) as file:
            rows = RowsOnDisk(file, _width(backbone.info))
            results = embed_stream(clips, backbone, store, options=options, progress=progress)
            embeddings = _collect(backbone.info, results, rows)
            if embeddings.clips:
                path.parent.mkdir(exist_ok=True)
                write_blocks(path, embeddings, layers, rows.blocks)
            return embeddings
    except OSError as error:
        raise EarmarkError(
            f"cannot write {path}: {error.strerror}; free some space, or name another place."
        ) from error


def _width(info: BackboneInfo) -> int:
    return 2 * sum(layer.size for layer in info.layers)


def _collect(info: BackboneInfo, results: Iterable[Result], rows: _Rows | RowsOnDisk) -> Embeddings:
    """Add the embeddings to ``rows``; list failures and warnings beside their matrix."""
    failures, warnings, notes = [], list[str](), list[str]()
    clips: list[Clip] = []
    contents: list[bytes] = []
    seconds, computed = list[float](), 0
    for result in results:
        if isinstance(result, Failure):
            failures.append(result)
            continue
        rows.append(result.vector)
        clips.append(result.clip)
        contents.append(result.content)
        seconds.append(result.seconds)
        computed += result.is_computed
        warnings += [f"{result.clip.path}: {text}" for text in result.warnings]
        notes += [f"{result.clip.path}: {text}" for text in result.notes]
    return Embeddings(
        info,
        tuple(clips),
        rows.matrix(),
        failures=tuple(failures),
        clip_seconds=np.array(seconds),
        computed=computed,
        warnings=tuple(dict.fromkeys(warnings)),
        contents=tuple(contents),
        notes=tuple(dict.fromkeys(notes)),
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
