"""Rounds of labels: what is proposed, what is kept, and where it stands."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from earmark.errors import DataError, EarmarkError
from earmark.labelling.answered import answered
from earmark.labelling.conditions import Condition
from earmark.labelling.decisions import Decision, read_decisions
from earmark.labelling.example import Example
from earmark.labelling.labels import LabelFile
from earmark.labelling.rounds import LabelSession
from made_windows import made_windows, planted_vectors


@pytest.fixture
def made(tmp_path):
    vectors, truth = planted_vectors(4_000, 20)
    return made_windows(tmp_path / "archive", vectors), truth


def session_of(windows, tmp_path, name="owl", who="anna", **settings) -> LabelSession:
    archive = SimpleNamespace(windows=lambda network: windows)
    return LabelSession(archive, name, LabelFile(tmp_path / "labels.csv", who), **settings)


def first_example(session: LabelSession, truth: np.ndarray, name: str = "owl") -> None:
    windows, row = session.windows, int(np.flatnonzero(truth)[0])
    content, number = int(windows.contents[row]), int(windows.numbers[row])
    start, end = windows.span(content, number, number)
    place = windows.recordings[content][0].place
    session.file.add(Decision(place=place, start=start, end=end, suggested=name, word="yes"))


def answer(session: LabelSession, truth: np.ndarray, rounds: int, count: int = 12):
    result = session.next_round(count)
    for _ in range(rounds):
        for proposal in result.proposals:
            session.answer(proposal, "yes" if truth[proposal.row] else "no")
        result = session.next_round(count)
    return result


def test_rounds_find_the_class_and_say_how_well(made, tmp_path):
    windows, truth = made
    session = session_of(windows, tmp_path)
    first_example(session, truth)
    result = answer(session, truth, 8)
    standing = result.standing
    assert standing.answers == 97 and standing.positives + standing.negatives == 97
    found = (result.scores >= standing.threshold) & truth
    assert found.sum() > 0.8 * truth.sum()
    assert standing.positives > 40  # of 200; random windows would have five
    rest = np.setdiff1d(np.flatnonzero(result.scores >= standing.threshold), session_rows(session))
    true = truth[rest].mean()
    assert standing.precision is not None and standing.unseen is not None
    assert standing.precision.low <= true <= standing.precision.high
    assert standing.unseen.low <= truth.sum() - standing.positives <= standing.unseen.high
    assert standing.total.value == pytest.approx(standing.unseen.value + standing.positives, abs=5)


def session_rows(session: LabelSession) -> np.ndarray:
    windows = session.windows
    rows = [windows.rows_between(int(d.place.rsplit("/", 1)[-1][:-4]), d.start, d.end)
            for d in session.file.read().decisions]  # fmt: skip
    return np.concatenate(rows)


def test_the_same_answers_give_the_same_round_to_one_person_and_another_one_to_others(
    made, tmp_path
):
    windows, truth = made
    first = session_of(windows, tmp_path)
    first_example(first, truth)
    answer(first, truth, 2)
    rounds = [
        [p.row for p in session_of(windows, tmp_path, who=who).next_round().proposals]
        for who in ("anna", "anna", "ben")
    ]
    assert rounds[0] == rounds[1] != rounds[2]


def test_what_was_answered_skipped_or_overlaps_the_class_is_not_asked_for_again(made, tmp_path):
    windows, truth = made
    session = session_of(windows, tmp_path)
    first_example(session, truth)
    asked = set[int]()
    for _ in range(4):
        proposals = session.next_round().proposals
        rows = [p.row for p in proposals]
        assert not asked & set(rows)
        for proposal, word in zip(proposals, ["skip", "yes", "tit", *["no"] * 9], strict=True):
            session.answer(proposal, word)
            if word == "yes":
                asked |= set(windows.overlapping(np.array([proposal.row])).tolist())
        asked |= set(rows)
    assert {d.word for d in session.file.read().decisions} == {"yes", "no", "skip", "tit"}


def test_an_answer_is_there_for_others_and_can_be_taken_back(made, tmp_path):
    windows, truth = made
    anna, ben = (session_of(windows, tmp_path, who=who) for who in ("anna", "ben"))
    first_example(anna, truth)
    proposal = anna.next_round().proposals[0]
    kept = anna.answer(proposal, "yes")
    assert (kept.who, kept.suggested, kept.word) == ("anna", "owl", "yes")
    assert ben.next_round().standing.answers == 2
    assert ben.undo() is None
    taken = anna.undo()
    assert taken is not None and taken.start == proposal.start
    assert ben.next_round().standing.answers == 1


def test_answers_that_contradict_each_other_are_named(made, tmp_path):
    windows, truth = made
    anna, ben = (session_of(windows, tmp_path, who=who) for who in ("anna", "ben"))
    first_example(anna, truth)
    proposal = anna.next_round().proposals[0]
    anna.answer(proposal, "yes")
    ben.answer(proposal, "no")
    result = ben.next_round()
    assert result.standing.answers == 1
    (note,) = result.notes
    assert "anna says yes" in note and "ben says no" in note and "Neither counts" in note


def with_digests(windows, digit):
    """The windows when the content of every recording has another digest."""
    own = {k: [replace(r, digest=digit * 16) for r in own] for k, own in windows.recordings.items()}
    return replace(windows, recordings=own)


def test_answers_on_a_recording_that_has_changed_since_are_left_out_and_named(made, tmp_path):
    windows, truth = made
    session = session_of(with_digests(windows, "0"), tmp_path)
    first_example(session, truth)  # does not know the content
    for proposal in session.next_round().proposals:
        session.answer(proposal, "yes")
    result = session.next_round()
    assert result.standing.answers == 13 and result.notes == ()
    kept = session.file.path.read_bytes()
    changed = session_of(with_digests(windows, "1"), tmp_path)
    result = changed.next_round()
    assert result.standing.answers == 1  # counts as before
    (note,) = result.notes
    assert note.startswith("12 left out, because the recording has changed since: ")
    assert ".wav" in note and ".." in note and note.endswith(" and 9 more")
    assert session.file.path.read_bytes() == kept
    before = session_of(with_digests(windows, "0"), tmp_path)  # it is back
    assert before.next_round().standing.answers == 13


def test_an_example_is_one_again_after_its_recording_has_changed(made, tmp_path):
    windows, _ = made
    example = Example(windows.recordings[0][0].place, 0.0, 0.96)
    for digit in "001":
        session_of(with_digests(windows, digit), tmp_path, examples=[example]).next_round()
    rows = read_decisions(tmp_path / "labels.csv")
    assert [row.content for row in rows] == ["0" * 16, "1" * 16]


def test_without_an_example_a_sentence_says_how_to_give_one(made, tmp_path):
    windows, truth = made
    session = session_of(windows, tmp_path)
    with pytest.raises(EarmarkError, match=r"nobody has found an example of 'owl'.*--like"):
        session.next_round()
    first_example(session, truth, "tit")
    with pytest.raises(EarmarkError, match="nobody has found an example of 'owl'"):
        session.next_round()
    other = session_of(windows, tmp_path, name="tit")
    assert other.next_round().standing.answers == 1


def test_recordings_that_are_gone_or_excluded_are_not_asked_for(made, tmp_path):
    windows, truth = made
    for content, own in windows.recordings.items():
        columns = {"site": "north" if content % 2 else "south"}
        own[0] = replace(own[0], is_gone=content >= 20, columns=columns)
    where = [Condition.parse("site=north")]
    session = session_of(windows, tmp_path, where=where, group="site")
    first_example(session, truth)
    for _ in range(3):
        proposals = session.next_round().proposals
        assert all(p.recording.columns["site"] == "north" for p in proposals)
        assert all(p.recording.content < 20 for p in proposals)
        for proposal in proposals:
            session.answer(proposal, "yes" if truth[proposal.row] else "no")
    with pytest.raises(DataError, match=r"no column|has a column 'sit'.*Did you mean 'site'"):
        session_of(windows, tmp_path, group="sit")
    session = session_of(windows, tmp_path, group="dataset")  # a column that all have
    assert len(session.next_round().proposals) == 12


def test_an_archive_of_which_everything_is_answered_has_nothing_left(tmp_path):
    vectors, truth = planted_vectors(30, 3)
    windows = made_windows(tmp_path / "archive", vectors, per_recording=1)
    session = session_of(windows, tmp_path)
    first_example(session, truth)
    result = answer(session, truth, 4)
    assert result.proposals == () and result.standing.found == 0
    assert result.standing.positives == truth.sum()


def test_advice_goes_from_go_on_to_enough(made, tmp_path):
    windows, truth = made
    session = session_of(windows, tmp_path)
    first_example(session, truth)
    assert session.next_round().standing.advice.startswith("Go on")
    for proposal in session.next_round().proposals:
        session.answer(proposal, "no")
    assert "None of 12 windows was of the class" in session.next_round().standing.advice
    for _ in range(12):
        session.undo()
    standing = answer(session, truth, 5, count=36).standing
    assert standing.is_enough and standing.advice.startswith("Enough")


def test_an_answer_on_a_longer_or_shorter_stretch_says_what_it_can(made, tmp_path):
    windows, _ = made
    place = windows.recordings[3][0].place
    contents = {place: 3}

    def rows(word: str, start: float | None, end: float | None) -> list[int]:
        decision = Decision(place=place, start=start, end=end, suggested="owl", word=word)
        return windows.numbers[answered(windows, contents, [decision], "owl").rows].tolist()

    assert rows("yes", 4.8, 5.76) == rows("no", 4.8, 5.76) == [10]
    assert rows("no", 4.8, 6.72) == [10, 11, 12]
    assert rows("yes", 5.0, 5.3) == [9, 10] and rows("no", 5.0, 5.3) == []
    assert len(rows("no", None, None)) == 100
