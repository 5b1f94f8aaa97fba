"""Decisions on labels: one format of table for ``review``, ``label`` and ``density``.

A row is a clip, the class that is suggested for it, and the decision of a person.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from earmark.data.clip import Clip, split_label
from earmark.data.remote import local_path, place_from, place_of
from earmark.data.tables import Row, Table, read_table
from earmark.errors import DataError, EarmarkError
from earmark.system.files import not_a_file, write_whole
from earmark.system.text import to_bytes, to_csv

COLUMNS = ("path", "start", "end", "label", "suggested", "evidence", "decision")  # as in 0.1
ANSWER_COLUMNS = (
    "chance",
    "content",
    "who",
    "when",
)  # ``when`` is last: it shows whether a line is whole
ALL_COLUMNS = (*COLUMNS, *ANSWER_COLUMNS)
REVIEW_WORDS = ("keep", "relabel", "drop")
ANSWERS = ("yes", "no", "skip")
UNDO = "undo"
WORDS = (*REVIEW_WORDS, *ANSWERS)  # or the name of a class
WHEN = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
    r"|\d{1,4}[-./]\d{1,2}[-./]\d{1,4},? \d{1,2}:\d\d.*"  # as spreadsheets write it
)
CONTENT = re.compile("[0-9a-f]{16}")  # a spreadsheet may have made a number of it
WAY_OUT = "Give a table that `earmark label` or `earmark review -o` wrote."


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided about a clip.

    Attributes
    ----------
    place : str
        The whole path of the recording, or its URI.
    start, end : float or None
        Seconds. Without a start it is from the beginning, without an end to the end.
    label : str
        The label that the clip has; empty if it has none, or if none is known.
    suggested : str
        The label that was suggested: for ``label``, the class that was asked for.
    evidence : float or None
        How much speaks for the suggestion, 0 to 1.
    word : str
        'keep', 'relabel', 'drop', 'yes', 'no', 'skip', 'undo' or the name of a class; empty means
        that nothing was decided.
    who : str
        The person.
    when : str
        The time, ISO 8601.
    chance : float or None
        The chance with which the clip was drawn at random, if it was.
    content : str
        The :attr:`~earmark.embeddings.archive.ArchiveRecording.digest` of the recording when it
        was asked for; empty if it is not known.
    row : int
        The row of the table, for errors; 0 if it is of none.
    is_class : bool
        Whether the word is the name of a class although it reads like an answer, such as 'no'.
    is_answer : bool
        Whether it is of a table of ``label``, which has a column ``who``. Such a row asks for one
        class; an empty label means that none is known.
    """

    place: str
    start: float | None
    end: float | None
    label: str = ""
    suggested: str = ""
    evidence: float | None = None
    word: str = ""
    who: str = ""
    when: str = ""
    chance: float | None = None
    content: str = ""
    row: int = 0
    is_class: bool = False
    is_answer: bool = False

    @property
    def stretch(self) -> tuple[str, float, float | None]:
        """The place, the start and the end in microseconds' accuracy, to compare decisions by."""
        end = None if self.end is None else round(self.end, 6)
        return self.place, round(self.start or 0.0, 6), end

    @property
    def clip_name(self) -> str:
        """The place and the stretch, for people."""
        return Clip(self.place, start=self.start, end=self.end).name  # type: ignore[arg-type]

    def is_about(self, digest: str) -> bool:
        """Return whether it may be about the content with a digest; unknown ones may."""
        return not (self.content and digest) or self.content == digest

    @property
    def names_class(self) -> bool:
        """Whether the word is the name of a class."""
        return self.is_class or self.word not in ("", UNDO, *WORDS)

    def about(self, name: str, separator: str | None = None) -> bool | None:
        """Return whether the class ``name`` is in the clip; None if the decision does not say.

        ``separator`` is the text between the classes of a label that has several.
        """
        suggested = split_label(self.suggested, separator)
        label = split_label(self.label, separator)
        if self.names_class:
            present, absent = split_label(self.word, separator), (*suggested, *label)
        elif self.word in ("yes", "relabel"):
            present, absent = suggested, label
        elif self.word in ("no", "keep"):
            present, absent = label, suggested
        else:
            return None
        return True if name in present else False if name in absent else None

    def contradicts(self, other: Decision) -> bool:
        """Return whether two decisions on one clip say opposite things about a class."""
        if not self.is_about(other.content):
            return False
        names = {x for d in (self, other) for x in (d.label, d.suggested, d.word) if x}
        pairs = ((self.about(name), other.about(name)) for name in names)
        return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def in_force(
    decisions: Iterable[Decision],
) -> tuple[list[Decision], list[tuple[Decision, Decision]]]:
    """Return the decisions that count, and pairs that contradict each other and do not count.

    Decisions come in the order in which they were made. The later one of a person replaces the
    earlier one on the same clip and suggestion, and those that it contradicts; 'undo' takes back
    the last one. Rows of nobody, as in a filled-in table, all count.
    """
    stacks: dict[tuple[object, ...], list[tuple[int, Decision]]] = {}
    of_nobody = list[tuple[int, Decision]]()
    for number, decision in enumerate(decisions):
        if not decision.who:
            of_nobody.append((number, decision))
            continue
        stack = stacks.setdefault((decision.who, *decision.stretch, decision.suggested), [])
        if decision.word != UNDO:
            stack.append((number, decision))
        elif stack:
            stack.pop()
    last = sorted(stack[-1] for stack in stacks.values() if stack)
    by_stretch: dict[object, list[tuple[int, Decision]]] = {}
    for number, decision in last:
        own = by_stretch.setdefault(decision.stretch, [])
        own[:] = [o for o in own if o[1].who != decision.who or not o[1].contradicts(decision)]
        own.append((number, decision))
    contradictions = list[tuple[Decision, Decision]]()
    counted = of_nobody
    for own in by_stretch.values():
        against = [(a, b) for k, a in enumerate(own) for b in own[:k] if a[1].contradicts(b[1])]
        contradictions += [(earlier[1], later[1]) for later, earlier in against]
        unused = {number for pair in against for number, _ in pair}
        counted += [(number, decision) for number, decision in own if number not in unused]
    return [decision for _, decision in sorted(counted, key=lambda x: x[0])], contradictions


