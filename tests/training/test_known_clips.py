"""`evaluate` on what was trained on: known under any name, counted, and left out by default."""

import base64
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark
from command_line import earmark as command
from earmark.audio.source import FileSource
from earmark.classifier.known import KnownClips
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.errors import DataError, ModelError


def write_tones(folder: Path, numbers: range, suffix: str = ".wav") -> Path:
    for label, hz in (("high", 1_800), ("low", 240)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for k in numbers:
            rng, t = np.random.default_rng(k), np.arange(8_000) / 16_000
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * t) + 0.01 * rng.normal(size=8_000)
            pcm = np.round(32_767 * x).astype(np.int16)
            soundfile.write(folder / label / f"{k}{suffix}", pcm, 16_000)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tones(tmp_path_factory.mktemp("known") / "trained", range(6))


@pytest.fixture(scope="module")
def classifier(data):
    return earmark.train(data, backbone="logmel", head="linear", compare=False).classifier


@pytest.fixture(scope="module")
def model(data, classifier):
    classifier.save(data.parent / "m.earmark")
    return data.parent / "m.earmark"


def test_what_was_trained_on_is_refused_with_the_way_out(data, model):
    done = command("evaluate", model, data, expect=2)
    assert "the classifier was trained on all 12 clips of" in done.stderr
    assert "--include-known" in done.stderr and done.stderr.count("\n") == 1
    counted = command("evaluate", model, data, "--include-known", "--json")
    figures = json.loads(counted.stdout)
    assert (figures["clips"], figures["known"], figures["includes_known"]) == (12, 12, True)
    assert "note: 12 clips that the classifier was trained on are counted" in counted.stderr
    assert figures["verdict"]["word"] == "care"
    assert "12 clips that the classifier was trained on" in figures["verdict"]["why"]


def test_known_clips_are_left_out_and_counted(data, model, tmp_path):
    mixed = shutil.copytree(data, tmp_path / "mixed")
    write_tones(mixed, range(20, 24))
    done = command("evaluate", model, mixed, "--json", "--report", tmp_path / "r")
    figures = json.loads(done.stdout)
    assert (figures["clips"], figures["known"], figures["known_recordings"]) == (8, 12, 0)
    assert "note: 12 clips that the classifier was trained on are left out." in done.stderr
    saved = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert saved["known"] == 12 and saved["verdict"] == figures["verdict"]
    assert "left out" in command("evaluate", model, mixed).stderr


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff"])
def test_a_copy_is_known_by_its_content_and_by_its_sound(classifier, tmp_path, suffix):
    """Renamed, and written again without loss: in another container the bytes are others."""
    copies = write_tones(tmp_path, range(2, 4), suffix)
    for n, path in enumerate(sorted(copies.rglob(f"*{suffix}"))):
        path.rename(path.with_name(f"renamed {n}{suffix}"))
    with pytest.raises(DataError, match="trained on all 4 clips"):
        earmark.evaluate(classifier, copies)


@pytest.mark.parametrize("backbone", ["logmel", "speech-embedding"])
def test_other_clips_are_not_known(data, tmp_path, backbone):
    """Tones that differ by 2 % from those trained on, and their noise by its seed."""
    classifier = earmark.train(data, backbone=backbone, head="linear", compare=False).classifier
    evaluation = earmark.evaluate(classifier, write_tones(tmp_path, range(6, 12)))
    assert (evaluation.n_known, evaluation.n_related, len(evaluation.tested.clips)) == (0, 0, 12)
    assert evaluation.notes == ()


