"""Recordings in, waveforms out: decode, mix to mono, resample, cut into windows.

Content decides how a recording is read, never its name: libsndfile gets the first look, FFmpeg's
libraries (PyAV) what libsndfile does not recognise.
"""

import io
import math
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from earmark.errors import AudioError

Samples = NDArray[np.float32]  # (n,) mono or (n, channels)

DECODER_VERSION = 1  # part of the store's key: raise it when samples out of this file change
MAX_SECONDS = 24 * 3600.0  # of one clip: 5.5 GB as float32 at 16 kHz; longer is cut into stretches
MIN_RATE_HZ = 100  # a false rate of 1 Hz would make 16,000 samples of each; infrasound has 100
MAX_PEAK = 1e12  # full scale is 1, 32-bit integers kept as floats reach 2e9; beyond is garbage
END_SLACK_S = 0.05  # manifests round: an ``end`` this far beyond the recording is clipped
BLOCK_SAMPLES = 1 << 16  # decoded at a time, all channels together: 256 KiB as float32
UNKNOWN_FRAMES = 1 << 62  # libsndfile's word (2**63 - 1) for FLAC from a pipe; it fails at its end

# When a folder is walked, a name is passed over only if it cannot be meant as a recording; any
# other is taken, and its content decides. So an odd suffix is read or refused, never dropped.
# Archives are not listed: they may hold recordings that their owner thinks are in the data.
_TEXT = ".txt .md .rst .csv .tsv .json .jsonl .ndjson .xml .yaml .yml .toml .ini .cfg .log .bib"
_DOCUMENTS = ".html .htm .css .js .pdf .doc .docx .xls .xlsx .parquet .db .sqlite .lnk .url"
_PICTURES = ".jpg .jpeg .png .gif .bmp .svg .webp .tif .tiff .ico"
_CODE = ".py .pyc .ipynb .r .m .sh .bat .npy .npz .pt .pth .pkl .h5 .hdf5 .onnx .safetensors"
_NOTES = ".textgrid .lab .phn .wrd .srt .vtt .cue .eaf .jams .m3u .m3u8 .pls"  # on recordings
_EDITORS = ".asd .reapeaks .sfk .pkf .md5 .sha1 .sha256"  # made beside recordings
NOT_AUDIO_SUFFIXES = frozenset(
    " ".join((_TEXT, _DOCUMENTS, _PICTURES, _CODE, _NOTES, _EDITORS)).split()
)
NOT_AUDIO_NAMES = frozenset({"readme", "license", "licence", "copying", "authors", "makefile"})


def is_recording(path: Path) -> bool:
    """Say whether a file found in a folder counts as a recording, by its name alone.

    Hidden files (``.DS_Store``, ``._clip.wav``), ``NOT_AUDIO_SUFFIXES`` and ``NOT_AUDIO_NAMES``
    do not; everything else does, with any suffix or none.
    """
    name = path.name.lower()
    hidden = name.startswith(".")
    return not (hidden or path.suffix.lower() in NOT_AUDIO_SUFFIXES or name in NOT_AUDIO_NAMES)


def load(
    source: str | Path | bytes,
    rate_hz: int,
    start: float | None = None,
    end: float | None = None,
    *,
    name: str | None = None,
) -> Samples:
    """Read a recording, or ``start..end`` (seconds) of it, as mono (n,) float32 at ``rate_hz``.

    Mono is the mean of the channels; n >= 1. ``source`` is a path or a file's bytes, and ``name``
    stands for it in errors. Edges and errors are those of ``decode``; besides, AudioError for a
    clip shorter than one sample at ``rate_hz``. Memory is for one channel, whatever is recorded.
    """
    with _naming(source, name):
        x, its_rate_hz = _read(source, start, end, _mono)  # (n,)
        y = resample(x, its_rate_hz, rate_hz)
        if not len(y):
            raise AudioError(
                f"{len(x)} samples at {its_rate_hz} Hz are less than one sample at {rate_hz} Hz; "
                "give a longer clip"
            )
        return y


def decode(
    source: str | Path | bytes,
    start: float | None = None,
    end: float | None = None,
    *,
    name: str | None = None,
) -> tuple[Samples, int]:
    """Decode a recording, or ``start..end`` (seconds) of it, into (n, channels) and its rate in Hz.

    float32, full scale -1..1 (lossy and float formats may exceed it), n >= 1. A stretch takes
    memory for the stretch only; libsndfile's formats seek to it, FFmpeg's are decoded up to it
    (some 2,000 times faster than real time), because their seeking is not exact to the sample.
    ``end`` up to 50 ms beyond the recording is clipped. A recording that was cut short gives what
    is there, if its format allows.

    Raises AudioError, one sentence that begins with the path (or ``name``): not a readable file;
    not recognised, or damaged; empty; a stretch that is not inside the recording, or longer than
    ``MAX_SECONDS``; a rate below ``MIN_RATE_HZ``; samples that are NaN, infinite or beyond
    ``MAX_PEAK``.
    """
    with _naming(source, name):
        return _read(source, start, end, lambda block: block)


