"""The command line, as a person types it: output, JSON, exit codes, one sentence for mistakes."""

import csv
import html
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

from command_line import earmark
from earmark.apps.cli.app import app
from earmark.data.dataset import Dataset
from earmark.errors import DataError, EarmarkWarning

RUN = [sys.executable, "-m", "earmark"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "tones"
    rng = np.random.default_rng(0)
    for label, hz in (("high", 1_800), ("low", 240)):
        (folder / label).mkdir(parents=True)
        for k in range(6):
            t = np.arange(8_000) / 16_000
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(size=8_000)
            soundfile.write(folder / label / f"{k}.wav", x, 16_000)
    return folder


@pytest.fixture(scope="module")
def model(folder) -> Path:
    path = folder.parent / "m.earmark"
    earmark("train", folder, "-o", path, "--backbone", "logmel", "--no-store")
    return path


def test_train_json_is_one_object_with_all_that_is_promised(folder, tmp_path):
    out = earmark("train", folder, "-o", tmp_path / "m", "--backbone", "logmel", "--json").stdout
    told = json.loads(out)
    assert out.count("\n") == 1
    assert set(told) >= {
        "model", "backbone", "layers", "head", "labels", "clips", "skipped", "estimate", "seconds",
    }  # fmt: skip
    assert set(told["estimate"]) >= {"scheme", "accuracy", "ci95", "macro_f1", "ece", "folds"}
    assert 0 <= told["estimate"]["ece_debiased"] <= told["estimate"]["ece"]
    assert told["estimate"]["ece_expected"] > 0
    assert set(told["seconds"]) == {"embed", "choose", "fit", "curve", "copies", "total"}
    assert told["backbone"] == ["logmel"] and told["labels"] == ["high", "low"]
    assert [fold["n"] for fold in told["estimate"]["folds"]] and told["clips"] == 12
    low, high = told["estimate"]["ci95"]
    assert low <= told["estimate"]["accuracy"] <= high


def test_a_skipped_file_is_listed_and_counts(folder, tmp_path):
    import shutil

    data = shutil.copytree(folder, tmp_path / "data")
    (data / "low" / "broken.wav").write_bytes(b"RIFF....")
    arguments = ("train", data, "-o", tmp_path / "m", "--backbone", "logmel", "--json")
    done = earmark(*arguments, expect=1)
    (skipped,) = json.loads(done.stdout)["skipped"]
    assert skipped["path"].endswith("broken.wav") and skipped["reason"]
    assert (
        "left out 1 recording that could not be read:" in done.stderr
        and "broken.wav" in done.stderr
    )
    assert (tmp_path / "m").exists()
    earmark(*arguments, "--allow-skips", expect=0)


def test_train_writes_a_page_that_agrees_with_the_figures(folder, tmp_path):
    options = ("--backbone", "logmel", "--json", "--report", tmp_path / "r")
    done = earmark("train", folder, "-o", tmp_path / "a b", *options)
    told = json.loads(done.stdout)
    assert f"report: {tmp_path / 'r' / 'report.html'}" in done.stderr
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert {"schema": 1, **summary} == told
    page = (tmp_path / "r" / "report.html").read_text()
    assert f"{told['estimate']['accuracy'] * 100:.0f}\N{NO-BREAK SPACE}%<small>of 12" in page
    assert "earmark train" in page and "a b' --backbone logmel" in html.unescape(page)
    assert 'id="map"' in page and 'id="layers"' in page


def test_predict_in_its_three_forms(folder, model, tmp_path):
    (tmp_path / "no.wav").write_text("no sound")
    files = [folder / "low" / "0.wav", tmp_path / "no.wav", folder / "high" / "1.wav"]
    lines = earmark("predict", model, *files, "--json", expect=1).stdout.splitlines()
    told = [json.loads(line) for line in lines]
    assert [t["path"] for t in told] == list(map(str, files))
    assert [t.get("label") for t in told] == ["low", None, "high"]
    assert "error" in told[1] and "scores" not in told[1]
    rows = list(
        csv.DictReader(io.StringIO(earmark("predict", model, *files, "--csv", expect=1).stdout))
    )
    assert [row["label"] for row in rows] == ["low", "", "high"] and rows[1]["error"]
    text = earmark("predict", model, folder, "--top", "1").stdout.splitlines()
    assert len(text) == 12 and text[0].split()[1] == "high" and len(text[0].split()) == 3


def test_predict_reads_a_list_from_standard_input(folder, model):
    listed = f"{folder}/low/3.wav\n\n{folder}/high/2.wav\n"
    lines = earmark("predict", model, "-", "--json", stdin=listed).stdout.splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["low", "high"]


def test_a_process_says_what_the_call_says(folder, model):
    """Where everything else runs `main` in this process: its start, its streams, its exit code."""
    mistake = ("predict", model, "missing.wav")
    for arguments, listed, code in (
        (("predict", model, "-", "--json"), f"{folder}/low/3.wav\n", 0),
        (mistake, "", 2),
    ):
        called = earmark(*arguments, stdin=listed, expect=code)
        command = [*RUN, *map(str, arguments)]
        ran = subprocess.run(command, input=listed, capture_output=True, text=True)
        assert (ran.returncode, ran.stdout) == (code, called.stdout)
        assert ran.stderr == called.stderr


def test_evaluate_says_what_was_read_in_part(folder, model, tmp_path):
    shutil.copytree(folder, tmp_path / "cut")
    recording = sorted((tmp_path / "cut").rglob("*.wav"))[0]
    recording.write_bytes(recording.read_bytes()[:-4000])
    done = earmark("evaluate", model, tmp_path / "cut", "--include-known")
    assert "1 recording could be read only in part" in done.stderr
    assert f"{recording}: cut short" in done.stderr


def test_warnings_of_a_kind_and_tiny_differences_are_a_line(folder, model, tmp_path):
    paths = sorted(folder.rglob("*.wav"))
    content = paths[0].read_bytes()
    for number in range(8):
        (tmp_path / f"cut{number}.wav").write_bytes(content[: -4000 - 100 * number])
        (tmp_path / f"tiny{number}.wav").write_bytes(content[:-20])
    lines = earmark("predict", model, tmp_path).stderr.splitlines()
    cut = [line for line in lines if line.startswith(f"{tmp_path}/cut")]
    assert len(cut) == 5
    assert lines[5].startswith('3 more warnings like "cut short or damaged after')
    assert " ms of " in lines[6]
    assert lines[6].startswith(f"note: {tmp_path}/tiny0.wav: cut short")
    assert lines[6].endswith("(7 more like it; --json lists all)")
    assert len(lines) == 7
    done = earmark("embed", tmp_path, "-o", tmp_path / "e.npz", "--backbone", "logmel", "--json")
    answer = json.loads(done.stdout)
    assert (len(answer["warnings"]), len(answer["notes"])) == (8, 8)


def test_evaluate(folder, model, tmp_path):
    done = earmark(
        "evaluate", model, folder, "--include-known", "--json", "--report", tmp_path / "r"
    )
    told = json.loads(done.stdout)
    assert f"report: {tmp_path / 'r' / 'report.html'}" in done.stderr
    assert "of 12 clips were classified correctly" in (tmp_path / "r" / "report.html").read_text()
    assert told["accuracy"] == 1.0 and told["clips"] == 12
    assert {"ece_expected", "ece_debiased"} <= set(told)
    table = (tmp_path / "r" / "confusion.csv").read_text().splitlines()
    assert table == ["label,high,low", "high,6,0", "low,0,6"]
    (folder.parent / "other.csv").write_text("path,label\ntones/low/0.wav,lo\n")
    done = earmark("evaluate", model, folder.parent / "other.csv", expect=2)
    assert "does not know the label 'lo'" in done.stderr and "Did you mean 'low'" in done.stderr


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_embed_for_use_elsewhere(folder, tmp_path, suffix):
    out = tmp_path / f"e{suffix}"
    if suffix == ".parquet":
        pq = pytest.importorskip("pyarrow.parquet")
    earmark(
        "embed", folder, "-o", out, "--backbone", "speech-embedding", "--layers", "conv6,embedding"
    )
    if suffix == ".npz":
        table = np.load(out)
        assert table["embedding"].shape == (12, 192) and table["conv6"].shape == (12, 576)
    else:
        table = pq.read_table(out).to_pydict()
        assert len(table["embedding"]) == 12 and len(table["embedding"][0]) == 192
    assert sorted(set(table["label"])) == ["high", "low"]


def test_doctor_finds_what_is_planted_and_nothing_on_clean_data(folder, tmp_path):
    import shutil

    assert earmark("doctor", folder).stdout == "12 clips, 2 classes, 0 findings\n"
    data = shutil.copytree(folder, tmp_path / "data")
    shutil.copy(data / "low" / "0.wav", data / "high" / "copy.wav")
    soundfile.write(data / "low" / "silent.wav", np.zeros(8_000), 16_000)
    (data / "low" / "broken.wav").write_bytes(b"RIFF....")
    told = json.loads(earmark("doctor", data, "--json", expect=1).stdout)
    kinds = {finding["kind"]: finding["severity"] for finding in told["findings"]}
    assert kinds == {"unreadable": "error", "label conflict": "error", "silent": "warning"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("train", "nowhere", "-o", "m"), "nowhere does not exist"),
        (("train", ".", "-o", "m"), "error: "),
        (("train", "DATA", "-o", "no/such/m"), "needs the folder no/such"),
        (("train", "DATA", "-o", "."), "it is a folder"),
        (("train", "DATA", "-o", "m", "--report", "WAV"), "WAV: Not a directory. Name another"),
        (("train", "DATA", "-o", "WAV/m"), "WAV: Not a directory. Name another"),
        (("train", "DATA", "-o", "WAV"), "WAV already exists and is not a classifier"),
        (("demo", "-o", "WAV"), "WAV already exists and is not a classifier"),
        (("train", "DATA", "-o", "m", "--unknown", "5"), "--unknown is 5. Give a number between 0"),
        (
            ("train", "DATA", "-o", "m", "--seed", "1", "--seed", "2"),
            "--seed is given more than on",
        ),
        (("train", "DATA", "-o", "m", "--output", "n"), "--output is given more than once. Give i"),
        (("train", "DATA", "-o", "m", "--recipe", "epochs=1"), "need --finetune. Add it."),
        (("train", "DATA", "-o", "m", "--backbone", "vgish"), "no backbone 'vgish'"),
        (("train", "DATA", "-o", "m", "--layers", "lst", "--backbone", "logmel"), "no layer 'lst'"),
        (("train", "DATA", "-o", "m", "--head", "tree"), "'tree'"),
        (("train", "DATA"), "--output"),
        (("predict", "MODEL", "missing.wav"), "missing.wav does not exist"),
        (("predict", "missing.earmark", "x.wav"), "missing.earmark does not exist"),
        (("predict", "WAV", "DATA"), "WAV is not a classifier, or the file is incomplete"),
        (("predict", "MODEL", "DATA", "--coverage", "0"), "--coverage is 0. Give a number between"),
        (("predict", "MODEL", "DATA", "--json", "--csv"), "exclude each other"),
        (("evaluate", "MODEL", "nowhere"), "nowhere does not exist"),
        (
            ("review", "DATA", "--apply", "d.csv"),
            "--apply needs a manifest to write. Add -o CORRECTED.csv",
        ),
        (("compare", "DATA", "--backbone", "logmel"), "got only 'logmel'"),
        (("nonsense",), "No such command 'nonsense'"),
        (("embed", "DATA", "-o", "e.txt"), "ends in .npz or .parquet"),
        (("embed", "DATA", "-o", "e", "--share", "3/2"), "--share is '3/2'. Give I/N, with I from"),
        (
            ("embed", "DATA", "-o", "e", "--on", "moon"),
            "--on is 'moon'. Give local or ray, which are",
        ),
        (("embed", "DATA", "-o", "e.npz", "--share", "1/2"), "and e.npz is a file. Name a folder"),
        (("embed", "DATA", "-o", "DATA"), "is an input and would be overwritten"),
        (("backbones", "show", "logmell"), "Did you mean 'logmel'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(folder, model, tmp_path, arguments, text):
    wav = folder / "low" / "0.wav"
    content = wav.read_bytes()
    known = {"DATA": str(folder), "MODEL": str(model), "WAV": str(wav)}
    arguments = [known.get(a, a.replace("WAV/", f"{wav}/")) for a in arguments]
    done = earmark(*arguments, expect=2, cwd=tmp_path)
    assert text.replace("WAV", str(wav)) in done.stderr and done.stdout == ""
    assert list(tmp_path.iterdir()) == [] and wav.read_bytes() == content


def test_mistakes_are_told_before_anything_heavy_is_imported(folder, model, tmp_path):
    """Those that need no network to be seen; each within a second, then."""
    (tmp_path / "table.csv").write_text("path,label\n")
    train = ("train", str(folder), "-o", "m")
    mistakes = [
        ("train", "nowhere", "-o", "m"),
        ("train", "table.csv", "--label", "species", "-o", "m"),
        ("train", str(folder), "-o", "no/such/m"),
        (*train, "--report", "table.csv"),
        (*train, "--head", "tree"),
        (*train, "--unknown", "2"),
        (*train, "--tensorboard", "board"),
        (*train, "--backbone", "yamnett"),
        (*train, "--finetune", "last:0"),
        (*train, "--finetune", "full", "--recipe", "epoch=1"),
        (*train, "--finetune", "full", "--unknown", "0.1"),
        ("demo", "-o", "table.csv"),
        ("compare", "nowhere", "--backbone", "logmel,yamnet"),
        ("compare", str(folder), "--backbone", "yamnet"),
        ("doctor", "nowhere"),
        ("review", "nowhere"),
        ("review", "table.csv", "-o", "table.csv"),
        ("embed", "nowhere", "-o", "e.npz"),
        ("tag", "nowhere"),
        ("predict", "table.csv", str(folder)),
        ("predict", str(model), "nowhere"),
        ("evaluate", str(model), "nowhere"),
    ]
    code = f"""
import sys
from earmark.apps.cli import main
for mistake in {mistakes}:
    sys.argv = ["earmark", *mistake]
    try:
        main()
    except SystemExit as end:
        heavy = [m for m in ("torch", "sklearn", "scipy", "rich") if m in sys.modules]
        print(end.code, *heavy, *(mistake if heavy or end.code != 2 else []))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["2"] * len(mistakes), done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_the_folder_of_the_output_is_made_and_a_classifier_replaced(folder, tmp_path):
    for _ in range(2):
        earmark("train", folder, "-o", "new/m.earmark", "--backbone", "logmel", cwd=tmp_path)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["m.earmark"]


def test_a_disk_that_cannot_be_written_is_told_first(folder, tmp_path, monkeypatch):
    def refused(dir: Path) -> None:
        raise OSError(30, "Read-only file system", str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(Dataset, "read", lambda *_, **__: pytest.fail("was read before"))
    for options in (["-o", tmp_path / "m"], ["-o", "m", "--report", tmp_path / "r" / "s"]):
        done = earmark("train", folder, *options, expect=2, cwd=tmp_path)
        assert "Read-only file system. Name another" in done.stderr


def test_warnings_of_earmark_are_one_line_and_others_as_python_has_them(tmp_path, monkeypatch):
    def read(*_: object, **__: object) -> None:
        warnings.warn("the disk is full.", EarmarkWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
        raise DataError("no more.")

    monkeypatch.setattr(Dataset, "read", read)
    with pytest.warns(UserWarning, match="something else") as others:
        said = earmark("doctor", tmp_path, expect=2).stderr
    assert said == "warning: the disk is full.\nerror: no more.\n" and len(others) == 1


def heed_interrupts() -> None:
    """Undo what a shell does to background jobs, of which this test run may be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_training_leaves_no_half_file(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for k in range(60):
            x = rng.normal(0, 0.1, 80_000)
            soundfile.write(tmp_path / "data" / label / f"{k}.wav", x, 16_000)
    command = [*RUN, "train", "data", "-o", "m.earmark", "--backbone", "speech-embedding"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts if os.name == "posix" else None,
    )
    store = Path(os.environ["EARMARK_CACHE"]) / "embeddings.sqlite"
    deadline = time.monotonic() + 60
    while not store.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in stderr
    assert stderr.splitlines()[-1] == "stopped; run the same command again to continue from here."
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


@pytest.mark.skipif(os.name != "posix", reason="no SIGINT to send")
def test_ctrl_c_is_one_sentence_and_exit_code_130(model):
    process = subprocess.Popen(
        [*RUN, "predict", str(model), "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    stopper = threading.Timer(60, process.kill)
    stopper.start()
    process.stdin.write(500 * "nothing.wav\n")  # more than are read ahead
    process.stdin.flush()
    assert process.stderr.readline().startswith("nothing.wav: ")  # it runs, and waits for more
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].splitlines()
    stopper.cancel()
    assert process.returncode == 130 and said[-1] == "stopped."  # it would begin again
    assert {line.split(":")[0] for line in said[:-1]} <= {"nothing.wav"}


def test_the_reader_of_the_output_may_go_away():
    with subprocess.Popen(
        [*RUN, "backbones", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait(60) == 141


def leaves(command, name="") -> list[tuple[str, object]]:
    """Return the names and the objects of all commands below ``command``."""
    inside = getattr(command, "commands", {})
    below = [pair for key, value in inside.items() for pair in leaves(value, f"{name} {key}")]
    return [(name.strip(), command), *below]


@pytest.mark.parametrize("columns", [20, 50, 80, 200])
def test_no_sentence_of_help_is_cut_off(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    commands = leaves(typer.main.get_command(app))
    for name, command in [("", typer.main.get_command(app)), *commands]:
        said = "".join(earmark(*name.split(), "--help").stdout.split())  # wherever it is wrapped
        inside = getattr(command, "commands", {}).values()
        first = [(below.help or "").partition("\n")[0] for below in inside]
        for text in [command.help, *first, *(getattr(p, "help", "") for p in command.params)]:
            assert "".join((text or "").split()) in said, text


# These mean something else, or say more, in some commands.
OWN_MEANING = {"apply", "as_json", "backbone", "formats", "group", "layers", "name", "output"}
OWN_MEANING |= {"host", "on", "precision", "source", "to", "token_file", "top"}


def test_options_of_one_name_are_described_in_one_way():
    said: dict[str, set[str]] = {}
    for _, command in leaves(typer.main.get_command(app)):
        for option in command.params:
            if option.name not in OWN_MEANING:
                said.setdefault(option.opts[-1], set()).add(option.help)
    assert {"--label", "--labels", "--seed", "--no-store", "--report"} < set(said)
    assert [name for name, texts in said.items() if len(texts) > 1] == []


def test_cache_commands(folder, tmp_path):
    earmark("train", folder, "-o", tmp_path / "m", "--backbone", "logmel")
    (held,) = json.loads(earmark("cache", "show", "--json").stdout)["held"]
    assert held["clips"] == 12 and held["backbone"].startswith("logmel/")
    assert "embeddings of 12 clips" in earmark("cache", "prune", "--max-mb", "0").stdout
    earmark("cache", "clear")
    assert json.loads(earmark("cache", "show", "--json").stdout)["held"] == []


def test_backbones_commands():
    names = [
        b["name"] for b in json.loads(earmark("backbones", "list", "--json").stdout)["backbones"]
    ]
    assert {"logmel", "speech-embedding"} <= set(names)
    shown = json.loads(earmark("backbones", "show", "speech-embedding", "--json").stdout)
    assert shown["rate_hz"] == 16_000 and shown["layers"][-1] == "embedding (96)"
    assert shown["versions"] == [1, 2]
    assert "versions     1, 2\n" in earmark("backbones", "show", "speech-embedding").stdout
    assert earmark("backbones", "verify", "logmel").stdout.startswith("OK: logmel/2/")


def test_demo_trains_estimates_and_predicts(tmp_path, monkeypatch):
    monkeypatch.setenv("EARMARK_WEIGHTS", "")
    out = earmark("demo", cwd=tmp_path).stdout
    assert "  backbone  speech-embedding, " in out
    assert "  warning   `earmark backbones fetch yamnet-float32`" in out
    assert "120 clips, 10 classes -> demo.earmark" in out and "earmark train FOLDER" in out
    from earmark.classifier.classifier import Classifier

    accuracy = Classifier.load(tmp_path / "demo.earmark").estimate.accuracy
    assert 0.75 < accuracy < 1.0  # hard enough to show that an estimate is one
    assert "bell.ogg sounds like      bell" in out


def test_help_imports_nothing_heavy():
    code = "import sys, earmark.apps.cli.app; print([m for m in sys.modules if m in HEAVY])"
    heavy = ("torch", "numpy", "sklearn", "transformers", "soundfile", "rich")
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {heavy}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_importing_earmark_does_nothing(tmp_path):
    """No threads set, no logging configured, nothing heavy loaded, no file made."""
    code = """
import logging, sys
before = set(sys.modules)
import earmark
new = {module.split(".")[0] for module in set(sys.modules) - before}
light = {"earmark", "importlib", "typing", "_typing", "contextlib", "__future__"}
assert not new - light, new
assert not logging.getLogger().handlers
earmark.Dataset
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_predict_does_not_import_what_only_training_needs(folder, model):
    code = (
        "import sys; sys.argv = ['earmark', 'predict', *sys.argv[1:]]\n"
        "from earmark.apps.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('sklearn', 'scipy', 'rich', 'av') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(folder / "low" / "0.wav")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


def test_training_begins_to_embed_without_what_is_needed_later(folder):
    """scikit-learn alone takes as long as PyTorch to import."""
    code = (
        "import os, sys, earmark\n"
        "class Progress:\n"
        "    def stage(self, name, steps):\n"
        "        print(name, [m for m in ('sklearn', 'scipy', 'rich') if m in sys.modules])\n"
        "        sys.stdout.flush(); os._exit(0)\n"
        "earmark.train(sys.argv[1], backbone='logmel', progress=Progress())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "embedding with logmel []\n"
