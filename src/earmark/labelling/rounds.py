"""Label an archive in rounds: a dozen windows, their answers, a new head, the next dozen."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.backbones.base import Backbone
from earmark.embeddings.archive import Archive, ArchiveNetwork, ArchiveRecording
from earmark.errors import AudioError, EarmarkError
from earmark.labelling.active import Pool, choose, probability
from earmark.labelling.answered import (
    HAS_CHANGED,
    Answered,
    answered,
    contents_by_place,
    contradiction_notes,
    digest_of,
    group_numbers,
    left_out,
    open_rows,
)
from earmark.labelling.conditions import Condition, check_column, check_columns
from earmark.labelling.decisions import Decision
from earmark.labelling.example import Example
from earmark.labelling.fitted import Fitted, Learner
from earmark.labelling.labels import LabelFile
from earmark.labelling.searching import embed_example, load_network
from earmark.labelling.standing import Standing, standing_of
from earmark.system.objects import is_uri

COUNT = 12
MOST_NOTES = 3  # in an error


@dataclass(frozen=True)
class Proposal:
    """A window to ask for.

    Attributes
    ----------
    row : int
        Its row among the windows of the archive.
    recording : ArchiveRecording
    start, end : float
        Seconds.
    score : float
        The score of the head, 0 to 1.
    why : str
        'sure', 'uncertain' or 'random'.
    chance : float or None
        The chance of it in one of the random draws of the dozen; None if it was not drawn.
    """

    row: int
    recording: ArchiveRecording
    start: float
    end: float
    score: float
    why: str
    chance: float | None


@dataclass(frozen=True)
class LabelRound:
    """A dozen windows to ask for, and what is known before their answers.

    Attributes
    ----------
    proposals : tuple of Proposal
        In random order, so that what was answered of a round that was left is a fair sample of it;
        empty if there is nothing left to ask for.
    scores : array, (N,) float32
        The score of the head for each window of the archive, 0 to 1.
    standing : Standing
    notes : tuple of str
        Contradicting answers, and answers and lines of the labels that are left out.
    """

    proposals: tuple[Proposal, ...]
    scores: np.ndarray
    standing: Standing
    notes: tuple[str, ...]


class LabelSession:
    """Rounds of labels for one class of an archive.

    Parameters
    ----------
    archive : Archive
        Its windows at this moment are labelled.
    name : str
        The class.
    file : LabelFile
        Where the answers are; it may have those of other people and of other classes.
    network : ArchiveNetwork, optional
        By default the one that was added last.
    group : str, optional
        A column of the recordings: at most a quarter of a dozen is of one group, by default of one
        recording.
    where : sequence of Condition
        All must hold for a recording.
    examples : sequence of Example
        Recordings or stretches that are of the class. They become answers of the file.
    allow_remote : bool
        Whether examples may be fetched from elsewhere.
    seed : int

    Raises
    ------
    DataError
        No recording has a column that is named.
    """

    def __init__(
        self,
        archive: Archive,
        name: str,
        file: LabelFile,
        *,
        network: ArchiveNetwork | None = None,
        group: str | None = None,
        where: Sequence[Condition] = (),
        examples: Sequence[Example] = (),
        allow_remote: bool = False,
        seed: int = 0,
    ) -> None:
        self.name, self.file = name, file
        self.windows = archive.windows(network)
        self._allow_remote, self._seed = allow_remote, seed
        recordings = [r for own in self.windows.recordings.values() for r in own]
        check_columns(where, recordings)
        if group is not None:
            check_column(group, recordings)
        self._groups = group_numbers(self.windows, group)
        self._contents = contents_by_place(self.windows)
        self._allowed = self._allowed_windows(where)
        self._examples = list(examples)
        self._backbone: Backbone | None = None
        self._vectors: dict[tuple[str, float, float | None], np.ndarray] = {}
        self._learner = Learner(self.windows, self._outside_vector)

    def __repr__(self) -> str:
        return f"LabelSession({self.name!r}, {len(self.windows):,} windows, {self.file!r})"

    def _allowed_windows(self, where: Sequence[Condition]) -> np.ndarray:
        """Return a mask (N,) of the windows that may be asked for: of recordings that are there."""
        allowed = [
            content
            for content, own in self.windows.recordings.items()
            if any(not r.is_gone and all(c.holds(r) for c in where) for r in own)
        ]
        mask: np.ndarray = np.isin(self.windows.contents, np.array(allowed, np.int64))
        return mask

    def next_round(self, count: int = COUNT) -> LabelRound:
        """Read the answers again, fit the head, and choose ``count`` windows to ask for.

        Raises EarmarkError if nobody has found an example of the class, or if an example cannot be
        read; ArchiveError if this machine has another version of the backbone, which is needed for
        examples that are not in the archive.
        """
        self._keep_examples()
        labels = self.file.read()
        known = answered(self.windows, self._contents, labels.decisions, self.name)
        known, silent = self._heard(known)
        silent += left_out(HAS_CHANGED, [decision.clip_name for decision in known.changed])
        notes = (*labels.notes, *contradiction_notes(labels.contradictions), *silent)
        if not known.has_example:
            raise EarmarkError(
                f"nobody has found an example of {self.name!r} yet. Give one with --like"
                f" CLIP[:START-END].{''.join(f' {note}' for note in notes[:MOST_NOTES])}"
            )
        rng = np.random.default_rng(
            [self._seed, known.answers, zlib.crc32(self.file.who.encode("utf-8", "replace"))]
        )
        rows = open_rows(self.windows, self._allowed, known)
        fitted = self._learner.fit(known, rows, rng)
        proposals = self._propose(fitted, rows, count, rng)
        standing = standing_of(self._learner, fitted, known, rows)
        return LabelRound(tuple(proposals), probability(fitted.margins), standing, notes)

    def _heard(self, known: Answered) -> tuple[Answered, list[str]]:
        """Leave out answers on recordings elsewhere that cannot be heard now, and name them."""
        heard, notes = list[tuple[Decision, bool]](), dict[str, None]()
        for decision, is_class in known.outside:
            try:
                self._outside_vector(decision)
                heard.append((decision, is_class))
            except AudioError as error:
                notes[f"An example cannot be heard, and is left out: {error}"] = None
        answers = known.answers - len(known.outside) + len(heard)
        return replace(known, outside=tuple(heard), answers=answers), list(notes)

    def _propose(
        self, fitted: Fitted, rows: np.ndarray, count: int, rng: np.random.Generator
    ) -> list[Proposal]:
        pool = Pool(rows, fitted.margins[rows], self._groups[rows])
        chosen = choose(pool, self.windows.vectors_of, count, rng)
        proposals = [
            self._proposal(row, why, chance, float(fitted.margins[row]))
            for row, why, chance in zip(chosen.rows, chosen.why, chosen.chances, strict=True)
        ]
        return [proposals[k] for k in rng.permutation(len(proposals))]

    def _proposal(self, row: int, why: str, chance: float, margin: float) -> Proposal:
        content, number = int(self.windows.contents[row]), int(self.windows.numbers[row])
        own = self.windows.recordings[content]
        recording = next(r for r in own if not r.is_gone)
        start, end = self.windows.span(content, number, number)
        score = float(probability(np.array(margin)))
        drawn = None if math.isnan(chance) else chance
        return Proposal(row, recording, start, end, round(score, 6), why, drawn)

    def answer(self, proposal: Proposal, word: str) -> Decision:
        """Keep an answer: 'yes', 'no', 'skip', or the name of the class that is there instead.

        It is on the disk when this returns. Raises EarmarkError if it cannot be written.
        """
        decision = Decision(
            place=proposal.recording.place,
            start=proposal.start,
            end=proposal.end,
            suggested=self.name,
            evidence=proposal.score,
            word=word,
            chance=proposal.chance,
            content=proposal.recording.digest,
        )
        return self.file.add(decision)

    def undo(self) -> Decision | None:
        """Take back the last answer of this person, and return it; None if there is none."""
        return self.file.undo()

    def _keep_examples(self) -> None:
        """Add the examples to the answers, each once, when it is known that they can be used."""
        decisions = self.file.read().decisions
        known = {(d.stretch, d.suggested) for d in decisions if d.is_about(self._digest(d.place))}
        while self._examples:
            example = self._examples[0]
            place = example.place if is_uri(example.place) else os.path.abspath(example.place)
            decision = Decision(
                place=place,
                start=example.start,
                end=example.end,
                suggested=self.name,
                word="yes",
                content=self._digest(place),
            )
            if (decision.stretch, self.name) not in known:
                if place not in self._contents:
                    self._outside_vector(decision)
                self.file.add(decision)
            del self._examples[0]

    def _digest(self, place: str) -> str:
        return digest_of(self.windows, self._contents.get(place))

    def _outside_vector(self, decision: Decision) -> np.ndarray:
        """Return the mean vector (D,), of unit length, of a stretch that is not in the archive."""
        if decision.stretch not in self._vectors:
            network = self.windows.network
            if is_uri(decision.place) and not self._allow_remote:
                raise EarmarkError(
                    f"the example {decision.place} is elsewhere. Give --allow-remote to fetch it."
                )
            if self._backbone is None:
                self._backbone = load_network(network, self._allow_remote)
            example = Example(decision.place, decision.start, decision.end)
            rows = embed_example(example, self._backbone, network)
            mean = self.windows.vectors.of_embeddings(rows).mean(0)
            self._vectors[decision.stretch] = mean / max(float(np.linalg.norm(mean)), 1e-9)
        return self._vectors[decision.stretch]
