"""Measure the samples of a clip: level, offset, clipping, bandwidth, phase, content."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
import scipy.fft

from earmark import audio
from earmark.audio.decoder import Samples
from earmark.audio.options import AudioOptions
from earmark.data.clip import Clip
from earmark.data.doctor.near_duplicates import HOP_S, NEAR_S, Sketch, band_weights, sketch
from earmark.errors import AudioError

FRAME_S = 0.05  # length of a frame of spectra; one begins every HOP_S
MOST_FRAME = 2**16  # samples; above 1.3 MHz frames are shorter, to limit memory
FRAMES = 128  # transformed at once: 1 MB at 44.1 kHz, which fits the caches of a core

KEPT_SAMPLES = 2**22  # of all channels, 16 MB; a longer clip is decoded twice
RAIL = 0.01  # distance to the peak, as a share of it, within which a sample is on the rail
SHELL = 0.04  # samples within this distance but not on the rail are in the shell
LEAST_RAIL = 20  # samples on the rail; fewer occur by chance in half a second at 8 kHz

EDGE_HZ = 400  # levels are compared over this width on both sides of the edge of a band
LEAST_EDGE_HZ = 1_500  # nobody records at less than 3 kHz; below, a rumble may look like an edge
LEAST_FALL_DB = 30  # resampled recordings fall by 34 dB or more, natural ones by less than 25
LEAST_QUIET_FALL_DB = 5  # in quiet frames: 95 % of resampled recordings, but not a bird's whistle
QUIET = 1 / 8  # share of the frames that count as quiet; 70 dB below the loudest is silence


@dataclass(frozen=True)
class Facts:
    """The measurements of one clip, or only its ``error`` if it could not be read.

    Attributes
    ----------
    peak : float
        Half the distance between the lowest and highest sample, which ignores an offset; the
        greatest of all channels.
    offset : float
        The least absolute mean of the clip's four quarters if all have the same sign, else 0; the
        greatest of all channels.
    clipped : float
        Share of samples on a rail, 0 unless they accumulate there; the greatest of all channels.
    mix : float
        Power of the mono mix, divided by the mean power of a channel, times the number of channels:
        1 for unrelated channels, 2 for equal stereo, 0 for opposite stereo.
    band_hz : float or None
        Frequency above which there is no sound; None if the band seems to be complete.
    content : bytes
        Hash of the mono mix.
    """

    clip: Clip
    error: AudioError | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0
    rate_hz: int = 0
    peak: float = 0.0
    offset: float = 0.0
    clipped: float = 0.0
    mix: float = 1.0
    band_hz: float | None = None
    content: bytes = b""
    sketch: Sketch | None = None


def listen(clip: Clip, options: AudioOptions) -> Facts:
    """Decode a clip (a long one twice) and return its measurements, or why it cannot be read.

    It needs some megabytes of memory for any length and number of channels.
    """
    try:
        return _measure(clip, options)
    except AudioError as error:
        error.__cause__ = error.__context__ = None  # their frames would keep samples in memory
        return Facts(clip, error=error.with_traceback(None))


def _measure(clip: Clip, options: AudioOptions) -> Facts:
    blocks: list[Samples] = []
    with audio.open_channels(clip.source, clip.start, clip.end, options) as stream:
        first = _First(stream.rate_hz)
        for block in stream.blocks:
            first.add(block)
            if first.is_short():
                blocks.append(block)
            else:
                blocks.clear()
    second = _Second(first)
    if first.is_short():
        for block in blocks:
            second.add(block)
    else:
        with audio.open_channels(clip.source, clip.start, clip.end, options) as again:
            for block in again.blocks:
                second.add(block)
    spectra, bands = first.spectra.finish()
    return Facts(
        clip,
        warnings=stream.warnings,
        notes=stream.notes,
        remarks=stream.remarks,
        seconds=first.count / stream.rate_hz,
        rate_hz=stream.rate_hz,
        peak=float((first.high - first.low).max()) / 2,
        offset=second.offset(),
        clipped=second.clipped(),
        mix=first.mix(),
        band_hz=_band_hz(spectra, stream.rate_hz),
        content=first.hash.digest() + stream.rate_hz.to_bytes(4, "big"),
        sketch=sketch(bands),
    )


class _First:
    """The first pass: extremes (channels,), powers, spectra, and the hash of the mix."""

    def __init__(self, rate_hz: int) -> None:
        self.count = 0
        self.low, self.high = np.array(np.inf, np.float32), np.array(-np.inf, np.float32)
        self.channels, self.power, self.mono_power = 1, 0.0, 0.0
        self.hash, self.spectra = hashlib.sha256(), Spectra(rate_hz)

    def add(self, block: Samples) -> None:
        """Measure a block (n, channels)."""
        columns = np.ascontiguousarray(block.T)
        mono = columns[0] if len(columns) == 1 else block.mean(1, dtype=np.float32)
        self.count, self.channels = self.count + len(block), len(columns)
        self.low = np.minimum(self.low, columns.min(1))
        self.high = np.maximum(self.high, columns.max(1))
        self.power += float(np.square(columns).sum(dtype=np.float64))
        self.mono_power += float(np.square(mono).sum(dtype=np.float64))
        self.hash.update(np.ascontiguousarray(mono).data)
        self.spectra.add(mono)

    def is_short(self) -> bool:
        """Return whether the clip is short enough to stay in memory for the second pass."""
        return self.count * self.channels <= KEPT_SAMPLES

    def mix(self) -> float:
        """Return the ``mix`` of :class:`Facts`."""
        if self.channels == 1 or self.power <= 0:
            return 1.0
        return self.mono_power * self.channels**2 / self.power


class _Second:
    """The second pass, which needs the length and extremes: means of quarters, samples on rails."""

    def __init__(self, first: _First) -> None:
        self.count, self.position = first.count, 0
        half = (first.high - first.low) / 2
        self.is_flat = half <= 0
        self.limits = [(first.high - w * half, first.low + w * half) for w in (RAIL, SHELL)]
        self.near = np.zeros((2, len(half)), np.int64)
        self.sizes = np.array([(first.count + 3 - k) // 4 for k in range(4)])
        self.ends, self.sums = np.cumsum(self.sizes), np.zeros((4, len(half)))

    def add(self, block: Samples) -> None:
        """Measure a block (n, channels)."""
        columns = np.ascontiguousarray(block.T)
        for k, (high, low) in enumerate(self.limits):
            outside = (columns >= high[:, None]) | (columns <= low[:, None])
            self.near[k] += np.count_nonzero(outside, axis=1)
        begins = self.ends - self.sizes
        for k, (begin, end) in enumerate(zip(begins, self.ends, strict=True)):
            own = columns[:, max(0, begin - self.position) : max(0, end - self.position)]
            self.sums[k] += own.sum(1, dtype=np.float64)
        self.position += len(block)

    def offset(self) -> float:
        """Return the ``offset`` of :class:`Facts`.

        A single mean is not enough: that of half a period of a deep rumble is not zero either.
        """
        means = self.sums[self.sizes > 0] / self.sizes[self.sizes > 0, None]
        is_one_sided = (means.min(0) > 0) | (means.max(0) < 0)
        return float(np.where(is_one_sided, np.abs(means).min(0), 0.0).max())

    def clipped(self) -> float:
        """Return the share of samples that are clipped, at the peak (the rail) of a channel.

        In any sound, samples become rarer towards the peak, and a pure tone has as many samples in
        the shell as on the rail. Only clipping, at any level, accumulates samples on the
        rail, so the share is 0 unless the rail has at least twice as many samples as the shell.
        """
        rail, shell = self.near[0], self.near[1] - self.near[0]
        is_clipped = ~self.is_flat & (rail >= np.maximum(LEAST_RAIL, 2 * shell))
        return float(np.where(is_clipped, rail / self.count, 0.0).max())


class Spectra:
    """Power spectra of a mono clip that is added block by block.

    A frame begins every HOP_S, rounded to a sample. A clip shorter than a frame is padded.
    """

    def __init__(self, rate_hz: int) -> None:
        self.frame = min(round(FRAME_S * rate_hz), MOST_FRAME)
        self.hop = HOP_S * rate_hz
        self.window, self.weights = _window(self.frame, rate_hz)
        self.means = np.zeros((2, self.frame // 2 + 1))
        self.bands: list[np.ndarray] = []
        self.parts: list[Samples] = []
        self.first, self.end, self.count = 0, 0, 0  # first and end sample of parts; frames done

    def add(self, x: Samples) -> None:
        """Add the next samples (n,)."""
        self.parts.append(x)
        self.end += len(x)
        while self.end >= round((self.count + FRAMES - 1) * self.hop) + self.frame:
            self._transform(self.count + FRAMES)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return spectra (2, F), and the power in bands (T, BANDS) of the first ``NEAR_S``.

        The spectra are the mean of all frames and the mean of quiet frames (the quietest few of
        each FRAMES).
        """
        if self.end < self.frame:
            self.add(np.zeros(self.frame - self.end, np.float32))
        count = 1 + int((self.end - self.frame) / self.hop)
        if count > self.count:
            self._transform(count)
        return self.means / count, np.concatenate(self.bands)

    def _transform(self, count: int) -> None:
        """Transform the frames up to number ``count``, and drop samples that are done."""
        x = np.concatenate(self.parts)
        starts = np.round(np.arange(self.count, count) * self.hop).astype(np.int64)
        starts = np.minimum(starts, self.end - self.frame) - self.first
        views = np.lib.stride_tricks.sliding_window_view(x, self.frame)
        spectra = scipy.fft.rfft(views[starts] * self.window)
        power = np.square(spectra.real) + np.square(spectra.imag)
        loudness = power.sum(1)
        order = np.argsort(loudness)
        order = order[loudness[order] >= 1e-7 * loudness.max()]
        quiet = power[order[: max(1, int(QUIET * len(order)))]]
        self.means += len(power) * np.stack([power.mean(0), quiet.mean(0)])
        if self.count * HOP_S < NEAR_S:
            self.bands.append(power[:, : len(self.weights)] @ self.weights)
        self.count = count
        rest = max(0, min(round(count * self.hop) - self.first, len(x)))
        self.parts, self.first = [x[rest:].copy()], self.first + rest


