"""Near copies that embeddings point to: what training can notice with little listening.

The pairs whose embeddings are most alike are compared as the doctor compares, by the phases of
their waveforms. So what is told is certain; `earmark doctor`, which compares more, may find more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor import copies, near_duplicates
from earmark.data.doctor.facts import Spectra
from earmark.data.doctor.findings import Finding, Item, Names
from earmark.data.doctor.near_duplicates import BANDS, Pair, Sketch, Waveform
from earmark.data.doctor.recordings import SILENT_PEAK
from earmark.errors import AudioError, amount

NEAREST = 5  # of each clip; 98 % of copies that are softer, filtered, encoded or trimmed are there
LEAST_NEAREST, ENOUGH = 2, 4_000  # of many clips fewer, lest training takes a fifth longer
MOST_S = 10_000  # seconds of audio that are decoded once more, of the pairs most alike
DIRECTIONS = 1_024  # random ones to which longer embeddings are reduced
MOST_CLIPS = 20_000  # the time to compare all with all grows with the square
RUN = 100  # neighbours in the data that are compared together, of more clips than that
BATCH = 64  # pairs that one thread compares in one go
BLOCK = 256  # embeddings in memory at a time
COSINES = 2**24  # in memory at a time

RowPair = tuple[int, int]  # the rows of two clips


class Rows(Protocol):
    """Embeddings (N, E), of which some rows are read at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


class Compared(Protocol):
    """Seconds that the clips of a pair, by row, share: what earlier trainings found."""

    def get(self, pairs: Sequence[RowPair]) -> Mapping[RowPair, float]: ...
    def put(self, shared_s: Mapping[RowPair, float]) -> None: ...


def find(
    dataset: Dataset,
    clips: Sequence[Clip],
    content: np.ndarray,
    embeddings: Rows,
    seconds: float,
    compared: Compared | None = None,
) -> list[copies.Copied]:
    """Return near copies among the first of ``clips`` (N) of each ``content`` (N,).

    ``seconds`` is the mean length of a clip. Of more than 20,000 different clips, so many are
    compared: runs of neighbours in the data, for a copy often follows its original. Pairs that were
    ``compared`` before are not read again.
    """
    first = np.sort(np.unique(content, return_index=True)[1])
    if len(first) > MOST_CLIPS:
        first = first[_runs(len(first))]
    if len(first) < 2:
        return []
    rows = first[_alike(embeddings, first, int(MOST_S / max(seconds, 0.01)))]
    pairs = [(i, j) for i, j in rows.tolist()]
    known = dict(compared.get(pairs)) if compared else {}
    new = _compare(dataset, clips, [pair for pair in pairs if pair not in known])
    if compared and new:
        compared.put(new)
    shared_s = known | new
    same = [Pair(*pair, shared_s[pair]) for pair in pairs if shared_s.get(pair)]
    return copies.between(clips, same)


def _compare(
    dataset: Dataset, clips: Sequence[Clip], pairs: Sequence[RowPair]
) -> dict[RowPair, float]:
    """Return for how many seconds each of the ``pairs`` is one sound; a clip may be gone."""
    if not pairs:
        return {}
    used, places = np.unique(pairs, return_inverse=True)
    waveform = copies.waveforms([clips[i] for i in used.tolist()], dataset.audio)
    with ThreadPoolExecutor() as pool:
        drawn = pool.map(functools.partial(_sketch, waveform), range(len(used)))
        sketches = {number: sketch for number, sketch in enumerate(drawn) if sketch is not None}
        there = [(i, j) for i, j in places.reshape(-1, 2).tolist() if {i, j} <= sketches.keys()]
        sounding = [(i, j) for i, j in there if len(sketches[i]) and len(sketches[j])]
        batches = [np.array(sounding[at : at + BATCH]) for at in range(0, len(sounding), BATCH)]
        compare = functools.partial(near_duplicates.compare, sketches, waveform)
        same = [pair for some in pool.map(compare, batches) for pair in some]
    row = used.tolist()
    shared_s = {(row[i], row[j]): 0.0 for i, j in there}
    return shared_s | {(row[p.first], row[p.second]): p.shared_s for p in same}


