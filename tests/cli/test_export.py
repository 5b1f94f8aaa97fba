"""``earmark export`` from the command line."""

import json
from pathlib import Path

import pytest

from command_line import earmark
from tones import tone_detector

pytest.importorskip("onnx", reason="the extra earmark[onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra earmark[onnx] is not installed")

FILES = Path(__file__).parents[1] / "fixtures" / "0.1"
MODEL = FILES / "mlp.earmark"


def test_a_graph_is_written_checked_and_described(tmp_path):
    path = tmp_path / "new" / "mine.onnx"
    hum = FILES / "recordings" / "hum"
    done = earmark("export", MODEL, "-o", path, "--verify", hum, "--precision", "float16")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{path}: ") and "float16, 16000 Hz" in lines[0]
    assert "scores differ from those of predict by" in lines[1]
    assert f"licences: {path.with_name('LICENSES.txt')}" in lines
    told = json.loads(earmark("export", MODEL, "--check", path, "--json").stdout)
    assert told["bytes"] == path.stat().st_size and told["licences"] is None
    assert told["description"]["precision"] == "float16"
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    done = earmark("export", MODEL, "--check", path, expect=2)
    assert "was changed after it was exported" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to write. Give -o FILE.onnx, --web DIR, or both."),
        (["-o", "x.txt"], "-o is x.txt, which does not end in .onnx"),
        (["-o", "x.onnx", "--precision", "int8"], "--precision is 'int8'. Give float32 or float16"),
        (["-o", "x.onnx", "--check", "y.onnx"], "--check writes nothing"),
        (["--check", "missing.onnx"], "cannot read missing.onnx"),
        (["-o", "x.onnx", "--verify", "missing"], "missing"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments, words, tmp_path):
    done = earmark("export", MODEL, *arguments, expect=2, cwd=tmp_path)
    assert words in done.stderr and not list(tmp_path.iterdir())


def test_a_detector_has_no_page(tmp_path):
    model = tone_detector(tmp_path / "tones")
    done = earmark("export", model, "--web", tmp_path / "web", expect=2)
    assert "is for classifiers of clips" in done.stderr and not (tmp_path / "web").exists()
    done = earmark("export", model, "-o", tmp_path / "tones.onnx")
    assert "scores differ from those of stream by" in done.stdout


def test_an_unreadable_recording_of_verify_is_named(tmp_path):
    odd = FILES / "recordings" / "odd"
    done = earmark("export", MODEL, "-o", tmp_path / "x.onnx", "--verify", odd, expect=2)
    assert "broken.wav: cannot be read" in done.stderr and not list(tmp_path.iterdir())


def test_a_file_that_is_no_classifier_is_refused(tmp_path):
    (tmp_path / "x.earmark").write_text("no")
    done = earmark("export", tmp_path / "x.earmark", "-o", tmp_path / "x.onnx", expect=2)
    assert "is not a classifier" in done.stderr
