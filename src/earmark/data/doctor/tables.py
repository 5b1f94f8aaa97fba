"""What the table of a dataset tells, without listening: classes, groups, folds."""

from __future__ import annotations

import collections
import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.findings import Finding, Item, Names
from earmark.data.splits import FOLDS

IMBALANCE = 10  # times as many clips; from there on accuracy says little about the rare class
LEAST_SPELLED = 5  # letters: among shorter words one letter makes another word (tree, three)
SLIP_RARER = 2  # times; of AudioSet's 527 classes 7 pairs are one letter apart (clock, cluck)


class Parting(NamedTuple):
    """What will part the clips in an estimate: its name, and the part of each clip."""

    word: str
    part: dict[Clip, str]

    def parts(self, clips: tuple[Clip, ...]) -> list[str]:
        """Return the parts that ``clips`` are in, sorted."""
        return sorted({self.part[clip] for clip in clips})


def parting(dataset: Dataset) -> Parting | None:
    """Return the split, folds or groups of ``dataset``: the one that ``splits`` would use."""
    clips = dataset.clips
    if any(clip.split == "test" for clip in clips):
        return Parting("split", {clip: clip.split or "" for clip in clips})
    for word in ("fold", "group"):
        part = {clip: getattr(clip, word) for clip in clips}
        if None not in part.values():
            return Parting(word, {clip: str(value) for clip, value in part.items()})
    return None


def check_classes(dataset: Dataset) -> Iterator[Finding]:
    """Find what is wrong with the classes: their names, their sizes, where they are."""
    of_class: dict[str, list[Clip]] = collections.defaultdict(list)
    for clip in dataset.clips:
        for name in dataset.classes(clip):
            of_class[name].append(clip)
    classes = {name: tuple(clips) for name, clips in sorted(of_class.items())}
    parted = parting(dataset)
    yield from _alike(classes)
    yield from _small(classes, parted)
    yield from _imbalance(classes)
    yield from _confined(classes, parted)


def check_parting(dataset: Dataset) -> Iterator[Finding]:
    """Find recordings and groups that have clips in several folds (or in training and test)."""
    parted = parting(dataset)
    if parted is None:
        return
    names = Names(dataset.clips)
    wholes: dict[str, dict[str, list[Clip]]] = {"recording": {}, "group": {}}
    for clip in dataset.clips:
        wholes["recording"].setdefault(str(clip.path), []).append(clip)
        if clip.group is not None and parted.word != "group":
            wholes["group"].setdefault(clip.group, []).append(clip)
    for what, whole in wholes.items():
        torn = {name: tuple(c) for name, c in whole.items() if len(parted.parts(tuple(c))) > 1}
        items = tuple(
            Item(
                clips,
                f"{names(clips[0]) if what == 'recording' else name} has clips in"
                f" {parted.word}s {', '.join(parted.parts(clips))}",
            )
            for name, clips in torn.items()
        )
        if items:
            yield Finding(
                f"parted {what}",
                "error",
                items,
                f"keep all clips of a {what} in one {parted.word}, or the estimate is too high.",
            )


Classes = dict[str, tuple[Clip, ...]]


def _alike(classes: Classes) -> Iterator[Finding]:
    """Find names that differ in case or spaces only, and those one slip of the keyboard apart."""
    same: dict[str, list[str]] = collections.defaultdict(list)
    for name in classes:
        same[_plain(name)].append(name)
    written = tuple(_written(classes, names) for names in same.values() if len(names) > 1)
    if written:
        advice = "these differ in case or spaces only: write one class in one way."
        yield Finding("similar labels", "warning", written, advice)
    near: dict[str, set[str]] = collections.defaultdict(set)
    for word in same:
        for at in range(len(word) if len(word) >= LEAST_SPELLED else 0):
            near[word[:at] + word[at + 1 :]].add(word)
        near[word].add(word)
    pairs = {
        pair
        for words in near.values()
        for pair in itertools.combinations(sorted(words), 2)
        if _is_slip(*pair)
    }
    names = [[*same[a], *same[b]] for a, b in sorted(pairs)]
    sizes = [sorted(len(classes[name]) for name in both) for both in names]
    spelled = tuple(
        _written(classes, both)
        for both, size in zip(names, sizes, strict=True)
        if size[0] * SLIP_RARER <= size[-1]
    )
    if spelled:
        advice = "these differ in one letter: if they mean one class, write it in one way."
        yield Finding("similar spelling", "note", spelled, advice)


