"""``earmark stream``: its lines, its ends and what it refuses."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from command_line import earmark
from earmark.apps.cli import stream as command
from earmark.apps.cli.meter import ERASE, Meter, line_of
from earmark.audio.live import Gap, LiveBlock, LiveInput
from earmark.classifier.classifier import Classifier
from earmark.detection.detecting import EventDetector
from earmark.detection.listening import Listener
from earmark.errors import AudioError
from live_sound import Clock
from made_detector import digit_classifier, spoken_digits

PATIENCE_S = 60


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a detector and a recording of digits."""
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    root = tmp_path_factory.mktemp("stream")
    digit_classifier(root).save(root / "digits.earmark")
    soundfile.write(root / "digits.wav", spoken_digits(16_000), 16_000, subtype="FLOAT")
    (root / "empty.wav").write_bytes(b"")
    return root


@pytest.fixture(autouse=True)
def _here(place, monkeypatch):
    monkeypatch.chdir(place)


def lines_of(text):
    records = [json.loads(line) for line in text.splitlines()]
    assert all(record.pop("schema") == 1 for record in records)
    return records


def events_of(records):
    return [record for record in records if record["type"] == "event"]


def expected_events(x, rate_hz=16_000, **rules):
    detector = EventDetector.load(Classifier.load("digits.earmark"), **rules)
    stream = detector.stream(rate_hz)
    return [
        {"start": round(e.start, 6), "end": round(e.end, 6), "label": e.label}
        for e in stream.feed(x) + stream.finish()
    ]


def without_times(events):
    return [{key: event[key] for key in ("start", "end", "label")} for event in events]


def process(*arguments, **settings):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = [sys.executable, "-m", "earmark", "stream", "digits.earmark", *map(str, arguments)]
    return subprocess.Popen(words, **pipes | settings)


def test_a_file(place):
    done = earmark("stream", "digits.earmark", "digits.wav")
    *events, end = lines_of(done.stdout)
    x = soundfile.read("digits.wav", dtype="float32")[0]
    assert without_times(events) == expected_events(x) and len(events) >= 4
    assert end == {
        "type": "end",
        "heard": round(len(x) / 16_000, 6),
        "lost": 0.0,
        "events": len(events),
    }
    assert done.stderr == ""
    for event in events:
        heard, decided = (
            datetime.fromisoformat(event[key].replace("Z", "+00:00"))
            for key in ("heard_at", "decided_at")
        )
        assert heard <= decided and re.fullmatch(r"[\d-]+T[\d:]+\.\d{3}Z", event["heard_at"])


def test_the_rules_are_those_of_detect():
    x = soundfile.read("digits.wav", dtype="float32")[0]
    options = ("--threshold", "0.5,7=2", "--min-gap", 0.2, "--min-duration", 0.2, "--pad", 0.05)
    done = earmark("stream", "digits.earmark", "digits.wav", *options, "--max-duration", 0.8)
    rules = {"min_gap_s": 0.2, "min_duration_s": 0.2, "pad_s": 0.05, "max_duration_s": 0.8}
    events = events_of(lines_of(done.stdout))
    assert without_times(events) == expected_events(x, thresholds="0.5,7=2", **rules)
    assert events and all(event["label"] != "7" for event in events)


def test_until_and_real_time():
    done = earmark(
        "stream", "digits.earmark", "digits.wav", "--real-time", "--until", 0.7, "--step", 0.08
    )
    assert lines_of(done.stdout)[-1]["heard"] == 0.7


