"""compare(): which backbone is worth its time and megabytes on this data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earmark.backbones import registry, weights
from earmark.classifier.classifier import Classifier
from earmark.classifier.estimate import WORTHLESS, Figures
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.splits import FOLDS
from earmark.embeddings.embedding import embed
from earmark.embeddings.stages import Failure
from earmark.embeddings.store import Store
from earmark.errors import DataError
from earmark.system.progress import Progress
from earmark.training import headline, metrics
from earmark.training.estimation import OutOfFold
from earmark.training.training import Training, backbone_names, train

TIMED_CLIPS = 64  # embedded once more, without the store, to measure the speed
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Entry:
    """One backbone, or all together, on the common folds.

    ``difference`` is its accuracy less that of the best, with a 95 % interval and the p-value of a
    paired test (:func:`metrics.paired_p`). ``seconds_per_hour`` are those to embed an hour of audio
    on this machine. ``download_mb`` is the published weights, None where they are no plain files
    or arrive with a package; ``classifier_mb`` is the saved file. Where classes are unequal,
    ``balanced_accuracy`` is set, and interval and differences are of it. ``verdict`` is that of the
    estimate.
    """

    backbones: tuple[str, ...]
    accuracy: float
    ci95: tuple[float, float]
    difference: float
    difference_ci95: tuple[float, float]
    p: float
    seconds_per_hour: float
    download_mb: float | None
    classifier_mb: float
    balanced_accuracy: float | None = None
    verdict: Figures | None = None

    @property
    def value(self) -> float:
        """The figure that entries are ranked by."""
        return self.accuracy if self.balanced_accuracy is None else self.balanced_accuracy

    @property
    def name(self) -> str:
        return ",".join(self.backbones)

    @property
    def is_worse(self) -> bool:
        """Whether it is distinguishably worse than the best."""
        return self.difference < 0 and (self.difference_ci95[1] < 0 or self.p < SIGNIFICANT)


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found; ``recommended`` is one of the names of ``entries``."""

    entries: tuple[Entry, ...]
    scheme: str
    n_clips: int
    skipped: tuple[Failure, ...]
    recommended: str
    recommendation: str  # one sentence

    def __repr__(self) -> str:
        return (
            f"Comparison({len(self.entries)} entries, {self.n_clips} clips, {self.recommended!r})"
        )


