"""Mix channels down to mono, and check samples for NaN and infinity."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from earmark.audio.decoder import Refusal, Samples
from earmark.audio.options import LOUD_PEAK, MAX_PEAK, AudioOptions, full_scale


def columns_of(channels: int, channel: int | None) -> slice:
    """Return the columns to read of (n, channels): all, or ``channel`` counted from 1."""
    if channel is None:
        return slice(None)
    if channel > channels:
        raise Refusal(
            f"has no channel {channel}, only {channels}; choose one that exists, or the mean of"
            " all",
            "channel",
        )
    return slice(channel - 1, channel)


def is_sound(x: Samples) -> bool:
    """Return whether no sample is NaN, infinite or beyond ``MAX_PEAK``; makes no copy."""
    return bool(x.max() <= MAX_PEAK and x.min() >= -MAX_PEAK)  # comparisons with NaN are False


def mean_of(block: Samples) -> Samples:
    """Mix (n, channels) down to (n,), the mean of the channels."""
    if block.shape[1] == 1:
        return block[:, 0]
    total = block[:, 0] + block[:, 1]  # adding columns is several times faster than mean(1)
    for channel in range(2, block.shape[1]):
        total += block[:, channel]
    return np.asarray(total / np.float32(block.shape[1]))


@dataclass
class Mixer:
    """Mixes live blocks as ``options`` say; adds each of its ``warnings`` once."""

    options: AudioOptions
    warnings: list[str] = field(default_factory=list)

    def mono(self, samples: Samples, is_float: bool = False) -> Samples:
        """Return (n, channels), n >= 1, as (n,); ``is_float`` tells samples stored as floats.

        Raises Refusal if the channel does not exist, and if samples are NaN, infinite or beyond
        ``MAX_PEAK``, unless the options allow that.
        """
        part = samples[:, columns_of(samples.shape[1], self.options.channel)]
        if not is_sound(part):
            part = self._zeroed(part)
        if is_float and self.options.full_scale != 1:
            part = part / np.float32(self.options.full_scale)
        mono = np.ascontiguousarray(mean_of(part))
        if is_float and (peak := float(np.abs(mono).max())) >= LOUD_PEAK:
            self._warn(
                "its samples reach ",
                f"its samples reach {peak:.4g}, but full scale is 1; they may be integers stored as"
                f" floats. Give the right format, or a full scale of {full_scale(peak):.0f}.",
            )
        return mono

    def _zeroed(self, part: Samples) -> Samples:
        what = f"samples are NaN, infinite or beyond {MAX_PEAK:g}"
        if self.options.non_finite != "zero":
            raise Refusal(
                f"{what}; check the format of the samples, or set non_finite to 'zero'", "samples"
            )
        self._warn(what, f"{what}; they were set to zero.")
        return np.where(np.abs(part) <= MAX_PEAK, part, np.float32(0))

    def _warn(self, beginning: str, text: str) -> None:
        if not any(warning.startswith(beginning) for warning in self.warnings):
            self.warnings.append(text)