def test_a_classifier_of_clips_is_warned_of(place):
    from dataclasses import replace

    classifier = replace(Classifier.load("digits.earmark"), detector=None)
    classifier.save(place / "clips.earmark")
    done = earmark("stream", "clips.earmark", "digits.wav", "--until", 0.5)
    assert "trained on clips" in done.stderr and "--detector" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-"], "Give its sample rate, such as --rate 16000."),
        (["-", "--rate", "7"], "The rate of the raw PCM is 7 Hz."),
        (["-", "--rate", "16000", "--format", "s16"], "Give one of s16le"),
        (["-", "--rate", "16000", "--channels", "0"], "The raw PCM has 0 channels."),
        (["digits.wav", "--rate", "16000"], "describe raw PCM on standard input"),
        (["mic", "--real-time"], "--real-time needs a file."),
        (["digits.wav", "--retries", "3"], "--retries needs a URL."),
        (["none.wav"], "none.wav does not exist. Give a recording, a URL, mic, or -"),
        (["."], "is not a file but a folder"),
        (["gopher://here/x"], "is not a URL of sound"),
        (["digits.wav", "--until", "0"], "--until is 0."),
        (["digits.wav", "--until", "nan"], "--until is nan."),
        (["digits.wav", "--step", "0"], "--step is 0. Give seconds above 0, at most 10."),
        (["digits.wav", "--step", "nan"], "--step is nan."),
        (["digits.wav", "--threshold", "9=0.5"], "no class '9'"),
        (["empty.wav"], "is empty"),
    ],
)
def test_what_is_refused(arguments, message):
    done = earmark("stream", "digits.earmark", *arguments, expect=2)
    assert message in done.stderr and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_microphone_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert "sounddevice" in earmark("stream", "digits.earmark", "mic", expect=2).stderr


def scripted(monkeypatch, *items, warnings=()):
    """Let the command hear ``items``; an exception among them is raised."""
    import threading

    def sound():
        for item in items:
            if isinstance(item, BaseException):
                raise item
            yield item

    def open_live(source, audio, **settings):
        assert audio.non_finite == "zero"
        return LiveInput("camera", sound(), list(warnings), threading.Event())

    monkeypatch.setattr("earmark.audio.live_sources.open_live", open_live)


def block_of(x, rate_hz=16_000):
    return LiveBlock(x, rate_hz, 1_000.0)


def test_gaps_are_lines_and_warnings(monkeypatch):
    x = spoken_digits(16_000)
    gaps = [Gap(2.0, "processing is too slow; 30 s were waiting"), Gap(0.5, "cut")]
    scripted(
        monkeypatch,
        block_of(x),
        gaps[0],
        block_of(x),
        gaps[1],
        block_of(spoken_digits(8_000), 8_000),
    )
    done = earmark("stream", "digits.earmark", "rtsp://camera/1")
    records = lines_of(done.stdout)
    at_s = len(x) / 16_000
    lost = [record for record in records if record["type"] == "gap"]
    assert lost == [
        {"type": "gap", "at": round(at_s, 6), "lost": 2.0, "reason": gaps[0].reason},
        {"type": "gap", "at": round(2 * at_s + 2, 6), "lost": 0.5, "reason": "cut"},
    ]
    assert records[-1]["lost"] == 2.5 and records[-1]["events"] == len(events_of(records))
    assert done.stderr.splitlines() == [
        "warning: camera: 2.0 s were lost: processing is too slow; 30 s were waiting.",
        "warning: camera: 2.5 s were lost in 2 gaps.",
    ]


def test_a_gap_of_nothing_gives_its_reason(monkeypatch):
    scripted(
        monkeypatch,
        Gap(0.002, "refused; connecting again in 1 s"),
        AudioError("camera", "x", "missing"),
    )
    done = earmark("stream", "digits.earmark", "rtsp://camera/1", "--retries", 1, expect=1)
    assert "warning: camera: refused; connecting again in 1 s." in done.stderr
    assert [record["type"] for record in lines_of(done.stdout)] == ["gap", "end"]


def test_a_source_that_breaks(monkeypatch):
    error = AudioError("camera", "the server is gone; check it", "missing")
    x = spoken_digits(16_000)
    scripted(monkeypatch, block_of(x), error, warnings=["samples are NaN; they were set to zero."])
    done = earmark("stream", "digits.earmark", "rtsp://camera/1", expect=1)
    assert without_times(lines_of(done.stdout)[:-1]) == expected_events(x)
    assert lines_of(done.stdout)[-1]["type"] == "end"
    assert "warning: camera: samples are NaN" in done.stderr and "error: camera: the" in done.stderr
    scripted(monkeypatch, error)
    assert earmark("stream", "digits.earmark", "rtsp://camera/1", expect=2).stdout == ""


