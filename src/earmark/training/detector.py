"""Train a classifier as a detector: on windows of scenes, with rules chosen by held-out events."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.backbones import registry
from earmark.backbones.base import Backbone
from earmark.classifier.calibration import Calibration
from earmark.classifier.classifier import Classifier
from earmark.classifier.decision import DecisionRule
from earmark.classifier.detector import Detector
from earmark.classifier.features import FeatureSpec, compute_features
from earmark.classifier.head import Head
from earmark.classifier.prediction import check_names
from earmark.classifier.targets import Targets
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.event import RecordingEvents
from earmark.data.splits import FOLDS, make_scheme
from earmark.detection.rules import EventRules
from earmark.detection.scores import BLOCK_ROWS, WindowScores
from earmark.embeddings.stages import Failure
from earmark.errors import EarmarkError
from earmark.system.jsons import json_text
from earmark.system.progress import Progress, Stages
from earmark.training import candidates
from earmark.training.detector_data import AnnotatedScenes, MixedScenes, background_paths
from earmark.training.detector_summary import detector_text
from earmark.training.event_figures import EventEvaluation
from earmark.training.event_metrics import evaluate_events
from earmark.training.event_thresholds import (
    THRESHOLDS,
    ThresholdFigures,
    threshold_figures,
    with_threshold,
)
from earmark.training.event_tuning import ScoredScenes, Tuning, fit_calibration, tune
from earmark.training.event_verdict import window_estimate
from earmark.training.inner import Average
from earmark.training.kernels import FeatureTable
from earmark.training.scene_windows import SceneWindows
from earmark.training.screening import thinned
from earmark.training.selection import Search
from earmark.training.training import backbone_names, used_backbones
from earmark.version import __version__

HOPS_S = (0.08, 0.04, 0.02, 0.01)
SHORT_S = 0.3  # shorter events need windows and hops that only networks with blocks allow
HOPS_OF_EVENT = 4  # hops in the shortest usual event
LENGTHS = (0.6, 1.0, 1.6)  # windows to try, as multiples of the median event
SHORTEST_WINDOW, LONGEST_WINDOW_S = 3, 3.0  # hops; seconds
HOPS_OF_WINDOW = 4  # for networks that compute each window by itself
TRIED_ROWS, MOST_ROWS = 4_000, 12_000  # windows that heads are fitted to: to try, and to save
MOST_OF_EVENT = 6  # windows of one event
LEAST_BACKGROUND, MOST_MADE = 30, 120  # windows of background of a scene


@dataclass(frozen=True, repr=False)
class DetectorTraining:
    """A trained detector, the estimate of its events, and what was read.

    ``print(training)`` shows what ``earmark train --detector`` prints.

    Attributes
    ----------
    classifier : Classifier
        Its ``detector`` has the windows and rules.
    evaluation : EventEvaluation
        Figures of events in scenes of held-out clips, groups and background.
    truth, answers : list of RecordingEvents
        The true and the detected events of these scenes.
    n_clips : int
        Number of clips or annotated events.
    skipped : tuple of Failure
        Recordings that could not be read.
    warnings : tuple of str
        Notes on the data as a whole.
    seconds : dict
        How long each stage took.
    thresholds : tuple of ThresholdFigures
        What other thresholds give on these scenes.
    """

    classifier: Classifier
    evaluation: EventEvaluation
    truth: list[RecordingEvents]
    answers: list[RecordingEvents]
    n_clips: int
    skipped: tuple[Failure, ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    thresholds: tuple[ThresholdFigures, ...] = ()

    def __repr__(self) -> str:
        overall = self.evaluation.overall
        return (
            f"DetectorTraining({self.n_clips} clips, F1={overall.f1_iou30 or 0:.3f},"
            f" {self.classifier!r})"
        )

    def __str__(self) -> str:
        return detector_text(self)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    background: str | Path | None
    annotated: float | None
    false_per_hour: float | None
    unknown: float | None
    backbone: str
    head: str
    layers: str
    folds: int
    seed: int
    precision: str
    engine: str
    progress: Progress | None
    memory: float


def train_detector(
    data: DataLike,
    *,
    background: str | Path | None = None,
    annotated: float | None = None,
    false_per_hour: float | None = None,
    unknown: float | None = None,
    backbone: str = "auto",
    head: str = "auto",
    layers: str = "auto",
    folds: int = FOLDS,
    seed: int = 0,
    precision: str = "exact",
    engine: str = "auto",
    progress: Progress | None = None,
    memory: float = 4.0,
) -> DetectorTraining:
    """Train a detector of events in long recordings, and estimate it on held-out scenes.

    Clips are trimmed to what sounds and laid on background at several levels. Recordings with
    annotated stretches are used as they are. The window length, the thresholds, the durations and
    the boundaries are chosen inside the folds.

    Parameters
    ----------
    data : str, Path, Dataset or frame
        Labelled clips, or label tracks over long recordings, as :meth:`Dataset.read` takes them.
    background : str or Path, optional
        A folder of recordings without the sounds, such as the place where it will listen.
    annotated : float, optional
        Of recordings with label tracks, only what lies within so many seconds of an event was
        annotated. By default whole recordings were. 0 treats the stretches as clips.
    false_per_hour : float, optional
        Choose the thresholds so that so many false events come an hour; else for the best F1.
    unknown : float, optional
        The share of events of unknown classes that may be answered, such as 0.05.
    backbone, head, layers, folds, seed, precision, engine, progress, memory
        As in :func:`earmark.train`.

    Returns
    -------
    DetectorTraining

    Raises
    ------
    DataError
        A class has too few recordings, or no clip can be read.
    EarmarkError
        An argument has an impossible value.
    """
    arguments = {name: value for name, value in locals().items() if name != "data"}
    return _Work(as_dataset(data), _Settings(**arguments)).train()


@dataclass
class _Work:
    """One training: the data, the settings, and what has been computed so far."""

    dataset: Dataset
    settings: _Settings
    notes: list[str] = field(default_factory=list)

    def train(self) -> DetectorTraining:
        settings, dataset = self.settings, self.dataset
        check_names(dataset.labels, is_single=dataset.is_single, asks_unknown=True)
        self.stages = Stages(settings.progress)
        self.scheme = make_scheme(
            dataset.clips,
            np.arange(len(dataset)),
            folds=settings.folds,
            seed=settings.seed,
            separator=dataset.separator,
        )
        self.notes += self.scheme.warnings
        names, advice = backbone_names(settings.backbone)
        self.notes += advice
        networks = self._load(names)
        scenes = self._scenes(max(network.info.rate_hz for network in networks))
        self.median_s = float(np.median(scenes.durations))
        if settings.backbone == "auto" and self.median_s < SHORT_S:
            networks = [n for n in networks if n.block_step() is not None] or networks
        hop_s, lengths = self._windows(networks, scenes.durations)
        with self.stages.stage("embed", len(scenes), "embedding scenes") as step:
            windows = SceneWindows.of(scenes, networks, lengths, hop_s, step)
        self.notes += scenes.notes
        with self.stages.stage("choose", 3 * len(lengths), "choosing windows, layers, rules") as s:
            fits = [_fit_length(self, windows, length, TRIED_ROWS, s) for length in lengths]
        number = int(np.argmax([fit.tuning.f1.mean() for fit in fits]))
        with self.stages.stage("fit", 3, "fitting") as s:
            best = fits[number] = _fit_length(self, windows, lengths[number], MOST_ROWS, s)
        with self.stages.stage("estimate", 1, "estimating events"):
            return self._finish(windows, fits, best, scenes)

    def _load(self, names: Sequence[str]) -> list[Backbone]:
        settings = self.settings
        return [registry.load_backbone(n, settings.precision, settings.engine) for n in names]

    def _scenes(self, rate_hz: int) -> MixedScenes | AnnotatedScenes:
        """Return the scenes: cut from annotated recordings, or mixed from clips."""
        settings, dataset = self.settings, self.dataset
        paths = background_paths(settings.background)
        if settings.annotated != 0 and all(clip.end is not None for clip in dataset.clips):
            return AnnotatedScenes(
                dataset, self.scheme, rate_hz, settings.annotated, paths, 3600.0, settings.seed
            )
        if settings.annotated:
            raise EarmarkError(
                "annotated is for recordings with label tracks, and this data has whole clips."
                " Leave it out."
            )
        with self.stages.stage("read", len(dataset), "reading clips") as step:
            return MixedScenes(dataset, self.scheme, rate_hz, paths, settings.seed, step)

    def _windows(
        self, networks: Sequence[Backbone], durations: np.ndarray
    ) -> tuple[float, list[float]]:
        """Return the hop and the window lengths to try; drop layers too slow for the hop."""
        short_s, median_s = float(np.quantile(durations, 0.25)), float(np.median(durations))
        if all(network.block_step() is not None for network in networks):
            hop_s = next((h for h in HOPS_S if h * HOPS_OF_EVENT <= short_s), HOPS_S[-2])
            for network in networks:
                _keep_fast_layers(network, hop_s)
            least = SHORTEST_WINDOW * hop_s
        else:
            least = max(0.32, *(_own_window_s(network) for network in networks))
            hop_s = max(0.08, 0.08 * round(min(median_s, 2.0) / HOPS_OF_WINDOW / 0.08))
        multiples = {
            max(round(least / hop_s), round(min(factor * median_s, LONGEST_WINDOW_S) / hop_s))
            for factor in LENGTHS
        }
        return hop_s, [round(k * hop_s, 6) for k in sorted(multiples)]

    def _finish(
        self,
        windows: SceneWindows,
        fits: Sequence[_LengthFit],
        best: _LengthFit,
        scenes: MixedScenes | AnnotatedScenes,
    ) -> DetectorTraining:
        """Return the training: the best length on all scenes, and its estimate."""
        f1 = np.stack([fit.tuning.f1 for fit in fits])  # (L, F)
        others = (f1.sum(1, keepdims=True) - f1) / max(1, f1.shape[1] - 1)
        of_fold = [fits[k] for k in others.argmax(0)]
        rules = best.tuning.rules
        calibration = fit_calibration(best.scored, best.tuning.of_fold)
        answers = []
        for number, scene in enumerate(windows.scenes):
            fit = of_fold[scene.fold]
            own = replace(fit.tuning.of_fold[scene.fold], calibration=calibration)
            events = sorted(d.event for d in fit.scored.decisions(number, own))
            answers.append(replace(scene.recording, events=tuple(events)))
        counted = [n for n, scene in enumerate(windows.scenes) if not scene.is_made]
        truth = [windows.scenes[n].recording for n in counted]
        answers = [answers[n] for n in counted]
        evaluation = evaluate_events(truth, answers, seed=self.settings.seed)
        others = [
            best.scored.answers([with_threshold(own, value) for own in best.tuning.of_fold])
            for value in THRESHOLDS
        ]
        thresholds = threshold_figures(truth, [[own[n] for n in counted] for own in others])
        classifier = self._classifier(
            windows, best, replace(rules, calibration=calibration), evaluation
        )
        return DetectorTraining(
            classifier,
            evaluation,
            truth,
            answers,
            len(self.dataset),
            tuple(scenes.skipped),
            tuple(dict.fromkeys((*self.notes, *best.tuning.notes))),
            self.stages.seconds,
            thresholds,
        )

    def _classifier(
        self,
        windows: SceneWindows,
        best: _LengthFit,
        rules: EventRules,
        evaluation: EventEvaluation,
    ) -> Classifier:
        settings, labels = self.settings, tuple(self.dataset.labels)
        uses, features = used_backbones(windows.networks, best.average.specs(best.search.table))
        estimate = window_estimate(best.oof, best.search.targets, evaluation, self.scheme)
        detector = Detector(
            best.length,
            windows.hop_s,
            self.dataset.is_single,
            rules.to_json(),
            evaluation.to_json(),
        )
        arguments = {k: v for k, v in vars(settings).items() if k != "progress"}
        origin = {
            "earmark": __version__,
            "clips": len(self.dataset),
            "audio": asdict(self.dataset.audio),
            "seed": settings.seed,
            "data": _digest(best.search.table, best.search.targets),
            "layers": best.average.reading,
            "source": self.dataset.origin,
            "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()},
        }
        return Classifier(
            labels,
            uses,
            best.head,
            best.calibration,
            features,
            DecisionRule(thresholds=() if self.dataset.is_single else (0.5,) * len(labels)),
            estimate,
            origin,
            detector=detector,
        )


@dataclass(frozen=True)
class _LengthFit:
    """The heads of one window length, the scores of all scenes by them, and the rules."""

    length: float
    search: Search
    average: Average
    calibration: Calibration
    head: Head
    oof: np.ndarray  # (N, K') calibrated scores of the rows by heads without their folds
    scored: ScoredScenes
    tuning: Tuning


def _fit_length(
    work: _Work, windows: SceneWindows, length: float, most: int, step: Callable[[], None]
) -> _LengthFit:
    """Choose and fit heads for ``most`` windows of one length, and the rules for their scores."""
    settings, dataset = work.settings, work.dataset
    labels = dataset.labels
    matrices, counts = windows.matrices(length), windows.counts(length)
    has, usable = windows.onehot(length, labels)
    rows, targets, fold = _rows(windows, counts, has, usable, dataset.is_single, settings.seed)
    rows, targets, fold = _thinned(rows, targets, fold, most, settings.seed)
    infos = [network.info for network in windows.networks]
    specs = candidates.candidates(infos, settings.layers)
    table = FeatureTable(infos, [m[rows] for m in matrices], specs)
    search = Search(
        table,
        targets,
        fold,
        _kinds(settings.head),
        settings.seed,
        on_few=True,
        memory=int(settings.memory * 1e9),
    )
    plans, chosen = search.plans(), search.choose()
    step()
    head = search.fit_rows(chosen.best, search.rows_but())
    best = [plan.choice.best for plan in plans]
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
    tuning = tune(scored, dataset.is_single, settings.false_per_hour)
    step()
    return _LengthFit(length, search, chosen.best, chosen.calibration, head, oof, scored, tuning)


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
        scores.append(calibration.scores(head.logits(features))[:, :n_classes])
        known.append(head.known_score(features, n_classes))
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


def _kinds(head: str) -> tuple[str, ...]:
    known: dict[str, tuple[str, ...]] = {
        "auto": ("prototype", "linear"),
        "linear": ("linear", "logistic"),
        "logistic": ("logistic",),
        "mlp": ("mlp",),
        "prototype": ("prototype",),
    }
    if head not in known:
        raise EarmarkError(f"no head {head!r}. Known: {', '.join(known)}.")
    return known[head]


def _own_window_s(network: Backbone) -> float:
    """Return the length of windows that a network always reads; 0 if it reads shorter ones."""
    info = network.info
    fixed = info.step is None and network.block_step() is None
    return info.window / info.rate_hz if fixed else 0.0


def _keep_fast_layers(network: Backbone, hop_s: float) -> None:
    """Drop the layers whose frames are further apart than the hop."""
    hop = round(hop_s * network.info.rate_hz)
    layers = [y.name for y in network.info.layers]
    while layers and (network.block_step() or 1) > hop:
        layers.pop()
        network.restrict_to_layers(layers)


def _digest(table: FeatureTable, targets: Targets) -> str:
    digest = hashlib.sha256(json_text({"rows": len(targets)}).encode())
    for matrix in table.matrices:
        digest.update(np.ascontiguousarray(matrix).data)
    digest.update(np.ascontiguousarray(targets.classes).data)
    return digest.hexdigest()
