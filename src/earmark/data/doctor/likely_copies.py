"""Find likely near copies by their embeddings, which takes training little extra time.

The pairs with the most similar embeddings are compared by the phases of their waveforms, as in the
doctor, so there are no false alarms. `earmark doctor` compares more pairs and may find more copies.
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

NEAREST = 5  # neighbours per clip; they include 98 % of softer, filtered or trimmed copies
LEAST_NEAREST, ENOUGH = 2, 4_000  # fewer neighbours with many clips: training took a fifth longer
MOST_S = 10_000  # seconds of audio that are decoded again, for the most similar pairs
DIRECTIONS = 1_024  # random directions to which longer embeddings are reduced
MOST_CLIPS = 20_000  # the time to compare all pairs grows with the square
RUN = 100  # if there are more clips, runs of this many consecutive clips are compared
BATCH = 64  # pairs that one thread compares at a time
BLOCK = 256  # embeddings in memory at a time
COSINES = 2**24  # cosines in memory at a time

RowPair = tuple[int, int]  # the rows of two clips


class Rows(Protocol):
    """Embeddings (N, E); some rows can be read at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


class Compared(Protocol):
    """Results of earlier trainings: the seconds that the clips of a pair of rows share."""

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
    """Return near copies among ``clips`` (N), one for each distinct ``content`` (N,).

    ``seconds`` is the mean length of a clip. Of more than 20,000 different clips, only 20,000 are
    compared: runs of consecutive clips, because a copy often follows its original. Pairs that were
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
    """Return how many seconds of the same sound each of the ``pairs`` shares.

    Pairs with a clip that can no longer be read are left out.
    """
    if not pairs:
        return {}
    used, places = np.unique(pairs, return_inverse=True)
    waveform = copies.waveforms([clips[i] for i in used.tolist()], dataset.audio)
    with ThreadPoolExecutor() as pool:
        results = pool.map(functools.partial(_sketch, waveform), range(len(used)))
        sketches = {number: sketch for number, sketch in enumerate(results) if sketch is not None}
        readable = [(i, j) for i, j in places.reshape(-1, 2).tolist() if {i, j} <= sketches.keys()]
        sounding = [(i, j) for i, j in readable if len(sketches[i]) and len(sketches[j])]
        batches = [np.array(sounding[at : at + BATCH]) for at in range(0, len(sounding), BATCH)]
        compare = functools.partial(near_duplicates.compare, sketches, waveform)
        same = [pair for some in pool.map(compare, batches) for pair in some]
    row = used.tolist()
    shared_s = {(row[i], row[j]): 0.0 for i, j in readable}
    return shared_s | {(row[p.first], row[p.second]): p.shared_s for p in same}


def _runs(count: int) -> np.ndarray:
    """Return MOST_CLIPS of ``count`` rows, in random runs of RUN consecutive rows."""
    starts = np.arange(0, count - RUN + 1, RUN)
    sample = np.random.default_rng(0).choice(starts, MOST_CLIPS // RUN, replace=False)
    return np.asarray((np.sort(sample)[:, None] + np.arange(RUN)).ravel())


def unseen(content: np.ndarray) -> Iterator[Finding]:
    """Yield a note if there are too many clips to compare all; ``content`` is (N,)."""
    count = int(np.count_nonzero(np.bincount(content)))
    if count > MOST_CLIPS:
        item = Item((), f"{MOST_CLIPS:,} of {count:,} different clips were compared")
        advice = "there may be more near copies; `earmark doctor DATA` compares all clips."
        yield Finding("near copies", "note", (item,), advice)


def _sketch(waveform: Callable[[int], Waveform], number: int) -> Sketch | None:
    """Return the sketch of a clip's beginning: empty if silent or short, None if unreadable."""
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
    """Yield the findings about near copies in several folds, and about others without one group."""
    paired = {clip for pair in pairs for clip in (pair.first, pair.second)}
    fold_of = {c: f for c, f in zip(clips, fold.tolist(), strict=True) if paired and c in paired}
    names = Names(dataset.clips)
    leaking, together = [], []
    for same in copies.near_sets([(pair.first, pair.second) for pair in pairs]):
        item = Item(same, names.listed(same, " ~ "))
        if len({fold_of[clip] for clip in same}) > 1:
            leaking.append(item)
        elif same[0].group is None or len({clip.group for clip in same}) > 1:
            together.append(item)
    repair = "`earmark doctor DATA --fix -o clean.csv` puts each set into one group"
    if leaking:
        have = "set is" if len(leaking) == 1 else "sets are"
        advice = (
            f"{len(leaking):,} {have} both trained on and tested, so the estimate is too high;"
            f" {repair}."
        )
        yield Finding("near leak", "warning", tuple(leaking), advice)
    if together:
        advice = f"each set happens to be in one fold; {repair}, which keeps it so."
        yield Finding("near copies", "note", tuple(together), advice)


def leaking_sets(findings: Sequence[Finding]) -> str | None:
    """Return the number of sets of near copies in several folds as text, or None."""
    for finding in findings:
        if finding.kind == "near leak":
            return f"{amount(len(finding.items), 'set')} of near copies"
    return None


def _alike(embeddings: Rows, chosen: np.ndarray, most_rows: int) -> np.ndarray:
    """Return (P, 2): the most similar pairs of the ``chosen`` rows (R,), as indices into these.

    The pairs have at most ``most_rows`` different rows.
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
    """Return the ``chosen`` rows (R, <= 1,024): standardised, reduced and scaled to length 1."""
    blocks = [chosen[at : at + BLOCK] for at in range(0, len(chosen), BLOCK)]
    size = embeddings.shape[1]
    centre = embeddings[blocks[0]].astype(np.float64).mean(0)
    sums, squares = np.zeros(size), np.zeros(size)
    for rows in blocks:
        difference = embeddings[rows] - centre
        sums += difference.sum(0)
        squares += np.square(difference, out=difference).sum(0)
    mean = sums / len(chosen)
    deviation = np.sqrt(np.maximum(squares / len(chosen) - np.square(mean), 0)).astype(np.float32)
    mean = (centre + mean).astype(np.float32)
    projection = None
    if size > DIRECTIONS:
        projection = np.random.default_rng(0).standard_normal((size, DIRECTIONS), np.float32)
    x = np.empty((len(chosen), min(size, DIRECTIONS)), np.float32)
    for number, rows in enumerate(blocks):
        standard = (embeddings[rows].astype(np.float32) - mean) / (deviation + 1e-6)
        at = slice(number * BLOCK, number * BLOCK + len(rows))
        x[at] = standard if projection is None else standard @ projection
        x[at] /= np.linalg.norm(x[at], axis=1, keepdims=True) + 1e-9
    return x
