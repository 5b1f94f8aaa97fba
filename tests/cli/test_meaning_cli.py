"""What the commands understand of splits, columns and lists, and that they say it."""

import csv
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark as package
from command_line import earmark
from earmark.data.clip import Clip
from shared_data import shared_weights


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Return a folder with three splits of two classes; a tone tells the class."""
    root = tmp_path_factory.mktemp("splits")
    noise = np.random.default_rng(0)
    for split, count in (("Train", 6), ("val", 2), ("TEST", 2)):
        for name, hz in (("low", 300), ("high", 2500)):
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                x = np.sin(2 * np.pi * (hz + 10 * k) * np.arange(8000) / 8000)
                x = 0.3 * x + 0.01 * noise.standard_normal(8000)
                soundfile.write(root / split / name / f"{k}.wav", x, 8000)
    return root


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    model = tmp_path_factory.mktemp("model") / "m"
    options = ("-o", model, "--backbone", "logmel", "--no-compare", "--json")
    return model, earmark("train", root, *options)


def test_train_says_what_it_understood_and_never_trains_on_what_is_held_out(root, trained):
    _, done = trained
    told = json.loads(done.stdout)
    assert told["labels"] == ["high", "low"] and told["clips"] == 20
    assert told["estimate"]["scheme"] == "test split of 8 clips (TEST, val)"
    assert "note: the folders 'TEST', 'Train', 'val' are read as splits; earmark" in done.stderr
    line = "20 clips, 2 classes; the split: 12 clips to train on, 8 held out (TEST 4, val 4)"
    assert line in done.stderr


def test_evaluate_review_and_embed_agree(root, trained, tmp_path):
    model, _ = trained
    done = earmark("evaluate", model, root, "--json")
    told = json.loads(done.stdout)
    assert (told["scheme"], told["known"]) == ("8 given clips", 12)  # those were trained on
    done = earmark("evaluate", model, root, "--json", "--held-out")
    assert json.loads(done.stdout)["scheme"] == "8 given clips"
    done = earmark("evaluate", model, root / "val", "--held-out", expect=2)
    assert "has no split that holds clips out" in done.stderr
    bare = tmp_path / "bare.earmark"
    earmark("train", root, "-o", bare, "--backbone", "logmel", "--no-compare", "--no-hashes")
    done = earmark("evaluate", bare, root, "--json")
    assert json.loads(done.stdout)["scheme"] == "20 given clips"
    assert "note: 12 clips that the split assigns to training will also be scored" in done.stderr
    assert json.loads(earmark("review", model, "--json").stdout)["clips"] == 20
    earmark("embed", root, "-o", tmp_path / "e.npz", "--backbone", "logmel")
    assert sorted(set(np.load(tmp_path / "e.npz")["label"])) == ["high", "low"]
    text = earmark("doctor", root, "--quick").stderr
    assert "are read as splits" in text


def test_predict_answers_each_row_of_a_manifest(root, trained, tmp_path):
    model, _ = trained
    shutil.copy(root / "val/low/0.wav", tmp_path / "a.wav")
    rows = "file,start,end\na.wav,0,0.5\nnone.wav,0,1\na.wav,0.25,1\n"
    (tmp_path / "m.csv").write_text(rows)
    assert "give --path file" in earmark("predict", model, tmp_path / "m.csv", expect=2).stderr
    arguments = ("predict", model, tmp_path / "m.csv", "--path", "file")
    done = earmark(*arguments, "--json", expect=1)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(Path(t["path"]).name, t["start"], t["end"]) for t in told] == [
        ("a.wav", 0, 0.5),
        ("none.wav", 0, 1),
        ("a.wav", 0.25, 1),
    ]
    assert [t.get("label") for t in told] == ["low", None, "low"] and told[2]["seconds"] == 0.75
    table = list(csv.reader(earmark(*arguments, "--csv", expect=1).stdout.splitlines()))
    assert table[0] == ["path", "label", "score", "error", "start", "end"]
    assert [row[4:] for row in table[1:]] == [["0", "0.5"], ["0", "1"], ["0.25", "1"]]
    assert "a.wav 0..0.5" in earmark(*arguments, expect=1).stdout
    (tmp_path / "m.csv").write_text(rows.replace("file", "path").replace("none", "a"))
    answers = package.load(model).predict(tmp_path / "m.csv")
    assert [(a.label, a.start, a.end) for a in answers] == [
        ("low", 0, 0.5),
        ("low", 0, 1),
        ("low", 0.25, 1),
    ]


def test_a_manifest_that_cannot_be_read_does_not_stop_the_others(root, trained, tmp_path):
    model, _ = trained
    bad, good = tmp_path / "bad.csv", root / "val" / "low" / "0.wav"
    bad.write_text('path\n"x.wav\n')
    done = earmark("predict", model, bad, good, "--json", expect=1)
    failed, answer = map(json.loads, done.stdout.splitlines())
    assert failed["path"] == str(bad) and failed["error"].endswith("Correct its quotes.")
    assert answer["label"] == "low"
    assert "Correct its quotes" in earmark("predict", model, bad, expect=2).stderr
    answers = package.load(model).predict([bad, good])
    assert [a.label for a in answers] == [None, "low"] and "Correct its quotes" in answers[0].error


def test_times_are_written_as_they_were_given(root, trained, tmp_path):
    model, _ = trained
    (tmp_path / "m.csv").write_text("path,start,end\nlow/0.wav,0.123456789,0.5\n")
    options = ("--root", root / "val", "--csv")
    rows = list(csv.reader(earmark("predict", model, tmp_path / "m.csv", *options).stdout.split()))
    assert rows[1][4:] == ["0.123456789", "0.5"]
    assert Clip(Path("a"), start=12345.61, end=12345.69).name == "a 12345.61..12345.69"


def test_review_prints_the_command_that_follows(root, tmp_path):
    files = [
        f"{root}/{split}/{name}/0.wav" for split in ("Train", "val") for name in ("low", "high")
    ]
    files += [f"{root}/Train/{name}/{k}.wav" for name in ("low", "high") for k in (1, 2, 3)]
    rows = "".join(f"{file},{'low' in file}+x\n" for file in files)
    (tmp_path / "m.csv").write_text(f"path,what\n{rows}")
    options = ("--label", "what", "--separator", "+", "--backbone", "logmel", "--folds", "3")
    done = earmark("review", tmp_path / "m.csv", *options, "-o", tmp_path / "d.csv")
    command = shlex.split(done.stdout.splitlines()[-1].partition("then run:")[2])
    assert command[0] == "earmark" and command[-1] == "CORRECTED.csv"
    assert "kept" in earmark(*command[1:-1], tmp_path / "c.csv").stdout


def test_tag_prints_the_stretches_of_a_manifest(root, tmp_path):
    shared_weights("mn04/mn04_as_mAP_432.pt")
    (tmp_path / "m.csv").write_text(f"path,start,end\n{root}/val/low/0.wav,0,0.5\nnone.wav,1,2\n")
    (heard, gone), table = (
        map(json.loads, earmark("tag", tmp_path / "m.csv", "--json", expect=1).stdout.splitlines()),
        list(csv.reader(earmark("tag", tmp_path / "m.csv", "--csv", expect=1).stdout.splitlines())),
    )
    assert [(t["start"], t["end"]) for t in (heard, gone)] == [(0, 0.5), (1, 2)]
    assert table[0][4:] == ["start", "end"] and table[1][4:] == ["0", "0.5"]
    assert table[-1][4:] == ["1", "2"]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("compare", ".", "--backbone", "yamnet", "--backbone", "speech-embedding"), "--backbone"),
        (("predict", "m", "a.wav", "--top", "1", "--top", "2"), "--top"),
        (("cache", "prune", "--max-mb", "1", "--max-mb", "2"), "--max-mb"),
        (("data", "fetch", "esc50", "--to", "a", "--to", "b"), "--to"),
        (
            ("train", ".", "-o", "m", "--recipe", "epochs=1,epochs=2", "--finetune", "full"),
            "epochs",
        ),
    ],
)
def test_nothing_is_given_twice(arguments, option):
    assert f"{option} is given more than once" in earmark(*arguments, expect=2).stderr


def test_a_name_that_begins_with_a_dash_is_shown_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-rf.wav").touch()
    assert "Write ./-rf.wav." in earmark("predict", "m", "-rf.wav", expect=2).stderr
