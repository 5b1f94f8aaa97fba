"""Recordings in, waveforms out: decode, mix to mono, resample.

Content decides how a recording is read, never its name: libsndfile gets the first look, FFmpeg's
libraries (PyAV) what libsndfile does not recognise. Nothing is corrected in passing: levels beyond
full scale and offsets (DC) stay as they are.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from earmark.audio import joined, printed
from earmark.audio.decoder import Block, Header, Opened, Refusal, Samples, reason
from earmark.audio.options import (
    AS_IT_IS,
    DECODER_VERSION,
    LOUD_PEAK,
    MAX_PEAK,
    AudioOptions,
    AudioWarning,
    Sound,
    full_scale,
)
from earmark.audio.source import Recording, SampleSource, Source, as_source
from earmark.errors import AudioError, EarmarkError

T = TypeVar("T")

MAX_SECONDS = 24 * 3600.0  # of one clip, unless EARMARK_MAX_SECONDS says otherwise
MAX_BYTES = 4 * 2**30  # of one clip's samples, unless EARMARK_MAX_BYTES does: 6.2 h at 48 kHz
MIN_RATE_HZ = 100  # a false rate of 1 Hz would make 16,000 samples of each; infrasound has 100
TINY = ((0.1, 0.05), (1.0, 0.01))  # less is missing, in seconds and as a share: only a note
END_SLACK_S = 0.05  # manifests round: an ``end`` this far beyond the recording is clipped


def read(
    source: Recording,
    rate_hz: int | None = None,
    start: float | None = None,
    end: float | None = None,
    options: AudioOptions = AS_IT_IS,
    *,
    name: str | None = None,
) -> Sound:
    """Read a recording, or ``start..end`` (seconds) of it, as mono (n,) at ``rate_hz``.

    Mono is the mean of the channels, or the one of ``options``. Without ``rate_hz`` the rate is
    the recording's. ``source`` is a path or a file's bytes, and ``name`` stands for it in errors.
    Edges and errors are those of :func:`read_channels`; besides, AudioError for a clip shorter
    than one sample at ``rate_hz``. Memory is for one channel, whatever is recorded.
    """
    source = as_source(source, name)
    with _naming(source):
        sound = _read(source, start, end, options, to_hz=rate_hz, is_mono=True)
        y = resample(sound.samples, sound.rate_hz, rate_hz or sound.rate_hz)
        if not len(y):
            raise Refusal(
                f"{len(sound.samples)} samples at {sound.rate_hz} Hz are less than one sample at"
                f" {rate_hz} Hz; give a longer clip",
                "length",
            )
        return Sound(
            y,
            rate_hz or sound.rate_hz,
            (*sound.warnings, *_loud(sound.samples)),
            sound.notes,
            sound.remarks,
        )


def read_channels(
    source: Recording,
    start: float | None = None,
    end: float | None = None,
    options: AudioOptions = AS_IT_IS,
    *,
    name: str | None = None,
) -> Sound:
    """Decode a recording, or ``start..end`` (seconds) of it, into (n, channels) at its own rate.

    Full scale is -1..1, which lossy and float formats may exceed. A stretch takes memory and time
    for the stretch only, exact to the sample; of FFmpeg's formats, WebM, Matroska and WMA keep
    times to a millisecond only, and those without an index (AMR, raw AAC) are decoded up to the
    stretch, 2,000 times faster than real time. ``end`` up to 50 ms beyond the recording is clipped.

    A recording that was cut short or is damaged gives what is there up to that place and a warning
    that says how much is missing; nothing is taken from behind the damage.

    Raises AudioError, one sentence that begins with the path (or ``name``): not a readable file;
    not recognised, or damaged before the stretch; empty; a stretch that is not inside the
    recording; longer than ``EARMARK_MAX_SECONDS`` or of more than ``EARMARK_MAX_BYTES`` in memory;
    a rate below ``MIN_RATE_HZ``; a channel that is not there; samples that are NaN, infinite or
    beyond ``MAX_PEAK``, unless ``options`` say otherwise.
    """
    source = as_source(source, name)
    with _naming(source):
        return _read(source, start, end, options)


def load(
    source: Recording,
    rate_hz: int,
    start: float | None = None,
    end: float | None = None,
    *,
    name: str | None = None,
) -> Samples:
    """Return the samples of :func:`read`; its warnings are given as ``AudioWarning``."""
    return _with_warnings(read(source, rate_hz, start, end, name=name), source, name).samples


def decode(
    source: Recording,
    start: float | None = None,
    end: float | None = None,
    *,
    name: str | None = None,
) -> tuple[Samples, int]:
    """Return samples and rate of :func:`read_channels`; its warnings are ``AudioWarning``."""
    sound = _with_warnings(read_channels(source, start, end, name=name), source, name)
    return sound.samples, sound.rate_hz


def header_of(source: Recording, *, name: str | None = None) -> Header:
    """Return what is known of a recording without decoding it: see :class:`Header`.

    ``frames`` is then what one full decode yields (codecs may drop up to ``slack`` of them), or 0
    where only decoding can tell. Raises AudioError as :func:`read_channels` does.
    """
    source = as_source(source, name)
    with _naming(source), printed.caught():
        return _decoded(source, 0.0, None, lambda header, _: header)


def decoder_version(source: Source) -> int:
    """Return the version of the decoder for the store's key: 3 where that one read the same."""
    is_old = isinstance(source, SampleSource) or joined.is_read_as_before(source)
    return 3 if is_old else DECODER_VERSION


