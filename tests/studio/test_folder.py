"""The folder of the studio: what is shown, what changes, and what a command reads there."""

import csv
import os
import time

import pytest

from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.mistakes import ConflictError, UnknownIdError
from earmark.data.dataset import Dataset
from earmark.errors import DataError, EarmarkError
from studio_folders import NAMES, id_of, ids, labels, record, shown, sound, sounds, two_classes


@pytest.fixture
def place(tmp_path):
    """Two classes of two recordings each."""
    return two_classes(tmp_path / "sounds")


@pytest.fixture
def folder(place):
    return Folder(place)


def rows(place):
    with (place / "earmark.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_class_folders_are_shown_and_nothing_is_written(place):
    before = sorted(place.rglob("*"))
    folder = Folder(place)
    state = folder.state()
    assert state["classes"] == [
        {"name": "bell", "n_clips": 2, "n_takes": 2},
        {"name": "dog", "n_clips": 2, "n_takes": 2},
    ]
    assert shown(folder) == labels(place)
    assert state["trouble"] == [] and state["undo"] is None and state["can_write"]
    assert sorted(place.rglob("*")) == before


def test_the_first_change_writes_what_was_shown(folder, place):
    answer = folder.label([id_of(folder, "dog/1.wav")], "wolf")
    assert answer["said"] == "Labelled 1 clip 'wolf'."
    assert labels(place) == shown(folder)
    assert [row["label"] for row in rows(place)] == ["bell", "bell", "wolf", "dog"]


def test_a_folder_is_settled_before_a_command_reads_it(folder, place):
    folder.settle()
    (place / "models").mkdir()
    (place / "models" / "x.earmark").touch()
    assert labels(place) == shown(folder)
    folder.settle()
    assert folder.state()["undo"] is None


def test_an_empty_folder_is_settled_only_once_it_has_a_label(tmp_path):
    folder = Folder(tmp_path)
    folder.settle()
    assert not (tmp_path / "earmark.csv").exists()
    record(folder, "x", None)
    folder.label(ids(folder, unlabelled=True), "bell")
    assert labels(tmp_path) == {("recordings/x.wav", 0.0, None): "bell"}


def test_label_tracks_beside_recordings_are_adopted_at_the_first_change(tmp_path):
    place = sounds(tmp_path / "s", "a.wav", "b.wav", "c.wav")
    (place / "a.txt").write_text("0.01\t0.02\tcrow\n0,03\t0,05\tjay\n")
    (place / "b.wav.txt").write_text("0\t0.05\tcrow\n")
    folder = Folder(place)
    assert [c["name"] for c in folder.state()["classes"]] == ["crow", "jay"]
    assert folder.state()["counts"]["unlabelled"] == 1  # a command refuses the folder because of it
    (place / "b.wav.txt").write_text("0\t0.05\tjay\n")
    assert folder.refresh() and shown(folder)["b.wav", 0.0, 0.05] == "jay"
    folder.label(ids(folder, unlabelled=True), "crow")
    assert labels(place) == shown(folder)
    assert labels(place)["a.wav", 0.03, 0.05] == "jay" and len(labels(place)) == 4


def test_label_tracks_in_sub_folders_are_adopted_and_folders_are_no_classes_then(tmp_path):
    place = sounds(tmp_path / "s", "night 1/a.wav", "night 2/deep/b.wav", "night 2/c.wav")
    (place / "night 1/a.txt").write_text("0.01\t0.02\tcrow\n")
    (place / "night 2/deep/b.Table.1.selections.txt").write_text(
        "Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n1\t0.03\t0.05\tjay\n"
    )
    (place / "night 2/notes.txt").write_text("windy")
    folder = Folder(place)
    assert shown(folder) == {
        ("night 1/a.wav", 0.01, 0.02): "crow",
        ("night 2/deep/b.wav", 0.03, 0.05): "jay",
    }
    assert folder.state()["counts"]["unlabelled"] == 1
    folder.settle()
    assert labels(place) == shown(folder)


def test_splits_and_folds_of_folders_stay(tmp_path):
    place = sounds(tmp_path, "train/a/1.wav", "train/b/2.wav", "test/a/3.wav", "test/b/4.wav")
    folder = Folder(place)
    record(folder, "x", "a")
    assert {c.path.name: c.split for c in Dataset.read(place)} == {
        "1.wav": "train", "2.wav": "train", "3.wav": "test", "4.wav": "test", "x.wav": "train",
    }  # fmt: skip


def test_other_columns_and_their_order_stay(place):
    (place / "earmark.csv").write_bytes(
        'speaker;Path;start (s);end (s);label;note;label (old)\r\nann;"bell/1.wav";0,01;0,05;'
        'Glöckchen ;"a;b";x\r\nbob;dog\\1.wav;;;dog;;\r\nann;dog/2.wav;;;dog;z;\r\n'.encode(
            "cp1252"
        )
    )
    folder = Folder(place)
    before = Dataset.read(place).clips
    assert folder.state()["columns"] == ["speaker"]
    folder.label([id_of(folder, "dog/2.wav")], "wolf")
    assert [c.key for c in Dataset.read(place)] == [c.key for c in before]
    assert labels(place) == shown(folder)
    first, _, last = rows(place)
    assert list(first) == [
        "speaker",
        "Path",
        "start (s)",
        "end (s)",
        "label",
        "note",
        "label (old)",
    ]
    assert first["note"] == "a;b" and first["label"] == "Glöckchen " and last["note"] == "z"
    folder.label([id_of(folder, "dog/2.wav")], None)  # its cells come back with a label
    folder.label([id_of(folder, "dog/2.wav")], "fox")
    assert rows(place)[-1] == {**last, "label": "fox"}


@pytest.mark.parametrize("column", ["group", "fold", "split"])
def test_a_new_recording_fills_in_what_may_not_be_empty(place, column):
    words = ("dev", "train") if column == "split" else ("1", "2")
    lines = "".join(f"{n},{n[:3]},{v}\n" for n, v in zip(NAMES, words * 2, strict=True))
    (place / "earmark.csv").write_text(f"path,label,{column}\n{lines}")
    folder = Folder(place)
    record(folder, "x", "dog", take="t1")
    folder.add_region(id_of(folder, "bell/1.wav"), 0.01, 0.02, "dog")
    assert labels(place) == shown(folder)  # neither is refused
    assert rows(place)[-1][column] == words[0]  # as the recording of the stretch has it
    expected = {"group": {"t1"}, "fold": {"1", "2"}, "split": {"train"}}[column]
    assert rows(place)[-2][column] in expected


def test_pieces_of_one_press_have_one_take_and_others_one_each(folder, place):
    record(folder, "x", "dog", take="t1")
    record(folder, "y", "dog", take="t1")
    record(folder, "z", None, take="t2")
    folder.label(ids(folder, unlabelled=True), "dog")
    assert [row["take"] for row in rows(place)] == [*NAMES, "t1", "t1", "t2"]
    assert folder.state()["classes"][1] == {"name": "dog", "n_clips": 5, "n_takes": 4}
    assert folder.state()["columns"] == ["take"]
    Dataset.read(place, group="take")  # which refuses empty cells
    clips = folder.clips(label="dog")["clips"]
    assert [clip["is_recorded"] for clip in clips] == [False, False, True, True, True]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\nbell/1.wav,a\nbell/1.wav,b\n",
        "file,label\nbell/1.wav,a\n",
        "path,label,start,end\nbell/1.wav,a,x,2\n",
        "path,label,start,end\nbell/1.wav,a,2,1\n",
        "path,label\nbell/1.wav,\0\n",
        "path,label,x,x\nbell/1.wav,a,1,2\n",
        'path,label\nbell/1.wav,"a\n',
    ],
)
def test_a_manifest_that_cannot_be_read_is_told_and_never_overwritten(place, text):
    (place / "earmark.csv").write_text(text)
    folder = Folder(place)
    (trouble,) = folder.state()["trouble"]
    assert trouble["kind"] == "manifest" and not folder.state()["can_write"]
    with pytest.raises(EarmarkError, match="Nothing is changed until"):
        record(folder, "x", "dog")
    assert (place / "earmark.csv").read_text() == text
    (place / "earmark.csv").write_text("path,label\nbell/1.wav,a\n")
    assert folder.refresh() and folder.state()["can_write"]


