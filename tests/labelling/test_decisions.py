"""The table of decisions that review, label and density share: what a row says, and of what."""

from pathlib import Path

import pytest

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.errors import DataError, EarmarkError
from earmark.labelling import corrections
from earmark.labelling.decisions import (
    ALL_COLUMNS,
    Decision,
    in_force,
    read_decisions,
    write_decisions,
)

HEADER = ",".join(ALL_COLUMNS)
OF_PEOPLE = HEADER.replace(",content", "")


def decision(word: str, **changes) -> Decision:
    return Decision(**{"place": "/a.wav", "start": 1.0, "end": 2.0, "suggested": "owl",
                       "word": word, **changes})  # fmt: skip


@pytest.mark.parametrize(
    ("word", "label", "about"),
    [
        ("yes", "", {"owl": True, "rain": None}),
        ("yes", "rain", {"owl": True, "rain": False}),
        ("relabel", "rain", {"owl": True, "rain": False}),
        ("no", "", {"owl": False, "rain": None}),
        ("no", "rain", {"owl": False, "rain": True}),
        ("keep", "rain", {"owl": False, "rain": True}),
        ("rain", "", {"owl": False, "rain": True}),
        ("rain", "thrush", {"owl": False, "rain": True, "thrush": False, "wren": None}),
        ("owl", "rain", {"owl": True, "rain": False}),
        ("drop", "rain", {"owl": None, "rain": None}),
        ("skip", "rain", {"owl": None, "rain": None}),
        ("", "rain", {"owl": None, "rain": None}),
        ("undo", "rain", {"owl": None, "undo": None}),
    ],
)
def test_what_a_decision_says_about_a_class(word, label, about):
    own = decision(word, label=label)
    assert {name: own.about(name) for name in about} == about


def test_a_label_may_have_several_classes():
    own = decision("relabel", label="owl;rain", suggested="owl;wren")
    assert [own.about(name, ";") for name in ("owl", "rain", "wren", "x")] == [
        True, False, True, None
    ]  # fmt: skip


def test_a_table_is_written_and_read_back_with_every_number(tmp_path):
    rows = [
        decision("yes", place=str(tmp_path / "sub/a, b.wav"), evidence=0.25, chance=1 / 3,
                 content="00000000000012e4", who="Ann", when="2026-11-27T10:00:00Z"),
        decision("", place=str(tmp_path / "c.wav"), start=None, end=None, label="x"),
        decision("wren", place="s3://bucket/d.wav", start=0.1 + 0.2),
    ]  # fmt: skip
    write_decisions(tmp_path / "d.csv", rows)
    text = (tmp_path / "d.csv").read_text()
    assert text.splitlines()[:2] == [
        HEADER,
        '"sub/a, b.wav",1.0,2.0,,owl,0.2500,yes,0.3333333333333333,00000000000012e4,Ann,'
        "2026-11-27T10:00:00Z",
    ]  # fmt: skip
    found = read_decisions(tmp_path / "d.csv")
    assert [d.row for d in found] == [2, 3, 4]
    assert [vars(d) | {"row": 0, "is_answer": False} for d in found] == [vars(d) for d in rows]
    with pytest.raises(EarmarkError, match="already exists"):
        write_decisions(tmp_path / "d.csv", rows)
    (tmp_path / "saved.csv").write_text(text.replace("00000000000012e4", "1.2E+05"))
    assert read_decisions(tmp_path / "saved.csv")[0].content == ""  # by a spreadsheet
    assert (tmp_path / "d.csv").read_text() == text


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.wav,x,2,,owl,,yes,,,", "start is 'x'"),
        ("a.wav,1,inf,,owl,,yes,,,", "end is 'inf'"),
        ("a.wav,1,2,,owl,,yes,2,,", "chance is '2'"),
        ("a.wav,1,2,,owl,,yes,0,,", "chance is '0'"),
        ("s3://,1,2,,owl,,yes,,,", "whole address"),
        ("a.wav,1,2,,owl", "5 cells"),
    ],
)
def test_a_row_that_cannot_be_meant_is_named(tmp_path, row, words):
    (tmp_path / "d.csv").write_text(f"{OF_PEOPLE}\na.wav,1,2,,owl,,yes,,,\n{row}\n")
    with pytest.raises(DataError, match=rf"row 3.*{words}"):
        read_decisions(tmp_path / "d.csv")


def data_of(tmp_path: Path, labels: list[str], separator: str | None = None) -> Dataset:
    clips = tuple(Clip(tmp_path / f"{k}.wav", x, 0.0, 1.0) for k, x in enumerate(labels))
    return Dataset(clips, "data", separator)


