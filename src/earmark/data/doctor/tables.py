"""Check the table of a dataset without its audio: classes, groups, folds."""

from __future__ import annotations

import collections
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.findings import Finding, Item, Names
from earmark.data.split_words import role
from earmark.data.splits import FOLDS, dividing_column
from earmark.errors import amount

IMBALANCE = 10  # times as many clips; from here on, accuracy says little about the rare class
LEAST_SPELLED = 5  # letters; shorter words often differ in one letter (tree, three)
SLIP_RARER = 2  # times rarer; 7 pairs of AudioSet's 527 classes differ in one letter (clock, cluck)


class Partition(NamedTuple):
    """The column that separates training and test clips: 'split', 'fold' or 'group'."""

    word: str

    def parts(self, clips: Iterable[Clip]) -> list[str]:
        """Return the parts that ``clips`` are in, sorted."""
        words = {getattr(clip, self.word) for clip in clips}
        if self.word == "split":  # 'test' and 'validation' are both held out
            words = set(map(role, words))
        return sorted({word or "" for word in words})


def partition_of(dataset: Dataset) -> Partition | None:
    """Return the column by which ``splits`` makes folds; None if there is none."""
    word = dividing_column(dataset.clips)
    return None if word is None else Partition(word)


def check_classes(dataset: Dataset) -> Iterator[Finding]:
    """Yield the findings about classes: their names, their sizes, and their groups and folds."""
    of_class: dict[str, list[Clip]] = collections.defaultdict(list)
    for clip in dataset.clips:
        for name in dataset.classes(clip):
            of_class[name].append(clip)
    yield from _of_no_class(dataset)
    classes = {name: tuple(clips) for name, clips in sorted(of_class.items())}
    partition = partition_of(dataset)
    yield from _alike(classes)
    yield from _small(classes, partition)
    yield from _imbalance(classes)
    yield from _confined(classes, partition)


def _of_no_class(dataset: Dataset) -> Iterator[Finding]:
    """Yield the clips of no class, if clips may have several."""
    names = Names(dataset.clips)
    items = tuple(Item((c,), names(c)) for c in dataset.clips if not c.label)
    if items and dataset.labels:
        advice = "clips without a label count as examples of no class; label those that have one."
        yield Finding("no class", "note", items, advice)


def check_partition(dataset: Dataset) -> Iterator[Finding]:
    """Yield recordings and groups with clips in several folds (or in training and test)."""
    partition = partition_of(dataset)
    if partition is None:
        return
    names = Names(dataset.clips)
    recordings: dict[str, list[Clip]] = collections.defaultdict(list)
    groups: dict[str, list[Clip]] = collections.defaultdict(list)
    for clip in dataset.clips:
        recordings[clip.place].append(clip)
        if clip.group is not None and partition.word != "group":
            groups[clip.group].append(clip)
    for noun, members in (("recording", recordings), ("group", groups)):
        divided = {
            names.path(clips[0]) if noun == "recording" else name: (tuple(clips), parts)
            for name, clips in members.items()
            if len(parts := partition.parts(clips)) > 1
        }
        items = tuple(
            Item(clips, f"{name} has clips in {partition.word}s {', '.join(parts)}")
            for name, (clips, parts) in divided.items()
        )
        if items:
            advice = (
                f"keep all clips of a {noun} in one {partition.word}, or the estimate is too high."
            )
            yield Finding(f"parted {noun}", "error", items, advice)


Classes = dict[str, tuple[Clip, ...]]


def _alike(classes: Classes) -> Iterator[Finding]:
    """Yield names that differ only in case or spaces, and names that differ by one typing error."""
    spellings = spellings_of(classes)
    items = tuple(_variants(classes, names) for names in spellings.values() if len(names) > 1)
    if items:
        advice = "these differ only in case or spaces: write each class in one way."
        yield Finding("similar labels", "warning", items, advice)
    names = [[*spellings[a], *spellings[b]] for a, b in _one_letter_apart(spellings)]
    sizes = [sorted(len(classes[name]) for name in both) for both in names]
    items = tuple(
        _variants(classes, both)
        for both, size in zip(names, sizes, strict=True)
        if size[0] * SLIP_RARER <= size[-1]
    )
    if items:
        advice = "these differ in one letter: if they mean the same class, write it in one way."
        yield Finding("similar spelling", "note", items, advice)


