"""Clips that are cut out of recordings: their samples, format and names."""

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.event import Event, RecordingEvents
from earmark.detection.event_clips import clip_stems, cut_events, safe_name
from earmark.detection.jobs import jobs_of
from earmark.errors import AudioError, EarmarkError


def cut(tmp_path: Path, recording: Path, *events: Event, margin_s: float = 0.0) -> list[Path]:
    info = soundfile.info(recording)
    whole = RecordingEvents(str(recording), info.frames / info.samplerate, events)
    cut_events(whole, tmp_path / "clips", "stem", margin_s)
    return sorted(path for path in (tmp_path / "clips").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "subtype", "channels", "rate_hz", "suffix", "kept"),
    [
        ("a.wav", "PCM_16", 2, 44_100, ".flac", "PCM_16"),
        ("a.flac", "PCM_24", 1, 48_000, ".flac", "PCM_24"),
        ("a.wav", "FLOAT", 1, 22_050, ".wav", "FLOAT"),
        ("a.wav", "PCM_U8", 1, 8_000, ".flac", "PCM_16"),
        ("a.wav", "PCM_16", 9, 16_000, ".wav", "PCM_16"),
        ("a.wav", "PCM_24", 1, 768_000, ".wav", "PCM_24"),
    ],
)
def test_a_clip_has_the_samples_of_its_recording(
    tmp_path, name, subtype, channels, rate_hz, suffix, kept
):
    rng = np.random.default_rng(0)
    scale = 3.0 if subtype == "FLOAT" else 0.5
    x = rng.uniform(-scale, scale, (rate_hz, channels))
    soundfile.write(tmp_path / name, x, rate_hz, subtype=subtype)
    (clip,) = cut(tmp_path, tmp_path / name, Event(0.25, 0.5, "owl", 0.875))
    assert clip.relative_to(tmp_path) == Path(f"clips/owl/stem_000000.250_owl_0.88{suffix}")
    info = soundfile.info(clip)
    assert (info.subtype, info.samplerate, info.channels) == (kept, rate_hz, channels)
    whole, _ = soundfile.read(tmp_path / name, always_2d=True)
    own, _ = soundfile.read(clip, always_2d=True)
    assert np.array_equal(own, whole[round(0.25 * rate_hz) : round(0.5 * rate_hz)])


def test_a_margin_ends_with_the_recording(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    events = Event(0.1, 0.2, "x"), Event(0.5, 0.6, "x"), Event(0.8, 1.0, "x")
    clips = cut(tmp_path, tmp_path / "a.wav", *events, margin_s=0.3)
    assert [soundfile.info(clip).frames for clip in clips] == [8_000, 11_200, 8_000]


def test_a_lossy_recording_is_cut_where_it_is_heard(tmp_path):
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile writes no MP3")
    x = 0.001 * np.random.default_rng(0).normal(size=32_000)
    x[16_000:19_200] += 0.5 * np.sin(np.arange(3_200))
    soundfile.write(tmp_path / "a.mp3", x, 16_000)
    before, tone, after = cut(tmp_path, tmp_path / "a.mp3", Event(0.7, 0.9, "x"),
                              Event(1.02, 1.18, "x"), Event(1.3, 1.5, "x"))  # fmt: skip
    level = [float(np.sqrt(np.mean(soundfile.read(p)[0] ** 2))) for p in (before, tone, after)]
    assert level[1] > 0.3 and max(level[0], level[2]) < 0.01


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize("seconds", [0.01, 8.0])
def test_libsndfile_does_not_hide_a_full_disk(tmp_path, monkeypatch, seconds):
    from contextlib import contextmanager

    from earmark.detection import event_clips

    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 160_000), 16_000)

    @contextmanager
    def full(path):
        yield path

    def open_full(self, mode, buffering):
        return open("/dev/full", "rb+", buffering)

    monkeypatch.setattr(event_clips, "whole_file", full)
    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(EarmarkError, match="No space left on device") as told:
        cut(tmp_path, tmp_path / "a.wav", Event(1.0, 1.0 + seconds, "x"))
    assert isinstance(told.value.__cause__, OSError)


