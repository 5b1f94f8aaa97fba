"""Decoding, mixing, resampling and windows, on recordings that the tests make themselves."""

import contextlib
import csv
import io
import struct
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from earmark import audio
from earmark.errors import AudioError
from shared_data import shared_data

RATE = 16_000


def noise(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return (n, channels) of float32 noise."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels)).astype(np.float32)


def encode(x: np.ndarray, kind: str, subtype: str = "PCM_16", rate_hz: int = RATE) -> bytes:
    """Return ``x`` (n, channels) as a file of a libsndfile format."""
    file = io.BytesIO()
    soundfile.write(file, x, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def encode_aac(x: np.ndarray, rate_hz: int = RATE) -> bytes:
    """Return ``x`` (n, channels) as AAC in an MP4 file, which libsndfile does not know."""
    file = io.BytesIO()
    layout = "mono" if x.shape[1] == 1 else "stereo"
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x.T), "fltp", layout)
        frame.sample_rate = rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def refusal(source: Path | bytes, *stretch: float | None) -> str:
    """Return the text with which ``decode`` refuses; ``load`` must say the same."""
    with pytest.raises(AudioError) as one:
        audio.decode(source, *stretch)
    with pytest.raises(AudioError) as two:
        audio.load(source, RATE, *stretch)
    assert str(one.value) == str(two.value)
    return str(one.value)


# Reading


def test_the_samples_are_the_samples(tmp_path: Path) -> None:
    x = noise(5_000, 2)
    path = tmp_path / "x.wav"
    path.write_bytes(encode(x, "WAV", "FLOAT"))
    sources: list[Path | str | bytes] = [path, str(path), path.read_bytes()]
    for source in sources:
        got, rate_hz = audio.decode(source)
        assert (rate_hz, got.dtype) == (RATE, np.float32)
        np.testing.assert_array_equal(got, x)


def test_many_blocks_join_without_a_seam() -> None:
    x = noise(3 * audio.BLOCK_SAMPLES + 17)
    np.testing.assert_array_equal(audio.decode(encode(x, "WAV", "FLOAT"))[0], x)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_mono_is_the_mean_of_the_channels(channels: int) -> None:
    x = noise(4_000, channels)
    got = audio.load(encode(x, "WAV", "FLOAT"), RATE)
    assert got.shape == (4_000,)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, x.astype(np.float64).mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("name", ["x.raw", "x.mp3", "x.txt", "x"])
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_content_decides_and_not_the_name(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encode(noise(1_000), kind))
    assert len(audio.load(path, RATE)) == 1_000


def test_ffmpeg_reads_what_libsndfile_does_not_know() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    x, rate_hz = audio.decode(encode_aac(np.stack([tone, 0 * tone], 1)))
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


def test_a_wav_that_was_cut_short_gives_what_is_there() -> None:
    x = noise(10_000)
    whole = encode(x, "WAV", "FLOAT")
    got, _ = audio.decode(whole[: len(whole) - 4 * 4_000])
    np.testing.assert_array_equal(got, x[:6_000])


# Resampling