def _plain(name: str) -> str:
    """Drop case, spaces, hyphens and underscores; not between digits (``1_0`` is not ``10``)."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"(?<!\d)[\s_\-]+|[\s_\-]+(?!\d)", "", folded)


def _is_slip(a: str, b: str) -> bool:
    """Say whether one letter was left out, added, changed, or changed places with the next.

    The first letter must be the same: few slips are there (Yannakoudakis and Fawthrop 1983), but
    pairs like house and mouse are. Digits are meant as they are.
    """
    if min(len(a), len(b)) < LEAST_SPELLED or a[0] != b[0]:
        return False
    front = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    a, b = a[front:], b[front:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    is_slip = max(len(a), len(b)) == 1 or (len(a) == 2 and a == b[::-1])
    return is_slip and not any(letter.isdigit() for letter in a + b)


def _written(classes: Classes, names: list[str]) -> Item:
    """Make an item of several names; the clips are those of all names but the commonest."""
    by_size = sorted(names, key=lambda name: -len(classes[name]))
    rarer = tuple(clip for name in by_size[1:] for clip in classes[name])
    return Item(rarer, " / ".join(f"{name!r} ({len(classes[name])})" for name in by_size))


def _small(classes: Classes, parted: Parting | None) -> Iterator[Finding]:
    """Find classes of fewer recordings than folds: an error where folds must still be made."""
    least = FOLDS if parted is None else 2
    count = {name: len({clip.path for clip in clips}) for name, clips in classes.items()}
    items = tuple(
        Item(clips, f"{name!r} has {count[name]}")
        for name, clips in classes.items()
        if count[name] < FOLDS
    )
    if items:
        is_hopeless = min(count.values()) < least
        yield Finding(
            "small class",
            "error" if is_hopeless else "warning",
            items,
            f"fewer than {FOLDS} recordings tell nothing about a class: add some, or remove it.",
        )


def _imbalance(classes: Classes) -> Iterator[Finding]:
    most = max(classes, key=lambda name: len(classes[name]))
    rare = tuple(
        Item(clips, f"{name!r} has {len(clips)} clips, {most!r} {len(classes[most])}")
        for name, clips in classes.items()
        if len(clips) * IMBALANCE <= len(classes[most])
    )
    if rare:
        advice = "add clips of the rare class, and go by macro F1, not by accuracy."
        yield Finding("imbalance", "warning", rare, advice)


def _confined(classes: Classes, parted: Parting | None) -> Iterator[Finding]:
    """Find classes that are in one group, or in one fold, only."""
    everyone = tuple(dict.fromkeys(clip for clips in classes.values() for clip in clips))
    group = {clip: clip.group for clip in everyone if clip.group is not None}
    if len(set(group.values())) > 1:
        items = tuple(
            Item(clips, f"{name!r} is in group {group[clips[0]]!r} only")
            for name, clips in classes.items()
            if len({group.get(clip) for clip in clips}) == 1
        )
        if items:
            advice = "class and group cannot be told apart: record the class in other groups too."
            yield Finding("class equals group", "error", items, advice)
    if parted is not None and parted.word != "group":
        where = {name: parted.parts(clips) for name, clips in classes.items()}
        items = tuple(
            Item(classes[name], f"{name!r} is in {parted.word} {parts[0]!r} only")
            for name, parts in where.items()
            if len(parts) == 1
        )
        if items and len(parted.parts(everyone)) > 1:
            advice = f"no estimate can both teach and test it: put some in another {parted.word}."
            yield Finding(f"class in one {parted.word}", "error", items, advice)
