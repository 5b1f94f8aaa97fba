"""Near copies that embeddings point to: what training can notice with little listening.

The pairs whose embeddings are most alike are compared as the doctor compares, by the phases of
their waveforms. So what is told is certain; `earmark doctor`, which compares more, may find more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor import copies, near_duplicates
from earmark.data.doctor.facts import Spectra
from earmark.data.doctor.findings import Finding, Item, Names
from earmark.data.doctor.near_duplicates import Sketch, Waveform
from earmark.data.doctor.recordings import SILENT_PEAK
from earmark.errors import AudioError, amount

NEAREST = 5  # of each clip; 98 % of copies that are softer, filtered, encoded or trimmed are there
LEAST_NEAREST, ENOUGH = 2, 4_000  # of many clips fewer, lest training takes a fifth longer
MOST_S = 10_000  # seconds of audio that are decoded once more, of the pairs most alike
DIRECTIONS = 1_024  # random ones to which longer embeddings are reduced
MOST_CLIPS = 30_000  # the time to compare all with all grows with the square
BATCH = 64  # pairs that one thread compares in one go
BLOCK = 1_024  # rows of the matrix of cosines at a time


def find(
    dataset: Dataset,
    clips: Sequence[Clip],
    content: np.ndarray,
    embeddings: np.ndarray,
    seconds: float,
) -> list[copies.Copied]:
    """Return near copies among the first of ``clips`` (N) of each ``content`` (N,).

    ``seconds`` is the mean length of a clip.
    """
    first = np.sort(np.unique(content, return_index=True)[1])
    if not 2 <= len(first) <= MOST_CLIPS:
        return []
    numbers = first[_alike(embeddings[first], int(MOST_S / max(seconds, 0.01)))]
    used, places = np.unique(numbers, return_inverse=True)
    likely = [clips[i] for i in used.tolist()]
    waveform = copies.waveforms(likely, dataset.audio)
    with ThreadPoolExecutor() as pool:
        drawn = pool.map(functools.partial(_sketch, waveform), range(len(likely)))
        sketches = {number: sketch for number, sketch in enumerate(drawn) if sketch is not None}
        pairs = [pair for pair in places.reshape(-1, 2).tolist() if set(pair) <= set(sketches)]
        batches = [np.array(pairs[at : at + BATCH]) for at in range(0, len(pairs), BATCH)]
        compare = functools.partial(near_duplicates.compare, sketches, waveform)
        same = [pair for some in pool.map(compare, batches) for pair in some]
    return copies.between(likely, same)


def _sketch(waveform: Callable[[int], Waveform], number: int) -> Sketch | None:
    """Return the sketch of a clip's beginning; None of what is silent, short or gone meanwhile."""
    try:
        x = waveform(number)
    except AudioError:
        return None
    if len(x) < near_duplicates.LEAST_OVERLAP or np.ptp(x) < 2 * SILENT_PEAK:
        return None
    spectra = Spectra(near_duplicates.RATE_HZ)
    spectra.add(x)
    return near_duplicates.sketch(spectra.finish()[1])


def check(
    dataset: Dataset, clips: Sequence[Clip], pairs: Sequence[copies.Copied], fold: np.ndarray
) -> Iterator[Finding]:
    """Yield the findings about near copies: those in several folds, and others in no one group."""
    fold_of = dict(zip(clips, fold.tolist(), strict=True))
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


def _alike(embeddings: np.ndarray, most_rows: int) -> np.ndarray:
    """Return (P, 2): the pairs of rows that are most alike, of no more than ``most_rows``."""
    x = embeddings.astype(np.float32)
    x -= x.mean(0)
    x /= x.std(0) + 1e-6
    size = x.shape[1]
    if size > DIRECTIONS:
        generator = np.random.default_rng(0)
        x = x @ generator.standard_normal((size, DIRECTIONS), np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True) + 1e-9
    most = min(max(LEAST_NEAREST, min(NEAREST, ENOUGH // len(x))), len(x) - 1)
    pairs: dict[tuple[int, int], float] = {}
    for at in range(0, len(x), BLOCK):
        cosine = x[at : at + BLOCK] @ x.T
        own = np.arange(len(cosine))
        cosine[own, own + at] = -1
        near = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        for row, column in zip(np.repeat(own, most).tolist(), near.ravel().tolist(), strict=True):
            pair = (min(row + at, column), max(row + at, column))
            pairs[pair] = float(cosine[row, column])
    best, rows = [], set[int]()
    for pair in sorted(pairs, key=lambda pair: (-pairs[pair], pair)):
        more = set(pair) - rows
        if len(rows) + len(more) <= most_rows:
            rows |= more
            best.append(pair)
    return np.array(sorted(best), np.int64).reshape(-1, 2)
