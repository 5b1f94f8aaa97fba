"""Change the rate of waveforms: whole, or block by block."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable

import numpy as np

from earmark.audio.decoder import Refusal, Samples


def resample(x: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample ``x`` (n,) to round(n * to_hz / from_hz) samples, perhaps none; same rate, same x.

    soxr "HQ" keeps aliases 143 dB down, where other fast resamplers reach 5 to 15 dB.
    """
    if from_hz == to_hz:
        return x
    import soxr

    return np.asarray(soxr.resample(x, from_hz, to_hz, quality="HQ"), np.float32)


def resampled(
    blocks: Iterable[Samples], from_hz: int, to_hz: int
) -> Generator[Samples, None, None]:
    """Yield blocks that are, joined, the very samples of :func:`resample`; there is at least one.

    Raises Refusal where all are less than one sample.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    import soxr

    resampler = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    n, count = 0, 0
    for block in itertools.chain(blocks, [None]):
        last = block is None
        x = np.zeros(0, np.float32) if block is None else np.ascontiguousarray(block)
        y = resampler.resample_chunk(x, last=last)
        n, count = n + len(x), count + len(y)
        if len(y):
            yield y
    if not count:
        raise Refusal(
            f"{n} samples at {from_hz} Hz are less than one sample at {to_hz} Hz; give a longer"
            " clip",
            "length",
        )
