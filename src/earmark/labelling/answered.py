"""What the labels of an archive say about its windows and one class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.embeddings.archive import SAME_S, Windows
from earmark.labelling.conditions import cell_of
from earmark.labelling.decisions import Decision

HAS_CHANGED = "the recording has changed since"  # why an answer is left out
MOST_NAMED = 3  # stretches in a note


@dataclass(frozen=True)
class Answered:
    """The windows that are answered for one class: n of them.

    Attributes
    ----------
    rows : array, (n,) int64
        Their rows in the archive, in the order of the answers.
    is_class : array, (n,) bool
    weights : array, (n,)
        1 for an answer; its windows share it.
    chances : array, (n,)
        The chance of each in one random draw; nan if it was not drawn.
    passed : array, (p,) int64
        Windows that were skipped, which are not asked for again.
    outside : tuple of (Decision, bool)
        Answers on recordings that the archive does not have, such as examples, and whether they
        are of the class.
    changed : tuple of Decision
        Answers on recordings that had another content; they are not among the others.
    answers : int
        How many answers say yes or no.
    asked, hits : int
        How many of them are about windows that were proposed, and how many of these say yes.
    """

    rows: np.ndarray
    is_class: np.ndarray
    weights: np.ndarray
    chances: np.ndarray
    passed: np.ndarray
    outside: tuple[tuple[Decision, bool], ...]
    changed: tuple[Decision, ...]
    answers: int
    asked: int
    hits: int

    @property
    def has_example(self) -> bool:
        """Whether the class was found anywhere."""
        return bool(self.is_class.any() or any(is_class for _, is_class in self.outside))


def contents_by_place(windows: Windows) -> dict[str, int]:
    """Return the content of each recording by its whole path or URI, now or before a new name."""
    now = {r.place: content for content, own in windows.recordings.items() for r in own}
    return {**windows.former, **now}


def digest_of(windows: Windows, content: int | None) -> str:
    """Return the digest of a content; empty if the archive has no recording with it."""
    own = windows.recordings.get(content) if content is not None else None
    return own[0].digest if own else ""


def left_out(why: str, names: Sequence[str]) -> list[str]:
    """Return a note on what was left out; none without ``names``."""
    if not names:
        return []
    left = len(names) - MOST_NAMED
    more = f" and {left:,} more" if left > 0 else ""
    return [f"{len(names):,} left out, because {why}: {', '.join(names[:MOST_NAMED])}{more}"]


def answered(
    windows: Windows, contents: Mapping[str, int], decisions: Iterable[Decision], name: str
) -> Answered:
    """Return what decisions say about the class ``name``; the later one on a window counts.

    ``contents`` are those of :func:`contents_by_place`.
    """
    by_row: dict[int, tuple[bool, float, float]] = {}
    passed: list[np.ndarray] = [np.zeros(0, np.int64)]
    outside, answers, asked = list[tuple[Decision, bool]](), 0, list[bool]()
    changed = list[Decision]()
    for decision in decisions:
        is_class = decision.about(name)
        if is_class is None and decision.suggested != name:
            continue
        content = contents.get(decision.place)
        if not decision.is_about(digest_of(windows, content)):
            changed.append(decision)
            continue
        answers += is_class is not None
        if is_class is not None and decision.evidence is not None:
            asked.append(is_class)
        if content is None:
            if is_class is not None:
                outside.append((decision, is_class))
            continue
        rows = windows.rows_between(content, decision.start, decision.end)
        if is_class is None:
            passed.append(rows)
            continue
        if not is_class:
            rows = _inside(windows, rows, decision)
        chance = decision.chance if decision.chance and len(rows) == 1 else math.nan
        for row in rows.tolist():
            by_row.pop(row, None)
            by_row[row] = (is_class, 1 / len(rows) if is_class else 1.0, chance)
    values = list(by_row.values())
    return Answered(
        rows=np.array(list(by_row), np.int64),
        is_class=np.array([v[0] for v in values], bool),
        weights=np.array([v[1] for v in values], np.float64),
        chances=np.array([v[2] for v in values], np.float64),
        passed=np.concatenate(passed),
        outside=tuple(outside),
        changed=tuple(changed),
        answers=answers,
        asked=len(asked),
        hits=sum(asked),
    )


def _inside(windows: Windows, rows: np.ndarray, decision: Decision) -> np.ndarray:
    """Return those windows of one recording that lie in a stretch as a whole.

    A longer one may have the class outside of the stretch.
    """
    first = 0.0 if decision.start is None else decision.start
    last = math.inf if decision.end is None else decision.end
    spans = [
        windows.span(
            int(windows.contents[row]), int(windows.numbers[row]), int(windows.numbers[row])
        )
        for row in rows
    ]
    inside = [first - SAME_S <= start and end <= last + SAME_S for start, end in spans]
    kept: np.ndarray = rows[np.array(inside, bool)]
    return kept


def open_rows(windows: Windows, allowed: np.ndarray, known: Answered) -> np.ndarray:
    """Return the windows (n,) that may be asked for, of those in a mask ``allowed`` (N,).

    Those that overlap one of the class are left out, because they have the same sound.
    """
    mask = allowed.copy()
    mask[known.rows] = mask[known.passed] = False
    mask[windows.overlapping(known.rows[known.is_class])] = False
    return np.flatnonzero(mask)


def group_numbers(windows: Windows, column: str | None) -> np.ndarray:
    """Return the number of the group of each window (N,).

    A group is a recording, or a value of a ``column`` of the recordings. Recordings with the same
    content are in one group; one without a value is a group of its own.
    """
    contents, inverse = np.unique(windows.contents, return_inverse=True)
    names: dict[str, int] = {}
    own = [_group(windows, content, column) for content in contents.tolist()]
    numbers = np.array([names.setdefault(name, len(names)) for name in own], np.int64)
    of_windows: np.ndarray = numbers[inverse]
    return of_windows


def _group(windows: Windows, content: int, column: str | None) -> str:
    first = windows.recordings[content][0]
    return (cell_of(first, column) if column else "") or first.place


def stretches(windows: Windows, rows: np.ndarray) -> int:
    """Return the number of stretches that windows become if neighbours are joined."""
    if not len(rows):
        return 0
    order = np.lexsort((windows.numbers[rows], windows.contents[rows]))
    contents, numbers = windows.contents[rows][order], windows.numbers[rows][order]
    touching = math.floor(windows.network.window_s / windows.network.hop_s + 1e-6)
    is_next = (np.diff(contents) == 0) & (np.diff(numbers) <= touching)
    return 1 + int((~is_next).sum())


def contradiction_notes(pairs: Sequence[tuple[Decision, Decision]]) -> list[str]:
    """Return a sentence for each two decisions that contradict each other."""
    return [
        f"{a.place} {a.start or 0:.2f}..{'end' if a.end is None else f'{a.end:.2f} s'}:"
        f" {a.who or 'one row'} says {a.word} to {a.suggested}, {b.who or 'another row'} says"
        f" {b.word} to {b.suggested}. Neither counts; answer again."
        for a, b in pairs
    ]
