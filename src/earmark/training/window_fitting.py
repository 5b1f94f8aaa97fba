"""Fit heads to the windows of scenes, and score all scenes by heads fitted without their folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.classifier.calibration import Calibration
from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.detection.scores import score_windows
from earmark.system.progress import Step
from earmark.training import candidates
from earmark.training.event_tuning import ScoredScenes, Tuning, tune
from earmark.training.event_unknown import MOST_LEFT_OUT, KnownEvents, known_scores_on
from earmark.training.inner import Average
from earmark.training.kernels import FeatureTable
from earmark.training.scene_windows import SceneWindows
from earmark.training.screening import thinned
from earmark.training.selection import Search

TRIED_ROWS, MOST_ROWS = 2_500, 12_000  # windows that heads are fitted to: in a trial, and to save
MOST_OF_EVENT = 6  # windows of one event
LEAST_CLASSES, MOST_TRAINED = 3, 1_500  # to leave a class out; windows of such a fit
LEAST_BACKGROUND, MOST_MADE = 30, 120  # windows of background of a scene


@dataclass(frozen=True)
class WindowFit:
    """The heads of one window length, the scores of all scenes by them, and the rules."""

    length: float
    search: Search
    average: Average
    calibration: Calibration
    head: Head
    oof: np.ndarray  # (N, K') calibrated scores of the rows by heads without their folds
    scored: ScoredScenes
    tuning: Tuning


def fit_windows(
    windows: SceneWindows,
    length: float,
    labels: Sequence[str],
    *,
    is_single: bool,
    layers: str,
    kinds: Sequence[str],
    seed: int,
    memory: int,
    false_per_hour: float | None,
    step: Step,
    is_trial: bool = False,
) -> WindowFit:
    """Choose and fit heads for windows of one length, and the rules for their scores.

    ``step`` is called three times. A trial takes fewer windows, and the best candidate instead of
    an average of the best few.
    """
    matrices, counts = windows.matrices(length), windows.counts(length)
    has, usable = windows.onehot(length, labels)
    rows, targets, fold = _rows(windows, counts, has, usable, is_single, seed)
    most = TRIED_ROWS if is_trial else MOST_ROWS
    keep = thinned(np.arange(len(rows)), targets, most, seed)
    rows, targets, fold = rows[keep], targets.rows(keep), fold[keep]
    infos = [network.info for network in windows.networks]
    specs = candidates.candidates(infos, layers)
    table = FeatureTable(infos, [m[rows] for m in matrices], specs)
    search = Search(table, targets, fold, kinds, seed, on_few=True, memory=memory)
    plans, chosen = search.plans(), search.choose()
    step()
    average, *best = (
        Average(choice.best.members[:1]) if is_trial else choice.best
        for choice in (chosen, *(plan.choice for plan in plans))
    )
    head = search.fit_rows(average, search.rows_but())
    heads = list(search.fitter.fit_without(best, [[f] for f in range(len(plans))]))
    step()
    firsts = np.cumsum([0, *counts])
    scores = [
        score_windows(
            heads[scene.fold],
            plans[scene.fold].choice.calibration.scores,
            infos,
            [m[a:b] for m in matrices],
            best[scene.fold].specs(table),
            len(labels),
        )
        for scene, a, b in zip(windows.scenes, firsts, firsts[1:], strict=False)
    ]
    oof = np.concatenate([s.scores for s in scores])[rows]
    scored = ScoredScenes(windows.scenes, scores, labels, length, windows.hop_s)
    tuning = tune(scored, is_single, false_per_hour)
    step()
    return WindowFit(length, search, average, chosen.calibration, head, oof, scored, tuning)


def left_out(windows: SceneWindows, fit: WindowFit) -> KnownEvents:
    """Return the known-scores of detected events, of classes in training and of classes left out.

    Each class is left out in turn, of a fit without one fold, and the scenes of that fold are
    searched.
    """
    scored, search = fit.scored, fit.search
    known = KnownEvents(*_right_events(fit))
    n_classes = len(scored.labels)
    if not search.targets.is_single or n_classes < LEAST_CLASSES:
        return known
    n_folds = int(search.fold.max()) + 1
    matrices, firsts = windows.matrices(fit.length), np.cumsum([0, *windows.counts(fit.length)])
    specs = fit.average.specs(search.table)
    outside = list[tuple[np.ndarray, int, int]]()
    lefts = np.linspace(0, n_classes - 1, min(n_classes, MOST_LEFT_OUT)).astype(int)
    for k in np.unique(lefts).tolist():
        fold = k % n_folds
        train = search.rows_without(fold, MOST_TRAINED)
        train = train[search.targets.classes[train] != k]
        head = search.fit_features(fit.average, train, search.table.features(specs, train))
        scores, count = list[float](), 0
        for number, scene in enumerate(windows.scenes):
            if scene.fold != fold or not scene.recording.events:
                continue
            part = [m[firsts[number] : firsts[number + 1]] for m in matrices]
            own = score_windows(
                head, fit.calibration.scores, search.table.infos, part, specs, n_classes
            )
            decisions = scored.decisions(number, fit.tuning.of_fold[fold], own)
            on, n_true = known_scores_on(decisions, scene.recording, scored.labels[k])
            scores, count = scores + on, count + n_true
        if count:
            outside.append((np.array(scores), count, fold))
    return known._replace(
        outside=[scores for scores, _, _ in outside],
        n_outside=[count for _, count, _ in outside],
        outside_fold=[fold for _, _, fold in outside],
    )


def _right_events(fit: WindowFit) -> tuple[np.ndarray, np.ndarray]:
    """Return the known-scores (M,) of right events in held-out scenes, and the scenes' folds."""
    inside, folds = list[float](), list[int]()
    for number, scene in enumerate(fit.scored.scenes):
        decisions = fit.scored.decisions(number, fit.tuning.of_fold[scene.fold])
        for label in sorted({event.label for event in scene.recording.events}):
            own = [decision for decision in decisions if decision.event.label == label]
            on, _ = known_scores_on(own, scene.recording, label)
            inside += on
            folds += [scene.fold] * len(on)
    return np.array(inside), np.array(folds, int)


