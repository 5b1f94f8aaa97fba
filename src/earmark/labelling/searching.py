"""Search an archive by example: the nearest windows, joined into stretches of recordings.

The search is exact. A query is the mean of the vectors of what should be found, less half the mean
of what should not be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from earmark import audio, backbones
from earmark.audio.options import AudioOptions
from earmark.audio.reading import header_of
from earmark.audio.source import Source
from earmark.backbones.base import Backbone
from earmark.classifier.networks import only_from_here
from earmark.data.parts import audio_of
from earmark.embeddings.archive import ArchiveNetwork, ArchiveRecording, Windows
from earmark.embeddings.archive_file import ArchiveError
from earmark.embeddings.sliding import SlidingWindows
from earmark.embeddings.store import as_stored
from earmark.errors import BackboneError
from earmark.labelling.conditions import Condition
from earmark.labelling.example import Example

UNLIKE = 0.5  # weight of what should not be found
JOINED = 0.7  # of a stretch's best score: a lower one beside it does not make it longer
CANDIDATES = 20  # windows that are looked at for each stretch, at least LEAST_CANDIDATES in all
LEAST_CANDIDATES = 1_000
MORE = 8  # times as many are looked at if these become too few stretches


@dataclass(frozen=True)
class Stretch:
    """A stretch of a recording that was found.

    Attributes
    ----------
    recording : ArchiveRecording
        The recording; it may be gone.
    start, end : float
        Seconds.
    score : float
        The highest cosine of one of its windows with the query, -1 to 1.
    windows : int
        The windows from the first to the last one.
    """

    recording: ArchiveRecording
    start: float
    end: float
    score: float
    windows: int


def load_network(network: ArchiveNetwork, allow_remote: bool = False) -> Backbone:
    """Load the backbone of an archive's network, at its version.

    Raises ArchiveError if this machine has other weights, and BackboneError if they are missing.
    """
    try:
        _, version, _, precision = network.fingerprint.rsplit("/", 3)
        number = int(version)
    except ValueError:
        raise ArchiveError(
            f"the archive names a network {network.fingerprint!r}, which is not"
            " NAME/VERSION/WEIGHTS/PRECISION. Index again into another folder."
        ) from None
    with only_from_here(network.backbone, allow_remote, "archive"):
        try:
            backbones.info(network.backbone).at_version(number)
        except BackboneError as error:
            raise ArchiveError(_other_version(network, str(error))) from error
        backbone = backbones.load_backbone(network.backbone, precision, version=number)
    if backbone.fingerprint != network.fingerprint:
        raise ArchiveError(_other_version(network, f"This machine has {backbone.fingerprint}."))
    return backbone


def _other_version(network: ArchiveNetwork, but: str) -> str:
    return (
        f"the windows of the archive were computed with {network.fingerprint}. {but} Run `earmark"
        " index` again, which adds the network of this machine beside it."
    )


def embed_example(example: Example, backbone: Backbone, network: ArchiveNetwork) -> np.ndarray:
    """Return the embeddings (n, E) of windows of an example, as in the archive.

    A stretch that is shorter than a window gets the sound around it, so that it is heard as in the
    archive. Raises AudioError.
    """
    source, options = example.source, audio_of(network.settings, AudioOptions())
    start, end = _widened(example, source, network.window_s)
    sliding = SlidingWindows(backbone, network.window_s, network.hop_s)
    rate_hz, n, rows = backbone.info.rate_hz, 0, list[np.ndarray]()
    with audio.open_stream(source, rate_hz, start, end, options, is_endless=True) as stream:
        for block in stream.blocks:
            n += len(block)
            rows += [sliding.merge(sliding.compute(piece)) for piece in sliding.cut(block)]
    rows += [sliding.merge(sliding.compute(piece)) for piece in sliding.finish()]
    full = max(1, 1 + (n - sliding.grid.length) // sliding.grid.hop)  # the rest ends in silence
    return np.stack([as_stored(row) for row in np.concatenate(rows)[:full]]).astype(np.float32)


def _widened(
    example: Example, source: Source, window_s: float
) -> tuple[float | None, float | None]:
    """Return start and end of an example; a short stretch is widened to a window if possible."""
    if example.start is None or example.end is None:
        return None, None
    if example.end - example.start >= window_s:
        return example.start, example.end
    header = header_of(source)
    seconds = header.frames / header.rate_hz if header.frames else example.end
    start = (example.start + example.end - window_s) / 2
    start = max(0.0, min(start, seconds - window_s))
    return start, max(example.end, min(seconds, start + window_s))


def query_of(
    windows: Windows,
    embed: Callable[[Example], np.ndarray],
    likes: Sequence[Example],
    unlikes: Sequence[Example] = (),
) -> np.ndarray:
    """Return the query (D,), of unit length, for examples of what to find and what not to find.

    ``embed`` returns the embeddings (n, E) of an example.
    """

    def mean(examples: Sequence[Example]) -> np.ndarray:
        vectors = [windows.vectors.of_embeddings(embed(x)).mean(0) for x in examples]
        return _unit(np.mean([_unit(vector) for vector in vectors], 0))

    query = mean(likes)
    return _unit(query - UNLIKE * mean(unlikes)) if unlikes else query


def _unit(vector: np.ndarray) -> np.ndarray:
    length: float = float(np.linalg.norm(vector))
    return vector / max(length, 1e-9)


def search(
    windows: Windows,
    query: np.ndarray,
    *,
    top: int = 50,
    per_recording: int | None = None,
    where: Sequence[Condition] = (),
) -> list[Stretch]:
    """Return the stretches that are nearest to a query (D,), best first.

    Parameters
    ----------
    windows : Windows
        The windows of one network.
    query : array, (D,)
        As :func:`query_of` returns it.
    top, per_recording : int
        The most stretches in all, and of one recording.
    where : sequence of Condition
        All must hold for a recording.

    Returns
    -------
    list of Stretch
        Windows that overlap or touch are joined.
    """
    chosen = {
        content: next((r for r in own if all(c.holds(r) for c in where)), None)
        for content, own in windows.recordings.items()
    }
    scores = windows.similarities(query)
    if where:
        keep = np.array([n for n, recording in chosen.items() if recording is not None], np.int64)
        scores[~np.isin(windows.contents, keep)] = -math.inf
    found = []
    for span in _spans(windows, scores, top, per_recording or top):
        recording = chosen[span.content]
        assert recording is not None
        start, end = windows.span(span.content, span.first, span.last)
        number = span.last - span.first + 1
        found.append(Stretch(recording, start, end, round(span.score, 6), number))
    return found


class _Span(NamedTuple):
    content: int
    first: int
    last: int
    score: float


def _spans(windows: Windows, scores: np.ndarray, top: int, per_recording: int) -> list[_Span]:
    """Join the windows with the best of ``scores`` (N,), -inf for those that must not be found.

    As many windows are looked at as ``top`` stretches need: one recording may have the nearest
    thousands of them.
    """
    possible = int(np.isfinite(scores).sum())
    count = min(possible, max(LEAST_CANDIDATES, CANDIDATES * top))
    touching = math.floor(windows.network.window_s / windows.network.hop_s + 1e-6)
    while True:
        rows = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)
        rows = rows[np.lexsort((windows.numbers[rows], windows.contents[rows], -scores[rows]))]
        spans = _joined(
            windows.contents[rows].tolist(), windows.numbers[rows].tolist(), scores[rows].tolist(),
            touching, top, per_recording,
        )  # fmt: skip
        if len(spans) >= top or count == possible:
            return spans
        count = min(possible, MORE * count)


def _joined(
    contents: Sequence[int],
    numbers: Sequence[int],
    scores: Sequence[float],
    touching: int,
    top: int,
    per_recording: int,
) -> list[_Span]:
    """Join windows, which come best first; windows of one recording touch up to ``touching``."""
    spans: dict[int, list[_Span]] = {}
    count = 0
    for content, number, score in zip(contents, numbers, scores, strict=True):
        own = spans.setdefault(content, [])
        near = [s for s in own if s.first - touching <= number <= s.last + touching]
        if not near:
            if count < top and len(own) < per_recording:
                own.append(_Span(content, number, number, score))
                count += 1
            continue
        near = [s for s in near if score >= JOINED * s.score]
        if not near:
            continue
        for span in near:
            own.remove(span)
        count -= len(near) - 1
        first = min(number, *(s.first for s in near))
        last = max(number, *(s.last for s in near))
        own.append(_Span(content, first, last, max(s.score for s in near)))
    found = [span for own in spans.values() for span in own]
    return sorted(found, key=lambda s: (-s.score, s.content, s.first))