def spellings_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the ``names`` of classes, grouped by their plain form."""
    spellings: dict[str, list[str]] = collections.defaultdict(list)
    for name in names:
        spellings[_plain(name)].append(name)
    return spellings


def _one_letter_apart(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return the sorted pairs of words that differ by one typing error.

    Only words that become equal when one letter is removed are compared.
    """
    rest: dict[str, set[str]] = collections.defaultdict(set)
    for word in words:
        for at in range(len(word) if len(word) >= LEAST_SPELLED else 0):
            rest[word[:at] + word[at + 1 :]].add(word)
        rest[word].add(word)
    pairs = (pair for near in rest.values() for pair in itertools.combinations(sorted(near), 2))
    return sorted({(a, b) for a, b in pairs if _is_slip(a, b)})


def _plain(name: str) -> str:
    """Return a name without case, spaces, hyphens and underscores.

    They stay between digits (1_0 is not 10), as a sign (-5 dB is not 5 dB), and if nothing else
    would be left.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    sign = r"(?:^|(?<=\s))-(?=\d)"
    plain = re.sub(rf"(?!{sign})(?:(?<!\d)[\s_\-]|[\s_\-]+(?!\d))", "", folded)
    return plain or folded


def _is_slip(a: str, b: str) -> bool:
    """Return whether two words differ by one letter that is missing, changed or swapped.

    The first letter must be the same: typing errors are rare there (Yannakoudakis and Fawthrop
    1983), but pairs like house and mouse are not. A digit never counts as a typing error.
    """
    if min(len(a), len(b)) < LEAST_SPELLED or a[0] != b[0]:
        return False
    front = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    a, b = a[front:], b[front:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    is_slip = max(len(a), len(b)) == 1 or (len(a) == 2 and a == b[::-1])
    return is_slip and not any(letter.isdigit() for letter in a + b)


def _variants(classes: Classes, names: list[str]) -> Item:
    """Return an item for several names of one class, with the clips of all but the commonest."""
    by_size = sorted(names, key=lambda name: -len(classes[name]))
    rarer = tuple(clip for name in by_size[1:] for clip in classes[name])
    return Item(rarer, " / ".join(f"{name!r} ({len(classes[name])})" for name in by_size))


def _small(classes: Classes, partition: Partition | None) -> Iterator[Finding]:
    """Yield classes with fewer recordings than folds; an error if folds must still be made."""
    least = FOLDS if partition is None else 2
    count = {name: len({clip.place for clip in clips}) for name, clips in classes.items()}
    items = tuple(
        Item(clips, f"{name!r} has {amount(count[name], 'recording')}")
        for name, clips in classes.items()
        if count[name] < FOLDS
    )
    if items:
        severity = "error" if min(count.values()) < least else "warning"
        advice = f"a class needs at least {FOLDS} recordings to be judged: add some, or remove it."
        yield Finding("small class", severity, items, advice)


def _imbalance(classes: Classes) -> Iterator[Finding]:
    if not classes:
        return
    most = max(classes, key=lambda name: len(classes[name]))
    rare = tuple(
        Item(clips, f"{name!r} has {amount(len(clips), 'clip')}, {most!r} {len(classes[most])}")
        for name, clips in classes.items()
        if len(clips) * IMBALANCE <= len(classes[most])
    )
    if rare:
        advice = "add clips of the rare class, and judge by balanced accuracy, not by accuracy."
        yield Finding("imbalance", "warning", rare, advice)


def _confined(classes: Classes, partition: Partition | None) -> Iterator[Finding]:
    """Yield classes that are in only one group or only one fold."""
    groups = {name: {clip.group for clip in clips} for name, clips in classes.items()}
    if len(set().union(*groups.values()) - {None}) > 1:
        items = tuple(
            Item(classes[name], f"{name!r} is only in group {next(iter(own))!r}")
            for name, own in groups.items()
            if len(own) == 1 and None not in own
        )
        if items:
            advice = (
                "the model may learn the group instead of the class: record the class in other"
                " groups too."
            )
            yield Finding("class equals group", "error", items, advice)
    if partition is not None and partition.word != "group":
        items = tuple(
            Item(clips, f"{name!r} is only in {partition.word} {parts[0]!r}")
            for name, clips in classes.items()
            if len(parts := partition.parts(clips)) == 1
        )
        everyone = (clip for clips in classes.values() for clip in clips)
        if items and len(partition.parts(everyone)) > 1:
            advice = (
                "the class cannot be both trained on and tested: put some of its clips into another"
                f" {partition.word}."
            )
            yield Finding(f"class in one {partition.word}", "error", items, advice)
