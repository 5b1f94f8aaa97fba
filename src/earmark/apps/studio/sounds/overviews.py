"""Overviews of long recordings: the loudest and the peaks of each half second, kept on disk.

A file of the cache has a head, then a record for each half second: ``ROWS`` levels, and the least
and the greatest sample. A sketch fills it first: it hears a short stretch of each of SKETCHED parts
of the recording. Then a scan reads the whole recording and replaces the sketch from the beginning.
The head says how far the scan has come. The file gets its name when all is done.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from earmark.apps.studio.sounds.sections import About, Section, mono
from earmark.apps.studio.sounds.spectrograms import Grid, Levels, Peaks, draw, drawn, lens_of
from earmark.audio.decoder import Samples
from earmark.audio.options import AudioOptions
from earmark.errors import AudioError, EarmarkError
from earmark.system.files import open_file

BASE_S = 0.5  # of one record
ROWS = 128
RECORD = ROWS + 2
VERSION = 1  # raise it when levels change
HEAD = struct.Struct("<16sqq")  # name and version, records, records that are exact
SKETCHED, SKETCH_S = 256, 0.25  # parts of a recording, and what is heard of each
TURN_S = 0.5  # of one turn of a scan
MOST_BYTES = 512 * 2**20  # of all overviews in the cache
OLD_S = 24 * 3600.0  # after this, an unfinished overview is left over from a process that ended
LENIENT = AudioOptions(non_finite="zero")
_T = TypeVar("_T", bound=np.generic)


def path_of(folder: str, path: str, known: About) -> Path:
    """Return the file of a recording's overview; another if the recording has changed."""
    status = os.stat(path)
    key = f"{os.path.abspath(path)} {status.st_size} {status.st_mtime_ns} {known.seconds}"
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return Path(folder) / f"{digest[:32]}.overview"


