"""The decisions file of a review: write it for people to fill in, read it back and apply it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.data.clip import Clip, split_label
from earmark.data.dataset import Dataset
from earmark.data.remote import place_from
from earmark.data.tables import read_table
from earmark.errors import DataError, EarmarkError, did_you_mean, listed
from earmark.system.files import not_a_file, write_whole
from earmark.system.text import to_bytes, to_csv

if TYPE_CHECKING:
    from earmark.labelling.suspects import Suspect

COLUMNS = ("path", "start", "end", "label", "suggested", "evidence", "decision")  # as in 0.1
WORDS = ("keep", "relabel", "drop")  # or the name of a class; an empty cell means keep


@dataclass(frozen=True)
class Decision:
    """One row of the file: the decision on a clip, and the number of the row for errors."""

    row: int
    clip: Clip
    word: str
    suggested: str


def write(path: Path, suspects: Iterable[Suspect]) -> None:
    """Write one row for each suspect, worst first, with an empty ``decision``.

    Paths are relative to the file. An existing file may have decisions, so it raises EarmarkError.
    """
    if path.exists():
        raise EarmarkError(f"{path} already exists. Name a new file, or delete this one.")
    rows: list[Sequence[object]] = [COLUMNS]
    for suspect in suspects:
        clip = suspect.clip
        ends = ("" if x is None else repr(x) for x in (clip.start, clip.end))
        place = place_from(clip, Path(os.path.abspath(path)).parent)
        doubt = f"{suspect.doubt:.4f}"
        rows.append([place, *ends, clip.label, suspect.suggested, doubt, ""])
    write_whole(path, to_bytes(to_csv(rows)))


def apply(dataset: Dataset, path: Path) -> tuple[Dataset, Counter[str]]:
    """Return ``dataset`` after the decisions in ``path``, and counts of what was done.

    The counts are of clips 'relabelled', 'dropped' and 'kept'. Raises DataError for a decision that
    is neither a word nor a class, for a clip that is not in the data or has another label there,
    and for decisions that contradict each other.
    """
    by_key: dict[object, list[Decision]] = {}
    for decision in _read(dataset, path):
        by_key.setdefault(decision.clip.key, []).append(decision)
    clips: list[Clip] = []
    counts: Counter[str] = Counter()
    for clip in dataset:
        decisions = by_key.get(clip.key, [])
        label = _label(dataset, path, clip, decisions)
        if decisions:
            same = "kept" if label == clip.label else "relabelled"
            counts["dropped" if label is None else same] += 1
        if label is not None:
            clips.append(clip if label == clip.label else replace(clip, label=label))
    if not clips:
        raise DataError(f"{path} drops every clip of {dataset.source}. Keep some of them.")
    return replace(dataset, clips=tuple(clips)), counts


def _read(dataset: Dataset, path: Path) -> list[Decision]:
    """Return the decisions in ``path``, each checked against ``dataset``."""
    if problem := not_a_file(path):
        raise DataError(f"{path} {problem}. Give the file that `earmark review -o` wrote.")
    if not path.is_file():
        raise DataError(f"{path} does not exist. Give the file that `earmark review -o` wrote.")
    table = read_table(Path(os.path.abspath(path)), set(COLUMNS))
    for column in COLUMNS:
        if column not in table.columns and column != "evidence":
            raise DataError(
                f"{path} has no column {column!r}. Give the file that `earmark review -o` wrote."
            )
    known = {clip.key: clip for clip in dataset}
    decisions = []
    for number, row in table.rows:
        cells = {name: str(row.get(name) or "") for name in COLUMNS}
        cells |= {name: cells[name].strip() for name in COLUMNS if name != "path"}
        try:
            start, end = (float(cells[name]) if cells[name] else None for name in ("start", "end"))
        except ValueError as error:
            raise DataError(
                f"{path}, row {number}: start is {cells['start']!r} and end is {cells['end']!r}."
                " Give seconds, such as 1.5."
            ) from error
        at = os.path.abspath(table.folder / cells["path"])
        clip = known.get((at, start or 0.0, end))
        if clip is None:
            raise DataError(
                f"{path}, row {number}: {dataset.source} has no clip {cells['path']!r}. Give the"
                " data that was reviewed."
            )
        if clip.label != cells["label"]:
            raise DataError(
                f"{path}, row {number}: {cells['path']!r} is labelled {clip.label!r} in"
                f" {dataset.source} and {cells['label']!r} here. Review the data again."
            )
        word = _word(dataset, f"{path}, row {number}", cells)
        decisions.append(Decision(number, clip, word, cells["suggested"]))
    return decisions


def _word(dataset: Dataset, where: str, cells: dict[str, str]) -> str:
    """Return the decision of a row, one of WORDS or a whole label; DataError if it is neither."""
    word = cells["decision"] or "keep"
    if word == "relabel" and not cells["suggested"]:
        raise DataError(
            f"{where}: 'relabel' needs a suggestion, but there is none. Write the class instead."
        )
    label = cells["suggested"] if word == "relabel" else word
    if word in ("keep", "drop"):
        return word
    for name in split_label(label, dataset.separator):
        if name not in dataset.labels:
            known = [*WORDS, *dataset.labels]
            raise DataError(
                f"{where}: the decision {name!r} is unknown.{did_you_mean(name, known)} Give keep,"
                f" relabel, drop, or a class: {listed(dataset.labels)}."
            )
    return word


def _label(dataset: Dataset, path: Path, clip: Clip, decisions: Sequence[Decision]) -> str | None:
    """Return the new label of a clip; None if it is dropped.

    A clip with several classes may have several decisions; each 'relabel' adds or removes a class.
    """
    words = {d.word for d in decisions if d.word not in ("keep", "relabel")}
    changes = [d for d in decisions if d.word == "relabel"]
    if len(words) > 1 or (words and changes):
        rows = ", ".join(str(d.row) for d in decisions)
        raise DataError(
            f"{path}, rows {rows}: the decisions on {clip.path} contradict each other. Keep one."
        )
    if words:
        (word,) = words
        return None if word == "drop" else word
    own = dataset.classes(clip)
    names = list(own)
    for decision in changes:
        after = split_label(decision.suggested, dataset.separator)
        names = [name for name in names if name in after or name not in own]
        names += [name for name in after if name not in own]
    label = (dataset.separator or "").join(dict.fromkeys(names))
    if changes and not label:
        raise DataError(
            f"{path}: the decisions leave {clip.path} without a class. Give one, or 'drop'."
        )
    return label
