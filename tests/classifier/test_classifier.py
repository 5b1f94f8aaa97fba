"""The classifier file: what it keeps, and what is refused."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

import earmark
from earmark.classifier.calibration import Calibration
from earmark.classifier.classifier import BackboneUse, Classifier, Head
from earmark.classifier.decision import DecisionRule
from earmark.classifier.estimate import Estimate
from earmark.classifier.features import FeatureSpec
from earmark.errors import ModelError

ESTIMATE = Estimate("5 folds", 0.5, (0.4, 0.6), 0.5, 0.1, 0.3, 20, folds=(), classes=())


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A classifier of six synthetic features; no audio is needed to look at a file."""
    rng = np.random.default_rng(0)
    tensors = {
        "mean": rng.normal(size=128),
        "scale": np.ones(128),
        "weight": rng.normal(size=(3, 128)),
        "bias": rng.normal(size=3),
    }
    head = Head("linear", {k: v.astype(np.float32) for k, v in tensors.items()})
    fingerprint = earmark.load_backbone("logmel").fingerprint
    made = Classifier(
        ("a", "b", "ç"),
        (BackboneUse("logmel", fingerprint, ("logmel",)),),
        head,
        Calibration(1.3),
        (FeatureSpec((("logmel",),)),),
        DecisionRule(nonconformity=(0.1, 0.4)),
        ESTIMATE,
        {"seed": 0},
    )
    path = tmp_path_factory.mktemp("models") / "m.earmark"
    made.save(path)
    return path


