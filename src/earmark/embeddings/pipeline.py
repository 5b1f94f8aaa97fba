"""Clips on their way through a network: decode in threads, batch by length, compute, store, resume.

The clips that the store does not have are cut, in order, into *shards* of some seconds of audio.
A shard is decoded, computed and committed as one, so that a killed run goes on from its last
shard with the very same batches, and ends with the same bytes. Every ``PART_CLIPS`` clips, stored
ones included, a shard ends: parts that are computed apart, on any machine, give the same bytes.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import torch

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.audio.source import BytesSource, SampleSource
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.data.clip import Clip
from earmark.embeddings.computing import restored_threads, window_stats
from earmark.embeddings.cutting import cut, cut_long, make_request
from earmark.embeddings.pooling import merge_section, pool_clip
from earmark.embeddings.stages import (
    CutClip,
    Embedded,
    Failure,
    LongClip,
    Piece,
    Repeat,
    Request,
    Result,
    WindowStats,
)
from earmark.embeddings.store import Record, Store
from earmark.errors import EarmarkWarning, StoreDamageError
from earmark.system.progress import Progress
from earmark.system.threads import available_cores, map_ahead, one_ahead

SHARD_S = 60.0  # seconds of audio computed and committed together
SHARD_CLIPS = 128
PART_CLIPS = 1_024  # what may be computed apart
SHARD_PIECES = 1_024  # those that need no computing included
LOOKAHEAD = 32  # clips that are read and decoded ahead of the network
LOOKAHEAD_BYTES = 64 * 2**20  # of their windows and contents: then no more are begun
REMEMBERED = 2048  # clips among which repeats are found; more than can be on their way at once

T = TypeVar("T")
Computed = WindowStats | Result | Repeat  # what leaves the network


def embed_stream(
    clips: Iterable[Clip],
    backbone: Backbone,
    store: Store | None = None,
    *,
    options: AudioOptions = audio.AS_IT_IS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Result]:
    """Yield each clip's embedding or failure, in order, while later clips are on their way."""
    threads = threads or available_cores()
    recent: collections.OrderedDict[bytes, Result] = collections.OrderedDict()
    kept = _Kept(store)
    with _pools(threads) as (readers, workers):
        pieces = _pieces(clips, backbone, options, kept, readers)
        compute = functools.partial(_compute, backbone)
        shards = map_ahead(workers, compute, _shards(pieces), threads, is_done=_is_computed)
        for shard in _finish(backbone.info, shards):
            for item in kept.put(backbone.fingerprint, shard):
                result = _repeat(item, recent[item.key]) if isinstance(item, Repeat) else item
                _remember(recent, item.key, _without_recording(result))
                if progress is not None:
                    progress.advance(result.seconds if isinstance(result, Embedded) else 0.0)
                yield result


class _Kept:
    """A store as long as its file is intact: what it has can all be computed again."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self.recordings = store.recordings if store else None

    def get(self, key: bytes, width: int) -> Record | None:
        """Return what is stored of a clip."""
        with self._while_intact():
            return self._store.get([key], width).get(key) if self._store else None
        return None

    def put(self, fingerprint: str, shard: Sequence[Result | Repeat]) -> Sequence[Result | Repeat]:
        """Store what can be kept of a shard; return it with that marked as stored."""
        computed = {
            item.key: item
            for item in shard
            if isinstance(item, Embedded) and item.is_computed and not item.warnings
        }
        with self._while_intact():
            if self._store and computed:
                records = [(key, Record(e.vector, e.seconds)) for key, e in computed.items()]
                self._store.put(fingerprint, records)
                stored = {key: replace(e, is_stored=True) for key, e in computed.items()}
                return [
                    stored[item.key] if item is computed.get(item.key) else item for item in shard
                ]
        return shard

    @contextlib.contextmanager
    def _while_intact(self) -> Iterator[None]:
        try:
            yield
        except StoreDamageError as error:
            self._store = None
            warnings.warn(f"{error} This run goes on without it.", EarmarkWarning, stacklevel=2)


def embed_clip(clip: Clip, backbone: Backbone, options: AudioOptions = audio.AS_IT_IS) -> Result:
    """Embed one clip in the calling thread, on one core, as each thread of :func:`embed_stream`.

    No threads are started, and the bytes are the same.
    """
    request = make_request(backbone, options, clip)
    if isinstance(request, Failure):
        return request
    with restored_threads():
        torch.set_num_threads(1)
        shards = _shards(cut_long(backbone, options, request))
        ((result,),) = filter(
            None, _finish(backbone.info, (_compute(backbone, shard) for shard in shards))
        )
    assert not isinstance(result, Repeat)
    return result


@contextlib.contextmanager
def _pools(threads: int) -> Iterator[tuple[ThreadPoolExecutor, ThreadPoolExecutor]]:
    """Yield threads that read and threads that compute, each with one core."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(restored_threads())  # the workers' setting reaches MKL
        readers = stack.enter_context(ThreadPoolExecutor(threads, "earmark-read"))
        workers = stack.enter_context(
            ThreadPoolExecutor(threads, "earmark-net", torch.set_num_threads, (1,))
        )
        stack.callback(readers.shutdown, wait=False, cancel_futures=True)
        stack.callback(workers.shutdown, wait=False, cancel_futures=True)
        yield readers, workers