def _rows(
    windows: SceneWindows,
    counts: Sequence[int],
    has: np.ndarray,
    usable: np.ndarray,
    is_single: bool,
    seed: int,
) -> tuple[np.ndarray, Targets, np.ndarray]:
    """Return the windows that heads are fitted to (N,), their targets and folds.

    Of every event a few windows; of every scene about as many of background as of events.
    """
    rng = np.random.default_rng(seed)
    n_classes, is_any = has.shape[1], np.asarray(has.any(1))
    if is_single:
        usable = usable & (has.sum(1) <= 1)
    picks, folds, first = [], [], 0
    for scene, count in zip(windows.scenes, counts, strict=True):
        own = np.arange(first, first + count)
        first += count
        positive = own[usable[own] & is_any[own]]
        most = MOST_OF_EVENT * len(scene.recording.events)
        positive = rng.choice(positive, min(most, len(positive)), replace=False)
        empty = own[usable[own] & ~is_any[own]]
        most = MOST_MADE if scene.is_made else max(LEAST_BACKGROUND, len(positive))
        empty = rng.choice(empty, min(most, len(empty)), replace=False)
        picks += [positive, empty]
        folds.append(np.full(len(positive) + len(empty), scene.fold))
    rows, fold = np.concatenate(picks), np.concatenate(folds)
    order = np.argsort(rows, kind="stable")
    rows, fold = rows[order], fold[order]
    if is_single:
        classes = np.where(is_any[rows], has[rows].argmax(1), n_classes)
        targets = Targets.single(classes, n_classes + 1)
    else:
        targets = Targets.several(has[rows])
    return rows, targets, fold
