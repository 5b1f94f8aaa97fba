"""Stretches of recordings: exact, by seeking, in memory for themselves only; and those refused."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_files import RATE, encode, encode_ffmpeg, noise, peak_bytes, refusal
from earmark import audio
from earmark.audio import libsndfile
from earmark.audio.source import BytesSource, FileSource, SampleSource

TWO_HOURS_S = 7_200
SLOW_HZ = 8_000


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
    content = encode_ffmpeg(x) if kind == "mp4" else encode(x, kind, subtype)
    whole, rate_hz = audio.decode(content)
    for start, end in [(0.0, 0.7), (1.2345, 1.3), (2.0, 5.5), (4.9, None), (None, 3.01)]:
        got, _ = audio.decode(content, start, end)
        want = whole[round((start or 0) * rate_hz) : None if end is None else round(end * rate_hz)]
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("rate_hz", "mode"), [(48_000, "VARIABLE"), (16_000, "CONSTANT")])
def test_mp3_has_no_clicks_where_reading_begins_or_goes_on(
    rate_hz: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its frames have bits in earlier ones, which a decoder that has just sought does not know."""
    monkeypatch.setattr(libsndfile, "BLOCK_SAMPLES", 1 << 15)
    t = np.arange(12 * rate_hz) / rate_hz
    x = 0.02 * t * np.sin(2 * np.pi * (200 + 100 * t) * t) + 0.02 * noise(len(t))[:, 0]
    file = io.BytesIO()
    soundfile.write(file, x, rate_hz, format="MP3", bitrate_mode=mode, compression_level=0.9)
    whole, _ = audio.decode(file.getvalue())
    file.seek(0)
    np.testing.assert_allclose(whole, soundfile.read(file, always_2d=True)[0], rtol=0, atol=1e-6)
    for start in np.arange(1, 11.5, 0.37):
        got, _ = audio.decode(file.getvalue(), start, start + 0.1)
        first = round(start * rate_hz)
        np.testing.assert_allclose(got, whole[first : first + len(got)], rtol=0, atol=1e-6)


