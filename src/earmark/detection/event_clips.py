"""Cut events out of their recordings, to listen to them and to train on them.

A clip has the rate and the channels of its recording. It is FLAC, or WAV if FLAC cannot hold it.
Clips are sorted into folders by class, so a folder of them is data for `earmark train`, and moving
a clip to another folder corrects its label.
"""

from __future__ import annotations

import collections
import hashlib
import os
import re
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import soundfile

from earmark.audio.decoder import Refusal
from earmark.audio.fetching import fetch
from earmark.audio.options import Stream
from earmark.audio.reading import header_of, open_channels
from earmark.audio.source import BytesSource, FileSource
from earmark.audio.uri import Ranged, UriSource
from earmark.data.event import Event, RecordingEvents
from earmark.errors import AudioError, EarmarkError
from earmark.system.files import relative_path, whole_file
from earmark.system.objects import is_uri
from earmark.system.text import UNSHOWABLE
from earmark.system.threads import workers

# Characters that a file system somewhere does not allow in names, and names that Windows keeps.
_FORBIDDEN = re.compile(f'[<>:"/\\\\|?*]|{UNSHOWABLE.pattern}')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)
_LONGEST_BYTES = 80  # of a part of a name; file systems allow 255 for all of it
THREADS = 8  # most of the time a clip waits for the disk
_FLAC_CHANNELS, _FLAC_HZ = 8, 655_350
_16_BIT = ("PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW")
_FLOAT = ("FLOAT", "DOUBLE")


class Encoding(NamedTuple):
    """The format of a clip, which loses nothing of a recording that was not compressed."""

    suffix: str
    subtype: str


def safe_name(text: str) -> str:
    """Return a text as part of a file's name on any system; equal only for equal texts."""
    name = _FORBIDDEN.sub("_", text).rstrip(". ").lstrip(". -")
    name = name.encode()[:_LONGEST_BYTES].decode(errors="ignore").rstrip(". ")
    if name and name == text and not _RESERVED.fullmatch(name):
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{name}_{digest}" if name else digest


def clip_stems(paths: Sequence[str], root: Path) -> list[str]:
    """Return how the names of each recording's clips begin: its path below ``root``."""
    stems = []
    for path in paths:
        relative = relative_path(Path(os.path.abspath(path)), root)
        stems.append(Path(relative).with_suffix("").as_posix().replace("/", "_"))
    folded = [stem.casefold() for stem in stems]  # some file systems ignore case
    counts = collections.Counter(folded)
    return [
        safe_name(stem if counts[fold] == 1 else f"{stem}_{_short_hash(path)}")
        for stem, fold, path in zip(stems, folded, paths, strict=True)
    ]


def cut_events(recording: RecordingEvents, folder: Path, stem: str, margin_s: float = 0.0) -> None:
    """Write each event of a recording, with ``margin_s`` before and after it, as a clip.

    Each clip is written whole or not at all. Raises AudioError if the recording cannot be read,
    and EarmarkError if a clip cannot be written.
    """
    if not recording.events:
        return
    source = _here(recording.path)
    encoding = encoding_of(source)

    def cut(event: Event) -> None:
        path = folder / safe_name(event.label) / f"{stem}_{_when(event)}{encoding.suffix}"
        start_s = max(0.0, event.start - margin_s)
        end_s = min(event.end + margin_s, recording.seconds)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _cut(source, start_s, end_s, path, encoding)
        except OSError as error:
            raise EarmarkError(
                f"cannot write {path}: {error.strerror}. Free some space and run the same command"
                " again; it continues from here."
            ) from error

    with workers(THREADS) as pool:
        collections.deque(pool.map(cut, recording.events), maxlen=0)


def _here(place: str) -> FileSource | BytesSource:
    """Return the recording at a path, or fetch the one that a URI names. Raises AudioError."""
    if not is_uri(place):
        return FileSource(Path(place))
    try:
        source = fetch(UriSource(place))
    except Refusal as refusal:
        raise AudioError(place, str(refusal), refusal.kind) from refusal
    assert not isinstance(source, Ranged)
    return source


def encoding_of(source: FileSource | BytesSource) -> Encoding:
    """Return the encoding for the clips of a recording."""
    header = header_of(source)
    subtype = _subtype(source)
    if header.is_float or subtype in _FLOAT:
        return Encoding(".wav", "FLOAT")
    bits = "PCM_16" if subtype in _16_BIT else "PCM_24"
    fits = header.channels <= _FLAC_CHANNELS and header.rate_hz <= _FLAC_HZ
    return Encoding(".flac" if fits else ".wav", bits)


def _subtype(source: FileSource | BytesSource) -> str:
    """Return libsndfile's name for how samples are stored; '' if it cannot read the recording."""
    try:
        with source.open() as file, soundfile.SoundFile(file) as sound:
            return str(sound.subtype)
    except (soundfile.LibsndfileError, OSError, TypeError):
        return ""


def _cut(
    source: FileSource | BytesSource, start_s: float, end_s: float, path: Path, encoding: Encoding
) -> None:
    with (
        open_channels(source, start_s, end_s) as stream,
        whole_file(path) as part,
        part.open("rb+", 0) as handle,
    ):
        file = _Watched(handle)
        try:
            _write(stream, file, encoding)
        except (soundfile.LibsndfileError, AssertionError):  # asserted: all frames were written
            file.check()
            raise
        file.check()


def _write(stream: Stream, file: _Watched, encoding: Encoding) -> None:
    clip = None
    kind = encoding.suffix.removeprefix(".").upper()
    try:
        for block in stream.blocks:
            if clip is None:
                rate_hz, channels, subtype = stream.rate_hz, block.shape[1], encoding.subtype
                clip = soundfile.SoundFile(file, "w", rate_hz, channels, subtype, format=kind)
            clip.write(block)
            file.check()
    finally:
        if clip is not None:
            clip.close()  # while its file is open


class _Watched:
    """A file that remembers why it could not be written; libsndfile does not say."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.seek, self.tell, self.read, self.flush = file.seek, file.tell, file.read, file.flush

    def write(self, content: bytes) -> int:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = self._error or error
        return len(content) - len(rest)

    def check(self) -> None:
        """Raise the error of an earlier call."""
        if self._error is not None:
            raise self._error


def _when(event: Event) -> str:
    """Return the time, label and score of an event as the end of a clip's name."""
    return f"{event.start:010.3f}_{safe_name(event.label)}_{event.score:.2f}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(os.path.abspath(text).encode("utf-8", "surrogatepass")).hexdigest()[:6]
