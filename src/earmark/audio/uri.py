"""Recordings that lie elsewhere, named by a URI, and reading them in blocks where they lie."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from earmark.audio.decoder import Refusal
from earmark.audio.positioned import Positioned
from earmark.system.objects import MEMBER, ObjectError, ObjectStatus, read_part, read_status, row_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 2**19  # of a stretch, read at a time
BLOCKS = 4  # that are kept


@dataclass(frozen=True)
class UriSource:
    """A recording that lies elsewhere, such as ``s3://bucket/a.wav``.

    ``s3://bucket/b.tar::a.wav`` is the ``member`` a.wav of an ``archive``, whose size and version
    it has. ``s3://bucket/b.parquet::3`` is the recording in row 3 of a Parquet file, which may also
    be a file of this machine.
    """

    uri: str

    @property
    def name(self) -> str:
        return self.uri

    @property
    def archive(self) -> str:
        row = row_of(self.uri)
        return self.uri.partition(MEMBER)[0] if row is None else row[0]

    @property
    def member(self) -> str | None:
        return self.uri.partition(MEMBER)[2] or None

    @property
    def status(self) -> ObjectStatus:
        """The size and version, which are asked for without reading the recording."""
        with refusing():
            return read_status(self.archive)

    @property
    def size(self) -> int:
        return self.status.size

    @property
    def version(self) -> bytes:
        return version_of(self.uri, self.status)


def version_of(uri: str, status: ObjectStatus) -> bytes:
    """Return a hash that differs after an object has changed, without its bytes."""
    return hashlib.sha256(f"{uri} {status.size} {status.version}".encode()).digest()


@dataclass(frozen=True, eq=False)
class Ranged:
    """A long recording that is read where it lies, in blocks.

    ``head`` has its first bytes. A decoder cannot pass on why a block did not come, so
    ``problems`` keeps the reasons; see :meth:`check`.
    """

    uri: str
    status: ObjectStatus
    head: bytes = field(default=b"", repr=False)
    problems: list[ObjectError] = field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        return self.uri

    @property
    def size(self) -> int:
        return self.status.size

    @property
    def version(self) -> bytes:
        return version_of(self.uri, self.status)

    def alone(self) -> Ranged:
        """Return the same recording with problems of its own."""
        return Ranged(self.uri, self.status, self.head)

    def open(self) -> BinaryIO:
        return cast(BinaryIO, _Blocks(self))

    def check(self) -> None:
        """Raise Refusal if a block did not come."""
        if self.problems:
            raise Refusal(str(self.problems[0]), self.problems[0].kind)


class _Blocks(Positioned):
    """The bytes of a recording, in blocks that are fetched when they are needed."""

    def __init__(self, source: Ranged) -> None:
        super().__init__(source.size)
        self._source = source
        self._blocks: collections.OrderedDict[int, bytes] = collections.OrderedDict()

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the whole buffer: decoders take less for the end of the file."""
        view = memoryview(buffer).cast("B")
        count = 0
        while count < len(view) and self._at < self._size:
            piece = self._piece(len(view) - count)
            if not piece:
                break
            view[count : count + len(piece)] = piece
            count, self._at = count + len(piece), self._at + len(piece)
        return count

    def _piece(self, most: int) -> bytes:
        """Return at most ``most`` bytes from the position on."""
        if self._at < len(self._source.head):
            return self._source.head[self._at : self._at + most]
        number, offset = divmod(self._at, BLOCK_BYTES)
        return self._block(number)[offset : offset + most]

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            first, source = number * BLOCK_BYTES, self._source
            try:
                part = read_part(source.uri, first, first + BLOCK_BYTES, source.status)
            except ObjectError as error:
                source.problems.append(error)
                return b""
            self._blocks[number] = part.content
            if len(self._blocks) > BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]


@contextmanager
def refusing() -> Iterator[None]:
    """Turn an ObjectError into a Refusal."""
    try:
        yield
    except ObjectError as error:
        raise Refusal(str(error), error.kind) from error
