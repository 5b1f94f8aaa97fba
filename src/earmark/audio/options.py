"""Options for reading recordings, and the results of reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from earmark.audio.decoder import Samples
from earmark.errors import EarmarkError, EarmarkWarning

DECODER_VERSION = 4  # part of the store's key: raise it when samples or warnings change
MAX_PEAK = 1e12  # full scale is 1; 32-bit integers kept as floats reach 2e9; more is garbage
LOUD_PEAK = 10.0  # 20 dB over full scale; beyond it, the full scale is probably not 1
NON_FINITE = ("refuse", "zero")


class AudioWarning(EarmarkWarning):
    """Warning about a recording that was read only in part, or with changes."""


@dataclass(frozen=True)
class AudioOptions:
    """How a recording becomes a waveform; part of the store's key and of a saved classifier.

    Parameters
    ----------
    channel : int, optional
        The channel to read, counted from 1 (left). None takes the mean of all channels.
    non_finite : {'refuse', 'zero'}
        What to do with samples that are NaN, infinite or beyond ``MAX_PEAK``: refuse the recording,
        or set them to zero.
    full_scale : float
        Full scale of recordings stored as floats: 1, or 32768 if they hold 16-bit integers.

    Raises
    ------
    EarmarkError
        If a value is not allowed.

    Examples
    --------
    >>> import earmark
    >>> earmark.AudioOptions(channel=2)
    AudioOptions(channel=2, non_finite='refuse', full_scale=1.0)
    """

    channel: int | None = None
    non_finite: str = "refuse"
    full_scale: float = 1.0

    def __str__(self) -> str:
        """Return the text for the store's key; without ``full_scale`` if it is 1, as in 0.1."""
        scale = "" if self.full_scale == 1 else f", full_scale={self.full_scale!r}"
        return f"AudioOptions(channel={self.channel!r}, non_finite={self.non_finite!r}{scale})"

    def __post_init__(self) -> None:
        if self.channel is not None and self.channel < 1:
            raise EarmarkError(f"channel is {self.channel}. Give 1 for the first (left), 2, ...")
        if self.non_finite not in NON_FINITE:
            raise EarmarkError(
                f"non_finite is {self.non_finite!r}. Give {' or '.join(NON_FINITE)}."
            )
        if not 0 < self.full_scale < MAX_PEAK:
            raise EarmarkError(
                f"full_scale is {self.full_scale}. Give a number above 0, such as 32768."
            )


def full_scale(peak: float) -> float:
    """Return the likely full scale of integers that reach ``peak``: 128, 32768, 2**23 or 2**31."""
    return next((2.0**bits for bits in (7, 15, 23) if peak <= 2**bits), 2.0**31)


@dataclass(frozen=True)
class Sound:
    """A recording that was read.

    Attributes
    ----------
    samples : ndarray of float32, (n,) or (n, channels)
        At least one frame.
    rate_hz : int
        Sample rate.
    warnings : tuple of str
        Sentences, without the recording's name, on what is missing or was changed.
    notes : tuple of str
        The same for what is too little for a warning.
    remarks : tuple of str
        Output of a decoder that does not mean damage.
    """

    samples: Samples
    rate_hz: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass
class Stream:
    """A recording while it is read: ``blocks`` of samples, which can be iterated once.

    ``seconds`` is the length by the header, 0 if that is unknown or doubtful. ``warnings``,
    ``notes`` and ``remarks`` are complete after the last block.
    """

    rate_hz: int
    seconds: float = 0.0
    blocks: Iterator[Samples] = field(default_factory=lambda: iter(()))
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def joined(self) -> Sound:
        """Return all blocks as one Sound; a single contiguous block, the usual case, is kept."""
        parts = list(self.blocks)
        samples = np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)
        return Sound(samples, self.rate_hz, self.warnings, self.notes, self.remarks)


AS_IT_IS = AudioOptions()
