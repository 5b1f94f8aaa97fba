"""Names of files, labels and columns of any bytes, and any encoding of the streams."""

import io
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from command_line import earmark
from earmark.apps.cli import text
from earmark.data.dataset import Dataset
from earmark.system.jsons import json_text
from earmark.system.text import UNSHOWABLE, one_line, to_csv

NAMES = (b"a.wav", b"\xfc.wav", b"x\x1b[31mred.wav", b"new\nline.wav", b"re\rturn.wav")
NAMES += (b" blanks .wav", b"[red]m.wav", '"\u202egnp",.wav'.encode(), "\u266b.wav".encode())
PARTS = ("data", "new")
CLASSES = (b"high\xe9", "l\u00f6w\x1b[7m".encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of tones, under names of all kinds; the same names in `new`, of other tones."""
    root = tmp_path_factory.mktemp("any")
    t, rng = np.arange(4_000) / 16_000, np.random.default_rng(0)
    for (label, hz), part in itertools.product(zip(CLASSES, (1_800, 240), strict=True), PARTS):
        place = os.fsencode(root / part) + b"/" + label
        os.makedirs(place)
        for k, name in enumerate(NAMES):
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(size=4_000)
            with open(place + b"/" + name, "wb") as file:
                soundfile.write(file, x, 16_000, format="WAV")
    return root / "data"


@pytest.fixture(scope="module")
def model(folder):
    path = folder.parent / os.fsdecode(b"mod\xe9\x1b[1ml.earmark")
    arguments = ("--backbone", "logmel", "--no-compare", "--no-store")
    shown = earmark("train", folder, "-o", path, *arguments).stdout
    assert one_line(shown.replace("\n", "")) == shown.replace("\n", "")
    return path


def stream(monkeypatch, encoding, errors="strict"):
    """Put a stream of bytes in the place of standard output."""
    out = io.TextIOWrapper(io.BytesIO(), encoding, errors)
    monkeypatch.setattr(sys, "stdout", out)
    return out.buffer


def same(paths, folder):
    """Say whether ``paths`` are the recordings of ``folder``, all of them and no other."""
    return sorted(map(os.fsencode, paths)) == sorted(
        os.fsencode(c.path) for c in Dataset.read(folder)
    )


def test_every_form_of_answer_names_every_file_and_is_read_again(folder, model, tmp_path):
    shown = earmark("predict", model, folder).stdout
    assert len(shown.splitlines()) == 2 * len(NAMES)
    assert "\x1b" not in shown and "\u202e" not in shown and "x\\x1b[31mred.wav" in shown
    for form, suffix in (("--csv", "csv"), ("--json", "jsonl")):
        out = earmark("predict", model, folder, form).stdout
        (tmp_path / f"p.{suffix}").write_bytes(out.encode(errors="surrogateescape"))
        again = Dataset.read(tmp_path / f"p.{suffix}")
        assert same([clip.path for clip in again], folder)
        assert again.labels == Dataset.read(folder).labels == list(map(os.fsdecode, CLASSES))
    names = "\n".join(str(c.path) for c in Dataset.read(folder) if "\n" not in str(c.path))
    listed = earmark("predict", model, "-", "--json", stdin=names).stdout.splitlines()
    assert [json.loads(line)["path"] for line in listed] == names.split("\n")


def test_review_doctor_and_evaluate_take_any_name(folder, model, tmp_path):
    decisions, corrected = tmp_path / "d.csv", tmp_path / "c.csv"
    done = earmark("review", folder, "--backbone", "logmel", "-o", decisions, "--no-store")
    assert "\x1b" not in done.stdout + done.stderr
    assert "as 'high\\xe9'" in done.stdout and "udce9" not in done.stdout
    earmark("review", folder, "--apply", decisions, "-o", corrected)
    assert same([clip.path for clip in Dataset.read(corrected)], folder)
    report = tmp_path / "report"
    new = folder.parent / "new"
    Dataset.read(new).to_manifest(tmp_path / "new.csv")
    done = earmark("evaluate", model, tmp_path / "new.csv", "--report", report, "--no-store")
    assert "accuracy  1.000" in done.stdout
    assert json.loads((report / "summary.json").read_text())["data"] == str(tmp_path / "new.csv")
    assert same([clip.path for clip in Dataset.read(report / "answers.csv")], new)
    for data in (folder, corrected):
        assert "\x1b" not in earmark("doctor", data).stdout


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_embeddings_keep_the_names_or_their_escapes(folder, tmp_path, suffix):
    out = tmp_path / f"e.{suffix}"
    earmark("embed", folder, "-o", out, "--backbone", "logmel", "--no-store")
    if suffix == "npz":
        assert same(np.load(out)["path"].tolist(), folder)
        return
    paths = pytest.importorskip("pyarrow.parquet").read_table(out)["path"].to_pylist()
    assert sum(path.endswith("\\xfc.wav") for path in paths) == 2
    assert sum(os.path.isfile(path) for path in paths) == len(NAMES) - 1  # those in l\u00f6w


def test_a_data_frame_has_escapes_where_it_holds_utf8_only(folder, model):
    import earmark as library

    frame = library.load(model).predict_dataframe(folder)
    assert sum(path.endswith("\\xfc.wav") for path in map(str, frame["path"])) == 2
    names = getattr(frame, "column_names", None) or list(frame.columns)  # of pyarrow, pandas
    assert "score_high\\xe9" in names


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_no_encoding_of_standard_output_loses_a_name(encoding, monkeypatch):
    names = ["\u266b.wav", "\udcfc.wav", "\xfc.wav", "a\x1b[2J.wav"]
    out = stream(monkeypatch, encoding)
    text.show(*names)
    lines = out.getvalue().decode(encoding).splitlines()
    assert [line.replace("\u266b", "\\u266b").replace("\xfc", "\\xfc") for line in lines] == [
        "\\u266b.wav", "\\xfc.wav", "\\xfc.wav", "a\\x1b[2J.wav"
    ]  # fmt: skip
    out = stream(monkeypatch, encoding)
    text.print_json({"path": names})
    assert json.loads(out.getvalue().decode(encoding))["path"] == names
    out = stream(monkeypatch, encoding)
    text.print_csv([[name] for name in names[:2]])
    if encoding in ("ascii", "utf-8"):
        assert out.getvalue() == b"\xe2\x99\xab.wav\n\xfc.wav\n"


def test_no_form_of_answer_commands_a_terminal(monkeypatch):
    """A file's name may hold escape sequences; a table for a file or a pipe keeps them."""
    name = "x\x1b[2J\x9b1m\u202e\n\udcfc.wav"
    for is_terminal in (False, True):
        out = stream(monkeypatch, "utf-8")
        monkeypatch.setattr(sys.stdout, "isatty", lambda answer=is_terminal: answer)
        text.print_csv([[name, "a, b"]])
        kept = b'"x\x1b[2J\xc2\x9b1m\xe2\x80\xae\n\xfc.wav","a, b"\n'
        escaped = rb'x\x1b[2J\x9b1m\u202e\n\xfc.wav,"a, b"' + b"\n"
        assert out.getvalue() == (escaped if is_terminal else kept)
    out = stream(monkeypatch, "utf-8")
    text.print_json({"path": name})
    assert UNSHOWABLE.search(out.getvalue().decode().rstrip("\n")) is None
    assert json.loads(out.getvalue())["path"] == name


def test_a_mistake_in_any_argument_is_shown_without_control_characters(folder, model):
    evil = "\x1b[31m\u202e\nx\udce9"
    for arguments in (
        ("predict", model, folder.parent / evil),
        ("predict", folder.parent / evil, folder),
        ("predict", model, folder, f"--{evil}"),
        ("train", folder, "-o", "m", "--backbone", evil),
        (evil,),
    ):
        shown = earmark(*arguments, expect=2).stderr.replace("\n", "")
        assert "\\x1b[31m" in shown and one_line(shown) == shown


def test_the_c_locale_and_ascii_streams_answer_as_any_other(folder, model):
    paths = [os.fsencode(clip.path) for clip in Dataset.read(folder)]
    names = b"".join(path + b"\n" for path in paths if b"\n" not in path)
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "earmark", "predict", os.fsencode(model), "-", "--csv"]
    done = subprocess.run(command, input=names, capture_output=True, env=os.environ | settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(CLASSES[0]) >= len(NAMES) - 1 and b"l\xc3\xb6w" in done.stdout


def test_cells_are_quoted_where_a_reader_would_lose_something():
    import csv

    rows = [["a", "b c", 'say "x"', "1,2"], ["\r", "\n", " a", "b "], ["", "a;b", "\t", "\r\n"]]
    read = csv.reader(io.StringIO(to_csv(rows), newline=""), skipinitialspace=True, strict=True)
    assert list(read) == rows
    assert to_csv([["a b", None, 0.5]]) == "a b,,0.5\n"
    assert json_text({"a": "\xfc"}) == '{"a": "\xfc"}' and json_text("\udcfc") == '"\\udcfc"'
