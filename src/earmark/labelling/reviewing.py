"""review(): list the labels that look wrong to models that were not trained on the clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earmark.classifier.calibration import Calibration
from earmark.classifier.classifier import Classifier
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.splits import FOLDS, make_scheme
from earmark.embeddings.archive_file import is_archive
from earmark.embeddings.store import Store
from earmark.errors import DataError, ModelError
from earmark.labelling.labelled import labelled_dataset
from earmark.labelling.suspects import Suspect, neighbours, suspect_of
from earmark.system.progress import Progress
from earmark.training.training import Training, train

ERRING = 0.01  # scores stay this far from 0 and 1, because a model may be certain and wrong


@dataclass(frozen=True)
class Review:
    """The result of :func:`review`.

    Attributes
    ----------
    suspects : tuple of Suspect
        The labels that look wrong, worst first.
    n_clips : int
        How many clips were reviewed.
    training : Training
        The training whose out-of-fold predictions were used.
    """

    suspects: tuple[Suspect, ...]
    n_clips: int
    training: Training

    def __repr__(self) -> str:
        return f"Review({len(self.suspects)} suspects of {self.n_clips} clips)"


def review(
    data: DataLike,
    *,
    backbone: str = "auto",
    head: str = "auto",
    layers: str = "auto",
    folds: int = FOLDS,
    seed: int = 0,
    top: int = 30,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Review:
    """List the labels that look wrong to models that were not trained on the clip.

    If clips have one class each, there is one entry for each clip. If they have several, there is
    one for each clip and class, because a class of the label may be wrong and another one missing.
    Every clip is reviewed, whether its split is 'train' or 'test'.

    Parameters
    ----------
    data : str, Path, Dataset or frame
        Labelled clips, as :meth:`Dataset.read` takes them.
    top : int
        How many labels to list, worst first.
    backbone, head, layers, folds, seed, store, progress
        As in :func:`earmark.train`.

    Returns
    -------
    Review
        Its ``suspects`` each have a clip, a reason, a suggestion and the nearest clips.

    Raises
    ------
    DataError
        The data cannot be trained on.

    Examples
    --------
    >>> import earmark
    >>> worst = earmark.review("recordings", backbone="logmel").suspects[0]
    >>> worst.clip.label, worst.suggested, worst.reason
    ('high', None, "scored ... as 'high' and ... as 'low'; 0 of its 5 nearest neighbours are 'low'")
    """
    dataset = as_dataset(data)
    clips = tuple(replace(clip, split=None) for clip in dataset)
    training = train(
        replace(dataset, clips=clips),
        backbone=backbone,
        head=head,
        layers=layers,
        folds=folds,
        seed=seed,
        store=store,
        progress=progress,
        compare=False,
    )
    suspects = _suspects(dataset, training, top)
    return Review(suspects, len(training.out_of_fold.clips), training)


def of_model(path: Path) -> tuple[Dataset, Classifier]:
    """Return the data that a classifier was trained on, and the classifier.

    Raises ModelError if the file does not name the data, DataError if the data is gone.
    """
    classifier = Classifier.load(path)
    source = classifier.provenance.get("source")
    if not source or source.get("data") is None:
        raise ModelError(
            f"{path} does not say what data it was trained on. Give the folder or manifest instead."
        )
    if not Path(source["data"]).exists():
        raise DataError(
            f"the data that {path} was trained on, {source['data']}, does not exist. Run this on"
            " the machine where it was trained, or give the folder or manifest instead."
        )
    if is_archive(source["data"]):
        names = {"archive_path": source["data"], "labels": source.get("labels")}
        return labelled_dataset(**names, group=source.get("group")), classifier
    return Dataset.read(**source, audio=classifier.audio), classifier


def _suspects(dataset: Dataset, training: Training, top: int) -> tuple[Suspect, ...]:
    """Return the ``top`` labels that the models support least."""
    by_key = {clip.key: clip for clip in dataset}
    tested = [by_key[clip.key] for clip in training.out_of_fold.clips]
    belief = beliefs(training)
    has = training.out_of_fold.onehot > 0
    support = np.where(has, belief, 1 - belief)
    rows, classes = np.nonzero(has if training.out_of_fold.is_single else np.ones_like(has))
    worst = np.argsort(support[rows, classes], kind="stable")[:top]
    rows, classes = rows[worst], classes[worst]
    near = neighbours(training, tested, rows.tolist())
    return tuple(
        suspect_of(
            dataset, tested[row], belief[row], support=float(support[row, k]), k=k, neighbours=n
        )
        for row, k, n in zip(rows.tolist(), classes.tolist(), near, strict=True)
    )


def beliefs(training: Training) -> np.ndarray:
    """Return how likely each class of each tested clip is, (N, K), 0 to 1.

    It is the geometric mean of two scores. The first is the out-of-fold score: no clip of the same
    group was trained on, so a mistake in the labels of a whole group shows. The second comes from
    the same head on random folds: other clips of the group were trained on, so an unusual voice or
    room does not look like a mistake. Data without groups and folds has only the first score, and
    so has data with too few recordings of a class. Scores stay 1 % away from 0 and 1, so that
    neither decides alone.
    """
    tested = training.out_of_fold
    outside: np.ndarray = ERRING + (1 - 2 * ERRING) * tested.scores
    if all(clip.group is None and clip.fold is None for clip in tested.clips):
        return outside
    inside = _at_home(training)
    if inside is None:
        return outside
    return np.asarray(np.sqrt(outside * (ERRING + (1 - 2 * ERRING) * inside)))


def _at_home(training: Training) -> np.ndarray | None:
    """Return scores (N, K) of the chosen head on folds that split groups, but not recordings.

    None if a class has fewer recordings than there are folds.
    """
    search, tested = training.search, training.out_of_fold
    free = [replace(clip, group=None, fold=None) for clip in tested.clips]
    content = training.embedded.content
    try:
        scheme = make_scheme(free, content, seed=search.seed, separator=search.separator)
    except DataError:  # a class with fewer recordings than folds
        return None
    around = replace(search, fold=scheme.fold)
    logits = np.zeros(tested.scores.shape, np.float32)
    folds = range(len(scheme.names))
    fitted = around.fitter.fit_without([training.chosen] * len(folds), [[fold] for fold in folds])
    for fold, head in zip(folds, fitted, strict=True):
        rows = np.flatnonzero(scheme.fold == fold)
        logits[rows] = around.logits(training.chosen, head, rows)
    return Calibration.fit(logits, search.targets).scores(logits)
