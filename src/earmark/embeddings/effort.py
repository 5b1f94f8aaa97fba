"""Time how long clips take: some are embedded one after the other, on one core."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from earmark import audio
from earmark.audio.decoder import Refusal
from earmark.audio.fetching import fetch
from earmark.audio.options import AudioOptions
from earmark.audio.uri import UriSource
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings.computing import restored_threads
from earmark.embeddings.cutting import cut, cut_long, make_request
from earmark.embeddings.pipeline import Computed, compute_shard, finish, shards_of
from earmark.embeddings.stages import CutClip, Embedded, Failure, LongClip, Piece, Repeat, Result
from earmark.errors import AudioError
from earmark.system.objects import row_of

LONG_S = 100.0  # of a longer clip so much is embedded; the rest is taken to need as much a second
KEPT = 32  # recordings from elsewhere that are kept, at most 2 MB each


@dataclass
class Effort:
    """What clips took. Times are seconds of one core; those of a network on a GPU, of the clock.

    Attributes
    ----------
    fetch_s, read_s, network_s : float
        Fetching recordings from elsewhere; hashing and decoding them; the network.
    wait_s : float
        Seconds by the clock that passed while servers were waited for.
    results : list
        Embeddings and failures, one for each clip. Of a long clip, only some was embedded. The
        first clips from elsewhere have their recordings.
    seconds : list of float
        The lengths of the same clips; 0 for a failure.
    """

    fetch_s: float = 0.0
    read_s: float = 0.0
    network_s: float = 0.0
    wait_s: float = 0.0
    results: list[Result] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, result: Result, length_s: float | None = None) -> None:
        """Add the result of a clip, whose length is that of the result if none is given."""
        own_s = result.seconds if isinstance(result, Embedded) else 0.0
        if len(self.results) >= KEPT:
            result = replace(result, clip=_changed(result.clip, recording=None))
        self.results.append(result)
        self.seconds.append(own_s if length_s is None else length_s)


def measure(
    clips: Sequence[Clip],
    backbone: Backbone,
    options: AudioOptions,
    limit_s: float,
    long_s: float = LONG_S,
) -> Effort:
    """Embed ``clips`` until ``limit_s`` seconds have passed, at least one of them.

    They are computed in shards, as :func:`~earmark.embeddings.pipeline.embed_stream` does. The
    network computes its first clip once more before that, which does not count.
    """
    meter = _Meter(backbone, options, long_s)
    with restored_threads():
        torch.set_num_threads(1)
        for results in finish(backbone.info, meter.computed(clips, limit_s)):
            for result in results:
                assert not isinstance(result, Repeat)
                meter.effort.add(result)
    return meter.effort


class _Meter:
    def __init__(self, backbone: Backbone, options: AudioOptions, long_s: float) -> None:
        self.backbone, self.options, self.long_s = backbone, options, long_s
        self.effort = Effort()
        self._is_warm = False
        self._row: tuple[str, int] | None = None  # of a Parquet file, that was fetched last

    def computed(self, clips: Sequence[Clip], limit_s: float) -> Iterator[list[Computed]]:
        """Yield the computed shards of clips that are not long; long ones are added at once."""
        for shard in shards_of(self._pieces(clips, limit_s)):
            yield self._compute(shard)

    def _pieces(self, clips: Sequence[Clip], limit_s: float) -> Iterator[Piece]:
        begin_s = time.perf_counter()
        for number, clip in enumerate(clips):
            if number and time.perf_counter() - begin_s > limit_s:
                return
            is_elsewhere = clip.is_remote
            try:
                clip = self._fetched(clip)
            except Refusal as refusal:
                yield Failure(clip, f"{refusal}.", refusal.kind)
                continue
            length_s = _length_s(clip, self.options)
            if length_s > self.long_s:
                self._add_long(clip, length_s, is_elsewhere)
                continue
            with self._timed("read_s", is_elsewhere=is_elsewhere):
                request = make_request(self.backbone, self.options, clip)
                piece = (
                    request
                    if isinstance(request, Failure)
                    else cut(self.backbone, self.options, request)
                )
            if not isinstance(piece, LongClip):
                yield piece
                continue
            sections = cut_long(self.backbone, self.options, piece.request)
            while True:  # its header does not tell the length
                with self._timed("read_s", is_elsewhere=is_elsewhere):
                    section = next(sections, None)
                if section is None:
                    break
                yield section

    def _fetched(self, clip: Clip) -> Clip:
        """Return the clip with its recording if that lies elsewhere. Raises Refusal."""
        source = clip.source
        if not isinstance(source, UriSource):
            return clip
        is_stretch = clip.start is not None or clip.end is not None
        before, self._row = self._row, row_of(clip.place)
        if self._row is not None and before != (self._row[0], self._row[1] - 1):
            fetch(source, is_stretch)  # a run reads no rows before its first one
        with self._timed("fetch_s", is_elsewhere=clip.is_remote):
            return _changed(clip, recording=fetch(source, is_stretch))

    def _add_long(self, clip: Clip, length_s: float, is_elsewhere: bool) -> None:
        """Embed the beginning of a long clip; only hashing it takes what it takes."""
        start, factor = clip.start or 0.0, length_s / self.long_s
        beginning = _changed(clip, start=start, end=start + self.long_s)
        with self._timed("read_s", is_elsewhere=is_elsewhere):
            request = make_request(self.backbone, self.options, beginning)
        with self._timed("read_s", factor, is_elsewhere):
            piece = (
                request
                if isinstance(request, Failure)
                else cut(self.backbone, self.options, request)
            )
        assert not isinstance(piece, LongClip)
        (result,) = self._compute([piece], factor)
        assert isinstance(result, Embedded | Failure)
        self.effort.add(
            replace(result, clip=clip), length_s if isinstance(result, Embedded) else 0.0
        )

    def _compute(self, shard: Sequence[Piece], factor: float = 1.0) -> list[Computed]:
        first = next((piece for piece in shard if isinstance(piece, CutClip)), None)
        if first is not None and not self._is_warm:
            compute_shard(self.backbone, [first])
            self._is_warm = True
        with self._timed("network_s", factor):
            return compute_shard(self.backbone, shard)

    @contextlib.contextmanager
    def _timed(self, name: str, factor: float = 1.0, is_elsewhere: bool = False) -> Iterator[None]:
        """Add what a step takes, times ``factor``."""
        core_s, clock_s = time.process_time(), time.perf_counter()
        yield
        core_s, clock_s = time.process_time() - core_s, time.perf_counter() - clock_s
        is_on_gpu = name == "network_s" and self.backbone.device.type != "cpu"
        took_s = clock_s if is_on_gpu else core_s
        setattr(self.effort, name, getattr(self.effort, name) + factor * took_s)
        if is_elsewhere:
            self.effort.wait_s += factor * max(0.0, clock_s - core_s)


def _changed(clip: Clip, **changes: Any) -> Clip:
    """Return a clip with other attributes; as a Path, a URI would lose a slash."""
    return replace(clip, path=clip.place, **changes)  # type: ignore[arg-type]  # a URI stays text


def _length_s(clip: Clip, options: AudioOptions) -> float:
    """Return the seconds of a clip by its header; 0 if that does not tell them."""
    try:
        with audio.open_stream(
            clip.source, None, clip.start, clip.end, options, is_endless=True
        ) as stream:
            return stream.seconds
    except AudioError:
        return 0.0
