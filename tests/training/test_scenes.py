"""Scenes: sounds laid on background at a known level, with exact events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.backbones import registry
from earmark.data.event import Event
from earmark.embeddings.sliding import SlidingWindows
from earmark.system.progress import no_step
from earmark.training.scene_windows import SceneWindows
from earmark.training.scenes import (
    SNR_DB,
    Scene,
    Sound,
    join_background,
    level_of,
    made_scene,
    mix,
)
from earmark.training.sounds import BELOW_PEAK_DB, JOINED_S, quiet, sounding

RATE_HZ = 16_000


def tone(seconds: float, hz: float = 1_000, level: float = 0.1) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(level * np.sin(2 * np.pi * hz * t), np.float32)


def noise(seconds: float, level: float = 0.01, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(level * rng.standard_normal(round(seconds * RATE_HZ)), np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def test_a_clip_is_trimmed_to_what_sounds():
    x = np.concatenate([silence(0.5), tone(0.4), silence(0.3)])
    ((first, last),) = sounding(x, RATE_HZ)
    assert first == pytest.approx(0.5 * RATE_HZ, abs=0.01 * RATE_HZ)
    assert last == pytest.approx(0.9 * RATE_HZ, abs=0.01 * RATE_HZ)


def test_a_long_silence_divides_sounds_and_a_short_one_does_not():
    near = np.concatenate([tone(0.2), silence(JOINED_S / 2), tone(0.2)])
    far = np.concatenate([tone(0.2), silence(JOINED_S * 1.2), tone(0.2)])
    assert len(sounding(near, RATE_HZ)) == 1
    assert len(sounding(far, RATE_HZ)) == 2


@pytest.mark.parametrize(("below_db", "sounds"), [(BELOW_PEAK_DB - 3, 2), (BELOW_PEAK_DB + 3, 1)])
def test_what_is_far_below_the_peak_does_not_sound(below_db, sounds):
    faint = tone(0.3, level=0.1 * 10 ** (-below_db / 20))
    x = np.concatenate([tone(0.3), silence(2 * JOINED_S), faint])
    assert len(sounding(x, RATE_HZ)) == sounds


def test_digital_silence_sounds_as_a_whole():
    assert sounding(silence(0.5), RATE_HZ) == [(0, RATE_HZ // 2)]


def test_quiet_stretches_are_found():
    x = np.concatenate([tone(0.5), noise(1.0, level=1e-5), tone(0.5)])
    ((first, last),) = quiet(x, RATE_HZ)
    assert 0.5 * RATE_HZ <= first < last <= 1.5 * RATE_HZ


def scenes(copies: int = 2) -> list[Scene]:
    sounds = [Sound(tone(0.3 + 0.1 * k, 500 * (k + 1)), (f"tone {k}",)) for k in range(4)]
    return list(mix(sounds, [noise(20)], 1, RATE_HZ, copies, np.random.default_rng(0)))


def test_every_sound_is_laid_as_often_as_asked():
    events = [event.label for scene in scenes(3) for event in scene.events]
    assert sorted(events) == sorted(f"tone {k}" for k in range(4) for _ in range(3))


def test_sounds_stand_where_the_events_say():
    for scene in scenes():
        for event in scene.events:
            first, last = (round(t * RATE_HZ) for t in (event.start, event.end))
            inside = scene.samples[first:last]
            k = int(event.label[-1])
            spectrum = np.abs(np.fft.rfft(inside))
            assert np.argmax(spectrum) * RATE_HZ / len(inside) == pytest.approx(
                500 * (k + 1), rel=0.02
            )


def test_sounds_do_not_overlap():
    for scene in scenes():
        for one, other in zip(scene.events, scene.events[1:], strict=False):
            assert one.end < other.start


def test_levels_above_the_background_are_those_of_the_module():
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        (scene,) = mix([Sound(tone(5.0), ("a",))], [noise(30)], 0, RATE_HZ, 1, rng)
        (event,) = scene.events
        first, last = (round(t * RATE_HZ) for t in (event.start, event.end))
        outside = np.concatenate([scene.samples[:first], scene.samples[last:]])
        power = level_of(scene.samples[first:last]) ** 2 - level_of(outside) ** 2
        ratios.append(10 * np.log10(power / level_of(outside) ** 2))
    assert min(ratios) > SNR_DB[0] - 1.5
    assert max(ratios) < SNR_DB[1] + 1.5
    assert np.ptp(ratios) > 10


@given(st.lists(st.floats(0.3, 12), min_size=1, max_size=4), st.integers(0, 3))
def test_background_has_the_length_asked_for_and_no_holes(lengths, seed):
    pieces = [noise(s, level=0.01 * (k + 1), seed=k) for k, s in enumerate(lengths)]
    x = join_background(pieces, 5 * RATE_HZ, RATE_HZ, np.random.default_rng(seed))
    assert len(x) == 5 * RATE_HZ
    levels = [level_of(x[at : at + 800]) for at in range(0, len(x), 800)]
    assert min(levels) > 0.2 * np.median(levels)


def test_equal_seeds_give_equal_scenes():
    for one, other in zip(scenes(), scenes(), strict=True):
        assert np.array_equal(one.samples, other.samples)
        assert one.events == other.events


def test_made_scenes_have_silence_and_no_event():
    scene = made_scene(0, RATE_HZ, np.random.default_rng(0))
    assert scene.is_made
    assert scene.events == ()
    assert not scene.samples[:RATE_HZ].any()


@pytest.fixture(scope="module")
def windows():
    network = registry.load_backbone("logmel", "exact", "torch")
    event = Event(2.0, 2.4, "a")
    scene = Scene("s", 0, noise(5), RATE_HZ, (event,), ((0.0, 4.0),))
    return SceneWindows.of([scene], [network], [0.4, 0.2], 0.1, no_step), scene


def test_windows_of_a_scene_are_those_of_the_sound(windows):
    found, scene = windows
    for length in (0.2, 0.4):
        (matrix,) = found.matrices(length)
        own = SlidingWindows(found.networks[0], length, 0.1)
        passes = [*own.cut(scene.samples), *own.finish()]
        whole = np.concatenate([own.merge(own.compute(piece)) for piece in passes])
        assert found.counts(length) == [len(whole)]
        np.testing.assert_allclose(matrix, whole, rtol=2e-3, atol=2e-2)


def test_classes_of_windows(windows):
    found, _ = windows
    has, usable = found.onehot(0.4, ["a", "b"])
    starts = np.arange(len(has)) * 0.1
    assert has[np.isclose(starts, 2.0)].tolist() == [[True, False]]
    assert not has[:, 1].any()
    mostly = has[:, 0]
    assert starts[mostly].min() == pytest.approx(1.9)  # 0.3 of 0.4 s are covered
    assert starts[mostly].max() == pytest.approx(2.1)
    partly = np.isclose(starts, 1.8) | np.isclose(starts, 2.2)  # half covered
    assert not usable[partly].any()
    assert usable[np.isclose(starts, 1.0)].all()
    assert not usable[starts > 3.65].any()  # beyond the annotated region


def test_windows_between_two_events_of_a_class_are_background():
    network = registry.load_backbone("logmel", "exact", "torch")
    events = (Event(1.0, 1.5, "a"), Event(1.5, 2.0, "a"), Event(2.0, 2.5, "b"))
    scene = Scene("s", 0, noise(4), RATE_HZ, events)
    found = SceneWindows.of([scene], [network], [0.4], 0.1, no_step)
    has, usable = found.onehot(0.4, ["a", "b"])
    between, of_two_classes = 13, 18  # windows from 1.3 to 1.7 s, and from 1.8 to 2.2 s
    assert usable[between]
    assert not has[between].any()
    assert not usable[of_two_classes]
    assert has[10].tolist() == [True, False]
