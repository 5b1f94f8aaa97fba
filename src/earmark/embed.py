"""Clips -> embeddings: decode in threads, batch by length, compute, store, resume.

The clips that the store does not have are cut, in order, into *shards* of some seconds of audio.
A shard is decoded, computed and committed as one, so that a killed run goes on from its last
shard with the very same batches, and ends with the same bytes.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch

from earmark import audio
from earmark.audio import AudioOptions
from earmark.backbones import Backbone, BackboneInfo, LayerStats
from earmark.dataset import Clip
from earmark.errors import AudioError
from earmark.store import Record, Store, as_stored

SHARD_S = 60.0  # seconds of audio computed and committed together
SHARD_CLIPS = 128
BATCH_S = 20.0  # seconds of audio in one pass of the network; more falls out of a CPU's caches
WHOLE_FILE_BYTES = 32 * 2**20  # larger recordings are not held in memory while they wait
LOOKAHEAD = 32  # clips that are read and decoded ahead of the network

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Failure:
    """A recording that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Embeddings:
    """What a backbone heard: ``matrix`` (N, E), one row for each of ``clips``, in their order.

    A row holds, layer after layer, the mean and then the standard deviation of each unit.
    ``failures`` are the clips that could not be read; they have no row. ``computed`` counts the
    rows that did not come out of the store; ``seconds`` is the length of all the audio.
    ``warnings`` say, path first, what was not read of a recording, or not as it is.
    """

    info: BackboneInfo
    clips: tuple[Clip, ...]
    matrix: np.ndarray
    failures: tuple[Failure, ...]
    seconds: float
    computed: int
    warnings: tuple[str, ...] = ()

    def only(self, clips: Container[Clip]) -> Embeddings:
        """Keep the rows of those ``clips``, in the order they have."""
        rows = [clip in clips for clip in self.clips]
        kept = tuple(itertools.compress(self.clips, rows))
        return replace(self, clips=kept, matrix=self.matrix[rows])

    def features(self, layers: Sequence[str]) -> np.ndarray:
        """Return (N, D) float32: means and deviations of the named layers, side by side."""
        return self.matrix[:, columns(self.info, layers)].astype(np.float32)


def columns(info: BackboneInfo, layers: Sequence[str]) -> np.ndarray:
    """Return the columns of an embedding that hold ``layers``: means, then deviations, of each."""
    ends = list(itertools.accumulate(2 * layer.size for layer in info.layers))
    stretch = {
        layer.name: np.arange(end - 2 * layer.size, end)
        for layer, end in zip(info.layers, ends, strict=True)
    }
    return np.concatenate([stretch[info.layer(name).name] for name in layers])


def pool(info: BackboneInfo, stats: Mapping[str, LayerStats]) -> np.ndarray:
    """Combine the statistics of all windows of one clip, (W, D) a layer, into its embedding (E,).

    Means and variances are combined in float64 (Chan et al. 1979), weighted by frames, so that
    the result is that of the uncut clip. Rounded as the store rounds.
    """
    parts = []
    for layer in info.layers:
        frames, mean, var = (s.double() for s in stats[layer.name])
        share = (frames / frames.sum().clamp_min(1e-9))[:, None]
        total = (share * mean).sum(0)
        spread = (share * (var + (mean - total).square())).sum(0)
        parts += [total, spread.sqrt()]
    return as_stored(torch.cat(parts).numpy())


class Progress(Protocol):
    """Is told of each finished clip and of the seconds of audio in it."""

    def advance(self, seconds: float) -> None: ...


