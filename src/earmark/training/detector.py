"""Train a classifier as a detector: on windows of scenes, with rules chosen by held-out events."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.backbones import registry
from earmark.backbones.base import Backbone
from earmark.classifier.classifier import Classifier
from earmark.classifier.decision import DecisionRule
from earmark.classifier.detector import Detector
from earmark.classifier.prediction import check_names
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.event import RecordingEvents
from earmark.data.split_words import is_held_out
from earmark.data.splits import FOLDS, make_scheme
from earmark.detection.rules import EventRules
from earmark.embeddings.stages import Failure
from earmark.errors import DataError, EarmarkError, some
from earmark.system.jsons import finite
from earmark.system.progress import Progress, Stages, Step
from earmark.training.annotated_scenes import AnnotatedScenes, do_classes_overlap
from earmark.training.backgrounds import background_paths, check_apart, divide_background
from earmark.training.copies import number_copies
from earmark.training.detector_summary import detector_text
from earmark.training.event_figures import EventEvaluation
from earmark.training.event_metrics import evaluate_events
from earmark.training.event_thresholds import ThresholdFigures, scene_figures
from earmark.training.event_tuning import fit_calibration
from earmark.training.event_unknown import choose_threshold
from earmark.training.event_verdict import window_estimate
from earmark.training.fitting import check_memory
from earmark.training.heads import SUMMED, kinds_of
from earmark.training.kernels import FeatureTable
from earmark.training.mixed_scenes import MixedScenes
from earmark.training.scene_windows import SceneWindows
from earmark.training.training import backbone_names, used_backbones
from earmark.training.window_fitting import WindowFit, fit_windows, left_out
from earmark.training.window_lengths import choose_windows
from earmark.version import __version__

SHORT_S = 0.3  # shorter events need windows and hops that only networks with blocks allow
TRIED_SCENES = 25  # to choose the length of a window
LEAST_FOLDS = 3


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
    background_class: str | None
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

    def __post_init__(self) -> None:
        rate = self.false_per_hour
        if rate is not None and not 0 <= rate < math.inf:
            raise EarmarkError(
                f"false_per_hour is {rate:g}. Give the number of false events that may come an"
                " hour, such as 0.5."
            )
        if self.unknown is not None and not 0 < self.unknown < 1:
            raise EarmarkError(f"unknown is {self.unknown:g}. Give a share, such as 0.05.")
        if self.annotated is not None and not 0 <= self.annotated < math.inf:
            raise EarmarkError(f"annotated is {self.annotated:g}. Give seconds, 0 or more.")
        check_memory(self.memory)
        kinds_of(self.head, is_single=True)


def train_detector(
    data: DataLike,
    *,
    background: str | Path | None = None,
    background_class: str | None = None,
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
        A folder of recordings without any of the classes, best from the place where it will listen.
    background_class : str, optional
        The class of clips that are background, as the refused windows of an archive are. They are
        not detected. All stretches are then clips, and '' stands for clips without a class.
    annotated : float, optional
        Only sound within so many seconds of an annotated event counts. By default, whole recordings
        do. 0 treats the stretches as clips.
    false_per_hour : float, optional
        Choose the thresholds for at most so many false events an hour; else for the best F1.
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

    def __post_init__(self) -> None:
        self.stages = Stages(self.settings.progress)
        self.is_single = self.dataset.is_single  # one class at a time

    def train(self) -> DetectorTraining:
        settings, dataset = self.settings, self.dataset
        check_names(dataset.labels, is_single=dataset.is_single, asks_unknown=True)
        if any(is_held_out(clip.split) for clip in dataset.clips):
            self.notes.append(
                "the clips that the split holds out were left out. Test the detector on them with"
                " `earmark evaluate --events`."
            )
            kept = tuple(clip for clip in dataset.clips if not is_held_out(clip.split))
            if not kept:
                raise DataError(
                    "the split holds out every clip, so none is left for training. Give other"
                    " clips the word 'train' in the column of the split."
                )
            dataset = self.dataset = replace(dataset, clips=kept)
        clips = [replace(clip, split=None) for clip in dataset.clips]
        self.scheme = make_scheme(
            clips,
            number_copies(clips),
            folds=settings.folds,
            seed=settings.seed,
            separator=dataset.separator,
        )
        if len(self.scheme.names) < LEAST_FOLDS:
            raise DataError(
                f"the data has {len(self.scheme.names)} folds or groups, and a detector needs"
                f" {LEAST_FOLDS}. Give --folds {LEAST_FOLDS} or more, or data with more folds or"
                " groups."
            )
        self.notes += self.scheme.warnings
        self.quiet_clips: list[list[Clip]] = []
        if settings.background_class is not None:
            dataset, self.scheme, self.quiet_clips = divide_background(
                dataset, self.scheme, settings.background_class
            )
            self.dataset = dataset
        names, advice = backbone_names(settings.backbone)
        self.notes += advice
        networks = self._load(names)
        scenes = self._scenes(max(network.info.rate_hz for network in networks))
        _check_classes(dataset.labels, scenes.labels, scenes.skipped)
        self.n_sounds = len(scenes.durations)
        if settings.backbone == "auto" and np.median(scenes.durations) < SHORT_S:
            networks = [n for n in networks if n.block_step() is not None] or networks
        hop_s, lengths = choose_windows(networks, scenes.durations, settings.layers)
        with self.stages.stage("embed", len(scenes), "embedding scenes") as step:
            windows = SceneWindows.of(scenes, networks, lengths, hop_s, step)
        self.notes += scenes.notes
        _check_classes(dataset.labels, windows.labels, scenes.skipped)
        with self.stages.stage("choose", 3 * len(lengths), "choosing windows, layers, rules") as s:
            few = windows.some(TRIED_SCENES)
            fits = [self._fit(few, length, s, is_trial=True) for length in lengths]
        number = int(np.argmax([fit.tuning.f1.mean() for fit in fits]))
        with self.stages.stage("fit", 3, "fitting") as s:
            best = self._fit(windows, lengths[number], s, is_trial=False)
        with self.stages.stage("estimate", 1, "estimating events"):
            return self._finish(windows, best, scenes)

    def _fit(
        self, windows: SceneWindows, length: float, step: Step, *, is_trial: bool
    ) -> WindowFit:
        settings, dataset = self.settings, self.dataset
        return fit_windows(
            windows,
            length,
            dataset.labels,
            is_single=self.is_single,
            layers=settings.layers,
            kinds=kinds_of(settings.head, is_single=self.is_single, auto=SUMMED),
            seed=settings.seed,
            memory=int(settings.memory * 1e9),
            false_per_hour=settings.false_per_hour,
            step=step,
            is_trial=is_trial,
        )

    def _load(self, names: Sequence[str]) -> list[Backbone]:
        settings = self.settings
        return [registry.load_backbone(n, settings.precision, settings.engine) for n in names]

    def _scenes(self, rate_hz: int) -> MixedScenes | AnnotatedScenes:
        """Return the scenes: cut from annotated recordings, or mixed from clips."""
        settings, dataset = self.settings, self.dataset
        paths = background_paths(settings.background)
        check_apart(paths, dataset)
        are_events = settings.annotated != 0 and settings.background_class is None
        if are_events and all(clip.end is not None for clip in dataset.clips):
            if self.is_single and do_classes_overlap(dataset):
                self.is_single = False
                self.notes.append(
                    "events of different classes overlap, so each class is found by itself."
                )
            return AnnotatedScenes(
                dataset, self.scheme, rate_hz, settings.annotated, paths, 3600.0, settings.seed
            )
        if settings.annotated:
            raise EarmarkError(
                "annotated is for recordings with label tracks, and this data has whole clips."
                " Leave it out."
            )
        with self.stages.stage("read", len(dataset), "reading clips") as step:
            quiet, seed = self.quiet_clips, settings.seed
            return MixedScenes(dataset, self.scheme, rate_hz, paths, seed, step, quiet)

    def _finish(
        self,
        windows: SceneWindows,
        best: WindowFit,
        scenes: MixedScenes | AnnotatedScenes,
    ) -> DetectorTraining:
        """Return the training: the best length on all scenes, and its estimate."""
        known, rate = left_out(windows, best), self.settings.unknown
        unknown = choose_threshold(known, rate)
        of_fold = [
            replace(rules, unknown_threshold=choose_threshold(known.without(fold), rate).finite)
            for fold, rules in enumerate(best.tuning.of_fold)
        ]
        calibration = fit_calibration(best.scored, of_fold)
        of_fold = [replace(rules, calibration=calibration) for rules in of_fold]
        answers = best.scored.answers(of_fold)
        counted = [n for n, scene in enumerate(windows.scenes) if not scene.is_made]
        truth = [windows.scenes[n].recording for n in counted]
        answers = [answers[n] for n in counted]
        evaluation = evaluate_events(truth, answers, seed=self.settings.seed, groups=scenes.groups)
        rules = replace(
            best.tuning.rules, unknown_threshold=unknown.finite, calibration=calibration
        )
        estimate = {**evaluation.to_json(), "unknown": finite(unknown._asdict())}
        classifier = self._classifier(windows, best, rules, evaluation, estimate)
        return DetectorTraining(
            classifier,
            evaluation,
            truth,
            answers,
            len(self.dataset),
            tuple(scenes.skipped),
            tuple(dict.fromkeys((*self.notes, *best.tuning.notes))),
            self.stages.seconds,
            scene_figures(truth, best.scored.answers, of_fold),
        )

    def _classifier(
        self,
        windows: SceneWindows,
        best: WindowFit,
        rules: EventRules,
        evaluation: EventEvaluation,
        estimate_of_events: dict[str, Any],
    ) -> Classifier:
        settings, labels = self.settings, tuple(self.dataset.labels)
        uses, features = used_backbones(windows.networks, best.average.specs(best.search.table))
        estimate = window_estimate(
            best.oof, best.search.targets, evaluation, self.scheme, self.n_sounds
        )
        detector = Detector(
            best.length,
            windows.hop_s,
            self.is_single,
            rules.to_json(),
            estimate_of_events,
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
            DecisionRule(thresholds=() if self.is_single else (0.5,) * len(labels)),
            estimate,
            origin,
            detector=detector,
        )


def _check_classes(labels: Sequence[str], used: set[str], skipped: Sequence[Failure]) -> None:
    """Raise DataError if some class is not among those ``used`` in scenes."""
    missing = [label for label in labels if label not in used]
    if missing:
        first = skipped[0] if skipped else None
        why = f" The first that was left out is {first.path}: {first.reason}" if first else ""
        raise DataError(
            f"no sound of {some(missing, 'class')} could be used.{why} Check the recordings, and"
            " that start and end lie inside them."
        )


def _digest(table: FeatureTable, targets: Targets) -> str:
    """Return a hash of the windows that the head was fitted to, and of their classes."""
    digest = hashlib.sha256()
    for matrix in table.matrices:
        digest.update(np.ascontiguousarray(matrix).data)
    digest.update(np.ascontiguousarray(targets.classes).data)
    return digest.hexdigest()
