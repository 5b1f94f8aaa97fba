"""A file for decoders that has a position and a size, and bytes from wherever its kind has them."""

from __future__ import annotations

import io
import os


class Positioned(io.RawIOBase):
    """A file of ``size`` bytes that is read from the position ``_at``; a subclass has readinto."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at
