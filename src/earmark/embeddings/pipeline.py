"""Clips on their way through a network: decode in threads, batch by length, compute, store, resume.

The clips that the store does not have are cut, in order, into *shards* of some seconds of audio.
A shard is decoded, computed and committed as one, so that a killed run goes on from its last
shard with the very same batches, and ends with the same bytes.
"""

from __future__ import annotations

import collections
import contextlib
import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.backbones.base import Backbone, LayerStats
from earmark.data.clip import Clip
from earmark.embeddings.cutting import decode, read
from earmark.embeddings.pooling import pool
from earmark.embeddings.sections import sections
from earmark.embeddings.stages import Outcome
from earmark.embeddings.store import Record, Store
from earmark.system.progress import Progress
from earmark.system.threads import available_cores, map_ahead

SHARD_S = 60.0  # seconds of audio computed and committed together
SHARD_CLIPS = 128
BATCH_S = 20.0  # seconds of audio in one pass of the network; more falls out of a CPU's caches
LOOKAHEAD = 32  # clips that are read and decoded ahead of the network
REMEMBERED = 2048  # clips among which twins are found; more than can be on their way at once


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
    threads = threads or available_cores()
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
        for shard in map_ahead(workers, functools.partial(_compute, backbone), shards, threads):
            finished = [o for part in shard if (o := _finished(backbone, options, part))]
            if store is not None:
                fresh = [
                    (o.key, o.record)
                    for o in finished
                    if o.computed and o.record and not o.warnings
                ]
                store.put(backbone.fingerprint, fresh)
            for outcome in finished:
                if outcome.twin is not None:
                    outcome.record, outcome.error = outcome.twin.record, outcome.twin.error
                    outcome.warnings, outcome.twin = outcome.twin.warnings, None
                if progress is not None:
                    progress.advance(outcome.record.seconds if outcome.record else 0.0)
                yield outcome


def _finished(backbone: Backbone, options: AudioOptions, part: Outcome) -> Outcome | None:
    """Return a clip that is done; of one in sections, put together, with its last section only.

    Where a section could not be read as the header says, the clip is read as a whole.
    """
    whole, section = part.whole, part.section
    if whole is None or section is None:
        return part
    if part.error is not None or part.warnings:
        whole.section = section  # a mark: no sum of sections
    whole.seconds += part.seconds
    whole.stats += part.stats
    if section.last is not None:
        return None
    if whole.section is not None:
        whole.section, whole.stats = None, []
        return _compute(backbone, [decode(backbone, options, whole)])[0]
    stats = {
        name: LayerStats(*map(torch.cat, zip(*(s[name] for s in whole.stats), strict=True)))
        for name in whole.stats[0]
    }
    whole.record, whole.computed = Record(pool(backbone.info, stats), whole.seconds), True
    whole.source, whole.stats = b"", []
    return whole


def _decoded(
    clips: Iterable[Clip],
    backbone: Backbone,
    options: AudioOptions,
    store: Store | None,
    readers: ThreadPoolExecutor,
) -> Iterator[Outcome]:
    """Yield each clip as stored, as a twin of an earlier one, as windows, or as an error."""
    seen: collections.OrderedDict[bytes, Outcome] = collections.OrderedDict()

    def looked_up() -> Iterator[Outcome]:
        reads = functools.partial(read, backbone, options)
        for outcome in map_ahead(readers, reads, clips, LOOKAHEAD):
            if outcome.error is None:
                outcome.twin = seen.get(outcome.key)
                if outcome.twin is None:
                    seen[outcome.key] = outcome
                    if len(seen) > REMEMBERED:
                        seen.popitem(last=False)
                    if store is not None:
                        outcome.record = store.get([outcome.key]).get(outcome.key)
            if outcome.error or outcome.twin or outcome.record:
                yield outcome
            else:
                yield from sections(backbone, options, outcome)

    decodes = functools.partial(decode, backbone, options)
    return map_ahead(readers, decodes, looked_up(), LOOKAHEAD)


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
        batch_s = BATCH_S if backbone.device.type == "cpu" else SHARD_S
        batch = max(1, int(batch_s * backbone.info.rate_hz / width))
        windows = np.concatenate([o.windows for o in group if o.windows is not None])
        valid = np.concatenate([o.valid for o in group if o.valid is not None])
        stats = run(backbone, windows, valid, batch)
        at = 0
        for outcome in group:
            end = at + (0 if outcome.windows is None else len(outcome.windows))
            own = {k: LayerStats(*(t[at:end] for t in s)) for k, s in stats.items()}
            if outcome.section is None:
                outcome.record = Record(pool(backbone.info, own), outcome.seconds)
                outcome.computed = True
            else:
                outcome.stats = [own]
            outcome.windows = outcome.valid = None
            at = end
    return shard


@torch.inference_mode()
def run(
    backbone: Backbone, windows: np.ndarray, valid: np.ndarray, batch: int
) -> dict[str, LayerStats]:
    """Return the statistics of ``windows`` (W, n), computed ``batch`` windows at a time."""
    parts = []
    for i in range(0, len(windows), batch):
        given = [torch.from_numpy(a[i : i + batch]) for a in (windows, valid)]
        if backbone.device.type == "cuda":  # a pinned copy does not wait for the one before it
            given = [t.pin_memory().to(backbone.device, non_blocking=True) for t in given]
        parts.append(backbone(*given))
    return {
        name: LayerStats(
            *(torch.cat(column).cpu() for column in zip(*(p[name] for p in parts), strict=True))
        )
        for name in parts[0]
    }
