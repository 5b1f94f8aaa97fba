"""Rounds of labels: each answer is kept at once, and a round goes on after anything."""

import csv

import pytest

import studios
from earmark.apps.studio.find.rounds import Rounds, class_of, classes_in
from earmark.apps.studio.folder.folder import Folder
from earmark.apps.studio.learned.digest import has_changed, training_digest
from earmark.apps.studio.mistakes import ConflictError
from earmark.errors import EarmarkError
from earmark.labelling.decisions import Decision
from earmark.labelling.labels import LabelFile, labels_of

STANDING = {"answers": 0, "positives": 0, "negatives": 0, "advice": "Go on."}


@pytest.fixture
def place(tmp_path):
    """A folder of a studio with an archive, as far as rounds need one."""
    (tmp_path / "archives" / "nights").mkdir(parents=True)
    (tmp_path / ".studio").mkdir()
    return tmp_path


@pytest.fixture
def archive(place):
    return place / "archives" / "nights"


def proposed(place, *starts):
    """What the process says of a round: a window of one recording for each start."""
    recording = {"path": "a.wav", "place": str(place / "a.wav"), "dataset": "", "seconds": 60.0}
    recording |= {"is_gone": False, "columns": {}, "digest": "0" * 16}
    windows = [
        {"recording": {**recording}, "start": at, "end": at + 1.0, "score": 0.5, "why": "sure",
         "chance": 0.25}
        for at in starts
    ]  # fmt: skip
    return {"proposals": windows, "standing": STANDING, "notes": []}


