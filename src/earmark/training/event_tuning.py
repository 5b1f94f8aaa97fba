"""Choose the rules of a detector by the events that they find in held-out scenes.

Rules for a fold are chosen by the scenes of the other folds, so their figures do not look ahead.
The scores of every scene are from a head that was fitted without its fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from earmark.data.event import RecordingEvents
from earmark.detection.events import Decision, EventMachine
from earmark.detection.rules import EventRules
from earmark.detection.scores import WindowScores
from earmark.training.event_matching import Criterion, IouCriterion, match
from earmark.training.event_tables import EventTables, tabulate
from earmark.training.scene_windows import SceneTruth

THRESHOLDS = (0.15, 0.3, 0.45, 0.6, 0.75, 0.87, 0.95)
STRICT = (0.97, 0.985, 0.993, 0.997)  # tried as well if false events are limited
MIDDLE = 0.45  # the threshold at which gaps are compared
SHARES = (0.0, 0.5, 0.8)  # minimum durations, of a short true event
SHORT = 0.1  # the quantile of durations that is a short event
GAPS_S = (0.0, 0.2, 0.5, 1.0)
CLOSE = 0.002  # differences of F1 that do not count
LEAST_EVENTS, LEAST_GAIN = 30, 0.02  # for a class to have a threshold of its own
PULL = 1e-3  # towards uncalibrated scores, so that few events have a calibration, too
CRITERIA: tuple[Criterion, ...] = (IouCriterion(0.3), IouCriterion(0.5))


@dataclass(frozen=True)
class ScoredScenes:
    """Scenes, and the scores of their windows by heads fitted without their folds."""

    scenes: Sequence[SceneTruth]
    scores: Sequence[WindowScores]
    labels: Sequence[str]
    window_s: float
    hop_s: float

    @property
    def fold(self) -> np.ndarray:
        """The fold of each scene, (S,)."""
        return np.array([scene.fold for scene in self.scenes])

    @property
    def truth(self) -> list[RecordingEvents]:
        """The true events of each scene."""
        return [scene.recording for scene in self.scenes]

    def decisions(
        self, number: int, rules: EventRules, scores: WindowScores | None = None
    ) -> list[Decision]:
        """Return the events of a scene by some rules, perhaps with other ``scores``."""
        scores = self.scores[number] if scores is None else scores
        recording = self.scenes[number].recording
        machine = EventMachine(self.labels, rules, self.hop_s, self.window_s / 2)
        decisions = machine.feed(scores.scores, scores.known)
        return decisions + machine.finish(max(recording.seconds, 1e-3))

    def answers(self, rules: Sequence[EventRules] | EventRules) -> list[RecordingEvents]:
        """Return the events of all scenes, by the same rules or by those of each fold."""
        return [
            replace(
                scene.recording,
                events=tuple(
                    d.event
                    for d in self.decisions(
                        n, rules if isinstance(rules, EventRules) else rules[scene.fold]
                    )
                ),
            )
            for n, scene in enumerate(self.scenes)
        ]


class Counts(NamedTuple):
    """Right answers by each criterion (2, S, K), all answers (S, K) and true events (S, K)."""

    right: np.ndarray
    answers: np.ndarray
    truth: np.ndarray

    def f1(self, rows: np.ndarray) -> float:
        """Return the mean F1 over the criteria, of some scenes (a mask or numbers)."""
        right = self.right[:, rows].sum((1, 2))
        total = self.answers[rows].sum() + self.truth[rows].sum()
        return float((2 * right / max(1, total)).mean())

    def f1_of_classes(self, rows: np.ndarray) -> np.ndarray:
        """Return the mean F1 (K,) of each class over the criteria."""
        right = self.right[:, rows].sum(1)
        total = self.answers[rows].sum(0) + self.truth[rows].sum(0)
        return np.asarray((2 * right / np.maximum(1, total)).mean(0))

    def false(self, rows: np.ndarray) -> float:
        """Return the number of false events by the first criterion."""
        return float(self.answers[rows].sum() - self.right[0, rows].sum())

    def recall(self, rows: np.ndarray) -> float:
        """Return the share of true events that were found, by the first criterion."""
        return float(self.right[0, rows].sum() / max(1, self.truth[rows].sum()))


@dataclass(frozen=True)
class Tuning:
    """The rules that are saved, and those of each fold, chosen without it."""

    rules: EventRules
    of_fold: tuple[EventRules, ...]
    f1: np.ndarray  # (F,) of the rules of each fold, on the scenes of that fold
    notes: tuple[str, ...] = ()


def tune(scored: ScoredScenes, compete: bool, false_per_hour: float | None = None) -> Tuning:
    """Choose thresholds, durations and boundaries; see the module.

    With ``false_per_hour``, the threshold is the lowest with at most so many false events an hour,
    else the one with the best F1.
    """
    thresholds = THRESHOLDS if false_per_hour is None else THRESHOLDS + STRICT
    grid = list(_grid(scored, compete, thresholds))
    counts = [_count(scored, rules) for rules in grid]
    folds = scored.fold
    every = np.ones(len(folds), bool)
    chosen = [_choose(scored, grid, counts, folds != f, false_per_hour) for f in _numbers(folds)]
    whole = _choose(scored, grid, counts, every, false_per_hour)
    notes: tuple[str, ...] = ()
    if false_per_hour is not None and not whole.is_met:
        notes = (
            f"no threshold keeps to {false_per_hour:g} false events an hour in"
            f" {_hours(scored, every):.2f} hours of scenes; the highest was taken.",
        )
    f1 = np.array([counts[c.number].f1(folds == f) for f, c in enumerate(chosen)])
    return Tuning(whole.rules, tuple(c.rules for c in chosen), f1, notes)


class _Choice(NamedTuple):
    rules: EventRules
    number: int  # in the grid
    is_met: bool


def _numbers(folds: np.ndarray) -> range:
    return range(int(folds.max()) + 1)


def _hours(scored: ScoredScenes, rows: np.ndarray) -> float:
    return (
        sum(s.recording.seconds for s, own in zip(scored.scenes, rows, strict=True) if own) / 3600
    )


def _grid(scored: ScoredScenes, compete: bool, thresholds: Sequence[float]) -> Iterator[EventRules]:
    """Yield the rules to try: thresholds and minimum durations, with the best gap."""
    durations = [e.seconds for recording in scored.truth for e in recording.events]
    short = float(np.quantile(durations, SHORT)) if durations else scored.window_s
    durations_s = [round(share * short, 3) for share in SHARES]
    middle = _with_boundaries(scored, _rules(scored, MIDDLE, compete))
    gaps = [g for g in GAPS_S if g <= 2 * float(np.median(durations or [1.0]))]
    every = np.ones(len(scored.scenes), bool)
    rivals = [replace(middle, min_duration_s=durations_s[1], min_gap_s=g) for g in gaps]
    f1 = [_count(scored, rules).f1(every) for rules in rivals]
    gap_s = gaps[int(np.argmax(np.array(f1) > max(f1) - CLOSE))]  # the shortest of the best
    for threshold in thresholds:
        base = _with_boundaries(scored, _rules(scored, threshold, compete))
        for least_s in durations_s:
            yield replace(base, min_duration_s=least_s, min_gap_s=gap_s)


def _rules(scored: ScoredScenes, threshold: float, compete: bool) -> EventRules:
    quarter = scored.window_s / 4
    thresholds = (threshold,) * len(scored.labels)
    return EventRules(thresholds, before_s=quarter, after_s=quarter, compete=compete)


def _with_boundaries(
    scored: ScoredScenes, rules: EventRules, rows: np.ndarray | None = None
) -> EventRules:
    """Return the rules with onsets and offsets that are right in the median."""
    for _ in range(2):
        onset, offset = _boundary_errors(scored, rules, rows)
        if len(onset):
            rules = replace(
                rules,
                before_s=round(rules.before_s + float(np.median(onset)), 4),
                after_s=round(rules.after_s - float(np.median(offset)), 4),
            )
    return rules


def _boundary_errors(
    scored: ScoredScenes, rules: EventRules, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the onset and offset errors (M,) of matched events, in seconds."""
    tables = _tables(scored, rules)
    true, answer = match(tables.truth, tables.answers, CRITERIA[0])
    if rows is not None:
        keep = rows[_scene_of(scored, tables)[tables.truth.recording[true]]]
        true, answer = true[keep], answer[keep]
    return (
        tables.answers.start[answer] - tables.truth.start[true],
        tables.answers.end[answer] - tables.truth.end[true],
    )


