"""``earmark detect``: what it finds, where it writes it, and what it refuses."""

import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import earmark
from earmark.apps.cli import progress
from earmark.apps.cli.detect_summary import count_lines
from earmark.data.dataset import Dataset
from earmark.data.event import Event, RecordingEvents
from earmark.data.event_reading import read_events
from earmark.detection import detecting
from tones import noise, tone_detector, write_tones

NIGHT = "20260501_220000.wav"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tone_detector(tmp_path_factory.mktemp("detect") / "clips")


@pytest.fixture
def truth(tmp_path, monkeypatch) -> dict[str, list[Event]]:
    """Recordings in ``in/``: two of one name, and one in FLAC."""
    monkeypatch.chdir(tmp_path)
    names = (f"a/{NIGHT}", f"b/{NIGHT}", "b/later.flac")
    return {name: write_tones(Path("in", name), seed=k) for k, name in enumerate(names)}


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def are_near(answers: list[Event], truth: list[Event], within_s: float = 0.3) -> bool:
    """Return whether the answers are the true events, in order."""
    return [a.label for a in answers] == [t.label for t in truth] and all(
        abs(a.start - t.start) < within_s and abs(a.end - t.end) < within_s
        for a, t in zip(answers, truth, strict=True)
    )


def events_of(rows: list[dict[str, str]], path: str) -> list[Event]:
    return [
        Event(float(row["start"]), float(row["end"]), row["label"], float(row["score"]))
        for row in rows
        if row["path"] == path and row["start"]
    ]


# What is found


def test_events_are_printed_as_csv(model, truth):
    done = earmark("detect", model, "in")
    rows = rows_of(done.stdout)
    assert list(rows[0]) == ["path", "start", "end", "label", "score", "time"]
    for name, events in truth.items():
        assert are_near(events_of(rows, f"in/{name}"), events)
    first = truth[f"a/{NIGHT}"][0].start
    time = rows[0]["time"]
    assert time.startswith("2026-05-01T22:00:0") and abs(float(time[17:]) - first) < 0.3
    assert {row["time"] for row in rows if row["path"] == "in/b/later.flac"} == {""}
    assert "15 events in 1.0 min of 3 recordings; computed in" in done.stderr
    assert "trained on clips" not in done.stderr
    listed = earmark("detect", model, "-", stdin="\n".join(f"in/{name}" for name in truth))
    assert listed.stdout == done.stdout


def test_json_has_an_object_for_each_recording(model, truth):
    Path("in/b/bad.wav").write_bytes(b"no audio")
    done = earmark("detect", model, "in", "--json", "--timezone", "Europe/Berlin", expect=1)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [t["path"] for t in told] == [f"in/a/{NIGHT}", f"in/b/{NIGHT}", "in/b/bad.wav",
                                         "in/b/later.flac"]  # fmt: skip
    assert told[0]["begins_at"] == "2026-05-01T22:00:00.000+02:00" and told[0]["seconds"] == 20
    assert told[0]["events"][0]["time"].endswith("+02:00") and "time" not in told[3]["events"][0]
    assert "not audio in a known format" in told[2]["error"] and told[0]["schema"] == 1


def test_stretches_of_a_manifest(model, truth):
    name = "a/" + NIGHT
    third = truth[name][2]
    rows = [f"in/{name},{third.start - 1},{third.end + 1}", f"in/{name},0,0.5", "in/b/later.flac,,"]
    Path("m.csv").write_text("\n".join(["path,start,end", *rows]))
    done = earmark("detect", model, "m.csv", "--json", "--scores", "s.npz")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[0]["regions"] == [
        [0.0, 0.5], [round(third.start - 1, 3), round(third.end + 1, 3)]
    ]  # fmt: skip
    assert [e["label"] for e in told[0]["events"]] == [third.label]
    assert abs(told[0]["events"][0]["start"] - third.start) < 0.3
    assert told[1]["regions"] is None and len(told[1]["events"]) == len(truth["b/later.flac"])
    scores = np.load("s.npz")
    times = scores["time"][scores["path"] == 0]
    late = times[times > 0.6]
    assert (
        late[0] == pytest.approx(third.start - 1 + 0.16, abs=1e-6) and len(times) > len(late) > 20
    )


