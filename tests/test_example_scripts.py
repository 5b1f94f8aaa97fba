"""The example of an exported classifier in Python gives the answers of predict, without earmark."""

import ast
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from earmark import backbones
from earmark.classifier.decision import DecisionRule
from earmark.classifier.onnx import checks
from made_classifier import made_classifier

SCRIPT = Path(__file__).parents[1] / "examples" / "onnx_python.py"
FORMATS = (("PCM_16", 16_000, 1), ("PCM_24", 44_100, 2), ("FLOAT", 8_000, 2), ("DOUBLE", 22_050, 1))


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    rng, paths = np.random.default_rng(0), []
    for number, (subtype, rate_hz, channels) in enumerate(FORMATS):
        t = np.arange(int(0.7 * rate_hz)) / rate_hz
        x = 0.3 * np.sin(2 * np.pi * 300 * (number + 1) * t) + rng.normal(0, 0.01, t.shape)
        x = np.stack([x, 0.5 * rng.normal(0, 0.1, t.shape)], 1)[:, :channels]
        paths.append(tmp_path / f"{subtype}.wav")
        soundfile.write(paths[-1], x, rate_hz, subtype=subtype)
    return paths


def answers(model: Path, recordings: list[Path]) -> list[list[str]]:
    """Run the script as somebody does who has no earmark."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(SCRIPT), str(model), *map(str, recordings)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment, cwd=model.parent
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


def check(classifier: earmark.Classifier, recordings: list[Path], folder: Path) -> set[int]:
    """Compare the script with predict; return how many classes its answers had, 0 for unknown."""
    earmark.export(classifier, folder / "model.onnx")
    counts = set()
    for path, (name, *found) in zip(
        recordings, answers(folder / "model.onnx", recordings), strict=True
    ):
        expected = classifier.predict(path)
        assert name == str(path)
        if expected.is_unknown:
            assert found == ["unknown"]
            counts.add(0)
            continue
        scores = dict(text.rsplit(" ", 1) for text in found)
        assert scores.keys() == set(expected.labels)
        for label, score in scores.items():
            assert float(score) == pytest.approx(expected.scores[label], abs=5e-5)
        counts.add(len(scores))
    return counts


def test_one_class_or_unknown(recordings, tmp_path):
    pytest.importorskip("onnx", reason="the extra earmark[onnx] is not installed")
    pytest.importorskip("onnxruntime", reason="the extra earmark[onnx] is not installed")
    classifier = made_classifier([backbones.load_backbone("logmel")])
    content = earmark.export(classifier).content
    graph = checks.open_graph(content)
    known = [
        checks.graph_answer(graph, earmark.audio.load(path, 16_000)).known for path in recordings
    ]
    rule = dataclasses.replace(classifier.decision_rule, unknown_threshold=float(np.median(known)))
    classifier = dataclasses.replace(classifier, decision_rule=rule)
    assert check(classifier, recordings, tmp_path) == {0, 1}


def test_several_classes_and_a_channel(recordings, tmp_path):
    pytest.importorskip("onnx", reason="the extra earmark[onnx] is not installed")
    pytest.importorskip("onnxruntime", reason="the extra earmark[onnx] is not installed")
    made = made_classifier([backbones.load_backbone("logmel")], is_single=False)
    classifier = dataclasses.replace(
        made,
        decision_rule=DecisionRule((0.3, 0.5, 0.7)),
        provenance={"audio": {"channel": 2}},
    )
    two_channels = [path for path in recordings if path.stem in ("PCM_24", "FLOAT")]
    assert check(classifier, two_channels, tmp_path)


def test_the_script_is_short_and_needs_three_packages():
    text = SCRIPT.read_text("utf-8")
    tree = ast.parse(text)
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported == {"json", "sys", "onnxruntime", "soundfile", "soxr"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
    lines = text[text.index("import json") :].splitlines()
    assert len(list(filter(None, lines))) <= 20
