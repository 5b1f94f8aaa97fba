"""What the studio reads of recordings: tiles, pictures, audio; what it says of bad ones."""

import io
import os

import numpy as np
import pytest
import soundfile

from earmark.apps.studio.sounds.drawing import Drawing
from earmark.audio import read_channels

RATE_HZ = 8_000


@pytest.fixture
def drawing(tmp_path):
    return Drawing({"overviews": str(tmp_path / "overviews"), "mark": "part"})


def sound(path, seconds=5.0, channels=1, rate_hz=RATE_HZ, **options):
    x = np.random.default_rng(0).normal(0, 0.1, (int(seconds * rate_hz), channels))
    soundfile.write(path, x.clip(-1, 1), rate_hz, **options)
    return str(path)


def ask(drawing, do, path, start=None, end=None, **more):
    return drawing.answer({"do": do, "path": path, "start": start, "end": end, **more})


def picture(drawing, path, start=None, end=None, columns=50, rows=24):
    value, body = ask(drawing, "picture", path, start, end, columns=columns, rows=rows)
    return np.frombuffer(body, np.uint8).reshape(value["rows"], value["columns"])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_the_picture_of_a_cut_is_the_cut_of_the_picture(tmp_path, drawing, name):
    path = sound(tmp_path / name, rate_hz=16_000)
    whole = picture(drawing, path, 0, 4, columns=64)
    assert np.array_equal(picture(drawing, path, 1, 2, columns=16), whole[:, 16:32])


def test_tiles_fit_together_and_the_last_one_ends_with_the_recording(tmp_path, drawing):
    path = sound(tmp_path / "a.wav", 10.0)
    tiles = []
    for index in range(3):
        value, body = ask(drawing, "tile", path, level=4, index=index)  # 4 s each
        tiles.append(np.frombuffer(body, np.uint8).reshape(value["rows"], value["columns"]))
    assert value["seconds"] == 2
    whole = picture(drawing, path, columns=640, rows=128)
    assert np.array_equal(np.hstack(tiles), whole)
    coarse = ask(drawing, "tile", path, level=5, index=0)[1]
    expected = whole[:, :512].reshape(128, 256, 2).max(2)
    assert np.array_equal(np.frombuffer(coarse, np.uint8).reshape(128, 256), expected)
    assert ask(drawing, "tile", path, level=4, index=3)[0]["kind"] == "stretch"


@pytest.mark.parametrize(("name", "channels"), [("a.wav", 1), ("b.flac", 2), ("c.wav", 8)])
def test_audio_is_what_earmark_reads(tmp_path, drawing, name, channels):
    path = sound(tmp_path / name, channels=channels)
    value, wav = ask(drawing, "audio", path, 1.25, 2.5, first=None, last=None)
    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="int16", always_2d=True)
    expected = read_channels(path, 1.25, 2.5).samples
    if channels > 2:
        expected = expected.mean(1, keepdims=True)
    assert rate_hz == RATE_HZ
    assert samples.shape == expected.shape
    assert abs(samples - 32_768 * expected).max() <= (0 if channels <= 2 else 0.51)
    assert value["size"] == len(wav)


@pytest.mark.parametrize("span", [(0, 10), (40, 51), (44, 45), (45, 3_000), (15_000, 99_999)])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_part_of_the_audio_is_a_part_of_its_bytes(tmp_path, drawing, span, channels):
    path = sound(tmp_path / "a.flac", 1.0, channels)
    whole = ask(drawing, "audio", path, first=None, last=None)[1]
    value, part = ask(drawing, "audio", path, first=span[0], last=span[1])
    assert part == whole[span[0] : span[1] + 1]
    assert value["size"] == len(whole)