def test_what_another_program_wrote_meanwhile_stays(folder, place):
    id = id_of(folder, "dog/1.wav")
    folder.label([id], "wolf")
    table = (place / "earmark.csv").read_text()
    (place / "earmark.csv").write_text(table.replace("bell/1.wav,,,bell", "bell/1.wav,,,gong"))
    folder.label([id_of(folder, "dog/2.wav")], "fox")  # without a refresh before
    assert labels(place)["bell/1.wav", 0.0, None] == "gong" and labels(place) == shown(folder)
    folder.undo()
    folder.undo()
    assert list(labels(place).values()) == ["gong", "bell", "dog", "dog"]
    folder.redo()
    table = (place / "earmark.csv").read_text()
    (place / "earmark.csv").write_text(table.replace("wolf", "cow"))
    with pytest.raises(ConflictError, match="'dog/1.wav' was changed by another program"):
        folder.undo()
    assert labels(place)["dog/1.wav", 0.0, None] == "cow"


def test_undo_keeps_cells_that_another_program_wrote(folder, place):
    folder.label([id_of(folder, "dog/1.wav")], "wolf")
    lines = (place / "earmark.csv").read_text().splitlines()
    text = [f"{lines[0]},note", *(f"{line},n{k}" for k, line in enumerate(lines[1:]))]
    (place / "earmark.csv").write_text("\n".join(text))
    folder.undo()
    assert [row["note"] for row in rows(place)] == ["n0", "n1", "n2", "n3"]
    assert labels(place)["dog/1.wav", 0.0, None] == "dog"


