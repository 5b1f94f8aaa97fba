"""Two libraries that decode: each opens a recording and yields it block by block.

Nothing is allocated because a header says so, and nothing else is opened than the file given.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from earmark.errors import AudioError

Samples = NDArray[np.float32]  # (n,) mono or (n, channels)

BLOCK_SAMPLES = 1 << 18  # decoded at a time, all channels together: 1 MiB, 5 s at 48 kHz
CAREFUL_FRAMES = 256  # at a time, where a whole block cannot be had
UNKNOWN_FRAMES = 1 << 62  # libsndfile's word (2**63 - 1) for FLAC from a pipe; it fails at its end
SEEK_FROM_S = 30.0  # FFmpeg decodes up to nearer starts; that takes some 30 ms
PREROLL_S = 1.0  # decoded before a start that was sought: codecs need some of what came before
CODEC_SLACK_S = 0.25  # a header's length counts what codecs drop at both ends: AAC up to 0.11 s
OGG_PAGE_BYTES = 27 + 255 + 255 * 255  # the longest page there is (RFC 3533, section 6)

# FFmpeg's names of containers. In the first, times are exact: to the sample in the family of MP4,
# to a millisecond in the others. In both, a length is read and not guessed from the bit rate.
_TIMED = ("mov,mp4", "matroska", "asf")
_MEASURED = (*_TIMED, "wav", "w64", "aiff", "caf", "flac", "tta", "wv", "ape")

# What libsndfile notes in its log where a header promises more bytes than there are: the sound's
# of WAV, AIFF and AU, the whole file's of RF64 and W64.
_PROMISED = re.compile(r"(?:data|SSND|Data Size|Riff size|riff) *: (\d+) \(should be (\d+)\)")
_NO_LENGTH = 0x7FFF_0000  # a program that wrote into a pipe gave this or more as the length


class Header(NamedTuple):
    """What a recording says of itself, and is not to be believed without a look.

    ``frames`` is its length as far as the decoder can know it now, ``promised`` what its header
    tells, which is more if the file was cut short; 0 where nothing tells. Codecs may give
    ``slack`` frames less. ``is_cut`` says that an end mark, which its format demands, is missing.
    """

    rate_hz: int
    channels: int
    frames: int
    promised: int
    slack: int
    is_cut: bool


class Block(NamedTuple):
    """Some consecutive frames, (n, channels), and the index of the first; n may be 0 at the end."""

    position: int
    samples: Samples


Opened = tuple[Header, Iterator[Block]]
Decoder = Callable[[BinaryIO, float, float | None], AbstractContextManager[Opened]]


def open_source(source: str | Path | bytes) -> BinaryIO:
    """Open ``source`` without a name: soundfile and FFmpeg would look at its suffix."""
    file: BinaryIO
    try:
        if isinstance(source, bytes):
            size, file = len(source), io.BytesIO(source)
        else:
            status = os.stat(source)
            if not stat.S_ISREG(status.st_mode):
                raise AudioError("is not a file; give the path of a recording")
            handle = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            # unbuffered: libsndfile reads by the handle, and two ideas of where it stands are one
            # too many
            size, file = status.st_size, open(handle, "rb", 0)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise AudioError(
            f"cannot be opened: {reason(error)}; check the path and its permissions"
        ) from error
    if not size:
        file.close()
        raise AudioError("the file is empty (0 bytes); fetch it again or leave it out")
    return file


def reason(error: Exception) -> str:
    """Say in a few words why a decoder or the system refused."""
    said = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error)
    return str(said).removeprefix("Error : ").rstrip(". ") or type(error).__name__


# libsndfile


@contextmanager
def libsndfile(
    file: BinaryIO, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[Opened]:
    """Open with libsndfile; the blocks are those of ``start_s..end_s``, found to the sample."""
    is_cut = _is_cut_ogg(file)
    with _sound(file) as sound:
        if sound.frames >= UNKNOWN_FRAMES:
            raise ValueError("its header does not say how long it is")  # FFmpeg reads it well
        if not sound.frames:
            raise ValueError("it finds no samples")  # FFmpeg may, where a header was never finished
        if sound.subtype == "ALAC_32":
            raise ValueError(
                "it decodes 32-bit ALAC to noise"
            )  # libsndfile 1.2.2; FFmpeg does well
        rate_hz, channels = sound.samplerate, sound.channels
        slack = round(CODEC_SLACK_S * rate_hz) if sound.format == "MP3" else 0
        header = Header(rate_hz, channels, sound.frames, _promised(sound), slack, is_cut)
        yield header, _libsndfile_blocks(file, sound, start_s, end_s)


def _sound(file: BinaryIO) -> Any:
    """Open a file from its beginning; by its handle where that is safe, which is faster."""
    file.seek(0)
    by_handle = isinstance(file, io.FileIO) and os.name == "posix"
    return _Onward(file.fileno() if by_handle else file, closefd=not by_handle)


class _Onward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Reads MP3 onward: soundfile seeks after every read to where it is, which MP3 does not bear.

    Its decoder then lacks the bits that a frame has in earlier ones, and gives a click. Others
    notice damage by that seek.
    """

    def seekable(self) -> bool:
        return self.format != "MP3" and bool(super().seekable())


