"""A detection that is stopped goes on where it was, and writes the bytes of one that was not."""

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command_line import earmark
from earmark.detection import journal
from earmark.detection.detecting import EventDetector
from earmark.errors import EarmarkError
from earmark.system import files
from tones import tone_detector, write_tones

OUTPUTS = ("-o", "out/e.csv", "--scores", "out/s.npz", "--clips", "clips", "--margin", "0.1")
FOLDER = ("-o", "out/", "--format", "csv,raven,json", "--scores", "s.csv")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tone_detector(tmp_path_factory.mktemp("resuming") / "clips")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for k in range(4):
        write_tones(Path("in", "ab"[k % 2], f"{k}.wav"), seconds=8.0, seed=k)
    Path("out").mkdir()
    return tmp_path


def tree(*folders: str) -> dict[str, bytes]:
    """Return the bytes of every file, those of hidden ones too."""
    paths = (path for folder in folders for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in sorted(paths)}


def undisturbed(model: Path, *options: str) -> dict[str, bytes]:
    earmark("detect", model, "in", *options)
    whole = tree("out", "clips")
    for path in whole:
        Path(path).unlink()
    return whole


@pytest.fixture
def searched(monkeypatch) -> list[str]:
    """The recordings that are searched."""
    names, original = list[str](), EventDetector.detect

    def detect(self, clip, *rest):
        names.append(clip.path.name)
        return original(self, clip, *rest)

    monkeypatch.setattr(EventDetector, "detect", detect)
    return names


def stop_after(monkeypatch, count: int, error: BaseException) -> None:
    """Fail when the recording ``count`` (from 0) is noted in the journal."""
    done, original = [], journal.Journal.add

    def add(self, key, detection):
        if len(done) == count:
            raise error
        done.append(key)
        original(self, key, detection)

    monkeypatch.setattr(journal.Journal, "add", add)


@pytest.mark.parametrize("options", [OUTPUTS, FOLDER])
def test_a_stopped_run_goes_on(model, here, monkeypatch, searched, options):
    whole = undisturbed(model, *options)
    searched.clear()
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        done = earmark("detect", model, "in", *options, expect=130)
    assert done.stderr.endswith("stopped; run the same command again to continue from here.\n")
    assert any(".journal" in path for path in tree("out"))
    again = earmark("detect", model, "in", *options)
    assert "note: 2 recordings already searched by a run that was stopped" in again.stderr
    assert searched == ["0.wav", "2.wav", "1.wav", "1.wav", "3.wav"]
    assert tree("out", "clips") == whole


