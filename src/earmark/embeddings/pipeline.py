"""Embed a stream of clips: decode in threads, batch by length, compute, store, resume.

Clips that are not in the store are grouped, in order, into *shards* of some seconds of audio. A
shard is decoded, computed and committed as one. So a killed run resumes after its last shard with
exactly the same batches, and ends with the same bytes. A shard also ends after every ``PART_CLIPS``
clips, including stored ones. So parts that are computed separately, on any machine, give the same
bytes.
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
from earmark.audio.copying import Copied
from earmark.audio.options import AudioOptions
from earmark.audio.source import BytesSource, SampleSource
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.data.clip import Clip
from earmark.embeddings import shares
from earmark.embeddings.computing import compute_pool, restored_threads, window_stats
from earmark.embeddings.cutting import cut, cut_long, make_request
from earmark.embeddings.pooling import merge_section, pool_clip
from earmark.embeddings.readers import (
    FETCHERS,
    Readers,
    fetch_known,
    needs_no_fetching,
    open_readers,
)
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
SHARD_CLIPS = 128  # clips to compute in a shard
SHARD_PIECES = 1_024  # clips in a shard, including those that need no computing
LOOKAHEAD = 32  # clips that are read and decoded ahead of the network
REQUESTS_AHEAD = 3 * FETCHERS  # clips that are read ahead of those that are decoded
LOOKAHEAD_BYTES = 64 * 2**20  # of windows and bytes in memory; above it, no more clips are begun
COPY_SHARE = 16  # a byte of a copy on the disk counts as the 16th part of one in memory
REMEMBERED = 2048  # clips among which repeats are found; more than are in progress at once

T = TypeVar("T")
Computed = WindowStats | Result | Repeat  # an item after the network


def embed_stream(
    clips: Iterable[Clip],
    backbone: Backbone,
    store: Store | None = None,
    *,
    options: AudioOptions = audio.AS_IT_IS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Result]:
    """Yield each clip's embedding or failure, in order, while later clips are in progress."""
    threads = threads or available_cores()
    recent: collections.OrderedDict[bytes, Result] = collections.OrderedDict()
    guarded = _GuardedStore(store)
    with _pools(threads) as (readers, workers):
        pieces = _pieces(clips, backbone, options, guarded, readers)
        compute = functools.partial(compute_shard, backbone)
        shards = map_ahead(workers, compute, shards_of(pieces), threads, is_done=_is_computed)
        for shard in finish(backbone.info, shards):
            for item in guarded.put(backbone.fingerprint, shard):
                result = _repeat(item, recent[item.key]) if isinstance(item, Repeat) else item
                _remember(recent, item.key, without_recording(result))
                if progress is not None:
                    progress.advance(result.seconds if isinstance(result, Embedded) else 0.0)
                yield result


