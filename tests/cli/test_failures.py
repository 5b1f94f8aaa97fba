"""What fails without a mistake in the command: one input of many, a full disk, a gone reader."""

import csv
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import earmark
from earmark.apps.cli import signals, start
from earmark.apps.cli.checks import REPORT_FILES
from earmark.classifier.classifier import Classifier
from earmark.data.dataset import Dataset
from earmark.errors import DataError
from earmark.system import files

RUN = [sys.executable, "-m", "earmark"]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes with the names of numbers."""
    folder = tmp_path_factory.mktemp("data") / "tones"
    for label, hz in (("440", 1_800), ("inf", 240)):
        (folder / label).mkdir(parents=True)
        for k in range(5):
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * np.arange(8_000) / 16_000)
            soundfile.write(folder / label / f"{k}.wav", x, 16_000)
    return folder


@pytest.fixture(scope="module")
def model(folder) -> Path:
    path = folder.parent / "m.earmark"
    earmark("train", folder, "-o", path, "--backbone", "logmel", "--no-store", "--no-compare")
    return path


# One bad input does not stop the others


def test_what_is_not_there_does_not_stop_the_others(folder, model, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "ring").mkdir()
    (tmp_path / "ring" / "back").symlink_to(tmp_path / "ring")
    shutil.copy(folder / "440" / "0.wav", tmp_path / "ring" / "z.wav")
    given = [
        tmp_path / "missing.wav",
        folder / "440" / "0.wav",
        tmp_path / "empty",
        tmp_path / "ring",
    ]
    done = earmark("predict", model, *given, "--json", expect=1)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    whys = ["does not exist", None, "has no recordings", "is a link back to", None]
    assert [t.get("label") for t in told] == [None, "440", None, None, "440"]
    assert all(why is None or why in t["error"] for why, t in zip(whys, told, strict=True))
    assert f"{tmp_path / 'missing.wav'}: does not exist. Did you mean" not in done.stderr
    assert f"{tmp_path / 'missing.wav'}: does not exist. Give recordings or folders." in done.stderr
    listed = "\n".join(map(str, given))
    again = earmark("predict", model, "-", "--json", stdin=listed, expect=1).stdout
    assert [json.loads(line).get("label") for line in again.splitlines()] == [
        t.get("label") for t in told
    ]
    assert earmark("predict", model, *given, "--allow-skips").stdout.count("'440' 0.9") == 2
    predictions = Classifier.load(model).predict(given)
    assert [p.error is None for p in predictions] == [why is None for why in whys]


def test_tag_goes_on_too(folder, tmp_path):
    done = earmark("tag", tmp_path / "missing.wav", folder / "440" / "0.wav", "--csv", expect=1)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows[0]["error"] and len(rows) == 6 and all(row["tag"] for row in rows[1:])


def test_where_nothing_is_there_nothing_is_answered(model, tmp_path):
    (tmp_path / "empty").mkdir()
    for given in (["a.wav", "b.wav"], ["empty"], ["-", "a.wav"], [""]):
        done = earmark("predict", model, *given, expect=2, cwd=tmp_path)
        assert done.stdout == "" and done.stderr.count("\n") == 1
    with pytest.raises(DataError, match="has no recordings"):
        Classifier.load(model).predict(tmp_path / "empty")


def test_embed_names_all_failures(folder, tmp_path):
    for n in range(30):
        (tmp_path / f"{n}.wav").write_bytes(b"")
    table = "path,label\n" + "".join(f"{n}.wav,x\n" for n in range(30))
    (tmp_path / "t.csv").write_text(f"{table}missing.wav,x\n{folder}/440/0.wav,440\n")
    done = earmark("embed", tmp_path / "t.csv", "-o", tmp_path / "e.npz", "--backbone", "logmel",
                   "--json", expect=1)  # fmt: skip
    told = json.loads(done.stdout)
    assert told["schema"] == 1 and told["clips"] == 1 and told["output"] == f"{tmp_path / 'e.npz'}"
    assert [Path(s["path"]).stem for s in told["skipped"]] == [*map(str, range(30)), "missing"]
    assert "No such file" in told["skipped"][-1]["reason"]
    (tmp_path / "t.csv").write_text(table)
    options = ("--backbone", "logmel", "--json")
    done = earmark("embed", tmp_path / "t.csv", "-o", tmp_path / "f.npz", *options, expect=1)
    told = json.loads(done.stdout)
    assert told["output"] is None and len(told["skipped"]) == 30
    assert not (tmp_path / "f.npz").exists()


def test_evaluate_lists_what_was_not_read_whole(folder, model, tmp_path):
    shutil.copytree(folder, tmp_path / "cut")
    cut = tmp_path / "cut" / "440" / "1.wav"
    cut.write_bytes(cut.read_bytes()[:-4_000])
    (tmp_path / "cut" / "inf" / "2.wav").write_bytes(b"")
    told = json.loads(earmark("evaluate", model, tmp_path / "cut", "--json", expect=1).stdout)
    assert [s["path"] for s in told["skipped"]] == [f"{tmp_path / 'cut' / 'inf' / '2.wav'}"]
    (line,) = told["warnings"]
    assert line.startswith(f"{cut}: cut short")


# Outputs are checked before anything else


def places(tmp_path: Path, folder: Path) -> list[tuple[str, str]]:
    """Return places where nothing can be written, and what is said of them."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.npz").mkdir()
    return [
        (f"{tmp_path}/file/e.npz", "Not a directory"),
        (f"{tmp_path}/file/deeper/e.npz", "needs the folder"),
        (f"{tmp_path}/no/such/e.npz", "needs the folder"),
        (f"{tmp_path}/folder.npz", "it is a folder"),
        ("/proc/e.npz", "cannot write into the folder /proc"),
        (f"{tmp_path}/{300 * 'e'}.npz", "File name too long"),
        ("/dev/null", "it is not a file but a device"),
    ]