def resample(x: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample ``x`` (n,) to round(n * to_hz / from_hz) samples, perhaps none; same rate, same x.

    soxr "HQ" keeps aliases 143 dB down, where other fast resamplers reach 5 to 15 dB.
    """
    if from_hz == to_hz:
        return x
    return np.asarray(soxr.resample(x, from_hz, to_hz, quality="HQ"), np.float32)


def window(
    x: Samples, length: int, hop: int, context: int = 0, step: int | None = None
) -> tuple[Samples, NDArray[np.int64]]:
    """Cut ``x`` (n,) into windows (W, length + 2 * context), and count real samples (W,).

    The core of window i is ``x[i * hop : i * hop + length]``; ``context`` samples of the audio
    around it come with it on both sides. Zeros stand wherever the clip has no sample. Every sample
    is in some core, in exactly one when hop == length:

        x        |=================|            n = 19, length = hop = 8, context = 2
        window 0 ..[========]==                 valid 8   (. zero, = sample)
        window 1         ==[========]==         valid 8
        window 2                 ==[===.....].. valid 3

    W = 1 for n <= length, else ceil((n - length) / hop) + 1. With ``step``, a divisor of length
    and hop, the core of a single window is the shortest multiple of ``step`` that holds the clip.
    Raises ValueError for an empty ``x`` or an impossible geometry.
    """
    n = len(x)
    if n < 1 or context < 0 or not 1 <= hop <= length:
        raise ValueError(
            f"cannot cut {n} samples with length {length}, hop {hop}, context {context}; "
            "give n >= 1, context >= 0 and 1 <= hop <= length"
        )
    if step is not None and (step < 1 or length % step or hop % step):
        raise ValueError(f"step {step} must divide length {length} and hop {hop}")
    count = 1 + max(0, math.ceil((n - length) / hop))
    core = math.ceil(n / step) * step if step and count == 1 else length
    padded = np.zeros(context + (count - 1) * hop + core + context, x.dtype)
    padded[context : context + n] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, core + 2 * context)[::hop]
    valid = np.minimum(core, n - hop * np.arange(count, dtype=np.int64))
    return windows.copy(), valid


class _Block(NamedTuple):
    """Some consecutive frames of a recording, as a decoder gives them."""

    rate_hz: int
    header_s: float  # how long the header says the recording is; a claim, 0 if unknown
    position: int  # index of the first frame
    samples: Samples  # (n, channels); n = 0 right after opening, and at the end


_Blocks = Generator[_Block, None, None]
_Keep = Callable[[Samples], Samples]  # what to remember of (n, channels): all of it, or its mean


def _read(
    source: str | Path | bytes, start: float | None, end: float | None, keep: _Keep
) -> tuple[Samples, int]:
    """Let the first decoder that recognises ``source`` read it; return ``keep`` of it, and Hz."""
    start_s = 0.0 if start is None else start
    end_s = math.inf if end is None else end
    if not 0 <= start_s < end_s or end == math.inf:
        raise AudioError(f"no stretch from {start} to {end} s; give 0 <= start < end")
    refusals = []
    for decoder, blocks_of in (("libsndfile", _libsndfile_blocks), ("FFmpeg", _ffmpeg_blocks)):
        with _open(source) as file, closing(blocks_of(file, start_s)) as blocks:
            try:
                header = next(blocks)
            except Exception as error:  # decoders raise what they like, AttributeError included
                refusals.append(f"{decoder}: {_reason(error)}")
                continue
            # Recognised: from here on an error is damage. The other decoder might step over it
            # without a word and give a recording with a hole.
            return _gather(header, blocks, start_s, end_s, keep)
    raise AudioError(
        f"cannot be read: not audio in a known format ({'; '.join(refusals)}); "
        "convert it to WAV or FLAC, or leave it out"
    )


def _gather(
    header: _Block, blocks: _Blocks, start_s: float, end_s: float, keep: _Keep
) -> tuple[Samples, int]:
    """Join ``keep`` of the frames from ``start_s`` to ``end_s`` (inf: all), having checked them."""
    rate_hz, whole = header.rate_hz, math.isinf(end_s)
    if rate_hz < MIN_RATE_HZ:
        raise AudioError(f"a rate of {rate_hz} Hz is below {MIN_RATE_HZ} Hz; mend its header")
    if (header.header_s if whole else end_s) - start_s > MAX_SECONDS:
        raise _too_long()
    first = round(start_s * rate_hz)
    last = first + int(MAX_SECONDS * rate_hz) + 1 if whole else round(end_s * rate_hz)
    kept, bad, position = [keep(header.samples)], 0, 0
    try:
        for block in blocks:
            part = block.samples[max(0, first - block.position) : max(0, last - block.position)]
            bad += part.size - int(np.count_nonzero(np.abs(part) <= MAX_PEAK))  # NaN is not <=
            if len(part) and not bad:
                kept.append(keep(part))
            position = block.position + len(block.samples)
            if position >= last:
                break
    except Exception as error:
        raise AudioError(
            f"cannot be read: damaged after {position / rate_hz:.2f} s ({_reason(error)}); "
            "repair it or leave it out"
        ) from error
    _check_extent(first, last, position, rate_hz, whole)
    if bad:
        raise AudioError(
            f"{bad} samples are NaN, infinite or beyond {MAX_PEAK:g}; write it anew or leave it out"
        )
    return np.concatenate(kept), rate_hz


def _check_extent(first: int, last: int, position: int, rate_hz: int, whole: bool) -> None:
    """Refuse frames ``first..last`` of a recording that was decoded up to frame ``position``."""
    if not position:
        raise AudioError("holds no samples; leave it out")
    missing = 0 if whole else last - position
    if first >= min(last, position) or missing > END_SLACK_S * rate_hz:
        end = "the end" if whole else f"{last / rate_hz:g} s"
        raise AudioError(
            f"no stretch from {first / rate_hz:g} s to {end} in a recording of "
            f"{position / rate_hz:.3f} s at {rate_hz} Hz; correct start and end"
        )
    if whole and position >= last:
        raise _too_long()


def _libsndfile_blocks(file: BinaryIO, start_s: float) -> _Blocks:
    """Decode with libsndfile from ``start_s`` on; never allocate what a header says."""
    with soundfile.SoundFile(file) as sound:
        if sound.frames >= UNKNOWN_FRAMES:
            raise ValueError("its header does not say how long it is")  # FFmpeg reads it well
        rate_hz, header_s = sound.samplerate, sound.frames / sound.samplerate
        yield _Block(rate_hz, header_s, 0, np.zeros((0, sound.channels), np.float32))
        position = sound.seek(min(round(start_s * rate_hz), sound.frames)) if start_s else 0
        frames = max(1, BLOCK_SAMPLES // sound.channels)
        while True:
            samples = sound.read(frames, dtype="float32", always_2d=True)
            yield _Block(rate_hz, header_s, position, samples)
            position += len(samples)
            if not len(samples):
                return


def _ffmpeg_blocks(file: BinaryIO, start_s: float) -> _Blocks:
    """Decode the first audio stream with FFmpeg's libraries, counting frames up to ``start_s``."""
    import av

    with av.open(file, mode="r", metadata_errors="replace") as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise ValueError("no audio stream" if stream is None else "no decoder for its codec")
        rate_hz, channels = stream.rate, stream.layout.nb_channels
        header_s = (container.duration or 0) / 1e6  # from microseconds
        nothing = np.zeros((0, channels), np.float32)
        yield _Block(rate_hz, header_s, 0, nothing)
        # Packed, not planar: PyAV 18 reads beyond its planes (and crashes) above 8 channels.
        first, position, to_float = round(start_s * rate_hz), 0, av.AudioResampler(format="flt")
        for frame in container.decode(stream):
            if (frame.sample_rate, frame.layout.nb_channels) != (rate_hz, channels):
                raise ValueError("rate or channels change on the way")
            for part in to_float.resample(frame) if position + frame.samples > first else ():
                samples = np.asarray(part.to_ndarray(), np.float32).reshape(-1, channels)
                yield _Block(rate_hz, header_s, position, samples)
            position += frame.samples
        yield _Block(rate_hz, header_s, position, nothing)


def _open(source: str | Path | bytes) -> BinaryIO:
    """Open ``source`` without a name: soundfile and FFmpeg would look at its suffix."""
    file: BinaryIO
    try:
        if isinstance(source, bytes):
            size, file = len(source), io.BytesIO(source)
        elif Path(source).exists() and not Path(source).is_file():
            raise AudioError("is not a file; give the path of a recording")
        else:
            handle = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            size, file = os.fstat(handle).st_size, open(handle, "rb")  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise AudioError(
            f"cannot be opened: {_reason(error)}; check the path and its permissions"
        ) from error
    if not size:
        file.close()
        raise AudioError("the file is empty (0 bytes); fetch it again or leave it out")
    return file


@contextmanager
def _naming(source: str | Path | bytes, name: str | None) -> Iterator[None]:
    """Make a sentence of every AudioError: the recording's name first, a full stop last."""
    if name is None:
        name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{name}: {error}.") from error.__cause__


def _mono(block: Samples) -> Samples:
    """Mix (n, channels) down to (n,), the mean of the channels."""
    return np.asarray(block.mean(axis=1, dtype=np.float32))


def _too_long() -> AudioError:
    return AudioError(f"longer than {MAX_SECONDS / 3600:g} h; give stretches of it (start and end)")


def _reason(error: Exception) -> str:
    """Say in a few words why a decoder or the system refused."""
    said = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error)
    return str(said).removeprefix("Error : ").rstrip(". ") or type(error).__name__
