"""Recordings inside Parquet files, here or elsewhere: the column of audio, row by row.

A file is read by ranges: first its end, which says where the rows are, and then the column of
recordings of one group of rows, some megabytes at a time. Rows follow each other in a table of
clips, so a file stays open where it is. Several threads that wait for rows near each other share
what is read.
"""

from __future__ import annotations

import bisect
import collections
import io
import itertools
import threading
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from earmark.audio.copying import SHORT_BYTES, Copied, Fetched
from earmark.audio.decoder import Refusal, reason
from earmark.audio.positioned import Positioned
from earmark.audio.shards import copied_out
from earmark.audio.uri import UriSource
from earmark.system import extras
from earmark.system.objects import ObjectError, ObjectStatus, is_uri, read_part, row_of
from earmark.system.recent import Recent

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

AUDIO = "audio"  # the column, as in data sets of Hugging Face; or the only one of its kind
BYTES = "bytes"  # its field with the recording
READ_BYTES = 4 * 2**20  # of the column, at a time
BATCH_ROWS = 8  # that are decoded at a time
BEHIND = 64  # rows that are kept behind the last one that was read, for other threads
KEPT_BYTES = 128 * 2**20  # of those rows
MOST_GROUP_BYTES = 2**30  # of recordings; a group may be one page, which is in memory twice
KEPT = 4  # files that stay open
STATUS_S = 10.0  # for which the status of a file elsewhere is not asked for again


def fetch_row(source: UriSource, known: ObjectStatus | None = None) -> Fetched | Copied:
    """Return the recording in a row of a Parquet file; its status is that of the file.

    Raises Refusal.
    """
    row = row_of(source.uri)
    assert row is not None
    archive, number = UriSource(row[0]), row[1]
    status = _status(archive) if known is None else known
    content = _file(archive, status).read(number)
    if len(content) <= SHORT_BYTES:
        return Fetched(content, source.name, status)
    return copied_out(io.BytesIO(content), len(content), source.name, status)


_statuses: Recent[str, tuple[float, ObjectStatus]] = Recent(KEPT)
_files: Recent[tuple[str, ObjectStatus], _File] = Recent(KEPT)


def _status(archive: UriSource) -> ObjectStatus:
    """Return the status of a file; if it lies elsewhere, it may be some seconds old.

    So it is not asked for again for each row. A request for bytes states it, and fails if it is no
    longer true.
    """
    if not is_uri(archive.uri):
        return archive.status
    with _statuses.making(archive.uri):
        known = _statuses.get(archive.uri)
        if known is None or monotonic() - known[0] > STATUS_S:
            known = monotonic(), archive.status
            _statuses.add(archive.uri, known)
        return known[1]


def _file(archive: UriSource, status: ObjectStatus) -> _File:
    """Return an open file; one thread opens it, and the others wait."""
    key = archive.uri, status
    with _files.making(key):
        if (file := _files.get(key)) is None:
            _files.add(key, file := _File(archive.uri, status))
        return file


