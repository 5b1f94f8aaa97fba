"""A survey of clips: how many there are, how long they are by their rows, and a sample of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from earmark.data.clip import Clip


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
        Clips that are spread over all rows, in random order.
    """

    n_clips: int
    n_timed: int
    timed_s: float
    sample: tuple[Clip, ...]


def choose_rows(n_rows: int, most: int, seed: int) -> list[int]:
    """Return the numbers of at most ``most`` rows, in order: one of each of as many equal runs."""
    count = min(n_rows, most)
    chance = random.Random(seed)
    return [int((k + chance.random()) * n_rows / count) for k in range(count)]


def shuffled(sample: Sequence[Clip], seed: int) -> tuple[Clip, ...]:
    """Return a sample in random order, so that a beginning of it is a sample, too."""
    return tuple(random.Random(seed).sample(list(sample), len(sample)))


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
