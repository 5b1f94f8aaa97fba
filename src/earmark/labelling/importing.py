"""Take the answers of a table that a person has filled in into the labels of an archive."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from earmark.errors import DataError, did_you_mean, listed
from earmark.labelling.decisions import REVIEW_WORDS, UNDO, WORDS, Decision, read_decisions
from earmark.labelling.labels import LabelFile


@dataclass(frozen=True)
class Imported:
    """What became of the rows of a table.

    Attributes
    ----------
    taken : int
        Answers that are in the labels now.
    known : int
        Answers that were there before.
    empty : int
        Rows without an answer.
    elsewhere : int
        Answers about recordings that are not in the archive; they are among the others, too.
    """

    taken: int
    known: int
    empty: int
    elsewhere: int


def classes_of(decisions: Iterable[Decision]) -> set[str]:
    """Return the classes that decisions name."""
    classes = set[str]()
    for decision in decisions:
        classes |= {decision.label, decision.suggested}
        if decision.names_class:
            classes.add(decision.word)
    return classes - {""}


def import_answers(
    file: LabelFile, path: Path, places: Collection[str], classes: Iterable[str] = ()
) -> Imported:
    """Append the answers of a table of ``label``, ``review`` or ``density`` to the labels.

    All rows are checked before the first is taken. Running it again takes none twice.

    Parameters
    ----------
    file : LabelFile
        The labels of the archive.
    path : Path
        The filled-in table. An answer without a person is one of the person of ``file``.
    places : collection of str
        The whole paths and URIs of the recordings of the archive.
    classes : iterable of str
        Classes that have no label yet, so that a misspelt name makes no class.

    Raises
    ------
    DataError
        The table has a class that is not known, or no recording of the archive.
    """
    rows = read_decisions(path)
    answers = [_checked(path, row) for row in rows if row.word]
    before = file.read().decisions
    suggested = (replace(row, word="") for row in rows)
    known = {*classes, *classes_of(before), *classes_of(suggested)}
    for answer in answers:
        if answer.names_class and answer.word not in known:
            raise DataError(
                f"{path}, row {answer.row}: the class {answer.word!r} is new here."
                f"{did_you_mean(answer.word, [*WORDS, *known])} Give yes, no, skip or one of"
                f" {listed(sorted(known))}; or add --new with its name."
            )
    elsewhere = sum(answer.place not in places for answer in answers)
    if answers and elsewhere == len(answers):
        raise DataError(
            f"{path}, row {answers[0].row}: the archive has no recording {answers[0].place}, nor"
            " any other of this table. Name the archive that it was made for."
        )
    there = {_key(decision) for decision in before}
    taken = 0
    for answer in answers:
        answer = replace(answer, who=answer.who or file.who)
        if there.isdisjoint((_key(answer), _key(replace(answer, content="")))):
            file.add(answer)
            taken += 1
    return Imported(taken, len(answers) - taken, len(rows) - len(answers), elsewhere)


def _checked(path: Path, answer: Decision) -> Decision:
    """Return an answer as the labels take it; DataError if it cannot be meant."""
    if answer.is_class:  # of a review of data whose classes are called so
        words = {answer.suggested: "relabel", answer.label: "keep"}
        if answer.word not in words:
            raise DataError(
                f"{path}, row {answer.row}: {answer.word!r} is a class and an answer. Write"
                f" {', '.join(REVIEW_WORDS)}, or another class."
            )
        answer = replace(answer, word=words[answer.word], is_class=False)
    if answer.word in ("yes", "relabel") and not answer.suggested:
        raise DataError(
            f"{path}, row {answer.row}: {answer.word!r} needs a suggestion, but there is none."
            " Write the class instead."
        )
    return answer


def _key(decision: Decision) -> tuple[object, ...]:
    names = (decision.suggested, decision.word, decision.who, decision.content)
    return (*decision.stretch, *names)


def is_reserved(name: str) -> bool:
    """Return whether a name is an answer, and so cannot be that of another class."""
    return name in (UNDO, *WORDS)
