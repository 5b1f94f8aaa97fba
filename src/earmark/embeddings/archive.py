"""An archive: embeddings of windows of many recordings, by several networks, in one folder.

The folder has ``archive.sqlite`` (recordings, networks, and which windows are where) and a folder
for each network with parts, Parquet files as ``earmark embed -o DIR`` writes them, that are put in
place whole. Reading is possible while the archive grows: a reader sees complete parts.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from earmark.data.parts import PartSummary
from earmark.embeddings.archive_file import ArchiveError, explained, open_to_read, snapshot
from earmark.embeddings.table import EmbeddingTable
from earmark.embeddings.window_settings import folder_of
from earmark.embeddings.window_vectors import Centre, VectorFiles, sizes_of
from earmark.system.objects import is_uri

NUMBER_BITS = 32  # of a key of content and number of a window
SAME_S = 2e-6  # times are rounded to microseconds
DIGEST_DIGITS = 16
LIVE = (  # runs whose content some recording has, and that was read without an error
    "SELECT part.number, run.first_row, run.content, run.first_window, run.windows FROM run"
    " JOIN part ON part.id = run.part WHERE part.network = ?"
    " AND EXISTS (SELECT 1 FROM recording WHERE recording.content = run.content AND is_gone < 2)"
    " AND NOT EXISTS (SELECT 1 FROM finished WHERE finished.content = run.content"
    " AND finished.network = part.network AND finished.error IS NOT NULL)"
    " ORDER BY part.number, run.first_row"
)


@dataclass(frozen=True)
class ArchiveRecording:
    """A recording in an archive.

    Attributes
    ----------
    dataset : str
        The name of its data set.
    path : str
        Relative to the folder of the data set, with slashes; or a URI.
    place : str
        The whole path, or the URI.
    content : int or None
        The number of its content; copies share one. None if it could not be read.
    seconds : float or None
        Its length, if known.
    is_gone : bool
        Whether it was no longer there when its data set was indexed last.
    error : str or None
        Why it could not be read.
    columns : dict of str to str
        The columns of the recordings table.
    digest : str
        The first 16 hexadecimal digits of the hash of its content; empty without a content.
    """

    dataset: str
    path: str
    place: str
    content: int | None
    seconds: float | None
    is_gone: bool = False
    error: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""

    @property
    def exists(self) -> bool:
        """Whether its file is there now; a URI is taken to be."""
        return is_uri(self.place) or os.path.exists(self.place)


@dataclass(frozen=True)
class ArchiveNetwork:
    """A network of an archive, with its version, its layers and its grid of windows."""

    number: int
    settings: Mapping[str, Any]
    folder: str
    centre: Centre

    @property
    def backbone(self) -> str:
        """Its name."""
        return str(self.settings["backbone"])

    @property
    def fingerprint(self) -> str:
        """The backbone with its version, its weights and its precision."""
        return str(self.settings["fingerprint"])

    @property
    def layers(self) -> dict[str, int]:
        """The layers, and how many numbers of an embedding each has."""
        return dict(self.settings["layers"])

    @property
    def window_s(self) -> float:
        """The length of a window in seconds."""
        return float(self.settings["window_s"])

    @property
    def hop_s(self) -> float:
        """The seconds from the start of a window to the start of the next one."""
        return float(self.settings["hop_s"])

    @property
    def name(self) -> str:
        """What people read: the backbone and the grid."""
        return f"{self.backbone} ({self.window_s:g} s every {self.hop_s:g} s)"


@dataclass(frozen=True)
class Windows:
    """The windows of one network in an archive, at one moment: N rows.

    Attributes
    ----------
    network : ArchiveNetwork
    contents : array, (N,) int64
        The content of each window; ``recordings`` has the recordings by content.
    numbers : array, (N,) int64
        Window i of a recording covers ``i * hop_s .. i * hop_s + window_s``.
    table : EmbeddingTable
        The embeddings of the same rows: ``table[rows]`` reads some of them.
    recordings : dict of int to list of ArchiveRecording
        Those that are there come before those that are gone.
    vectors : VectorFiles
        What a search compares.
    former : dict of str to int
        The contents of recordings that have another name now, by their earlier place.
    """

    network: ArchiveNetwork
    contents: np.ndarray
    numbers: np.ndarray
    table: EmbeddingTable
    recordings: Mapping[int, list[ArchiveRecording]]
    vectors: VectorFiles
    former: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def similarities(self, query: np.ndarray) -> np.ndarray:
        """Return how near each window is to a query (D,) of unit length: (N,) float32, -1 to 1."""
        similarities: np.ndarray = self.vectors.similarities(self._parts, query)[self.table.rows]
        return similarities

    def vectors_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the vectors (n, D) float32, of unit length, of windows (n,)."""
        return self.vectors.of_rows(self._parts, self.table.rows[rows])

    @property
    def _parts(self) -> list[tuple[str, int]]:
        return [(part.file, part.clips) for part in self.table.parts]

    def overlapping(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of windows that share sound with some of ``rows`` (n,), also these."""
        order, keys = self._order
        steps = math.ceil(self.network.window_s / self.network.hop_s - 1e-6) - 1
        own = (self.contents[rows] << NUMBER_BITS) | self.numbers[rows]
        wanted = np.unique(
            own[:, None] + np.arange(-steps, steps + 1)
        )  # another content is far away
        slots = np.searchsorted(keys, wanted)
        is_there = keys[np.minimum(slots, len(keys) - 1)] == wanted if len(keys) else slots < 0
        overlapping: np.ndarray = order[slots[is_there]]
        return overlapping

    def span(self, content: int, first: int, last: int) -> tuple[float, float]:
        """Return start and end, in seconds, of the windows ``first`` to ``last`` of a content."""
        start, end = first * self.network.hop_s, last * self.network.hop_s + self.network.window_s
        seconds = self.recordings[content][0].seconds
        return round(start, 6), round(end if seconds is None else min(end, seconds), 6)

    @functools.cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows by content and number, and their keys: both (N,) int64."""
        keys = (self.contents << NUMBER_BITS) | self.numbers
        order = np.argsort(keys, kind="stable")
        return order, keys[order]

    def rows_between(self, content: int, start: float | None, end: float | None) -> np.ndarray:
        """Return the rows of windows of a content that overlap a stretch by half.

        Parameters
        ----------
        content : int
            The content of a recording.
        start, end : float or None
            Seconds; None means the beginning or the end of the recording.

        Returns
        -------
        array, (n,) int64
            In the order of time: windows that share at least half of the shorter of window and
            stretch. A window that covers exactly the stretch is returned alone.
        """
        order, keys = self._order
        window_s, hop_s = self.network.window_s, self.network.hop_s
        first = 0.0 if start is None else start
        most = (1 << NUMBER_BITS) - 1
        low = min(max(0, math.floor((first - window_s) / hop_s)), most)
        high = most if end is None else min(max(0, math.ceil(end / hop_s)), most)
        base = int(content) << NUMBER_BITS
        slots = slice(*np.searchsorted(keys, [base + low, base + high + 1]))
        rows = order[slots]
        own = self.recordings.get(content)
        seconds = own[0].seconds if own else None
        length = math.inf if seconds is None else seconds
        starts = self.numbers[rows] * hop_s
        ends = np.minimum(starts + window_s, length)
        last = length if end is None else end
        is_same = (abs(starts - first) < SAME_S) & (abs(ends - last) < SAME_S)
        shared = np.minimum(ends, last) - np.maximum(starts, first)
        shorter = np.minimum(ends - starts, last - first)
        is_half = (shared > 0) & (shared >= shorter / 2 - SAME_S)
        chosen: np.ndarray = rows[is_same if is_same.any() else is_half]
        return chosen


class Archive:
    """An archive that ``earmark index`` wrote, for reading. Use it as a context manager.

    Parameters
    ----------
    path : str or Path
        The folder. It may be on a place that cannot be written, and may grow meanwhile.

    Attributes
    ----------
    networks : tuple of ArchiveNetwork
        In the order in which they were added.

    Raises
    ------
    ArchiveError
        The folder is no archive, or it is damaged or was made by a newer earmark.

    Examples
    --------
    >>> from earmark.embeddings import Archive
    >>> with Archive("archive") as archive:
    ...     windows = archive.windows()
    ...     len(windows), windows.table[:5].shape
    (12, (5, 4800))
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(os.path.abspath(path))
        self._db = open_to_read(self.path)
        try:
            with explained(self.path, "read"):
                self.networks = tuple(self._networks())
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of the archive."""
        self._db.close()

    def __repr__(self) -> str:
        return f"Archive({str(self.path)!r}, {', '.join(n.name for n in self.networks)})"

    def _networks(self) -> Iterator[ArchiveNetwork]:
        rows = self._db.execute(
            "SELECT id, settings, centre, centre_windows FROM network ORDER BY id"
        ).fetchall()
        for number, text, centre, windows in rows:
            yield network_of(self.path, number, text, centre, windows)

    def network(self, backbone: str | None = None) -> ArchiveNetwork:
        """Return the network that was added last, or the last one of a backbone.

        Raises ArchiveError if there is none.
        """
        own = [n for n in self.networks if backbone in (None, n.backbone)]
        if own:
            return own[-1]
        names = ", ".join(dict.fromkeys(n.backbone for n in self.networks)) or "no network"
        what = f"no windows of {backbone}" if backbone else "no windows"
        raise ArchiveError(
            f"the archive {self.path} has {what}; it has {names}. Run `earmark index` on it."
        )

    def recordings(self) -> list[ArchiveRecording]:
        """Return all recordings, by data set and path."""
        with explained(self.path, "read"):
            return list(self._recordings())

    def _recordings(self) -> Iterator[ArchiveRecording]:
        rows = self._db.execute(
            "SELECT dataset.folder, dataset.name, recording.path, recording.content,"
            " content.seconds, is_gone, recording.error, columns, content.hash FROM recording"
            " JOIN dataset ON dataset.id = recording.dataset"
            " LEFT JOIN content ON content.id = recording.content"
            " WHERE is_gone < 2 ORDER BY dataset.id, recording.path"
        )
        for folder, dataset, path, content, seconds, is_gone, error, columns, digest in rows:
            yield ArchiveRecording(
                dataset, path, _place(folder, path), content, seconds, bool(is_gone), error,
                json.loads(columns), digest.hex()[:DIGEST_DIGITS] if digest else "",
            )  # fmt: skip

    def former_places(self) -> dict[str, int]:
        """Return the contents of recordings that have another name now, by their earlier place."""
        with explained(self.path, "read"):
            rows = self._db.execute(
                "SELECT folder, path, content FROM recording"
                " JOIN dataset ON dataset.id = recording.dataset WHERE is_gone = 2"
            ).fetchall()
        return {_place(folder, path): content for folder, path, content in rows}

    def content_digest(self, last: int) -> str:
        """Return a hash over the contents up to a number; it stays as the archive grows."""
        digest = hashlib.sha256()
        with explained(self.path, "read"):
            rows = "SELECT hash FROM content WHERE id <= ? ORDER BY id"
            for (content,) in self._db.execute(rows, [last]):
                digest.update(content)
        return digest.hexdigest()

    def windows(self, network: ArchiveNetwork | None = None) -> Windows:
        """Return all windows of a network, by default the one that was added last.

        Only the numbers of recordings, windows and rows are read, 24 bytes a window.
        """
        network = network or self.network()
        with explained(self.path, "read"), snapshot(self._db):
            runs = np.array(self._db.execute(LIVE, [network.number]).fetchall(), np.int64)
            parts = self._parts(network)
            recordings = collections.defaultdict[int, list[ArchiveRecording]](list)
            for recording in self._recordings():
                if recording.content is not None:
                    recordings[recording.content].append(recording)
            former = self.former_places()
            rows = "SELECT id, settings, centre, centre_windows FROM network WHERE id = ?"
            network = network_of(self.path, *self._db.execute(rows, [network.number]).fetchone())
        for own in recordings.values():
            if len(own) > 1:  # of copies, one that is there; an archive may have moved with them
                own.sort(key=lambda recording: recording.is_gone or not recording.exists)
        folder = self.path / network.folder
        part, row, content, window, count = runs.reshape(-1, 5).T
        summaries, is_wide = [p for p, _ in parts], any(wide for _, wide in parts)
        firsts = dict(zip((p.part for p in summaries), _starts(summaries), strict=True))
        places = np.array([firsts[number] for number in part.tolist()], np.int64) + row
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        dtype = np.dtype(np.float32 if is_wide else np.float16)
        table = EmbeddingTable.of_parts(
            folder, network.settings, summaries, np.repeat(places, count) + within, dtype
        )
        vectors = VectorFiles(folder, network.layers, network.centre)
        numbers = np.repeat(window, count) + within
        contents = np.repeat(content, count)
        return Windows(network, contents, numbers, table, dict(recordings), vectors, former)

    def _parts(self, network: ArchiveNetwork) -> list[tuple[PartSummary, bool]]:
        rows = self._db.execute(
            "SELECT number, file, sha256, bytes, rows, machine, is_wide FROM part"
            " WHERE network = ? ORDER BY number",
            [network.number],
        )
        return [(summary_of(*columns), bool(is_wide)) for *columns, is_wide in rows]


def _place(folder: str, path: str) -> str:
    return path if is_uri(path) else os.path.join(folder, *path.split("/"))


def summary_of(
    number: int, file: str, sha256: str, size: int, rows: int, machine: str
) -> PartSummary:
    """Return the summary of a part of windows; all its rows could be read."""
    return PartSummary(number, file, sha256, size, rows, 0, 0, 0.0, machine)


def network_of(
    archive: Path, number: int, text: str, centre: bytes | None, windows: int
) -> ArchiveNetwork:
    """Return a network from its row; ArchiveError if the row is damaged."""
    try:
        settings = json.loads(text)
        sizes = sizes_of(settings["layers"])
        folder = folder_of(text, settings["backbone"])
        kept = Centre.from_content(centre, sizes, windows)
        return ArchiveNetwork(number, settings, folder, kept)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ArchiveError(
            f"the archive {archive} has a network without settings. Restore archive.sqlite, or"
            " index into another folder."
        ) from error


def _starts(parts: list[PartSummary]) -> list[int]:
    """Return the row of the first window of each part, among the rows of all."""
    sizes = np.array([part.clips for part in parts], np.int64)
    starts: list[int] = (np.cumsum(sizes) - sizes).tolist()
    return starts
