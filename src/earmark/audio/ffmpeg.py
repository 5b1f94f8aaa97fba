"""Decode with FFmpeg's libraries, block by block."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from earmark.audio.decoder import CODEC_SLACK_S, Block, Header, Opened, is_cut_ogg
from earmark.audio.layout import WHOLE, Link
from earmark.audio.libsndfile import PREROLL_S

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

CLOCK_SLACK_S = 0.005  # containers that keep times in milliseconds
SEEK_FROM_S = 30.0  # FFmpeg decodes up to nearer starts; that takes some 30 ms

# FFmpeg's names of containers. In the first, times are exact: to the sample in the family of MP4,
# to a millisecond in the others. In both, a length is read and not guessed from the bit rate.
_TIMED = ("mov,mp4", "matroska", "asf")
_MEASURED = (*_TIMED, "wav", "w64", "aiff", "caf", "flac", "tta", "wv", "ape")


@contextmanager
def open_recording(
    file: BinaryIO, start_s: float = 0.0, end_s: float | None = None, link: Link = WHOLE
) -> Iterator[Opened]:
    """Open the first audio stream with FFmpeg; the blocks begin at or before ``start_s``.

    They go on to the end of the recording; stop reading them where you have enough.
    """
    import av

    is_cut = is_cut_ogg(file)
    # Playlists and session descriptions would make it read other files and the network.
    alone = {"protocol_whitelist": "none"}
    with av.open(
        _Unfailing(file), "r", metadata_errors="replace", container_options=alone
    ) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise ValueError("no audio stream" if stream is None else "no decoder for its codec")
        if not stream.rate or not stream.layout.nb_channels:
            raise ValueError("its header gives no rate or no channels")
        if container.format.name == "caf" and stream.codec_context.name == "alac":
            # It would drop the end of the last packet twice: ALAC says itself how long that is.
            stream.codec_context.flags2 |= av.codec.context.Flags2.skip_manual
        header = _header(container, stream, link, is_cut)
        yield header, _ffmpeg_blocks(container, stream, header, start_s)


class _Unfailing:
    """A file that is read and sought in; a place before it or too far is said, not raised.

    Of an exception that comes while another waits PyAV prints a traceback.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place and return it, or -1, which tells FFmpeg of an error."""
        try:
            return self._seek(offset, whence)
        except (OSError, OverflowError, ValueError):
            return -1


def _header(container: InputContainer, stream: AudioStream, link: Link, is_cut: bool) -> Header:
    frames = max(_length(container, stream), link.samples)
    is_timed = container.format.name.startswith(_TIMED)  # they know the whole length, cut or not
    promised = frames if is_timed else round(frames * link.share)
    if mpeg := link.stream:
        frames = mpeg.samples
        promised, is_cut = max(frames, mpeg.promised), mpeg.is_cut and not mpeg.promised
    elif link.share > 1.01:  # RealMedia counts 8 bytes more
        is_cut = True
    codec = stream.codec_context.name
    slack = round((CLOCK_SLACK_S if codec.startswith("pcm_") else CODEC_SLACK_S) * stream.rate)
    is_float = codec.startswith(("pcm_f32", "pcm_f64"))
    channels = stream.layout.nb_channels
    tracks = len(container.streams.audio)
    return Header(stream.rate, channels, frames, promised, slack, is_cut, is_float, tracks=tracks)


def _ffmpeg_blocks(
    container: InputContainer, stream: AudioStream, header: Header, start_s: float
) -> Iterator[Block]:
    import av

    rate_hz, channels = header.rate_hz, header.channels
    first = round(start_s * rate_hz)
    position, frames = _seek(container, stream, rate_hz, start_s)
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


def _seek(
    container: InputContainer, stream: AudioStream, rate_hz: int, start_s: float
) -> tuple[int, Iterator[AudioFrame]]:
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


def _length(container: InputContainer, stream: AudioStream) -> int:
    """Return how many frames the container promises; 0 if it does not, or FFmpeg only guesses."""
    if not container.format.name.startswith(_MEASURED):
        return 0
    if stream.duration is not None and stream.time_base is not None:
        return int(stream.duration * stream.time_base * stream.rate)
    alone = len(container.streams) == 1  # else it may be a picture's time
    return round((container.duration or 0) / 1e6 * stream.rate) if alone else 0
