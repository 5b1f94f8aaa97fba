"""Clips that hold the same sound: copies, label conflicts, leaks; exact and near."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.findings import Finding, Item, Names
from earmark.data.doctor.near_duplicates import RATE_HZ, Pair, Waveform
from earmark.data.doctor.tables import Parting, parting

WAVEFORMS = 2**28  # bytes held while near-duplicates are compared: 2.3 hours
Sets = Iterable[tuple[tuple[Clip, ...], str]]  # clips that are the same, and how to show them


def exact_sets(clips: Sequence[Clip], content: Sequence[bytes | int]) -> list[tuple[Clip, ...]]:
    """Return the sets of two and more ``clips`` with equal ``content``."""
    same: dict[bytes | int, list[Clip]] = collections.defaultdict(list)
    for clip, what in zip(clips, content, strict=True):
        same[what].append(clip)
    return [tuple(of) for of in same.values() if len(of) > 1]


def check_exact(
    dataset: Dataset, clips: Sequence[Clip], content: Sequence[bytes | int]
) -> Iterator[Finding]:
    """Yield the findings about clips with equal samples."""
    names = Names(dataset.clips)
    sets = [(same, names.listed(same, " = ")) for same in exact_sets(clips, content)]
    yield from _crossing(dataset, sets, "")


def check_near(dataset: Dataset, clips: Sequence[Clip], pairs: Sequence[Pair]) -> Iterator[Finding]:
    """Yield the findings about near-duplicates: ``pairs`` of numbers into ``clips``.

    Clips of one recording are left out: that stretches of it overlap is no news.
    """
    names = Names(dataset.clips)
    told = [p for p in pairs if clips[p.first].path != clips[p.second].path]
    shared = {(clips[p.first], clips[p.second]): p.shared_s for p in told}
    sets = []
    for numbers in _components(len(clips), told):
        same = tuple(clips[i] for i in numbers)
        seconds = shared.get(same) if len(same) == 2 else None
        sets.append((same, names.listed(same, " ~ ") + (f", {seconds:.1f} s" if seconds else "")))
    yield from _crossing(dataset, sets, "near ")


def _crossing(dataset: Dataset, sets: Sets, near: str) -> Iterator[Finding]:
    """Sort sets of the same sound by what they cross: classes, folds or groups, or neither."""
    parted = parting(dataset)
    conflicts, leaks, copies = [], [], []
    for clips, shown in sets:
        crosses_classes = len({frozenset(dataset.classes(clip)) for clip in clips}) > 1
        parts = parted.parts(clips) if parted else []
        if crosses_classes:
            conflicts.append(Item(clips, shown))
        if parted and len(parts) > 1:
            leaks.append(Item(clips, f"{shown}: {parted.word}s {', '.join(parts)}"))
        if not crosses_classes and len(parts) < 2:
            copies.append(Item(clips, shown))
    sound = "much the same sound" if near else "one sound"
    if conflicts:
        advice = f"{sound} has several labels: listen, and give it one."
        yield Finding(f"{near}label conflict", "error", tuple(conflicts), advice)
    if leaks:
        word = parted.word if parted else ""
        advice = f"{sound} teaches and tests: put its clips into one {word}, or keep one."
        yield Finding(f"{near}leak", "warning" if near else "error", tuple(leaks), advice)
    if copies:
        yield _harmless(near, tuple(copies), parted)


def _harmless(near: str, copies: tuple[Item, ...], parted: Parting | None) -> Finding:
    """Training keeps exact copies together by itself; near ones it does not know of."""
    if near and not parted:
        advice = "random folds would part them: keep one, or give them a group."
        return Finding("near copies", "warning", copies, advice)
    return Finding(
        f"{near}copies", "note", copies, "they count more than others: keep one of each."
    )


def _components(count: int, pairs: Sequence[Pair]) -> list[list[int]]:
    """Return the sets of numbers below ``count`` that pairs connect, each sorted."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([(p.first, p.second) for p in pairs], np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    of = connected_components(links, directed=False)[1]
    sets: dict[int, list[int]] = collections.defaultdict(list)
    for number in np.unique(ends).tolist():
        sets[int(of[number])].append(number)
    return list(sets.values())


def waveforms(
    clips: Sequence[Clip], seconds: float, options: AudioOptions
) -> Callable[[int], Waveform]:
    """Return a function that reads clip number i, and remembers as many as WAVEFORMS allows.

    ``seconds`` is the mean length of a clip.
    """

    @functools.lru_cache(maxsize=int(WAVEFORMS / (4 * RATE_HZ * max(seconds, 0.01))) + 2)
    def waveform(number: int) -> Waveform:
        clip = clips[number]
        return audio.read(clip.path, RATE_HZ, clip.start, clip.end, options).samples

    return waveform
