"""Decoding and windows, on recordings that the tests make themselves, and on real oddities."""

import csv
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_files import RATE, encode, encode_ffmpeg, flac_that_says, noise, peak_bytes, refusal
from earmark import audio
from earmark.audio import decoder, ffmpeg, libsndfile
from earmark.audio.decoder import Decoder
from earmark.audio.source import FileSource
from earmark.data.folders import is_recording
from earmark.errors import AudioError
from shared_data import shared_data

# Reading


def test_the_samples_are_the_samples(tmp_path: Path) -> None:
    x = noise(5_000, 2)
    path = tmp_path / "x.wav"
    path.write_bytes(encode(x, "WAV", "FLOAT"))
    sources: list[Path | str | bytes] = [path, str(path), path.read_bytes()]
    for recording in sources:
        got, rate_hz = audio.decode(recording)
        assert (rate_hz, got.dtype) == (RATE, np.float32)
        np.testing.assert_array_equal(got, x)


def test_many_blocks_join_without_a_seam() -> None:
    x = noise(3 * decoder.BLOCK_SAMPLES + 17)
    np.testing.assert_array_equal(audio.decode(encode(x, "WAV", "FLOAT"))[0], x)


@pytest.mark.parametrize("name", ["x.raw", "x.mp3", "x.txt", "x"])
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_content_decides_and_not_the_name(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encode(noise(1_000), kind))
    assert len(audio.load(path, RATE)) == 1_000


def test_ffmpeg_reads_what_libsndfile_does_not_know() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    x, rate_hz = audio.decode(encode_ffmpeg(np.stack([tone, 0 * tone], 1)))
    assert (rate_hz, x.shape[1]) == (RATE, 2)
    assert abs(len(x) - len(tone)) <= 2 * 1024  # AAC works in frames of 1024
    spectrum = np.abs(np.fft.rfft(x[:RATE], axis=0))  # (Hz, channels)
    assert spectrum[:, 0].argmax() == 440
    assert spectrum[:, 1].max() < 0.01 * spectrum[:, 0].max()


@pytest.mark.parametrize("channels", [1, 8, 9, 32])
def test_ffmpeg_reads_many_channels(channels: int) -> None:
    x = noise(3_000, channels)
    wav = encode(x, "WAV", "DOUBLE")  # libsndfile does not know 64-bit integers; FFmpeg does
    at = wav.index(b"fmt ") + 8
    whole = struct.pack("<H", 1) + wav[at + 2 :]  # format 1, PCM, in place of 3, float
    integers = np.round(x.astype(np.float64) * 2**63).astype("<i8").tobytes()
    content = wav[:at] + whole[: whole.index(b"data") + 8] + integers
    got, rate_hz = audio.decode(content)
    assert rate_hz == RATE
    np.testing.assert_allclose(got, x, rtol=0, atol=1e-7)


def test_a_flac_from_a_pipe_is_read_whole() -> None:
    x = noise(80_000)
    from_pipe = flac_that_says(0, x)  # 0 means unknown
    np.testing.assert_array_equal(audio.decode(from_pipe)[0], audio.decode(encode(x, "FLAC"))[0])


# Refusals


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.wav") == (
        f"{tmp_path}/no.wav: cannot be opened: No such file or directory; "
        "check the path and its permissions."
    )
    words = "is not a file but a folder; give the path of a recording."
    assert refusal(tmp_path) == f"{tmp_path}: {words}"
    assert "embedded null" in refusal(Path("a\0b"))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.wav").write_bytes(encode(noise(10), "WAV"))
    monkeypatch.setattr("os.open", denied)  # the tests may run as root, whom nobody denies
    assert "x.wav: cannot be opened: Permission denied; check" in refusal(tmp_path / "x.wav")


def test_files_without_content() -> None:
    empty = "the file is empty (0 bytes); copy it again or remove it."
    assert refusal(b"") == f"<bytes>: {empty}"
    assert "has no samples; remove it." in refusal(encode(noise(0), "WAV"))
    with pytest.raises(AudioError, match=r"^a/b\.wav: the file is empty"):
        audio.load(b"", RATE, name="a/b.wav")


@pytest.mark.parametrize(
    "content",
    [b"hello, I am a text\n" * 50, bytes(5_000), b"\x89PNG\r\n\x1a\n" + bytes(500), b"RIFF"],
)
def test_what_is_not_audio_is_refused(content: bytes) -> None:
    text = refusal(content)
    assert "cannot be read: not audio in a known format (libsndfile: " in text
    assert "; FFmpeg: " in text
    assert text.endswith("; convert it to WAV or FLAC, or leave it out.")


def test_a_clip_below_one_sample_is_refused() -> None:
    content = encode(noise(1), "WAV", rate_hz=44_100)
    assert audio.decode(content)[0].shape == (1, 1)
    with pytest.raises(AudioError, match="has 1 sample at 44100 Hz, less than one sample at 16000"):
        audio.load(content, RATE)