def test_a_tone_keeps_its_frequency_and_its_level() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(2 * 44_100) / 44_100).astype(np.float32)
    y = audio.load(encode(tone[:, None], "WAV", "FLOAT", 44_100), RATE)
    assert len(y) == 2 * RATE
    middle = y[RATE // 2 : RATE // 2 + RATE]  # one second: bins of 1 Hz
    assert np.abs(np.fft.rfft(middle)).argmax() == 1_000
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("frequency", [8_500, 12_000, 20_000])
def test_what_a_lower_rate_cannot_hold_is_gone(frequency: int) -> None:
    tone = np.sin(2 * np.pi * frequency * np.arange(2 * 44_100) / 44_100).astype(np.float32)
    middle = audio.resample(tone, 44_100, RATE)[RATE // 2 : -RATE // 2]
    assert 20 * np.log10(np.sqrt(2 * np.mean(middle.astype(np.float64) ** 2)) + 1e-12) < -90


def test_the_same_rate_is_left_alone() -> None:
    x = noise(100)[:, 0]
    assert audio.resample(x, RATE, RATE) is x


# Stretches


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    # libmpg123 rounds differently after a seek; all others are exact
    [
        ("WAV", "PCM_16", 0),
        ("FLAC", "PCM_16", 0),
        ("OGG", "VORBIS", 0),
        ("MP3", "MPEG_LAYER_III", 1e-6),
        ("mp4", "aac", 0),
    ],
)
def test_a_stretch_is_a_slice_of_the_whole(kind: str, subtype: str, tolerance: float) -> None:
    x = noise(6 * RATE, 2)
    content = encode_aac(x) if kind == "mp4" else encode(x, kind, subtype)
    whole, rate_hz = audio.decode(content)
    for start, end in [(0.0, 0.7), (1.2345, 1.3), (2.0, 5.5), (4.9, None), (None, 3.01)]:
        got, _ = audio.decode(content, start, end)
        want = whole[round((start or 0) * rate_hz) : None if end is None else round(end * rate_hz)]
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


def test_a_stretch_takes_memory_for_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(encode(noise(4_000_000), "WAV"))  # 16 MB as float32
    assert peak_bytes(path, 200.0, 201.0) < 1_000_000


def peak_bytes(source: Path | bytes, *stretch: float) -> int:
    """Return the most memory that decoding, successful or not, held at once."""
    tracemalloc.start()
    with contextlib.suppress(AudioError):
        audio.decode(source, *stretch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_an_end_that_was_rounded_is_clipped_and_a_wrong_one_refused() -> None:
    content = encode(noise(2 * RATE), "WAV")
    assert len(audio.load(content, RATE, 1.0, 2.04)) == RATE
    assert refusal(content, 1.0, 2.06) == (
        f"{len(content)} bytes: no stretch from 1 s to 2.06 s in a recording of 2.000 s "
        "at 16000 Hz; correct start and end."
    )


@pytest.mark.parametrize("encoder", ["wav", "aac"])
def test_a_start_at_the_end_or_beyond_it_is_refused(encoder: str) -> None:
    x = noise(2 * RATE)
    content = encode(x, "WAV") if encoder == "wav" else encode_aac(x)
    seconds = len(audio.decode(content)[0]) / RATE
    for stretch in [(seconds, None), (9.0, None), (9.0, 9.5), (seconds, seconds + 0.04)]:
        assert f"no stretch from {stretch[0]:g} s" in refusal(content, *stretch)
        assert f"in a recording of {seconds:.3f} s" in refusal(content, *stretch)


@pytest.mark.parametrize(
    "stretch", [(-1.0, None), (2.0, 1.0), (1.0, 1.0), (float("nan"), None), (0.0, float("inf"))]
)
def test_a_stretch_that_makes_no_sense_is_refused(stretch: tuple[float, float | None]) -> None:
    text = refusal(encode(noise(RATE), "WAV"), *stretch)
    assert f"no stretch from {stretch[0]} to {stretch[1]} s; give 0 <= start < end." in text


def test_a_stretch_between_two_samples_is_refused() -> None:
    assert "no stretch from 0.5 s to 0.5 s" in refusal(encode(noise(RATE), "WAV"), 0.5, 0.50001)


# Refusals


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.wav") == (
        f"{tmp_path}/no.wav: cannot be opened: No such file or directory; "
        "check the path and its permissions."
    )
    assert refusal(tmp_path) == f"{tmp_path}: is not a file; give the path of a recording."
    assert "embedded null" in refusal(Path("a\0b"))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.wav").write_bytes(encode(noise(10), "WAV"))
    monkeypatch.setattr("os.open", denied)  # the tests may run as root, whom nobody denies
    assert "x.wav: cannot be opened: Permission denied; check" in refusal(tmp_path / "x.wav")


def test_files_without_content() -> None:
    empty = "the file is empty (0 bytes); fetch it again or leave it out."
    assert refusal(b"") == f"0 bytes: {empty}"
    assert "holds no samples; leave it out." in refusal(encode(noise(0), "WAV"))
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


def test_damage_is_refused_and_never_stepped_over() -> None:
    whole = encode(noise(10 * RATE), "FLAC")
    cut = whole[: len(whole) // 2]
    holed = bytearray(whole)
    holed[len(whole) // 2 : len(whole) // 2 + 500] = bytes(500)  # FFmpeg alone would skip it
    for content in (cut, bytes(holed)):
        assert "cannot be read: damaged after 4.10 s (" in refusal(content)
    aac = encode_aac(noise(5 * RATE))
    assert "cannot be read: not audio in a known format" in refusal(aac[: len(aac) // 2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e20])
def test_samples_that_are_no_sound_are_counted(bad: float) -> None:
    x = noise(200_000, 2)
    x[[5, 70_000, 199_999], [0, 1, 1]] = bad
    text = refusal(encode(x, "WAV", "FLOAT"))
    assert "3 samples are NaN, infinite or beyond 1e+12; write it anew or leave it out." in text
    assert len(audio.load(encode(x, "WAV", "FLOAT"), RATE, 1.0, 4.0)) == 3 * RATE


def test_a_clip_below_one_sample_is_refused() -> None:
    content = encode(noise(1), "WAV", rate_hz=44_100)
    assert audio.decode(content)[0].shape == (1, 1)
    with pytest.raises(AudioError, match="1 samples at 44100 Hz are less than one sample at 16000"):
        audio.load(content, RATE)


def flac_that_says(frames: int, x: np.ndarray) -> bytes:
    """Return ``x`` as FLAC with another number of frames in its header (36 bits at byte 21.5)."""
    content = bytearray(encode(x, "FLAC"))
    content[21] = (content[21] & 0xF0) | frames >> 32
    content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(content)


def test_a_header_that_lies_costs_no_memory() -> None:
    x = noise(80_000)
    for frames in (23 * 3600 * RATE, 2**36 - 1):  # 5 GB, 275 GB
        lie = flac_that_says(frames, x)
        assert peak_bytes(lie) < 1_000_000
        assert refusal(lie)


@pytest.mark.parametrize("rate_hz", [1, 99])
def test_a_rate_that_makes_much_of_little_is_refused(rate_hz: int) -> None:
    text = refusal(encode(noise(1_000), "WAV", rate_hz=rate_hz))
    assert f"a rate of {rate_hz} Hz is below 100 Hz; mend its header." in text
    assert len(audio.load(encode(noise(1_000), "WAV", rate_hz=100), RATE)) == 160_000


def test_more_than_a_day_is_refused() -> None:
    day = 24 * 3600
    slow = encode(noise(100 * (day + 2)), "WAV", "PCM_U8", rate_hz=100)
    assert "longer than 24 h; give stretches of it (start and end)." in refusal(slow)
    assert "longer than 24 h" in refusal(slow, 0.0, day + 1.0)
    assert len(audio.decode(slow, 5.0, day + 1.0)[0]) == 100 * (day - 4)


def test_more_than_a_day_is_refused_without_a_header_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio, "MAX_SECONDS", 3.0)
    from_pipe = flac_that_says(0, noise(4 * RATE))
    assert "longer than " in refusal(from_pipe)
    assert len(audio.decode(from_pipe, 1.0)[0]) == 3 * RATE


# Real oddities


def test_every_oddity_is_read_or_refused_as_its_manifest_says() -> None:
    folder = shared_data("oddities")
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 153
    for row in rows:
        path = folder / row["path"]
        if row["path"] == "pydub/test1_empty.wav":  # ffmpeg reads its header, there is no more
            assert "holds no samples" in refusal(path)
        elif "yes" in (row["libsndfile_reads"], row["ffmpeg_reads"]):
            x, rate_hz = audio.decode(path)
            if row["libsndfile_reads"] == "yes":
                said = (int(row["frames_read"]), int(row["channels"]), int(row["rate_hz"]))
                assert (*x.shape, rate_hz) == said, path
                assert np.abs(x).max() == pytest.approx(float(row["peak"]), abs=1e-6), path
        else:
            assert "cannot be read: not audio in a known format" in refusal(path)


# Names


@pytest.mark.parametrize("name", ["a.wav", "a.OGG", "a.opus", "a.webm", "a.xyz", "a", "1.5 m"])
def test_names_that_may_be_recordings(name: str) -> None:
    assert audio.is_recording(Path("dogs.txt") / name)


@pytest.mark.parametrize("name", ["a.txt", "A.CSV", ".DS_Store", "._a.wav", "cover.JPG", "README"])
def test_names_that_are_no_recordings(name: str) -> None:
    assert not audio.is_recording(Path("dogs") / name)


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
