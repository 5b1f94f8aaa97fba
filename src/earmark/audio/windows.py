"""Cut waveforms into windows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from earmark.audio.decoder import Samples


def window(
    x: Samples,
    length: int,
    hop: int,
    context: int = 0,
    step: int | None = None,
    around: tuple[Samples, Samples] | None = None,
) -> tuple[Samples, NDArray[np.int64]]:
    """Cut ``x`` (n,) into windows (W, length + 2 * context), and count their real samples (W,).

    The core of window i is ``x[i * hop : i * hop + length]``. On both sides, ``context`` samples of
    the audio around the core are added. Where the clip has no samples there are zeros. Every sample
    is in at least one core, and in exactly one if hop == length:

        x        |=================|            n = 19, length = hop = 8, context = 2
        window 0 ..[========]==                 valid 8   (. zero, = sample)
        window 1         ==[========]==         valid 8
        window 2                 ==[===.....].. valid 3

    W = 1 for n <= length, else ceil((n - length) / hop) + 1. With ``step``, a divisor of length
    and hop, the core of a single window is the shortest multiple of ``step`` that fits the clip.
    If ``x`` is part of a longer recording, ``around`` has the samples before and after it, at most
    ``context`` each, which replace the zeros there.
    Raises ValueError for an empty ``x`` or impossible sizes.
    """
    n = len(x)
    if n < 1 or context < 0 or not 1 <= hop <= length:
        raise ValueError(
            f"cannot cut {n} samples with length {length}, hop {hop}, context {context}; "
            "give n >= 1, context >= 0 and 1 <= hop <= length"
        )
    if step is not None and (step < 1 or length % step or hop % step):
        raise ValueError(f"step {step} must divide length {length} and hop {hop}")
    count = 1 + max(0, math.ceil((n - length) / hop))
    core = math.ceil(n / step) * step if step and count == 1 else length
    padded = np.zeros(context + (count - 1) * hop + core + context, x.dtype)
    padded[context : context + n] = x
    if around is not None:
        before, after = around
        padded[context - len(before) : context] = before
        padded[context + n : context + n + len(after)] = after
    windows = np.lib.stride_tricks.sliding_window_view(padded, core + 2 * context)[::hop]
    valid = np.minimum(core, n - hop * np.arange(count, dtype=np.int64))
    return windows.copy(), valid
