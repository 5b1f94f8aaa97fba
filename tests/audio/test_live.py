"""The contract of live sound: the ring buffer, its threads, recordings at their own pace."""

import itertools
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_files import RATE, encode, noise
from earmark import audio
from earmark.audio.decoder import Refusal
from earmark.audio.live import Gap, LiveBlock, LiveInput, RingBuffer, captured
from earmark.audio.live_sources import open_live
from earmark.audio.options import AudioOptions
from earmark.audio.resampling import StreamResampler, resample
from earmark.errors import AudioError, EarmarkError
from live_sound import Clock, gaps_of, items_of, samples_of, within_patience

X = noise(RATE)[:, 0]


def block(seconds: float, value: float = 0.0, at: float = 0.0) -> LiveBlock:
    return LiveBlock(np.full(round(seconds * RATE), value, np.float32), RATE, at)


def input_of(capture: Callable[[RingBuffer], None], buffer: RingBuffer) -> LiveInput:
    return LiveInput("mic", captured(capture, buffer), [], buffer.closed)


def test_a_fast_consumer_gets_everything_in_order() -> None:
    def capture(buffer: RingBuffer) -> None:
        for k in range(100):
            buffer.put(LiveBlock(X[k * 160 : (k + 1) * 160], RATE, k))

    items = items_of(input_of(capture, RingBuffer()))
    np.testing.assert_array_equal(samples_of(items), X)
    assert [item.heard_at for item in items] == list(range(100))


def test_a_slow_consumer_loses_the_oldest_and_is_told_how_much() -> None:
    buffer = RingBuffer()
    for second in range(75):
        assert buffer.put(block(1.0, second))
    buffer.finish()
    gap, *rest = within_patience(lambda: list(buffer))
    assert gap == Gap(45.0, "processing is too slow; 30 s were waiting")
    assert [item.samples[0] for item in rest] == list(range(45, 75))


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from("pgt"), st.integers(1, 20)), max_size=80),
    st.integers(5, 40),
)
def test_every_second_is_either_received_or_reported_as_lost(
    steps: list[tuple[str, int]], limit: int
) -> None:
    buffer, received, put_s, number = RingBuffer(limit), [], 0.0, 0
    for kind, seconds in steps:
        if kind == "p":
            buffer.put(LiveBlock(np.full(seconds, number, np.float32), 1, number))
            number += 1
        elif kind == "g":
            buffer.put(Gap(seconds, "broken"))
        elif (item := next(iter(buffer), None) if buffer._items else None) is not None:
            received.append(item)
        put_s += seconds if kind in "pg" else 0
        waiting = sum(len(item.samples) for item in buffer._items if isinstance(item, LiveBlock))
        assert waiting <= max(limit, 20)
    buffer.finish()
    received += list(buffer)
    heard = [item for item in received if isinstance(item, LiveBlock)]
    assert sum(item.seconds for item in heard) + sum(g.lost_s for g in gaps_of(received)) == put_s
    numbers = [item.heard_at for item in heard]
    assert numbers == sorted(numbers)
    for one, two in itertools.pairwise(received):  # no jump without a gap
        if isinstance(one, LiveBlock) and isinstance(two, LiveBlock):
            assert two.heard_at == one.heard_at + 1


def test_gaps_alone_do_not_pile_up() -> None:
    buffer = RingBuffer()
    for k in range(5_000):
        buffer.put(Gap(0.5, f"attempt {k}"))
    buffer.finish()
    gaps = list(buffer)
    assert len(gaps) == 1_000 and gaps[-1].reason == "attempt 4999"
    assert sum(gap.lost_s for gap in gaps) == 2_500


@pytest.mark.parametrize("error", [Refusal("is gone; plug it in", "missing"), OSError("disk")])
def test_an_error_of_the_capturing_thread_reaches_the_consumer(error: Exception) -> None:
    def capture(buffer: RingBuffer) -> None:
        buffer.put(block(1.0))
        raise error

    live, items = input_of(capture, RingBuffer()), []

    def read() -> None:
        items.extend(iter(live.__next__, None))

    expected = AudioError if isinstance(error, Refusal) else OSError
    with pytest.raises(expected, match=r"mic: is gone; plug it in\.|disk"):
        within_patience(read)
    assert len(items) == 1


def test_close_wakes_a_consumer_that_waits_and_ends_the_capture() -> None:
    is_capturing, has_ended = threading.Event(), threading.Event()

    def capture(buffer: RingBuffer) -> None:
        is_capturing.set()
        buffer.closed.wait()
        assert not buffer.put(block(1.0))
        has_ended.set()

    live = input_of(capture, RingBuffer())

    def close() -> None:
        is_capturing.wait()
        live.close()

    threading.Thread(target=close, daemon=True).start()
    assert items_of(live) == []
    assert within_patience(lambda: has_ended.wait(10))