def rows(archive):
    if not (archive / "labels.csv").exists():
        return []
    with open(archive / "labels.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if row["decision"]]


def answers(shown):
    return [asked["answer"] for asked in shown["proposals"]]


def test_each_answer_is_in_the_labels_at_once_and_the_round_goes_on(place, archive):
    rounds = Rounds(place)
    begun = rounds.begin(archive, "owl", "Ann", proposed(place, 1.0, 2.0, 3.0))
    assert answers(begun) == ["", "", ""]
    for number, word in enumerate(("yes", "fox")):
        rounds.answer(archive, "owl", "Ann", begun["round"], number, word)
        assert [row["decision"] for row in rows(archive)] == ["yes", "fox"][: number + 1]
    (first, _) = rows(archive)
    assert (first["who"], first["suggested"], first["start"], first["chance"]) == (
        "Ann", "owl", "1.0", "0.25",
    )  # fmt: skip
    assert (archive / first["path"]).resolve() == (place / "a.wav").resolve()
    again = Rounds(place).open(archive, "owl", "Ann")  # another page, or another studio
    assert again["round"] == begun["round"] and answers(again) == ["yes", "fox", ""]
    assert Rounds(place).open(archive, "owl", "Ben") is None
    assert classes_in(archive) == {"owl": {"yes": 1, "no": 1}, "fox": {"yes": 1, "no": 0}}
    rounds.answer(archive, "owl", "Ann", begun["round"], 2, "skip")
    assert Rounds(place).open(archive, "owl", "Ann") is None


def test_an_answer_on_another_content_of_the_recording_is_none(place, archive):
    rounds = Rounds(place)
    begun = rounds.begin(archive, "owl", "Ann", proposed(place, 1.0))
    rounds.answer(archive, "owl", "Ann", begun["round"], 0, "yes")
    assert rows(archive)[0]["content"] == "0" * 16
    changed = proposed(place, 1.0)
    changed["proposals"][0]["recording"]["digest"] = "1" * 16
    begun = rounds.begin(archive, "owl", "Ann", changed)
    assert answers(begun) == [""]
    rounds.answer(archive, "owl", "Ann", begun["round"], 0, "no")
    assert [row["content"] for row in rows(archive)] == ["0" * 16, "1" * 16]
    again = rounds.undo(archive, "owl", "Ann")
    assert again["word"] == "no" and answers(again["round"]) == [""]


def test_an_answer_on_one_class_is_none_on_another(place, archive):
    rounds = Rounds(place)
    tit = rounds.begin(archive, "tit", "Ann", proposed(place, 1.0))
    rounds.answer(archive, "tit", "Ann", tit["round"], 0, "yes")
    assert answers(rounds.begin(archive, "owl", "Ann", proposed(place, 1.0))) == [""]
    assert answers(rounds.open(archive, "owl", "Ann")) == [""]


def test_an_answer_can_be_changed_and_taken_back_also_of_an_earlier_round(place, archive):
    rounds = Rounds(place)
    begun = rounds.begin(archive, "owl", "Ann", proposed(place, 1.0, 2.0))
    for number, word in ((0, "yes"), (1, "no"), (1, "yes")):
        rounds.answer(archive, "owl", "Ann", begun["round"], number, word)
    taken = rounds.undo(archive, "owl", "Ann")
    assert (taken["word"], taken["name"], taken["number"]) == ("yes", "owl", 1)
    assert answers(taken["round"]) == ["yes", "no"]  # the answer before it counts again
    rounds.begin(archive, "owl", "Ann", proposed(place, 5.0))
    rounds.undo(archive, "owl", "Ann")
    taken = rounds.undo(archive, "owl", "Ann")
    again = taken["round"]["proposals"][0]
    assert (taken["number"], again["start"], again["why"]) == (0, 1.0, "again")
    assert rounds.undo(archive, "owl", "Ann") is None
    rounds.answer(archive, "owl", "Ann", taken["round"]["round"], 0, "no")
    assert classes_in(archive)["owl"] == {"yes": 0, "no": 1}


def test_examples_are_not_taken_back_as_answers(place, archive):
    example = Decision(
        place=str(place / "b.wav"), start=None, end=None, suggested="owl", word="yes"
    )
    LabelFile(labels_of(archive), "Ann").add(example)
    assert Rounds(place).undo(archive, "owl", "Ann") is None
    assert len(rows(archive)) == 1


def test_two_people_who_disagree_are_both_named(place, archive):
    rounds = Rounds(place)
    for who, word in (("Ann", "yes"), ("Ben", "no")):
        shown = rounds.begin(archive, "owl", who, proposed(place, 1.0, 2.0))
        rounds.answer(archive, "owl", who, shown["round"], 0, word)
    shown = rounds.open(archive, "owl", "Ben")
    assert answers(shown) == ["no", ""]  # what Ben said is seen, though it is not used
    ((one, other),) = shown["contradictions"]
    assert {(one["who"], one["word"]), (other["who"], other["word"])} == {
        ("Ann", "yes"),
        ("Ben", "no"),
    }


def test_what_does_not_fit_is_refused_and_keeps_nothing(place, archive):
    rounds = Rounds(place)
    begun = rounds.begin(archive, "owl", "Ann", proposed(place, 1.0))
    for round, number in (("0" * 16, 0), (begun["round"], 1)):
        with pytest.raises(ConflictError, match="another round"):
            rounds.answer(archive, "owl", "Ann", round, number, "yes")
    for word in ("undo", "Keep", "  "):
        with pytest.raises(EarmarkError):
            rounds.answer(archive, "owl", "Ann", begun["round"], 0, word)
    with pytest.raises(EarmarkError, match="is an answer"):
        class_of("yes")
    assert rows(archive) == []
    (file,) = (place / ".studio" / "rounds").iterdir()
    file.write_text('{"proposals": [{}]}')
    assert rounds.open(archive, "owl", "Ann") is None  # a damaged round is no round


def test_labels_that_cannot_be_written_are_said_before_anyone_listens(place, archive):
    (archive / "labels.csv").mkdir()
    with pytest.raises(EarmarkError):
        Rounds(place).begin(archive, "owl", "Ann", proposed(place, 1.0))


def test_stretches_become_clips_as_one_change(tmp_path):
    folder = Folder(studios.write_sounds(tmp_path / "sounds"))
    (recording, *_) = folder.recordings()["recordings"]
    id = recording["id"]
    folder.add_region(id, 0.0, 0.1, "owl")
    said = folder.add_regions([(id, 0.0, 0.1), (id, 0.1, 0.2), (id, 0.1, 0.2)], "owl")["said"]
    assert said == "Labelled 1 clip 'owl'."  # one was there, and one was given twice
    assert len(folder.recording(id)["regions"]) == 2
    folder.add_regions([(id, 0.0, 0.1), (id, 0.2, 0.25)], "fox")
    assert [r["label"] for r in folder.recording(id)["regions"]] == ["fox", "owl", "fox"]
    folder.undo()
    assert [r["label"] for r in folder.recording(id)["regions"]] == ["owl", "owl"]
    folder.leave_out([folder.recording(id)["regions"][0]["id"]])
    assert folder.add_regions([(id, 0.0, 0.1)], "owl")["said"] == "Labelled 0 clips 'owl'."
    with pytest.raises(EarmarkError, match="the recording has"):
        folder.add_regions([(id, 0.0, 0.2), (id, 0.0, 9.0)], "owl")
    assert len(folder.recording(id)["regions"]) == 1  # all or nothing


def test_a_classifier_knows_when_the_labels_of_its_archive_have_changed(place, archive):
    (place / "earmark.csv").write_text("path,label\na.wav,owl\n")
    assert training_digest(place, "nights") is None  # there are no labels
    rounds = Rounds(place)
    begun = rounds.begin(archive, "owl", "Ann", proposed(place, 1.0, 2.0))
    rounds.answer(archive, "owl", "Ann", begun["round"], 0, "yes")
    before, own = training_digest(place, "nights"), training_digest(place)
    assert not has_changed(place, before, own) and not has_changed(place, own, own)
    (place / "earmark.csv").write_text("path,label\na.wav,fox\n")
    now = training_digest(place)
    assert has_changed(place, own, now) and not has_changed(place, before, now)
    rounds.answer(archive, "owl", "Ann", begun["round"], 1, "no")
    assert has_changed(place, before, now)
