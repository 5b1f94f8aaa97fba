"""Clips of no class, silence, a class called unknown, and empty arguments."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import earmark
from command_line import earmark as run
from earmark.data.clip import Clip, split_label
from earmark.data.dataset import Dataset
from earmark.data.splits import make_scheme
from earmark.errors import DataError, EarmarkError
from earmark.training.evaluation import evaluate

TONES_HZ = {"high": 3_000.0, "low": 300.0}


@pytest.fixture(scope="module")
def chords(tmp_path_factory):
    """Manifests m.csv and new.csv of clips of two tones, of one, and of none (every third)."""
    folder, rng = tmp_path_factory.mktemp("none"), np.random.default_rng(0)
    sets = ([], ["high"], ["low"], [], ["high", "low"], ["low"])
    rows = []
    for k in range(48):
        t = np.arange(4_000) / 16_000
        x = 0.02 * rng.normal(size=len(t))
        for name in sets[k % 6]:
            x += 0.3 * np.sin(2 * np.pi * TONES_HZ[name] * (1 + 0.02 * rng.random()) * t)
        soundfile.write(folder / f"{k}.wav", x, 16_000)
        rows.append([f"{k}.wav", "+".join(sets[k % 6])])
    for name, part in (("m.csv", rows[:36]), ("new.csv", rows[36:])):
        (folder / name).write_text("\n".join(["path,label", *map(",".join, part)]))
    return folder / "m.csv"


def test_an_empty_label_is_no_class_where_a_clip_may_have_several(chords, tmp_path):
    data = Dataset.read(chords, separator="+")
    none = [clip for clip in data if clip.label == ""]
    assert (len(data), len(none), data.labels, data.is_single) == (36, 12, ["high", "low"], False)
    assert {data.classes(clip) for clip in none} == {()} and split_label("", None) == ()
    data.to_manifest(tmp_path / "again.csv")
    assert Dataset.read(tmp_path / "again.csv", separator="+") == data
    with pytest.raises(DataError, match=r"row 2: '0.wav' has an empty label. Label it, or"):
        Dataset.read(chords)
    lists = [list(data.classes(clip)) for clip in data]
    frame = pd.DataFrame({"path": [str(clip.path) for clip in data], "label": lists})
    frame.at[3, "label"] = None  # Arrow and pandas have it for an empty list
    of_frame = Dataset.read(frame)
    assert [of_frame.classes(c) for c in of_frame] == [data.classes(c) for c in data]
    blank = pd.DataFrame({"path": frame["path"], "label": [[]] * 36})
    with pytest.raises(DataError, match="has no class. Give at least two"):
        Dataset.read(blank)
    with pytest.raises(DataError, match="has no class. Give at least one"):
        Dataset.read(blank, least_classes=1)


def test_clips_of_no_class_are_spread_over_the_folds_and_never_refused():
    labels = ["a", "b", "a;b", "", ""] * 10
    spread = [Clip(Path(f"{k}.wav"), label) for k, label in enumerate(labels)]
    fold = make_scheme(spread, np.arange(50), separator=";").fold
    is_none = np.array([clip.label == "" for clip in spread])
    assert np.bincount(fold[is_none]).tolist() == [4] * 5
    one = [clip for clip in spread if clip.label] + [spread[3]]
    assert len(make_scheme(one, np.arange(31), separator=";").fold) == 31


def test_no_class_is_no_class_from_training_to_the_report(chords, tmp_path):
    model, quick = tmp_path / "m.earmark", ("--backbone", "logmel", "--no-store")
    train = ("train", chords, "--separator", "+", "-o", model, "--no-compare", *quick)
    shown = run(*train, "--report", tmp_path / "report").stdout
    assert "36 clips, 2 classes" in shown and "no class: 0.wav and 11 more" in shown
    with open(tmp_path / "report" / "answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["answer"] for row in rows if row["label"] == ""] == [""] * 12
    classifier = earmark.load(model)
    noise = classifier.predict(chords.parent / "0.wav")
    assert (noise.label, noise.labels, noise.answer, noise.is_unknown) == (None, (), "", False)
    paths = (chords.parent / "0.wav", chords.parent / "4.wav")
    text = run("predict", model, *paths).stdout.splitlines()
    assert "  no class, nearest " in text[0] and "no class" not in text[1]
    first, second = map(json.loads, run("predict", model, *paths, "--json").stdout.splitlines())
    assert (first["label"], first["labels"]) == (None, []) and first["nearest"] in TONES_HZ
    assert sorted(second["labels"]) == ["high", "low"] and "nearest" not in second
    table = list(csv.DictReader(run("predict", model, *paths, "--csv").stdout.splitlines()))
    assert table[0]["label"] == "" and sorted(table[1]["label"].split(";")) == ["high", "low"]
    new = chords.with_name("new.csv")
    scored = json.loads(run("evaluate", model, new, "--json", "--no-store").stdout)
    assert (scored["clips"], scored["macro_f1"]) == (12, 1.0)
    tested = evaluate(classifier, Dataset.read(new, separator="+")).tested
    assert set(tested.truth[~tested.onehot.any(1)]) == {-1}
    assert "no class" in run("doctor", chords, "--separator", "+").stdout
    seen = run("review", chords, "--separator", "+", *quick, "--top", "72").stdout
    assert seen.count("0.wav  no class") >= 2  # once for each class


def test_a_class_called_unknown_is_refused_beside_the_answer_unknown(chords, tones, tmp_path):
    (tones / "high").rename(tones / "UnKnown")
    with pytest.raises(EarmarkError, match="has a class 'UnKnown', but --unknown predicts"):
        earmark.train(tones, backbone="logmel", unknown=0.05)
    arguments = ("train", tones, "-o", tmp_path / "m", "--backbone", "logmel", "--no-store")
    assert "Rename the class" in run(*arguments, "--unknown", "0.1", expect=2).stderr
    run(*arguments, "--no-compare")
    assert "unknown, nearest" not in run("predict", tmp_path / "m", tones).stdout


def test_a_class_with_the_sign_between_answers_is_refused_where_there_may_be_several(tones):
    paths = [str(path) for path in sorted(tones.rglob("*.wav"))]
    frame = pd.DataFrame({"path": paths, "label": ["a;b"] * 6 + ["a;b+c"] * 6})
    with pytest.raises(EarmarkError, match="class 'a;b' has ';' in its name, but that separates"):
        earmark.train(Dataset.read(frame, separator="+"), backbone="logmel")
    with pytest.raises(DataError, match=r"row 1: the class 'a;b' contains the separator ';'"):
        Dataset.read(frame.assign(label=[["a;b"]] * 12))


def test_silence_is_a_class_or_it_is_said_why_not(tones, tmp_path):
    rng = np.random.default_rng(1)
    for name, level in (("silence", 0.0), ("background", 1e-4)):
        (tones / name).mkdir()
        for k in range(6):
            soundfile.write(tones / name / f"{k}.wav", level * rng.normal(size=8_000), 16_000)
    with pytest.raises(
        DataError, match=r"'silence' has 1 different recording \(6 files, but equal sounds"
    ):
        earmark.train(tones, backbone="logmel")
    shown = run("doctor", tones).stdout
    assert "class of silence" in shown and "make silence a class" not in shown
    for path in (tones / "silence").iterdir():
        path.unlink()
    (tones / "silence").rmdir()
    training = earmark.train(tones, backbone="logmel", compare=False)
    assert training.classifier.labels == ("background", "high", "low")


@pytest.mark.parametrize("name", ["None", "nan", "0", "true", "NA", "null"])
def test_words_for_nothing_are_names_of_classes_as_any_other(tones, tmp_path, name):
    rows = "".join(f"{p},{name if p.parent.name == 'low' else 'x'}\n" for p in tones.rglob("*.wav"))
    (tmp_path / "m.csv").write_text(f"path,label\n{rows}")
    assert Dataset.read(tmp_path / "m.csv").labels == sorted([name, "x"])
    frame = pd.DataFrame({"path": map(str, tones.rglob("*.wav")), "label": [name] * 6 + ["x"] * 6})
    assert Dataset.read(frame).labels == sorted([name, "x"])


def test_names_of_blanks_are_refused(tones, tmp_path):
    for blank in (" ", "\t", "\u00a0", "\u200b"):
        (tmp_path / "m.csv").write_text(f"path,label\ntones/low/0.wav,{blank}\n", encoding="utf-8")
        with pytest.raises(DataError, match=r"row 2: '0.wav' has an empty label"):
            Dataset.read(tmp_path / "m.csv")
    (tones / "low").rename(tones / " ")
    with pytest.raises(DataError, match=" is blank. Name it after its class"):
        Dataset.read(tones)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("train", "", "-o", "m"), "DATA"),
        (("train", " ", "-o", "m"), "DATA"),
        (("train", "tones", "-o", ""), "--output"),
        (("train", "tones", "-o", "m", "--report", ""), "--report"),
        (("train", "tones", "-o", "m", "--label", " "), "--label"),
        (("train", "tones", "-o", "m", "--separator", ""), "--separator"),
        (("predict", "", "tones"), "MODEL"),
        (("predict", "m", "tones", ""), "PATH"),
        (("doctor", "\t"), "DATA"),
        (("backbones", "show", ""), "NAME"),
    ],
)
def test_an_empty_argument_is_refused(tones, arguments, name):
    shown = run(*arguments, expect=2, cwd=tones.parent).stderr
    assert shown == f"error: {name} is empty. Give it a value, or leave it out.\n"
    assert [path.name for path in tones.parent.iterdir()] == ["tones"]


def test_the_library_refuses_empty_names_too(tones, monkeypatch):
    monkeypatch.chdir(tones)  # which an empty path would name
    with pytest.raises(DataError, match="the name of the data is empty"):
        Dataset.read("")
    with pytest.raises(DataError, match="an empty name is not a path"):
        earmark.data.folders.paths([""])


def test_a_balanced_epoch_counts_clips_of_no_class_apart():
    from earmark.training.finetuning.waveforms import _balanced

    onehot = np.array([[1, 0], [0, 0], [0, 0], [0, 0], [0, 1], [0, 1]])
    rows = _balanced(np.arange(6), onehot, np.random.default_rng(0))
    assert np.bincount(rows).tolist()[:4] == [3, 1, 1, 1] and np.bincount(rows)[4:].sum() == 3