class _SmallDisk(io.FileIO):
    """A file with room for so many bytes."""

    room = 30_000

    def write(self, content):
        if self.tell() + len(content) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_disk_that_fills_in_the_middle_of_a_clip_is_told(tmp_path, monkeypatch, subtype):
    x = np.random.default_rng(0).normal(0, 0.1, 160_000)
    soundfile.write(tmp_path / "a.wav", x, 16_000, subtype=subtype)
    opened = Path.open

    def small(self, mode="r", *rest):
        return _SmallDisk(self, mode) if mode == "rb+" and rest else opened(self, mode, *rest)

    monkeypatch.setattr(Path, "open", small)
    with pytest.raises(EarmarkError, match="No space left on device"):
        cut(tmp_path, tmp_path / "a.wav", Event(0.5, 9.0, "x"))
    assert [path for path in (tmp_path / "clips").rglob("*") if path.is_file()] == []


def test_a_recording_that_is_gone_cannot_be_cut(tmp_path):
    with pytest.raises(AudioError):
        cut_events(
            RecordingEvents(str(tmp_path / "gone.wav"), 9, (Event(1, 2, "x"),)), tmp_path, ""
        )


# Names


@pytest.mark.parametrize(
    ("label", "name"),
    [("owl", "owl"), ("Grüner Laubfrosch", "Grüner Laubfrosch"), ("3", "3"), ("鳥", "鳥")],
)
def test_a_name_that_is_safe_stays(label, name):
    assert safe_name(label) == name


def test_other_names_are_made_safe():
    labels = ["a/b", "a\\b", "a:b", "a_b", "..", ".hidden", "-x", "con", "CON.txt", "x ", "x.", "x",
              "a\nb", "a" * 300, "a" * 301, "é" * 200, "\udce9", "", "?", "*"]  # fmt: skip
    names = [safe_name(label) for label in labels]
    assert len({name.casefold() for name in names}) == len(labels)
    for name in names:
        assert name and len(name.encode()) <= 90 and not name.startswith((".", "-"))
        assert not set(name) & set('<>:"/\\|?*\n') and name.strip(" .") == name


@given(st.text(max_size=100))
def test_a_name_can_be_that_of_a_file_anywhere(text):
    name = safe_name(text)
    assert name and safe_name(text) == name and len(name.encode()) < 100
    assert not set(name) & set('<>:"/\\|?*\0\n') and Path(name).name == name


def test_names_of_recordings_never_collide(tmp_path):
    paths = [str(tmp_path / p) for p in ("a/x.wav", "b/x.wav", "a_x.wav", "a/X.wav", "a/x.flac")]
    stems = clip_stems(paths, tmp_path)
    assert stems[1] == "b_x" and len({stem.casefold() for stem in stems}) == 5
    assert clip_stems(paths[:2], tmp_path) == ["a_x", "b_x"]


# Jobs


def test_a_recording_is_one_job(tmp_path, monkeypatch):
    from earmark.data.clip import Clip

    monkeypatch.chdir(tmp_path)
    a, b = Path("a.wav"), Path("b.wav")
    clips = [Clip(a, start=5.0, end=6.0), b, Clip(a, end=2.0)]
    clips += [Clip(tmp_path / a, start=5.0, end=6.0), Clip(b, start=1.0)]
    jobs = jobs_of(clips)
    assert [job.path for job in jobs] == ["a.wav", "b.wav"]
    assert jobs[0].stretches == [(None, 2.0), (5.0, 6.0)] and jobs[1].stretches == [(None, None)]


def test_a_stretch_without_an_end_comes_after_one_with_an_end():
    from earmark.data.clip import Clip

    (job,) = jobs_of([Clip(Path("a.wav"), start=1.0), Clip(Path("a.wav"), start=1.0, end=2.0)])
    assert job.stretches == [(1.0, 2.0), (1.0, None)]