def test_leaving_the_loop_ends_the_capture() -> None:
    has_ended = threading.Event()

    def capture(buffer: RingBuffer) -> None:
        while buffer.put(block(0.1)):
            pass
        has_ended.set()

    assert len(items_of(input_of(capture, RingBuffer()), most=3)) == 3
    assert within_patience(lambda: has_ended.wait(10))


def test_dropping_an_input_ends_the_capture() -> None:
    has_ended = threading.Event()

    def capture(buffer: RingBuffer) -> None:
        while buffer.put(block(0.1)):
            pass
        has_ended.set()

    next(input_of(capture, RingBuffer()))
    assert within_patience(lambda: has_ended.wait(10))


def test_an_input_that_was_closed_before_it_began_yields_nothing() -> None:
    live = open_live("no such file.wav")
    live.close()
    assert items_of(live) == []


def test_a_recording_is_read_as_fast_as_it_is_consumed(tmp_path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encode(noise(3 * RATE, 2), "WAV"))
    clock = Clock()
    items = items_of(open_live(path, AudioOptions(channel=2), clock=clock, sleep=clock.sleep))
    assert not clock.sleeps
    expected = audio.read(path, options=AudioOptions(channel=2)).samples
    np.testing.assert_array_equal(samples_of(items), expected)
    assert {item.rate_hz for item in items} == {RATE}


def test_a_recording_at_its_own_pace_is_heard_when_it_would_sound(tmp_path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encode(noise(3 * RATE + 700), "WAV"))
    clock = Clock(1_000.0)
    items = items_of(open_live(path, real_time=True, clock=clock, sleep=clock.sleep))
    np.testing.assert_array_equal(samples_of(items), audio.read(path).samples)
    lengths = np.cumsum([len(item.samples) for item in items])
    np.testing.assert_allclose([item.heard_at for item in items], 1_000 + lengths / RATE)
    assert max(item.seconds for item in items) <= 0.1


def test_a_slow_consumer_of_a_recording_does_not_wait_as_well(tmp_path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encode(noise(RATE), "WAV"))
    clock = Clock(step_s=0.2)  # twice as slow as the sound
    items_of(open_live(path, real_time=True, clock=clock, sleep=clock.sleep))
    assert not clock.sleeps


def test_warnings_of_a_recording_are_handed_on(tmp_path) -> None:
    path = tmp_path / "cut.wav"
    content = encode(noise(2 * RATE), "WAV")
    path.write_bytes(content[: len(content) // 2])
    live = open_live(path)
    items_of(live)
    (text,) = live.warnings
    assert "cut short" in text


def test_a_missing_recording_is_named(tmp_path) -> None:
    with pytest.raises(AudioError, match=r"none\.wav: cannot be opened"):
        items_of(open_live(tmp_path / "none.wav"))


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("-", "has no header. Give its rate"),
        ("file:///etc/passwd", "not a URL of sound"),
        ("data:audio/wav;base64,://x", "not a URL of sound"),
        ("concat:http://a/b", "not a URL of sound"),
        ("http://", "not a URL of sound"),
        ("http://[::1/x", "not a URL of sound"),
        ("http://host:port/x", "'http://host:port/x' is not a URL of sound"),
        ("ftp://user:word@host/x?key=1", "'ftp://host/x' is not a URL of sound"),
    ],
)
def test_a_wrong_target_is_refused_at_once(target: str, text: str) -> None:
    with pytest.raises(EarmarkError, match=text):
        open_live(target)


RATES = [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (22_050, 32_000), (16_000, 16_000)]


@settings(max_examples=60)
@given(
    st.sampled_from(RATES),
    st.integers(0, 5_000),
    st.lists(st.integers(0, 3_000), max_size=8),
    st.integers(0, 3),
)
def test_a_stream_is_resampled_as_the_whole_at_any_chunking(
    rates: tuple[int, int], n: int, cuts: list[int], before: int
) -> None:
    x = np.resize(X, n).astype(np.float32)
    resampler = StreamResampler(*rates)
    for _ in range(before):  # what was fed before leaves no trace
        resampler.feed(X[:777])
        resampler.reset()
    for _ in range(2):
        parts = np.split(x, sorted(min(cut, n) for cut in cuts))
        y = np.concatenate([*(resampler.feed(part) for part in parts), resampler.flush()])
        np.testing.assert_array_equal(y, resample(x, *rates))


def test_a_stream_is_resampled_sample_by_sample() -> None:
    resampler = StreamResampler(48_000, 16_000)
    parts = [resampler.feed(X[k : k + 1]) for k in range(3_000)]
    y = np.concatenate([*parts, resampler.flush()])
    np.testing.assert_array_equal(y, resample(X[:3_000], 48_000, 16_000))
