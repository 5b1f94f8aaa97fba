"""Listening: what live sound brings becomes events, gaps and an end, with clock times."""

import math
import threading

import numpy as np
import pytest

from earmark.audio.live import Gap, LiveBlock, LiveInput
from earmark.detection.listening import HeardEvent, Listener, ListeningEnd, LostSound, listen
from earmark.errors import AudioError
from live_sound import Clock
from made_detector import digit_detector, spoken_digits

BEGAN_AT = 1_000.0


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    return digit_detector(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def x():
    return spoken_digits(16_000)


def live_blocks(x, rate_hz=16_000, seconds=0.05, late_s=0.0, began_at=BEGAN_AT, clock=None):
    """Yield blocks as a microphone brings them, ``late_s`` after they sounded."""
    size = round(seconds * rate_hz)
    for at in range(0, len(x), size):
        part = x[at : at + size]
        heard_at = began_at + (at + len(part)) / rate_hz + late_s
        if clock is not None:
            clock.now_s = heard_at
        yield LiveBlock(part, rate_hz, heard_at)


def records_of(detector, items, clock=None, **settings):
    def sound():
        yield from items

    live = LiveInput("test", sound(), [], threading.Event())
    return list(listen(detector, live, clock=clock or Clock(BEGAN_AT), **settings))


def events_of(records):
    return [record.event for record in records if isinstance(record, HeardEvent)]


def from_a_stream(detector, x, rate_hz=16_000):
    stream = detector.stream(rate_hz)
    return stream.feed(x) + stream.finish()


def test_the_events_are_those_of_a_stream(detector, x):
    records = records_of(detector, live_blocks(x))
    assert events_of(records) == from_a_stream(detector, x)
    end = records[-1]
    assert end == ListeningEnd(pytest.approx(len(x) / 16_000), 0.0, len(records) - 1)


def test_clock_times(detector, x):
    clock = Clock(BEGAN_AT)
    x = np.concatenate([x, np.zeros(32_000, np.float32)])
    records = records_of(detector, live_blocks(x, late_s=0.2, clock=clock), clock)
    heard = [record for record in records if isinstance(record, HeardEvent)]
    for record in heard:
        assert record.heard_at == pytest.approx(BEGAN_AT + 0.2 + record.event.end, abs=0.011)
        assert record.heard_at < record.decided_at <= record.heard_at + 1.0
    assert len(heard) >= 4


def test_a_block_that_comes_at_once_was_heard_at_once(detector, x):
    block = LiveBlock(x, 16_000, BEGAN_AT + 0.5)  # a file, faster than it sounds
    records = records_of(detector, [block])
    times = [r.heard_at for r in records if isinstance(r, HeardEvent)]
    assert times == sorted(times) and min(times) >= BEGAN_AT and max(times) <= BEGAN_AT + 0.5


def test_the_clock_time_after_a_pause_without_a_gap(detector, x):
    half = len(x) // 2
    late = live_blocks(x[half:], began_at=BEGAN_AT + half / 16_000 + 100)
    records = records_of(detector, [*live_blocks(x[:half]), *late])
    for record in records[:-1]:
        pause_s = 100 if record.event.end > half / 16_000 else 0
        assert record.heard_at == pytest.approx(BEGAN_AT + record.event.end + pause_s, abs=0.011)


def test_a_gap_comes_after_the_events_before_it(detector, x):
    half = len(x) // 2
    items = [*live_blocks(x[:half]), Gap(3.0, "the server ended"), *live_blocks(x[half:])]
    records = records_of(detector, items)
    place = next(i for i, record in enumerate(records) if isinstance(record, LostSound))
    assert records[place] == LostSound(half / 16_000, 3.0, "the server ended")
    assert events_of(records[:place]) == from_a_stream(detector, x[:half])
    after = events_of(records[place:])
    begins_s = half / 16_000 + 3.0
    alone = from_a_stream(detector, x[half:])
    assert [e.start for e in after] == pytest.approx([e.start + begins_s for e in alone])
    heard_s = pytest.approx(len(x) / 16_000)
    assert records[-1] == ListeningEnd(heard_s, 3.0, len(records) - 2)


def test_it_comes_back_with_another_rate(detector, x):
    other = spoken_digits(8_000)
    items = [*live_blocks(x), Gap(1.0, "cut"), Gap(2.0, "again"), *live_blocks(other, 8_000)]
    records = records_of(detector, items)
    lost = [record for record in records if isinstance(record, LostSound)]
    assert [gap.reason for gap in lost] == ["cut", "again"]
    assert lost[1].at_s == lost[0].at_s + 1.0
    alone = from_a_stream(detector, other, 8_000)
    assert len(events_of(records)) == len(from_a_stream(detector, x)) + len(alone)


def test_the_rate_changes_without_a_gap(detector, x):
    items = [*live_blocks(x), *live_blocks(spoken_digits(8_000), 8_000)]
    (lost,) = [r for r in records_of(detector, items) if isinstance(r, LostSound)]
    assert lost.lost_s == 0 and lost.at_s == pytest.approx(len(x) / 16_000)
    assert lost.reason == "the sample rate changed from 16000 to 8000 Hz"


def test_a_gap_before_any_sound(detector, x):
    records = records_of(detector, [Gap(0.0, "refused"), Gap(5.0, "again"), *live_blocks(x)])
    assert records[:2] == [LostSound(0.0, 0.0, "refused"), LostSound(0.0, 5.0, "again")]
    starts = [e.start for e in events_of(records)]
    assert starts == pytest.approx([e.start + 5 for e in from_a_stream(detector, x)])


@pytest.mark.parametrize("seconds", [0.02, 0.3, 10.0])
def test_it_ends_by_itself(detector, x, seconds):
    def endless():
        yield from live_blocks(x, seconds=seconds)
        raise AssertionError("it listens on")

    records = records_of(detector, endless(), until_s=1.5)
    assert records[-1].heard_s == pytest.approx(1.5)
    assert events_of(records) == from_a_stream(detector, x[:24_000])


def test_it_ends_by_itself_inside_a_gap(detector, x):
    unheard = None  # an item that would fail
    items = [*live_blocks(x[:16_000]), Gap(9.0, "cut"), unheard]
    records = records_of(detector, items, until_s=5.0)
    assert records[-1] == ListeningEnd(1.0, 9.0, len(events_of(records)))


def test_a_source_that_breaks_is_answered_first(detector, x):
    def breaks():
        yield from live_blocks(x)
        raise AudioError("test", "the server is gone; check it", "missing")

    source = listen(detector, LiveInput("test", breaks(), [], threading.Event()))
    records = [next(source) for _ in range(1 + len(from_a_stream(detector, x)))]
    with pytest.raises(AudioError, match="the server is gone"):
        next(source)
    assert events_of(records) == from_a_stream(detector, x)
    assert isinstance(records[-1], ListeningEnd)


def test_nothing_was_heard(detector):
    assert records_of(detector, []) == [ListeningEnd(0.0, 0.0, 0)]


def test_clock_times_are_not_kept_for_ever(detector):
    listener = Listener(detector)
    for number in range(3_000):
        listener._marks.add(number * 0.004, BEGAN_AT + number * 0.004)
    assert len(listener._marks._marks) <= 12 / 0.008 + 2
    for number in range(1, 500):
        listener._marks.add(12 + number * 1.0, BEGAN_AT + 12 + number)
    assert len(listener._marks._marks) <= 70
    assert listener._marks.heard_at(511.0) == pytest.approx(BEGAN_AT + 511)
    assert listener.is_done is False and listener.until_s == math.inf
