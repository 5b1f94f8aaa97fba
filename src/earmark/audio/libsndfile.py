"""Decode with libsndfile, block by block."""

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

CAREFUL_FRAMES = 256  # at a time, where a whole block cannot be had
UNKNOWN_FRAMES = 1 << 62  # libsndfile's word (2**63 - 1) for FLAC from a pipe; it fails at its end
PREROLL_S = 1.0  # decoded before a start that was sought: codecs need some of what came before


@contextmanager
def open_recording(
    file: BinaryIO, start_s: float = 0.0, end_s: float | None = None, link: Link = WHOLE
) -> Iterator[Opened]:
    """Open with libsndfile; the blocks are those of ``start_s..end_s``, found to the sample."""
    is_cut = is_cut_ogg(file)
    with caught(), _sound(file) as sound:
        if sound.frames >= UNKNOWN_FRAMES:
            raise ValueError("its header does not say how long it is")  # FFmpeg reads it well
        if not sound.frames:
            raise ValueError("it finds no samples")  # FFmpeg may, where a header was never finished
        if sound.frames < link.samples:
            raise ValueError(f"it finds {sound.frames} of {link.samples} samples")
        if sound.subtype == "ALAC_32":
            raise ValueError("it decodes 32-bit ALAC to noise")  # 1.2.2; FFmpeg does well
        yield _header(sound, link, is_cut), _libsndfile_blocks(file, sound, start_s, end_s)


def _header(sound: _OnwardFile, link: Link, is_cut: bool) -> Header:
    """Compare what libsndfile says with the bytes that are there; leave MP3 in doubt to FFmpeg."""
    frames, promised, slack = sound.frames, round(sound.frames * link.share), 0
    if sound.is_mpeg:
        slack = round(CODEC_SLACK_S * sound.samplerate)
    if stream := link.stream:
        # Its table, if it has one, counts what its encoder added at both ends; libsndfile does not.
        if frames < stream.samples and not stream.is_whole_by_xing:
            raise ValueError(f"it finds {frames} of {stream.samples} samples")
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
    """Open a file from its beginning; by its handle where that is safe, which is faster."""
    file.seek(0)
    by_handle = isinstance(file, io.FileIO) and os.name == "posix"
    return _OnwardFile(file.fileno() if by_handle else file, closefd=not by_handle)


class _OnwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Never seeks while it reads MP3: soundfile does after every read, which gives a click.

    The decoder then lacks the bits that a frame has in earlier ones. Other formats notice damage
    by that seek.
    """

    @property
    def is_mpeg(self) -> bool:
        """Say whether it is MP3, by itself or in WAV."""
        return bool(self.subtype.startswith("MPEG"))

    def seekable(self) -> bool:
        return not self.is_mpeg and bool(super().seekable())


def _libsndfile_blocks(
    file: BinaryIO, sound: _OnwardFile, start_s: float, end_s: float | None
) -> Iterator[Block]:
    first = min(round(start_s * sound.samplerate), sound.frames)
    end = sound.frames if end_s is None else round(end_s * sound.samplerate)
    last = min(sound.frames, end)  # it gives no more than it has counted
    with caught() as texts:
        position = _seek(sound, first)
        if first:
            texts.clear()  # MP3 without the frames before it: it is the seek's, not the recording's
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
    lead = min(first, round(PREROLL_S * sound.samplerate)) if sound.is_mpeg else 0
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