def test_rules_are_changed_by_options(model, truth):
    path = f"in/a/{NIGHT}"

    def found(*options: object) -> list[Event]:
        return events_of(rows_of(earmark("detect", model, path, *options).stdout), path)

    usual = found()
    assert {e.label for e in found("--threshold", "high=inf")} == {"low"}
    padded = found("--pad", 0.2)
    assert [(round(e.start - 0.2, 3), round(e.end + 0.2, 3)) for e in usual] == [
        (e.start, e.end) for e in padded
    ]
    assert found("--min-duration", 3) == []
    assert all(e.end - e.start < 0.301 for e in found("--max-duration", 0.3, "--min-duration", 0))
    joined = found("--min-gap", 10)
    assert len(joined) < len(usual)


# Where it is written


def test_what_each_format_has_is_read_back(model, truth):
    pytest.importorskip("pyarrow")
    formats = ("csv", "raven", "json", "kaleidoscope", "parquet")
    earmark("detect", model, "in", "-o", "out", "--format", ",".join([*formats, "audacity"]))
    assert len([path for path in Path("out").rglob("*") if path.is_file()]) == 18
    shown = earmark("detect", model, "in").stdout
    for format in formats:
        table = {"raven": "all.txt", "kaleidoscope": "k.csv"}.get(format, f"all.{format}")
        done = earmark("detect", model, "in", "-o", table, "--format", format)
        assert done.stdout == ""
        label = {"label": "Annotation"} if format == "raven" else {}
        read = {r.path: r.events for r in read_events(table, **label)}
        own = {f"{Path('in', n).resolve()}": events_of(rows_of(shown), f"in/{n}") for n in truth}
        assert {str(Path(p).resolve()): list(e) for p, e in read.items()} == own
    for name in truth:
        shutil.copy(f"out/{name}.txt", Path("in", name).with_suffix(".txt"))
    labels = {Path(r.path).resolve(): r.events for r in read_events("in")}
    assert all(len(labels[Path("in", n).resolve()]) == len(events) for n, events in truth.items())


def test_scores_of_every_window_in_three_formats(model, truth):
    pq = pytest.importorskip("pyarrow.parquet")
    for name in ("s.csv", "s.npz", "s.parquet"):
        earmark("detect", model, "in", "--scores", f"out/{name}")
    assert sorted(path.name for path in Path("out").iterdir()) == ["s.csv", "s.npz", "s.parquet"]
    rows = rows_of(Path("out/s.csv").read_text())
    arrays = np.load("out/s.npz")
    table = pq.read_table("out/s.parquet")
    labels = ["high", "low", "quiet"]
    names = ["path", "time", *(f"score_{label}" for label in labels), "known_score"]
    assert list(rows[0]) == names == table.column_names and list(arrays["labels"]) == labels
    windows = 1 + round((20 - 0.32) / 0.08)
    assert len(rows) == table.num_rows == len(arrays["time"]) == 3 * windows
    assert np.allclose(arrays["time"][:windows], 0.16 + 0.08 * np.arange(windows))
    assert np.allclose(arrays["scores"].sum(1), 1, atol=1e-3)
    printed = [[float(row[f"score_{label}"]) for label in labels] for row in rows]
    assert np.allclose(printed, arrays["scores"], atol=1e-6)
    assert np.array_equal(table["known_score"].to_numpy(), arrays["known"])
    assert [row["path"] for row in rows] == [str(arrays["paths"][k]) for k in arrays["path"]]
    assert rows[0]["path"] == f"../in/a/{NIGHT}"


