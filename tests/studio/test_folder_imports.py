"""The studio takes over the labels of commands and of other tables."""

import csv
import shutil

import pytest

import earmark
from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.mistakes import UnknownIdError
from earmark.errors import DataError
from shared_data import shared_data
from studio_folders import id_of, labels, picture, record, shown, two_classes


@pytest.fixture
def place(tmp_path):
    return two_classes(tmp_path / "sounds")


@pytest.fixture
def folder(place):
    folder = Folder(place)
    folder.settle()
    return folder


def test_a_manifest_of_a_command_is_taken_over_as_one_change(folder, place):
    before = picture(folder)
    written = place / ".studio" / "jobs" / "1" / "fixed.csv"
    written.parent.mkdir(parents=True)
    written.write_text("path,label,group\n../../../bell/1.wav,gong,g\n../../../dog/1.wav,dog,g\n")
    record(folder, "new", "dog")  # while the command was at work
    out = {"path": str(place / "dog/2.wav"), "start": None, "end": None, "label": "dog"}
    answer = folder.adopt(written, [{**out, "reason": "copies"}], "Left out 1 clip.")
    assert answer["said"] == "Left out 1 clip."
    assert list(labels(place).values()) == ["gong", "bell", "dog", "dog"]
    assert labels(place) == shown(folder)  # every clip has a group
    (clip,) = folder.clips(left_out=True)["clips"]
    assert clip["reason"] == "copies" and clip["place"] == "dog/2.wav"
    folder.take_back([clip["id"]])
    assert labels(place) == shown(folder) and len(shown(folder)) == 5
    for _ in range(3):
        folder.undo()
    assert picture(folder) == before


def test_a_table_of_the_folder_is_imported_with_its_columns(folder, place):
    folder.leave_out([id_of(folder, "dog/2.wav")])
    (place / "meta.tsv").write_text(
        "path\tlabel\tspeaker\nbell/1.wav\tgong\tann\ndog/2.wav\twolf\tbob\n"
    )
    assert folder.refresh()
    (table,) = folder.state()["manifests"]
    said = folder.import_manifest(table["id"])["said"]
    assert said == "Took over 1 label of meta.tsv."  # what was left out stays so
    assert list(labels(place).values()) == ["gong", "bell", "dog"]
    with (place / "earmark.csv").open(newline="") as file:
        assert [row["speaker"] for row in csv.DictReader(file)] == ["ann", "", ""]
    with pytest.raises(UnknownIdError):
        folder.import_manifest("0" * 16)
    folder.undo()
    assert list(labels(place).values()) == ["bell", "bell", "dog"]


def test_label_tracks_that_came_later_are_offered_until_they_are_taken_over(folder, place):
    assert folder.state()["manifests"] == []
    (place / "bell/1.txt").write_text("0.01\t0.03\tgong\n0.04\t0.06\ttick\n")
    (place / "dog/2.txt").write_text("a dog barks")
    assert folder.refresh()
    (offer,) = folder.state()["manifests"]
    assert offer["name"] == "1 label track"
    said = folder.import_manifest(offer["id"])["said"]
    assert said == "Took over 2 labels of 1 label track."
    assert shown(folder)["bell/1.wav", 0.01, 0.03] == "gong" and len(shown(folder)) == 6
    assert labels(place) == shown(folder) and folder.state()["manifests"] == []
    folder.undo()
    assert folder.state()["manifests"] == [offer]


def test_a_table_that_is_no_manifest_is_refused_with_the_reason(folder, place):
    (place / "other.csv").write_text("name,value\nx,1\n")
    (place / "lists.csv").write_text("path,label\nbell/1.wav,\"['a', 'b']\"\n")
    folder.refresh()
    said = {}
    for table in folder.state()["manifests"]:
        with pytest.raises(DataError) as refused:
            folder.import_manifest(table["id"])
        said[table["name"]] = str(refused.value)
    assert "has no column 'path'" in said["other.csv"]
    assert "clips of several classes" in said["lists.csv"]
    assert folder.state()["undo"] is None


def test_the_table_of_a_real_data_set_is_imported(tmp_path):
    source = shared_data("fsdd")
    with (source / "meta.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::150]
    place = tmp_path / "fsdd"
    (place / "recordings").mkdir(parents=True)
    for row in rows:
        shutil.copy(source / row["path"], place / row["path"])
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (place / "meta.csv").write_text("\n".join(lines))
    folder = Folder(place)
    assert folder.state()["counts"]["unlabelled"] == len(rows) and not shown(folder)
    folder.import_manifest(folder.state()["manifests"][0]["id"])
    assert labels(place) == shown(folder) and len(shown(folder)) == len(rows) > 10
    assert {"speaker"} <= set(folder.state()["columns"])
    groups = {c.group for c in earmark.Dataset.read(place, group="speaker")}
    assert groups == {row["speaker"] for row in rows}
