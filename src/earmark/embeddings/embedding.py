"""Embed clips: all their vectors, and what could not be read."""

from __future__ import annotations

import itertools
from array import array
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
from earmark.embeddings.rows import GrowingRows, Matrix, StoredRows, blocks
from earmark.embeddings.stages import Failure, Result
from earmark.embeddings.store import Store
from earmark.errors import EarmarkError
from earmark.system.progress import Progress


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of clips: ``matrix`` (N, E), one row for each of ``clips``, in their order.

    A row holds, layer after layer, the mean and then the standard deviation of each unit. Where
    rows are too many for memory, ``matrix`` is a :class:`StoredRows`, which reads some at a time.
    ``failures`` are the clips that could not be read; they have no row. ``computed`` counts the
    rows that did not come out of the store; ``clip_seconds`` (N,) are the lengths of the clips and
    ``seconds`` that of all the audio.
    ``warnings`` begin with the path and say what is missing of a recording, or was changed.
    ``notes`` do where it is very little, and the clip did not come out of the store.
    ``contents`` has a hash of each clip's recording. ``sounds`` (N,) has a number for each distinct
    row, counted in their order. ``keys`` are those of the store.
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

    def __repr__(self) -> str:
        return f"Embeddings({self.matrix.shape}, {self.info.name!r}, {len(self.failures)} failures)"

    def only(self, clips: Container[Clip]) -> Embeddings:
        """Keep the rows of those ``clips``, in the order they have."""
        rows = np.fromiter((clip in clips for clip in self.clips), bool, len(self.clips))
        if rows.all():
            return self
        matrix = self.matrix
        return replace(
            self,
            clips=tuple(itertools.compress(self.clips, rows)),
            matrix=matrix.only(rows) if isinstance(matrix, StoredRows) else matrix[rows],
            clip_seconds=self.clip_seconds[rows],
            sounds=number_equal(self.sounds[rows]),
            contents=self.contents.only(rows),
            keys=self.keys.only(rows),
        )

    @property
    def seconds(self) -> float:
        return float(self.clip_seconds.sum())

    def features(self, layers: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32: means and deviations of the named layers, side by side."""
        picked = columns(self.info, layers)
        features = np.empty((len(self.clips), len(picked)), np.float32)
        first = 0
        for block in blocks(self.matrix):
            features[first : first + len(block)] = block[:, picked]
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
    most_bytes : int, optional
        How much memory rows may take; by default, as much as they need. If they need more,
        ``matrix`` is a :class:`StoredRows`, which reads rows from the store or a temporary file.
        The store must then stay open.

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
    StoreError
        A store that cannot be used, or is damaged when it has rows that were let go.

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
    """Embed clips and write them as :func:`write_embeddings` does, without holding their matrix.

    Rows beyond some megabytes are in a temporary file beside ``path``. Nothing is written where no
    clip could be read. The folder of ``path`` is made if need be.
    """
    near = next(folder for folder in path.absolute().parents if folder.is_dir())
    rows = GrowingRows(_width(backbone.info), None, 0, near)  # the store could fail meanwhile
    results = embed_stream(clips, backbone, store, options=options, progress=progress)
    embeddings = _collect(backbone.info, results, rows)
    if embeddings.clips:
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise EarmarkError(
                f"cannot write {path}: {error.strerror}; name another place."
            ) from error
        write_embeddings(path, embeddings, layers)
    return embeddings


def _width(info: BackboneInfo) -> int:
    return 2 * sum(layer.size for layer in info.layers)


def _collect(info: BackboneInfo, results: Iterable[Result], rows: GrowingRows) -> Embeddings:
    """Add the embeddings to ``rows``; list failures and warnings beside their matrix."""
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
        warnings += [f"{result.clip.path}: {text}" for text in result.warnings]
        notes += [f"{result.clip.path}: {text}" for text in result.notes]
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