def test_clips_can_be_trained_on(model, truth):
    done = earmark("detect", model, "in", "--clips", "clips", "--margin", 0.25, "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    data = Dataset.read("clips")
    assert len(data) == 15 and set(data.labels) == {"high", "low"}
    event = told[1]["events"][0]
    name = f"b_20260501_220000_{event['start']:010.3f}_{event['label']}_{event['score']:.2f}.flac"
    clip, rate_hz = soundfile.read(f"clips/{event['label']}/{name}", dtype="int16")
    whole, _ = soundfile.read(f"in/b/{NIGHT}", dtype="int16")
    first, last = (round(s * rate_hz) for s in (event["start"] - 0.25, event["end"] + 0.25))
    assert np.array_equal(clip, whole[first:last])
    # they are no recordings of a later run, wherever they are
    again = earmark("detect", model, ".", "--clips", "clips")
    assert "note: 15 recordings in clips left out; --clips writes there" in again.stderr
    assert "15 events in 1.0 min of 3 recordings" in again.stderr


# Bad input


def test_one_bad_recording_does_not_stop_the_others(model, truth):
    good = Path(f"in/a/{NIGHT}")
    content = good.read_bytes()
    Path("in/a/cut.wav").write_bytes(content[: len(content) // 2])
    lying = bytearray(content)
    lying[40:44] = (10**9).to_bytes(4, "little")
    Path("in/a/lying.wav").write_bytes(lying)
    Path("in/b/empty.wav").touch()
    Path("in/b/bad.wav").write_bytes(b"no audio")
    soundfile.write("in/b/short.wav", noise(0.02, 0), 16_000)
    done = earmark("detect", model, "in", "gone.wav", "-o", "e.csv", "--clips", "c", expect=1)
    rows = rows_of(Path("e.csv").read_text())
    assert are_near(events_of(rows, "in/a/cut.wav"), truth[f"a/{NIGHT}"][:3])
    for name in (NIGHT, "lying.wav"):
        assert are_near(events_of(rows, f"in/a/{name}"), truth[f"a/{NIGHT}"])
    assert {"path": "in/b/short.wav", "start": ""}.items() <= rows[-1].items()
    assert "in/a/cut.wav: cut short or damaged after 10" in done.stderr
    assert "left out 3 recordings that could not be read:" in done.stderr
    assert all(f"  {p}: " in done.stderr for p in ("in/b/empty.wav", "in/b/bad.wav", "gone.wav"))
    assert sorted(path.name for path in Path().iterdir()) == ["c", "e.csv", "in"]
    assert len(list(Path("c").rglob("*.flac"))) == len([row for row in rows if row["start"]])
    earmark("detect", model, "in", "gone.wav", "-o", "e.csv", "--allow-skips")


def test_nothing_is_written_if_no_recording_could_be_read(model, truth):
    Path("bad.wav").write_bytes(b"no audio")
    done = earmark("detect", model, "bad.wav", "-o", "e.csv", expect=1)
    assert "no recording could be read, so e.csv was not written" in done.stderr
    assert not Path("e.csv").exists()


def test_a_recording_is_searched_once(model, truth):
    path = f"in/a/{NIGHT}"
    done = earmark("detect", model, path, "in/a", Path(path).absolute())
    assert "5 events in 20 s of 1 recording;" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "in/b/later.flac", "--format", "csv"], "is an input and would be overwritten"),
        (["--scores", "in/b/s.csv", "-o", "in/b/s.csv"], "-o and --scores both write"),
        (["-o", "e.txt"], "names no format"),
        (["-o", "e.csv", "--format", "csv,raven"], "Name a folder"),
        (["-o", "e.txt", "--format", "audacity"], "Name a folder"),
        (["--format", "raven"], "needs -o"),
        (["-o", "out", "--format", "ravn"], "Did you mean 'raven'?"),
        (["--scores", "s.txt"], "Give a file that ends in .csv, .npz, .parquet"),
        (["--margin", "1"], "--margin needs --clips"),
        (["--threshold", "hihg=0.5"], "Did you mean 'high'?"),
        (["--threshold", "-1"], "is not a number above 0"),
        (["--pad", "-1"], "--pad is -1. Give seconds, 0 or more"),
        (["--min-gap", "nan"], "--min-gap is nan"),
        (["--max-duration", "0"], "--max-duration is 0. Give seconds above 0."),
        (["--max-duration", "1", "--min-duration", "2"], "shorter than --min-duration 2"),
        (["--threshold", "0.5,0.6"], "has two thresholds for all classes, 0.5 and 0.6"),
        (["--timezone", "Europe/Belrin"], "Did you mean 'Europe/Berlin'?"),
        (["--clips", "in"], "is an input"),
    ],
)
def test_mistakes_are_told_before_anything_is_computed(model, truth, monkeypatch, options, said):
    monkeypatch.setattr(detecting.EventDetector, "load", lambda *_, **__: pytest.fail("loaded"))
    before = sorted(Path().rglob("*"))
    done = earmark("detect", model, "in", *options, expect=2)
    assert said in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""
    assert sorted(Path().rglob("*")) == before