def test_a_header_that_lies_costs_no_memory() -> None:
    x = noise(80_000)
    for frames in (23 * 3600 * RATE, 2**36 - 1):  # 5 GB, 275 GB
        lie = flac_that_says(frames, x)
        assert peak_bytes(lie) < 2_000_000  # a block
        assert refusal(lie)


@pytest.mark.parametrize("rate_hz", [1, 99])
def test_a_rate_that_makes_much_of_little_is_refused(rate_hz: int) -> None:
    text = refusal(encode(noise(1_000), "WAV", rate_hz=rate_hz))
    assert f"its sample rate of {rate_hz} Hz is below 100 Hz; correct its header." in text
    assert len(audio.load(encode(noise(1_000), "WAV", rate_hz=100), RATE)) == 160_000


def test_a_rate_that_nothing_records_at_is_refused() -> None:
    text = refusal(encode(noise(1_000), "WAV", rate_hz=2_000_000_000))
    assert "its sample rate of 2000000000 Hz is above 10000000 Hz; correct its header." in text
    assert len(audio.read(encode(noise(1_000), "WAV", rate_hz=10_000_000)).samples) == 1_000


def test_more_than_a_day_is_refused() -> None:
    day = 24 * 3600
    slow = encode(noise(100 * (day + 2)), "WAV", "PCM_U8", rate_hz=100)
    for stretch in [(), (0.0, day + 1.0)]:
        with pytest.raises(AudioError, match="longer than 24 h, the most that EARMARK_MAX_SECONDS"):
            audio.decode(slow, *stretch)
    assert len(audio.decode(slow, 5.0, day + 1.0)[0]) == 100 * (day - 4)


# Real oddities


def oddities() -> list[tuple[Path, dict[str, str]]]:
    folder = shared_data("oddities")
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [(folder / row["path"], row) for row in csv.DictReader(file)]
    assert len(rows) == 153
    return rows


def test_every_oddity_is_read_or_refused_as_its_manifest_says() -> None:
    for path, row in oddities():
        if path.name == "test1_empty.wav":  # ffmpeg reads its header, there is no more
            assert "has no samples" in refusal(path)
        elif "yes" in (row["libsndfile_reads"], row["ffmpeg_reads"]):
            sound = audio.read_channels(path)
            assert bool(sound.warnings) == ("early-eof" in path.name), path
            if row["libsndfile_reads"] == "yes" and path.name != "caf_alac_32.caf":
                said = (int(row["frames_read"]), int(row["channels"]), int(row["rate_hz"]))
                assert (*sound.samples.shape, sound.rate_hz) == said, path
                peak = np.abs(sound.samples).max()
                assert peak == pytest.approx(float(row["peak"]), abs=1e-6), path
        else:
            assert "cannot be read: not audio in a known format" in refusal(path)


def test_32_bit_alac_is_not_left_to_libsndfile() -> None:
    folder = shared_data("oddities") / "soundevent"  # files of one and the same sound
    x = audio.decode(folder / "caf_alac_32.caf")[0][:, 0]
    truth = audio.decode(folder / "wav_pcm_32.wav")[0][: len(x), 0]
    assert len(x) > 15_000
    assert np.corrcoef(x, truth)[0, 1] > 0.999


MISREAD = {  # by FFmpeg: big-endian WAV, MIDI sample dumps, MATLAB files
    "test-8000Hz-be-3ch-5S-24bit.wav",
    *("sds_pcm_s8.sds", "sds_pcm_16.sds", "sds_pcm_24.sds", "mat4_double.mat4", "mat5_double.mat5"),
}


def test_both_decoders_say_the_same_of_the_oddities() -> None:
    compared = 0
    for path, row in oddities():
        both = row["libsndfile_reads"] == row["ffmpeg_reads"] == "yes"
        if both and path.name not in {*MISREAD, "caf_alac_32.caf", "ogg_opus.ogg"}:
            (a, rate_hz), (b, same_hz) = (decoded(path, by) for by in DECODERS)
            assert (rate_hz, a.shape[1]) == (same_hz, b.shape[1]), path
            assert abs(len(a) - len(b)) <= 1_152, path  # a frame of MPEG
            assert agreement(a[:, 0], b[:, 0]) >= 0.999, path
            compared += 1
    assert compared == 119


DECODERS = (libsndfile.open_recording, ffmpeg.open_recording)