def _runs(count: int) -> np.ndarray:
    """Return MOST_CLIPS rows of ``count``, in runs of RUN that are drawn at random."""
    starts = np.arange(0, count - RUN + 1, RUN)
    drawn = np.random.default_rng(0).choice(starts, MOST_CLIPS // RUN, replace=False)
    return np.asarray((np.sort(drawn)[:, None] + np.arange(RUN)).ravel())


def unseen(content: np.ndarray) -> Iterator[Finding]:
    """Yield that not all clips were compared, where there are too many; ``content`` (N,)."""
    count = int(np.count_nonzero(np.bincount(content)))
    if count > MOST_CLIPS:
        item = Item((), f"{MOST_CLIPS:,} of {count:,} different clips were compared")
        advice = "there may be more sets; `earmark doctor DATA` compares all clips."
        yield Finding("near copies", "note", (item,), advice)


def _sketch(waveform: Callable[[int], Waveform], number: int) -> Sketch | None:
    """Return the sketch of a clip's beginning: empty if silent or short, None if it is gone."""
    try:
        x = waveform(number)
    except AudioError:
        return None
    if len(x) < near_duplicates.LEAST_OVERLAP or np.ptp(x) < 2 * SILENT_PEAK:
        return np.zeros((0, BANDS), np.uint8)
    spectra = Spectra(near_duplicates.RATE_HZ)
    spectra.add(x)
    return near_duplicates.sketch(spectra.finish()[1])


def check(
    dataset: Dataset, clips: Sequence[Clip], pairs: Sequence[copies.Copied], fold: np.ndarray
) -> Iterator[Finding]:
    """Yield the findings about near copies: those in several folds, and others in no one group."""
    among = {clip for pair in pairs for clip in (pair.first, pair.second)}
    fold_of = {c: f for c, f in zip(clips, fold.tolist(), strict=True) if among and c in among}
    names = Names(dataset.clips)
    parted, together = [], []
    for same in copies.near_sets([(pair.first, pair.second) for pair in pairs]):
        item = Item(same, names.listed(same, " ~ "))
        if len({fold_of[clip] for clip in same}) > 1:
            parted.append(item)
        elif same[0].group is None or len({clip.group for clip in same}) > 1:
            together.append(item)
    repair = "`earmark doctor DATA --fix -o clean.csv` puts each set into one group"
    if parted:
        have = "set is" if len(parted) == 1 else "sets are"
        advice = (
            f"{len(parted):,} {have} both trained on and tested, so the estimate is too high;"
            f" {repair}."
        )
        yield Finding("near leak", "warning", tuple(parted), advice)
    if together:
        advice = f"each set is in one fold; {repair} for good."
        yield Finding("near copies", "note", tuple(together), advice)


def leaking_sets(findings: Sequence[Finding]) -> str | None:
    """Say how many sets of near copies are in several folds, from what training found; or None."""
    for finding in findings:
        if finding.kind == "near leak":
            return f"{amount(len(finding.items), 'set')} of near copies"
    return None


def _alike(embeddings: Rows, chosen: np.ndarray, most_rows: int) -> np.ndarray:
    """Return (P, 2): the pairs of ``chosen`` rows (R,) that are most alike, as numbers into these.

    There are no more than ``most_rows`` rows in them.
    """
    x = _directions(embeddings, chosen)
    most = min(max(LEAST_NEAREST, min(NEAREST, ENOUGH // len(x))), len(x) - 1)
    pairs: dict[tuple[int, int], float] = {}
    block = max(1, COSINES // len(x))
    for at in range(0, len(x), block):
        cosine = x[at : at + block] @ x.T
        own = np.arange(len(cosine))
        cosine[own, own + at] = -1
        for _ in range(most):
            near = cosine.argmax(1)
            values = cosine[own, near].tolist()
            cosine[own, near] = -1
            for row, column, value in zip(own.tolist(), near.tolist(), values, strict=True):
                pairs[min(row + at, column), max(row + at, column)] = value
    best, rows = [], set[int]()
    for pair in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
        more = set(pair) - rows
        if len(rows) + len(more) <= most_rows:
            rows |= more
            best.append(pair)
    return np.array(sorted(best), np.int64).reshape(-1, 2)


def _directions(embeddings: Rows, chosen: np.ndarray) -> np.ndarray:
    """Return the ``chosen`` rows (R, <= 1,024), standardised, in few directions, of length 1."""
    blocks = [chosen[at : at + BLOCK] for at in range(0, len(chosen), BLOCK)]
    size = embeddings.shape[1]
    around = embeddings[blocks[0]].astype(np.float64).mean(0)
    sums, squares = np.zeros(size), np.zeros(size)
    for rows in blocks:
        away = embeddings[rows] - around
        sums += away.sum(0)
        squares += np.square(away, out=away).sum(0)
    mean = sums / len(chosen)
    deviation = np.sqrt(np.maximum(squares / len(chosen) - np.square(mean), 0)).astype(np.float32)
    mean = (around + mean).astype(np.float32)
    few = None
    if size > DIRECTIONS:
        few = np.random.default_rng(0).standard_normal((size, DIRECTIONS), np.float32)
    x = np.empty((len(chosen), min(size, DIRECTIONS)), np.float32)
    for number, rows in enumerate(blocks):
        standard = (embeddings[rows].astype(np.float32) - mean) / (deviation + 1e-6)
        at = slice(number * BLOCK, number * BLOCK + len(rows))
        x[at] = standard if few is None else standard @ few
        x[at] /= np.linalg.norm(x[at], axis=1, keepdims=True) + 1e-9
    return x
