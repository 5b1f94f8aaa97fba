"""What is wrong with the table of a dataset, without listening: classes, groups, folds."""

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

IMBALANCE = 10  # times as many clips; from there on accuracy says little about the rare class
LEAST_SPELLED = 5  # letters: among shorter words one letter makes another word (tree, three)
SLIP_RARER = 2  # times; of AudioSet's 527 classes 7 pairs are one letter apart (clock, cluck)


class Partition(NamedTuple):
    """What separates training from test clips: 'split', 'fold' or 'group'."""

    word: str

    def parts(self, clips: Iterable[Clip]) -> list[str]:
        """Return the parts that ``clips`` are in, sorted."""
        words = {getattr(clip, self.word) for clip in clips}
        if self.word == "split":  # two words for clips that are held out do not part them
            words = set(map(role, words))
        return sorted({word or "" for word in words})


def partition_of(dataset: Dataset) -> Partition | None:
    """Return the partition by which ``splits`` makes folds; None where nothing is given."""
    word = dividing_column(dataset.clips)
    return None if word is None else Partition(word)


def check_classes(dataset: Dataset) -> Iterator[Finding]:
    """Yield what is wrong with the classes: their names, their sizes, where they are."""
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
    """Yield the clips without any class, where they may have several."""
    names = Names(dataset.clips)
    items = tuple(Item((c,), names(c)) for c in dataset.clips if not c.label)
    if items and dataset.labels:
        advice = "without a label they are examples of no class; label those that have a class."
        yield Finding("no class", "note", items, advice)


def check_partition(dataset: Dataset) -> Iterator[Finding]:
    """Yield recordings and groups that have clips in several folds (or in training and test)."""
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
        parted = {
            names.path(clips[0]) if noun == "recording" else name: (tuple(clips), parts)
            for name, clips in members.items()
            if len(parts := partition.parts(clips)) > 1
        }
        items = tuple(
            Item(clips, f"{name} has clips in {partition.word}s {', '.join(parts)}")
            for name, (clips, parts) in parted.items()
        )
        if items:
            advice = (
                f"keep all clips of a {noun} in one {partition.word}, or the estimate is too high."
            )
            yield Finding(f"parted {noun}", "error", items, advice)


Classes = dict[str, tuple[Clip, ...]]


def _alike(classes: Classes) -> Iterator[Finding]:
    """Yield names that differ in case or spaces only, and names one typing error apart."""
    spellings = spellings_of(classes)
    items = tuple(_variants(classes, names) for names in spellings.values() if len(names) > 1)
    if items:
        advice = "these differ in case or spaces only: write one class in one way."
        yield Finding("similar labels", "warning", items, advice)
    names = [[*spellings[a], *spellings[b]] for a, b in _one_letter_apart(spellings)]
    sizes = [sorted(len(classes[name]) for name in both) for both in names]
    items = tuple(
        _variants(classes, both)
        for both, size in zip(names, sizes, strict=True)
        if size[0] * SLIP_RARER <= size[-1]
    )
    if items:
        advice = "these differ in one letter: if they mean one class, write it in one way."
        yield Finding("similar spelling", "note", items, advice)


def spellings_of(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the ``names`` of classes by the plain word that they spell."""
    spellings: dict[str, list[str]] = collections.defaultdict(list)
    for name in names:
        spellings[_plain(name)].append(name)
    return spellings


def _one_letter_apart(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of words that one typing error makes out of each other, sorted.

    Words that are equal without one letter meet under what is left of them: every pair need not be
    compared.
    """
    rest: dict[str, set[str]] = collections.defaultdict(set)
    for word in words:
        for at in range(len(word) if len(word) >= LEAST_SPELLED else 0):
            rest[word[:at] + word[at + 1 :]].add(word)
        rest[word].add(word)
    pairs = (pair for near in rest.values() for pair in itertools.combinations(sorted(near), 2))
    return sorted({(a, b) for a, b in pairs if _is_slip(a, b)})


def _plain(name: str) -> str:
    """Drop case, spaces, hyphens and underscores.

    Not between digits, for 1_0 is not 10; nor a sign, for -5 dB is not 5 dB; nor all that there is.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    sign = r"(?:^|(?<=\s))-(?=\d)"
    plain = re.sub(rf"(?!{sign})(?:(?<!\d)[\s_\-]|[\s_\-]+(?!\d))", "", folded)
    return plain or folded


def _is_slip(a: str, b: str) -> bool:
    """Say whether one letter was left out, added, changed, or swapped with the next.

    The first letter must be the same: typing errors are rare there (Yannakoudakis and Fawthrop
    1983), but pairs like house and mouse are not. A digit is never a typing error.
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
    """Make an item of several names for one class; its clips are those of all but the commonest."""
    by_size = sorted(names, key=lambda name: -len(classes[name]))
    rarer = tuple(clip for name in by_size[1:] for clip in classes[name])
    return Item(rarer, " / ".join(f"{name!r} ({len(classes[name])})" for name in by_size))


def _small(classes: Classes, partition: Partition | None) -> Iterator[Finding]:
    """Yield classes of fewer recordings than folds: an error where folds must still be made."""
    least = FOLDS if partition is None else 2
    count = {name: len({clip.place for clip in clips}) for name, clips in classes.items()}
    items = tuple(
        Item(clips, f"{name!r} has {count[name]}")
        for name, clips in classes.items()
        if count[name] < FOLDS
    )
    if items:
        severity = "error" if min(count.values()) < least else "warning"
        advice = (
            f"fewer than {FOLDS} recordings tell nothing about a class: add some, or remove it."
        )
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
        advice = "add clips of the rare class, and go by balanced accuracy, not by accuracy."
        yield Finding("imbalance", "warning", rare, advice)


def _confined(classes: Classes, partition: Partition | None) -> Iterator[Finding]:
    """Yield classes that are in one group, or in one fold, only."""
    groups = {name: {clip.group for clip in clips} for name, clips in classes.items()}
    if len(set().union(*groups.values()) - {None}) > 1:
        items = tuple(
            Item(classes[name], f"{name!r} is in group {next(iter(among))!r} only")
            for name, among in groups.items()
            if len(among) == 1 and None not in among
        )
        if items:
            advice = "class and group cannot be told apart: record the class in other groups too."
            yield Finding("class equals group", "error", items, advice)
    if partition is not None and partition.word != "group":
        items = tuple(
            Item(clips, f"{name!r} is in {partition.word} {parts[0]!r} only")
            for name, clips in classes.items()
            if len(parts := partition.parts(clips)) == 1
        )
        everyone = (clip for clips in classes.values() for clip in clips)
        if items and len(partition.parts(everyone)) > 1:
            advice = (
                "it cannot be both trained on and tested: put some of its clips into another"
                f" {partition.word}."
            )
            yield Finding(f"class in one {partition.word}", "error", items, advice)
