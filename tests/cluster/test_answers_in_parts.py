"""``predict`` and ``detect`` in parts: the table of one machine, by any way, with any rows."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import earmark as library
from command_line import earmark
from earmark.apps.cluster.worker import Worker
from earmark.classifier.decision import DecisionRule
from earmark.classifier.predict_work import PredictSettings, PredictWork, predictions_of
from earmark.data.clip import Clip
from earmark.embeddings.part import Part
from tones import RATE_HZ, write_tones

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Eight recordings of tones, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("recorded")
    for k in range(8):
        write_tones(folder / "in" / "ab"[k % 2] / f"2024051{k}_010000.wav", 6.0 + k / 8, k)
    (folder / "in" / "a" / "20240514_010000.wav").write_bytes(b"no audio")
    return folder


@pytest.fixture
def here(recorded, tmp_path, monkeypatch) -> Path:
    """A current folder with recordings in ``in`` and a manifest of stretches, ``meta.csv``."""
    shutil.copytree(recorded / "in", tmp_path / "in")
    names = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.wav"))
    stretches = [(0, 4), (2.5, "")]
    rows = [f"{name},{a},{b}" for name in names for a, b in stretches]
    rows += ["in/none.wav,,"]
    (tmp_path / "meta.csv").write_text("\n".join(["path,start,end", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parts(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("part-*")}


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("in", ("--all", "--coverage", "0.9")),
        ("meta.csv", ()),
        pytest.param("in", (), marks=pytest.mark.slow),
        pytest.param("meta.csv", ("--all", "--coverage", "0.9"), marks=pytest.mark.slow),
    ],
)
def test_predictions_are_those_of_one_machine(stub, here, models, data, options):
    command = ("predict", models / "predict.earmark", data, *options)
    alone = earmark(*command, "-o", "p.csv", expect=1)
    for name, more in (("local", ()), ("ray", ("--on", "ray"))):
        done = earmark(*command, "-o", name, *more, expect=1)
        assert (here / name / "predictions.csv").read_bytes() == Path("p.csv").read_bytes()
        assert "20240514_010000.wav" in done.stderr and "20240514_010000.wav" in alone.stderr
    assert parts(here / "ray") == parts(here / "local") and len(parts(here / "ray")) > 2
    printed = earmark(*command, "--csv", expect=1).stdout
    assert printed == Path("p.csv").read_text()
    with open("p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert any(row["label"] for row in rows) and any(row["error"] for row in rows)
    assert ("score_high" in rows[0]) == ("plausible" in rows[0]) == bool(options)
    assert ("start" in rows[0]) == (data == "meta.csv")


@pytest.mark.parametrize("data", ["in", "meta.csv"])
def test_events_are_those_of_one_machine(stub, here, models, data):
    command = ("detect", models / "detect.earmark", data, "--timezone", "+02:00", "--pad", "0.1")
    earmark(*command, "-o", "one/e.csv", expect=1)
    whole = Path("one/e.csv").read_bytes()
    for name, more in (("local", ("--on", "local")), ("ray", ("--on", "ray"))):
        done = earmark(*command, "-o", name, *more, expect=1)
        assert (here / name / "events.csv").read_bytes() == whole
        assert "20240514_010000.wav: " in done.stderr
    assert parts(here / "ray") == parts(here / "local") and len(parts(here / "ray")) > 2
    assert whole.count(b"+02:00") >= 7 and b"20240514" not in whole
    told = json.loads(earmark(*command, "-o", "local", "--json", expect=1).stdout)
    assert told["computed"] == 0 and told["failures"] == len(told["skipped"]) > 0
    assert told["seconds"] > 40 and told["events"] == "local/events.csv"


def test_a_part_keeps_predictions_as_they_are(models, recorded):
    classifier = library.load(models / "predict.earmark")
    several = replace(classifier, decision_rule=DecisionRule((1e-6, 0.2, 1e-6)))
    clips = [Clip(path) for path in sorted((recorded / "in").rglob("*.wav"))]
    clips.append(Clip(clips[0].path, start=0.5, end=2.25))
    with several.session() as session:
        work = PredictWork(PredictSettings(several), session, recorded / "in")
        ((_, results),) = work.compute([Part(0, tuple(clips), "0")])
        table = work.table(results).to_pydict()
    assert any(len(p.labels) > 1 for p in results) and any(p.error for p in results)
    again = list(predictions_of(table, clips, several.labels))
    assert [replace(p, notes=()) for p in results] == again
    assert [list(p.scores) for p in results] == [list(p.scores) for p in again]
    assert table["path"][0] == "a/20240510_010000.wav" and table["start"][-1] == 0.5


def test_stretches_of_a_recording_with_rows_between_them_are_two_recordings(stub, here, models):
    name = "in/b/20240511_010000.wav"
    others = [f"in/{'ab'[k % 2]}/2024051{k}_010000.wav,0," for k in (0, 2, 3)]
    Path("meta.csv").write_text("\n".join(["path,start,end", f"{name},0,3", *others, f"{name},3,"]))
    done = earmark("detect", models / "detect.earmark", "meta.csv", "-o", "out", "--on", "local")
    assert "out/events.csv has 1 recording more than once; sort the manifest" in done.stderr
    rows = [row.split(",") for row in Path("out/events.csv").read_text().splitlines()[1:]]
    own = [number for number, row in enumerate(rows) if name in row[0]]
    assert own and own != list(range(own[0], own[-1] + 1))


def test_shares_write_no_table_of_all(stub, here, models):
    for kind, table in (("predict", "predictions"), ("detect", "events")):
        command = (kind, models / f"{kind}.earmark", "in", "-o", kind, "--json")
        first, second = (
            json.loads(earmark(*command, "--share", f"{k}/2", expect=code).stdout)
            for k, code in ((1, 1), (2, 0))
        )
        assert first["computed"] + second["computed"] == 3 and first[table] is None
        assert not list(Path(kind).glob(f"{table}*"))
        told = json.loads(earmark(*command, expect=1).stdout)
        assert told["computed"] == 0 and Path(told[table]).is_file()


def test_another_classifier_and_another_kind_are_refused(stub, here, models):
    earmark("detect", models / "detect.earmark", "in", "-o", "out", "--on", "local", expect=1)
    command = ("detect", models / "detect.earmark", "in", "-o", "out")
    assert "parts with rules" in earmark(*command, "--pad", "0.5", expect=2).stderr
    assert "--format cannot be used" in earmark(*command, "--format", "json", expect=2).stderr
    command = ("predict", models / "predict.earmark", "in", "-o", "out")
    assert "parts with kind 'detect'" in earmark(*command, expect=2).stderr
    told = earmark("train", "out", "-o", "m.earmark", expect=2).stderr
    assert "has results of `earmark detect`, not of `earmark embed`" in told
    earmark(*command[:-1], "predicted", expect=1)
    other = library.train(models / "clips", backbone="logmel", head="prototype", compare=False)
    other.classifier.save("other.earmark")
    told = earmark("predict", "other.earmark", "in", "-o", "predicted", expect=2).stderr
    assert "parts with model '" in told and "name another folder" in told


def test_a_worker_with_another_classifier_is_refused(stub, here, models, monkeypatch):
    shutil.copy(models / "predict.earmark", "mine.earmark")
    prepare = Worker.prepare

    def replaced(self: Worker):
        other = library.train(models / "clips", backbone="logmel", head="prototype", compare=False)
        other.classifier.save(here / "mine.earmark")
        return prepare(self)

    monkeypatch.setattr(Worker, "prepare", replaced)
    command = ("predict", "mine.earmark", "in", "-o", "out", "--on", "ray")
    told = earmark(*command, expect=2).stderr
    assert "the worker on " in told and " has model '" in told and "and classifier." in told
    assert not parts(here / "out")
    monkeypatch.setattr(
        Worker, "prepare", lambda self: (here / "mine.earmark").unlink() or prepare(self)
    )
    shutil.copy(models / "predict.earmark", "mine.earmark")
    told = earmark(*command, expect=2).stderr
    assert "cannot start: " in told and f"{here}/mine.earmark" in told


@pytest.mark.parametrize(
    ("kind", "on"),
    [
        ("embed", "ray"),
        ("detect", "local"),
        pytest.param("embed", "local", marks=pytest.mark.slow),
        pytest.param("predict", "ray", marks=pytest.mark.slow),
        pytest.param("detect", "ray", marks=pytest.mark.slow),
    ],
)
def test_a_failed_recording_is_tried_again_only_if_asked(stub, here, models, kind, on):
    command = [kind, "in", "-o", "out", "--json", "--on", on]
    command[1:1] = [] if kind == "embed" else [models / f"{kind}.earmark"]
    command += ["--backbone", "logmel"] if kind == "embed" else []

    def told(*options: str, expect: int) -> tuple[int, int, int]:
        printed = earmark(*command, *options, expect=expect)
        assert "warning: " not in printed.stderr
        done = json.loads(printed.stdout)
        return done["computed"], done["failures"], done["parts"]

    assert told(expect=1) == (3, 1, 3) and told(expect=1) == (0, 1, 3)
    assert told("--retry-failed", expect=1) == (1, 1, 3)
    noise = 0.1 * np.random.default_rng(4).normal(size=RATE_HZ)
    soundfile.write("in/a/20240514_010000.wav", noise, RATE_HZ)
    assert told(expect=1) == (0, 1, 3)
    assert told("--retry-failed", expect=0) == (1, 0, 3)
    assert told("--retry-failed", expect=0) == (0, 0, 3) and len(parts(here / "out")) == 3


def test_what_a_folder_of_parts_cannot_be(stub, here, models):
    predict, detect = ("predict", models / "predict.earmark"), ("detect", models / "detect.earmark")
    for arguments, words in (
        ((*predict, "in", "--on", "local"), "--share, --on and --retry-failed need -o."),
        ((*detect, "in", "--share", "1/2"), "--share, --on and --retry-failed need -o."),
        ((*predict, "in", "-o", "p.csv", "--share", "1/2"), "need a folder, and p.csv is a file"),
        ((*detect, "in", "-o", "e.csv", "--retry-failed"), "need a folder, and e.csv is a file"),
        ((*predict, "in", "-o", "p.txt"), "p.txt is not the name of a .csv. Give one, or a folder"),
        ((*predict, "in", "-o", "p.csv", "--csv"), "--csv prints what -o writes"),
        ((*predict, "in", "-o", "p.csv", "--json"), "--json needs -o to be a folder"),
        ((*predict, "in", "meta.csv", "-o", "out"), "a folder of parts needs one PATH"),
        ((*predict, "in", "-o", "out", "--on", "spark"), "--on is 'spark'"),
        ((*detect, "in", "-o", "out", "--share", "3/2"), "--share is '3/2'"),
        ((*detect, "in", "-o", "out", "--on", "local", "--clips", "c"), "--clips cannot be used"),
        ((*predict, "in", "-o", "in"), "in is an input and would be overwritten"),
    ):
        assert words in earmark(*arguments, expect=2).stderr
    assert not Path("out").exists()
