"""Decode block by block with the libraries of FFmpeg (PyAV)."""

from __future__ import annotations

import itertools
import struct
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

CLOCK_SLACK_S = 0.005  # some containers store times in milliseconds
SEEK_FROM_S = 30.0  # starts before this are reached by decoding, which takes some 30 ms

# FFmpeg's names of containers. Those in _TIMED store times: to the sample in MP4, to a millisecond
# in the others. Those in _MEASURED store a length; for others FFmpeg guesses it from the bit rate.
_TIMED = ("mov,mp4", "matroska", "asf")
_MEASURED = (*_TIMED, "wav", "w64", "aiff", "caf", "flac", "tta", "wv", "ape", "mxf", "smjpeg")
_ASF_LENGTH = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the object that has the length


@contextmanager
def open_recording(
    file: BinaryIO, start_s: float = 0.0, end_s: float | None = None, link: Link = WHOLE
) -> Iterator[Opened]:
    """Open the first audio stream with FFmpeg; the blocks begin at or before ``start_s``.

    The blocks continue to the end of the recording, so the caller must stop reading in time.
    """
    import av

    is_cut, asf_s = is_cut_ogg(file), _asf_seconds(file)
    # Else playlists and session descriptions could make FFmpeg read other files and the network.
    no_protocols = {"protocol_whitelist": "none"}
    with av.open(
        _Unfailing(file), "r", metadata_errors="replace", container_options=no_protocols
    ) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise ValueError("no audio stream" if stream is None else "no decoder for its codec")
        if not stream.rate or not stream.layout.nb_channels:
            raise ValueError("its header gives no rate or no channels")
        if container.format.name == "caf" and stream.codec_context.name == "alac":
            # ALAC states the length of its last packet, so FFmpeg would cut the end twice.
            stream.codec_context.flags2 |= av.codec.context.Flags2.skip_manual
        header = _header(container, stream, link, is_cut)
        if asf_s and link.share > 1:  # FFmpeg estimates the length if much of the file is missing
            header = header._replace(promised=round(asf_s * stream.rate))
        yield header, _ffmpeg_blocks(container, stream, header, start_s)


def _asf_seconds(file: BinaryIO) -> float:
    """Return the length that the header of an ASF file (WMA) states; 0 if it is another file."""
    head = file.read(4)
    if head == b"\x30\x26\xb2\x75":
        head += file.read(1 << 16)
    file.seek(0)
    if (at := head.find(_ASF_LENGTH)) < 0 or at + 88 > len(head):
        return 0.0
    length, preroll = struct.unpack_from("<Q8xQ", head, at + 64)  # 100 ns and 1 ms
    return max(0.0, float(length) / 1e7 - float(preroll) / 1e3)


class _Unfailing:
    """A file whose ``seek`` returns -1 instead of raising an exception.

    PyAV prints a traceback when an exception is raised while another is being handled.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek and return the new position, or -1, which FFmpeg takes as an error."""
        try:
            return self._seek(offset, whence)
        except (OSError, OverflowError, ValueError):
            return -1


def _header(container: InputContainer, stream: AudioStream, link: Link, is_cut: bool) -> Header:
    frames = max(_length(container, stream), link.samples)
    is_timed = container.format.name.startswith(_TIMED)  # these store the length before any cut
    promised = frames if is_timed else round(frames * link.share)
    if mpeg := link.stream:
        frames = mpeg.samples
        promised, is_cut = max(frames, mpeg.promised), mpeg.is_cut and not mpeg.promised
    elif link.share > 1.01:  # the header of RealMedia counts 8 bytes too many
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
    # Packed, not planar: above 8 channels PyAV 18 reads beyond its planes and crashes.
    for frame in frames:
        if (frame.sample_rate, frame.layout.nb_channels) != (rate_hz, channels):
            raise ValueError("the rate or the number of channels changes inside the recording")
        for part in to_float.resample(frame) if position + frame.samples > first else ():
            samples = np.asarray(part.to_ndarray(), np.float32).reshape(-1, channels)
            yield Block(position, samples)
        position += frame.samples
    yield Block(position, np.zeros((0, channels), np.float32))


def _seek(
    container: InputContainer, stream: AudioStream, rate_hz: int, start_s: float
) -> tuple[int, Iterator[AudioFrame]]:
    """Return frames that begin at or before ``start_s``, and the position of the first.

    Seeks if the container stores times; else decodes from the beginning (2,000 times real time).
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
    raise ValueError("seeking to the stretch failed")


def _length(container: InputContainer, stream: AudioStream) -> int:
    """Return the number of frames that the container states; 0 if FFmpeg would have to guess it."""
    if not container.format.name.startswith(_MEASURED):
        return 0
    if stream.duration is not None and stream.time_base is not None:
        return int(stream.duration * stream.time_base * stream.rate)
    is_only_stream = len(container.streams) == 1  # else it may be the length of the video
    return round((container.duration or 0) / 1e6 * stream.rate) if is_only_stream else 0
