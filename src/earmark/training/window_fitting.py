"""Fit heads to the windows of scenes, and score all scenes by heads fitted without their folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from earmark.classifier.calibration import Calibration
from earmark.classifier.features import FeatureSpec, compute_features
from earmark.classifier.head import Head
from earmark.classifier.targets import Targets
from earmark.detection.events import Decision
from earmark.detection.scores import BLOCK_ROWS, WindowScores
from earmark.system.progress import Step
from earmark.training import candidates
from earmark.training.event_tuning import ScoredScenes, Tuning, tune
from earmark.training.event_unknown import MOST_LEFT_OUT, KnownEvents, on_events
from earmark.training.inner import Average
from earmark.training.kernels import FeatureTable
from earmark.training.scene_windows import SceneTruth, SceneWindows
from earmark.training.screening import thinned
from earmark.training.selection import Search

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
    most: int,
    seed: int,
    memory: int,
    false_per_hour: float | None,
    step: Step,
    is_trial: bool = False,
) -> WindowFit:
    """Choose and fit heads for ``most`` windows of one length, and the rules for their scores.

    ``step`` is called three times. A trial takes the best candidate instead of an average of the
    best few, which takes several times as long.
    """
    matrices, counts = windows.matrices(length), windows.counts(length)
    has, usable = windows.onehot(length, labels)
    rows, targets, fold = _rows(windows, counts, has, usable, is_single, seed)
    rows, targets, fold = _thinned(rows, targets, fold, most, seed)
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
        _score(
            heads[scene.fold],
            plans[scene.fold].choice.calibration,
            best[scene.fold].specs(table),
            infos,
            [m[a:b] for m in matrices],
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
    labels, scored, search = fit.scored.labels, fit.scored, fit.search
    matrices, counts = windows.matrices(fit.length), windows.counts(fit.length)
    firsts = np.cumsum([0, *counts])
    infos, specs = [n.info for n in windows.networks], fit.average.specs(search.table)
    inside, folds = list[float](), list[int]()
    outside, numbers, outside_folds = list[np.ndarray](), list[int](), list[int]()
    for number, scene in enumerate(windows.scenes):
        rules = fit.tuning.of_fold[scene.fold]
        for label in {event.label for event in scene.recording.events}:
            known, _ = _known_on(scored.decisions(number, rules), scene, label, is_answer=True)
            inside += known
            folds += [scene.fold] * len(known)
    if not search.targets.is_single or len(labels) < LEAST_CLASSES:
        return KnownEvents(np.array(inside), np.array(folds, int))
    n_folds = int(search.fold.max()) + 1
    for k in np.unique(
        np.linspace(0, len(labels) - 1, min(len(labels), MOST_LEFT_OUT)).astype(int)
    ):
        fold = int(k) % n_folds
        train = search.rows_without(fold, MOST_TRAINED)
        train = train[search.targets.classes[train] != k]
        features = search.table.features(specs, train)
        head = search.fit_features(fit.average, train, features)
        scores, count = list[float](), 0
        for number, scene in enumerate(windows.scenes):
            if scene.fold != fold or not scene.recording.events:
                continue
            part = [m[firsts[number] : firsts[number + 1]] for m in matrices]
            own = _score(head, fit.calibration, specs, infos, part, len(labels))
            decisions = replace(scored, scores={number: own}).decisions(  # type: ignore[arg-type]
                number, fit.tuning.of_fold[fold]
            )
            known, true = _known_on(decisions, scene, labels[k], is_answer=False)
            scores += known
            count += true
        if count:
            outside.append(np.array(scores))
            numbers.append(count)
            outside_folds.append(fold)
    return KnownEvents(np.array(inside), np.array(folds, int), outside, numbers, outside_folds)


def _known_on(
    decisions: Sequence[Decision], scene: SceneTruth, label: str, *, is_answer: bool
) -> tuple[list[float], int]:
    """Return the known-scores of detected events on true events of a class, and their number.

    With ``is_answer``, only detected events of that class count.
    """
    detected = [
        (d.event.start, d.event.end, float(d.known_score or 0.0))
        for d in decisions
        if not is_answer or d.event.label == label
    ]
    return on_events(detected, scene.recording, lambda own: own == label)


def _score(
    head: Head,
    calibration: Calibration,
    specs: Sequence[FeatureSpec],
    infos: Sequence[Any],
    matrices: Sequence[np.ndarray],
    n_classes: int,
) -> WindowScores:
    scores, known = [], []
    for start in range(0, len(matrices[0]), BLOCK_ROWS):
        part = [m[start : start + BLOCK_ROWS] for m in matrices]
        features = compute_features(infos, part, specs)
        logits, own = head.logits_and_known(features, n_classes)
        scores.append(calibration.scores(logits)[:, :n_classes])
        known.append(own)
    return WindowScores(np.concatenate(scores), np.concatenate(known))


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


def _thinned(
    rows: np.ndarray, targets: Targets, fold: np.ndarray, most: int, seed: int
) -> tuple[np.ndarray, Targets, np.ndarray]:
    keep = thinned(np.arange(len(rows)), targets, most, seed)
    return rows[keep], targets.rows(keep), fold[keep]
