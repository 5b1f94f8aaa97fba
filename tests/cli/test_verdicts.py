"""What is said of a classifier that is worth nothing: by every command that uses it, and first."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import earmark
from earmark.apps.cli.compare import table
from earmark.classifier.classifier import Classifier
from earmark.classifier.estimate import Estimate
from earmark.classifier.schema import ESTIMATE
from earmark.training.comparison import Comparison, Entry, recommend

WORTHLESS = "verdict   worthless:"


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> Path:
    """Thirty clips of noise: classes without any difference, one larger than the other."""
    folder, rng = tmp_path_factory.mktemp("noise") / "noise", np.random.default_rng(5)
    for n in range(30):
        path = folder / ("hungry" if n % 3 else "tired") / f"{n}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.normal(size=6_000), 16_000)
    return folder


@pytest.fixture(scope="module")
def model(noise) -> Path:
    path = noise.parent / "m.earmark"
    earmark("train", noise, "-o", path, "--backbone", "logmel", "--no-store", "--no-compare")
    return path


def test_train_says_so_first_and_exits_with_0(noise, tmp_path):
    arguments = ("train", noise, "-o", tmp_path / "m", "--backbone", "logmel", "--no-compare")
    said = earmark(*arguments, "--report", tmp_path / "r").stdout.splitlines()
    quantities = [line.split()[0] for line in said]
    assert quantities.index("verdict") < quantities.index("balanced")
    assert any(line.startswith(f"  {WORTHLESS} balanced accuracy") for line in said)
    estimate = json.loads((tmp_path / "r" / "summary.json").read_text())["estimate"]
    assert estimate["verdict"]["word"] == "worthless"
    assert estimate["headline"]["name"] == "balanced_accuracy"
    assert all("balanced_accuracy" in fold for fold in estimate["folds"])
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Verdict: worthless." in page and "not significantly better than guessing" in page
    assert "about as high as they should be" not in page


def test_predict_says_so_beside_its_answers(noise, model):
    done = earmark("predict", model, noise / "hungry" / "1.wav", "--csv")
    assert "the verdict on this classifier is 'worthless': balanced accuracy" in done.stderr
    assert done.stdout.startswith("path,label,score") and done.stdout.count("\n") == 2


def test_evaluate_has_a_verdict_of_its_own(noise, model):
    done = earmark("evaluate", model, noise, "--include-known")
    assert (
        "verdict" in done.stdout and "the verdict on this classifier is 'worthless'" in done.stderr
    )


@pytest.mark.parametrize("source", ["model", "data"])
def test_review_says_so_first(noise, model, source):
    arguments = (model,) if source == "model" else (noise, "--backbone", "logmel", "--head=linear")
    said = earmark("review", *arguments, "--top", 3).stdout
    assert "the verdict on this classifier is 'worthless'" in said.splitlines()[0]
    assert "The doubts of a weak classifier mean little" in said.splitlines()[1]
    told = json.loads(earmark("review", *arguments, "--top", 3, "--json").stdout)
    assert told["verdict"]["word"] == "worthless"


def test_nothing_of_it_is_said_of_a_good_one(tones, tmp_path):
    good = tmp_path / "good.earmark"
    said = earmark("train", tones, "-o", good, "--backbone", "logmel", "--report", tmp_path / "r")
    assert "verdict   care: accuracy is 1.000; guessing gives 0.500, but" in said.stdout
    assert "worthless" not in earmark("predict", good, tones / "low" / "0.wav").stderr
    assert "worthless" not in earmark("review", good, "--top", 2).stdout
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Verdict: care." in page and "about as high as they should be" in page


def test_compare_recommends_nothing_that_is_worthless():
    verdict = {"word": "worthless", "why": "balanced accuracy is 0.190; guessing gives 0.200."}
    entry = Entry(("yamnet",), 0.7, (0.1, 0.3), 0.0, (0.0, 0.0), 1.0, 9.0, None, 0.1, 0.19, verdict)
    other = replace(entry, backbones=("logmel",), accuracy=0.8, balanced_accuracy=0.18)
    name, sentence = recommend([entry, other])
    assert name == "yamnet"  # the accuracy of the other is higher, and says less
    assert sentence.startswith(
        "Take none for now: the predictions of yamnet are worthless: balanced"
    )
    shown = "\n".join(table(Comparison((entry, other), "5 folds", 40, (), name, sentence)))
    assert "balanced accuracy (95 %)" in shown and "0.190 (0.100 to 0.300)" in shown


@pytest.mark.parametrize(
    "broken",
    [
        {"verdict": 3},
        {"verdict": {"word": "fine", "why": ""}},
        {"verdict": {"word": "use"}},
        {"headline": []},
        {"headline": {"name": "accuracy", "value": 0.5, "chance": 0.2, "ci95": [0.1]}},
        {"headline": {"name": "luck", "value": 0.5, "chance": 0.2, "ci95": [0.1, 0.9]}},
        {"headline": {"name": "accuracy", "value": 2, "chance": 0.2, "ci95": [0.1, 0.9]}},
    ],
)
def test_a_verdict_that_no_training_writes_is_refused(model, broken):
    saved = Classifier.load(model).estimate.to_dict()
    assert Estimate.from_dict(saved).to_dict() == saved
    with pytest.raises(ValueError, match=r"estimate\.(verdict|headline)"):
        ESTIMATE(saved | broken, "estimate")