def compare(
    data: DataLike,
    backbones: str | Sequence[str],
    *,
    folds: int = FOLDS,
    seed: int = 0,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Train with each of several backbones alone, and with all of them together.

    Parameters
    ----------
    data : str, Path, Dataset or frame
        Labelled clips, as :meth:`Dataset.read` takes them.
    backbones : sequence of str
        At least two names; or one string with commas between.
    folds, seed, store, progress
        As in :func:`earmark.train`.

    Returns
    -------
    Comparison
        An entry for each, over the same clips and folds, and which to take. For clips with
        several classes 'accuracy' is the ranking precision.

    Raises
    ------
    EarmarkError
        Fewer than two backbones, or one that is named twice.

    Examples
    --------
    >>> import earmark
    >>> earmark.compare("recordings", ["logmel", "speech-embedding"]).recommended
    'logmel'
    """
    dataset = as_dataset(data)
    backbone = backbones if isinstance(backbones, str) else ",".join(backbones)
    names, _ = backbone_names(backbone)
    registry.check_several(names)

    def trained(data: Dataset, name: str) -> Training:
        settings: dict[str, Any] = {"folds": folds, "seed": seed, "compare": False}
        return train(data, backbone=name, store=store, progress=progress, **settings)

    together = trained(dataset, ",".join(names))
    pinned = _pinned(dataset, together)
    trainings = {name: trained(pinned, name) for name in names} | {",".join(names): together}
    weights = _weights(together.out_of_fold)
    best = max((t.out_of_fold.quality * weights for t in trainings.values()), key=np.mean)
    speeds = {name: _seconds_per_hour(pinned, name) for name in names}
    entries = [
        _entry(name, training, best, sum(speeds[one] for one in name.split(",")), seed)
        for name, training in trainings.items()
    ]
    recommended, sentence = recommend(entries)
    scheme = together.estimate.scheme
    count = len(pinned)
    return Comparison(tuple(entries), scheme, count, together.skipped, recommended, sentence)


def _entry(
    name: str, training: Training, best: np.ndarray, seconds_per_hour: float, seed: int
) -> Entry:
    """Make the entry of a training, whose clips are held against those of the ``best`` (N,)."""
    backbones, tested = tuple(name.split(",")), training.out_of_fold
    difference = tested.quality * _weights(tested) - best
    figures = training.estimate.headline or {}
    is_balanced = figures.get("name") == "balanced_accuracy"
    interval = metrics.accuracy_interval(tested.quality, tested.cluster, seed)
    sizes = [size for one in backbones if (size := _download_mb(one)) is not None]
    return Entry(
        backbones,
        accuracy=float(tested.quality.mean()),
        ci95=tuple(figures["ci95"]) if is_balanced else interval,
        difference=float(difference.mean()),
        difference_ci95=metrics.difference_interval(difference, tested.cluster, seed),
        p=metrics.paired_p(difference, tested.cluster, seed),
        seconds_per_hour=seconds_per_hour,
        download_mb=sum(sizes) if sizes else None,
        classifier_mb=_saved_mb(training.classifier),
        balanced_accuracy=figures["value"] if is_balanced else None,
        verdict=training.estimate.verdict,
    )


def recommend(entries: Sequence[Entry]) -> tuple[str, str]:
    """Return the fastest entry that is not distinguishably worse than the best, and why.

    Of one whose answers are worthless that is said instead.
    """
    best = max(entries, key=lambda entry: (entry.value, -entry.seconds_per_hour))
    equal = [entry for entry in entries if not entry.is_worse]
    chosen = min(equal, key=lambda entry: (entry.seconds_per_hour, entry.classifier_mb))
    if chosen.verdict is not None and chosen.verdict["word"] == WORTHLESS:
        return chosen.name, (
            f"Take none for now: the answers of {chosen.name} are worthless:"
            f" {chosen.verdict['why']}"
        )
    if chosen is best:
        rest = "all others are distinguishably worse"
        if len(equal) > 1:
            rest = "none that cannot be told from it is faster"
        return chosen.name, f"Take {chosen.name}: the most accurate, and {rest}."
    low, high = (100 * x for x in chosen.difference_ci95)
    return chosen.name, (
        f"Take {chosen.name}: the fastest that is not distinguishably worse than {best.name}"
        f" ({100 * chosen.difference:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f})."
    )


def _weights(tested: OutOfFold) -> np.ndarray:
    """Return weights (N,) with which the mean over clips is the figure that entries have."""
    onehot = tested.onehot
    if headline.name_of(onehot, tested.is_single) != "balanced_accuracy":
        return np.ones(len(onehot))
    sizes = onehot.sum(0)
    return np.asarray(len(onehot) / (sizes > 0).sum() / sizes[onehot.argmax(1)])


def _pinned(dataset: Dataset, together: Training) -> Dataset:
    """Keep the clips that all backbones read, in the folds that they were in.

    With a test split the data stays as it is, and must be read as a whole.
    """
    tested = together.out_of_fold
    if len(tested.clips) == together.n_clips:
        pairs = zip(tested.clips, tested.fold.tolist(), strict=True)
        return replace(dataset, clips=tuple(replace(clip, fold=str(f)) for clip, f in pairs))
    if together.skipped:
        raise DataError(
            f"{together.skipped[0].path} cannot be read ({together.skipped[0].reason}); with a test"
            " split all recordings must be: mend or remove it."
        )
    return dataset


def _seconds_per_hour(dataset: Dataset, name: str) -> float:
    """Measure decoding and embedding over some clips, the network loaded and warm."""
    network = registry.load_backbone(name)
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(TIMED_CLIPS, len(dataset))).astype(int))
    clips = [dataset.clips[row] for row in rows]
    embed(clips[:2], network, None, options=dataset.audio)
    start = time.perf_counter()
    embedding = embed(clips, network, None, options=dataset.audio)
    return 3600 * (time.perf_counter() - start) / embedding.seconds


def _download_mb(name: str) -> float | None:
    files = registry.weight_files(name)
    return weights.download_bytes(files) / 1e6 if files else None


def _saved_mb(classifier: Classifier) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.earmark"
        classifier.save(path)
        return path.stat().st_size / 1e6
