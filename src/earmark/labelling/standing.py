"""Where the labels of a class stand: how good its head is, what it misses, and whether to go on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from earmark.errors import amount
from earmark.labelling.active import probability
from earmark.labelling.answered import Answered, stretches
from earmark.labelling.estimates import RECENT, Draws, Interval
from earmark.labelling.fitted import Fitted, Learner

THRESHOLD = 0.5
DOZEN = 12
LEAST_ANSWERS, LEAST_POSITIVES = 36, 10  # before labels can be enough
AGREEING = 0.97  # kappa of the heads before and after a dozen, twice, for labels to be enough
COMPARED = 10_000  # windows with the highest scores, in which heads are compared


@dataclass(frozen=True)
class Standing:
    """What is known of a class after a round.

    Attributes
    ----------
    answers, positives, negatives : int
        Answers that say yes or no, and windows of each kind.
    threshold : float
        The score from which on the head takes a window for the class.
    found : int
        Windows that nobody has answered, with at least that score.
    precision : Interval or None
        The share of the class among these; None if too few of them were drawn and answered.
    unseen : Interval or None
        Events of the class that nobody has heard: windows that touch are one event.
    total : Interval or None
        Events of the class in all: those that were heard, and the unseen ones.
    advice : str
        Whether to go on, and why.
    is_enough : bool
        Whether more labels change little.
    """

    answers: int
    positives: int
    negatives: int
    threshold: float
    found: int
    precision: Interval | None
    unseen: Interval | None
    total: Interval | None
    advice: str
    is_enough: bool


def standing_of(learner: Learner, fitted: Fitted, known: Answered, rows: np.ndarray) -> Standing:
    """Return where the labels stand; ``rows`` (n,) are the windows that nobody has answered."""
    scores = probability(fitted.margins[rows]).astype(np.float64)
    found = rows[scores >= THRESHOLD]
    draws = _draws(learner, fitted, known)
    precision = draws.precision(THRESHOLD)
    everything = draws.total()
    heard = _heard(learner, fitted, known.rows[known.is_class])
    unseen = None if everything is None else everything.plus(-len(heard))
    own = np.concatenate([heard, found])
    per_event = max(1.0, len(own) / max(1, stretches(learner.windows, own)))
    if unseen is not None:
        unseen = unseen.times(1 / per_event)
        everything = unseen.plus(stretches(learner.windows, heard))
    is_enough, advice = _advice(learner, fitted, known)
    positives = int(known.is_class.sum())
    return Standing(
        answers=known.answers,
        positives=positives,
        negatives=len(known.is_class) - positives,
        threshold=THRESHOLD,
        found=len(found),
        precision=precision,
        unseen=unseen,
        total=everything,
        advice=advice,
        is_enough=is_enough,
    )


def _draws(learner: Learner, fitted: Fitted, known: Answered) -> Draws:
    own = np.flatnonzero(~np.isnan(known.chances))[-RECENT:]
    scores = learner.scores_without(fitted, known, own)
    known_before = [
        len(_heard(learner, fitted, known.rows[:k][known.is_class[:k]]))
        for k in np.maximum(own - DOZEN // 2, 0).tolist()  # when its dozen began, on average
    ]
    return Draws(known.is_class[own], known.chances[own], scores, np.array(known_before))


def _heard(learner: Learner, fitted: Fitted, rows: np.ndarray) -> np.ndarray:
    """Return windows of the class, and those that overlap one and that the head takes for it."""
    near = np.setdiff1d(learner.windows.overlapping(rows), rows)
    return np.concatenate([rows, near[probability(fitted.margins[near]) >= THRESHOLD]])


def _advice(learner: Learner, fitted: Fitted, known: Answered) -> tuple[bool, str]:
    """Return whether the labels are enough, and a sentence that says so.

    They are if two dozens in a row have hardly changed which windows the head finds: Bloodgood &
    Vijay-Shanker, CoNLL 2009, 39-47.
    """
    if known.asked >= DOZEN and not known.hits:
        asked = amount(known.asked, "window")
        return False, f"None of {asked} was of the class. Go on, or give a better example."
    if known.answers < LEAST_ANSWERS or known.is_class.sum() < LEAST_POSITIVES:
        return False, (
            f"Go on: a head needs about {LEAST_ANSWERS} answers, {LEAST_POSITIVES} of them yes."
        )
    agreement = _agreement(learner, fitted)
    if min(agreement) >= AGREEING:
        return True, (
            "Enough: the last two dozens have hardly changed what the head finds. Train with"
            " `earmark train`, or label another class."
        )
    return False, "Go on: the last two dozens have still changed what the head finds."


def _agreement(learner: Learner, fitted: Fitted) -> list[float]:
    """Return Cohen's kappa of the heads before and after each of the last two dozens."""
    count = min(COMPARED, len(fitted.margins))
    top = np.argpartition(-fitted.margins, count - 1)[:count]
    vectors, taught = learner.windows.vectors_of(top), fitted.taught
    last = int(taught.order.max())
    takes = [fitted.margins[top] >= 0]
    for dozens in (1, 2):
        keep = taught.order <= last - dozens * DOZEN
        takes.append(taught.head(keep).margins(vectors) >= 0)
    return [_kappa(a, b) for a, b in itertools.pairwise(takes)]


def _kappa(a: np.ndarray, b: np.ndarray) -> float:
    same = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return 1.0 if chance == 1.0 else (same - chance) / (1 - chance)