def _tables(scored: ScoredScenes, rules: EventRules) -> EventTables:
    return tabulate(scored.truth, scored.answers(rules))


def _scene_of(scored: ScoredScenes, tables: EventTables) -> np.ndarray:
    """Return the number of the scene of each recording of the tables, which are sorted by path."""
    number = {scene.recording.path: n for n, scene in enumerate(scored.scenes)}
    return np.array([number[path] for path in tables.paths])


def _count(scored: ScoredScenes, rules: EventRules) -> Counts:
    tables = _tables(scored, rules)
    column = {label: k for k, label in enumerate(scored.labels)}
    label, scene = np.array([column[y] for y in tables.labels], int), _scene_of(scored, tables)
    shape = (len(scored.scenes), len(scored.labels))

    def cells(recording: np.ndarray, labels: np.ndarray) -> np.ndarray:
        counts = np.zeros(shape)
        if len(recording):
            np.add.at(counts, (scene[recording], label[labels]), 1)
        return counts

    truth, answers = tables.truth, tables.answers
    right = []
    for criterion in CRITERIA:
        true, _ = match(truth, answers, criterion)
        right.append(cells(truth.recording[true], truth.label[true]))
    return Counts(
        np.stack(right),
        cells(answers.recording, answers.label),
        cells(truth.recording, truth.label),
    )


