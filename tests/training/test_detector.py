"""Detectors: trained on windows of scenes, with rules chosen by held-out events."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import earmark
from earmark.data.dataset import Dataset
from earmark.data.event import Event
from earmark.errors import DataError, EarmarkError
from earmark.training.detector import train_detector

RATE_HZ = 16_000
HERTZ = {"high": 3_000, "low": 300, "middle": 1_000}


def sound(label: str, seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    hertz = HERTZ[label] * (1 + 0.03 * rng.standard_normal())
    return np.asarray(0.1 * np.sin(2 * np.pi * hertz * t), np.float32)


def noise(seconds: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(0.01 * rng.standard_normal(round(seconds * RATE_HZ)), np.float32)


def write(path, x):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, x, RATE_HZ)


def soundscape(seed: int) -> tuple[np.ndarray, list[Event]]:
    """Return 20 s of noise with eight sounds, and where they are."""
    rng = np.random.default_rng(seed)
    x, at, events = noise(20, seed), 0.0, []
    for number in range(8):
        label = sorted(HERTZ)[number % 3]
        at += float(rng.uniform(0.8, 1.5))
        y = sound(label, 0.5, 100 * seed + number)
        first = round(at * RATE_HZ)
        x[first : first + len(y)] += y
        events.append(Event(first / RATE_HZ, first / RATE_HZ + 0.5, label))
        at += 0.5
    return x, events


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Clips in class folders, a folder of background, and recordings with label tracks."""
    root = tmp_path_factory.mktemp("detector")
    for label in HERTZ:
        for number in range(8):
            write(root / "clips" / label / f"{number}.wav", sound(label, 0.5, number))
    for number in range(6):
        write(root / "background" / f"{number}.wav", noise(10, 50 + number))
        x, events = soundscape(number)
        write(root / "tracks" / f"{number}.wav", x)
        rows = [f"{e.start}\t{e.end}\t{e.label}\n" for e in events]
        (root / "tracks" / f"{number}.txt").write_text("".join(rows))
    return root


@pytest.fixture(scope="module")
def of_clips(data):
    return train_detector(data / "clips", background=data / "background", backbone="logmel")


@pytest.fixture(scope="module")
def of_tracks(data):
    return train_detector(data / "tracks", backbone="logmel")


def matches(found: list[Event], true: list[Event]) -> bool:
    return len(found) == len(true) and all(
        f.label == t.label and abs(f.start - t.start) < 0.15 and abs(f.end - t.end) < 0.15
        for f, t in zip(found, true, strict=True)
    )


@pytest.mark.parametrize("kind", ["of_clips", "of_tracks"])
def test_a_detector_finds_the_events_of_a_new_recording(kind, request):
    training = request.getfixturevalue(kind)
    x, events = soundscape(77)
    assert matches(training.classifier.detect(x, rate_hz=RATE_HZ), events)


@pytest.mark.parametrize("kind", ["of_clips", "of_tracks"])
def test_the_estimate_is_of_held_out_events(kind, request):
    training = request.getfixturevalue(kind)
    overall = training.evaluation.overall
    n_events = sum(len(recording.events) for recording in training.truth)
    assert overall.iou30.right + overall.iou30.missed == n_events >= 24
    assert overall.f1_iou30 > 0.9
    assert training.classifier.estimate.verdict["word"] in ("use", "care")


def test_noise_and_silence_have_no_event(of_clips):
    for x in (noise(30, 99), np.zeros(30 * RATE_HZ, np.float32)):
        assert of_clips.classifier.detect(x, rate_hz=RATE_HZ) == []


def test_a_detector_comes_back_from_its_file(of_clips, tmp_path):
    of_clips.classifier.save(tmp_path / "d.earmark")
    loaded = earmark.load(tmp_path / "d.earmark")
    assert loaded.digest == of_clips.classifier.digest
    assert loaded.detector == of_clips.classifier.detector
    x, _ = soundscape(5)
    assert loaded.detect(x, rate_hz=RATE_HZ) == of_clips.classifier.detect(x, rate_hz=RATE_HZ)


