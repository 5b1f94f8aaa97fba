"""compare(): train with several backbones on the same folds and recommend one."""

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

TIMED_CLIPS = 64  # embedded again, without the store, to measure the speed
SIGNIFICANT = 0.05  # a difference with a smaller p-value is significant


@dataclass(frozen=True)
class Entry:
    """The result of one backbone, or of all together, on the common folds.

    Attributes
    ----------
    backbones : tuple of str
        The names.
    accuracy, ci95 : float, (float, float)
        The share of clips classified correctly, and its 95 % interval.
    difference, difference_ci95, p : float, (float, float), float
        The accuracy minus that of the best entry, its 95 % interval, and the p-value of a paired
        test.
    seconds_per_hour : float
        How many seconds this machine takes to embed an hour of audio.
    download_mb, classifier_mb : float
        Megabytes of the published weights (None if they are not plain files or come with a
        package) and of the saved classifier.
    balanced_accuracy : float
        Set if class sizes are unequal. The intervals and the difference are then of this figure.
    verdict : dict
        The verdict of the estimate: 'word' and 'why'.
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
        """The figure that ranks entries: the balanced accuracy if it is set, else the accuracy."""
        return self.accuracy if self.balanced_accuracy is None else self.balanced_accuracy

    @property
    def name(self) -> str:
        """The names of the backbones, with commas between."""
        return ",".join(self.backbones)

    @property
    def is_worse(self) -> bool:
        """Whether it is significantly worse than the best entry."""
        return self.difference < 0 and (self.difference_ci95[1] < 0 or self.p < SIGNIFICANT)


@dataclass(frozen=True)
class Comparison:
    """The result of :func:`compare`.

    Attributes
    ----------
    entries : tuple of Entry
        One for each backbone, and one for all together.
    scheme : str
        How the clips were tested, such as '5 given folds'.
    n_clips : int
        How many clips every backbone could read.
    skipped : tuple of Failure
        The clips that could not be read.
    recommended, recommendation : str
        The name of the recommended entry, and a sentence that says why.
    """

    entries: tuple[Entry, ...]
    scheme: str
    n_clips: int
    skipped: tuple[Failure, ...]
    recommended: str
    recommendation: str

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
        At least two names, or one string with commas between them.
    folds, seed, store, progress
        As in :func:`earmark.train`.

    Returns
    -------
    Comparison
        An entry for each backbone and for all together, over the same clips and folds, and a
        recommendation. For clips with several classes 'accuracy' is the label-ranking average
        precision.

    Raises
    ------
    EarmarkError
        There are fewer than two backbones, or one is named twice.

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
    """Return the entry of a training, compared with the quality ``best`` (N,) of each clip."""
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
    """Return the name of the fastest entry that is not significantly worse than the best, and why.

    If the verdict on it is 'worthless', the sentence says so instead.
    """
    best = max(entries, key=lambda entry: (entry.value, -entry.seconds_per_hour))
    equal = [entry for entry in entries if not entry.is_worse]
    chosen = min(equal, key=lambda entry: (entry.seconds_per_hour, entry.classifier_mb))
    if chosen.verdict is not None and chosen.verdict["word"] == WORTHLESS:
        return chosen.name, (
            f"Take none for now: the predictions of {chosen.name} are worthless:"
            f" {chosen.verdict['why']}"
        )
    if chosen is best:
        rest = "all others are significantly worse"
        if len(equal) > 1:
            rest = "no faster one is as good"
        return chosen.name, f"Take {chosen.name}: the most accurate, and {rest}."
    low, high = (100 * x for x in chosen.difference_ci95)
    return chosen.name, (
        f"Take {chosen.name}: the fastest that is not significantly worse than {best.name}"
        f" ({100 * chosen.difference:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f})."
    )


def _weights(tested: OutOfFold) -> np.ndarray:
    """Return weights (N,) of clips with which their mean quality is :attr:`Entry.value`."""
    onehot = tested.onehot
    if headline.name_of(onehot, tested.is_single) != "balanced_accuracy":
        return np.ones(len(onehot))
    sizes = onehot.sum(0)
    return np.asarray(len(onehot) / (sizes > 0).sum() / sizes[onehot.argmax(1)])


def _pinned(dataset: Dataset, together: Training) -> Dataset:
    """Return the clips that all backbones could read, each with its fold fixed.

    With a test split the data does not change, and every recording must be readable.
    """
    tested = together.out_of_fold
    if len(tested.clips) == together.n_clips:
        pairs = zip(tested.clips, tested.fold.tolist(), strict=True)
        return replace(dataset, clips=tuple(replace(clip, fold=str(f)) for clip, f in pairs))
    if together.skipped:
        raise DataError(
            f"{together.skipped[0].path} cannot be read ({together.skipped[0].reason}). With a test"
            " split every recording must be readable. Repair or remove it."
        )
    return dataset


def _seconds_per_hour(dataset: Dataset, name: str) -> float:
    """Return the seconds to decode and embed an hour of audio, with the network loaded and warm."""
    network = registry.load_backbone(name)
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(TIMED_CLIPS, len(dataset))).astype(int))
    clips = [dataset.clips[row] for row in rows]
    embed(clips[:2], network, None, options=dataset.audio)
    start = time.perf_counter()
    embedding = embed(clips, network, None, options=dataset.audio)
    return 3600 * (time.perf_counter() - start) / embedding.seconds


def _download_mb(name: str) -> float | None:
    """Return the megabytes of the published weights; None if they are not plain files."""
    files = registry.weight_files(name)
    return weights.download_bytes(files) / 1e6 if files else None


def _saved_mb(classifier: Classifier) -> float:
    """Return the megabytes of the saved classifier."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.earmark"
        classifier.save(path)
        return path.stat().st_size / 1e6
