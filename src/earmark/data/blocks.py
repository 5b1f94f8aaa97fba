"""Clips in blocks of rows, so that a manifest of millions is never in memory as clips."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from earmark.data.clip import COLUMNS, Clip
from earmark.data.columns import resolve
from earmark.data.dataset import Dataset, table_at
from earmark.data.remote import check_allowed
from earmark.data.rows import TO_ANSWER, RowReader, check_present
from earmark.data.split_words import SplitMap, check_words
from earmark.data.tables import AUDIO_COLUMN, Row, Table
from earmark.errors import DataError

Block = tuple[int, Sequence[Clip]]  # the number of the block, from 0, and its clips


@dataclass(frozen=True)
class ClipBlocks:
    """The clips of a manifest or folder, in blocks of ``size``; only some blocks are in memory.

    Attributes
    ----------
    source : str
        Where they come from, for people to read.
    size : int
        Clips in a block; the last one may have fewer.
    n_clips : int
        The number of all clips; 0 if counting them would take long.
    separator : str or None
        The text between the classes in a label, if clips may have several.
    notes : tuple of str
        How the data was understood if that is not obvious.
    """

    source: str
    size: int
    n_clips: int
    separator: str | None
    notes: tuple[str, ...]
    _blocks: Callable[[Container[int]], Iterator[Block]]

    def blocks(self, wanted: Container[int]) -> Iterator[Block]:
        """Yield the blocks whose numbers are ``wanted``, in order; others are only skipped.

        Raises DataError, with the number of the row, for a row that cannot be a clip.
        """
        return self._blocks(wanted)

    def count(self, wanted: Container[int]) -> int:
        """Return how many clips the blocks whose numbers are ``wanted`` have."""
        starts = range(0, self.n_clips, self.size)
        wanted_starts = (s for k, s in enumerate(starts) if k in wanted)
        return sum(min(self.size, self.n_clips - start) for start in wanted_starts)

    @classmethod
    def read(
        cls,
        data: str | Path,
        size: int,
        *,
        columns: Mapping[str, str | None],
        separator: str | None = None,
        root: str | Path | None = None,
        split_map: str | None = None,
        allow_remote: bool = False,
        is_list: bool = False,
    ) -> ClipBlocks:
        """Open a manifest, or list a folder; arguments are those of :meth:`Dataset.read`.

        ``columns`` maps our names of columns to other ones, or to None. The rows of a manifest are
        read when their block is needed. So a row that is there twice is not noticed, and missing
        recordings only if they are most of the first block.
        """
        names = {*COLUMNS, *(name for name in columns.values() if name)}
        label, path = columns.get("label") or "label", columns.get("path") or "path"

        def table() -> Table | None:
            return table_at(Path(os.path.abspath(data)), names, label, root, False, path)

        first = table()
        if first is None:
            if root is not None or any(columns.values()):
                raise DataError(
                    f"{data} is a folder and has no columns. Leave out the names of columns and the"
                    " root, or give a manifest."
                )
            dataset = Dataset.read(data, split_map=split_map, need_labels=False)
            clips = dataset.clips
            own = functools.partial(blocks_of, clips, size)
            return cls(dataset.source, size, len(clips), None, dataset.notes, own)
        rows = _Rows(
            table, columns, separator, SplitMap.parse(split_map), size, allow_remote, is_list
        )
        return cls(first.name, size, rows.count(), rows.separator, rows.notes, rows.blocks)


class _Rows:
    """The rows of a manifest, which is opened anew for each pass."""

    def __init__(
        self,
        table: Callable[[], Table | None],
        options: Mapping[str, str | None],
        separator: str | None,
        split_map: SplitMap,
        size: int,
        allow_remote: bool,
        is_list: bool,
    ) -> None:
        self.table, self.options, self.split_map, self.size = table, options, split_map, size
        self.allow_remote, self.is_list = allow_remote, is_list
        self.separator = separator
        reader, table_read, notes = self._reader()
        numbered = list(itertools.islice(table_read.rows, size))
        if not numbered:
            raise DataError(f"{table_read.name} has no rows. Write one row per clip.")
        clips = self._clips(reader, numbered)
        if not table_read.is_embedded and not is_list:
            numbers = [number for number, _ in numbered]
            check_present(table_read, numbers, clips, reader.locator.missing)
        self.separator = reader.separator
        self.notes = (*table_read.notes, *notes)
        self.name, self.has_audio = table_read.name, AUDIO_COLUMN in table_read.columns

    def count(self) -> int:
        """Return the number of rows; 0 if the table has recordings, which would all be read."""
        return 0 if self.has_audio else sum(1 for _ in self._open().rows)

    def blocks(self, wanted: Container[int]) -> Iterator[Block]:
        reader, table, _ = self._reader()
        rows = iter(table.rows)
        for number in itertools.count():
            numbered = list(itertools.islice(rows, self.size))
            if not numbered:
                return
            clips = self._clips(reader, numbered) if number in wanted else []
            if reader.separator != self.separator:
                raise DataError(
                    f"{table.name} has lists of classes, but none in its first {self.size:,} rows."
                    f" Say with --separator '{reader.separator}' that clips may have several."
                )
            reader.locator.missing.clear()  # it could have millions
            if clips:
                yield number, clips

    def _open(self) -> Table:
        table = self.table()
        assert table is not None
        return table

    def _reader(self) -> tuple[RowReader, Table, list[str]]:
        table = self._open()
        columns, notes = resolve(table.name, table.columns, self.options, False)
        if self.split_map.is_off:
            columns.pop("split", None)
        if self.is_list:
            columns = {name: columns[name] for name in TO_ANSWER if name in columns}
        reader = RowReader(table, columns, self.separator, self.split_map, takes_uris=True)
        return reader, table, notes

    def _clips(self, reader: RowReader, numbered: Iterable[tuple[int, Row]]) -> list[Clip]:
        name, clips, numbers = reader.seconds.table, list[Clip](), list[int]()
        for number, row in numbered:
            numbers.append(number)
            try:
                clips.append(reader.clip(number, row))
            except ValueError as error:
                raise DataError(f"{name}, row {number}: {error}.") from error
        reader.seconds.check()
        check_words((clip.split for clip in clips), name)
        if not self.allow_remote:
            check_allowed(name, numbers, clips)
        return clips


def blocks_of(clips: Iterable[Clip], size: int, wanted: Container[int]) -> Iterator[Block]:
    """Yield the blocks of ``size`` clips whose numbers are ``wanted``."""
    clips = iter(clips)
    for number in itertools.count():
        block = tuple(itertools.islice(clips, size))
        if not block:
            return
        if number in wanted:
            yield number, block
