"""Events made at random: true ones, and answers that are near them, of another class, or new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from earmark.data.event import Event, RecordingEvents

LABELS = ("bird", "dog", "rain")
Regions = Sequence[tuple[tuple[float, float], ...] | None]


def recordings(
    several: Iterable[Sequence[Event]], seconds: float = 60.0, regions: Regions | None = None
) -> list[RecordingEvents]:
    """Return a recording named '0.wav', '1.wav' ... for each list of events."""
    several = list(several)
    stretches = regions or [None] * len(several)
    return [
        RecordingEvents(f"{i}.wav", seconds, tuple(sorted(events)), own)
        for i, (events, own) in enumerate(zip(several, stretches, strict=True))
    ]


def draw_events(
    seed: int, n_recordings: int = 3, most: int = 25, seconds: float = 20.0
) -> tuple[list[list[Event]], list[list[Event]]]:
    """Return true events and answers of some recordings; many overlap, and some lists are empty.

    Times are multiples of 0.1 ms, so no error is a collar by chance but many are near it.
    """
    rng = np.random.default_rng(seed)
    truth, answers = [], []
    for _ in range(n_recordings):
        n = int(rng.integers(0, most + 1))
        start, length = rng.uniform(0.5, seconds - 3, n), rng.uniform(0.05, 2.0, n)
        label = rng.integers(0, len(LABELS), n)
        truth.append(_events(start, start + length, label, np.ones(n)))
        rows = np.concatenate([np.flatnonzero(rng.random(n) < share) for share in (0.8, 0.3)])
        shift = rng.normal(0, 0.15, (2, len(rows)))
        other = np.where(rng.random(len(rows)) < 0.1, (label[rows] + 1) % 3, label[rows])
        near_start = np.maximum(start[rows] + shift[0], 0)
        near_end = np.maximum((start + length)[rows] + shift[1], near_start + 0.02)
        score = np.round(rng.random(len(rows)), 1)  # many are equal
        answers.append(_events(near_start, near_end, other, score))
    return truth, answers


def _events(
    start: np.ndarray, end: np.ndarray, label: np.ndarray, score: np.ndarray
) -> list[Event]:
    rows = zip(start.round(4), end.round(4), label, score, strict=True)
    return sorted(Event(float(a), float(b), LABELS[k], float(s)) for a, b, k, s in rows)
