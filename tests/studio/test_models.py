"""The list of classifiers of a folder, their mistakes, and what was exported."""

import csv
import json
import os
import shutil

import pytest

from command_line import earmark
from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.learned import models as models_module
from earmark.apps.studio.learned.digest import TrainedRecords, data_digest
from earmark.apps.studio.learned.models import (
    _detector_headline,
    answers,
    models,
    report_file,
    summary,
    verdict_sentences,
)
from earmark.errors import EarmarkError
from studio_folders import tones_folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a classifier and its report, which a studio has opened."""
    folder = tones_folder(tmp_path_factory.mktemp("trained"))
    quick = ("--backbone", "logmel", "--no-store", "--no-compare", "--head", "prototype")
    model, report = folder / "models" / "a.earmark", folder / "reports" / "a"
    earmark("train", folder / "earmark.csv", "-o", model, "--report", report, *quick)
    (folder / ".studio").mkdir()
    Folder(folder)
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of it elsewhere."""
    place = tmp_path / "folder"
    shutil.copytree(trained, place)
    return place


def test_a_classifier_is_described_by_its_header(folder):
    (row,) = models(folder)
    assert (row["name"], row["labels"], row["n_clips"]) == ("a", ["high", "low"], 12)
    assert row["backbones"] == ["logmel"] and row["head"] == "prototype" and row["error"] is None
    assert row["accuracy"] == row["headline"]["value"] == 1.0
    assert row["interval"] == row["headline"]["ci95"] and row["interval"][0] < 1
    assert row["verdict"]["word"] == "care" and len(row["verdict"]["sentences"]) >= 2
    assert row["has_report"] and not row["is_detector"] and not row["has_unknown"]
    assert row["bytes"] == (folder / "models" / "a.earmark").stat().st_size
    json.dumps(row, allow_nan=False)


def test_only_the_header_is_read(folder):
    path = folder / "models" / "a.earmark"
    content = path.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    path.write_bytes(content[:length] + b"\xff" * (len(content) - length))
    assert models(folder)[0]["error"] is None


def test_bad_and_foreign_files_are_listed_with_their_error(folder, tmp_path):
    place, right = folder / "models", (folder / "models" / "a.earmark").read_bytes()
    header = b'{"__metadata__":{"format":"pt"}}'
    files = {
        "empty": b"",
        "text": b"this is no classifier at all",
        "cut": right[:100],
        "huge": (2**60).to_bytes(8, "little") + b"{}",
        "foreign": len(header).to_bytes(8, "little") + header,
        "edited": right.replace(b'\\"head\\": \\"prototype\\"', b'\\"head\\": \\"something\\"'),
    }
    for name, content in files.items():
        (place / f"{name}.earmark").write_bytes(content)
    (place / "folder.earmark").mkdir()
    os.mkfifo(place / "pipe.earmark")
    (place / "link.earmark").symlink_to(tmp_path / "elsewhere")
    (place / ".hidden.earmark").touch()
    rows = {row["name"]: row for row in models(folder)}
    assert set(rows) == {"a", *files} and rows["a"]["error"] is None
    for name in files:
        assert f"{name}.earmark is" in rows[name]["error"] and rows[name]["labels"] is None
        assert set(rows[name]) == set(rows["a"])
    assert "not a classifier of earmark" in rows["foreign"]["error"]
    assert models(tmp_path) == []


def test_a_change_of_a_label_is_seen_and_its_undoing_too(folder):
    model, manifest = folder / "models" / "a.earmark", folder / "earmark.csv"
    os.utime(model, ns=(10**18, 10**18))
    assert models(folder)[0]["changed"] is True  # the manifest is newer
    os.utime(manifest, ns=(10**17, 10**17))
    assert models(folder)[0]["changed"] is False
    TrainedRecords(folder).write(model, data_digest(folder))
    before = manifest.read_text()
    manifest.write_text(before.replace("low/5.wav,low", "low/5.wav,high"))
    assert models(folder)[0]["changed"] is True
    lines = before.splitlines()
    manifest.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert models(folder)[0]["changed"] is False  # the order of rows is no change
    model.write_bytes(model.read_bytes())  # trained anew: the record is of another file
    assert models(folder)[0]["changed"] is False
    (folder / ".studio" / "trained" / "a.json").write_text("[1")
    assert models(folder)[0]["changed"] is False


