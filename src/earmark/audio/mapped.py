"""Search a file that is mapped into memory; pages that were searched leave memory again."""

from __future__ import annotations

import mmap
import re
import sys
from collections.abc import Iterator

PART = 1 << 24  # bytes that are searched before their pages leave memory
LONGEST = 1 << 8  # bytes that a sign of the beginning of a recording needs at most


class Mapped(mmap.mmap):
    """A mapped file; at most about ``2 * PART`` of its bytes count as memory of the process."""

    held = 0  # the byte from which on pages may be in memory

    def release(self, at: int) -> None:
        """Let go of the pages, once the search has moved on by ``PART`` bytes to byte ``at``."""
        if abs(at - self.held) >= PART:
            self.held = at
            if sys.platform != "win32" and hasattr(mmap, "MADV_DONTNEED"):
                self.madvise(mmap.MADV_DONTNEED)


Content = bytes | Mapped


def release(content: Content, at: int) -> None:
    """Let go of pages of a mapped file before byte ``at``; bytes stay as they are."""
    if isinstance(content, Mapped):
        content.release(at)


def find(content: Content, sign: bytes, start: int, end: int | None = None) -> int:
    """Return where ``sign`` begins in ``start..end``, or -1, as ``bytes.find`` does."""
    end = len(content) if end is None else min(end, len(content))
    while start < end:
        stop = min(end, start + PART)
        at = content.find(sign, start, min(end, stop + len(sign) - 1))
        release(content, stop if at < 0 else at)
        if at >= 0:
            return at
        start = stop
    return -1


def starts_of(pattern: re.Pattern[bytes], content: Content) -> Iterator[int]:
    """Yield where ``pattern`` matches, as ``finditer`` does; it may need ``LONGEST`` bytes."""
    at, size = 0, len(content)
    while at < size:
        stop = min(size, at + PART)
        end = stop
        for match in pattern.finditer(content, at, min(size, stop + LONGEST)):
            if match.start() >= stop:
                break
            end = max(end, match.end())
            yield match.start()
        at = end
        release(content, at)