def test_two_studios_of_one_folder_see_and_undo_the_same(place):
    one, other = Folder(place), Folder(place)
    one.label([id_of(one, "dog/1.wav")], "wolf")
    assert other.refresh() and not other.refresh()
    other.label([id_of(other, "dog/2.wav")], "fox")
    assert one.undo()["said"] == "Undone: Labelled 1 clip 'fox'."
    assert other.undo()["said"] == "Undone: Labelled 1 clip 'wolf'."
    one.redo()
    other.refresh()
    assert shown(one) == shown(other) == labels(place)
    assert one.state()["redo"] == "Labelled 1 clip 'fox'."


def test_every_change_is_told_once(folder):
    calls = []
    folder.on_change = lambda: calls.append(folder.version)
    folder.label([id_of(folder, "dog/1.wav")], "wolf")
    folder.undo()
    assert len(calls) == 2 == len(set(calls)) and not folder.refresh()


def test_a_folder_that_vanishes_is_told_and_comes_back(folder, place):
    id = id_of(folder, "dog/1.wav")
    away = place.rename(place.with_name("away"))
    assert folder.refresh() and not folder.refresh()
    (trouble,) = folder.state()["trouble"]
    assert trouble["kind"] == "gone" and not folder.state()["can_write"]
    with pytest.raises(EarmarkError, match="not there any more"):
        folder.label([id], "wolf")
    assert not place.exists()  # nor is it made again
    away.rename(place)
    assert folder.refresh() and folder.state()["trouble"] == []
    folder.label([id], "wolf")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_may_not_be_written_is_shown(place):
    place.chmod(0o555)
    folder = Folder(place)
    assert not folder.state()["can_write"] and len(shown(folder)) == 4
    with pytest.raises(EarmarkError, match="Check the folder and its permissions"):
        folder.label([id_of(folder, "dog/1.wav")], "wolf")
    place.chmod(0o755)