def read_decisions(path: str | Path, classes: Iterable[str] = ()) -> list[Decision]:
    """Return all rows of a table of decisions, with whole paths.

    Parameters
    ----------
    path : str or Path
        The table; its paths are relative to its folder.
    classes : iterable of str
        The classes of the data. In a table of ``review``, which has no column ``who``, the word
        'no' is the class 'no' if there is one.

    Raises
    ------
    DataError
        The file is no table of decisions, or a number in it is none.
    """
    path = Path(os.path.abspath(path))
    if problem := not_a_file(path):
        raise DataError(f"{path} {problem}. {WAY_OUT}")
    if not path.is_file():
        raise DataError(f"{path} does not exist. {WAY_OUT}")
    table = read_table(path, set(ALL_COLUMNS))
    check_columns(table)
    decisions = []
    for number, row in table.rows:
        try:
            decisions.append(decision_of(row, table.folder, number))
        except ValueError as error:
            raise DataError(f"{path}, row {number}: {error}.") from error
    known = {*classes, *(name for d in decisions for name in (d.label, d.suggested))}
    if "who" in table.columns:
        words = [d.word if d.word in known else _answer(d.word) for d in decisions]
        return [
            replace(d, word=word, is_answer=True) for d, word in zip(decisions, words, strict=True)
        ]
    named = known.intersection(ANSWERS)
    return [replace(d, is_class=True) if d.word in named else d for d in decisions]


def _answer(word: str) -> str:
    """Return the answer that a person has shortened or begun with a capital; else the word."""
    short = {answer[0]: answer for answer in ANSWERS} | {answer: answer for answer in ANSWERS}
    return short.get(word.lower(), word)


def check_columns(table: Table) -> None:
    """Refuse a table that has not all columns of decisions; the evidence may be missing."""
    for column in COLUMNS:
        if column not in table.columns and column != "evidence":
            raise DataError(f"{table.name} has no column {column!r}. {WAY_OUT}")


def decision_of(row: Row, folder: Path, number: int = 0) -> Decision:
    """Return the decision in a row of a table whose paths start from ``folder``.

    ValueError says what is wrong with a cell, without a full stop.
    """
    cells = {name: "" if row.get(name) is None else str(row.get(name)) for name in ALL_COLUMNS}
    cells |= {name: cells[name].strip() for name in ALL_COLUMNS if name != "path"}
    try:
        start, end = (float(cells[name]) if cells[name] else None for name in ("start", "end"))
        if not all(x is None or math.isfinite(x) for x in (start, end)):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"start is {cells['start']!r} and end is {cells['end']!r}. Give seconds, such as 1.5"
        ) from None
    chance = _number(cells["chance"])
    if cells["chance"] and not (chance is not None and 0 < chance <= 1):
        raise ValueError(
            f"chance is {cells['chance']!r}. Leave it as it was written, a number up to 1"
        )
    return Decision(
        place=_place(cells["path"], folder),
        start=start,
        end=end,
        label=cells["label"],
        suggested=cells["suggested"],
        evidence=_number(cells["evidence"]),
        word=cells["decision"],
        who=cells["who"],
        when=cells["when"],
        chance=chance,
        content=cells["content"] if CONTENT.fullmatch(cells["content"]) else "",
        row=number,
    )


def _place(name: str, folder: Path) -> str:
    """Return the URI in a cell of paths, or the whole path."""
    return place_of(name) or os.path.abspath(folder / local_path(name))


def _number(cell: str) -> float | None:
    """Return a finite number in a cell; None for anything else."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def write_decisions(
    path: Path, decisions: Iterable[Decision], columns: Sequence[str] = ALL_COLUMNS
) -> None:
    """Write a table of decisions, in place whole, with paths relative to it.

    An existing file may have decisions, so it raises EarmarkError.
    """
    if path.exists():
        raise EarmarkError(f"{path} already exists. Name a new file, or delete this one.")
    folder = Path(os.path.abspath(path)).parent
    cells = (cells_of(decision, folder) for decision in decisions)
    rows = ([own[column] for column in columns] for own in cells)
    write_whole(path, to_bytes(to_csv([columns, *rows])))


def cells_of(decision: Decision, folder: Path) -> Mapping[str, str]:
    """Return the cells of a decision by column, for a table in ``folder``."""
    clip = Clip(decision.place)  # type: ignore[arg-type]  # a URI stays text
    return {
        "path": place_from(clip, folder),
        "start": "" if decision.start is None else repr(decision.start),
        "end": "" if decision.end is None else repr(decision.end),
        "label": decision.label,
        "suggested": decision.suggested,
        "evidence": "" if decision.evidence is None else f"{decision.evidence:.4f}",
        "decision": decision.word,
        "chance": "" if decision.chance is None else repr(decision.chance),
        "content": decision.content,
        "who": decision.who,
        "when": decision.when,
    }