def rewritten(path: Path, into: Path, **changes) -> Path:
    """Edit the JSON header by hand, as somebody might."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["earmark"])
    header.update(changes)
    (into / "edited.earmark").write_bytes(save(load(content), {"earmark": json.dumps(header)}))
    return into / "edited.earmark"


def test_what_is_saved_is_loaded(saved, tmp_path):
    loaded = Classifier.load(saved)
    assert loaded.labels == ("a", "b", "ç") and loaded.calibration == Calibration(1.3)
    x = np.random.default_rng(1).normal(size=(5, 128)).astype(np.float32)
    loaded.save(tmp_path / "again.earmark")
    assert (tmp_path / "again.earmark").read_bytes() == saved.read_bytes()
    again = Classifier.load(tmp_path / "again.earmark")
    np.testing.assert_array_equal(loaded.scores(x), again.scores(x))
    np.testing.assert_allclose(loaded.scores(x).sum(1), 1, rtol=1e-5)


def test_every_truncation_is_refused(saved, tmp_path):
    content = saved.read_bytes()
    for size in [0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1]:
        (tmp_path / "cut.earmark").write_bytes(content[:size])
        with pytest.raises(ModelError, match="is not a classifier, or the file is incomplete"):
            Classifier.load(tmp_path / "cut.earmark")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"schema": 99},
            r"has schema 99, and this earmark \(.*\) reads 2 and 3 and 4 and 5. Update earmark",
        ),
        ({"labels": ["b", "a", "c"]}, "was changed after it was saved"),
        ({"temperature": 1.0}, "was changed after it was saved"),
        ({"digest": "0" * 64}, "was changed after it was saved"),
    ],
)
def test_newer_and_edited_files_are_refused(saved, tmp_path, changes, text):
    with pytest.raises(ModelError, match=text):
        Classifier.load(rewritten(saved, tmp_path, **changes))


def test_foreign_files_are_refused(tmp_path):
    with pytest.raises(ModelError, match="does not exist. Give the file"):
        Classifier.load(tmp_path / "none.earmark")
    with pytest.raises(ModelError, match="is not a file but a folder"):
        Classifier.load(tmp_path)
    (tmp_path / "foreign").write_bytes(save({"x": np.zeros(3, np.float32)}))
    with pytest.raises(ModelError, match="is a safetensors file but not a classifier"):
        Classifier.load(tmp_path / "foreign")
    (tmp_path / "pickle").write_bytes(b"\x80\x04\x95 cos\nsystem\n")
    with pytest.raises(ModelError, match="is not a classifier"):
        Classifier.load(tmp_path / "pickle")


def test_a_head_of_another_kind_is_refused(saved, tmp_path, monkeypatch):
    odd = replace(Classifier.load(saved), head=Head("forest", Classifier.load(saved).head.tensors))
    words = "head is 'forest'; it must be one of prototype, linear, logistic, mlp"
    with pytest.raises(ModelError, match=words):
        odd.save(tmp_path / "odd.earmark")
    monkeypatch.setattr("earmark.classifier.saving.check", lambda *_: None)
    odd.save(tmp_path / "odd.earmark")
    monkeypatch.undo()
    with pytest.raises(ModelError, match=words):
        Classifier.load(tmp_path / "odd.earmark")


def test_another_backbone_than_trained_with_is_refused(saved, tones):
    use = BackboneUse("logmel", "logmel/0/none/float32", ("logmel",))
    old = replace(Classifier.load(saved), backbones=(use,))
    with pytest.raises(
        ModelError, match="backbone logmel/0/none/float32: .* no version 0 here, only 1 and 2. Use"
    ):
        list(old.predict(tones.rglob("*.wav")))


def test_predictions_keep_the_order_and_report_failures(saved, tones, tmp_path):
    (tmp_path / "no.wav").write_text("no sound")
    recordings = sorted(tones.rglob("*.wav"))
    paths = [recordings[3], tmp_path / "no.wav", recordings[0], tmp_path / "missing.wav"]
    answers = list(Classifier.load(saved).predict(paths))
    assert [a.path for a in answers] == [str(p) for p in paths]
    assert [a.error is None for a in answers] == [True, False, True, False]
    assert "No such file" in answers[3].error
    assert list(answers[0].scores.values()) == sorted(answers[0].scores.values(), reverse=True)


def test_a_prediction_does_not_depend_on_the_others(saved, tones):
    recordings = sorted(tones.rglob("*.wav"))
    classifier = Classifier.load(saved)
    together = list(classifier.predict(recordings))
    alone = [classifier.predict(path) for path in recordings]
    assert together == alone


def test_an_estimate_is_what_it_was_after_json_and_says_so_when_it_is_asked_as_in_0_1():
    full = replace(ESTIMATE, learning_curve=(), unknown={"rate": 0.05}, answered_unknown=0)
    for estimate in (ESTIMATE, full):
        assert Estimate.from_dict(json.loads(json.dumps(estimate.to_dict()))) == estimate
    assert full.to_dict()["ci95"] == [0.4, 0.6] and "map" not in full.to_dict()
    assert "ece_expected" not in ESTIMATE.to_dict()  # as in files of 0.1
    beside = {"ece_expected": 0.08, "ece_debiased": 0.05}
    new = Estimate.from_dict({**ESTIMATE.to_dict(), **beside})
    assert (new.calibration_error_expected, new.calibration_error_debiased) == (0.08, 0.05)
    assert new.to_dict() == {**ESTIMATE.to_dict(), **beside}
    with pytest.raises(KeyError, match="ece"):
        Estimate.from_dict({k: v for k, v in full.to_dict().items() if k != "ece"})
    with pytest.warns(DeprecationWarning, match="an estimate is now an object"):
        assert ESTIMATE["accuracy"] == 0.5


def test_reprs_are_one_line(saved, tones):
    classifier = Classifier.load(saved)
    training = earmark.train(tones, backbone="logmel", head="prototype", compare=False)
    things = [classifier, training, training.estimate, training.out_of_fold]
    things += [
        classifier.predict(tones),
        earmark.evaluate(training.classifier, tones, include_known=True),
    ]
    things += [earmark.embed(tones, "logmel"), earmark.review(tones, backbone="logmel")]
    for thing in things:
        text = repr(thing[0] if isinstance(thing, list) else thing)
        assert "\n" not in text and len(text) < 200, text
    assert "12 clips, 2 classes" in str(training) and "accuracy  1.000" in str(training)