def test_links_that_lead_out_are_told_and_never_opened(place, tmp_path):
    secret = sound(tmp_path / "secret.wav")
    (place / "bell" / "link.wav").symlink_to(secret)
    (place / "other").symlink_to(tmp_path)
    (place / "dog" / "inner.wav").symlink_to(place / "dog" / "1.wav")
    text = f"path,label\nbell/link.wav,a\n../secret.wav,b\n{secret},c\ndog/inner.wav,d\n"
    (place / "earmark.csv").write_text(text.replace(f"{secret},c\n", ""))
    folder = Folder(place)
    assert folder.state()["counts"]["recordings"] == 5
    assert "link out of the folder" in folder.state()["trouble"][0]["detail"]
    clips = folder.clips()["clips"]
    assert ["lies outside the folder" in (clip["error"] or "") for clip in clips] == [1, 1, 0]
    for clip in clips[:2]:
        with pytest.raises(UnknownIdError):
            folder.locate(clip["id"])
    with pytest.raises(DataError, match="outside the folder"):
        folder.delete([clips[1]["id"]])
    assert secret.exists() and folder.locate(clips[2]["id"]).path.exists()


@pytest.mark.parametrize("name", ["earmark.csv", "left-out.csv", ".studio", "recordings"])
def test_nothing_is_written_through_a_link(place, tmp_path, name):
    target = tmp_path / "elsewhere"
    if "." in name[1:]:
        target.write_text("path,label\nbell/1.wav,a\n")
    else:
        target.mkdir()
    (place / name).symlink_to(target)
    folder = Folder(place)
    before = target.read_text() if target.is_file() else os.listdir(target)
    with pytest.raises(EarmarkError, match="link|outside"):
        record(folder, "x", "dog")
    assert (target.read_text() if target.is_file() else os.listdir(target)) == before
    assert (place / name).is_symlink()


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (" \u200b", "blank"), ("a\nb", r"'a\\nb' has a character"), ("\u202eab", "cannot be shown"),
        ("x" * 101, "more than 100 letters"), ("['a', 'b']", "read as a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_class_is_refused(folder, label, said):
    for change in (
        lambda: folder.label([id_of(folder, "bell/1.wav")], label),
        lambda: folder.rename_class("dog", label),
        lambda: record(folder, "x", label),
    ):
        with pytest.raises(DataError, match=said):
            change()


@pytest.mark.parametrize(
    "label", ['<b onclick="x">&amp;', "a;b|c", "=1+1", "[1]", "unknown", '"', "é"]
)
def test_any_other_label_is_kept_as_it_is(folder, place, label):
    folder.label([id_of(folder, "bell/1.wav")], f" {label} ")
    assert labels(place)["bell/1.wav", 0.0, None] == label
    assert folder.clips(label=label)["total"] == 1


def test_classes_that_differ_in_case_alone_become_one(folder, place):
    folder.label([id_of(folder, "bell/1.wav")], "DOG")
    assert labels(place)["bell/1.wav", 0.0, None] == "dog"
    assert folder.rename_class("dog", "Dog")["said"] == "Renamed 'dog' to 'Dog'."
    assert folder.rename_class("bell", "DOG")["said"] == "Merged 'bell' into 'Dog'."
    assert [c["name"] for c in folder.state()["classes"]] == ["Dog"]
    folder.undo()
    assert [c["n_clips"] for c in folder.state()["classes"]] == [3, 1]
    with pytest.raises(UnknownIdError):
        folder.rename_class("dog", "x")


def test_what_is_left_out_is_listed_with_all_its_cells(place):
    (place / "earmark.csv").write_text(
        "path,label,speaker\n"
        + "".join(f"{name},{name[:3]},s{k}\n" for k, name in enumerate(NAMES))
    )
    folder = Folder(place)
    id = id_of(folder, "dog/1.wav")
    folder.leave_out([id], "too <loud>")
    text = (place / "left-out.csv").read_text()
    assert text.splitlines()[1] == "dog/1.wav,,,dog,too <loud>,s2"
    (clip,) = folder.clips(left_out=True)["clips"]
    assert clip["reason"] == "too <loud>" and folder.state()["counts"]["unlabelled"] == 0
    assert labels(place) == shown(folder) and len(shown(folder)) == 3
    folder.take_back([id])
    assert rows(place)[-1] == {"path": "dog/1.wav", "label": "dog", "speaker": "s2"}
    with pytest.raises(UnknownIdError):
        folder.take_back(["0" * 16])


def test_stretches_are_clips_of_their_own(folder, place):
    recording = id_of(folder, "bell/1.wav")
    first = folder.add_region(recording, 0.02, 0.05, "dog")["clip"]
    folder.add_region(recording, 0.01, 0.02, "dog")
    moved = folder.move_region(first["id"], 0.03, 0.06, None)["clip"]
    assert (moved["start"], moved["end"], moved["label"]) == (0.03, 0.06, "dog")
    regions = folder.recording(recording)["regions"]
    assert [region["start"] for region in regions] == [0.01, 0.03]
    assert folder.recordings(long=True)["total"] == 1
    assert labels(place) == shown(folder)
    for start, end in ((0.03, 0.06), (2.0, 1.0), (0.05, 0.2), (-1.0, 0.05), (0.0, float("nan"))):
        with pytest.raises(EarmarkError):
            folder.add_region(recording, start, end, "dog")
    with pytest.raises(UnknownIdError):
        folder.add_region("0" * 16, 0.0, 0.05, "dog")
    with pytest.raises(ConflictError, match="these ends already"):
        folder.move_region(moved["id"], 0.01, 0.02, None)
    folder.delete([moved["id"]])
    assert (place / "bell/1.wav").exists() and len(folder.recording(recording)["regions"]) == 1
    folder.label([regions[0]["id"]], None)
    assert labels(place) == shown(folder) and len(shown(folder)) == 4


def test_a_deleted_recording_is_in_the_trash_with_all_its_clips(folder, place):
    recording = id_of(folder, "bell/1.wav")
    folder.add_region(recording, 0.02, 0.05, "dog")
    content = (place / "bell/1.wav").read_bytes()
    folder.delete([recording])
    assert not (place / "bell/1.wav").exists() and len(shown(folder)) == 3
    (trashed,) = (place / ".studio/trash").rglob("1.wav")
    assert trashed.read_bytes() == content
    sound(place / "bell/1.wav", 0.05)  # another program writes there
    with pytest.raises(ConflictError, match="is there already"):
        folder.undo()
    (place / "bell/1.wav").unlink()
    folder.undo()
    assert (place / "bell/1.wav").read_bytes() == content and labels(place) == shown(folder)


def test_a_recording_that_is_missing_or_damaged_is_shown_with_its_error(folder, place):
    folder.settle()
    (place / "dog/1.wav").unlink()
    (place / "dog/2.wav").write_bytes(b"RIFF" + bytes(30))
    assert folder.refresh()
    errors = [clip["error"] for clip in folder.clips()["clips"]]
    assert errors[:2] == [None, None] and "not there" in errors[2] and errors[3]


@pytest.mark.slow
def test_ten_thousand_recordings_are_read_and_changed_quickly(tmp_path):
    content = sound(tmp_path / "one.wav").read_bytes()
    place = tmp_path / "many"
    for k in range(100):
        (place / f"class{k}").mkdir(parents=True)
        for n in range(100):
            (place / f"class{k}/{n}.wav").write_bytes(content)
    Folder(place).settle()
    begin = time.process_time()
    folder = Folder(place)
    assert folder.state()["counts"]["labelled"] == 10_000
    clips = folder.clips(label="class5")["clips"]
    opened = time.process_time()
    folder.label([clips[7]["id"]], "other")
    assert opened - begin < 2 and time.process_time() - opened < 0.5
