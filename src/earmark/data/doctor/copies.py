"""Find clips with the same sound, exactly or nearly: copies, label conflicts and leaks."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor.findings import Finding, Item, Names
from earmark.data.doctor.near_duplicates import NEAR_S, RATE_HZ, Pair, Waveform
from earmark.data.doctor.tables import Partition, partition_of

WAVEFORMS = 2**27  # bytes of waveforms (1.1 hours) in memory while near copies are compared
Sets = Iterable[tuple[tuple[Clip, ...], str]]  # clips with the same sound, and a text for people


def exact_sets(
    clips: Sequence[Clip], content: Sequence[bytes] | np.ndarray
) -> list[tuple[Clip, ...]]:
    """Return the sets of two or more ``clips`` with equal ``content`` (a number or hash each)."""
    keys = content.tolist() if isinstance(content, np.ndarray) else content
    count = collections.Counter(keys)
    same: dict[bytes | int, list[Clip]] = collections.defaultdict(list)
    if len(count) < len(keys):
        for clip, key in zip(clips, keys, strict=True):
            if count[key] > 1:
                same[key].append(clip)
    return [tuple(copies) for copies in same.values()]


def check_exact(
    dataset: Dataset, clips: Sequence[Clip], content: Sequence[bytes] | np.ndarray
) -> Iterator[Finding]:
    """Yield the findings about clips with equal samples."""
    names = Names(dataset.clips)
    sets = [(same, names.listed(same, " = ")) for same in exact_sets(clips, content)]
    yield from _crossing(dataset, sets, "")


class Copied(NamedTuple):
    """Two clips of two recordings, and how many seconds of the same sound they share."""

    first: Clip
    second: Clip
    shared_s: float


def between(clips: Sequence[Clip], pairs: Iterable[Pair]) -> list[Copied]:
    """Return the clips of ``pairs``, which have indices into ``clips``.

    Pairs within one recording are left out, because its stretches may overlap.
    """
    copied = [Copied(clips[p.first], clips[p.second], p.shared_s) for p in pairs]
    return [pair for pair in copied if pair.first.place != pair.second.place]


def near_sets(pairs: Sequence[tuple[Clip, Clip]]) -> list[tuple[Clip, ...]]:
    """Return the sets of clips that ``pairs`` connect, each in the order of first occurrence."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    clips = list(dict.fromkeys(clip for pair in pairs for clip in pair))
    number = {clip: i for i, clip in enumerate(clips)}
    ends = np.array([(number[a], number[b]) for a, b in pairs], np.int64).reshape(-1, 2)
    shape = (len(clips), len(clips))
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=shape)
    sets: dict[int, list[Clip]] = collections.defaultdict(list)
    if clips:
        component = connected_components(links, directed=False)[1]
        for clip, index in zip(clips, component.tolist(), strict=True):
            sets[index].append(clip)
    return [tuple(same) for same in sets.values()]


def near_items(dataset: Dataset, pairs: Sequence[Copied]) -> list[Item]:
    """Return an item for each set of near copies."""
    names = Names(dataset.clips)
    shared_s = {(pair.first, pair.second): pair.shared_s for pair in pairs}
    items = []
    for same in near_sets([(pair.first, pair.second) for pair in pairs]):
        seconds = shared_s.get((same[0], same[1])) if len(same) == 2 else None
        shown = names.listed(same, " ~ ") + (f", {seconds:.1f} s" if seconds else "")
        items.append(Item(same, shown))
    return items


def check_near(dataset: Dataset, pairs: Sequence[Copied]) -> Iterator[Finding]:
    """Yield the findings about near copies."""
    sets = [(item.clips, item.detail) for item in near_items(dataset, pairs)]
    yield from _crossing(dataset, sets, "near ")


def _crossing(dataset: Dataset, sets: Sets, near: str) -> Iterator[Finding]:
    """Yield findings about sets of the same sound, by what they cross: classes, folds, neither."""
    partition = partition_of(dataset)
    conflicts, leaks, copies = [], [], []
    for clips, text in sets:
        crosses_classes = len({frozenset(dataset.classes(clip)) for clip in clips}) > 1
        parts = partition.parts(clips) if partition else []
        if crosses_classes:
            conflicts.append(Item(clips, text))
        if partition and len(parts) > 1:
            leaks.append(Item(clips, f"{text}: {partition.word}s {', '.join(parts)}"))
        in_one_group = len({clip.group for clip in clips}) == 1 and clips[0].group is not None
        if not crosses_classes and len(parts) < 2 and not (near and in_one_group):
            copies.append(Item(clips, text))
    sound = "nearly the same sound" if near else "the same sound"
    if conflicts:
        advice = f"{sound} has several labels: listen, and give it one."
        yield Finding(f"{near}label conflict", "error", tuple(conflicts), advice)
    if partition and leaks:
        advice = (
            f"{sound} is both trained on and tested: put its clips into one {partition.word}, or"
            " keep only one."
        )
        yield Finding(f"{near}leak", "warning" if near else "error", tuple(leaks), advice)
    if copies:
        yield _harmless(near, tuple(copies), partition)


def _harmless(near: str, copies: tuple[Item, ...], partition: Partition | None) -> Finding:
    """Return the finding about copies in one class and one part; a warning for near copies.

    Training keeps exact copies in one fold by itself. Near copies stay together only if they have
    one group, fold or split.
    """
    if near and not partition:
        advice = "copies may land in both training and test; keep one, or put them in one group."
        return Finding("near copies", "warning", copies, advice)
    return Finding(
        f"{near}copies", "note", copies, "they count more than other clips: keep one of each set."
    )


def waveforms(clips: Sequence[Clip], options: AudioOptions) -> Callable[[int], Waveform]:
    """Return a function that reads the beginning of clip number i, and caches the latest ones."""
    cache: collections.OrderedDict[int, Waveform] = collections.OrderedDict()
    lock, size = threading.Lock(), 0

    def waveform(number: int) -> Waveform:
        nonlocal size
        with lock:
            if number in cache:
                cache.move_to_end(number)
                return cache[number]
        x = _beginning(clips[number], options)
        with lock:
            if number not in cache:
                cache[number] = x
                size += x.nbytes
            while size > WAVEFORMS:
                size -= cache.popitem(last=False)[1].nbytes
        return x

    return waveform


def _beginning(clip: Clip, options: AudioOptions) -> Waveform:
    """Return the first ``NEAR_S`` seconds of a clip at ``RATE_HZ``."""
    most, count, parts = int(NEAR_S * RATE_HZ), 0, []
    with audio.open_stream(clip.source, RATE_HZ, clip.start, clip.end, options) as stream:
        for block in stream.blocks:
            parts.append(block)
            count += len(block)
            if count >= most:
                break
    return np.concatenate(parts)[:most]
