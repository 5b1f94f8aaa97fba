"""Keep sketches on disk until they are compared; those of many long clips would fill the memory."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast, overload

import numpy as np

from earmark.data.doctor.near_duplicates import BANDS, Sketch
from earmark.errors import EarmarkError


class Spool(Sequence[Sketch]):
    """A sequence of sketches in a temporary file that only grows."""

    def __init__(self, file: BinaryIO, places: Iterable[tuple[int, int]] = ()) -> None:
        self._file, self._lock = file, threading.Lock()
        self._places = list(places)  # first and end byte of each sketch

    def append(self, sketch: Sketch) -> None:
        """Write a sketch; EarmarkError if the disk is full."""
        try:
            first = self._file.seek(0, 2)
            self._file.write(sketch.tobytes())
        except OSError as error:
            raise EarmarkError(
                f"cannot write into the folder {tempfile.gettempdir()}: {error.strerror}. Free some"
                " space there, set TMPDIR to another folder, or give --quick."
            ) from error
        self._places.append((first, first + sketch.nbytes))

    def chosen(self, numbers: Iterable[int]) -> Spool:
        """Return the sketches with these indices, in this order."""
        return Spool(self._file, (self._places[number] for number in numbers))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> Sketch: ...
    @overload
    def __getitem__(self, number: slice) -> Spool: ...
    def __getitem__(self, number: int | slice) -> Sketch | Spool:
        if isinstance(number, slice):
            return Spool(self._file, self._places[number])
        first, end = self._places[number]
        with self._lock:
            self._file.seek(first)
            content = self._file.read(end - first)
        return np.frombuffer(content, np.uint8).reshape(-1, BANDS)


@contextmanager
def open_spool() -> Iterator[Spool]:
    """Yield an empty spool; its file is deleted at the end."""
    with tempfile.TemporaryFile() as file:
        yield Spool(cast(BinaryIO, file))
