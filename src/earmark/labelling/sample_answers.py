"""The answers in the table of a sample, matched to the windows that were drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.labelling.decisions import Decision
from earmark.labelling.density_sample import SampleSettings

MOST_NAMED = 3  # rows in a note


@dataclass(frozen=True)
class Answers:
    """The answers of a sample.

    Attributes
    ----------
    verdicts : dict of int to bool
        Whether the class is there, by row of the frame.
    skipped : int
        How many windows that were drawn have no answer that counts.
    notes : tuple of str
        Rows that were left out, and why.
    """

    verdicts: dict[int, bool]
    skipped: int
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        decisions: Iterable[Decision],
        settings: SampleSettings,
        rows: np.ndarray,
    ) -> Answers:
        """Match the rows of a table to windows; ``rows`` (n,) are their rows of the frame or -1."""
        row_of = dict(zip(settings.drawn, rows.tolist(), strict=True))
        found: dict[tuple[int, int], set[bool]] = {}
        strange, gone, by_key = list[int](), list[int](), dict[tuple[int, int], list[int]]()
        for decision in decisions:
            key = _key(decision, settings.recordings.get(decision.place), settings)
            if key is None or key not in row_of or decision.suggested != settings.label:
                strange.append(decision.row)
                continue
            verdict = decision.about(settings.label)
            if verdict is None:
                continue
            if row_of[key] < 0:
                gone.append(decision.row)
                continue
            by_key.setdefault(key, []).append(decision.row)
            found.setdefault(key, set()).add(verdict)
        contradicting = [key for key, verdicts in found.items() if len(verdicts) > 1]
        verdicts = {row_of[key]: min(own) for key, own in found.items() if len(own) == 1}
        notes = [
            *_note("were not drawn, or ask for another class", strange),
            *_note("are of a recording that is gone or has changed", gone),
            *_note("contradict each other", [n for key in contradicting for n in by_key[key]]),
        ]
        skipped = len(settings.drawn) - len(verdicts)
        return cls(verdicts, skipped, tuple(notes))


def _key(
    decision: Decision, content: int | None, settings: SampleSettings
) -> tuple[int, int] | None:
    """Return content and number of the window of a decision; None if it is no window."""
    if content is None or decision.start is None:
        return None
    return content, round(decision.start / settings.hop_s)


def _note(why: str, rows: Sequence[int]) -> list[str]:
    if not rows:
        return []
    left = len(rows) - MOST_NAMED
    first = ", ".join(map(str, rows[:MOST_NAMED])) + (f" and {left:,} more" if left > 0 else "")
    return [f"left out, because they {why}: row{'s' * (len(rows) > 1)} {first}"]
