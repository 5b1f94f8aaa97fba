"""``train --detector`` and ``evaluate --events``: what they print, write and refuse."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import soundfile

import noisy_tones
from command_line import earmark
from earmark.apps.cli.checks import EVENT_REPORT_FILES
from earmark.classifier.classifier import Classifier
from earmark.data.dataset import Dataset
from earmark.detection.detecting import NO_DETECTOR
from earmark.errors import EarmarkError
from earmark.training.backgrounds import background_paths
from earmark.training.event_thresholds import THRESHOLDS

TRAIN = ("--backbone", "logmel", "--head", "linear", "--folds", 3)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Clips, background, annotated nights, a detector ``d.earmark``, and what was printed."""
    root = tmp_path_factory.mktemp("events")
    noisy_tones.write_clips(root / "clips", count=6)
    noisy_tones.write_background(root / "background")
    noisy_tones.write_annotated(root / "nights")
    noisy_tones.write_annotated(root / "others", others=True)
    done = earmark(
        "train", "clips", "--detector", "--background", "background", *TRAIN,
        "--false-per-hour", 2, "-o", "d.earmark", "--report", "training", cwd=root,
    )  # fmt: skip
    (root / "printed.txt").write_text(done.stdout)
    return root


@pytest.fixture(scope="module")
def clip_model(place) -> Path:
    path = place / "clips.earmark"
    options = ("--backbone", "logmel", "--no-compare", "--no-store", "--head", "prototype")
    earmark("train", place / "clips", *options, "-o", path)
    return path


# Training


def test_training_prints_the_verdict_before_the_figures(place):
    lines = (place / "printed.txt").read_text().splitlines()
    assert lines[0] == "12 clips, 2 classes -> d.earmark"
    names = [line.split()[0] for line in lines[1:]]
    assert names[:9] == [
        "backbone", "windows", "head", "verdict", "events", "found", "false", "onset", "offset",
    ]  # fmt: skip
    assert {"asked", "hours", "tested", "seconds"} <= set(names)
    (asked,) = (line for line in lines if line.startswith("  asked"))
    assert "at most 2 false events an hour: expect a recall of " in asked
    (hours,) = (line for line in lines if line.startswith("  hours"))
    assert "are too few to confirm 2 an hour" in hours


def test_the_file_is_a_detector(place):
    detector = Classifier.load(place / "d.earmark").detector
    assert detector is not None
    assert detector.has_background
    assert detector.estimate["overall"]["label"] is None


def test_the_report_of_a_training_says_that_scenes_are_not_kept(place):
    folder = place / "training"
    assert sorted(path.name for path in folder.iterdir()) == sorted(EVENT_REPORT_FILES)
    figures = json.loads((folder / "summary.json").read_text())
    assert figures["false_per_hour"] == 2
    page = (folder / "report.html").read_text()
    assert "were chosen for 2 false events an hour" in page
    assert "<audio" not in page


def test_an_unreadable_clip_is_listed_and_the_exit_code_is_1(place, tmp_path):
    clips = noisy_tones.write_clips(tmp_path / "clips", count=4)
    (clips / "low" / "bad.wav").write_bytes(b"no audio")
    quick = (*TRAIN, "--detector", "-o", tmp_path / "d.earmark")
    done = earmark("train", clips, *quick, "--unknown", 0.1, expect=1)
    assert "  unknown   --unknown could not be met or tested" in done.stdout
    assert "left out 1 recording that could not be read" in done.stderr
    assert "bad.wav" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--background", "background"], "--background needs --detector. Add it."),
        (["--annotated", "0.5"], "--annotated needs --detector. Add it."),
        (["--false-per-hour", "1"], "--false-per-hour needs --detector. Add it."),
        (["--detector", "--finetune", "full"], "--finetune changes the networks, and --detector"),
        (["--detector", "--annotated", "-1"], "--annotated is -1. Give 0 s or more"),
        (["--detector", "--annotated", "nan"], "--annotated is nan. Give 0 s or more"),
        (["--detector", "--false-per-hour", "-1"], "--false-per-hour is -1. Give 0 or more"),
        (["--detector", "--unknown", "1"], "--unknown is 1. Give a number between 0 and 1"),
        (["--detector", "--background", "nowhere"], "nowhere does not exist. Give --background"),
        (["--detector", "--background", "d.earmark"], "d.earmark is an input"),
    ],
)
def test_wrong_options_are_refused_before_data_is_read(place, monkeypatch, options, said):
    monkeypatch.setattr(Dataset, "read", lambda *_, **__: pytest.fail("was read before"))
    done = earmark("train", "clips", *options, "-o", "d.earmark", expect=2, cwd=place)
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name on this system")
def test_a_pipe_is_no_background(place):
    """Opening it would wait for ever."""
    if not (place / "pipe").exists():
        os.mkfifo(place / "pipe")
    arguments = ("--detector", "--background", "pipe", "-o", "x.earmark")
    done = earmark("train", "clips", *arguments, expect=2, cwd=place)
    assert "pipe is not a file but a pipe. Give --background a folder" in done.stderr
    with pytest.raises(EarmarkError, match="not a file but a pipe"):
        background_paths(place / "pipe")