def test_stretches_and_their_forms_count(tmp_path):
    (tmp_path / "earmark.csv").write_text("path,start,end,label\na.wav,0.50,1,x\nb.wav,,,\n")
    first = data_digest(tmp_path)
    (tmp_path / "earmark.csv").write_text("path,start,end,label,take\na.wav,.5,1.0,x,7\n")
    assert data_digest(tmp_path) == first
    (tmp_path / "earmark.csv").write_text("path,start,end,label\na.wav,.5,1.1,x\n")
    assert data_digest(tmp_path) not in (first, None)
    (tmp_path / "earmark.csv").write_text("path,label\n")
    assert data_digest(tmp_path) not in (first, None) and data_digest(tmp_path / "no") is None


def test_the_most_certain_mistakes_come_first(folder):
    path = folder / "reports" / "a" / "answers.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(0.5 <= float(row["answer_score"]) <= 1 for row in rows)
    for number, score in ((0, "0.7"), (7, "0.9"), (8, "")):
        rows[number] |= {"answer": "other", "answer_score": score}
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    found = answers(Folder(folder), "a")
    assert found["total"] == 3 and [m["score"] for m in found["mistakes"]] == [0.9, 0.7, None]
    assert [m["label"] for m in found["mistakes"]] == ["low", "high", "low"]
    assert all(len(m["id"]) == 16 and m["name"].endswith(".wav") for m in found["mistakes"])
    (second,) = answers(Folder(folder), "a", first=1, count=1)["mistakes"]
    assert second["score"] == 0.7
    assert answers(Folder(folder), "a", label="high")["total"] == 1


def test_names_lead_nowhere_else(folder, tmp_path):
    (tmp_path / "secret.earmark").touch()
    (folder / "models" / "link.earmark").symlink_to(tmp_path / "secret.earmark")
    for name in ("../../secret", "link", "", ".", "b", "../models/a", "a.earmark"):
        with pytest.raises(KeyError):
            report_file(folder, name, "report.html")
    with pytest.raises(KeyError):
        report_file(folder, "a", "../a/report.html")
    assert summary(folder, "a")["clips"] == 12
    (folder / "reports" / "a" / "summary.json").write_text("[1, 2")
    with pytest.raises(EarmarkError, match="damaged"):
        summary(folder, "a")


def test_a_verdict_becomes_sentences():
    why = "accuracy is 0.9; guessing gives 0.3, but fewer than 10 clips of 'a' were tested; the 95"
    assert verdict_sentences(f"{why} % interval is wide, 0.1 to 0.9.") == [
        "Accuracy is 0.9; guessing gives 0.3.",
        "Fewer than 10 clips of 'a' were tested.",
        "The 95 % interval is wide, 0.1 to 0.9.",
    ]
    assert verdict_sentences("accuracy is 0.9; guessing gives 0.3.") == [
        "Accuracy is 0.9; guessing gives 0.3."
    ]


def test_a_header_is_read_again_only_if_the_file_has_changed(folder, monkeypatch):
    models(folder)
    monkeypatch.setattr(models_module, "_header", None)
    assert models(folder)[0]["error"] is None


def test_the_figure_of_a_detector_lies_in_its_interval():
    overall = {"f1_iou30": 0.45, "ci95": {"f1_iou30": [0.42, 0.49]}}
    headline = _detector_headline({"overall": overall, "macro_f1_iou30": 0.40})
    low, high = headline["ci95"]
    assert low <= headline["value"] <= high
    assert _detector_headline({})["value"] is None  # rules that were written by hand
