"""Divide clips into folds: by a test split, given folds, whole groups, or stratified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.data.clip import Clip, split_label
from earmark.data.split_words import check_words, division, is_held_out
from earmark.data.stratification import folds_of_clips, folds_of_clusters
from earmark.errors import DataError, amount, some

FOLDS = 5
LEAST = 3  # recordings of a class: one to test, one to select by, one to train on
MOST_GROUPS = 10  # up to this many, each group is a fold of its own


@dataclass(frozen=True)
class Scheme:
    """A division of clips into folds: ``fold`` (N,) has indices into ``names``.

    Clips with the same number in ``cluster`` (N,) are not independent: they share a group or a
    recording. ``held_out`` is the index of a test split, which is never trained on; None for
    cross-validation.
    """

    description: str
    names: tuple[str, ...]
    fold: np.ndarray
    cluster: np.ndarray
    warnings: tuple[str, ...] = ()
    held_out: int | None = None


def make_scheme(
    clips: Sequence[Clip],
    content: np.ndarray,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    separator: str | None = None,
    is_inner: bool = False,
) -> Scheme:
    """Return the folds of ``clips``; ``content`` (N,) has the same number for equal sounds.

    A test split decides, else given folds, else groups; without these, folds are stratified. Clips
    of one recording and clips of equal content stay together; if given folds separate them,
    ``Scheme.warnings`` says so. A clip with several classes (between ``separator``) is stratified
    by its rarest class. ``is_inner`` says that the clips are those outside a test fold; there may
    then be fewer ``folds`` if recordings are few. Raises DataError for a class that would be in one
    fold only.
    """
    content = np.asarray(content)
    labels, truth = _rarest(clips, separator, folds)
    recording = numbered(clip.place for clip in clips)
    grouped = all(clip.group is not None for clip in clips)
    if grouped:
        cluster = numbered(str(clip.group) for clip in clips)
    else:
        cluster = _joined(recording, content)
    column = dividing_column(clips)
    if column == "split":
        description, names, fold = _split(clips)
    elif column == "fold":
        description, names, fold = _given_folds([str(clip.fold) for clip in clips])
    elif column == "group":
        description, names, fold = _by_group(clips, truth, cluster, folds, seed)
    else:
        files = _parts_of(labels, truth, recording)
        folds = _affordable(
            _parts_of(labels, truth, cluster), files, folds=folds, is_inner=is_inner
        )
        description, names, fold = _stratified(truth, cluster, folds, seed)
    _refuse_untaught(labels, truth, fold, names)
    leaks = _leaks(fold, recording, content, cluster if grouped else None)
    held_out = names.index("test") if column == "split" else None
    return Scheme(description, names, fold, cluster, leaks, held_out)


def dividing_column(clips: Sequence[Clip]) -> str | None:
    """Return the column that divides the clips: 'split', 'fold', 'group' or None."""
    if any(map(is_held_out, {clip.split for clip in clips})):
        return "split"
    columns = ("fold", "group")
    return next((c for c in columns if all(getattr(k, c) is not None for k in clips)), None)


def understood(clips: Sequence[Clip]) -> str:
    """Say in one line how :func:`make_scheme` will divide the clips."""
    column = dividing_column(clips)
    if column == "split":
        return f"the split: {division(clip.split for clip in clips)}"
    if column is None:
        return "the data has no split, folds or groups, so folds are made"
    number = len({getattr(clip, column) for clip in clips})
    rest = "each is tested once" if column == "fold" else "each is kept in one fold"
    return f"{amount(number, column)}, and {rest}"


def _rarest(
    clips: Sequence[Clip], separator: str | None, folds: int
) -> tuple[list[str], np.ndarray]:
    """Return the sorted classes, and the index (N,) of each clip's rarest class.

    Clips of no class count as class '', or as the commonest class if they are fewer than ``folds``.
    """
    labels = [str(clip.label) for clip in clips]
    sizes = Counter(labels)
    classes = {label: split_label(label, separator) for label in sizes}
    count: Counter[str] = Counter()
    for label, names in classes.items():
        for name in names:
            count[name] += sizes[label]
    is_few = sum(sizes[label] for label, names in classes.items() if not names) < folds
    none = max(sorted(count), key=count.__getitem__) if is_few and count else ""
    rarest = {
        label: min(names, key=lambda name: (count[name], name), default=none)
        for label, names in classes.items()
    }
    return sorted(set(rarest.values())), numbered(rarest[label] for label in labels)


Split = tuple[str, tuple[str, ...], np.ndarray]  # description, names and fold of a Scheme


def _split(clips: Sequence[Clip]) -> Split:
    check_words((clip.split for clip in clips), "the data")
    held_out = {word for word in {clip.split for clip in clips} if is_held_out(word)}
    test = np.array([clip.split in held_out for clip in clips])
    words = sorted(map(str, held_out))
    if test.all():
        raise DataError(
            f"the split of every clip is {' or '.join(map(repr, words))}, so there is nothing to"
            " train on. Write 'train' for the clips to train on, or give --split-map"
            f" {words[0]}=train."
        )
    other = "" if words == ["test"] else f" ({', '.join(words)})"
    return (
        f"test split of {amount(int(test.sum()), 'clip')}{other}",
        ("train", "test"),
        test.astype(np.int64),
    )


def _given_folds(folds: list[str]) -> Split:
    names = tuple(sorted(set(folds), key=lambda name: (len(name), name)))
    if len(names) < 2:
        raise DataError(
            f"the fold column has only one value ({names[0]!r}), but at least 2 are needed. Remove"
            " the column, and folds will be made."
        )
    number = {name: n for n, name in enumerate(names)}
    return f"{len(names)} given folds", names, np.array([number[name] for name in folds])


def _by_group(
    clips: Sequence[Clip], truth: np.ndarray, cluster: np.ndarray, folds: int, seed: int
) -> Split:
    names = tuple(sorted({str(clip.group) for clip in clips}))
    if len(names) < 2:
        raise DataError(
            f"all clips are in one group ({names[0]!r}), but at least 2 groups are needed. Remove"
            " the group column, or add recordings of another group."
        )
    if len(names) <= MOST_GROUPS:
        return f"leave one of {len(names)} groups out", names, cluster
    fold = folds_of_clusters(truth, cluster, folds, seed)
    numbers = tuple(str(i + 1) for i in range(folds))
    return f"{folds} folds of {len(names)} whole groups", numbers, fold


def _parts_of(labels: list[str], truth: np.ndarray, part: np.ndarray) -> dict[str, int]:
    """Return in how many parts (N,) each class is, except ''; ``truth`` (N,) indexes ``labels``."""
    count = number_of_parts(truth, part, len(labels))
    return {label: n for label, n in zip(labels, count.tolist(), strict=True) if label}


def _affordable(
    recordings: dict[str, int], files: dict[str, int], *, folds: int, is_inner: bool
) -> int:
    """Return ``folds``, or fewer inner ones; DataError for a class with too few ``recordings``.

    With two folds, training has only one of them and must split it again, so a class needs two
    recordings in each fold.
    """
    fewest = min(recordings.values())
    label = next(label for label, count in recordings.items() if count == fewest)
    what = f"class {label!r} has {amount(fewest, 'different recording')}"
    if files[label] > fewest:  # most often digital silence
        what += f" ({files[label]} files, but equal sounds, such as silence, count once)"

    def likewise(least: int) -> str:
        return _likewise(label, (other for other, count in recordings.items() if count < least))

    if is_inner:
        if fewest < 2:
            raise DataError(
                f"{what} outside a test fold, but at least 2 are needed to train and to select."
                f" Add recordings, or remove the class{likewise(2)}."
            )
        return min(folds, fewest)
    if fewest < LEAST:
        raise DataError(
            f"{what}, but at least {LEAST} are needed. Add recordings and give --folds {LEAST}, or"
            f" remove the class{likewise(LEAST)}."
        )
    needed = 4 if folds == 2 else folds
    if fewest < needed:
        raise DataError(
            f"{what}, but {folds} folds need at least {needed}. Add recordings, remove the class,"
            f" or give --folds {fewest}{likewise(needed)}."
        )
    return folds


def _likewise(label: str, others: Iterable[str]) -> str:
    """Return a sentence about ``others`` that have the same problem, without its full stop."""
    others = [other for other in others if other != label]
    return f". The same holds for {some(others)}" if others else ""


def _stratified(truth: np.ndarray, cluster: np.ndarray, folds: int, seed: int) -> Split:
    numbers = tuple(str(i + 1) for i in range(folds))
    if int(cluster.max()) + 1 == len(truth):
        return f"{folds} stratified folds", numbers, folds_of_clips(truth, folds, seed)
    fold = folds_of_clusters(truth, cluster, folds, seed)
    return f"{folds} stratified folds of whole recordings", numbers, fold


def _refuse_untaught(
    labels: list[str], truth: np.ndarray, fold: np.ndarray, names: tuple[str, ...]
) -> None:
    alone = [label for label, parts in _parts_of(labels, truth, fold).items() if parts < 2]
    if alone:
        where = names[fold[truth == labels.index(alone[0])][0]]
        raise DataError(
            f"class {alone[0]!r} is only in fold or group {where!r}, so it cannot be both trained"
            " on and tested. Add recordings of it to another, or remove the class"
            f"{_likewise(alone[0], alone)}."
        )


def _leaks(
    fold: np.ndarray, recording: np.ndarray, content: np.ndarray, group: np.ndarray | None
) -> tuple[str, ...]:
    """Return warnings on recordings, equal sounds and groups that are in more than one fold."""
    warnings = []
    for noun, things, number in (
        ("recording", "clips", recording),
        ("sound", "exact copies", content),
        ("group", "clips", group),
    ):
        if number is None:
            continue
        count = int((number_of_parts(number, fold) > 1).sum())
        if count:
            have = "has" if count == 1 else "have"
            warnings.append(
                f"{amount(count, noun)} {have} {things} in more than one fold: the estimate is too"
                " high."
            )
    return tuple(warnings)


def _joined(recording: np.ndarray, content: np.ndarray) -> np.ndarray:
    """Return numbers (N,); clips that share a recording or a content have the same number."""
    if len(np.unique(content)) == len(content):  # no equal contents: numbers of recordings
        _, first, number = np.unique(recording, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[number]
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    clips = np.arange(len(recording))
    ends = np.concatenate([len(clips) + recording, len(clips) + recording.max() + 1 + content])
    size = int(ends.max()) + 1
    links = coo_array((np.ones(len(ends)), (np.tile(clips, 2), ends)), shape=(size, size))
    number = connected_components(links, directed=False)[1][: len(clips)]
    return np.unique(number, return_inverse=True)[1]


def number_of_parts(things: np.ndarray, part: np.ndarray, size: int = 0) -> np.ndarray:
    """Return in how many parts each thing is; each clip has a thing and a part (N,), from 0.

    The result has one count per thing, and at least ``size`` counts.
    """
    width = int(part.max(initial=0)) + 1
    pairs = np.sort(things * width + part)
    is_new = np.ones(len(pairs), bool)
    is_new[1:] = pairs[1:] != pairs[:-1]
    return np.bincount(pairs[is_new] // width, minlength=size)


def numbered(values: Iterable[str]) -> np.ndarray:
    """Return the index (N,) of each value among the sorted distinct values."""
    values = list(values)  # in an array, each would take as much memory as the longest
    number = {value: n for n, value in enumerate(sorted(set(values)))}
    return np.fromiter(map(number.__getitem__, values), np.int64, len(values))