def _pieces(
    clips: Iterable[Clip],
    backbone: Backbone,
    options: AudioOptions,
    store: _Kept,
    readers: ThreadPoolExecutor,
) -> Iterator[Piece]:
    """Yield each clip as stored, as the repeat of an earlier one, cut into windows, or failed."""
    requests = map_ahead(
        readers,
        functools.partial(make_request, backbone, options, known=store.recordings),
        clips,
        LOOKAHEAD,
        _size,
        LOOKAHEAD_BYTES,
    )
    keys: collections.OrderedDict[bytes, None] = collections.OrderedDict()
    width = 2 * sum(layer.size for layer in backbone.info.layers)

    def look_up() -> Iterator[Request | Result | Repeat]:
        for request in requests:
            if isinstance(request, Failure):
                yield request
            elif request.key in keys:
                yield Repeat(request.clip, request.key)
            else:
                _remember(keys, request.key, None)
                record = store.get(request.key, width)
                if record is None:
                    yield request
                else:
                    yield Embedded(
                        request.clip,
                        request.key,
                        record.vector,
                        record.seconds,
                        content=request.content,
                        is_stored=True,
                    )

    def decode(item: Request | Result | Repeat) -> Piece | LongClip:
        return cut(backbone, options, item) if isinstance(item, Request) else item

    for piece in map_ahead(
        readers, decode, look_up(), LOOKAHEAD, _size, LOOKAHEAD_BYTES, is_done=_needs_nothing
    ):
        if isinstance(piece, LongClip):
            yield from one_ahead(readers, cut_long(backbone, options, piece.request))
        else:
            yield piece


def _needs_nothing(item: Request | Result | Repeat) -> bool:
    return not isinstance(item, Request)


def _is_computed(shard: Sequence[Piece]) -> bool:
    return not any(isinstance(item, CutClip) for item in shard)


def _size(item: Clip | Request | Piece | LongClip) -> int:
    """Return how many bytes of windows, and of a recording that is no file, ``item`` holds."""
    if isinstance(item, Request):
        return item.source.size if isinstance(item.source, (BytesSource, SampleSource)) else 0
    if isinstance(item, (CutClip, LongClip)):
        windows = item.windows.nbytes if isinstance(item, CutClip) else 0
        return windows + _size(item.request)
    recording = (item if isinstance(item, Clip) else item.clip).recording
    return recording.size if isinstance(recording, (BytesSource, SampleSource)) else 0


def _shards(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Group into lists; only clips to store count, so that a resumed run groups alike.

    A section of a long clip is a list of its own.
    """
    shard: list[Piece] = []
    clips, seconds, row, is_inside = 0, 0.0, -1, False
    for piece in pieces:
        is_section = isinstance(piece, CutClip) and piece.section is not None
        begins_part = not is_inside and (row := row + 1) % PART_CLIPS == 0
        is_inside = isinstance(piece, CutClip) and _goes_on(piece)
        if shard and (is_section or begins_part):
            yield shard
            shard, clips, seconds = [], 0, 0.0
        shard.append(piece)
        if isinstance(piece, CutClip) and (clips or not piece.warnings):
            clips, seconds = clips + 1, seconds + piece.seconds
        is_full = clips >= SHARD_CLIPS or seconds >= SHARD_S or len(shard) >= SHARD_PIECES
        if clips == 0 or is_full or is_section:
            yield shard
            shard, clips, seconds = [], 0, 0.0
    if shard:
        yield shard


def _goes_on(piece: CutClip) -> bool:
    """Say whether more of the same clip follows."""
    return piece.section is not None and not piece.section.is_last


def _compute(backbone: Backbone, shard: Sequence[Piece]) -> list[Computed]:
    """Run the network over the windows of a shard; pool the clips that are there as a whole."""
    stats = iter(window_stats(backbone, [item for item in shard if isinstance(item, CutClip)]))
    computed: list[Computed] = []
    for item in shard:
        if not isinstance(item, CutClip):
            computed.append(item)
        elif item.section is None:
            computed.append(pool_clip(backbone.info, [next(stats)]))
        else:
            computed.append(merge_section(next(stats)))
    return computed


def _finish(
    info: BackboneInfo, shards: Iterable[Sequence[Computed]]
) -> Iterator[list[Result | Repeat]]:
    """Yield shards of clips that are done; one in sections comes with its last section."""
    sections: list[WindowStats] = []
    for shard in shards:
        results: list[Result | Repeat] = []
        for item in shard:
            if not isinstance(item, WindowStats):
                sections = []  # where there are some, this is the failure of their clip
                results.append(item)
                continue
            sections.append(item)
            if item.section is not None and item.section.is_last:
                results.append(pool_clip(info, sections))
                sections = []
        yield results


def _repeat(item: Repeat, result: Result) -> Result:
    """Return the result of the earlier clip as the result of this one."""
    if isinstance(result, Embedded):
        return replace(result, clip=item.clip, is_computed=False)
    return replace(result, clip=item.clip)


def _without_recording(result: Result) -> Result:
    """Let go of a recording in memory, which may be large."""
    clip = result.clip
    return result if clip.recording is None else replace(result, clip=replace(clip, recording=None))


def _remember(memory: collections.OrderedDict[bytes, T], key: bytes, value: T) -> None:
    """Add to a memory that forgets its oldest entry."""
    memory[key] = value
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
