"""A survey of clips: how many there are, how long they are by their rows, and a sample of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from earmark.data.clip import Clip

ARCHIVED_RUN = 25  # rows of a run if recordings are in archives, which are read from their start


@dataclass(frozen=True)
class Survey:
    """What the rows of clips say, without reading a recording.

    Attributes
    ----------
    n_clips : int
        The number of all clips.
    n_timed : int
        Clips with an end, so that their rows say how long they are.
    timed_s : float
        Seconds of those.
    sample : tuple of Clip
        Clips from runs of rows that are spread over all rows. The runs are in random order.
    run : int
        Rows in a run; the last one of the table may have fewer.
    """

    n_clips: int
    n_timed: int
    timed_s: float
    sample: tuple[Clip, ...]
    run: int = 1


def choose_rows(n_rows: int, most: int, seed: int, run: int = 1) -> list[int]:
    """Return the numbers of about ``most`` rows, in order: a run of each of equal shares of all."""
    if n_rows <= most:
        return list(range(n_rows))
    count, chance = most // run, random.Random(seed)
    ends = [k * n_rows // count for k in range(count + 1)]
    starts = [chance.randint(first, end - run) for first, end in itertools.pairwise(ends)]
    return [start + k for start in starts for k in range(run)]


def shuffled(sample: Sequence[Clip], seed: int, run: int = 1) -> tuple[Clip, ...]:
    """Return a sample with its runs in random order, so that a beginning of it is a sample, too."""
    runs = [sample[at : at + run] for at in range(0, len(sample), run)]
    return tuple(clip for clips in random.Random(seed).sample(runs, len(runs)) for clip in clips)


def survey_of(clips: Sequence[Clip], most: int, seed: int) -> Survey:
    """Return the survey of clips that are in memory."""
    n_timed, timed_s = add_up((clip.start, clip.end) for clip in clips)
    sample = [clips[row] for row in choose_rows(len(clips), most, seed)]
    return Survey(len(clips), n_timed, timed_s, shuffled(sample, seed))


def add_up(stretches: Iterable[tuple[float | None, float | None]]) -> tuple[int, float]:
    """Return how many stretches have an end, and their seconds."""
    n_timed, timed_s = 0, 0.0
    for start, end in stretches:
        if end is not None:
            n_timed, timed_s = n_timed + 1, timed_s + end - (start or 0.0)
    return n_timed, timed_s