def test_an_output_that_cannot_be_written_is_refused_at_once(folder, model, tmp_path, monkeypatch):
    monkeypatch.setattr(Dataset, "read", lambda *_, **__: pytest.fail("was read before"))
    for place, said in places(tmp_path, folder):
        for command in (
            ["train", folder, "-o", place],
            ["demo", "-o", place],
            ["review", folder, "-o", place],
            ["review", folder, "--apply", "d.csv", "-o", place],
            *([["embed", folder, "-o", place]] if place.endswith(".npz") else []),
        ):
            assert said in earmark(*command, expect=2, cwd=tmp_path).stderr
    for place in ("/proc/r", f"{tmp_path}/file", f"{tmp_path}/file/r", f"{tmp_path}/{300 * 'r'}"):
        for command in (
            ["embed", folder, "-o", place],
            ["train", folder, "-o", "m", "--report", place],
            ["train", folder, "-o", "m", "--finetune", "full", "--tensorboard", place],
            ["evaluate", model, folder, "--report", place],
            ["backbones", "fetch", "yamnet", "--to", place],
            ["data", "fetch", "esc50", "--to", place],
        ):
            assert "cannot write" in earmark(*command, expect=2, cwd=tmp_path).stderr


def test_an_output_that_is_an_input_is_refused_at_once(folder, model, tmp_path, monkeypatch):
    table = tmp_path / "t.npz"
    table.write_text(f"path,label\n{folder}/440/0.wav,440\n")
    (tmp_path / "link.npz").hardlink_to(table)
    (tmp_path / "r" / REPORT_FILES[0]).mkdir(parents=True)
    monkeypatch.setattr(Dataset, "read", lambda *_, **__: pytest.fail("was read before"))
    for command, said in (
        (["embed", table, "-o", "link.npz"], "link.npz is an input and would be overwritten"),
        (["review", folder, "--apply", table, "-o", table], "is an input"),
        (["review", model, "--apply", "d.csv", "-o", model], "is an input"),
        (["train", model, "-o", model], "is an input"),
        (["train", folder, "-o", "m", "--report", folder], "is an input"),
        (["evaluate", model, folder, "--report", folder], "is an input"),
        (
            ["train", folder, "-o", "m", "--finetune", "full", "--tensorboard", folder],
            "is an input",
        ),
        (["train", folder, "-o", "m", "--report", "m"], "-o and --report both write"),
        (
            ["train", folder, "-o", "s/summary.json", "--report", "s"],
            "-o and --report both write s/summary.json",
        ),
        (["evaluate", model, folder, "--report", "r"], "it is a folder"),
    ):
        assert said in earmark(*command, expect=2, cwd=tmp_path).stderr
    assert table.read_text().startswith("path,label")