def applied(data: Dataset, tmp_path: Path, *rows: str, header: str = OF_PEOPLE) -> list[str]:
    (tmp_path / "d.csv").write_text("\n".join([header, *rows]) + "\n")
    return [clip.label for clip in corrections.apply(data, tmp_path / "d.csv")[0]]


def test_a_table_of_label_corrects_data(tmp_path):
    data = data_of(tmp_path, ["rain", "owl", "rain", "rain"])
    when = "Ann,2026-11-27T10:00:00Z"
    rows = [
        f"0.wav,0,1,,owl,0.9,yes,,{when}",
        f"1.wav,0,1,,rain,0.9,no,,{when}",
        f"2.wav,0,1,,owl,0.9,yes,,{when}",
        f"2.wav,0,1,,owl,0.9,undo,,{when}",
        f"3.wav,0,1,,owl,0.9,skip,,{when}",
    ]
    assert applied(data, tmp_path, *rows) == ["owl", "owl", "rain", "rain"]
    filled = ["0.wav,0,1,,owl,0.9,yes,,,", "2.wav,0,1,,wren,0.9,owl,,,", "3.wav,0,1,,owl,,,,,"]
    assert applied(data, tmp_path, *filled) == ["owl", "owl", "owl", "rain"]
    with pytest.raises(DataError, match="row 3: the answer is that 'owl' is not there"):
        applied(data, tmp_path, rows[0], f"1.wav,0,1,,owl,0.9,no,,{when}")
    other = "Ben,2026-11-27T10:00:00Z"
    with pytest.raises(DataError, match="rows 2, 3: Ann and Ben contradict"):
        applied(data, tmp_path, rows[0], f"0.wav,0,1,,owl,0.9,no,,{other}")


def test_an_answer_adds_or_removes_one_class_of_several(tmp_path):
    data = data_of(tmp_path, ["rain", "rain;owl", "wren"], ";")
    when = "Ann,2026-11-27T10:00:00Z"
    rows = [f"0.wav,0,1,,owl,0.9,yes,,{when}", f"1.wav,0,1,,owl,0.9,no,,{when}"]
    assert applied(data, tmp_path, *rows) == ["rain;owl", "rain", "wren"]


def test_classes_may_have_the_names_of_answers(tmp_path):
    data = data_of(tmp_path, ["yes", "no", "go"])
    header = HEADER.partition(",chance")[0]
    rows = ["0.wav,0,1,yes,no,1,no", "1.wav,0,1,no,yes,1,keep", "2.wav,0,1,go,yes,1,yes"]
    assert applied(data, tmp_path, *rows, header=header) == ["no", "no", "yes"]
    assert applied(data, tmp_path, "2.wav,0,1,go,,1,no", header=header) == ["yes", "no", "no"]
    answers = ["0.wav,0,1,yes,go,1,no,,,", "1.wav,0,1,no,go,1,yes,,,", "2.wav,0,1,go,no,1,no,,,"]
    assert applied(data, tmp_path, *answers) == ["yes", "go", "go"]


def test_later_answers_replace_earlier_ones_and_two_people_may_contradict_each_other():
    def kept(*rows: Decision) -> tuple[list[str], int]:
        decisions, contradictions = in_force(rows)
        return [f"{d.who}:{d.word}" for d in decisions], len(contradictions)

    ann, ben = {"who": "Ann"}, {"who": "Ben"}
    assert kept(decision("yes", **ann), decision("no", **ann)) == (["Ann:no"], 0)
    assert kept(decision("yes", **ann), decision("no", **ann), decision("undo", **ann)) == (
        ["Ann:yes"], 0
    )  # fmt: skip
    assert kept(decision("yes", **ann), decision("undo", **ben)) == (["Ann:yes"], 0)
    assert kept(decision("yes", **ann), decision("no", **ben)) == ([], 1)
    assert kept(decision("yes", **ann), decision("no", **ben), decision("yes", **ben)) == (
        ["Ann:yes", "Ben:yes"], 0
    )  # fmt: skip
    assert kept(decision("yes", **ann), decision("skip", **ben)) == (["Ann:yes", "Ben:skip"], 0)
    # about another suggestion, but against the first one
    assert kept(decision("no", **ann), decision("owl", suggested="wren", **ben)) == ([], 1)
    assert kept(decision("no", **ann), decision("owl", suggested="wren", **ann)) == (["Ann:owl"], 0)
    assert kept(decision("no", **ann), decision("yes", start=1.5, **ben))[1] == 0
    assert kept(decision("yes"), decision("no")) == ([":yes", ":no"], 0)
