"""Compute the windows of recordings into an archive, part by part, with bounded memory.

A part is full after a fixed number of windows, and recordings come in the order of their paths. So
a run that was killed continues after its last complete part. Its files get the bytes of a run that
was not killed.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from earmark import audio
from earmark.audio.decoder import Refusal
from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings.archive import ArchiveNetwork
from earmark.embeddings.archive_recordings import Task
from earmark.embeddings.archive_writer import ArchiveWriter, Finished, Run
from earmark.embeddings.computing import compute_pool
from earmark.embeddings.embed_work import EmbedWork
from earmark.embeddings.hashes import KEY_BYTES
from earmark.embeddings.part import FINGERPRINT_DIGITS, Part
from earmark.embeddings.part_files import PartError, write_part
from earmark.embeddings.part_folder import name_of
from earmark.embeddings.pass_workers import PassWorkers
from earmark.embeddings.sliding import PASS_S, Pass, SlidingWindows, Stats
from earmark.embeddings.stages import Embedded
from earmark.embeddings.store import as_stored
from earmark.embeddings.window_settings import WindowSettings
from earmark.embeddings.window_vectors import (
    VECTORS,
    Centre,
    VectorFiles,
    means_of_part,
    sizes_of,
)
from earmark.errors import AudioError, EarmarkError
from earmark.system.threads import available_cores, map_ahead

PART_WINDOWS = 1_024  # in a part: seconds of computing, about ten megabytes
PART_BYTES = 16 * 2**20  # of the embeddings of a part; wide networks have fewer windows in one
NOT_FINITE = "the network gives NaN or infinite numbers for it."
GROWTH = 2  # a centre is made anew when an archive has so many times its windows


@dataclass(frozen=True)
class _Piece:
    """A pass of a recording, the end of one, or what prevented it."""

    task: Task
    sliding: SlidingWindows | None = None
    piece: Pass | None = None
    seconds: float | None = None
    warning: str | None = None
    error: str | None = None


@dataclass
class _Rows:
    """Windows that wait for their part to be full."""

    tasks: list[tuple[Task, int, np.ndarray]] = field(default_factory=list)  # first window, (n, E)
    finished: list[Finished] = field(default_factory=list)
    count: int = 0

    def add(self, task: Task, first: int, rows: np.ndarray) -> None:
        self.tasks.append((task, first, rows))
        self.count += len(rows)

    def drop(self, task: Task) -> None:
        """Forget the windows of a recording that could not be read to its end."""
        self.tasks = [item for item in self.tasks if item[0].content != task.content]
        self.count = sum(len(rows) for _, _, rows in self.tasks)


class Indexer:
    """Computes the windows of tasks into the parts of one network of an archive.

    ``options`` say how recordings are read; ``settings`` belong to ``backbone``. ``heard`` is
    called with the seconds of every block that was read. With ``workers``, they run the network;
    without, threads of this process do. The parts have the same bytes.

    Attributes
    ----------
    changed : list of Task
        Recordings that changed while they were read; the next run computes them.
    """

    def __init__(
        self,
        writer: ArchiveWriter,
        network: ArchiveNetwork,
        backbone: Backbone,
        settings: WindowSettings,
        options: AudioOptions = audio.AS_IT_IS,
        heard: Callable[[float], None] = lambda seconds: None,
        workers: PassWorkers | None = None,
    ) -> None:
        self.writer, self.network, self.backbone = writer, network, backbone
        self.settings, self.options, self.heard = settings, options, heard
        self.workers = workers
        self.folder = writer.path / network.folder
        self.size = max(1, min(PART_WINDOWS, PART_BYTES // (2 * settings.width)))
        self._number = writer.next_part(network)
        self._rows = _Rows()
        self._work = EmbedWork(settings, backbone, Path())
        self.changed: list[Task] = []
        self._unusable = set[int]()  # contents with numbers that are not finite

    def compute(self, tasks: Sequence[Task], threads: int | None = None) -> None:
        """Compute the windows of all tasks. Raises EarmarkError if a file cannot be written."""
        try:
            (self.folder / VECTORS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EarmarkError(
                f"cannot write into the folder {self.folder}: {error.strerror}. Check its"
                " permissions."
            ) from error
        done: dict[int, int] = {}  # windows of each task so far
        for piece, stats in self._computed(self._pieces(tasks), threads):
            if stats is None:
                self._end(piece, done.pop(piece.task.content, piece.task.windows))
                continue
            assert piece.sliding is not None
            self._take(piece, piece.sliding.merge(stats), done)
        if self._rows.count:
            self._write(self._rows.count)
        self.writer.add_finished(self.network, self._rows.finished)
        self._rows = _Rows()

    def _computed(
        self, pieces: Iterator[_Piece], threads: int | None
    ) -> Iterator[tuple[_Piece, Stats | None]]:
        """Yield each piece with the statistics of its pass, in order; None if it has none."""
        if self.workers is not None:
            yield from self.workers.compute(pieces, lambda piece: piece.piece)
            return
        threads = threads or available_cores()
        with compute_pool(threads) as pool:
            yield from map_ahead(pool, _computed, pieces, 2 * threads)

    def _pieces(self, tasks: Iterable[Task]) -> Iterator[_Piece]:
        """Yield the passes of each recording, and its end."""
        for task in tasks:
            try:
                yield from self._pieces_of(task)
            except AudioError as error:
                yield _Piece(task, error=f"{error.reason}.")

    def _pieces_of(self, task: Task) -> Iterator[_Piece]:
        rate_hz, settings, n = self.backbone.info.rate_hz, self.settings, 0
        sliding = SlidingWindows(self.backbone, settings.window_s, settings.hop_s, PASS_S)
        skipped = task.windows // sliding.hops  # passes whose windows are all there
        with audio.open_stream(
            task.clip.source, rate_hz, None, None, self.options, is_endless=True
        ) as stream:

            def passes() -> Iterator[Pass]:
                nonlocal n
                for block in stream.blocks:
                    n += len(block)
                    self.heard(len(block) / rate_hz)
                    yield from sliding.cut(block)
                yield from sliding.finish()

            for piece in itertools.islice(passes(), skipped, None):
                yield _Piece(task, sliding, piece)
            warning = "\n".join(stream.warnings) or None
        yield _Piece(task, seconds=n / rate_hz, warning=warning)

    def _take(self, piece: _Piece, rows: np.ndarray, done: dict[int, int]) -> None:
        """Add windows (n, E) of a recording to the part; write the part when it is full."""
        task, sliding = piece.task, piece.sliding
        assert sliding is not None
        first = done.setdefault(task.content, task.windows // sliding.hops * sliding.hops)
        done[task.content] += len(rows)
        known = min(len(rows), max(0, task.windows - first))
        rows, first = rows[known:], first + known
        if not np.isfinite(rows).all():
            self._unusable.add(task.content)
        if not len(rows) or task.content in self._unusable:
            return
        self._rows.add(task, first, _as_stored(rows))
        while self._rows.count >= self.size:
            self._write(self.size)

    def _end(self, piece: _Piece, windows: int) -> None:
        """Note that all windows of a recording are there, or why there are none."""
        task = piece.task
        error = NOT_FINITE if task.content in self._unusable else piece.error
        if error is None and not _is_same(task):
            self._rows.drop(task)
            self.writer.forget_windows(self.network, task.content)
            self.changed.append(task)
        elif error is not None:
            self._rows.drop(task)
            self._rows.finished.append(Finished(task.content, 0, None, error))
        else:
            self._rows.finished.append(
                Finished(task.content, windows, piece.seconds, None, piece.warning)
            )

    def _write(self, size: int) -> None:
        """Write a part of the first ``size`` windows that wait, and note it."""
        runs, results, row = list[Run](), list[Embedded](), 0
        finished, rest = self._rows.finished, _Rows()
        for task, first, rows in self._rows.tasks:
            own = rows[: max(0, size - row)]
            if len(own):
                results += self._embedded(task, first, own)
                runs.append(Run(row, task.content, first, len(own)))
                row += len(own)
            if len(own) < len(rows):
                rest.add(task, first + len(own), rows[len(own) :])
        waiting = {task.content for task, _, _ in rest.tasks}
        rest.finished = [f for f in finished if f.content in waiting]
        self._rows = rest
        runs = _joined(runs)
        part = Part(self._number, (), self._fingerprint(runs, results))
        machine = (self.workers or self._work).machine()
        path = self.folder / name_of(part, machine)
        table = self._work.table(results)
        summary = write_part(path, part, table, self.settings.to_json(), machine)
        is_wide = any(result.vector.dtype == np.float32 for result in results)
        ended = [f for f in finished if f.content not in waiting]
        self.writer.add_part(self.network, summary, is_wide, runs, ended)
        self._number += 1
        self._write_vectors(path.name)

    def _embedded(self, task: Task, first: int, rows: np.ndarray) -> Iterator[Embedded]:
        settings = self.settings
        for number, row in enumerate(rows, first):
            start = round(number * settings.hop_s, 6)
            clip = Clip(Path(task.path), None, start, round(start + settings.window_s, 6))
            text = f"{settings.fingerprint} {settings.window_s} {settings.hop_s} {number}"
            key = hashlib.sha256(task.hash + text.encode()).digest()[:KEY_BYTES]
            yield Embedded(clip, key, row, settings.window_s, content=task.hash)

    def _fingerprint(self, runs: Sequence[Run], results: Sequence[Embedded]) -> str:
        digest = hashlib.sha256(self.settings.text.encode())
        for run in runs:
            digest.update(results[run.first_row].content)
            digest.update(f" {run.first_window} {run.windows} ".encode())
        return digest.hexdigest()[:FINGERPRINT_DIGITS]

    def _write_vectors(self, file: str) -> None:
        if not self.network.centre.windows:
            self.network = self.writer.set_centre(self.network, self._centre())
        self._vectors().write(file)

    def _vectors(self) -> VectorFiles:
        return VectorFiles(self.folder, self.network.layers, self.network.centre)

    def _centre(self) -> Centre:
        """Return the centre of all windows; a damaged part is left out."""
        files = [file for file, _ in self.writer.part_files(self.network)]
        layers = self.network.layers

        def blocks() -> Iterator[np.ndarray]:
            for file in files:
                try:
                    yield means_of_part(self.folder / file, layers)
                except PartError:
                    continue

        return Centre.of(blocks(), sizes_of(layers))

    def finish_vectors(self) -> None:
        """Write the vectors that are missing, all of them anew if the archive has grown much."""
        parts = self.writer.part_files(self.network)
        windows = sum(rows for _, rows in parts)
        if parts and windows >= GROWTH * max(1, self.network.centre.windows):
            self.network = self.writer.set_centre(self.network, self._centre())
        vectors = self._vectors()
        for file, rows in parts:
            if not vectors.is_there(file, rows):
                vectors.write(file)
        vectors.delete_others(file for file, _ in parts)


def _is_same(task: Task) -> bool:
    """Return whether a recording still has the content of its task."""
    try:
        return task.clip.source.version == task.hash
    except (Refusal, AudioError, OSError):
        return False


def _computed(item: _Piece) -> tuple[_Piece, Stats | None]:
    if item.sliding is None or item.piece is None:
        return item, None
    return item, item.sliding.compute(item.piece)


def _as_stored(rows: np.ndarray) -> np.ndarray:
    """Round rows (n, E) to float16, each by itself if one would overflow."""
    halves = as_stored(rows)
    if halves.dtype == np.float16:
        return halves
    return np.stack([as_stored(row).astype(np.float32) for row in rows])


def _joined(runs: Sequence[Run]) -> list[Run]:
    """Return runs, with those that follow each other as one."""
    joined: list[Run] = []
    for run in runs:
        last = joined[-1] if joined else None
        if last and (last.content, last.first_window + last.windows) == (
            run.content,
            run.first_window,
        ):
            joined[-1] = Run(last.first_row, last.content, last.first_window,
                             last.windows + run.windows)  # fmt: skip
        else:
            joined.append(run)
    return joined