def resample(x: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample ``x`` (n,) to round(n * to_hz / from_hz) samples, perhaps none; same rate, same x.

    soxr "HQ" keeps aliases 143 dB down, where other fast resamplers reach 5 to 15 dB.
    """
    if from_hz == to_hz:
        return x
    import soxr

    return np.asarray(soxr.resample(x, from_hz, to_hz, quality="HQ"), np.float32)


def _read(
    source: Source,
    start: float | None,
    end: float | None,
    options: AudioOptions,
    *,
    to_hz: int | None = None,
    is_mono: bool = False,
) -> Sound:
    """Read ``source`` into (n, channels) or mono (n,), and say what its decoder printed of it."""
    start_s = 0.0 if start is None else start
    if not 0 <= start_s < (math.inf if end is None else end) or end == math.inf:
        raise Refusal(f"no stretch from {start} to {end} s; give 0 <= start < end", "stretch")
    with printed.caught() as texts:

        def gather(header: Header, blocks: Iterable[Block]) -> Sound:
            channels = 1 if is_mono or options.channel else header.channels
            limit_s = _limit_s(channels * max(header.rate_hz, to_hz or 0))
            stretch = _stretch(header, start_s, end, limit_s)
            return _gather(header, blocks, stretch, options, is_mono)

        sound = _decoded(source, start_s, end, gather)
    if not texts:
        return sound
    damage, remarks = printed.remarks(texts)
    return replace(sound, warnings=sound.warnings + damage, remarks=remarks)


def _decoded(
    source: Source, start_s: float, end: float | None, use: Callable[[Header, Iterable[Block]], T]
) -> T:
    """Return what ``use`` makes of ``source``, opened by the first decoder that recognises it."""
    refusals = []
    for decoder, opening in _openings(source, start_s, end):
        with ExitStack() as stack:
            try:
                header, blocks = stack.enter_context(opening)
            except Refusal:
                raise
            except Exception as error:  # decoders raise what they like, AttributeError included
                refusals.append(f"{decoder}: {reason(error)}")
                continue
            # Recognised: from here on an error is damage. The other decoder might step over it
            # without a word and give a recording with a hole.
            return use(header, blocks)
    raise Refusal(
        f"cannot be read: not audio in a known format ({'; '.join(refusals)}); "
        "convert it to WAV or FLAC, or leave it out",
        "unreadable",
    )


def _openings(
    source: Source, start_s: float, end_s: float | None
) -> Iterator[tuple[str, AbstractContextManager[Opened]]]:
    """Yield the decoders that may recognise ``source``, by name, each about to open it."""
    if isinstance(source, SampleSource):
        frames, channels = source.samples.shape
        header = Header(source.rate_hz, channels, frames, frames)
        yield "samples", nullcontext((header, iter([Block(0, source.samples)])))
        return
    for name, decoder in joined.DECODERS.items():
        yield name, joined.open_recording(decoder, source, start_s, end_s)


class _Stretch(NamedTuple):
    """The frames ``first..last``; of a whole recording, ``last`` is where the limit lies."""

    first: int
    last: int
    is_whole: bool


def _stretch(header: Header, start_s: float, end_s: float | None, limit_s: float) -> _Stretch:
    """Turn seconds into frames; refuse a rate and a length with which nothing can be done."""
    rate_hz = header.rate_hz
    if rate_hz < MIN_RATE_HZ:
        raise Refusal(
            f"a rate of {rate_hz} Hz is below {MIN_RATE_HZ} Hz; correct its header", "rate"
        )
    if (header.frames / rate_hz if end_s is None else end_s) - start_s > limit_s:
        raise _too_long(limit_s)
    first = round(start_s * rate_hz)
    limit = first + int(limit_s * rate_hz) + 1
    return _Stretch(first, limit if end_s is None else round(end_s * rate_hz), end_s is None)


def _columns(header: Header, channel: int | None) -> slice:
    if channel is None:
        return slice(None)
    if channel > header.channels:
        raise Refusal(
            f"has no channel {channel}, only {header.channels}; ask for one that is there, or for"
            " the mean of all",
            "channel",
        )
    return slice(channel - 1, channel)


def _gather(
    header: Header, blocks: Iterable[Block], stretch: _Stretch, options: AudioOptions, is_mono: bool
) -> Sound:
    """Check and join the frames of a stretch, up to the end or to where they are damaged."""
    columns, zero = _columns(header, options.channel), options.non_finite == "zero"
    parts, bad, position = [], 0, 0
    damage: Exception | None = None
    try:
        for at, samples in blocks:
            part = samples[max(0, stretch.first - at) : max(0, stretch.last - at), columns]
            if len(part) and not _is_sound(part):
                good = np.abs(part) <= MAX_PEAK
                bad += part.size - int(np.count_nonzero(good))
                part = np.where(good, part, np.float32(0))
            if len(part) and (zero or not bad):
                parts.append(_mean(part) if is_mono else part)
            position = at + len(samples)
            if position >= stretch.last:
                break
    except Exception as error:
        damage = error
    missing, notes = _missing(header, stretch, position, damage)
    what = f"{bad} samples are NaN, infinite or beyond {MAX_PEAK:g}"
    if bad and not zero:
        raise Refusal(f"{what}; write it again or leave it out", "samples") from damage
    zeroed = (f"{what}; they were set to zero.",) if bad else ()
    # One block, the usual case, is not copied unless it is a column of several.
    samples = np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)
    if header.is_float and options.full_scale != 1:
        samples = samples / np.float32(options.full_scale)
    if header.unread and stretch.is_whole:
        missing += (f"{header.unread} bytes behind the end by its header are not read.",)
    return Sound(samples, header.rate_hz, (*missing, *zeroed), notes)


def _missing(
    header: Header, stretch: _Stretch, position: int, damage: Exception | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say what a recording, decoded up to frame ``position``, lacks of the ``stretch``.

    The first are warnings, the second notes: where it is very little.

    Refuse a recording of which nothing is left, and a stretch that lies outside it.
    """
    rate_hz, (first, last, is_whole) = header.rate_hz, stretch
    if damage is not None and position <= first:
        raise Refusal(
            f"cannot be read: damaged after {position / rate_hz:.2f} s ({reason(damage)});"
            " repair it or leave it out",
            "damaged",
        ) from damage
    if not position:
        raise Refusal("holds no samples; leave it out", "empty")
    if is_whole and position >= last:
        raise _too_long((last - first) / rate_hz)
    is_cut = damage is not None or header.is_cut or position < header.promised - header.slack
    lacks = 0 if is_whole else last - position
    if first >= min(last, position) or (lacks > END_SLACK_S * rate_hz and not is_cut):
        end = "the end" if is_whole else f"{last / rate_hz:g} s"
        raise Refusal(
            f"no stretch from {first / rate_hz:g} s to {end} in a recording of "
            f"{position / rate_hz:.3f} s at {rate_hz} Hz; correct start and end",
            "stretch",
        )
    if position >= last or not is_cut:
        return (), ()
    why = "the file ends" if damage is None else reason(damage)
    end_s = (header.promised if is_whole else last) / rate_hz
    rest_s = end_s - position / rate_hz
    rest = f"{rest_s:.2f} s of {end_s:.2f} s are missing" if rest_s > 0 else "the rest is missing"
    text = f"cut short or damaged after {position / rate_hz:.2f} s ({why}); {rest}."
    is_tiny = 0 < rest_s < max(min(most_s, share * end_s) for most_s, share in TINY)
    return ((), (text,)) if is_tiny else ((text,), ())


@contextmanager
def _naming(source: Source) -> Iterator[None]:
    """Make an AudioError, which names the recording, of every refusal."""
    try:
        yield
    except Refusal as error:
        raise AudioError(source.name, str(error), error.kind) from error.__cause__


def _with_warnings(sound: Sound, source: Recording, name: str | None) -> Sound:
    for text in sound.warnings:
        warnings.warn(f"{as_source(source, name).name}: {text}", AudioWarning, stacklevel=3)
    return sound


def _loud(x: Samples) -> tuple[str, ...]:
    """Say if samples are so far beyond full scale that they must be of another scale."""
    peak = float(max(x.max(), -x.min()))
    if peak < LOUD_PEAK:
        return ()
    scale = f"{full_scale(peak):.0f}"
    return (
        f"its samples reach {peak:.4g}, where full scale is 1: integers kept as floats? Divide them"
        f" by {scale} and write it again; to train on such recordings, give --full-scale {scale}.",
    )


def _is_sound(x: Samples) -> bool:
    """Say if no sample is NaN, infinite or beyond ``MAX_PEAK``; two passes, and no copy."""
    return bool(x.max() <= MAX_PEAK and x.min() >= -MAX_PEAK)  # NaN is neither


def _mean(block: Samples) -> Samples:
    """Mix (n, channels) down to (n,), the mean of the channels."""
    if block.shape[1] == 1:
        return block[:, 0]
    total = block[:, 0] + block[:, 1]  # by columns: several times faster than by rows of two
    for channel in range(2, block.shape[1]):
        total += block[:, channel]
    return np.asarray(total / np.float32(block.shape[1]))


def _limit_s(samples_per_s: int) -> float:
    """Return how many seconds of such a recording may be decoded at once."""
    most_s = _setting("EARMARK_MAX_SECONDS", MAX_SECONDS)
    return min(most_s, _setting("EARMARK_MAX_BYTES", MAX_BYTES) / (4 * samples_per_s))


def _setting(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        if (value := float(text)) > 0:
            return value
    except ValueError:
        pass
    raise EarmarkError(f"{name} is {text!r}; give a number above 0, or leave it out.")


def _too_long(limit_s: float) -> Refusal:
    is_time = limit_s >= _setting("EARMARK_MAX_SECONDS", MAX_SECONDS)
    shown = f"{limit_s:.4g} s" if limit_s < 3600 else f"{limit_s / 3600:.4g} h"
    name = "EARMARK_MAX_SECONDS" if is_time else "EARMARK_MAX_BYTES"
    return Refusal(
        f"longer than {shown}, the most that {name} allows; give stretches of it (start and end),"
        " or raise that",
        "length",
    )