def test_other_stretches_of_a_recording_are_said_and_kept(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for k in range(10):
        t = np.arange(24_000) / 16_000
        x = 0.3 * np.sin(2 * np.pi * (300 if k % 2 else 1_500) * t) + 0.02 * rng.normal(size=24_000)
        soundfile.write(tmp_path / f"{k}.wav", x, 16_000)
        rows.append(Clip(path=tmp_path / f"{k}.wav", label="ab"[k % 2], start=0.0, end=0.5))
    made = earmark.train(Dataset(tuple(rows), "first"), backbone="logmel", compare=False)
    later = tuple(dataclasses.replace(clip, start=0.75, end=1.25) for clip in rows)
    evaluation = earmark.evaluate(made.classifier, Dataset(later, "later"))
    assert (evaluation.n_known, evaluation.n_related) == (0, 10)
    assert "10 clips come from recordings of which the classifier was" in evaluation.notes[0]
    word = evaluation.estimate.verdict
    assert word["word"] != "use" and "trained on another stretch" in word["why"]
    assert earmark.evaluate(made.classifier, Dataset((*later, *rows), "both")).n_known == 10


def test_a_test_split_is_not_trained_on(data, tmp_path):
    rows = ["path,label,split"]
    for path in sorted(data.rglob("*.wav")):
        rows.append(f"{path},{path.parent.name},{'test' if int(path.stem) > 3 else 'train'}")
    (tmp_path / "split.csv").write_text("\n".join(rows))
    made = earmark.train(tmp_path / "split.csv", backbone="logmel", compare=False)
    evaluation = earmark.evaluate(made.classifier, data)
    assert (evaluation.n_known, len(evaluation.tested.clips)) == (8, 4)


def test_a_published_file_has_no_hashes(data, classifier, model, tmp_path):
    classifier.save(tmp_path / "open.earmark", hashes=False)
    assert earmark.load(tmp_path / "open.earmark").known is None
    assert earmark.load(model).known == classifier.known
    evaluation = earmark.evaluate(tmp_path / "open.earmark", data)
    assert evaluation.n_known is None and evaluation.figures["known"] is None
    assert "does not say which clips it was trained on" in evaluation.notes[0]
    arguments = ("--backbone", "logmel", "--no-compare", "--no-hashes")
    command("train", data, "-o", tmp_path / "n.earmark", *arguments)
    assert earmark.load(tmp_path / "n.earmark").known is None
    assert "does not say" in command("evaluate", tmp_path / "n.earmark", data).stderr


def test_hashes_have_8_bytes_and_a_key_of_their_classifier(data, classifier):
    assert len(classifier.known.key) == 16
    assert {len(h) for h in classifier.known.hashes} == {8}
    assert len(classifier.known.hashes) == 3 * 12  # of each clip, its sound and its recording
    fewer = Dataset(tuple(c for c in Dataset.read(data) if c.path.stem != "5"), "fewer")
    other = earmark.train(fewer, backbone="logmel", head="linear", compare=False).classifier
    assert not other.known.hashes & classifier.known.hashes
    again = earmark.train(data, backbone="logmel", head="linear", compare=False).classifier
    assert again.known == classifier.known


@pytest.mark.parametrize(
    "saved",
    [
        {},
        None,
        7,
        {"key": "00", "hashes": ""},
        {"key": "00" * 16, "hashes": "AAAA"},
        {"key": "zz" * 16, "hashes": ""},
        {"key": "00" * 16, "hashes": "!"},
        {"key": 3, "hashes": 4},
    ],
)
def test_hashes_that_are_none_are_refused(saved, classifier, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="hashes of training clips"):
        KnownClips.from_json(saved)
    monkeypatch.setattr(KnownClips, "to_json", lambda _: saved)
    monkeypatch.setattr("earmark.classifier.saving.check", lambda *_: None)
    dataclasses.replace(classifier).save(tmp_path / "m.earmark")
    monkeypatch.undo()
    with pytest.raises(ModelError, match="known|training clips"):
        earmark.load(tmp_path / "m.earmark")


def test_no_recording_is_read_twice_for_it(data, monkeypatch):
    read, loaded = [], FileSource.loaded
    monkeypatch.setattr(FileSource, "loaded", lambda s: read.append(s.name) or loaded(s))
    made = earmark.train(data, backbone="logmel", head="linear", compare=False)
    assert len(read) == len(set(read)) == 12 and made.classifier.known is not None


def test_hashes_that_are_not_sorted_or_come_twice_are_refused():
    hashes = [bytes([n]) * 8 for n in (1, 2, 200)]
    for order in ((1, 0, 2), (0, 0, 1), (0, 2, 1)):
        joined = base64.b64encode(b"".join(hashes[n] for n in order)).decode()
        with pytest.raises(ValueError, match="not sorted"):
            KnownClips.from_json({"key": "00" * 16, "hashes": joined})
    made = KnownClips(bytes(16), b"".join(hashes))
    assert KnownClips.from_json(made.to_json()) == made and made.hashes == set(hashes)
    assert [made._has(key) for key in (*hashes, b"\x03" * 8, b"\xff" * 8)] == [True] * 3 + [
        False
    ] * 2