def test_a_line_that_was_cut_is_searched_again(model, here, monkeypatch, searched):
    whole = undisturbed(model, *OUTPUTS)
    with monkeypatch.context() as patch:
        stop_after(patch, 3, KeyboardInterrupt())
        earmark("detect", model, "in", *OUTPUTS, expect=130)
    (done,) = Path("out").glob(".*/done.jsonl")
    scores, content = done.with_name("scores.bin"), done.read_bytes()
    rows = scores.read_bytes()
    lines = content.splitlines(keepends=True)
    for cut_lines, cut_scores, left in (
        (content[:-1], rows, 2),
        (content[: len(lines[0]) + 5], rows, 0),
        (content + b"\0" * 400, rows, 3),
        (content, rows[: len(rows) * 3 // 4 - 4], 2),
        (b"", b"", 0),
        (lines[0][:-5], rows, 0),
    ):
        done.parent.mkdir(exist_ok=True)
        done.write_bytes(cut_lines)
        scores.write_bytes(cut_scores)
        searched.clear()
        earmark("detect", model, "in", *OUTPUTS)
        assert len(searched) == 4 - left
        assert tree("out", "clips") == whole


def test_a_run_may_be_stopped_again_after_a_line_was_cut(model, here, monkeypatch, searched):
    whole = undisturbed(model, *OUTPUTS)
    for cut in (5, 0):
        with monkeypatch.context() as patch:
            stop_after(patch, 2, KeyboardInterrupt())
            earmark("detect", model, "in", *OUTPUTS, expect=130)
        (done,) = Path("out").glob(".*/done.jsonl")
        done.write_bytes(done.read_bytes()[: -cut or None])
    searched.clear()
    earmark("detect", model, "in", *OUTPUTS)
    assert searched == ["3.wav"]
    assert tree("out", "clips") == whole


def test_a_changed_recording_is_searched_again_and_a_new_one_too(
    model, here, monkeypatch, searched
):
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        earmark("detect", model, "in", *OUTPUTS, expect=130)
    write_tones(Path("in/a/0.wav"), seconds=8.0, seed=9)
    write_tones(Path("in/a/1.wav"), seconds=8.0, seed=10)
    searched.clear()
    earmark("detect", model, "in", *OUTPUTS)
    assert searched == ["0.wav", "1.wav", "1.wav", "3.wav"]
    resumed = tree("out")
    earmark("detect", model, "in", *OUTPUTS)
    assert tree("out") == resumed


def test_another_rule_begins_anew_and_another_format_does_not(model, here, monkeypatch, searched):
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        earmark("detect", model, "in", "-o", "out/e.csv", expect=130)
    searched.clear()
    done = earmark("detect", model, "in", "-o", "out/e.csv", "--format", "json")
    assert "already searched" in done.stderr and len(searched) == 2
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        earmark("detect", model, "in", "-o", "out/e.csv", expect=130)
    searched.clear()
    done = earmark("detect", model, "in", "-o", "out/e.csv", "--pad", 0.1)
    assert "note: the classifier or an option has changed since this run was stopped" in done.stderr
    assert len(searched) == 4


@pytest.mark.parametrize("full_at", ["journal", "clip", "table"])
def test_a_full_disk_ends_the_run_and_it_goes_on(model, here, monkeypatch, searched, full_at):
    whole = undisturbed(model, *OUTPUTS)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    original = os.fsync

    def is_full(name: str) -> bool:
        return {"journal": "done.jsonl", "clip": "clips/", "table": ".e.csv"}[full_at] in name

    def fsync(handle: int) -> None:
        if is_full(os.readlink(f"/proc/self/fd/{handle}")):
            raise full
        original(handle)

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell the name of an open file")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", fsync)
        done = earmark("detect", model, "in", *OUTPUTS, expect=1)
    assert "No space left on device" in done.stderr and "Free some space" in done.stderr
    assert not Path("out/e.csv").exists() and not list(Path().rglob("*.part"))
    earmark("detect", model, "in", *OUTPUTS)
    assert tree("out", "clips") == whole


def test_two_runs_do_not_write_the_same_output(model, here):
    place = Path("out/.e.csv.journal")
    with journal.Journal(place, {}, 4), pytest.raises(EarmarkError, match="another run is writ"):
        journal.Journal(place, {}, 4).__enter__()
    with journal.Journal(place, {}, 4):
        done = earmark("detect", model, "in", "-o", "out/e.csv", expect=2)
    assert "another run is writing the same output" in done.stderr


@pytest.mark.parametrize("options", [OUTPUTS, FOLDER])
def test_what_a_kill_leaves_is_deleted(model, here, monkeypatch, options):
    Path("in/a").rename("in/a_folder_with_a_name_of_many_letters")
    whole = undisturbed(model, *options)
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        earmark("detect", model, "in", *options, expect=130)
    others = {"out/.x.part": b"", "clips/low/.mine.abc.part": b"", "out/b/.3.wav.bak": b""}
    for name in (
        *others,
        *(".e.csv", ".s.npz") * (options is OUTPUTS),
        "clips/low/.b_1_00001.0.abc.part",
        f"clips/low/.{'a_folder_with_a_name_of_many_letters_0':.32}.abc.part",
        *("out/b/.1.wav.json.abc.part",) * (options is FOLDER),
    ):
        path = Path(name if "/" in name else f"out/{name}.abc.part")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    earmark("detect", model, "in", *options)
    left = tree("out", "clips")
    if options is FOLDER:  # without --clips, that folder is not ours
        left = {name: own for name, own in left.items() if name in others or "clips" not in name}
    assert left == whole | others


@pytest.mark.slow
def test_a_run_that_is_killed_many_times_writes_the_same_bytes(model, here):
    for k in range(6):
        write_tones(Path("in", "long", f"{k}.flac"), seconds=600.0, seed=k)
    whole = undisturbed(model, *OUTPUTS)
    command = [sys.executable, "-m", "earmark", "detect", str(model), "in", *OUTPUTS]
    dice, kills = random.Random(0), 0
    while kills < 5:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(1.0, 4.0))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert kills > 0
    assert tree("out", "clips") == whole
