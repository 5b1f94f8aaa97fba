"""Decode block by block with libsndfile."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import soundfile

from earmark.audio.decoder import BLOCK_SAMPLES, CODEC_SLACK_S, Block, Header, Opened, is_cut_ogg
from earmark.audio.layout import WHOLE, Link
from earmark.audio.printed import caught

CAREFUL_FRAMES = 256  # at a time, if a whole block cannot be read
UNKNOWN_FRAMES = 1 << 62  # libsndfile reports 2**63 - 1 for FLAC from a pipe, and fails at its end
PREROLL_S = 1.0  # decoded before the start after a seek: codecs need the audio before it


@contextmanager
def open_recording(
    file: BinaryIO, start_s: float = 0.0, end_s: float | None = None, link: Link = WHOLE
) -> Iterator[Opened]:
    """Open with libsndfile; the blocks cover ``start_s..end_s``, exact to the sample."""
    is_cut = is_cut_ogg(file)
    with caught(), _sound(file) as sound:
        if sound.frames >= UNKNOWN_FRAMES:
            raise ValueError("the header states no length")  # FFmpeg can read it
        if not sound.frames:
            raise ValueError("no samples")  # FFmpeg may read it if its header is unfinished
        if sound.frames < link.samples:
            raise ValueError(f"only {sound.frames} of {link.samples} samples")
        if sound.subtype == "ALAC_32":
            raise ValueError("32-bit ALAC becomes noise")  # libsndfile 1.2.2; FFmpeg can read it
        yield _header(sound, link, is_cut), _libsndfile_blocks(file, sound, start_s, end_s)


def _header(sound: _OnwardFile, link: Link, is_cut: bool) -> Header:
    """Return the header, checked against the actual bytes; raise ValueError for doubtful MP3."""
    frames, promised, slack = sound.frames, round(sound.frames * link.share), 0
    if sound.is_mpeg:
        slack = round(CODEC_SLACK_S * sound.samplerate)
    if stream := link.stream:
        # The table of an MP3 counts what its encoder added at both ends; libsndfile drops that.
        if frames < stream.samples and not stream.is_whole_by_xing:
            raise ValueError(f"only {frames} of {stream.samples} samples")
        frames = min(frames, stream.samples)
        promised, is_cut = (
            (promised, False)
            if stream.promised
            else (
                round(frames * link.share),
                stream.is_cut,
            )
        )
    is_float = sound.subtype in ("FLOAT", "DOUBLE")
    return Header(sound.samplerate, sound.channels, frames, promised, slack, is_cut, is_float)


def _sound(file: BinaryIO) -> _OnwardFile:
    """Open a file at its beginning; by its descriptor where possible, which is faster."""
    file.seek(0)
    by_handle = isinstance(file, io.FileIO) and os.name == "posix"
    return _OnwardFile(file.fileno() if by_handle else file, closefd=not by_handle)


class _OnwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file that never seeks while it reads MP3.

    soundfile seeks after every read. That resets the decoder of MP3, which then lacks the bits that
    a frame stores in earlier frames, and there is a click. In other formats that seek finds damage.
    """

    @property
    def is_mpeg(self) -> bool:
        """Whether it is MPEG audio such as MP3, alone or in WAV."""
        return bool(self.subtype.startswith("MPEG"))

    def seekable(self) -> bool:
        return not self.is_mpeg and bool(super().seekable())


def _libsndfile_blocks(
    file: BinaryIO, sound: _OnwardFile, start_s: float, end_s: float | None
) -> Iterator[Block]:
    first = min(round(start_s * sound.samplerate), sound.frames)
    end = sound.frames if end_s is None else round(end_s * sound.samplerate)
    last = min(sound.frames, end)  # libsndfile reads no more frames than it has counted
    with caught() as texts:
        position = _seek(sound, first)
        if first:
            texts.clear()  # the seek caused these, not the recording: MP3 lacked earlier frames
    if position != first:
        raise ValueError("seeking to the stretch failed")  # MPEG audio that is damaged before it
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
    """Seek to frame ``first`` and return the position; MP3 is decoded from ``PREROLL_S`` before it.

    A frame of MP3 may store bits in up to 23 frames (0.6 s) before it: 255 bytes, in frames of 8
    kbit/s at 24 kHz (ISO 13818-3). Without them the error is as large as the signal.
    """
    lead = min(first, round(PREROLL_S * sound.samplerate)) if sound.is_mpeg else 0
    position: int = sound.seek(first - lead) if first > lead else 0
    return position + (len(sound.read(lead, dtype="float32")) if lead else 0)


def _before_damage(file: BinaryIO, position: int, end: int) -> Iterator[Block]:
    """Decode from ``position`` up to the damage in small steps, with a new decoder.

    libsndfile returns nothing of a damaged block and cannot continue after it.
    """
    with contextlib.suppress(soundfile.LibsndfileError), _sound(file) as sound:
        while sound.seek(position) == position < end:
            samples = sound.read(CAREFUL_FRAMES, dtype="float32", always_2d=True)
            yield Block(position, samples)
            position += len(samples)
            if not len(samples):
                return
