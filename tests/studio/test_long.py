"""A recording of ten hours: shown and played without reading it whole, in bounded memory."""

import asyncio
import os
import struct
import sys

import numpy as np
import pytest

from earmark.apps.studio.sounds import overviews
from earmark.apps.studio.sounds.drawing import Drawing
from earmark.apps.studio.sounds.overviews import make_room
from earmark.apps.studio.sounds.sections import about
from earmark.apps.studio.sounds.sounds import Sounds

RATE_HZ, SECONDS, TONE_S = 1_000, 36_000, 32_401


@pytest.fixture
def ten_hours(tmp_path):
    """Silence of ten hours in a sparse file, with two seconds of a tone after nine hours."""
    path, size = tmp_path / "night.wav", 2 * RATE_HZ * SECONDS
    form = struct.pack("<HHIIHH", 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt \x10\0\0\0" + form + b"data"
    tone = 16_000 * np.sin(2 * np.pi * 100 * np.arange(2 * RATE_HZ) / RATE_HZ)
    with path.open("wb") as file:
        file.write(head + struct.pack("<I", size))
        file.seek(44 + 2 * RATE_HZ * TONE_S)
        file.write(tone.astype("<i2").tobytes())
        file.truncate(44 + size)
    return path


@pytest.fixture
def drawing(tmp_path):
    return Drawing({"overviews": str(tmp_path / "overviews"), "mark": "part"})


def scan(drawing, path):
    share, shares = drawing.answer({"do": "sketch", "path": path})[0]["share"], []
    while share < 1:
        value, _ = drawing.answer({"do": "scan", "path": path})
        shares.append(share := value["share"])
    return shares


def levels(drawing, path, columns, rows=128, start=None, end=None):
    ask = {"path": path, "start": start, "end": end, "columns": columns, "rows": rows}
    value, body = drawing.answer({"do": "picture", **ask})
    return value, np.frombuffer(body, np.uint8).reshape(rows, columns)


def noise(path, seconds):
    """Write noise that is louder every second for four seconds, then quiet again."""
    import soundfile

    x = np.random.default_rng(0).normal(0, 0.02, seconds * RATE_HZ).astype(np.float32)
    x *= 1 + np.arange(len(x)) // RATE_HZ % 4
    soundfile.write(path, x.clip(-1, 1), RATE_HZ)
    return str(path)


def test_an_overview_equals_what_is_read_directly(tmp_path, drawing, monkeypatch):
    path = noise(tmp_path / "a.wav", 240)
    _, direct = levels(drawing, path, 240)
    points = {"do": "peaks", "path": path, "start": None, "end": None, "points": 60}
    _, pairs = drawing.answer(points)
    tile = drawing.answer({"do": "tile", "path": path, "level": 9, "index": 0})
    monkeypatch.setattr("earmark.apps.studio.sounds.drawing.DIRECT_S", 10.0)
    monkeypatch.setattr(overviews, "TURN_S", 0.0)
    assert len(scan(drawing, path)) > 2  # in turns
    value, shown = levels(drawing, path, 240)
    assert value["share"] == 1
    assert np.array_equal(shown, direct)
    assert drawing.answer(points)[1] == pairs
    assert drawing.answer({"do": "tile", "path": path, "level": 9, "index": 0}) == tile
    _, half = levels(drawing, path, 240, rows=64)
    assert abs(half.astype(int) - (direct[::2].astype(int) + direct[1::2]) / 2).max() <= 1


def test_a_sketch_is_shown_first_and_replaced_from_the_beginning(tmp_path, drawing, monkeypatch):
    path = noise(tmp_path / "a.wav", 240)
    monkeypatch.setattr("earmark.apps.studio.sounds.drawing.DIRECT_S", 10.0)
    monkeypatch.setattr(overviews, "TURN_S", 0.0)
    ask = {"do": "picture", "path": path, "start": None, "end": None, "columns": 480, "rows": 128}
    assert drawing.answer(ask)[0]["kind"] == "overview"
    drawing.answer({"do": "sketch", "path": path})
    value, sketch = levels(drawing, path, 480)
    assert value["share"] == 0
    assert sketch.min() > 0  # every column was heard somewhere
    drawing.answer({"do": "scan", "path": path})
    value, partly = levels(drawing, path, 480)
    done = round(480 * value["share"])
    assert 0 < done < 480
    assert np.array_equal(partly[:, done:], sketch[:, done:])
    scan(drawing, path)
    _, whole = levels(drawing, path, 480)
    assert np.array_equal(partly[:, :done], whole[:, :done])
    assert len(os.listdir(tmp_path / "overviews")) == 1


def test_another_process_finds_the_overview(tmp_path, drawing, monkeypatch):
    path = noise(tmp_path / "a.wav", 240)
    scan(drawing, path)
    monkeypatch.setattr("earmark.apps.studio.sounds.drawing.DIRECT_S", 10.0)
    other = Drawing({"overviews": str(tmp_path / "overviews"), "mark": "other"})
    assert levels(other, path, 9)[0]["share"] == 1
    assert other.answer({"do": "sketch", "path": path})[0]["share"] == 1
    noise(tmp_path / "a.wav", 250)  # another recording under the same name
    ask = {"do": "picture", "path": path, "start": None, "end": None, "columns": 9, "rows": 9}
    assert other.answer(ask)[0]["kind"] == "overview"


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100])
def test_a_damaged_overview_is_drawn_again(tmp_path, drawing, monkeypatch, content):
    path = noise(tmp_path / "a.wav", 240)
    monkeypatch.setattr("earmark.apps.studio.sounds.drawing.DIRECT_S", 10.0)
    (tmp_path / "overviews").mkdir()
    overviews.path_of(str(tmp_path / "overviews"), path, about(path)).write_bytes(content)
    scan(drawing, path)
    assert levels(drawing, path, 9)[0]["share"] == 1


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    drawing = Drawing({"overviews": str(tmp_path / "file" / "overviews"), "mark": "part"})
    value, _ = drawing.answer({"do": "sketch", "path": noise(tmp_path / "a.wav", 10)})
    assert "cannot keep the overview" in value["error"]
    assert "EARMARK_CACHE" in value["error"]


