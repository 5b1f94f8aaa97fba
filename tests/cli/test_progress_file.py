"""The file of progress that EARMARK_PROGRESS names."""

import json
import os
import re
import threading
from pathlib import Path

import pytest

from command_line import earmark
from earmark.apps.cli import progress, progress_file

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "progress.md"


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("EARMARK_PROGRESS", str(path))
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""
    now = [100.0]
    monkeypatch.setattr(progress_file.time, "monotonic", lambda: now[0])
    return now


def test_a_command_without_a_terminal_writes_its_stages(file, tones, tmp_path):
    earmark("train", tones, "-o", tmp_path / "m.earmark", "--backbone", "logmel", "--no-compare")
    written = lines(file)
    stages = [line["stage"] for line in written]
    assert list(dict.fromkeys(stages))[:3] == [
        "starting",
        "embedding with logmel",
        "choosing layers and head",
    ]
    last = {line["number"]: line for line in written}
    assert sorted(last) == list(range(min(last), max(last) + 1))
    embedded = next(line for line in last.values() if line["stage"].startswith("embedding"))
    assert embedded["done"] == embedded["steps"] == 12 and embedded["audio_s"] == 6.0
    assert all(line["at"] > 1e9 and line["unit"] == "steps" for line in written)


def test_lines_have_the_keys_that_the_page_lists(file):
    with progress.progress_bar("a", 2) as bar:
        bar.advance(1.5)
        observer = progress.tuning_line(bar)
        figures = {"epoch": 0.5, "epochs": 4.0, "loss": 1.0, "validation": float("nan")}
        observer.advance("final run", {**figures, "clips_per_s": 9.0, "left_s": 7.04})
    known = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    written = lines(file)
    assert {key for line in written for key in line} == set(known)
    assert written[-1]["done"] == 0.5 and written[-1]["left_s"] == 7.0
    assert written[-1]["figures"]["validation"] is None


def test_the_rate_of_lines_is_bounded_and_the_last_count_is_written(file, clock):
    with progress.progress_bar("a", 1000) as bar:
        for _ in range(1000):
            bar.advance()
            clock[0] += 0.01
    written = lines(file)
    assert len(written) <= 2 + 4 * 10 and written[-1]["done"] == 1000


def test_long_stages_write_every_five_seconds(file, clock):
    with progress.progress_bar("a", 5000) as bar:
        clock[0] += 2000
        bar.advance()
        for _ in range(100):
            clock[0] += 1
            bar.advance()
    assert 15 < len(lines(file)) < 30


def test_threads_tear_no_line_and_lose_no_step(file):
    with progress.progress_bar("a", 400) as bar:
        threads = [
            threading.Thread(target=lambda: [bar.advance(0.5) for _ in range(100)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert lines(file)[-1]["done"] == 400 and lines(file)[-1]["audio_s"] == 200


def test_hours_and_bytes(file):
    with progress.hours_bar("searching", [10.0, 10.0]) as hours:
        hours.advance(4.0)
        hours.end(10.0, 12.0)
    with progress.byte_bar("weights") as tell:
        tell(5, 20)
    written = {line["stage"]: line for line in lines(file)}
    assert (written["searching"]["done"], written["searching"]["steps"]) == (12.0, 22.0)
    assert written["searching"]["unit"] == "seconds" and written["searching"]["left_s"] >= 0
    assert [written["weights"][key] for key in ("done", "steps", "unit")] == [5, 20, "bytes"]


def test_a_file_that_cannot_be_written_stops_no_command(tmp_path, monkeypatch, capsys):
    os.mkfifo(tmp_path / "pipe")
    for name, why in ((tmp_path, "folder"), (tmp_path / "pipe", "pipe"), ("/no/x", "No such")):
        monkeypatch.setenv("EARMARK_PROGRESS", str(name))
        with progress.progress_bar("a", 2) as bar:
            assert bar is None
        assert why in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_a_full_disk_stops_the_lines_with_one_warning(capsys):
    with open("/dev/full", "ab", buffering=0) as full:
        file = progress_file.ProgressFile(full, "a", 2, "steps")
        file.advance()
        file.close()
    assert capsys.readouterr().err.count("warning: no more lines") == 1