class _GuardedStore:
    """A store that is ignored once its file is damaged: all of it can be computed again."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self.recordings = store.recordings if store else None

    def get(self, key: bytes, width: int) -> Record | None:
        """Return the stored record of a clip, or None."""
        with self._while_intact():
            return self._store.get([key], width).get(key) if self._store else None
        return None

    def put(self, fingerprint: str, shard: Sequence[Result | Repeat]) -> Sequence[Result | Repeat]:
        """Store the new embeddings of a shard; return the shard with these marked as stored."""
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
    """Embed one clip in the calling thread, on one core, without starting threads.

    The bytes are the same as those of :func:`embed_stream`.
    """
    request = make_request(backbone, options, clip)
    if isinstance(request, Failure):
        return request
    with restored_threads():
        torch.set_num_threads(1)
        shards = shards_of(cut_long(backbone, options, request))
        ((result,),) = filter(
            None, finish(backbone.info, (compute_shard(backbone, shard) for shard in shards))
        )
    assert not isinstance(result, Repeat)
    return result


@contextlib.contextmanager
def _pools(threads: int) -> Iterator[tuple[Readers, ThreadPoolExecutor]]:
    """Yield threads that read and a pool of threads that compute on one core each."""
    with open_readers(threads) as readers, compute_pool(threads) as workers:
        yield readers, workers


def _pieces(
    clips: Iterable[Clip],
    backbone: Backbone,
    options: AudioOptions,
    store: _GuardedStore,
    readers: Readers,
) -> Iterator[Piece]:
    """Yield each clip: its stored embedding, a repeat of an earlier clip, windows or a failure."""
    requests = map_ahead(
        readers,
        functools.partial(make_request, backbone, options, known=store.recordings),
        clips,
        REQUESTS_AHEAD,
        _size,
        LOOKAHEAD_BYTES,
    )
    keys: collections.OrderedDict[bytes, None] = collections.OrderedDict()
    width = 2 * sum(layer.size for layer in backbone.info.layers)

    def look_up() -> Iterator[Request | Result | Repeat]:
        for row, request in enumerate(requests):
            if store.recordings is None and row % shares.PART_CLIPS == 0:
                keys.clear()  # a part must not depend on others; a store has their embeddings
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

    items: Iterator[Request | Result | Repeat] = look_up()
    if store.recordings is not None:
        fetched = functools.partial(fetch_known, known=store.recordings)
        bounds = (LOOKAHEAD, _size, LOOKAHEAD_BYTES)
        items = map_ahead(readers, fetched, items, *bounds, is_done=needs_no_fetching)
    for piece in map_ahead(
        readers, decode, items, LOOKAHEAD, _size, LOOKAHEAD_BYTES, is_done=_needs_nothing
    ):
        if isinstance(piece, LongClip):
            yield from one_ahead(readers.files, cut_long(backbone, options, piece.request))
        else:
            yield piece


def _needs_nothing(item: Request | Result | Repeat) -> bool:
    return not isinstance(item, Request)


def _is_computed(shard: Sequence[Piece]) -> bool:
    return not any(isinstance(item, CutClip) for item in shard)


def _size(item: Clip | Request | Piece | LongClip) -> int:
    """Return the bytes that ``item`` has in memory: windows, and a recording not in a file.

    A temporary copy on the disk counts a little.
    """
    if isinstance(item, Request):
        if isinstance(item.source, Copied):
            return item.source.status.size // COPY_SHARE
        return item.source.size if isinstance(item.source, (BytesSource, SampleSource)) else 0
    if isinstance(item, (CutClip, LongClip)):
        windows = item.windows.nbytes if isinstance(item, CutClip) else 0
        return windows + _size(item.request)
    recording = (item if isinstance(item, Clip) else item.clip).recording
    return recording.size if isinstance(recording, (BytesSource, SampleSource)) else 0


def shards_of(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Group pieces into shards; only clips to store count, so a resumed run groups them alike.

    A section of a long clip is a shard of its own.
    """
    shard: list[Piece] = []
    clips, seconds, row, is_inside = 0, 0.0, -1, False
    for piece in pieces:
        is_section = isinstance(piece, CutClip) and piece.section is not None
        begins_part = not is_inside and (row := row + 1) % shares.PART_CLIPS == 0
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
    """Say whether another section of the same clip follows."""
    return piece.section is not None and not piece.section.is_last


def compute_shard(backbone: Backbone, shard: Sequence[Piece]) -> list[Computed]:
    """Run the network over the windows of a shard; pool clips that are not in sections."""
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


def finish(
    info: BackboneInfo, shards: Iterable[Sequence[Computed]]
) -> Iterator[list[Result | Repeat]]:
    """Yield shards of finished clips; a clip in sections is finished with its last section."""
    sections: list[WindowStats] = []
    for shard in shards:
        results: list[Result | Repeat] = []
        for item in shard:
            if not isinstance(item, WindowStats):
                sections = []  # if there were some, this item is the failure of their clip
                results.append(item)
                continue
            sections.append(item)
            if item.section is not None and item.section.is_last:
                results.append(pool_clip(info, sections))
                sections = []
        yield results


def _repeat(item: Repeat, result: Result) -> Result:
    """Return the earlier clip's result for the repeated clip."""
    if isinstance(result, Embedded):
        return replace(result, clip=item.clip, is_computed=False)
    return replace(result, clip=item.clip)


def without_recording(result: Result) -> Result:
    """Return the result without a recording in memory, which may be large."""
    clip = result.clip
    return result if clip.recording is None else replace(result, clip=replace(clip, recording=None))


def _remember(memory: collections.OrderedDict[bytes, T], key: bytes, value: T) -> None:
    """Add an entry; forget the oldest one beyond ``REMEMBERED``."""
    memory[key] = value
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
