"""What one pass over a clip's samples tells: level, offset, clipping, bandwidth, phase, content."""

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
from earmark.data.doctor.near_duplicates import HOP_S, Sketch, band_weights, sketch
from earmark.errors import AudioError

FRAME_S = 0.05  # of spectra; one begins every HOP_S
FRAMES = 128  # transformed at once: 1 MB at 44.1 kHz, which stays in a core's caches

RAIL = 0.01  # of the peak: a clipped sample is this near to it
SHELL = 0.04  # what is nearer than this and not at the rail is the shell below it
LEAST_RAIL = 20  # samples at the rail; fewer pile up by chance in half a second of 8 kHz

EDGE_HZ = 400  # on both sides of the end of a band, levels are compared over this width
LEAST_EDGE_HZ = 1_500  # nobody records at less than 3 kHz; below, a rumble's slope is an edge
LEAST_FALL_DB = 30  # resampled recordings fall by 34 dB and more, natural slopes by less than 25
LEAST_QUIET_FALL_DB = 5  # while little sounds: 95 % of resampled ones do, a bird's whistle does not
QUIET = 1 / 8  # of the frames count as quiet; those 70 dB below the loudest are digital silence


@dataclass(frozen=True)
class Facts:
    """What is known of one clip; only ``error`` is, where it could not be read.

    ``peak``: half the distance between the lowest and highest sample, so without offset; the
    greatest over channels, as are ``offset`` (what the means of the clip's quarters have in
    common, absolute) and ``clipped`` (share of samples on a rail, 0 unless they pile up there).
    ``mix``: power of the mono mix over the mean power of a channel, times the channels: 1 where
    channels are unrelated, 2 for equal stereo, 0 for opposite. ``band_hz``: where all sound ends,
    None where nothing shows that it ends before the format does. ``content``: hash of the mono mix.
    """

    clip: Clip
    error: AudioError | None = None
    warnings: tuple[str, ...] = ()
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
    """Decode a clip once and measure it, or say why it cannot be read."""
    try:
        sound = audio.read_channels(clip.source, clip.start, clip.end, options)
    except AudioError as error:
        error.__cause__ = error.__context__ = None  # their frames would keep the samples
        return Facts(clip, error=error.with_traceback(None))
    x, rate_hz = sound.samples, sound.rate_hz  # (n, channels)
    mono = np.ascontiguousarray(x[:, 0] if x.shape[1] == 1 else x.mean(1, dtype=np.float32))
    spectra, bands = _spectra(mono, rate_hz)
    channels = [np.ascontiguousarray(channel) for channel in x.T]
    return Facts(
        clip,
        warnings=sound.warnings,
        seconds=len(x) / rate_hz,
        rate_hz=rate_hz,
        peak=max(float(np.ptp(channel)) / 2 for channel in channels),
        offset=max(_offset(channel) for channel in channels),
        clipped=max(_clipped(channel) for channel in channels),
        mix=_mix(x, mono),
        band_hz=_band_hz(spectra, rate_hz),
        content=hashlib.sha256(mono.data).digest() + rate_hz.to_bytes(4, "big"),
        sketch=sketch(bands),
    )


def _offset(x: Samples) -> float:
    """Return what the means of the quarters of ``x`` (n,) have in common.

    One mean is not enough: that of half a wave of a deep rumble is not zero either.
    """
    means = [float(part.mean()) for part in np.array_split(x, 4) if len(part)]
    is_one_sided = min(means) > 0 or max(means) < 0
    return min(map(abs, means)) if is_one_sided else 0.0


def _clipped(x: Samples) -> float:
    """Return the share of ``x`` (n,) on its rails, 0 where the shell below is half as full.

    Levels get rarer towards the peak of any sound, and a pure tone has as many samples in the
    shell as on the rail; only clipping makes them pile up, wherever its limit was.
    """
    low, high = float(x.min()), float(x.max())
    half = (high - low) / 2
    near = [
        int(np.count_nonzero(x >= high - width * half) + np.count_nonzero(x <= low + width * half))
        for width in (RAIL, SHELL)
    ]
    rail, shell = near[0], near[1] - near[0]
    return rail / len(x) if half > 0 and rail >= max(LEAST_RAIL, 2 * shell) else 0.0


def _mix(x: Samples, mono: Samples) -> float:
    if x.shape[1] == 1:
        return 1.0
    power = float(np.square(x).mean())
    return float(np.square(mono).mean()) * x.shape[1] / power if power > 0 else 1.0


def _spectra(mono: Samples, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return power spectra (2, F) of ``mono`` (n,) and the power in bands (T, BANDS).

    The spectra are the mean of all frames and that of quiet ones (of each FRAMES, the quietest
    few). A frame begins every HOP_S, to the nearest sample, whatever the rate; a clip shorter than
    a frame is padded.
    """
    frame = round(FRAME_S * rate_hz)
    x = np.pad(mono, (0, frame - len(mono))) if len(mono) < frame else mono
    count = 1 + int((len(x) - frame) / (HOP_S * rate_hz))
    starts = np.round(np.arange(count) * (HOP_S * rate_hz)).astype(np.int64)
    starts = np.minimum(starts, len(x) - frame)
    views = np.lib.stride_tricks.sliding_window_view(x, frame)
    window, weights = _window(frame, rate_hz)
    means, bands = np.zeros((2, frame // 2 + 1)), []
    for at in range(0, count, FRAMES):
        spectra = scipy.fft.rfft(views[starts[at : at + FRAMES]] * window)
        power = np.square(spectra.real) + np.square(spectra.imag)
        loudness = power.sum(1)
        order = np.argsort(loudness)
        order = order[loudness[order] >= 1e-7 * loudness.max()]
        quiet = power[order[: max(1, int(QUIET * len(order)))]]
        means += len(power) / count * np.stack([power.mean(0), quiet.mean(0)])
        bands.append(power[:, : len(weights)] @ weights)
    return means, np.concatenate(bands)


@functools.lru_cache(maxsize=8)
def _window(frame: int, rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the window (frame,) and the weights of bands (F', BANDS), up to the last bin in one.

    So few bins are too small a product for BLAS to wake, and keep spinning, another thread.
    """
    weights = band_weights(frame, rate_hz)
    bins = 1 + int(np.flatnonzero(weights.any(1)).max(initial=-1))
    return np.hanning(frame).astype(np.float32), weights[:bins]


def _band_hz(spectra: np.ndarray, rate_hz: int) -> float | None:
    """Return where the mean spectrum falls off a cliff and never rises again; None without one.

    ``spectra`` (2, F) are the means of all frames and of quiet ones. At a cliff, the median level
    of the EDGE_HZ below it is LEAST_FALL_DB higher than any level from EDGE_HZ above it on; the
    steepest one counts. Quiet frames must fall there too: a loud tone falls to the noise around it,
    but that noise goes on.
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
    """Return how far ``level`` (F,) falls at each edge, from ``width`` bins below it to above."""
    highest_above = np.maximum.accumulate(level[::-1])[::-1]
    below = np.lib.stride_tricks.sliding_window_view(level, width)[edges - width]
    return np.asarray(np.median(below, axis=1) - highest_above[edges + width])