def test_raw_pcm_with_nan_on_standard_input():
    x = spoken_digits(8_000)
    x[100] = np.nan
    stereo = np.stack([x, x], 1).astype("<f4").tobytes()
    pipe = process("-", "--rate", 8_000, "--channels", 2, "--format", "f32le")
    out, err = pipe.communicate(stereo, PATIENCE_S)
    assert pipe.returncode == 0, err
    assert without_times(events_of(lines_of(out.decode()))) == expected_events(
        np.nan_to_num(x), 8_000
    )
    assert err.decode().count("NaN") == 1 and "set to zero" in err.decode()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_a_signal_ends_it_with_an_end(number):
    x = (spoken_digits(16_000) * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2")
    with process("-", "--rate", 16_000, bufsize=0) as pipe:
        try:
            pipe.stdin.write(x.tobytes())  # and the pipe stays open
            first = pipe.stdout.readline()
            pipe.send_signal(number)
            rest = pipe.stdout.read()
            assert pipe.wait(PATIENCE_S) == 128 + number
        finally:
            pipe.kill()
        assert b"stopped." in pipe.stderr.read()
    *events, end = lines_of((first + rest).decode())
    assert end["type"] == "end" and end["events"] == len(events)
    heard = x[: round(end["heard"] * 16_000)].astype(np.float32) / 2**15
    assert without_times(events) == expected_events(heard)


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves():
    x = (spoken_digits(16_000) * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2")
    with process("-", "--rate", 16_000) as pipe:
        pipe.stdin.write(x.tobytes())
        pipe.stdin.flush()
        assert pipe.stdout.readline()
        pipe.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            pipe.stdin.write(20 * x.tobytes())
            pipe.stdin.close()
        assert pipe.wait(PATIENCE_S) == 141
        assert pipe.stderr.read() == b""


# On a terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line():
    assert line_of(-30.0, "bell 0.83", 3_725.9) == (
        "1:02:05   -30 dB [##########          ]  bell 0.83"
    )
    assert line_of(-60.0, "", 0) == "0:00:00   -60 dB [                    ]  "
    assert f"[{'#' * 20}]" in line_of(3.0, "", 0)


def test_the_line_moves_ten_times_a_second(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    terminal, clock = Terminal(), Clock(0.0)
    detector = EventDetector.load(Classifier.load("digits.earmark"))
    meter, listener = Meter(terminal, clock), Listener(detector)
    shown_at, x = [], spoken_digits(16_000)
    for at in range(0, 32_000, 320):
        item = block_of(0.5 * np.sign(x[at : at + 320]))
        listener.hear(item)
        clock.now_s = (at + 320) / 16_000
        before = len(terminal.getvalue())
        meter.hear(item, listener)
        if len(terminal.getvalue()) > before:
            shown_at.append(clock.now_s)
    assert 15 <= len(shown_at) <= 21
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(shown_at))
    last = terminal.getvalue().split(ERASE)[-1]
    assert re.fullmatch(r"0:00:0\d +-6 dB \[#{18}  \]  '[027]' \d\.\d\d", last)
    meter.clear()
    meter.clear()
    assert terminal.getvalue().endswith(last + ERASE)
    meter.hear(Gap(1.0, "cut"), listener)


def test_the_line_is_never_wider_than_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    listener = Listener(EventDetector.load(Classifier.load("digits.earmark")))
    Meter(terminal).hear(block_of(np.zeros(320, np.float32)), listener)
    assert len(terminal.getvalue()) == len(ERASE) + 19


def test_lines_and_warnings_clear_the_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    x = spoken_digits(16_000)
    scripted(monkeypatch, block_of(x), Gap(1.0, "cut"), block_of(x))
    listener = Listener(EventDetector.load(Classifier.load("digits.earmark")))
    live = command.SourceOptions(
        source="rtsp://camera/1",
        rate=None,
        channels=None,
        pcm_format=None,
        real_time=False,
        retries=None,
    ).open(Classifier.load("digits.earmark").audio)
    command._Printer(live).run(listener)
    text = terminal.getvalue()
    assert f"{ERASE}warning: camera: 1.0 s were lost" in text and not text.endswith("]")


# A signal while an item is heard


SIGNAL_IN_A_BLOCK = """
import signal
from earmark.apps.cli import signals

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
signals.heed()
try:
    with signals.held():
        signal.raise_signal(signal.SIGINT)
        print("heard")
except signals.Stopped:
    print("stopped", signals.was_stopped())
with signals.held():  # the first signal was raised; it does not come again
    print("finished")
signals.unheed()
"""


def test_a_signal_waits_for_the_end_of_a_short_block():
    command = [sys.executable, "-c", SIGNAL_IN_A_BLOCK]  # a signal must not meet other tests
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["heard", "stopped", "True", "finished"]