@functools.lru_cache(maxsize=8)
def _window(frame: int, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the window (frame,) and the weights of bands (F', BANDS), up to the last bin in use.

    With so few bins, the product is too small for BLAS to start further threads.
    """
    weights = band_weights(frame, rate_hz)
    bins = 1 + int(np.flatnonzero(weights.any(1)).max(initial=-1))
    return np.hanning(frame).astype(np.float32), weights[:bins]


def _band_hz(spectra: np.ndarray, rate_hz: int) -> float | None:
    """Return the frequency at which the mean spectrum falls steeply and never rises again, or None.

    ``spectra`` (2, F) are the means of all frames and of quiet frames. At the fall, the median
    level of the EDGE_HZ below must be LEAST_FALL_DB higher than any level from EDGE_HZ above it on;
    the steepest fall counts. Quiet frames must fall there too: after a loud tone the spectrum falls
    to the noise around it, but that noise continues.
    """
    level, quiet = 10 * np.log10(spectra + 1e-14)
    step_hz = rate_hz / 2 / (len(level) - 1)
    width = round(EDGE_HZ / step_hz)
    edges = np.arange(max(width, round(LEAST_EDGE_HZ / step_hz)), len(level) - width)
    if not len(edges):
        return None
    fall = _fall(level, edges, width)
    steepest = int(fall.argmax())
    is_cliff = fall[steepest] >= LEAST_FALL_DB
    if is_cliff and _fall(quiet, edges, width)[steepest] >= LEAST_QUIET_FALL_DB:
        return float(edges[steepest] * step_hz)
    return None


def _fall(level: np.ndarray, edges: np.ndarray, width: int) -> np.ndarray:
    """Return by how much ``level`` (F,) falls at each edge, from ``width`` bins below to above."""
    highest_above = np.maximum.accumulate(level[::-1])[::-1]
    below = np.lib.stride_tricks.sliding_window_view(level, width)[edges - width]
    return np.asarray(np.median(below, axis=1) - highest_above[edges + width])
