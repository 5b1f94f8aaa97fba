"""The rows of a matrix of embeddings: in memory, in the store, or in a temporary file.

An array and :class:`StoredRows` are indexed alike, by a slice, numbers or a mask. So code that
takes some rows at a time works with both.
"""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from earmark.embeddings.hashes import KEY_BYTES
from earmark.embeddings.store import AT_ONCE, Store
from earmark.errors import EarmarkError, StoreDamageError, StoreError

if TYPE_CHECKING:
    from earmark.embeddings.stages import Embedded

BLOCK_BYTES = 16 * 2**20  # bytes of rows that are passed on at a time
SPOOLED_BYTES = 16 * 2**20  # bytes of rows in memory before a temporary file is used
STORED, IN_MEMORY = -1, -2  # the place of a row that is not in the file

Index = slice | np.ndarray | Sequence[int]


class StoredRows:
    """A matrix (N, E) that is not in memory: ``rows[index]`` reads some rows as an array (n, E).

    The index is a slice, numbers of rows in any order, or a mask (N,). Rows are read from the store
    by their keys and checked by their digests; rows that are not stored are in a temporary file.
    Only the thread that opened the store may read, and only while the store is open.

    Reading raises StoreError if rows are no longer in the store, and StoreDamageError if rows or
    the whole store are damaged. Running the same command again computes them again.

    Attributes
    ----------
    shape : tuple of int
        (N, E).
    dtype : numpy.dtype
        float16; float32 if a row does not fit into that.

    Examples
    --------
    >>> import earmark
    >>> with earmark.Store() as store:
    ...     matrix = earmark.embed("recordings", "logmel", store, most_bytes=0).matrix
    ...     matrix.shape, matrix[2:5].shape
    ((12, 128), (3, 128))
    """

    def __init__(
        self,
        store: Store | None,
        keys: np.ndarray,
        file: RowsOnDisk,
        places: np.ndarray,
        dtype: np.dtype[Any],
    ) -> None:
        """Take ``keys`` (N,) of 16 bytes, and ``places`` (N,): numbers in the file or STORED."""
        self._store, self._keys, self._file, self._places = store, keys, file, places
        self.shape, self.dtype = (len(keys), file.width), dtype

    def __repr__(self) -> str:
        return f"StoredRows({self.shape}, {self.dtype})"

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """The bytes that all rows would take in memory."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("all rows may not fit into memory; take some, such as rows[first:last].")

    def __getitem__(self, index: Index) -> np.ndarray:
        if isinstance(index, slice):
            rows = np.arange(*index.indices(len(self)))
        else:
            rows = np.arange(len(self))[index]
        if rows.ndim != 1:
            raise TypeError(f"rows[{index!r}] is unknown; give a slice, numbers or a mask.")
        block = np.empty((len(rows), self.shape[1]), self.dtype)
        order = np.argsort(rows, kind="stable")  # neighbours on disk are read together
        lost: list[bytes] = []
        for first in range(0, len(order), AT_ONCE):
            positions = order[first : first + AT_ONCE]
            lost += self._read(block, positions, rows[positions])
        if lost:
            raise self._loss(lost, len(rows))
        return block

    def only(self, index: Index) -> StoredRows:
        """Return a matrix of some of the rows, without reading them."""
        keys, places = self._keys[index], self._places[index]
        return StoredRows(self._store, keys, self._file, places, self.dtype)

    def _read(self, block: np.ndarray, positions: np.ndarray, rows: np.ndarray) -> list[bytes]:
        """Write ``rows`` to their ``positions`` in the block; return the keys of lost rows."""
        places = self._places[rows]
        for position, place in zip(positions, places, strict=True):
            if place != STORED:
                block[position] = self._file.read(place)
        is_stored = places == STORED
        keys = self._keys[rows[is_stored]].tolist()
        if not keys or self._store is None:
            return []
        records = self._store.get(keys, self.shape[1])
        for position, key in zip(positions[is_stored], keys, strict=True):
            if key in records:
                block[position] = records[key].vector
        return [key for key in keys if key not in records]

    def _loss(self, keys: list[bytes], n_rows: int) -> StoreError:
        """Return the error that says how many of ``n_rows`` requested rows are lost."""
        assert self._store is not None
        damaged = sum(key in self._store.damaged for key in keys)
        why = (
            f"{damaged:,} are damaged"
            if damaged
            else "`earmark cache prune` and `earmark cache clear` delete them"
        )
        error = StoreDamageError if damaged else StoreError
        return error(
            f"the store {self._store.path} has lost {len(keys):,} of {n_rows:,} embeddings that it"
            f" had ({why}). Run the same command again, which computes them again."
        )


class RowsOnDisk:
    """Rows (E,) float16 or float32: some megabytes in memory, more in an unnamed temporary file."""

    def __init__(self, width: int, folder: Path | None = None) -> None:
        """Take E and the folder of the file, by default the system's temporary folder."""
        self.width, self._folder = width, folder
        where = str(folder) if folder else None
        file = tempfile.SpooledTemporaryFile(SPOOLED_BYTES, dir=where)  # noqa: SIM115
        weakref.finalize(self, file.close)
        self._file = cast(IO[bytes], file)
        self._ends = array("q", [0])  # end of each row in the file, in bytes

    def append(self, row: np.ndarray) -> int:
        """Write a row and return its place; EarmarkError if the disk is full."""
        try:
            self._file.seek(self._ends[-1])
            self._file.write(row.tobytes())
        except OSError as error:
            folder = self._folder or tempfile.gettempdir()
            hint = "" if self._folder else " in TMPDIR"
            raise EarmarkError(
                f"cannot write into the folder {folder}: {error.strerror}. Free some space there,"
                f" or name another folder{hint}."
            ) from error
        self._ends.append(self._ends[-1] + row.nbytes)
        return len(self._ends) - 2

    def read(self, place: int) -> np.ndarray:
        """Return the row at a place."""
        first, end = self._ends[place : place + 2]
        self._file.seek(first)
        is_wide = end - first == 4 * self.width
        return np.frombuffer(self._file.read(end - first), np.float32 if is_wide else np.float16)


