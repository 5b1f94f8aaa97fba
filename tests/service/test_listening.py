"""Live sound: the scores and events of `Classifier.stream`, however the sound comes."""

import asyncio
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="the extra serve is not installed")

import earmark as library
from earmark.apps.cli.stream import event_json
from earmark.apps.service.hearing import HeardStream, Hearing
from earmark.detection.detecting import EventDetector
from heard import END, answers, ending, open_stream
from served import PATIENCE_S, ask, command, run
from tones import RATE_HZ, tone_detector, write_tones

EXAMPLE = Path(__file__).parents[2] / "examples" / "listen.py"
STEP_S = 0.24
OPENING = {"rate": RATE_HZ, "channels": 1, "format": "s16le", "step": STEP_S}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A detector of tones, a classifier of clips, and a night."""
    folder = tmp_path_factory.mktemp("heard")
    tone_detector(folder / "clips")
    write_tones(folder / "night.wav", 12.0)
    clips = folder / "clips"
    training = library.train(clips, backbone="logmel", head="prototype", compare=False)
    training.classifier.save(folder / "plain.earmark")
    return folder


@pytest.fixture(scope="module")
def night(folder) -> np.ndarray:
    return soundfile.read(folder / "night.wav", dtype="int16")[0]


@pytest.fixture(scope="module")
def port(folder):
    models = (folder / "tones.earmark", folder / "plain.earmark")
    with command(*models, "--workers", "1", "--body-timeout", PATIENCE_S) as running:
        yield running.port


async def listened(port: int, x: np.ndarray, block: int, query: str) -> list[str]:
    """Send samples in blocks; return all answers."""
    async with open_stream(port, query) as stream:
        for start in range(0, len(x), block):
            await stream.send(x[start : start + block].tobytes())
        await stream.send(END)
        texts = await answers(stream)
        assert stream.close_code == 1000
        return texts


def expected(path: Path, x: np.ndarray, rate_hz: int, step_s: float) -> tuple[list, list]:
    """The scores of windows and the events of `Classifier.stream`."""
    stream, rows, events = library.load(path).stream(rate_hz=rate_hz, step_s=step_s), [], []
    for part in [*np.split(x, range(500, len(x), 500)), None]:
        found = stream.finish() if part is None else stream.feed(part)
        rows += [[round(score, 6) for score in row] for row in stream.scores.scores.tolist()]
        events += [{"type": "event", **event_json(event)} for event in found]
    return rows, events


@pytest.mark.parametrize(
    ("model", "rate_hz", "channels", "step_s"),
    [("tones", 16_000, 1, 0.24), ("tones", 44_100, 2, 0.5), ("plain", 8_000, 1, 0.08)],
)
def test_the_answers_are_those_of_a_stream_however_the_sound_comes(
    folder, night, port, model, rate_hz, channels, step_s
):
    x = night[: 4 * RATE_HZ] if channels == 1 else np.stack([night, night // 2], 1)
    rows, events = expected(folder / f"{model}.earmark", x, rate_hz, step_s)
    query = f"rate={rate_hz}&channels={channels}&step={step_s}&model={model}"

    async def test() -> None:
        blocks = (320, 1_111, 50_000)
        several = await asyncio.gather(*(listened(port, x, n, query) for n in blocks))
        assert several[0] == several[1] == several[2]
        as_floats = x.astype(np.float32) / 32_768
        assert (await listened(port, as_floats, 4_000, f"{query}&format=f32le"))[1:] == several[0][
            1:
        ]
        ready, *shown, end = map(json.loads, several[0])
        assert ready["type"] == "ready" and len(ready["labels"]) == 3
        assert ready["rate"] == rate_hz and ready["hop"] == 0.08
        assert 0 < ready["context"] < 0.5  # seconds, and not samples
        assert ("--detector" in "".join(ready["warnings"])) == (model == "plain")
        scores = [value for value in shown if value["type"] == "scores"]
        assert [value["scores"] for value in scores] == rows
        assert [value for value in shown if value["type"] == "event"] == events
        assert events or model != "tones"
        heard = round(len(x) / rate_hz, 6)
        assert end == {"type": "end", "heard": heard, "lost": 0.0, "events": len(events)}

    run(test())


@pytest.mark.parametrize("step_s", [0.08, 0.24, 2.0])
def test_the_order_does_not_depend_on_how_much_comes_at_once(folder, night, step_s):
    detector = EventDetector.load(library.load(folder / "tones.earmark"))

    def heard(block: int) -> list[dict]:
        stream = HeardStream(detector, **{**OPENING, "step": step_s})
        parts = np.split(night, range(block, len(night), block))
        return [value for part in parts for value in stream.feed(part.tobytes())] + stream.finish()

    whole = heard(len(night))
    assert [value["type"] for value in whole].count("event") > 1
    assert heard(200) == heard(7_777) == whole


def test_samples_that_are_no_numbers_are_refused_and_harm_no_other_stream(port, night):
    async def test() -> None:
        before = await listened(port, night, 4_000, f"rate={RATE_HZ}")
        async with (
            open_stream(port, f"rate={RATE_HZ}&format=f32le") as wrong,
            open_stream(port, f"rate={RATE_HZ}") as right,
        ):
            await right.send(night[:8_000].tobytes())
            await wrong.send(np.array([0, np.nan], np.float32).tobytes())
            code, sentence = await ending(wrong)
            assert code == 1007 and "NaN" in sentence
            await right.send(night[8_000:].tobytes())
            await right.send(END)
            assert await answers(right) == before
        figures = (await ask(port, "/metrics")).body.decode()
        assert "earmark_streams 0\n" in figures and "earmark_heard_seconds_total" in figures

    run(test())


@pytest.mark.slow
def test_a_stop_finishes_what_was_heard(folder, night):
    sound = night[: 9 * RATE_HZ]  # as much as may wait; a stop leaves out what waits beyond that

    async def test(service) -> None:
        async with open_stream(service.port, f"rate={RATE_HZ}") as stream:
            await stream.recv()
            await stream.send(sound.tobytes())
            await asyncio.wait_for(stream.recv(), PATIENCE_S)
            service.process.send_signal(signal.SIGTERM)
            texts = await answers(stream)
            assert json.loads(texts[-1])["type"] == "end" and stream.close_code == 1001
            assert json.loads(texts[-1])["heard"] == len(sound) / RATE_HZ
            assert "stops" in stream.close_reason
        assert await asyncio.to_thread(service.process.wait, PATIENCE_S) == 0
        lines = map(json.loads, service.process.stderr.read().splitlines())
        assert [line["event"] for line in lines] == ["response", "stopped"]

    with command(folder / "tones.earmark", "--workers", "1") as service:
        asyncio.run(asyncio.wait_for(test(service), 120))


def test_the_example_prints_the_events(folder, port, night):
    _, events = expected(folder / "tones.earmark", night, RATE_HZ, STEP_S)
    words = [sys.executable, str(EXAMPLE), f"ws://127.0.0.1:{port}", str(folder / "night.wav")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[2] for line in lines] == [event["label"] for event in events]
    assert [float(line[0]) for line in lines] == [round(event["start"], 2) for event in events]


def test_silence_that_is_unlike_all_training_clips_is_unknown(folder):
    classifier = library.load(folder / "plain.earmark")

    def heard(least: float) -> tuple[list[dict], list[dict]]:
        rule = replace(classifier.decision_rule, unknown_threshold=least)
        detector = EventDetector.load(replace(classifier, decision_rule=rule))
        stream = HeardStream(detector, **OPENING)
        shown = [*stream.feed(bytes(4 * RATE_HZ)), *stream.finish()]
        return [[v for v in shown if v["type"] == kind] for kind in ("scores", "event")]

    known = heard(-1.0)[0][0]["known"]
    scores, events = heard(known + 0.001)
    assert len(scores) == 20 and not events
    for value in scores:
        assert value["known"] == known
        assert value["is_unknown"] and value["label"] == "unknown"
    scores, events = heard(known - 0.001)
    assert len(events) == 1
    assert {(value["is_unknown"], value["label"]) for value in scores} == {(False, "quiet")}


def test_a_model_that_cannot_be_loaded_is_named_without_its_path(tmp_path, capsys):
    path = tmp_path / "gone.earmark"
    hearing = Hearing({"models": {"m": str(path)}, "allow_remote": False})
    opening = {"do": "open", "stream": 1, "model": "m", "sound": OPENING}
    for _ in range(2):
        told, texts = hearing.answer(opening, b"")
        assert "'m' cannot be loaded" in told["error"] and texts == b""
        assert str(tmp_path) not in told["error"] and str(path) in capsys.readouterr().err


@pytest.mark.slow
def test_a_long_stream_takes_no_more_memory_than_a_short_one(folder, night):
    import tracemalloc

    hearing = Hearing({"models": {"m": str(folder / "tones.earmark")}, "allow_remote": False})
    hearing.answer({"do": "open", "stream": 1, "model": "m", "sound": OPENING}, b"")

    def feed(seconds: int) -> int:
        for k in range(2 * seconds):
            part = night[(k * 8_000) % len(night) :][:8_000]
            _, texts = hearing.answer({"do": "feed", "stream": 1}, part.tobytes())
            assert len(texts) < 10_000
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = feed(60)
        assert feed(180) - early < 100_000
    finally:
        tracemalloc.stop()
