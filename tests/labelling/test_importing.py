"""Answers of filled-in tables become labels of an archive: of ``label`` and of ``review``."""

import pytest

from earmark.errors import DataError
from earmark.labelling.importing import import_answers
from earmark.labelling.labels import LabelFile

HEADER = "path,start,end,label,suggested,evidence,decision,chance,who,when"
OF_REVIEW = HEADER.partition(",chance")[0]


@pytest.fixture
def take(tmp_path):
    file = LabelFile(tmp_path / "archive-labels.csv", "Ann")
    places = {str(tmp_path / name) for name in ("a.wav", "b.wav")}

    def run(*rows: str, header: str = HEADER, classes=()) -> tuple[tuple[int, ...], list[str]]:
        (tmp_path / "round.csv").write_text("\n".join([header, *rows]) + "\n")
        done = import_answers(file, tmp_path / "round.csv", places, classes)
        words = [f"{d.who}:{d.place[-5]}{d.start or 0:g}:{d.word}" for d in file.read().decisions]
        return (done.taken, done.known, done.empty, done.elsewhere), words

    return run


def test_a_filled_in_round_is_taken_once(take):
    rows = [
        "a.wav,0,1,,owl,0.9,yes,0.01,,",
        "a.wav,1,2,,owl,0.9,,,,",
        "b.wav,0,1,,owl,0.9,no,,Eve,",
    ]
    assert take(*rows) == ((2, 0, 1, 0), ["Ann:a0:yes", "Eve:b0:no"])
    assert take(*rows) == ((0, 2, 1, 0), ["Ann:a0:yes", "Eve:b0:no"])
    rows[1] = "a.wav,1,2,,owl,0.9,skip,,,"
    assert take(*rows)[0] == (1, 2, 0, 0)
    assert take("a.wav,0,1,,owl,0.9,no,0.01,,")[1][-1] == "Ann:a0:no"  # she changed her mind


def test_an_answer_on_another_content_is_a_new_one(take):
    header = HEADER.replace("chance", "chance,content")
    old, new = (f"a.wav,0,1,,owl,0.9,yes,0.01,{digit * 16},," for digit in "01")
    assert take(old, header=header)[0] == (1, 0, 0, 0)
    assert take(old, header=header)[0] == (0, 1, 0, 0)
    assert take(new, header=header)[0] == (1, 0, 0, 0)


def test_answers_may_be_short(take):
    rows = ["a.wav,0,1,,owl,,Y,,,", "a.wav,1,2,,owl,,No,,,", "a.wav,2,3,,owl,,s,,,"]
    assert take(*rows)[1] == ["Ann:a0:yes", "Ann:a1:no", "Ann:a2:skip"]
    assert take("b.wav,0,1,,n,,n,,,")[1][-1] == "Ann:b0:n"  # a class


def test_a_review_of_clips_is_taken_too(take):
    rows = [
        "a.wav,,,rain,owl,0.9,relabel",
        "b.wav,2,3,owl,rain,0.9,keep",
        "b.wav,3,4,owl,,0.9,rain",
    ]
    assert take(*rows, header=OF_REVIEW) == (
        (3, 0, 0, 0), ["Ann:a0:relabel", "Ann:b2:keep", "Ann:b3:rain"]
    )  # fmt: skip


def test_a_typo_makes_no_class_and_nothing_is_taken(take, tmp_path):
    rows = ["a.wav,0,1,,owl,0.9,yes,,,", "b.wav,0,1,,owl,0.9,wern,,,"]
    with pytest.raises(DataError, match="row 3: the class 'wern' is new here.*'wren'.*--new"):
        take(*rows, classes=["wren"])
    assert not (tmp_path / "archive-labels.csv").exists()
    assert take(*rows, classes=["wern"])[0] == (2, 0, 0, 0)
    assert take("b.wav,1,2,,owl,0.9,wern,,,")[0] == (1, 0, 0, 0)  # it is known by now


def test_recordings_that_are_not_in_the_archive_are_counted(take):
    assert take("a.wav,0,1,,owl,,yes,,,", "c.wav,0,1,,owl,,yes,,,")[0] == (2, 0, 0, 1)
    with pytest.raises(DataError, match="row 2: the archive has no recording .*c.wav"):
        take("c.wav,0,1,,owl,,yes,,,")


def test_what_cannot_be_meant_is_refused(take):
    with pytest.raises(DataError, match="row 2: 'yes' needs a suggestion"):
        take("a.wav,0,1,,,,yes,,,")
    with pytest.raises(DataError, match="row 2: 'no' is a class and an answer"):
        take("a.wav,0,1,go,stop,,no", "a.wav,1,2,no,stop,,keep", header=OF_REVIEW)
    with pytest.raises(DataError, match="no column 'path'"):
        take("x", header="y")


def test_classes_called_as_answers_are_taken_as_what_the_review_means(take):
    rows = ["a.wav,0,1,yes,no,,no", "a.wav,1,2,yes,no,,yes"]
    assert take(*rows, header=OF_REVIEW)[1] == ["Ann:a0:relabel", "Ann:a1:keep"]