def test_the_cache_keeps_what_was_used_last(tmp_path):
    for k in range(5):
        file = tmp_path / f"{k}.overview"
        file.write_bytes(bytes(100))
        os.utime(file, (k, k))
    left = tmp_path / "5.part-1"
    left.write_bytes(bytes(1))
    os.utime(left, (0, 0))
    make_room(tmp_path, 250)
    assert sorted(os.listdir(tmp_path)) == ["3.overview", "4.overview"]


def test_a_second_recording_is_sketched_while_the_first_is_scanned(tmp_path, monkeypatch):
    monkeypatch.setattr(overviews, "TURN_S", 0.0)
    drawing = Drawing({"overviews": str(tmp_path / "overviews"), "mark": "part"})
    first, second = noise(tmp_path / "a.wav", 240), noise(tmp_path / "b.wav", 240)
    shares = []
    for do, path in (("sketch", first), ("scan", first), ("sketch", second), ("scan", first)):
        shares.append(drawing.answer({"do": do, "path": path})[0]["share"])
    assert shares[0] == shares[2] == 0
    assert 0 < shares[1] < shares[3]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_hours_in_bounded_memory(ten_hours):
    async def work():
        sounds = Sounds()
        try:
            await sounds.start()
            assert (await sounds.about(ten_hours))["seconds"] == SECONDS
            section = await sounds.picture(ten_hours, 32_370, 32_430, columns=60, rows=16)
            tone = np.frombuffer(section.levels, np.uint8).reshape(16, 60).max(0)
            assert set(np.flatnonzero(tone > 60)) - {30, 33} == {31, 32}
            wav = await sounds.audio(ten_hours, TONE_S, TONE_S + 1)
            assert max(np.frombuffer(wav[44:], "<i2")) > 15_000
            part, size = await sounds.audio_part(ten_hours, None, None, first=500_000_000)
            assert (len(part), size) == (2**20, 44 + 2 * 8_000 * SECONDS)
            first = await sounds.picture(ten_hours, None, None, columns=100, rows=128)
            assert first.share < 1
            shares = []
            sounds.on_scanned = lambda path, share: shares.append(share)
            while sounds._scans:
                await asyncio.sleep(0.05)
            assert shares[-1] == 1
            whole = await sounds.picture(ten_hours, None, None, columns=100, rows=128)
            assert whole.share == 1
            loud = np.frombuffer(whole.levels, np.uint8).reshape(128, 100).max(0) > 60
            assert np.flatnonzero(loud).tolist() == [90]
            pairs, _ = await sounds.peaks(ten_hours, None, None, points=10)
            assert np.flatnonzero(np.frombuffer(pairs, np.int8)[1::2]).tolist() == [9]
            children = sounds._readers._children | sounds._scanners._children
            return [_most_bytes(child) for child in children]
        finally:
            await sounds.close()

    assert max(asyncio.run(asyncio.wait_for(work(), 120))) < 250e6


def _most_bytes(child):
    """The most memory that a process had."""
    with open(f"/proc/{child._process.get_pid()}/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))