def test_mistakes_are_told_before_torch_is_imported(model, truth):
    code = (
        "import sys; sys.argv = ['earmark', 'detect', *sys.argv[1:]]\n"
        "from earmark.apps.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'sklearn', 'scipy', 'rich', 'pandas'} & set(sys.modules)"
    )
    recording = f"in/a/{NIGHT}"
    for options in (["gone.wav"], ["in", "--threshold", "x=1"], ["in", "--scores", recording],
                    [recording, "-o", recording, "--format", "csv"]):  # fmt: skip
        command = [sys.executable, "-c", code, str(model), *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr


def test_a_classifier_of_clips_gives_a_warning(model, truth, tmp_path):
    from dataclasses import replace

    from earmark.classifier.classifier import Classifier

    replace(Classifier.load(model), detector=None).save(tmp_path / "clips.earmark")
    done = earmark("detect", "clips.earmark", f"in/a/{NIGHT}")
    assert "warning: clips.earmark: this classifier was trained on clips" in done.stderr


def test_a_network_that_computes_windows_by_itself_tells_its_cost(model, truth, monkeypatch):
    from earmark.backbones.networks.logmel import LogMelBaseline

    monkeypatch.setattr(LogMelBaseline, "block_step", lambda self: None)
    done = earmark("detect", model, f"in/a/{NIGHT}")
    assert "computes each window by itself: 45,000 windows an hour, about" in done.stderr


# Progress


def test_progress_counts_hours_and_tells_the_time_left(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    with progress.hours_bar("searching", [3600.0, 0.0, 1800.0, 3600.0]) as hours:
        assert hours.total_s == 4 * 3000  # an unknown length is taken for the mean of the others
        hours.end(3600.0, 3600.0, is_computed=False)
        now[0] = 10.0
        hours.advance(1000.0)
        assert hours.speed == 100 and hours.left_s == pytest.approx((12_000 - 4600) / 100)
        hours.end(0.0, 1000.0)
        assert hours.total_s == 10_000 and hours.done_s == 4600
        now[0] = 1000.0
        hours.advance(900.0)
        hours.end(1800.0, 900.0)
        assert hours.total_s == 9100
    assert capsys.readouterr().err == "1.5 of 2.8 h, 2 x real time, 39.5 min left\n"


def test_a_terminal_shows_the_progress(model, truth):
    command = [sys.executable, "-m", "earmark", "detect", str(model), "in", "-o", "e.csv"]
    pty = pytest.importorskip("pty", reason="this system has no terminals for programs")
    main, terminal = pty.openpty()
    process = subprocess.Popen(command, stderr=terminal, stdout=subprocess.DEVNULL)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(main, 4096):
            shown += part
    os.close(main)
    assert process.wait() == 0
    assert b"searching" in shown and b"0.0 of 0.0 h" in shown and b"15 events in" in shown


# The table at the end


def recording(hours: float, events: int, label: str = "owl") -> RecordingEvents:
    own = tuple(Event(k * hours * 3600 / events, k * hours * 3600 / events + 1, label)
                for k in range(events))  # fmt: skip
    return RecordingEvents("n.wav", hours * 3600, own)


def test_many_hours_are_counted_by_the_day():
    assert count_lines([recording(2, 4)]) == [
        "        owl  all  searched",
        "hour 1    2    2     1.0 h",
        "hour 2    2    2     1.0 h",
        "total     4    4     2.0 h",
    ]
    lines = count_lines([recording(60, 120)])
    assert [line.split() for line in lines[1:]] == [
        ["hours", "1-24", "48", "48", "24.0", "h"],
        ["hours", "25-48", "48", "48", "24.0", "h"],
        ["hours", "49-60", "24", "24", "12.0", "h"],
        ["total", "120", "120", "60.0", "h"],
    ]
    assert count_lines([recording(1, 1)])[1:] == ["hour 1    1    1     1.0 h"]
    assert count_lines([RecordingEvents("n.wav", 60, ())]) == []
    many = [recording(1, k + 1, f"class {k}") for k in range(9)]
    assert count_lines(many)[0].split("  ")[-3:] == ["4 others", "all", "searched"]
