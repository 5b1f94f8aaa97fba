"""Apply a table of decisions to labelled data, and write one for people to fill in."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.data.clip import Clip, split_label
from earmark.data.dataset import Dataset
from earmark.errors import DataError, did_you_mean, listed
from earmark.labelling.decisions import (
    COLUMNS,
    REVIEW_WORDS,
    WORDS,
    Decision,
    cells_of,
    in_force,
    read_decisions,
    write_decisions,
)

if TYPE_CHECKING:
    from earmark.labelling.suspects import Suspect

MEANS = {"": "keep", "yes": "relabel", "no": "keep", "skip": "keep"}  # on a clip with a label


def write(path: Path, suspects: Iterable[Suspect]) -> None:
    """Write one row for each suspect, worst first, with an empty ``decision``.

    Paths are relative to the file. An existing file may have decisions, so it raises EarmarkError.
    """
    decisions = (
        Decision(
            place=suspect.clip.place,
            start=suspect.clip.start,
            end=suspect.clip.end,
            label=suspect.clip.label or "",
            suggested=suspect.suggested or "",
            evidence=suspect.doubt,
        )
        for suspect in suspects
    )
    write_decisions(path, decisions, COLUMNS)


def apply(dataset: Dataset, path: Path) -> tuple[Dataset, Counter[str]]:
    """Return ``dataset`` after the decisions in ``path``, and counts of what was done.

    The table may be one of ``earmark review`` or of ``earmark label``. The counts are of clips
    'relabelled', 'dropped' and 'kept'. Raises DataError for a decision that is neither a word nor a
    class, for a clip that is not in the data or has another label there, and for decisions that
    contradict each other.
    """
    by_key: dict[object, list[Decision]] = {}
    for key, decision in _read(dataset, path):
        by_key.setdefault(key, []).append(decision)
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


def _read(dataset: Dataset, path: Path) -> list[tuple[object, Decision]]:
    """Return the decisions in ``path`` with the keys of their clips, checked against the data.

    Their words are 'keep', 'relabel', 'drop' or a whole label.
    """
    known = {clip.key: clip for clip in dataset}
    decisions, contradictions = in_force(read_decisions(path, dataset.labels))
    for first, second in contradictions:
        raise DataError(
            f"{path}, rows {first.row}, {second.row}: {first.who} and {second.who} contradict each"
            f" other on {first.place}. Keep one."
        )
    checked, folder = list[tuple[object, Decision]](), Path(os.path.abspath(path)).parent
    for decision in decisions:
        where, name = f"{path}, row {decision.row}", cells_of(decision, folder)["path"]
        clip = known.get((decision.place, decision.start or 0.0, decision.end))
        if clip is None:
            raise DataError(
                f"{where}: {dataset.source} has no clip {name!r}. Give the data that was reviewed."
            )
        if decision.is_answer and not decision.label:
            decision = _with_label(dataset, where, clip, decision)
        if clip.label != decision.label:
            raise DataError(
                f"{where}: {name!r} is labelled {clip.label!r} in {dataset.source} and"
                f" {decision.label!r} here. Review the data again."
            )
        word = decision.word if decision.names_class else MEANS.get(decision.word, decision.word)
        decision = replace(decision, word=word)
        _check_word(dataset, where, decision)
        checked.append((clip.key, decision))
    return checked


def _with_label(dataset: Dataset, where: str, clip: Clip, decision: Decision) -> Decision:
    """Return an answer on one class as a decision on the whole label of a clip."""
    own, asked = dataset.classes(clip), split_label(decision.suggested, dataset.separator)
    decision = replace(decision, label=clip.label or "")
    if dataset.separator and decision.word == "yes":
        names = dict.fromkeys((*own, *asked))
        return replace(decision, suggested=dataset.separator.join(names))
    if decision.word != "no" or set(asked).isdisjoint(own):
        return decision
    rest = [name for name in own if name not in asked]
    if not rest:
        raise DataError(
            f"{where}: the answer is that {decision.suggested!r} is not there, but"
            f" {decision.place!r} is labelled {clip.label!r}. Write its class, or 'drop'."
        )
    return replace(decision, word="relabel", suggested=(dataset.separator or "").join(rest))


def _check_word(dataset: Dataset, where: str, decision: Decision) -> None:
    """Refuse a word that is neither one of ``WORDS`` nor made of classes of the data."""
    if decision.word in ("keep", "drop"):
        return
    is_relabel = decision.word == "relabel"
    if is_relabel and not decision.suggested:
        raise DataError(
            f"{where}: 'relabel' needs a suggestion, but there is none. Write the class instead."
        )
    label = decision.suggested if is_relabel else decision.word
    for name in split_label(label, dataset.separator):
        if name not in dataset.labels:
            raise DataError(
                f"{where}: the decision {name!r} is unknown."
                f"{did_you_mean(name, [*WORDS, *dataset.labels])} Give {', '.join(REVIEW_WORDS)},"
                f" or a class: {listed(dataset.labels)}."
            )


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