def test_a_stretch_takes_memory_for_itself_only(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(encode(noise(4_000_000), "WAV"))  # 16 MB as float32
    assert peak_bytes(path, 200.0, 201.0) < 1_000_000


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_nothing_is_decoded_beyond_the_end_of_a_stretch(kind: str) -> None:
    with (
        BytesSource(encode(noise(4 * RATE), kind)).open() as file,
        libsndfile.open_recording(file, 1.0, 1.5) as (_, blocks),
    ):
        assert [(block.position, len(block.samples)) for block in blocks] == [(RATE, RATE // 2)]


def test_an_end_that_was_rounded_is_clipped_and_a_wrong_one_refused() -> None:
    content = encode(noise(2 * RATE), "WAV")
    assert len(audio.load(content, RATE, 1.0, 2.04)) == RATE
    assert refusal(content, 1.0, 2.06) == (
        "<bytes>: the stretch from 1 s to 2.06 s is not inside the recording, which has 2.000 s "
        "at 16000 Hz; correct start and end."
    )


@pytest.mark.parametrize("encoder", ["wav", "aac"])
def test_a_start_at_the_end_or_beyond_it_is_refused(encoder: str) -> None:
    x = noise(2 * RATE)
    content = encode(x, "WAV") if encoder == "wav" else encode_ffmpeg(x)
    seconds = len(audio.decode(content)[0]) / RATE
    for stretch in [(seconds, None), (9.0, None), (9.0, 9.5), (seconds, seconds + 0.04)]:
        assert f"the stretch from {stretch[0]:g} s" in refusal(content, *stretch)
        assert f"which has {seconds:.3f} s" in refusal(content, *stretch)


@pytest.mark.parametrize(
    "stretch", [(-1.0, None), (2.0, 1.0), (1.0, 1.0), (float("nan"), None), (0.0, float("inf"))]
)
def test_a_stretch_that_makes_no_sense_is_refused(stretch: tuple[float, float | None]) -> None:
    text = refusal(encode(noise(RATE), "WAV"), *stretch)
    assert (
        f"start is {stretch[0]} and end is {stretch[1]} (seconds); give 0 <= start < end." in text
    )


def test_a_stretch_between_two_samples_is_refused() -> None:
    assert "the stretch from 0.5 s to 0.5 s" in refusal(encode(noise(RATE), "WAV"), 0.5, 0.50001)


# Two hours


@pytest.fixture(scope="module")
def two_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of silence at 8 kHz, as WAV (115 MB, sparse) and FLAC; a tone from 6,000 s on."""
    folder = tmp_path_factory.mktemp("long")
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(10 * SLOW_HZ) / SLOW_HZ)
    with soundfile.SoundFile(folder / "long.wav", "w", SLOW_HZ, 1, "PCM_16") as out:
        out.seek(TWO_HOURS_S * SLOW_HZ - 1)
        out.write(np.zeros(1))
        out.seek(6_000 * SLOW_HZ)
        out.write(tone)
    with soundfile.SoundFile(folder / "long.flac", "w", SLOW_HZ, 1, "PCM_16") as out:
        for start_s in range(0, TWO_HOURS_S, 10):
            out.write(tone if start_s == 6_000 else np.zeros(10 * SLOW_HZ))
    return folder


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_stretch_of_two_hours(two_hours: Path, kind: str) -> None:
    path = two_hours / f"long.{kind}"
    with FileSource(path).open() as file, libsndfile.open_recording(file, 6_001.0) as (_, blocks):
        assert next(blocks).position == 6_001 * SLOW_HZ  # sought, and not decoded up to there
    assert peak_bytes(path, 6_001.0, 6_005.0) < 2_000_000
    x = audio.load(path, SLOW_HZ, 6_001.0, 6_005.0)
    assert len(x) == 4 * SLOW_HZ
    assert np.abs(np.fft.rfft(x)).argmax() == 4_000  # bins of 1/4 Hz
    assert not audio.load(path, SLOW_HZ, 7_190.0).any()


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource")
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_stretch_of_two_hours_in_resident_memory(two_hours: Path, kind: str) -> None:
    program = """if True:
        import resource, sys
        from earmark import audio
        audio.load(sys.argv[1], 8_000, 0.0, 5.0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        audio.load(sys.argv[1], 8_000, 6_000.0, 6_005.0)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-c", program, str(two_hours / f"long.{kind}")]
    grown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    per_unit = 1 if sys.platform == "darwin" else 1024
    assert int(grown) * per_unit < 4_000_000  # whole, it would be 230 MB


def test_a_seek_that_goes_astray_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in MPEG whose first frames are damaged, one file in some 20,000 mutated ones."""
    seek = soundfile.SoundFile.seek
    monkeypatch.setattr(soundfile.SoundFile, "seek", lambda self, frame: seek(self, frame + 99))
    assert "damaged after 0.00 s (seeking to the stretch failed)" in refusal(
        encode(noise(2 * RATE), "MP3", "MPEG_LAYER_III"), 1.5, 1.8
    )


# FFmpeg


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the bytes that decoders read."""
    counted: list[int] = []
    opened = BytesSource.open

    def counting(source: BytesSource) -> object:
        file = opened(source)
        read = file.read

        class Counting:
            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

            def __enter__(self) -> "Counting":
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def read(self, size: int = -1) -> bytes:
                got = read(size)
                counted.append(len(got))
                return got

        return Counting()

    monkeypatch.setattr(BytesSource, "open", counting)
    return counted


@pytest.mark.parametrize(("kind", "rate_hz"), [("mp4", RATE), ("mp4", 44_100), ("3gp", RATE)])
def test_mp4_is_sought_to_the_sample(kind: str, rate_hz: int, bytes_read: list[int]) -> None:
    content = encode_ffmpeg(noise(90 * rate_hz), kind, "aac", rate_hz)
    whole, _ = audio.decode(content)
    for start, end in [(31.5, 32.0), (80.123, None), (30.0, 30.1)]:
        bytes_read.clear()
        got, _ = audio.decode(content, start, end)
        want = whole[round(start * rate_hz) : None if end is None else round(end * rate_hz)]
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
        assert sum(bytes_read) < 0.5 * len(content)


def test_webm_is_sought_to_a_millisecond(bytes_read: list[int]) -> None:
    content = encode_ffmpeg(noise(60 * 48_000), "webm", "libopus", 48_000)
    whole = audio.decode(content)[0][:, 0]
    bytes_read.clear()
    got = audio.decode(content, 50.0, 51.0)[0][:, 0]
    assert sum(bytes_read) < 0.5 * len(content)
    agreement = [
        np.corrcoef(got, whole[50 * 48_000 + lag : 51 * 48_000 + lag])[0, 1]
        for lag in range(-48, 49)
    ]
    assert max(agreement) > 0.999


@pytest.mark.parametrize("kind", ["adts", "mpegts"])
def test_what_has_no_index_is_decoded_up_to_the_stretch(kind: str) -> None:
    content = encode_ffmpeg(noise(40 * RATE), kind)
    whole, _ = audio.decode(content)
    got, _ = audio.decode(content, 35.0, 36.0)
    np.testing.assert_array_equal(got, whole[35 * RATE : 36 * RATE])


def test_a_start_behind_the_end_of_mp4_is_refused() -> None:
    content = encode_ffmpeg(noise(40 * RATE))
    assert "the stretch from 50 s to 51 s is not inside the recording, which has 40." in refusal(
        content, 50.0, 51.0
    )


@pytest.mark.parametrize("rates", [(44_100, 16_000), (8_000, 16_000), (384_000, 8_000)])
def test_block_by_block_the_samples_are_those_of_the_whole(rates):
    """Mixed and resampled on the way, whatever the blocks; a long recording needs no memory."""
    x = noise(3 * rates[0] + 77, channels=3)
    whole = audio.resample((x[:, 0] + x[:, 1] + x[:, 2]) / np.float32(3), *rates)
    source = SampleSource.of(x, rates[0])
    with audio.open_stream(source, rates[1]) as stream:
        blocks = list(stream.blocks)
    assert np.array_equal(np.concatenate(blocks), whole) and stream.warnings == ()
    assert np.array_equal(audio.read(source, rates[1]).samples, whole)
    assert stream.seconds == pytest.approx(len(x) / rates[0])
