"""Progress of jobs: stages in words, and the time that is left."""

import json

import pytest

from earmark.apps.studio.jobs import progress
from earmark.apps.studio.jobs.progress import ProgressReader, left_s, listed, planned


def line(number, stage, done=0.0, steps=0.0, at=0.0, **more):
    values = {"number": number, "stage": stage, "done": done, "steps": steps, "at": at, **more}
    return json.dumps(values).encode() + b"\n"


def reader_of(tmp_path, *lines):
    (tmp_path / "p.jsonl").write_bytes(b"".join(lines))
    reader = ProgressReader(tmp_path / "p.jsonl")
    reader.read()
    return reader


def test_stages_have_names_for_people_and_neighbours_are_one(tmp_path):
    reader = reader_of(
        tmp_path,
        line(1, "starting", at=100.0),
        line(2, "embedding with yamnet", 0, 10, at=101.0),
        line(2, "embedding with yamnet", 10, 10, at=103.0),
        line(3, "embedding with logmel", 4, 10, at=104.0),
    )
    plan = planned("train", {"no_compare": True, "unknown": False})
    rows = listed(reader.stages(), plan, is_over=False)
    assert [row["name"] for row in rows] == [
        "Listening to the recordings",
        "Choosing what works best",
        "Fitting the classifier",
        "Looking for copies",
    ]
    assert rows[0] == {"name": progress.LISTENING, "steps": 20, "done": 14, "seconds": 3.0}
    assert len(listed(reader.stages(), plan, is_over=True)) == 1


def test_lines_are_read_as_they_come_and_odd_ones_passed_over(tmp_path):
    path = tmp_path / "p.jsonl"
    reader = ProgressReader(path)
    assert not reader.read() and reader.stages() == []
    whole = line(1, "fitting", 1, 3)
    path.write_bytes(whole + whole[:20])
    assert reader.read() and not reader.read()
    odd = b'[1]\n{"number": "x"}\nnot json\n' + b"[" * 5_000 + b"\n" + b"9" * 20_000 + b"\n"
    path.write_bytes(whole + line(1, "fitting", 2, 3) + odd + line(1, "fitting", 3, 3))
    while reader.read():
        pass
    (stage,) = reader.stages()
    assert (stage.name, stage.done, stage.steps) == ("Fitting the classifier", 3, 3)


def test_a_line_without_an_end_does_not_stop_the_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "MOST_BYTES", 30_000)
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"x" * 100_000 + b"\n" + line(1, "reading", 1, 2))
    reader = ProgressReader(path)
    for _ in range(10):
        reader.read()
    assert [stage.done for stage in reader.stages()] == [1]


@pytest.mark.parametrize(("unit", "name"), [("bytes", "Downloading"), ("steps", "Fine-tuning")])
def test_other_stages_are_downloads_or_runs_of_fine_tuning(tmp_path, unit, name):
    reader = reader_of(tmp_path, line(1, "speech-embedding, fold 1", 1, 2, unit=unit))
    assert reader.stages()[0].name == name


def test_the_time_left_is_that_of_the_stage_and_of_those_to_come(tmp_path):
    plan = planned("doctor", {})
    half = (line(1, "reading", 0, 10, at=100.0), line(1, "reading", 5, 10, at=110.0))
    assert left_s(reader_of(tmp_path, *half).stages(), plan, 110.0) == 10
    assert left_s(reader_of(tmp_path, *half).stages(), plan, 115.0) == 15  # it got slower
    early = (line(1, "reading", 0, 10, at=100.0), line(1, "reading", 5, 10, at=100.1))
    assert left_s(reader_of(tmp_path, *early).stages(), plan, 100.1) is None
    assert left_s([], plan, 100.0) is None
    plan = planned("review", {})
    shares = progress._SHARES
    done = (line(1, "embedding with a", 10, 10, at=0.0), line(1, "embedding with a", 10, 10, at=32))
    to_come = shares[progress.CHOOSING] + shares[progress.FITTING] + shares[progress.COPIES]
    expected = 32 * to_come / shares[progress.LISTENING]
    assert left_s(reader_of(tmp_path, *done).stages(), plan, 32.0) == round(expected)
    just = (*done, line(2, "choosing layers", 0, 10, at=32.0))
    assert left_s(reader_of(tmp_path, *just).stages(), plan, 32.0) == round(expected)
    told = (*done, line(2, "run 1", 1, 9, at=40.0, left_s=7.4))
    assert left_s(reader_of(tmp_path, *told).stages(), planned("fetch", {}), 40.0) == 7


def test_plans_follow_the_choices():
    whole = planned("train", {})
    assert whole[-1] == progress.UNKNOWN and progress.COMPARING in whole
    assert planned("train", {"finetune": "full"})[-1] == progress.TUNING
    assert progress.UNKNOWN not in planned("train", {"finetune": "full"})
    assert planned("train", {"detector": True})[1] == progress.SCENES
    assert planned("export", {}) == []
