"""Decode with libsndfile, block by block."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import soundfile

from earmark.audio.decoder import BLOCK_SAMPLES, CODEC_SLACK_S, Block, Header, Opened, is_cut_ogg

CAREFUL_FRAMES = 256  # at a time, where a whole block cannot be had
UNKNOWN_FRAMES = 1 << 62  # libsndfile's word (2**63 - 1) for FLAC from a pipe; it fails at its end
PREROLL_S = 1.0  # decoded before a start that was sought: codecs need some of what came before

# What libsndfile notes in its log where a header promises more bytes than there are: the sound's
# of WAV, AIFF and AU, the whole file's of RF64 and W64.
_PROMISED = re.compile(r"(?:data|SSND|Data Size|Riff size|riff) *: (\d+) \(should be (\d+)\)")
_NO_LENGTH = 0x7FFF_0000  # a program that wrote into a pipe gave this or more as the length


@contextmanager
def open_recording(
    file: BinaryIO, start_s: float = 0.0, end_s: float | None = None
) -> Iterator[Opened]:
    """Open with libsndfile; the blocks are those of ``start_s..end_s``, found to the sample."""
    is_cut = is_cut_ogg(file)
    with _sound(file) as sound:
        if sound.frames >= UNKNOWN_FRAMES:
            raise ValueError("its header does not say how long it is")  # FFmpeg reads it well
        if not sound.frames:
            raise ValueError("it finds no samples")  # FFmpeg may, where a header was never finished
        if sound.subtype == "ALAC_32":
            raise ValueError("it decodes 32-bit ALAC to noise")  # 1.2.2; FFmpeg does well
        rate_hz, channels = sound.samplerate, sound.channels
        slack = round(CODEC_SLACK_S * rate_hz) if sound.format == "MP3" else 0
        header = Header(
            rate_hz, channels, sound.frames, _promised(sound), slack=slack, is_cut=is_cut
        )
        yield header, _libsndfile_blocks(file, sound, start_s, end_s)


def _sound(file: BinaryIO) -> _OnwardFile:
    """Open a file from its beginning; by its handle where that is safe, which is faster."""
    file.seek(0)
    by_handle = isinstance(file, io.FileIO) and os.name == "posix"
    return _OnwardFile(file.fileno() if by_handle else file, closefd=not by_handle)


class _OnwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Never seeks while it reads MP3: soundfile does after every read, which gives a click.

    The decoder then lacks the bits that a frame has in earlier ones. Other formats notice damage
    by that seek.
    """

    def seekable(self) -> bool:
        return self.format != "MP3" and bool(super().seekable())


def _libsndfile_blocks(
    file: BinaryIO, sound: _OnwardFile, start_s: float, end_s: float | None
) -> Iterator[Block]:
    first = min(round(start_s * sound.samplerate), sound.frames)
    end = sound.frames if end_s is None else round(end_s * sound.samplerate)
    last = min(sound.frames, end)  # it gives no more than it has counted
    position = _seek(sound, first)
    if position != first:
        raise ValueError("the stretch cannot be found in it")  # MPEG that is damaged before it
    block = max(1, BLOCK_SAMPLES // sound.channels)
    while True:
        frames = max(0, min(block, last - position))
        try:
            samples = sound.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            yield from _before_damage(file, position, position + frames)
            raise
        yield Block(position, samples)
        position += len(samples)
        if not len(samples) or position >= last:
            return


def _seek(sound: _OnwardFile, first: int) -> int:
    """Go to frame ``first`` and return where that is; MP3 is decoded from ``PREROLL_S`` before it.

    A frame of MP3 has bits in up to 23 frames before it (ISO 13818-3: 255 bytes back, frames of 8
    kbit/s at 24 kHz), 0.6 s; without them it comes out wrong, by as much as its own level.
    """
    lead = min(first, round(PREROLL_S * sound.samplerate)) if sound.format == "MP3" else 0
    position: int = sound.seek(first - lead) if first > lead else 0
    return position + (len(sound.read(lead, dtype="float32")) if lead else 0)


def _before_damage(file: BinaryIO, position: int, end: int) -> Iterator[Block]:
    """Decode from ``position`` to the damage before ``end`` in little steps, with a new decoder.

    libsndfile returns nothing of a block with damage in it, and cannot go on after that.
    """
    with contextlib.suppress(soundfile.LibsndfileError), _sound(file) as sound:
        while sound.seek(position) == position < end:
            samples = sound.read(CAREFUL_FRAMES, dtype="float32", always_2d=True)
            yield Block(position, samples)
            position += len(samples)
            if not len(samples):
                return


def _promised(sound: _OnwardFile) -> int:
    """Return the frames that the header promises; libsndfile counts those that are there."""
    for promised, there in _PROMISED.findall(sound.extra_info):
        if 0 < int(there) < int(promised) < _NO_LENGTH:
            return int(sound.frames * int(promised) / int(there))
    return int(sound.frames)