def _libsndfile_blocks(
    file: BinaryIO, sound: Any, start_s: float, end_s: float | None
) -> Iterator[Block]:
    first = min(round(start_s * sound.samplerate), sound.frames)
    last = sound.frames  # it gives no more than it has counted
    if end_s is not None:
        last = min(last, round(end_s * sound.samplerate))
    position = _seek(sound, first)
    if position != first:
        raise ValueError("the stretch cannot be found in it")  # MPEG that is damaged before it
    most = max(1, BLOCK_SAMPLES // sound.channels)
    while True:
        frames = max(0, min(most, last - position))
        try:
            samples = sound.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            yield from _before_damage(file, position, position + frames)
            raise
        yield Block(position, samples)
        position += len(samples)
        if not len(samples) or position >= last:
            return


def _seek(sound: Any, first: int) -> int:
    """Go to frame ``first`` and return where that is; MP3 is decoded from ``PREROLL_S`` before it.

    A frame of MP3 has bits in up to 23 frames before it (ISO 13818-3: 255 bytes back, frames of 8
    kbit/s at 24 kHz), 0.6 s; without them it comes out wrong, by as much as its own level.
    """
    lead = min(first, round(PREROLL_S * sound.samplerate)) if sound.format == "MP3" else 0
    position: int = sound.seek(first - lead) if first > lead else 0
    return position + (len(sound.read(lead, dtype="float32")) if lead else 0)


def _before_damage(file: BinaryIO, position: int, end: int) -> Iterator[Block]:
    """Decode from ``position`` to the damage before ``end`` in little steps, with a new decoder.

    libsndfile gives nothing of a block that is damaged anywhere, and then has lost its way.
    """
    with contextlib.suppress(soundfile.LibsndfileError), _sound(file) as sound:
        while sound.seek(position) == position < end:
            samples = sound.read(CAREFUL_FRAMES, dtype="float32", always_2d=True)
            yield Block(position, samples)
            position += len(samples)
            if not len(samples):
                return


def _promised(sound: Any) -> int:
    """Return the frames that the header promises; libsndfile counts those that are there."""
    for promised, there in _PROMISED.findall(sound.extra_info):
        if 0 < int(there) < int(promised) < _NO_LENGTH:
            return int(sound.frames * int(promised) / int(there))
    return int(sound.frames)


def _is_cut_ogg(file: BinaryIO) -> bool:
    """Say if an Ogg file lacks its last page, or some of it (RFC 3533, section 6).

    Byte 5 of a page has bit 4 set in the last; from byte 26 on stand the sizes of its segments.
    """
    if file.read(4) != b"OggS":
        file.seek(0)
        return False
    size, page = file.seek(0, os.SEEK_END), b""
    for length in (OGG_PAGE_BYTES // 8, OGG_PAGE_BYTES):  # most pages are of 4 KiB
        file.seek(max(0, size - length))
        tail = file.read(length)
        if (at := tail.rfind(b"OggS")) >= 0:
            page = tail[at:]
            break
    file.seek(0)
    if len(page) < 27 or not page[5] & 4:
        return True
    sizes = page[27 : 27 + page[26]]
    return len(page) < 27 + page[26] + sum(sizes)


# FFmpeg


@contextmanager
def ffmpeg(file: BinaryIO, start_s: float = 0.0, end_s: float | None = None) -> Iterator[Opened]:
    """Open the first audio stream with FFmpeg; the blocks begin at or before ``start_s``.

    They go on to the end of the recording: whoever wants no more stops asking.
    """
    import av

    is_cut = _is_cut_ogg(file)
    # Playlists and session descriptions would make it read other files and the network.
    alone = {"protocol_whitelist": "none"}
    with av.open(file, "r", metadata_errors="replace", container_options=alone) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise ValueError("no audio stream" if stream is None else "no decoder for its codec")
        channels, frames = stream.layout.nb_channels, _length(container, stream)
        slack = round(CODEC_SLACK_S * stream.rate)
        header = Header(stream.rate, channels, frames, frames, slack, is_cut)
        yield header, _ffmpeg_blocks(container, stream, header, start_s)


def _ffmpeg_blocks(container: Any, stream: Any, header: Header, start_s: float) -> Iterator[Block]:
    import av

    rate_hz, channels = header.rate_hz, header.channels
    first = round(start_s * rate_hz)
    position, frames = _sought(container, stream, rate_hz, start_s)
    to_float = av.AudioResampler(format="flt")
    # Packed, not planar: PyAV 18 reads beyond its planes (and crashes) above 8 channels.
    for frame in frames:
        if (frame.sample_rate, frame.layout.nb_channels) != (rate_hz, channels):
            raise ValueError("rate or channels change on the way")
        for part in to_float.resample(frame) if position + frame.samples > first else ():
            samples = np.asarray(part.to_ndarray(), np.float32).reshape(-1, channels)
            yield Block(position, samples)
        position += frame.samples
    yield Block(position, np.zeros((0, channels), np.float32))


def _sought(container: Any, stream: Any, rate_hz: int, start_s: float) -> tuple[int, Iterator[Any]]:
    """Return frames that begin at or before ``start_s``, and the position of the first.

    Where the container keeps times, it is sought; else all is decoded (2,000 times real time).
    """
    frames = container.decode(stream)
    if start_s < SEEK_FROM_S or not container.format.name.startswith(_TIMED):
        return 0, frames
    head = next(frames)
    if head.time is None:
        return 0, itertools.chain([head], frames)
    for target_s in (start_s - PREROLL_S, 0.0):
        container.seek(round((head.time + target_s) * 1e6))  # microseconds
        frames = container.decode(stream)
        frame = next(frames, None)
        if frame is not None and frame.time is not None:
            position = round((frame.time - head.time) * rate_hz)
            if position <= start_s * rate_hz:
                return position, itertools.chain([frame], frames)
    raise ValueError("the stretch cannot be found in it")


def _length(container: Any, stream: Any) -> int:
    """Return how many frames the container promises; 0 if it does not, or FFmpeg only guesses."""
    if not container.format.name.startswith(_MEASURED):
        return 0
    if stream.duration is not None:
        return int(stream.duration * stream.time_base * stream.rate)
    alone = len(container.streams) == 1  # else it may be a picture's time
    return round((container.duration or 0) / 1e6 * stream.rate) if alone else 0