class _File:
    """A Parquet file with recordings; several threads may read rows."""

    def __init__(self, uri: str, status: ObjectStatus) -> None:
        pq = extras.load("pyarrow.parquet", "parquet", "reading recordings in Parquet")
        self._bytes = _Bytes(uri, status)
        self._lock = threading.Lock()
        with self._refusing():
            self._parquet = pq.ParquetFile(
                cast(BinaryIO, self._bytes), buffer_size=READ_BYTES, pre_buffer=False
            )
            metadata = self._parquet.metadata
            groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
        self._column = _column_of(self._parquet.schema_arrow)
        self._sizes = [_size_of(group, self._column) for group in groups]
        self._ends = list(itertools.accumulate(group.num_rows for group in groups))
        self._next, self._end = 0, 0  # the row that follows, and the end of its group
        self._rows: Iterator[bytes | None] = iter(())
        self._kept: collections.OrderedDict[int, bytes | None] = collections.OrderedDict()
        self._kept_bytes = 0

    def read(self, row: int) -> bytes:
        """Return the recording of a row, from 0. Raises Refusal."""
        count = self._ends[-1] if self._ends else 0
        if row >= count:
            raise Refusal(
                f"is not in the file, which has {count:,} rows (0 is the first)", "missing"
            )
        with self._lock:
            if row not in self._kept:
                self._go_to(row)
            content = self._kept[row]
        if not content:
            raise Refusal("has no bytes in its row; its recording lies elsewhere", "missing")
        return content

    def _go_to(self, row: int) -> None:
        """Read until a row is there: from where the file is, or from the start of its group."""
        is_near = self._next <= row < max(self._end, self._next + BEHIND)
        if not is_near:
            self._open(bisect.bisect_right(self._ends, row))
        with self._refusing():
            while self._next <= row:
                if self._next >= self._end:
                    self._open(bisect.bisect_right(self._ends, self._next))
                self._keep(self._next, next(self._rows), row)
                self._next += 1

    def _open(self, group: int) -> None:
        """Go to the start of a group of rows."""
        if self._sizes[group] > MOST_GROUP_BYTES:
            raise Refusal(
                f"its group of rows has {self._sizes[group]:,} bytes, and at most"
                f" {MOST_GROUP_BYTES:,} are read; write the file with smaller groups",
                "length",
            )
        self._next = self._ends[group - 1] if group else 0
        self._end = self._ends[group]
        self._rows = self._contents(group)

    def _keep(self, number: int, content: bytes | None, row: int) -> None:
        """Keep a row if it is near the one that is looked for; forget the oldest ones."""
        if number < row - BEHIND:
            return
        self._kept_bytes += len(content or b"") - len(self._kept.pop(number, None) or b"")
        self._kept[number] = content
        while len(self._kept) > BEHIND or (len(self._kept) > 1 and self._kept_bytes > KEPT_BYTES):
            self._kept_bytes -= len(self._kept.popitem(last=False)[1] or b"")

    def _contents(self, group: int) -> Iterator[bytes | None]:
        batches = self._parquet.iter_batches(BATCH_ROWS, row_groups=[group], columns=[self._column])
        for batch in batches:
            values = batch.column(0)
            for part in self._column.split(".")[1:]:
                values = values.field(part)
            yield from (value.as_py() for value in values)

    def _refusing(self) -> _Refusing:
        return _Refusing(self._bytes)


class _Refusing:
    """Turns what pyarrow raises into a Refusal; a part that did not come is the reason."""

    def __init__(self, file: _Bytes) -> None:
        self.file = file

    def __enter__(self) -> None:
        self.file.problem = None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        problem = self.file.problem
        if problem is not None:
            raise Refusal(str(problem), problem.kind) from problem
        pa = extras.load("pyarrow", "parquet", "reading recordings in Parquet")
        if isinstance(error, (pa.ArrowException, OSError, ValueError, StopIteration)):
            raise Refusal(
                f"its file is no whole Parquet file ({reason(error)}); copy it again", "unreadable"
            ) from error


class _Bytes(Positioned):
    """The bytes of a file, which are fetched when they are read."""

    def __init__(self, uri: str, status: ObjectStatus) -> None:
        super().__init__(status.size)
        self._uri, self._status = uri, status
        self.problem: ObjectError | None = None  # pyarrow cannot pass it on

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        last = min(self._at + len(view), self._size)
        if last <= self._at:
            return 0
        try:
            content = read_part(self._uri, self._at, last, self._status).content
        except ObjectError as error:
            self.problem = error
            raise OSError(str(error)) from error
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


def _column_of(schema: Any) -> str:
    """Return the column with the bytes of recordings, such as audio.bytes; Refusal without one."""
    pa = extras.load("pyarrow", "parquet", "reading recordings in Parquet")
    names = []
    for column in schema:
        is_struct = pa.types.is_struct(column.type) and column.type.get_field_index(BYTES) >= 0
        kind = column.type.field(BYTES).type if is_struct else column.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            names.append(f"{column.name}.{BYTES}" if is_struct else column.name)
    own = [name for name in names if name.partition(".")[0] == AUDIO]
    if not own and len(names) != 1:
        raise Refusal(
            f"its file has {len(names)} columns of bytes; name the one with recordings {AUDIO!r}",
            "unreadable",
        )
    return (own or names)[0]


def _size_of(group: Any, column: str) -> int:
    """Return the bytes of a column in a group of rows, not compressed."""
    columns = (group.column(k) for k in range(group.num_columns))
    return sum(c.total_uncompressed_size for c in columns if c.path_in_schema == column)
