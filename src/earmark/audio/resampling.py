"""Resample waveforms, whole or block by block."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator

import numpy as np

from earmark.audio.decoder import Refusal, Samples
from earmark.errors import amount

WHOLE = 1 << 20  # samples; up to this length (24 s at 44.1 kHz), a clip is resampled at once


def resample(x: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample ``x`` (n,) to round(n * to_hz / from_hz) samples, perhaps none.

    Returns ``x`` itself if the rates are equal. Uses soxr "HQ": it suppresses aliases by 143 dB,
    other fast resamplers by only 5 to 15 dB.
    """
    if from_hz == to_hz:
        return x
    import soxr

    return np.asarray(soxr.resample(x, from_hz, to_hz, quality="HQ"), np.float32)


def resampled(
    blocks: Iterable[Samples], from_hz: int, to_hz: int
) -> Generator[Samples, None, None]:
    """Yield blocks, at least one, that together equal the result of :func:`resample`.

    Raises Refusal if the result would have no sample.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    import soxr

    blocks = iter(blocks)
    parts = list(_first(blocks))
    if (more := next(blocks, None)) is None:  # a third faster than block by block
        y = resample(_joined(parts), from_hz, to_hz)
        if not len(y):
            raise _too_short(sum(map(len, parts)), from_hz, to_hz)
        yield y
        return
    resampler = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    n, count = 0, 0
    for block in itertools.chain(parts, [more], blocks, [None]):
        last = block is None
        x = np.zeros(0, np.float32) if block is None else np.ascontiguousarray(block)
        y = resampler.resample_chunk(x, last=last)
        n, count = n + len(x), count + len(y)
        if len(y):
            yield y
    if not count:
        raise _too_short(n, from_hz, to_hz)


def _first(blocks: Iterator[Samples]) -> Iterator[Samples]:
    """Yield blocks until there are too many samples to resample at once."""
    count = 0
    while count < WHOLE and (block := next(blocks, None)) is not None:
        count += len(block)
        yield block


def _joined(parts: list[Samples]) -> Samples:
    if len(parts) == 1:
        return np.ascontiguousarray(parts[0])
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _too_short(n: int, from_hz: int, to_hz: int) -> Refusal:
    return Refusal(
        f"has {amount(n, 'sample')} at {from_hz} Hz, less than one sample at {to_hz} Hz; give a"
        " longer clip",
        "length",
    )
