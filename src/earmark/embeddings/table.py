"""Embeddings in parts, read as a matrix: rows in blocks, columns by layer."""

from __future__ import annotations

import copy
import functools
import itertools
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from earmark.backbones.info import BackboneInfo
from earmark.data.clip import Clip
from earmark.data.parts import (
    SETTINGS,
    TABLE,
    PartSummary,
    columns_of,
    is_whole,
    read_settings,
    root_of,
    whole_parts,
)
from earmark.embeddings.embedding import Embeddings
from earmark.embeddings.hashes import (
    CONTENT_BYTES,
    KEY_BYTES,
    SOUND_BYTES,
    Hashes,
    number_equal,
    sound_of,
)
from earmark.embeddings.part_files import dtype_of, read_layers
from earmark.embeddings.rows import Index, Matrix, blocks
from earmark.embeddings.stages import Failure
from earmark.errors import DataError
from earmark.system.objects import is_uri

KEPT_PARTS = 2  # in memory at a time: a block of rows may reach into a second one
CLIP_COLUMNS = ["path", "start", "end", "key", "version", "seconds", "warning", "error"]


class EmbeddingTable:
    """A matrix (N, E) of embeddings that stays in the files of parts.

    ``table[index]`` reads some rows as an array (n, E), as :class:`StoredRows` does; the index is a
    slice, numbers of rows in any order, or a mask (N,). Parts are read as a whole, so neighbouring
    rows are cheap. There is a row for each clip of the manifest whose recording could be read. In
    an archive there is one for each window; ``Archive.windows`` returns such a table.

    Parameters
    ----------
    folder : str or Path
        A folder that ``earmark embed -o DIR`` has completed. Each file is checked by its digest.

    Attributes
    ----------
    shape : tuple of int
        (N, E): layer after layer, the mean and then the standard deviation of each unit.
    dtype : numpy.dtype
        float16; float32 if a number does not fit into that.
    layers : dict of str to int
        The layers in the order of the columns, and the length of each in a row.

    Raises
    ------
    DataError
        A part is missing, or has changed since it was written.

    Examples
    --------
    >>> from earmark.embeddings import EmbeddingTable
    >>> table = EmbeddingTable("embeddings")
    >>> table.shape, table[2:5].shape
    ((12, 4800), (3, 4800))
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        settings, parts = read_settings(folder), whole_parts(folder)
        files = [folder / part.file for part in parts]
        dtype = np.result_type(np.float16, *{dtype_of(file) for file in files})
        readable = (
            [error is None for error in columns_of(file, ["error"])["error"]]
            if part.failures
            else [True] * part.clips
            for part, file in zip(parts, files, strict=True)
        )
        rows = np.flatnonzero(np.fromiter(itertools.chain(*readable), bool))
        self._take(folder, settings, parts, rows, dtype)

    @classmethod
    def of_parts(
        cls,
        folder: Path,
        settings: Mapping[str, Any],
        parts: Sequence[PartSummary],
        rows: np.ndarray,
        dtype: np.dtype[Any],
    ) -> EmbeddingTable:
        """Return the table of ``rows`` (N,), counted over all rows of ``parts``.

        The file of a part is checked by its digest when it is read first.
        """
        table = cls.__new__(cls)
        table._take(folder, settings, parts, rows, dtype)
        table._unchecked = set(range(len(parts)))
        return table

    def _take(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        parts: Sequence[PartSummary],
        rows: np.ndarray,
        dtype: np.dtype[Any],
    ) -> None:
        self.folder, self.settings, self.parts = folder, settings, parts
        self.layers: dict[str, int] = dict(settings["layers"])
        self.dtype: np.dtype[Any] = dtype
        self._ends = np.cumsum([part.clips for part in parts])
        self._part = functools.lru_cache(maxsize=KEPT_PARTS)(self._read)
        self._rows = rows
        self._unchecked = set[int]()  # numbers of parts

    def __repr__(self) -> str:
        return f"EmbeddingTable({self.shape}, {str(self.folder)!r})"

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> np.ndarray:
        """The numbers (N,) of the rows, counted over all rows of the parts."""
        return self._rows

    @property
    def shape(self) -> tuple[int, int]:
        return len(self._rows), sum(self.layers.values())

    @property
    def nbytes(self) -> int:
        """The bytes that all rows would take in memory."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("all rows may not fit into memory; take some, such as table[first:last].")

    def __getitem__(self, index: Index) -> np.ndarray:
        rows = self._rows[index]
        block = np.empty((len(rows), self.shape[1]), self.dtype)
        for number, here in self._by_part(rows):
            block[here] = self._part(number)[rows[here] - self._first(number)]
        return block

    def only(self, index: Index) -> EmbeddingTable:
        """Return a table of some of the rows, without reading them."""
        return self._of(self._rows[index])

    def blocks(self, layers: Sequence[str] | None = None) -> Iterator[np.ndarray]:
        """Yield the rows of each part, (n, D), with all layers or only those named, in this order.

        Only the bytes of these layers are read.
        """
        names = list(layers or self.layers)
        for number, here in self._by_part(self._rows):
            rows = self._rows[here] - self._first(number)
            yield self._layers(number, names)[rows]

    def embeddings(
        self,
        clips: Sequence[Clip],
        info: BackboneInfo,
        root: Path | None = None,
        most_bytes: int | None = None,
    ) -> Embeddings:
        """Return the embeddings of clips of the manifest, which must be in its order.

        The paths of the manifest start from ``root``, by default the one at the time of the parts.
        Rows that need more than ``most_bytes`` of memory stay in the files. Raises DataError if
        layers are missing, or if a clip is not in the manifest.
        """
        if list(self.layers.items()) != [(layer.name, 2 * layer.size) for layer in info.layers]:
            raise DataError(
                f"{self.folder} has only the layers {', '.join(self.layers)}, but all are needed."
                " Compute the parts with --layers all into another folder."
            )
        matched = _Matched(clips, root or root_of(self.settings, self.folder))
        for row, cells in enumerate(self._cells()):
            matched.add(row, *cells)
        return matched.embeddings(self, info, most_bytes)

    def _of(self, rows: np.ndarray) -> EmbeddingTable:
        other = copy.copy(self)
        other._rows = rows
        return other

    def _by_part(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of each part that has some of ``rows``, and the positions of these."""
        numbers = np.searchsorted(self._ends, rows, "right")
        for number in np.unique(numbers).tolist():
            yield number, np.flatnonzero(numbers == number)

    def _first(self, number: int) -> int:
        """Return the row of the manifest with which a part begins, from 0."""
        return int(self._ends[number]) - self.parts[number].clips

    def _read(self, number: int) -> np.ndarray:
        path, n_clips = self.folder / self.parts[number].file, self.parts[number].clips
        rows = self._layers(number, list(self.layers))
        if rows.shape != (n_clips, self.shape[1]):
            raise DataError(
                f"{path} has other rows than {SETTINGS} and {TABLE} say. Compute it again."
            )
        return rows

    def _layers(self, number: int, names: Sequence[str]) -> np.ndarray:
        part = self.parts[number]
        path = self.folder / part.file
        if number in self._unchecked and not is_whole(path, part.sha256):
            raise DataError(
                f"{path} is missing or has changed since it was written. Run the same `earmark"
                " index` again with --thorough."
            )
        self._unchecked.discard(number)
        return read_layers(path, names)

    def _cells(self) -> Iterator[tuple[Any, ...]]:
        """Yield the cells of ``CLIP_COLUMNS`` for each row of the manifest."""
        for part in self.parts:
            columns = columns_of(self.folder / part.file, CLIP_COLUMNS)
            yield from zip(*(columns[name] for name in CLIP_COLUMNS), strict=True)


class _Matched:
    """The clips that were found in a table, in order, and what the table says of them."""

    def __init__(self, clips: Sequence[Clip], root: Path) -> None:
        self.waiting, self.root = iter(clips), root
        self.next = next(self.waiting, None)
        self.clips, self.failures, self.warnings = list[Clip](), list[Failure](), list[str]()
        self.rows, self.seconds = array("q"), array("d")
        self.keys, self.contents = bytearray(), bytearray()

    def add(
        self,
        row: int,
        path: str,
        start: float | None,
        end: float | None,
        key: bytes | None,
        version: bytes | None,
        seconds: float | None,
        warning: str | None,
        error: str | None,
    ) -> None:
        """Take a row of the manifest if it is the next clip."""
        clip = self.next
        place = path if is_uri(path) else os.path.abspath(os.path.join(self.root, path))
        if clip is None or clip.key != (place, start or 0.0, end):
            return
        self.next = next(self.waiting, None)
        if error is not None:
            self.failures.append(Failure(clip, error, key=key or b""))
            return
        assert key is not None and version is not None and seconds is not None
        self.clips.append(clip)
        self.rows.append(row)
        self.seconds.append(seconds)
        self.keys += key
        self.contents += version
        self.warnings += [f"{clip.place}: {text}" for text in (warning or "").splitlines()]

    def embeddings(
        self, table: EmbeddingTable, info: BackboneInfo, most_bytes: int | None
    ) -> Embeddings:
        """Return the embeddings; DataError if a clip was not found."""
        if self.next is not None:
            raise DataError(
                f"{self.next.name} is not in the parts of {table.folder}. Compute them again."
            )
        chosen = table._of(np.frombuffer(self.rows, np.int64))
        is_small = most_bytes is None or chosen.nbytes <= most_bytes
        matrix: Matrix = chosen[:] if is_small else chosen
        sounds = bytearray()
        for block in blocks(matrix):
            for row in block:
                sounds += sound_of(row)
        return Embeddings(
            info,
            tuple(self.clips),
            matrix,
            failures=tuple(self.failures),
            clip_seconds=np.array(self.seconds),
            computed=0,
            sounds=number_equal(np.frombuffer(sounds, f"S{SOUND_BYTES}")),
            contents=Hashes(self.contents, CONTENT_BYTES),
            keys=Hashes(self.keys, KEY_BYTES),
            warnings=tuple(dict.fromkeys(self.warnings)),
        )