def test_the_report_has_the_files_that_were_checked(folder, model, tmp_path):
    earmark("evaluate", model, folder, "--include-known", "--report", tmp_path / "r")
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == sorted(REPORT_FILES)


# A full disk


@pytest.mark.parametrize("command", ["train", "embed", "review", "apply", "report"])
def test_a_full_disk_is_exit_code_1_and_leaves_nothing(
    folder, model, tmp_path, monkeypatch, command
):
    decisions = tmp_path / "d.csv"
    decisions.write_text(
        "path,start,end,label,suggested,evidence,decision\n"
        f"{folder}/440/0.wav,,,440,inf,0.5,relabel\n"
    )
    arguments = {
        "train": ["train", folder, "-o", "m", "--backbone", "logmel", "--no-compare"],
        "embed": ["embed", folder, "-o", "e.npz", "--backbone", "logmel"],
        "review": ["review", folder, "-o", "s.csv", "--backbone", "logmel"],
        "apply": ["review", folder, "--apply", decisions, "-o", "s.csv"],
        "report": ["evaluate", model, folder, "--include-known", "--report", tmp_path],
    }[command]

    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(files.os, "fsync", full)
    done = earmark(*arguments, expect=1, cwd=tmp_path)
    assert "No space left on device" in done.stderr and "error: " in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["d.csv"] and done.stdout == ""


def test_an_error_of_the_system_is_a_sentence(monkeypatch, tmp_path):
    for error, said in (
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "error: /x/y: No space left on"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "error: standard output or a file: Too many open",
        ),
        (MemoryError(), "error: there is not enough memory"),
    ):

        def fail(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(Dataset, "read", fail)
        assert earmark("doctor", tmp_path, expect=1).stderr.startswith(said)


def test_a_cache_that_is_read_only_is_not_cleared_in_silence(monkeypatch):
    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    earmark("cache", "show")
    monkeypatch.setattr(Path, "unlink", refuse)
    done = earmark("cache", "clear", expect=1)
    assert "embeddings.sqlite: Read-only file system. Check its" in done.stderr
    assert done.stdout == ""


# Streams


class Full(io.StringIO):
    """An output that takes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EPIPE, 141)])
def test_an_output_that_takes_nothing(number, code, folder, model, monkeypatch, capsys):
    for command in (["predict", model, folder], ["backbones", "list"], ["--help"], ["--version"]):
        monkeypatch.setattr(sys, "argv", ["earmark", *map(str, command)])
        monkeypatch.setattr(sys, "stdout", Full(number))
        with pytest.raises(SystemExit) as ended:
            start.main()
        signals.unheed()
        said = capsys.readouterr().err
        assert ended.value.code == code and (said == "") == (code == 141)
        assert code == 141 or said == (
            "error: cannot write standard output: No space left on device. Free some space.\n"
        )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.slow
def test_streams_that_are_closed_or_full(model):
    for variable, redirection, code, said in (
        ("", ">/dev/full", 1, "error: cannot write standard output: No space"),
        ("1", ">/dev/full", 1, "error: standard output or a file: No space"),
        ("", ">&-", 2, "error: standard output is closed. Send it to a file, or to /dev/null."),
        ("", "<&-", 2, "error: standard input is closed. For -, write paths to it"),
        ("", "</dev/null", 2, "error: standard input is empty. For -, write paths to it"),
        ("", "<&- 2>&-", 2, ""),
    ):
        command = "backbones list" if redirection.startswith(">") else f"predict {model} -"
        program = f"PYTHONUNBUFFERED={variable} {sys.executable} -m earmark"
        line = f"{program} {command} {redirection}"
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
        assert done.returncode == code and done.stderr.startswith(said), line
        assert done.stderr.count("\n") == (said != "") and done.stdout == ""


# Signals


INTERRUPTED = """
import os, signal, threading, time
from earmark.apps.cli import main
from earmark.embeddings import pipeline

once = threading.Lock()

def interrupt(*_, **__):
    if once.acquire(blocking=False):  # of several readers
        os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)

