"""A classifier that is trained from parts is the one that is trained from the recordings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import earmark as library
import noisy_tones
from command_line import earmark
from earmark.embeddings.table import EmbeddingTable
from earmark.errors import BackboneError

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = noisy_tones.write_clips(tmp_path_factory.mktemp("data") / "clips", count=8)
    (folder / "low" / "bad.wav").write_bytes(b"no audio")
    return folder


@pytest.fixture(scope="module")
def parts(recordings, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("parts") / "tones"
    done = earmark("embed", recordings, "-o", out, "--backbone", "logmel", expect=1)
    assert done.stdout.startswith("17 clips, 1 failure, 0.00 h of audio: 1 part, 1 computed now ->")
    assert "bad.wav" in done.stderr
    return out


@pytest.fixture(scope="module")
def expected(recordings):
    return library.train(recordings, backbone="logmel", compare=False)


@pytest.mark.parametrize("is_large", [False, True])
def test_it_is_the_same_classifier(parts, expected, is_large, monkeypatch):
    if is_large:
        monkeypatch.setattr(EmbeddingTable, "nbytes", 10**12)
    training = library.train(parts, compare=False)
    (embeddings,) = training.embedded.embeddings
    assert isinstance(embeddings.matrix, EmbeddingTable) == is_large and embeddings.computed == 0
    assert training.classifier.provenance["data"] == expected.classifier.provenance["data"]
    assert [f.path for f in training.skipped] == [f.path for f in expected.skipped]
    assert training.estimate.accuracy == expected.estimate.accuracy
    clips = [clip.path for clip in expected.embedded.clips]
    ours, theirs = (t.classifier.predict_proba(clips) for t in (training, expected))
    assert np.array_equal(ours, theirs)


def test_recordings_may_be_elsewhere(parts, recordings, expected, tmp_path):
    moved = shutil.copytree(parts, tmp_path / "moved")
    settings = json.loads((moved / "parts.json").read_text())
    settings["data"]["root"] = str(tmp_path / "gone")
    (moved / "parts.json").write_text(json.dumps(settings))
    done = earmark("train", moved, "-o", tmp_path / "m.earmark", "--allow-skips", "--json")
    told = json.loads(done.stdout)
    assert told["estimate"]["accuracy"] == expected.estimate.accuracy


def test_other_backbones_and_other_weights_are_refused(parts, tmp_path):
    for name in ("speech-embedding", "logmel,speech-embedding"):
        done = earmark("train", parts, "-o", tmp_path / "m", "--backbone", name, expect=2)
        assert f"has embeddings of logmel, not of {name}. Leave --backbone out" in done.stderr
    other = shutil.copytree(parts, tmp_path / "other")
    settings = json.loads((other / "parts.json").read_text())
    settings["fingerprint"] = "logmel/2/0000/float32"
    (other / "parts.json").write_text(json.dumps(settings))
    with pytest.raises(
        BackboneError, match="embeddings of logmel/2/0000/float32, but this run has"
    ):
        library.train(other)
    done = earmark("train", parts, "-o", tmp_path / "m", "--channel", 1, expect=2)
    assert "the parts were computed with AudioOptions(channel=None" in done.stderr
