"""Embeddings in parts, read as a matrix: rows in blocks, columns by layer."""

from __future__ import annotations

import functools
import itertools
import os
import platform
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

    A table can be pickled: another process, also of another machine, reads the same files under the
    same path. It checks each of them by its digest. Only what its rows need is pickled.

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
        self._checked |= set(range(len(parts)))

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
        table: EmbeddingTable = object.__new__(cls)
        table._take(folder, settings, parts, rows, dtype)
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
        self._rows = rows
        self._used: tuple[tuple[str, slice], ...] = ()  # layers that are read, if not all
        self._checked = set[int]()  # numbers of parts
        self._keep_parts()

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
        block = (np.zeros if self._used else np.empty)((len(rows), self.shape[1]), self.dtype)
        for number, here in self._by_part(rows):
            own, places = self._part(number), rows[here] - self._first(number)
            if not self._used:
                block[here] = own[places]
            first = 0
            for _, columns in self._used:
                width = columns.stop - columns.start
                block[here, columns] = own[places, first : first + width]
                first += width
        return block

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name != "_part"}
        used = [number for number, _ in self._by_part(self._rows)]
        parts = [self.parts[number] for number in used]
        ends = np.cumsum([part.clips for part in parts])
        rows = np.empty_like(self._rows)
        for place, (number, here) in enumerate(self._by_part(self._rows)):
            rows[here] = self._rows[here] - self._ends[number] + ends[place]
        folder = Path(os.path.abspath(self.folder))
        return state | {
            "folder": folder,
            "parts": parts,
            "_ends": ends,
            "_rows": rows,
            "_checked": set(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._keep_parts()

    def reading(self, layers: Sequence[str]) -> EmbeddingTable:
        """Return a table that reads only ``layers`` from the files; all other columns are 0."""
        other, first = self._of(self._rows), 0
        slices = {}
        for name, width in self.layers.items():
            slices[name] = slice(first, first + width)
            first += width
        other._used = tuple((name, slices[name]) for name in layers)
        other._keep_parts()
        return other

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
            yield read_layers(self._checked_path(number), names)[rows]

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
        other = object.__new__(EmbeddingTable)
        vars(other).update(vars(self) | {"_rows": rows})
        return other

    def _by_part(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the number of each part that has some of ``rows``, and the positions of these."""
        numbers = np.searchsorted(self._ends, rows, "right")
        for number in np.unique(numbers).tolist():
            yield number, np.flatnonzero(numbers == number)

    def _first(self, number: int) -> int:
        """Return the row of the manifest with which a part begins, from 0."""
        return int(self._ends[number]) - self.parts[number].clips

    def _keep_parts(self) -> None:
        """Keep the rows of the last few parts in memory."""
        self._part = functools.lru_cache(maxsize=KEPT_PARTS)(self._read)

    def _read(self, number: int) -> np.ndarray:
        path, n_clips = self._checked_path(number), self.parts[number].clips
        names = [name for name, _ in self._used] or list(self.layers)
        rows = read_layers(path, names)
        if rows.shape != (n_clips, sum(self.layers[name] for name in names)):
            raise DataError(
                f"{path} has other rows than {SETTINGS} and {TABLE} say. Compute it again."
            )
        return rows

    def _checked_path(self, number: int) -> Path:
        """Return the path of a part, which is checked by its digest the first time."""
        part = self.parts[number]
        if number not in self._checked and not is_whole(self.folder, part):
            again = "compute the part again if it is there"
            if "window_s" in self.settings:
                again = "run the same `earmark index` again with --thorough"
            raise DataError(
                f"{self.folder / part.file} is missing or has changed, as {platform.node()} sees"
                f" it. All machines need the folder under the same path; {again}."
            )
        self._checked.add(number)
        return self.folder / part.file

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
            files=chosen,
        )