pipeline.make_request = interrupt
main()
"""


def heed_interrupts() -> None:
    """Undo what a shell does to background jobs, of which this test run may be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("store", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_sentence_promises_only_what_is_true(folder, tmp_path, store):
    command = [
        "embed",
        folder,
        "-o",
        "e.npz",
        "--backbone=logmel",
        *([] if store else ["--no-store"]),
    ]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        preexec_fn=heed_interrupts if os.name == "posix" else None,
    )
    rest = "; run the same command again to continue from here." if store else "."
    assert (done.returncode, done.stderr) == (130, f"stopped{rest}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_stop_a_command_too(name, tmp_path):
    read = f"lambda *_, **__: (os.kill(os.getpid(), signal.{name}), time.sleep(1))"
    code = (
        "import os, signal, time; from earmark.apps.cli import main;"
        f" from earmark.data.dataset import Dataset; Dataset.read = {read}; main()"
    )
    command = [sys.executable, "-c", code, "doctor", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (128 + getattr(signal, name), "stopped.\n")


def test_signals_are_given_back(monkeypatch, tmp_path):
    before = [signal.getsignal(getattr(signal, name)) for name in signals.NAMES]
    earmark("doctor", tmp_path, expect=2)
    assert [signal.getsignal(getattr(signal, name)) for name in signals.NAMES] == before


def test_an_ignored_signal_stays_ignored(monkeypatch, tmp_path):
    """As `nohup` asks for."""

    def hang_up(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        raise DataError("it went on.")

    monkeypatch.setattr(Dataset, "read", hang_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert earmark("doctor", tmp_path, expect=2).stderr == "error: it went on.\n"
    finally:
        signal.signal(signal.SIGHUP, before)


STUBBORN = """
import sys, threading, time
from earmark.apps.cli import main, signals
from earmark.data.dataset import Dataset
from earmark.system.files import whole_file
from pathlib import Path
signals.GRACE_S = float(sys.argv.pop(1))
def read(*_, **__):
    print("reading", flush=True)
    while True:
        try:
            with whole_file(Path(sys.argv[-1], "half.csv")):
                time.sleep(60)
        except KeyboardInterrupt:
            pass  # as a library might
Dataset.read = read
main()
"""


@pytest.mark.parametrize(("grace_s", "times"), [(60, 2), (0.1, 1)])
def test_a_second_signal_or_a_moment_ends_what_does_not_stop(grace_s, times, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, str(grace_s), "doctor", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "reading\n"
    for _ in range(times):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    assert process.communicate(timeout=20)[1] == "stopped.\n" and process.returncode == 143
    assert list(tmp_path.iterdir()) == []  # of what was being written


# Answers


def test_a_class_with_the_name_of_a_number_is_no_score(folder, model):
    text = earmark("predict", model, folder / "440" / "0.wav").stdout
    assert text.split()[1] == "'440'" and "'inf'" in text


def test_all_classes_have_a_column_on_request(folder, model, tmp_path):
    given = [folder / "inf" / "0.wav", tmp_path / "missing.wav"]
    done = earmark("predict", model, *given, "--csv", "--all", "--top", "1", expect=1)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["path", "label", "score", "error", "score_440", "score_inf"]
    assert rows[0]["score_inf"] == rows[0]["score"] and rows[1]["score_440"] == ""
    assert abs(float(rows[0]["score_440"]) + float(rows[0]["score_inf"]) - 1) < 1e-5
    told = json.loads(earmark("predict", model, given[0], "--json", "--all", "--top", "1").stdout)
    assert len(told["scores"]) == 2
