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
from earmark.data.embedded import rows_in_place
from earmark.data.remote import check_allowed
from earmark.data.rows import TO_ANSWER, RowReader, check_present
from earmark.data.split_words import SplitMap, check_words
from earmark.data.survey import ARCHIVED_RUN, Survey, add_up, choose_rows, shuffled, survey_of
from earmark.data.tables import AUDIO_COLUMN, Row, Table
from earmark.errors import DataError
from earmark.system.objects import MEMBER

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
    _survey: Callable[[int, int], Survey]

    def survey(self, most: int, seed: int = 0) -> Survey:
        """Count all clips and their seconds by their rows, and draw a sample of ``most`` clips.

        Only the sample is in memory. Raises DataError as :meth:`blocks` does.
        """
        return self._survey(most, seed)

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
    def of(
        cls, clips: Sequence[Clip], size: int, source: str, notes: tuple[str, ...] = ()
    ) -> ClipBlocks:
        """Return clips that are in memory."""
        own, survey = functools.partial(blocks_of, clips, size), functools.partial(survey_of, clips)
        return cls(source, size, len(clips), None, notes, own, survey)

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
            place = Path(os.path.abspath(data))
            folder = None if root is None else Path(os.path.abspath(root))
            in_place = rows_in_place(place, names, folder) if path == "path" else None
            return in_place or table_at(place, names, label, root, False, path)

        first = table()
        if first is None:
            if root is not None or any(columns.values()):
                raise DataError(
                    f"{data} is a folder and has no columns. Leave out the names of columns and the"
                    " root, or give a manifest."
                )
            dataset = Dataset.read(data, split_map=split_map, need_labels=False)
            return cls.of(dataset.clips, size, dataset.source, dataset.notes)
        rows = _Rows(
            table, columns, separator, SplitMap.parse(split_map), size, allow_remote, is_list
        )
        about = (rows.count(), rows.separator, rows.notes)
        return cls(first.name, size, *about, rows.blocks, rows.survey)


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
        self.is_archived = any(MEMBER in clip.place for clip in clips)
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

    def survey(self, most: int, seed: int) -> Survey:
        """Return the survey of all rows; only those of the sample become clips."""
        n_rows, run = self.count(), min(most, ARCHIVED_RUN) if self.is_archived else 1
        reader, table, _ = self._reader()
        chosen = set(choose_rows(n_rows, most, seed, run))
        sample: list[Clip] = []

        def stretches() -> Iterator[tuple[float | None, float | None]]:
            for row, numbered in enumerate(table.rows):
                if row in chosen:
                    sample.extend(self._clips(reader, [numbered]))
                if "end" in reader.columns:
                    yield reader.stretch(*numbered)

        try:
            n_timed, timed_s = add_up(stretches())
        except ValueError as error:
            raise DataError(f"{table.name}: {error}.") from error
        return Survey(n_rows, n_timed, timed_s, shuffled(sample, seed, run), run)

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
        return read_rows(reader, numbered, self.allow_remote)


def read_rows(
    reader: RowReader, numbered: Iterable[tuple[int, Row]], allow_remote: bool
) -> list[Clip]:
    """Return a clip for each row; DataError, with its number, for one that cannot be a clip."""
    name, clips, numbers = reader.seconds.table, list[Clip](), list[int]()
    for number, row in numbered:
        numbers.append(number)
        try:
            clips.append(reader.clip(number, row))
        except ValueError as error:
            raise DataError(f"{name}, row {number}: {error}.") from error
    reader.seconds.check()
    check_words((clip.split for clip in clips), name)
    if not allow_remote:
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
