"""Embed clips: their vectors, and the clips that could not be read."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.backbones.registry import load_backbone
from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, as_dataset
from earmark.embeddings.files import write_embeddings
from earmark.embeddings.hashes import (
    CONTENT_BYTES,
    KEY_BYTES,
    SOUND_BYTES,
    Hashes,
    number_equal,
    sound_of,
)
from earmark.embeddings.pipeline import embed_stream
from earmark.embeddings.pooling import columns
from earmark.embeddings.rows import GrowingRows, Matrix, blocks
from earmark.embeddings.stages import Failure, Result
from earmark.embeddings.store import Store
from earmark.errors import EarmarkError
from earmark.system.progress import Progress

if TYPE_CHECKING:
    from earmark.embeddings.table import EmbeddingTable


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of N clips, one row per clip.

    Attributes
    ----------
    info : BackboneInfo
        The backbone that computed them.
    clips : tuple of Clip
        The clips that could be read, in the order given.
    matrix : array, StoredRows or EmbeddingTable, (N, E)
        Layer after layer, the mean and then the standard deviation of each unit. If the rows do not
        fit into the allowed memory, a :class:`StoredRows`, or an :class:`EmbeddingTable` of a
        folder of parts, which read some rows at a time.
    failures : tuple of Failure
        The clips that could not be read. They have no row.
    clip_seconds : array, (N,)
        Length of each clip in seconds.
    seconds : float
        Length of all clips together in seconds.
    computed : int
        Number of rows that did not come from the store.
    sounds : array, (N,)
        A number for each distinct row, in order of appearance: equal rows have equal numbers.
    contents : Hashes
        A hash of each clip's recording.
    keys : Hashes
        The rows' keys in the store.
    warnings : tuple of str
        What is missing from a recording or was changed. Each text begins with the path.
    notes : tuple of str
        The same for losses that are very small, only of clips that did not come from the store.
    files : EmbeddingTable, optional
        The same rows in the files of parts, if they were read from there.
    """

    info: BackboneInfo
    clips: tuple[Clip, ...]
    matrix: Matrix
    failures: tuple[Failure, ...]
    clip_seconds: np.ndarray
    computed: int
    sounds: np.ndarray
    contents: Hashes
    keys: Hashes
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: EmbeddingTable | None = None

    def __repr__(self) -> str:
        return f"Embeddings({self.matrix.shape}, {self.info.name!r}, {len(self.failures)} failures)"

    def only(self, clips: Container[Clip]) -> Embeddings:
        """Return the embeddings of those of the clips that are in ``clips``, in the same order."""
        rows = np.fromiter((clip in clips for clip in self.clips), bool, len(self.clips))
        if rows.all():
            return self
        matrix = self.matrix
        return replace(
            self,
            clips=tuple(itertools.compress(self.clips, rows)),
            matrix=matrix[rows] if isinstance(matrix, np.ndarray) else matrix.only(rows),
            clip_seconds=self.clip_seconds[rows],
            sounds=number_equal(self.sounds[rows]),
            contents=self.contents.only(rows),
            keys=self.keys.only(rows),
            files=self.files and self.files.only(rows),
        )

    @property
    def seconds(self) -> float:
        return float(self.clip_seconds.sum())

    def features(self, layers: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32: means and deviations of the named layers, side by side."""
        numbers = columns(self.info, layers)
        features = np.empty((len(self.clips), len(numbers)), np.float32)
        first = 0
        for block in blocks(self.matrix):
            features[first : first + len(block)] = block[:, numbers]
            first += len(block)
        return features


def embed(
    data: DataLike,
    backbone: Backbone | str,
    store: Store | None = None,
    *,
    options: AudioOptions | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    most_bytes: int | None = None,
) -> Embeddings:
    """Turn clips into vectors with a pretrained network.

    Parameters
    ----------
    data : str, Path, Dataset, frame, or clips
        Anything that :meth:`Dataset.read` takes, also without labels; or clips.
    backbone : str or Backbone
        A name, or a network from :func:`earmark.load_backbone`.
    store : Store, optional
        Where embeddings are read and saved. Without it, all are computed and none is saved.
    options : AudioOptions, optional
        How recordings are read. The default is the data set's own options, or no changes.
    threads : int, optional
        Number of threads that compute, each on one core; by default the number of cores.
    progress : Progress, optional
        Counts finished clips.
    most_bytes : int, optional
        Memory limit for the rows in bytes; by default there is none. If the rows need more,
        ``matrix`` is a :class:`StoredRows`, which reads rows from the store or a temporary file.
        The store must then stay open.

    Returns
    -------
    Embeddings
        A row for each clip, in order. Clips that could not be read are in ``failures``.

    Raises
    ------
    BackboneError
        The backbone's name is unknown, or its weights are missing.
    DataError
        The data cannot be read.
    StoreError
        The store cannot be used, or was damaged after rows were left to it.

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
    rows = GrowingRows(_width(backbone.info), store, most_bytes)
    return _collect(backbone.info, results, rows)


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
    """Embed clips and write them as :func:`write_embeddings` does, without the matrix in memory.

    Rows beyond some megabytes are in a temporary file beside ``path``. If no clip can be read,
    nothing is written. The folder of ``path`` is created if necessary.
    """
    near = next(folder for folder in path.absolute().parents if folder.is_dir())
    rows = GrowingRows(_width(backbone.info), None, 0, near)  # no store: it could fail meanwhile
    results = embed_stream(clips, backbone, store, options=options, progress=progress)
    embeddings = _collect(backbone.info, results, rows)
    if embeddings.clips:
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise EarmarkError(
                f"cannot write {path}: {error.strerror}. Free some space, or name another place."
            ) from error
        write_embeddings(path, embeddings, layers)
    return embeddings


def _width(info: BackboneInfo) -> int:
    return 2 * sum(layer.size for layer in info.layers)


def _collect(info: BackboneInfo, results: Iterable[Result], rows: GrowingRows) -> Embeddings:
    """Add all embeddings to ``rows``; return them with failures and warnings."""
    failures, warnings, notes = [], list[str](), list[str]()
    clips: list[Clip] = []
    contents, keys, sounds = bytearray(), bytearray(), bytearray()
    seconds, computed = array("d"), 0
    for result in results:
        if isinstance(result, Failure):
            failures.append(result)
            continue
        rows.append(result)
        clips.append(result.clip)
        contents += result.content
        keys += result.key
        sounds += sound_of(result.vector)
        seconds.append(result.seconds)
        computed += result.is_computed
        warnings += [f"{result.clip.place}: {text}" for text in result.warnings]
        notes += [f"{result.clip.place}: {text}" for text in result.notes]
    return Embeddings(
        info,
        tuple(clips),
        rows.matrix(),
        failures=tuple(failures),
        clip_seconds=np.array(seconds),
        computed=computed,
        sounds=number_equal(np.frombuffer(sounds, f"S{SOUND_BYTES}")),
        contents=Hashes(contents, CONTENT_BYTES),
        keys=Hashes(keys, KEY_BYTES),
        warnings=tuple(dict.fromkeys(warnings)),
        notes=tuple(dict.fromkeys(notes)),
    )
