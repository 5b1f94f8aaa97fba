"""The labels of an archive as data to train on: classes, groups, and what is left out."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest

import earmark as package
from command_line import earmark
from earmark.data.clip import Clip
from earmark.data.dataset import ARCHIVE_FILE
from earmark.embeddings import Archive, archive_file
from earmark.errors import DataError
from earmark.labelling.answered import contents_by_place
from earmark.labelling.labelled import joined, labelled_dataset
from earmark.labelling.labels import labels_of
from labelled_nights import NIGHTS, answer, index, label_windows, make_nights

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_nights(tmp_path_factory.mktemp("labelled")).parent


@pytest.fixture
def archive(made, tmp_path):
    """A copy of the archive without labels, for one test."""
    labels_of(made / "archive").unlink(missing_ok=True)
    yield made / "archive"
    labels_of(made / "archive").unlink(missing_ok=True)


def names_of(dataset) -> Counter:
    return Counter(clip.label for clip in dataset)


def test_windows_become_clips_of_the_class_and_of_other(archive):
    label_windows(archive, "owl")
    dataset = labelled_dataset(archive)
    assert names_of(dataset) == {"owl": 6, "other": 12} and dataset.separator is None
    assert {clip.group for clip in dataset} == set(NIGHTS)
    assert {(clip.start, clip.end) for clip in dataset} == {(3.0, 4.0), (8.0, 9.0), (16.0, 17.0)}
    assert all(clip.path.is_file() for clip in dataset) and dataset.notes == ()


def test_a_column_of_the_recordings_makes_the_groups(archive):
    label_windows(archive, "owl")
    assert {clip.group for clip in labelled_dataset(archive, group="site")} == {"a", "b", "c"}
    with pytest.raises(DataError, match="a column 'sit'. Did you mean 'site'"):
        labelled_dataset(archive, group="sit")


def test_two_classes_that_were_asked_about_the_same_windows(archive):
    label_windows(archive, "owl", "tit")
    dataset = labelled_dataset(archive)
    assert names_of(dataset) == {"owl": 6, "tit": 6, "other": 6} and dataset.separator is None


def test_a_window_refused_for_one_of_two_classes_may_have_the_other(archive):
    label_windows(archive, "owl")
    label_windows(archive, "tit", starts=(16.0,))
    dataset = labelled_dataset(archive)
    assert names_of(dataset) == {"owl": 6, "tit": 6}  # nothing was refused for both
    assert any("nobody was asked about all of the classes" in note for note in dataset.notes)
    assert any("windows without a class are not used" in note for note in dataset.notes)


def test_a_window_with_two_classes_has_both(archive):
    label_windows(archive, "owl", "tit")
    answer(archive, NIGHTS[0], 3.0, "tit", "yes")
    dataset = labelled_dataset(archive)
    assert dataset.separator == ";" and not dataset.is_single
    assert names_of(dataset) == {"owl;tit": 1, "owl": 5, "tit": 6, "": 6}


def test_the_name_of_another_class_is_an_answer(archive):
    label_windows(archive, "owl", starts=(3.0, 8.0))
    for name in NIGHTS:
        answer(archive, name, 16.0, "owl", "tit")
    dataset = labelled_dataset(archive)
    assert names_of(dataset)["tit"] == 6


def test_contradictions_and_recordings_that_are_gone_are_left_out_and_named(tmp_path):
    archive = make_nights(tmp_path)
    label_windows(archive, "owl")
    answer(archive, NIGHTS[0], 3.0, "owl", "no", who="bob")
    (tmp_path / "nights" / NIGHTS[5]).unlink()
    index(tmp_path)
    answer(archive, "never.wav", 3.0, "owl", "yes")
    dataset = labelled_dataset(archive)
    assert names_of(dataset) == {"owl": 4, "other": 10}
    contradiction, gone = dataset.notes
    assert "contradict each other" in contradiction and f"{NIGHTS[0]} 3..4" in contradiction
    assert "is gone" in gone and NIGHTS[5] in gone and "never.wav" in gone


def test_answers_on_a_recording_that_was_overwritten_are_left_out_and_named(tmp_path):
    archive = make_nights(tmp_path)
    label_windows(archive, "owl")
    shutil.copy(tmp_path / "nights" / NIGHTS[1], tmp_path / "nights" / NIGHTS[0])
    index(tmp_path)
    dataset = labelled_dataset(archive)
    assert names_of(dataset) == {"owl": 5, "other": 10}
    (note,) = dataset.notes
    assert note.startswith("3 left out, because the recording has changed since: ")
    assert f"{NIGHTS[0]} 3..4" in note
    answer(archive, NIGHTS[0], 11.0, "owl", "yes")  # of what is there now
    assert names_of(labelled_dataset(archive)) == {"owl": 6, "other": 10}


def test_copies_of_a_recording_are_one(tmp_path):
    archive = make_nights(tmp_path)
    shutil.copy(tmp_path / "nights" / NIGHTS[0], tmp_path / "nights" / "copy.wav")
    index(tmp_path)
    label_windows(archive, "owl")
    answer(archive, "copy.wav", 11.0, "owl", "yes")
    answer(archive, "copy.wav", 3.0, "owl", "yes")
    dataset = labelled_dataset(archive)
    assert names_of(dataset) == {"owl": 7, "other": 12}
    of_copy = {clip.group for clip in dataset if clip.start in (3.0, 11.0)}
    assert of_copy == set(NIGHTS)  # not the copy


def test_answers_stay_with_a_recording_that_gets_another_name(tmp_path):
    nights = make_nights(tmp_path).parent / "nights"
    label_windows(tmp_path / "archive", "owl")
    for before, after in ((NIGHTS[0], "a.wav"), ("a.wav", "b.wav"), ("b.wav", "a.wav")):
        (nights / before).rename(nights / after)
        done = earmark(
            "index", nights, "-o", tmp_path / "archive", "--backbone", "logmel", "--json"
        )
        changes = json.loads(done.stdout)
        assert [changes[name] for name in ("new", "renamed", "gone")] == [0, 1, 0]
        dataset = labelled_dataset(tmp_path / "archive")
        assert names_of(dataset) == {"owl": 6, "other": 12} and dataset.notes == ()
        with Archive(tmp_path / "archive") as archive:
            windows, places = archive.windows(), [r.place for r in archive.recordings()]
        assert str(nights / after) in places and str(nights / before) not in places
        contents = contents_by_place(windows)
        assert contents[str(nights / NIGHTS[0])] == contents[str(nights / after)]


def test_an_archive_that_moved_with_its_recordings_takes_those_that_are_there(tmp_path):
    nights = make_nights(tmp_path).parent / "nights"
    label_windows(tmp_path / "archive", "owl")
    moved = tmp_path / "moved"
    moved.mkdir()
    nights.rename(moved / nights.name)
    (tmp_path / "archive").rename(moved / "archive")
    earmark("index", moved / "nights", "-o", moved / "archive", "--backbone", "logmel")
    dataset = labelled_dataset(moved / "archive")
    assert len(dataset) == 18 and all(clip.path.is_file() for clip in dataset)
    with Archive(moved / "archive") as archive:
        own = archive.windows().recordings.values()
    assert all(first.exists and not last.exists for first, last in own)


def test_too_few_labels_say_what_to_do(archive):
    with pytest.raises(DataError, match="has no window with a class. Label windows with `earmark"):
        labelled_dataset(archive)
    for name in NIGHTS:
        answer(archive, name, 3.0, "owl", "yes")
    with pytest.raises(DataError, match="all labelled windows .* have the class 'owl'.*Refuse"):
        labelled_dataset(archive)
    answer(archive, NIGHTS[0], 8.0, "owl", "no")
    with pytest.raises(DataError, match="windows of 'other' in 1 group only.*training needs 3"):
        labelled_dataset(archive)
    answer(archive, NIGHTS[0], 6.0, "tit", "yes")
    with pytest.raises(DataError, match="training needs 3: .*--class owl`"):
        labelled_dataset(archive)
    assert len(labelled_dataset(archive, to_train=False)) == 7


def test_a_class_that_was_heard_once_does_not_prevent_a_training(archive):
    label_windows(archive, "owl")
    answer(archive, NIGHTS[0], 6.0, "owl", "tit")  # a tit, and no owl
    answer(archive, NIGHTS[0], 3.0, "both", "yes")
    dataset = labelled_dataset(archive)
    assert names_of(dataset) == {"owl": 6, "other": 13} and dataset.separator is None
    assert [note.split(",")[0] for note in dataset.notes] == [
        "no class of its own: 'both'",
        "no class of its own: 'tit'",
    ]
    assert "tit" in names_of(labelled_dataset(archive, to_train=False))


def test_train_takes_an_archive_and_says_what_its_estimate_is_about(archive, tmp_path):
    label_windows(archive, "owl")
    options = ("--backbone", "logmel", "--no-compare", "--json")
    done = earmark("train", archive, "-o", tmp_path / "m", "--group", "site", *options)
    trained = json.loads(done.stdout)
    assert trained["labels"] == ["other", "owl"] and trained["estimate"]["accuracy"] == 1.0
    assert "leave one of 3 groups out" in trained["estimate"]["scheme"]
    assert any(
        "windows of a site are in one fold" in text and "earmark density" in text
        for text in trained["warnings"]
    )
    done = earmark("evaluate", tmp_path / "m", archive, "--include-known", "--json")
    assert json.loads(done.stdout)["clips"] == 18
    done = earmark("review", tmp_path / "m", "--json", "--top", "3")
    assert json.loads(done.stdout)["clips"] == 18
    done = earmark("embed", archive, "-o", tmp_path / "e.npz", "--backbone", "logmel")
    with np.load(tmp_path / "e.npz", allow_pickle=False) as file:
        assert 18 in {len(file[name]) for name in file.files}


def test_parts_of_labelled_windows_keep_their_labels(archive, tmp_path):
    label_windows(archive, "owl", "tit")
    answer(archive, NIGHTS[0], 3.0, "tit", "yes")
    earmark("embed", archive, "-o", tmp_path / "parts", "--backbone", "logmel")
    done = earmark("train", tmp_path / "parts", "-o", tmp_path / "m", "--no-compare", "--json")
    trained = json.loads(done.stdout)
    assert trained["labels"] == ["owl", "tit"] and trained["clips"] == 18
    said = earmark("evaluate", tmp_path / "m", archive, "--events", expect=2).stderr
    assert "labels are about windows" in said


def test_an_archive_is_no_folder_of_recordings(archive):
    assert ARCHIVE_FILE == archive_file.FILE
    with pytest.raises(DataError, match="is an archive.*earmark.labelling.labelled_dataset"):
        package.train(archive)


def test_options_of_manifests_are_refused_for_an_archive(archive, made, tmp_path):
    arguments = ("train", archive, "-o", tmp_path / "m")
    said = earmark(*arguments, "--fold", "f", expect=2).stderr
    assert "--fold is for manifests" in said
    said = earmark(*arguments, "--label", "species", expect=2).stderr
    assert "--label is for manifests" in said
    said = earmark("train", made / "nights", "-o", tmp_path / "m", "--labels", "x", expect=2).stderr
    assert "--labels needs an archive" in said


def test_labels_may_be_elsewhere(archive, tmp_path):
    label_windows(archive, "owl")
    shutil.move(labels_of(archive), archive.parent / "kept.csv")
    text = (archive.parent / "kept.csv").read_text()
    (archive.parent / "kept.csv").write_text(text.replace("../nights", "nights"))
    assert len(labelled_dataset(archive, archive.parent / "kept.csv")) == 18


def test_stretches_that_touch_are_joined_by_label():
    clips = [Clip("a.wav", label, start, start + 1.0, "a") for label, start in
             (("owl", 0.0), ("owl", 0.5), ("other", 1.0), ("owl", 1.5), ("owl", 3.0))]  # fmt: skip
    spans = [(clip.label, clip.start, clip.end) for clip in joined(clips)]
    assert spans == [("owl", 0.0, 2.5), ("other", 1.0, 2.0), ("owl", 3.0, 4.0)]


@pytest.mark.slow
def test_refused_windows_are_the_background_of_a_detector(archive, tmp_path):
    label_windows(archive, "owl", starts=(3.0, 8.0, 11.0, 14.0, 16.0))
    options = ("--detector", "--backbone", "speech-embedding", "--group", "site", "--json")
    done = earmark("train", archive, "-o", tmp_path / "d", *options)
    trained = json.loads(done.stdout)
    assert trained["labels"] == ["owl"]
    assert any("clips without the classes" in text for text in trained["warnings"])
    assert trained["events"]["overall"]["f1_iou30"] > 0.5