def embed(
    clips: Iterable[Clip],
    backbone: Backbone,
    store: Store | None = None,
    *,
    options: AudioOptions = audio.AS_IT_IS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Embeddings:
    """Embed ``clips`` in their order, taking from and adding to ``store`` where there is one.

    A clip that cannot be read is listed in ``failures`` and the others go on. ``threads``
    (default: the number of cores) compute side by side, each with one core.
    """
    records: list[Record] = []
    kept: list[Clip] = []
    failures: list[Failure] = []
    warnings: list[str] = []
    computed = 0
    stream = outcomes(clips, backbone, store, options=options, threads=threads, progress=progress)
    for outcome in stream:
        warnings += (f"{outcome.clip.path}: {text}" for text in outcome.warnings)
        if outcome.record is None:
            failures.append(outcome.failure)
        else:
            records.append(outcome.record)
            kept.append(outcome.clip)
            computed += outcome.computed
    width = 2 * sum(layer.size for layer in backbone.info.layers)
    matrix = np.stack([r.vector for r in records]) if records else np.zeros((0, width), np.float16)
    seconds = sum(record.seconds for record in records)
    told = tuple(dict.fromkeys(warnings))
    return Embeddings(backbone.info, tuple(kept), matrix, tuple(failures), seconds, computed, told)


@dataclass
class Outcome:
    """One clip on its way through the engine, and at its end a ``record`` or an ``error``."""

    clip: Clip
    key: bytes = b""
    record: Record | None = None
    error: AudioError | None = None
    warnings: tuple[str, ...] = ()  # with any, the clip is not stored: they are given every time
    computed: bool = False
    twin: Outcome | None = None  # an earlier clip of the same content
    source: bytes | Path = b""
    seconds: float = 0.0
    windows: np.ndarray | None = None  # (W, n)
    valid: np.ndarray | None = None  # (W,)

    @property
    def failure(self) -> Failure:
        path = str(self.clip.path)
        return Failure(path, str(self.error).removeprefix(f"{path}: "))


def outcomes(
    clips: Iterable[Clip],
    backbone: Backbone,
    store: Store | None = None,
    *,
    options: AudioOptions = audio.AS_IT_IS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Yield what became of each clip, in order, while later ones are on their way."""
    threads = threads or _cores()
    intra_op = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, intra_op)  # the workers' setting reaches MKL
        readers = stack.enter_context(ThreadPoolExecutor(threads, "earmark-read"))
        workers = stack.enter_context(
            ThreadPoolExecutor(threads, "earmark-net", torch.set_num_threads, (1,))
        )
        stack.callback(readers.shutdown, wait=False, cancel_futures=True)
        stack.callback(workers.shutdown, wait=False, cancel_futures=True)
        shards = _shards(_decoded(clips, backbone, options, store, readers))
        for shard in _ahead(workers, functools.partial(_compute, backbone), shards, threads):
            if store is not None:
                fresh = [
                    (o.key, o.record) for o in shard if o.computed and o.record and not o.warnings
                ]
                store.put(backbone.fingerprint, fresh)
            for outcome in shard:
                if outcome.twin is not None:
                    outcome.record, outcome.error = outcome.twin.record, outcome.twin.error
                    outcome.warnings = outcome.twin.warnings
                if progress is not None:
                    progress.advance(outcome.record.seconds if outcome.record else 0.0)
                yield outcome


def _decoded(
    clips: Iterable[Clip],
    backbone: Backbone,
    options: AudioOptions,
    store: Store | None,
    readers: ThreadPoolExecutor,
) -> Iterator[Outcome]:
    """Yield each clip as stored, as a twin of an earlier one, as windows, or as an error."""
    seen: dict[bytes, Outcome] = {}

    def looked_up() -> Iterator[Outcome]:
        read = functools.partial(_read, backbone, options)
        for outcome in _ahead(readers, read, clips, LOOKAHEAD):
            if outcome.error is None:
                outcome.twin = seen.get(outcome.key)
                if outcome.twin is None:
                    seen[outcome.key] = outcome
                    if store is not None:
                        outcome.record = store.get([outcome.key]).get(outcome.key)
            yield outcome

    decode = functools.partial(_decode, backbone, options)
    return _ahead(readers, decode, looked_up(), LOOKAHEAD)


def _read(backbone: Backbone, options: AudioOptions, clip: Clip) -> Outcome:
    """Read and hash the recording; keep its bytes only where all of it is wanted and not large."""
    outcome = Outcome(clip)
    try:
        stat = clip.path.stat()
        if stat.st_size > WHOLE_FILE_BYTES or clip.start is not None or clip.end is not None:
            outcome.source = clip.path
            content = _hash_file(clip.path, stat.st_size, stat.st_mtime_ns)
        else:
            outcome.source = clip.path.read_bytes()
            content = hashlib.sha256(outcome.source).digest()
    except OSError as error:
        outcome.error = AudioError(f"{clip.path}: cannot be opened: {error.strerror}")
        return outcome
    what = f"{clip.start} {clip.end} {options} {audio.DECODER_VERSION} {backbone.fingerprint}"
    outcome.key = hashlib.sha256(content + what.encode()).digest()[:16]
    return outcome


@functools.lru_cache(maxsize=1024)
def _hash_file(path: Path, _size: int, _mtime_ns: int) -> bytes:
    """Hash a file once, however many clips are stretches of it, unless it changes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def _decode(backbone: Backbone, options: AudioOptions, outcome: Outcome) -> Outcome:
    """Fill in the windows of a clip that is not known yet, or its error."""
    if outcome.error is not None or outcome.record is not None or outcome.twin is not None:
        outcome.source = b""
        return outcome
    info, clip = backbone.info, outcome.clip
    try:
        sound = audio.read(
            outcome.source, info.rate_hz, clip.start, clip.end, options, name=str(clip.path)
        )
    except AudioError as error:
        outcome.error = error
    else:
        x, outcome.warnings = sound.samples, sound.warnings
        outcome.seconds = len(x) / info.rate_hz
        outcome.windows, outcome.valid = audio.window(
            backbone.prepare(x), info.window, info.hop, info.context, info.step
        )
    outcome.source = b""
    return outcome


def _shards(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    """Group into lists; only clips to store count, so that a resumed run groups alike."""
    shard: list[Outcome] = []
    clips, seconds = 0, 0.0
    for outcome in outcomes:
        shard.append(outcome)
        if outcome.windows is not None and (clips or not outcome.warnings):
            clips, seconds = clips + 1, seconds + outcome.seconds
        if clips == 0 or clips >= SHARD_CLIPS or seconds >= SHARD_S:
            yield shard
            shard, clips, seconds = [], 0, 0.0
    if shard:
        yield shard


def _compute(backbone: Backbone, shard: list[Outcome]) -> list[Outcome]:
    """Run the network over the windows of a shard, those of equal length together.

    A clip with warnings, which is computed again in every run, stays alone: batches are alike then.
    """
    by_width: dict[tuple[int, int], list[Outcome]] = collections.defaultdict(list)
    for outcome in shard:
        if outcome.windows is not None:
            alone = id(outcome) if outcome.warnings else 0
            by_width[outcome.windows.shape[1], alone].append(outcome)
    for (width, _), group in by_width.items():
        batch = max(1, int(BATCH_S * backbone.info.rate_hz / width))
        windows = np.concatenate([o.windows for o in group if o.windows is not None])
        valid = np.concatenate([o.valid for o in group if o.valid is not None])
        stats = run(backbone, windows, valid, batch)
        at = 0
        for outcome in group:
            end = at + (0 if outcome.windows is None else len(outcome.windows))
            own = {k: LayerStats(*(t[at:end] for t in s)) for k, s in stats.items()}
            outcome.record = Record(pool(backbone.info, own), outcome.seconds)
            outcome.windows = outcome.valid = None
            outcome.computed = True
            at = end
    return shard


@torch.inference_mode()
def run(
    backbone: Backbone, windows: np.ndarray, valid: np.ndarray, batch: int
) -> dict[str, LayerStats]:
    """Return the statistics of ``windows`` (W, n), computed ``batch`` windows at a time."""
    parts = [
        backbone(torch.from_numpy(windows[i : i + batch]), torch.from_numpy(valid[i : i + batch]))
        for i in range(0, len(windows), batch)
    ]
    return {
        name: LayerStats(
            *(torch.cat(column) for column in zip(*(p[name] for p in parts), strict=True))
        )
        for name in parts[0]
    }


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], most: int
) -> Iterator[R]:
    """Map in order like ``pool.map``, but take from ``items`` only ``most`` ahead of the result."""
    waiting: collections.deque[Future[R]] = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
