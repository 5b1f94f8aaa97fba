"""How recordings are read, and what reading them gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from earmark.audio.decoder import Samples
from earmark.errors import EarmarkError, EarmarkWarning

DECODER_VERSION = 4  # part of the store's key: raise it when samples or warnings change
MAX_PEAK = 1e12  # full scale is 1, 32-bit integers kept as floats reach 2e9; beyond is garbage
LOUD_PEAK = 10.0  # 20 dB over full scale, where floats are not of that scale
NON_FINITE = ("refuse", "zero")


class AudioWarning(EarmarkWarning):
    """A recording that was read, though not all of it or not as it is."""


@dataclass(frozen=True)
class AudioOptions:
    """How a recording becomes a waveform; part of the store's key and of a saved classifier.

    ``channel`` counts from 1; None takes the mean of all channels. ``non_finite`` is for samples
    that are NaN, infinite or beyond ``MAX_PEAK``: 'refuse' the recording, or set them to 'zero'.
    ``full_scale`` is that of recordings stored as floats: 32768 for 16-bit integers kept as floats.
    """

    channel: int | None = None
    non_finite: str = "refuse"
    full_scale: float = 1.0

    def __str__(self) -> str:
        """Return what stands in the store's keys; rows of 0.1, with one scale, keep theirs."""
        scale = "" if self.full_scale == 1 else f", full_scale={self.full_scale!r}"
        return f"AudioOptions(channel={self.channel!r}, non_finite={self.non_finite!r}{scale})"

    def __post_init__(self) -> None:
        if self.channel is not None and self.channel < 1:
            raise EarmarkError(f"no channel {self.channel}; give 1 for the first (left), 2, ...")
        if self.non_finite not in NON_FINITE:
            raise EarmarkError(f"non-finite {self.non_finite!r}; give {' or '.join(NON_FINITE)}.")
        if not 0 < self.full_scale < MAX_PEAK:
            raise EarmarkError(
                f"full scale {self.full_scale}; give a number above 0, such as 32768."
            )


def full_scale(peak: float) -> float:
    """Return the full scale of integers that reach ``peak``: 128, 32768, 2**23 or 2**31."""
    return next((2.0**bits for bits in (7, 15, 23) if peak <= 2**bits), 2.0**31)


@dataclass(frozen=True)
class Sound:
    """What was read: ``samples``, float32, (n,) or (n, channels), n >= 1, at ``rate_hz``.

    ``warnings`` are sentences without the recording's name: what is missing, or was changed.
    ``notes`` say what is missing where it is too little for a warning; ``remarks`` are what a
    decoder printed that is no damage.
    """

    samples: Samples
    rate_hz: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass
class Stream:
    """A recording while it is read: ``blocks`` of :class:`Sound`'s samples, to be taken once.

    ``seconds`` is the length by the header, 0 where it says nothing or is in doubt. ``warnings``,
    ``notes`` and ``remarks`` are there when the last block was taken.
    """

    rate_hz: int
    seconds: float = 0.0
    blocks: Iterator[Samples] = field(default_factory=lambda: iter(()))
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def joined(self) -> Sound:
        """Take all blocks at once; one, the usual case, is not copied unless it is a column."""
        parts = list(self.blocks)
        samples = np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)
        return Sound(samples, self.rate_hz, self.warnings, self.notes, self.remarks)


AS_IT_IS = AudioOptions()