def _choose(
    scored: ScoredScenes,
    grid: Sequence[EventRules],
    counts: Sequence[Counts],
    rows: np.ndarray,
    false_per_hour: float | None,
) -> _Choice:
    """Choose among the rules of the grid by some scenes."""
    is_met = True
    if false_per_hour is not None:
        most = false_per_hour * _hours(scored, rows)
        met = [n for n, c in enumerate(counts) if c.false(rows) <= most]
        is_met = bool(met)
        allowed = met or [int(np.argmin([c.false(rows) for c in counts]))]
        best = max(allowed, key=lambda n: (counts[n].recall(rows), counts[n].f1(rows)))
    else:
        best = max(range(len(grid)), key=lambda n: counts[n].f1(rows))
    rules = grid[best]
    if false_per_hour is None:
        rules = replace(rules, thresholds=_own_thresholds(grid, counts, rows, best))
    return _Choice(_with_boundaries(scored, rules, rows), best, is_met)


def _own_thresholds(
    grid: Sequence[EventRules], counts: Sequence[Counts], rows: np.ndarray, best: int
) -> tuple[float, ...]:
    """Return the threshold of each class: the common one, unless another is clearly better."""
    rules = grid[best]
    alike = [
        n
        for n, other in enumerate(grid)
        if (other.min_gap_s, other.min_duration_s) == (rules.min_gap_s, rules.min_duration_s)
    ]
    f1 = np.stack([counts[n].f1_of_classes(rows) for n in alike])  # (T, K)
    common = f1[alike.index(best)]
    events = counts[best].truth[rows].sum(0)
    best_of = f1.argmax(0)
    return tuple(
        grid[alike[best_of[k]]].thresholds[k]
        if events[k] >= LEAST_EVENTS and f1[best_of[k], k] >= common[k] + LEAST_GAIN
        else rules.thresholds[k]
        for k in range(len(common))
    )


def fit_calibration(scored: ScoredScenes, rules: Sequence[EventRules]) -> tuple[float, float]:
    """Return slope and intercept with which scores of events are the share that is right.

    Platt's method, on the events of each fold by its rules, with softened targets.
    """
    return fit_platt(*_event_scores(scored, rules))


def fit_platt(raw: np.ndarray, is_right: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept for raw scores (M,) and whether each is right (M,).

    Newton's method. A step is halved until the loss falls: full steps from the start diverge where
    most scores are near 1.
    """
    if len(raw) < 2:
        return 1.0, 0.0
    share = np.clip(raw, 1e-6, 1 - 1e-6)
    n_right, n_false = float(is_right.sum()), float((~is_right).sum())
    target = np.where(is_right, (n_right + 1) / (n_right + 2), 1 / (n_false + 2))
    start = np.array([1.0, 0.0])
    design = np.stack([np.log(share / (1 - share)), np.ones(len(share))])

    def loss(weights: np.ndarray) -> float:
        logits = weights @ design
        change = weights - start
        return float((np.logaddexp(0, logits) - target * logits).sum() + PULL / 2 * change @ change)

    weights = start
    for _ in range(50):
        p = 0.5 + 0.5 * np.tanh(0.5 * (weights @ design))
        slope = design @ (target - p) - PULL * (weights - start)
        bend = (design * (p * (1 - p))) @ design.T + PULL * np.eye(2)
        step = np.linalg.solve(bend, slope)
        while loss(weights + step) > loss(weights) and np.abs(step).max() >= 1e-8:
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    if weights[0] <= 0:
        return 0.0, float(np.log((n_right + 1) / (n_false + 1)))
    return float(weights[0]), float(weights[1])


def _event_scores(
    scored: ScoredScenes, rules: Sequence[EventRules]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest window score of each event (M,), and whether it is right."""
    answers = []
    for n, scene in enumerate(scored.scenes):
        decisions = scored.decisions(n, rules[scene.fold])
        events = tuple(replace(d.event, score=d.raw_score) for d in decisions)
        answers.append(replace(scene.recording, events=events))
    tables = tabulate(scored.truth, answers)
    _, answer = match(tables.truth, tables.answers, CRITERIA[0])
    is_right = np.zeros(len(tables.answers), bool)
    is_right[answer] = True
    return tables.answers.score, is_right