class Overview:
    """What is known of a long recording as a whole.

    Attributes
    ----------
    share : float
        The part of the recording that was scanned; the rest is a sketch.
    """

    def __init__(self, records: NDArray[np.uint8], exact: int) -> None:
        self._records = records
        self.share = exact / len(records)

    @classmethod
    def open(cls, folder: str, mark: str, path: str, known: About) -> Overview:
        """Open the overview of a recording; AudioError of kind 'overview' if there is none yet."""
        file = path_of(folder, path, known)
        for name in (file, file.with_suffix(f".{mark}")):
            if overview := cls.read(name, known):
                return overview
        raise AudioError(path, "its overview is not drawn yet; ask again in a second", "overview")

    @classmethod
    def read(cls, name: Path, known: About) -> Overview | None:
        """Return the overview in a file; None if there is none, or if it is damaged."""
        count = math.ceil(known.seconds / BASE_S)
        try:
            with open_file(name) as file:
                sign, records, exact = HEAD.unpack(file.read(HEAD.size).ljust(HEAD.size))
                if sign != _sign() or records != count or not 0 <= exact <= count:
                    return None
                os.utime(name)
                return cls(np.memmap(file, np.uint8, "r", HEAD.size, (count, RECORD)), exact)
        except (OSError, ValueError):
            return None

    def levels(self, grid: Grid, rows: int) -> Levels:
        """Return the columns of a picture (columns, rows); each shows whole half seconds."""
        froms, ends = self._spans(grid)
        levels = _reduced(self._records[:, :ROWS], froms, ends, np.maximum)
        return levels if rows == ROWS else _stretched(levels, rows)

    def peaks(self, grid: Grid) -> NDArray[np.int8]:
        """Return the least and the greatest sample of each point (points, 2)."""
        froms, ends = self._spans(grid)
        pairs = self._records[:, ROWS:].view(np.int8)
        low = _reduced(pairs[:, :1], froms, ends, np.minimum)
        return np.hstack([low, _reduced(pairs[:, 1:], froms, ends, np.maximum)])

    def _spans(self, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        edges = (grid.start_s + grid.column_s * np.arange(grid.columns + 1)) / BASE_S
        froms = np.floor(edges[:-1] + 1e-6).astype(np.int64)
        ends = np.maximum(np.ceil(edges[1:] - 1e-6).astype(np.int64), froms + 1)
        most = len(self._records)
        return np.minimum(froms, most - 1), np.minimum(ends, most)


def _reduced(
    values: NDArray[_T], froms: NDArray[np.int64], ends: NDArray[np.int64], ufunc: np.ufunc
) -> NDArray[_T]:
    """Return ``ufunc`` over the rows ``from..end`` of values, for each pair."""
    parts = [ufunc.reduce(values[a:b], 0) for a, b in zip(froms, ends, strict=True)]
    return np.stack(parts)


def _stretched(levels: Levels, rows: int) -> Levels:
    """Return the levels (columns, ROWS) with another number of rows, drawn in between."""
    at = ((np.arange(rows) + 0.5) / rows * ROWS - 0.5).clip(0, ROWS - 1)
    low = np.floor(at).astype(int)
    high, part = np.minimum(low + 1, ROWS - 1), (at - low).astype(np.float32)
    return np.asarray(np.rint(levels[:, low] * (1 - part) + levels[:, high] * part), np.uint8)


class Scan:
    """Draws the overview of one recording, some seconds of it at each turn.

    Attributes
    ----------
    path : str
        The recording.
    share : float
        The part that is done.
    """

    def __init__(self, path: str, known: About, file: Path, part: Path) -> None:
        self.path, self._known, self._file, self._part = path, known, file, part
        self._count = math.ceil(known.seconds / BASE_S)
        self._done, self._lens = 0, lens_of(known.rate_hz, ROWS)
        self._columns = self._scan()

    @property
    def share(self) -> float:
        return self._done / self._count

    @classmethod
    def begin(cls, folder: str, mark: str, path: str, known: About) -> Scan:
        """Make room, and write the sketch; EarmarkError if the cache cannot be written."""
        file = path_of(folder, path, known)
        part = file.with_suffix(f".{mark}")
        scan = cls(path, known, file, part)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if Overview.read(file, known):
                scan._done = scan._count
                return scan
            make_room(file.parent, MOST_BYTES - scan._count * RECORD)
            head = HEAD.pack(_sign(), scan._count, 0)
            beside = part.with_suffix(f".{mark}-new")
            beside.write_bytes(head + scan._sketch().tobytes())
            os.replace(beside, part)
        except OSError as error:
            raise EarmarkError(
                f"cannot keep the overview of a long recording in {file.parent}: {error.strerror}."
                " Free some space, or set EARMARK_CACHE to another folder."
            ) from error
        return scan

    def go_on(self) -> None:
        """Scan for a turn, and write what came of it."""
        if self._done == self._count:
            return
        end, parts = time.monotonic() + TURN_S, []
        for part in self._columns:
            parts.append(part)
            if time.monotonic() > end:
                break
        records = np.concatenate(parts) if parts else np.zeros((0, RECORD), np.uint8)
        try:
            self._write(records)
        except OSError as error:
            raise EarmarkError(
                f"cannot keep the overview of a long recording in {self._part.parent}:"
                f" {error.strerror}. Free some space, or set EARMARK_CACHE to another folder."
            ) from error

    def _write(self, records: NDArray[np.uint8]) -> None:
        with self._part.open("rb+") as file:
            file.seek(HEAD.size + self._done * RECORD)
            file.write(records.tobytes())
            self._done += len(records)
            file.seek(0)
            file.write(HEAD.pack(_sign(), self._count, self._done))
        if self._done == self._count:
            os.replace(self._part, self._file)

    def _scan(self) -> Iterator[NDArray[np.uint8]]:
        grid = Grid(0.0, BASE_S, self._count)
        peaks, at = Peaks(grid, self._known.rate_hz, 0), 0
        whole = Section(0.0, self._known.seconds)
        with mono(self.path, self._known, whole, options=LENIENT) as (blocks, first):
            for levels in draw(_heard(blocks, peaks), first, self._lens, grid):
                pairs = peaks.between(at, at + len(levels))
                at += len(levels)
                yield np.hstack([levels, pairs.view(np.uint8)])

    def _sketch(self) -> NDArray[np.uint8]:
        """Return records of which each part of the recording has the same."""
        parts = min(SKETCHED, self._count)
        edges = np.linspace(0, self._count, parts + 1).astype(int)
        records = np.zeros((self._count, RECORD), np.uint8)
        around = len(self._lens.window)
        for first, last in itertools.pairwise(edges):
            start = min((first + last) / 2 * BASE_S, max(0.0, self._known.seconds - SKETCH_S))
            grid = Grid(start, SKETCH_S, 1)
            section = Section(start, min(start + SKETCH_S, self._known.seconds))
            with mono(self.path, self._known, section, around, LENIENT) as (blocks, begin):
                peaks = Peaks(grid, self._known.rate_hz, begin)
                levels = drawn(_heard(blocks, peaks), begin, self._lens, grid)
            records[first:last] = np.hstack([levels, peaks.pairs.view(np.uint8)])
        return records


def _heard(blocks: Iterator[Samples], peaks: Peaks) -> Iterator[Samples]:
    for block in blocks:
        peaks.feed(block)
        yield block


def _sign() -> bytes:
    return f"earmark view {VERSION}".encode().ljust(16)


def make_room(folder: Path, most_bytes: int) -> None:
    """Delete the overviews that were not used for longest, and what ended processes have left."""
    files = [(file.stat(), file) for file in folder.iterdir() if file.is_file()]
    files.sort(key=lambda item: item[0].st_mtime, reverse=True)
    total = 0
    for status, file in files:
        total += status.st_size
        is_left = file.suffix != ".overview" and time.time() - status.st_mtime > OLD_S
        if total > most_bytes or is_left:
            file.unlink(missing_ok=True)