def decoded(path: Path, decoder: Decoder) -> tuple[np.ndarray, int]:
    with FileSource(path).open() as file, decoder(file, 0.0, None) as (header, blocks):
        return np.concatenate([block.samples for block in blocks]), header.rate_hz


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Return the best cosine of ``a`` and ``b`` that a shift of up to a codec's delay gives."""
    best = -1.0
    for lag in (0, 529, *range(1, min(1_200, len(a), len(b)))):  # 529: what MPEG's decoder adds
        for u, v in ((a[lag:], b), (a, b[lag:])):
            n = min(len(u), len(v))
            norm = np.linalg.norm(u[:n]) * np.linalg.norm(v[:n])
            best = max(best, float(u[:n] @ v[:n] / norm) if norm else 1.0)
            if best >= 0.999:
                return best
    return best


# Names


@pytest.mark.parametrize("name", ["a.wav", "a.OGG", "a.opus", "a.webm", "a.xyz", "a", "1.5 m"])
def test_names_that_may_be_recordings(name: str) -> None:
    assert is_recording(Path("dogs.txt") / name)


@pytest.mark.parametrize("name", ["a.txt", "A.CSV", ".DS_Store", "._a.wav", "cover.JPG", "README"])
def test_names_that_are_no_recordings(name: str) -> None:
    assert not is_recording(Path("dogs") / name)


# Windows


@st.composite
def geometries(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Draw n, length, hop <= length, context, and a step that divides both length and hop."""
    step = draw(st.integers(1, 5))
    hop = step * draw(st.integers(1, 8))
    length = hop + step * draw(st.integers(0, 8))
    return draw(st.integers(1, 300)), length, hop, draw(st.integers(0, 30)), step


def ramp(n: int) -> np.ndarray:
    """Return 1, 2, ... n: every sample tells where it was, and none is a zero of the padding."""
    return np.arange(1, n + 1, dtype=np.float32)


@given(geometries())
def test_windows_hold_the_clip_and_its_neighbourhood(g: tuple[int, int, int, int, int]) -> None:
    n, length, hop, context, _ = g
    windows, valid = audio.window(ramp(n), length, hop, context)
    assert len(windows) == len(valid) == (1 if n <= length else -(-(n - length) // hop) + 1)
    assert windows.shape[1] == length + 2 * context
    assert (windows.dtype, valid.dtype) == (np.float32, np.int64)
    for i, got in enumerate(windows):
        at = np.arange(i * hop - context, i * hop + length + context)  # its place in the clip
        np.testing.assert_array_equal(got, np.where((at >= 0) & (at < n), at + 1, 0))
        assert valid[i] == np.count_nonzero(got[context : context + length]) >= 1
    seen = windows[:, context : context + length]
    assert set(seen[seen > 0]) == set(ramp(n))  # every sample is in some core


@given(geometries())
def test_cores_without_overlap_are_the_clip(g: tuple[int, int, int, int, int]) -> None:
    n, length, _, context, _ = g
    windows, valid = audio.window(ramp(n), length, length, context)
    cores = windows[:, context : context + length]
    assert valid.sum() == n
    np.testing.assert_array_equal(cores.reshape(-1)[:n], ramp(n))
    np.testing.assert_array_equal(
        np.concatenate([c[:v] for c, v in zip(cores, valid, strict=True)]), ramp(n)
    )


@given(geometries())
def test_a_step_shortens_only_a_single_window(g: tuple[int, int, int, int, int]) -> None:
    n, length, hop, context, step = g
    plain, valid = audio.window(ramp(n), length, hop, context)
    windows, same = audio.window(ramp(n), length, hop, context, step)
    np.testing.assert_array_equal(valid, same)
    if len(plain) > 1:
        np.testing.assert_array_equal(windows, plain)
        return
    core = windows.shape[1] - 2 * context
    assert core % step == 0
    assert n <= core < n + step
    np.testing.assert_array_equal(windows, audio.window(ramp(n), core, core, context)[0])


def test_windows_are_the_callers_own() -> None:
    x = ramp(10)
    windows, _ = audio.window(x, 4, 2)
    windows[:] = 0  # neither read-only nor a view of x or of each other
    np.testing.assert_array_equal(x, ramp(10))


@pytest.mark.parametrize(
    ("n", "length", "hop", "context", "step", "text"),
    [
        (0, 4, 4, 0, None, "cannot cut 0 samples with length 4, hop 4, context 0; give n >= 1"),
        (9, 4, 5, 0, None, "cannot cut 9 samples with length 4, hop 5"),
        (9, 4, 0, 0, None, "1 <= hop <= length"),
        (9, 4, 4, -1, None, "context >= 0"),
        (9, 4, 2, 0, 3, "step 3 must divide length 4 and hop 2"),
        (9, 4, 2, 0, 4, "step 4 must divide length 4 and hop 2"),
        (9, 4, 2, 0, 0, "step 0 must divide"),
    ],
)
def test_impossible_windows_are_refused(
    n: int, length: int, hop: int, context: int, step: int | None, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        audio.window(ramp(n), length, hop, context, step)