class GrowingRows:
    """Rows (E,) of embeddings, in memory until they exceed ``most_bytes``."""

    def __init__(
        self,
        width: int,
        store: Store | None = None,
        most_bytes: int | None = None,
        folder: Path | None = None,
    ) -> None:
        """Take E; beyond ``most_bytes``, rows stay in the store or else go to the folder."""
        self._width, self._store, self._most_bytes = width, store, most_bytes
        self._folder = folder or (store.path.parent if store else None)
        self._rows: np.ndarray = np.zeros((0, width), np.float16)
        self._file: RowsOnDisk | None = None
        self._dtype = np.dtype(np.float16)
        self._keys, self._places = bytearray(), array("q")

    def append(self, embedded: Embedded) -> None:
        """Add a row; StoreDamageError if earlier rows are only in a store that is damaged."""
        row = embedded.vector
        if row.dtype != self._dtype:
            self._dtype = np.result_type(self._dtype, row)
        if self._store is not None and self._store.is_damaged:
            self._give_up_store()
        is_stored = embedded.is_stored and self._store is not None
        self._keys += embedded.key
        self._places.append(STORED if is_stored else IN_MEMORY)
        count = len(self._places)
        size = count * self._width * self._dtype.itemsize
        if self._file is None and (self._most_bytes is None or size <= self._most_bytes):
            self._keep(row, count)
            return
        if self._file is None:
            self._file = RowsOnDisk(self._width, self._folder)
            self._leave_memory()
        if not is_stored:
            self._places[-1] = self._file.append(row)

    def matrix(self) -> Matrix:
        """Return all rows; no more can be added."""
        if self._file is None:
            self._rows.resize((len(self._places), self._width), refcheck=False)
            return self._rows
        keys = np.frombuffer(self._keys, f"V{KEY_BYTES}")
        places = np.frombuffer(self._places, np.int64)
        return StoredRows(self._store, keys, self._file, places, self._dtype)

    def _keep(self, row: np.ndarray, count: int) -> None:
        if self._dtype != self._rows.dtype:
            self._rows = self._rows.astype(self._dtype)
        if count > len(self._rows):
            most = (self._most_bytes or 0) // (self._width * self._dtype.itemsize)
            rows = max(64, count * 3 // 2)
            self._rows.resize((min(rows, most) if most else rows, self._width), refcheck=False)
        self._rows[count - 1] = row

    def _give_up_store(self) -> None:
        assert self._store is not None
        if self._file is not None and STORED in self._places:
            raise StoreDamageError(
                f"the store {self._store.path} is damaged, and embeddings that this run needs are"
                " only there. Delete it with `earmark cache clear` and run the same command again."
            )
        self._places = array("q", [place if place >= 0 else IN_MEMORY for place in self._places])
        self._store = None

    def _leave_memory(self) -> None:
        """Write the rows that are only in memory to the file."""
        assert self._file is not None
        for row, place in enumerate(self._places[:-1]):
            if place == IN_MEMORY:
                self._places[row] = self._file.append(self._rows[row])
        self._rows = self._rows[:0].copy()


class Rows(Protocol):
    """A matrix (N, E) that is not in memory; some rows can be read at a time."""

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nbytes(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Index, /) -> np.ndarray: ...
    def only(self, index: Index) -> Rows: ...


Matrix = np.ndarray | Rows


def blocks(matrix: Matrix, rows: int | None = None) -> Iterator[np.ndarray]:
    """Yield all rows in blocks (n, E) of ``rows`` rows, by default of ``BLOCK_BYTES``."""
    rows = rows or max(1, BLOCK_BYTES // (matrix.shape[1] * matrix.dtype.itemsize))
    for first in range(0, len(matrix), rows):
        yield matrix[first : first + rows]
