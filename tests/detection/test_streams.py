"""The events of a stream are those of the same sound in a file, however it is fed."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.classifier.recordings import one_clip
from earmark.data.event import Event
from earmark.embeddings.sliding import PASS_S
from earmark.errors import EarmarkError, ModelError
from made_detector import digit_detector, spoken_digits

RATES = (8_000, 16_000, 44_100)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    return digit_detector(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def sounds():
    """Spoken digits at several rates."""
    return {rate_hz: spoken_digits(rate_hz) for rate_hz in RATES}


def in_file(detector, x, rate_hz):
    return list(detector.detect(one_clip(x, rate_hz)).recording.events)


def test_a_stretch_from_the_beginning_is_searched_and_no_more(detector, sounds):
    clip = replace(one_clip(sounds[8_000], 8_000), end=1.0)
    assert detector.detect(clip).recording.regions == ((0.0, 1.0),)


def streamed(detector, x, rate_hz, step_s=0.24, cuts=()):
    stream = detector.stream(rate_hz, step_s)
    events = [e for part in np.split(x, sorted(cuts)) for e in stream.feed(part)]
    return events + stream.finish()


def in_parts(size):
    return lambda x: range(size, len(x), size)


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_stream_is_a_file_that_is_fed(detector, sounds, rate_hz):
    x = sounds[rate_hz]
    expected = in_file(detector, x, rate_hz)
    assert len(expected) >= 4 and len({event.label for event in expected}) == 3
    assert streamed(detector, x, rate_hz, PASS_S) == expected
    for step_s in (0.08, 0.24, 1.0):
        events = streamed(detector, x, rate_hz, step_s, in_parts(1_000)(x))
        assert [e.label for e in events] == [e.label for e in expected]
        for event, other in zip(events, expected, strict=True):
            assert (event.start, event.end) == pytest.approx((other.start, other.end), abs=1e-9)
            assert event.score == pytest.approx(other.score, abs=1e-5)


@settings(max_examples=15)
@given(data=st.data())
def test_parts_of_any_size_give_the_same_events(detector, sounds, data):
    rate_hz = data.draw(st.sampled_from(RATES), "rate")
    step_s = data.draw(st.sampled_from([0.08, 0.24, 1.0, 10.0]), "step")
    begin = data.draw(st.integers(0, rate_hz), "begin")
    x = sounds[rate_hz][begin:]
    longest = data.draw(st.sampled_from([300, 5_000, 441_000]), "longest part")
    sizes = data.draw(st.lists(st.integers(1, longest), min_size=1, max_size=30), "parts")
    cuts = np.cumsum([*sizes, *[longest] * (len(x) // longest)])
    cuts = cuts[cuts < len(x)]
    assert streamed(detector, x, rate_hz, step_s, cuts) == streamed(detector, x, rate_hz, step_s)


def test_samples_one_by_one(detector, sounds):
    x = sounds[8_000][:10_000]
    expected = streamed(detector, x, 8_000)
    assert streamed(detector, x, 8_000, cuts=in_parts(1)(x)) == expected and expected


def test_scores_are_the_same_to_the_bit(detector, sounds):
    x, rows = sounds[16_000], []
    for size in (len(x), 777):
        stream = detector.stream(16_000, 0.24)
        parts = []
        for part in np.split(x, in_parts(size)(x)):
            stream.feed(part)
            parts.append(stream.scores.scores)
        stream.finish()
        rows.append(np.concatenate([*parts, stream.scores.scores]))
    assert np.array_equal(*rows) and len(rows[0]) > 40


def test_events_at_the_very_beginning_and_end(detector, sounds):
    rate_hz = 16_000
    x = sounds[rate_hz]
    events = streamed(detector, x, rate_hz)
    assert 0 <= events[0].start < 0.2 and events[-1].end <= len(x) / rate_hz
    cut = x[: round((events[0].start + events[0].end) / 2 * rate_hz)]  # inside the first digit
    (only,) = streamed(detector, cut, rate_hz, PASS_S)
    assert [only] == in_file(detector, cut, rate_hz) and only.end == len(cut) / rate_hz


def test_every_type_of_samples_gives_the_same_events(detector, sounds):
    x = (sounds[16_000] * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    expected = streamed(detector, x, 16_000)
    as_float = x.astype(np.float32) / 2**15
    stereo = np.stack([x, x], 1)
    for same in (as_float, as_float.astype(np.float64), x.astype(np.int32) << 16, stereo):
        assert streamed(detector, same, 16_000) == expected


def test_two_classes_at_once(detector, sounds):
    both = replace(detector.rules, compete=False, thresholds=(0.2,) * 3)
    free = replace(detector, rules=both)
    x = sounds[16_000]
    events = in_file(free, x, 16_000)
    pairs = [(a, b) for a in events for b in events if a < b and b.start < a.end]
    assert pairs and all(a.label != b.label for a, b in pairs)
    assert sorted(streamed(free, x, 16_000, PASS_S)) == events


def test_a_gap_begins_anew(detector, sounds):
    rate_hz = 16_000
    x = sounds[rate_hz]
    half = len(x) // 2
    stream = detector.stream(rate_hz)
    before = stream.feed(x[:half]) + stream.gap(2.5)
    decided = [decision.event for decision in stream.decisions]
    assert decided and before[-len(decided) :] == decided
    assert stream.heard_s == half / rate_hz + 2.5
    after = stream.feed(x[half:]) + stream.finish()
    assert before == streamed(detector, x[:half], rate_hz)
    alone = streamed(detector, x[half:], rate_hz)
    begins_s = half / rate_hz + 2.5
    moved = [Event(e.start + begins_s, e.end + begins_s, e.label, e.score) for e in alone]
    assert [e.label for e in after] == [e.label for e in moved]
    for event, other in zip(after, moved, strict=True):
        assert (event.start, event.end) == pytest.approx((other.start, other.end))
        assert event.score == other.score


def test_a_gap_to_another_rate(detector, sounds):
    stream = detector.stream(8_000)
    events = stream.feed(sounds[8_000]) + stream.gap(0.0, 44_100)
    assert events == streamed(detector, sounds[8_000], 8_000)
    n = len(events)
    events += stream.feed(sounds[44_100]) + stream.finish()
    assert len(events) == n + len(streamed(detector, sounds[44_100], 44_100))


def test_nothing_was_fed(detector):
    stream = detector.stream(16_000)
    assert stream.feed(np.zeros(0, np.float32)) == stream.gap(1.0) == stream.gap(2.0) == []
    assert len(stream.scores) == 0  # no window of silence was scored
    assert stream.finish() == [] == stream.finish()
    assert stream.heard_s == 3.0


def test_what_is_refused(detector):
    stream = detector.stream(16_000)
    with pytest.raises(EarmarkError, match="NaN or infinity"):
        stream.feed([0.0, np.nan])
    for lost_s in (-1, np.nan, np.inf):
        with pytest.raises(EarmarkError, match="lost_s is"):
            stream.gap(lost_s)
    assert stream.heard_s == 0
    stream.finish()
    for call in (lambda: stream.feed([0.0]), lambda: stream.gap(1.0)):
        with pytest.raises(EarmarkError, match="the stream is finished"):
            call()
    for step_s in (0, -1, 11, np.nan):
        with pytest.raises(EarmarkError, match="The step is"):
            detector.stream(16_000, step_s)
    for rate_hz in (0, "a", None, 8000.5, np.inf):
        with pytest.raises(EarmarkError, match=f"rate_hz is {rate_hz!r}"):
            detector.stream(rate_hz)


@pytest.mark.parametrize(("window_s", "hop_s"), [(0.5, 0.08), (0.48, 0.05)])
def test_windows_of_an_edited_file_that_its_network_does_not_have_are_refused(
    detector, window_s, hop_s
):
    classifier = detector.scorer.classifier
    edited = replace(classifier.detector, window_s=window_s, hop_s=hop_s)
    with pytest.raises(ModelError, match=r"windows do not fit the network speech-embedding: a hop"):
        list(replace(classifier, detector=edited).detect(np.zeros(16_000), rate_hz=16_000))


def test_from_python(detector, sounds):
    stream = detector.scorer.classifier.stream(rate_hz=16_000, thresholds=0.95)
    events = stream.feed(sounds[16_000]) + stream.finish()
    rules = replace(detector.rules, thresholds=(0.95,) * 3)
    assert events == streamed(replace(detector, rules=rules), sounds[16_000], 16_000)


def test_an_event_is_decided_soon_after_its_end(detector, sounds):
    """Context of the network, half a window, a step, and what may still join the event."""
    x = np.concatenate([sounds[16_000], np.zeros(32_000, np.float32)])
    stream, delays = detector.stream(16_000), []
    for part in np.split(x, in_parts(320)(x)):
        delays += [stream.heard_s - event.end for event in stream.feed(part)]
    assert len(delays) >= 4 and max(delays) <= 1.0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from Linux's /proc")
def test_memory_does_not_grow(detector, sounds):
    """Hours are those of EARMARK_TEST_STREAM_HOURS; `benchmarks/stream_speed.py` runs a day."""
    hours = float(os.environ.get("EARMARK_TEST_STREAM_HOURS", "0.1"))
    x, stream, early_mb = sounds[16_000], detector.stream(16_000, 1.0), 0.0
    rounds = round(hours * 3_600 * 16_000 / len(x))
    for number in range(rounds):
        stream.feed(x)
        if number == rounds // 10:
            early_mb = used_mb()
        if number % 100 == 99:
            stream.gap(1.0)
    assert used_mb() <= 1.05 * early_mb


def used_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