@pytest.mark.slow
def test_equal_arguments_give_equal_bytes(of_clips, data):
    again = train_detector(data / "clips", background=data / "background", backbone="logmel")
    assert again.classifier.digest == of_clips.classifier.digest


@pytest.mark.slow
def test_a_limit_of_false_events_is_kept(data):
    training = train_detector(
        data / "clips", background=data / "background", backbone="logmel", false_per_hour=1.0
    )
    assert training.evaluation.overall.false_per_hour <= 5.0


def test_unknown_sounds_are_left_out(data):
    dataset = Dataset.read(data / "clips")
    known = tuple(clip for clip in dataset.clips if clip.label != "middle")
    training = train_detector(
        replace(dataset, clips=known), background=data / "background", backbone="logmel"
    )
    x, events = soundscape(3)
    rules = training.classifier.detector.rules
    assert rules["unknown_threshold"] is not None
    found = training.classifier.detect(x, rate_hz=RATE_HZ)
    assert matches(found, [e for e in events if e.label != "middle"])


def test_without_background_quiet_stretches_or_noise_are_used_and_named(data):
    training = train_detector(data / "clips", backbone="logmel")
    assert any("--background" in warning for warning in training.warnings)


def test_recordings_that_cannot_be_read_are_listed(data, tmp_path):
    clips = tmp_path / "clips"
    for path in (data / "clips").rglob("*.wav"):
        target = clips / path.relative_to(data / "clips")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (clips / "high" / "broken.wav").write_bytes(b"RIFF no audio")
    training = train_detector(clips, background=data / "background", backbone="logmel")
    assert [failure.path for failure in training.skipped] == [str(clips / "high" / "broken.wav")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"background": "nowhere"}, "does not exist"),
        ({"annotated": 0.5}, "label tracks"),
        ({"head": "forest"}, "no head 'forest'"),
        ({"false_per_hour": -1.0}, "false_per_hour is -1"),
        ({"unknown": 2.0}, "unknown is 2"),
    ],
)
def test_impossible_arguments_are_refused(data, options, message):
    with pytest.raises(EarmarkError, match=message):
        train_detector(data / "clips", backbone="logmel", **options)


def test_two_folds_are_too_few(data):
    dataset = Dataset.read(data / "clips")
    clips = [replace(c, group=str(n % 2)) for n, c in enumerate(dataset.clips)]
    with pytest.raises(DataError, match="2 folds or groups"):
        train_detector(replace(dataset, clips=tuple(clips)), backbone="logmel")


def overlapping(seed: int) -> tuple[np.ndarray, list[Event]]:
    """Return 20 s of noise in which every second sound has another class inside."""
    x, events = soundscape(seed)
    more = []
    for number, event in enumerate(events[::2]):
        label = "low" if event.label != "low" else "high"
        y, first = sound(label, 0.5, 7 * seed + number), round((event.start + 0.2) * RATE_HZ)
        x[first : first + len(y)] += y
        more.append(Event(event.start + 0.2, event.start + 0.7, label))
    return x, sorted(events + more)


def test_classes_that_overlap_are_found_by_themselves(tmp_path):
    for number in range(8):
        x, events = overlapping(number)
        write(tmp_path / f"{number}.wav", x)
        rows = [f"{e.start}\t{e.end}\t{e.label}\n" for e in events]
        (tmp_path / f"{number}.txt").write_text("".join(rows))
    training = train_detector(tmp_path, backbone="logmel")
    assert any("overlap" in warning for warning in training.warnings)
    assert training.evaluation.overall.f1_iou30 > 0.85
    x, events = overlapping(50)
    found = training.classifier.detect(x, rate_hz=RATE_HZ)
    pairs = sum(
        one.label != two.label and one.end > two.start for one, two in itertools.pairwise(found)
    )
    assert pairs >= 2


def test_recordings_without_events_and_background_are_searched(data, tmp_path):
    for path in (data / "tracks").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write(tmp_path / "empty.wav", noise(20, 3))
    (tmp_path / "empty.txt").write_text("")
    training = train_detector(tmp_path, background=data / "background", backbone="logmel")
    names = [recording.path for recording in training.truth if not recording.events]
    assert any("empty.wav" in name for name in names)
    assert sum(name.startswith("background") for name in names) == 6