@pytest.mark.parametrize(("rate_hz", "played_hz"), [(200_000, 48_000), (1_000, 8_000)])
def test_rates_that_browsers_do_not_play_are_changed(tmp_path, drawing, rate_hz, played_hz):
    path = str(tmp_path / "a.wav")
    t = np.arange(rate_hz) / rate_hz
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 200 * t), rate_hz)
    whole = ask(drawing, "audio", path, first=None, last=None)[1]
    samples, rate = soundfile.read(io.BytesIO(whole))
    expected = 0.5 * np.sin(2 * np.pi * 200 * np.arange(played_hz) / played_hz)
    assert rate == played_hz
    assert abs(samples - expected)[1_000:-1_000].max() < 0.001
    part = ask(drawing, "audio", path, first=44 + 2 * 3_000, last=44 + 2 * 5_000 - 1)[1]
    assert abs(np.frombuffer(part, "<i2") / 32_768 - samples[3_000:5_000]).max() < 0.001


def test_about_says_length_rate_channels_and_bytes(tmp_path, drawing):
    path = sound(tmp_path / "a.flac", 5.0, 2)
    assert drawing.answer({"do": "about", "path": path})[0] == {
        "seconds": 5.0,
        "rate_hz": RATE_HZ,
        "channels": 2,
        "bytes": os.path.getsize(path),
    }


def test_a_picture_has_two_hundred_thousand_samples_a_second(tmp_path, drawing):
    path = sound(tmp_path / "bat.wav", 0.5, rate_hz=200_000)
    value, body = ask(drawing, "picture", path, columns=10, rows=16)
    assert value["top_hz"] == 100_000
    assert min(body) > 0


def test_a_recording_that_grows_is_read_anew(tmp_path, drawing):
    path = sound(tmp_path / "a.wav", 1.0)
    assert drawing.answer({"do": "about", "path": path})[0]["seconds"] == 1
    sound(tmp_path / "a.wav", 2.0)
    assert drawing.answer({"do": "about", "path": path})[0]["seconds"] == 2


def nan(path):
    soundfile.write(path, np.full(8_000, np.nan), RATE_HZ, subtype="FLOAT")


BAD = {
    "text": (lambda path: path.write_text("this is no sound"), "unreadable"),
    "nothing": (lambda path: path.write_bytes(b""), "empty"),
    "no samples": (lambda path: soundfile.write(path, np.zeros(0), RATE_HZ), ""),
    "nan": (nan, "samples"),
    "pipe": (os.mkfifo, "missing"),
    "folder": (os.mkdir, "missing"),
    "absent": (lambda path: None, "missing"),
    "two gigahertz": (lambda path: soundfile.write(path, np.zeros(9), 2_000_000_000), "rate"),
}


@pytest.mark.parametrize("do", ["picture", "peaks", "audio"])
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_gets_a_sentence(tmp_path, drawing, name, do):
    make, kind = BAD[name]
    make(tmp_path / "bad.wav")
    more = {"columns": 9, "rows": 9, "points": 9, "first": None, "last": None}
    value, body = ask(drawing, do, str(tmp_path / "bad.wav"), **more)
    assert len(value["error"].split()) > 3
    assert not body
    assert not kind or value["kind"] == kind


def test_a_header_that_promises_too_much_counts_what_is_there(tmp_path, drawing):
    path = tmp_path / "a.wav"
    sound(path, 2.0)
    path.write_bytes(path.read_bytes()[: 44 + 16_000])
    assert drawing.answer({"do": "about", "path": str(path)})[0]["seconds"] == 1.0
    assert picture(drawing, str(path)).min() > 0


@pytest.mark.parametrize("stretch", [(0, 6), (5, None), (7, 8), (2, 2), (-1, 2)])
def test_a_stretch_must_be_inside(tmp_path, drawing, stretch):
    path = sound(tmp_path / "a.wav", 5.0)
    value, _ = ask(drawing, "picture", path, *stretch, columns=9, rows=9)
    assert value["kind"] == "stretch"


def test_at_most_300_s_are_played_at_once(tmp_path, drawing):
    path = sound(tmp_path / "a.wav", 302, rate_hz=100)
    assert ask(drawing, "audio", path, first=None, last=None)[0]["kind"] == "length"
    assert len(ask(drawing, "audio", path, 1, 301, first=None, last=None)[1]) == 44 + 600 * 8_000