# Evaluation


def test_an_evaluation_has_the_same_figures_and_a_table_of_classes(place):
    done = earmark("evaluate", "d.earmark", "nights", "--events", "--collar", 0.5, cwd=place)
    lines = done.stdout.splitlines()
    assert lines[0] == "d.earmark on nights"
    assert "with a collar of 0.5 s" in done.stdout
    assert lines[-3].split() == ["class", "events", "recall", "precision", "F1", "false/h"]
    assert [line.split()[:3] for line in lines[-2:]] == [
        ["high", "9", "1.000"],
        ["low", "6", "1.000"],
    ]
    assert "does not say which recordings it was trained on" in done.stderr


def test_what_the_detector_does_not_know_is_counted_apart(place):
    done = earmark("evaluate", "d.earmark", "others", "--events", "--json", cwd=place)
    figures = json.loads(done.stdout)
    (other,) = figures["unknown"]
    assert (other["label"], other["events"]) == ("other", 3)
    counts = figures["events"]["overall"]["counts"]["iou30"]
    assert counts["right"] + counts["missed"] == 12
    assert any("1 annotated class: 'other'. Of 3 such events" in note for note in figures["notes"])


def test_the_report_of_an_evaluation_has_players_and_tables(place, tmp_path):
    truth = tmp_path / "truth.csv"
    rows = [["path", "start", "end", "label"], [place / "nights/night0.wav", 0.1, 0.4, "low"]]
    with truth.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    report = tmp_path / "report"
    model = place / "d.earmark"
    earmark("evaluate", model, truth, "--events", "--report", report)
    assert sorted(path.name for path in report.iterdir()) == sorted(EVENT_REPORT_FILES)
    page = (report / "report.html").read_text()
    assert page.count("<audio") == 1
    assert "1 missed" in page
    with (report / "events.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert {row["label"] for row in found} <= set(noisy_tones.TONES_HZ)
    with (report / "thresholds.csv").open(newline="") as file:
        thresholds = list(csv.DictReader(file))
    assert [int(row["missed"]) for row in thresholds] == [1] * len(THRESHOLDS)
    again = earmark("evaluate", model, report / "events.csv", "--events", "--json")
    overall = json.loads(again.stdout)["events"]["overall"]
    assert overall["recall"] == overall["precision"] == 1.0


def test_recordings_that_cannot_be_read_are_listed(place, tmp_path):
    nights = shutil.copytree(place / "nights", tmp_path / "nights")
    (nights / "night1.wav").write_bytes(b"no audio")
    done = earmark("evaluate", place / "d.earmark", nights, "--events", expect=1)
    assert "left out 1 recording that could not be read" in done.stderr
    assert "tested    2 given recordings" in done.stdout
    for path in nights.glob("*.wav"):
        path.write_bytes(b"no audio")
    done = earmark("evaluate", place / "d.earmark", nights, "--events", expect=2)
    assert "none of 3 recordings could be read. The first is" in done.stderr


def test_only_what_is_annotated_counts(place, tmp_path):
    x, rate_hz = soundfile.read(place / "nights" / "night0.wav")
    soundfile.write(tmp_path / "n.wav", x, rate_hz)
    (tmp_path / "n.txt").write_text("1.0\t1.5\thigh\n")  # of five tones
    model = place / "d.earmark"
    figures = {}
    for name, options in {"whole": (), "near": ("--annotated", 0.5)}.items():
        done = earmark("evaluate", model, tmp_path, "--events", "--json", *options)
        figures[name] = json.loads(done.stdout)["events"]
    assert figures["whole"]["overall"]["counts"]["iou30"] == {"right": 1, "false": 4, "missed": 0}
    assert figures["near"]["overall"]["counts"]["iou30"] == {"right": 1, "false": 0, "missed": 0}
    assert figures["near"]["hours"] == pytest.approx(1.5 / 3600)
    assert figures["near"]["scheme"] == "1 given recording inside annotated regions"


def test_a_threshold_and_durations_change_what_is_detected(place):
    run = ("evaluate", "d.earmark", "nights", "--events", "--json")
    for options in (("--threshold", 1.5), ("--min-duration", 30)):
        done = earmark(*run, *options, cwd=place)
        assert json.loads(done.stdout)["events"]["overall"]["recall"] == 0


def test_a_classifier_of_clips_detects_with_a_warning(place, clip_model):
    done = earmark("evaluate", clip_model, place / "nights", "--events")
    assert f"warning: {clip_model}: {NO_DETECTOR}" in done.stderr
    assert "  found " in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--collar", "0.1"], "--collar needs --events. Add it."),
        (["--annotated", "1"], "--annotated needs --events. Add it."),
        (["--threshold", "0.5"], "--threshold needs --events. Add it."),
        (["--min-gap", "0"], "--min-gap needs --events. Add it."),
        (["--events", "--held-out"], "--held-out selects clips, and --events compares all"),
        (["--events", "--group", "g"], "--group selects clips, and --events compares all"),
        (["--events", "--collar", "0"], "--collar is 0. Give more than 0 s"),
        (["--events", "--annotated", "-1"], "--annotated is -1. Give 0 s or more"),
        (["--events", "--pad", "-1"], "--pad is -1. Give seconds, 0 or more."),
        (["--events", "--pad", "nan"], "--pad is nan. Give seconds, 0 or more."),
        (["--events", "--max-duration", "0"], "--max-duration is 0. Give seconds above 0."),
        (["--events", "--threshold", "hgh=0.5"], "no class 'hgh'. Did you mean 'high'?"),
    ],
)
def test_wrong_options_of_an_evaluation_are_refused(place, options, said):
    done = earmark("evaluate", "d.earmark", "nights", *options, expect=2, cwd=place)
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("data", ["nowhere", "nights/night0.wav", "d.earmark"])
def test_data_that_is_none_is_told_before_the_classifier_is_loaded(place, data, monkeypatch):
    monkeypatch.setattr(Classifier, "load", lambda *_: pytest.fail("was loaded before"))
    done = earmark("evaluate", "d.earmark", data, "--events", expect=2, cwd=place)
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_unknown_classes_alone_cannot_be_compared(place, tmp_path):
    (tmp_path / "t.csv").write_text(f"path,start,end,label\n{place}/nights/night0.wav,1,2,owl\n")
    done = earmark("evaluate", place / "d.earmark", tmp_path / "t.csv", "--events", expect=2)
    assert "knows none of the annotated classes, 'owl'. Known: high, low." in done.stderr


@pytest.mark.parametrize("command", [("predict",), ("evaluate",)])
def test_a_detector_does_not_classify_clips(place, command, monkeypatch):
    monkeypatch.setattr(Classifier, "load", lambda *_: pytest.fail("was loaded before"))
    done = earmark(*command, "d.earmark", "clips", expect=2, cwd=place)
    assert "d.earmark: this classifier detects events in long recordings" in done.stderr
    assert "`earmark evaluate --events`" in done.stderr


def test_a_detector_predicts_no_clips_in_python_either(place):
    classifier = Classifier.load(place / "d.earmark")
    with pytest.raises(EarmarkError, match=r"^This classifier detects events in long recordings"):
        classifier.predict(place / "nights" / "night0.wav")


def test_the_clips_of_a_detector_can_be_reviewed(place):
    done = earmark("review", "d.earmark", "--top", 2, "--no-store", cwd=place)
    assert "d.earmark: 12 clips; the 2 most doubtful labels" in done.stdout
    assert "has changed" not in done.stderr
