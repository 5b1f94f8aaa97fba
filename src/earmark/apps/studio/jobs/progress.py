"""Read the progress of a job from its file, in words and with the time that is left."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earmark.system.files import open_file

MOST_BYTES = 1 << 20  # that are read at a time
MOST_LINE = 10_000  # bytes; longer lines were not written by earmark
MOST_STAGES = 1_000
LEAST_S, LEAST_SHARE = 1.0, 0.05  # of a stage before its end is guessed

STARTING, LISTENING = "Starting", "Listening to the recordings"
CHOOSING, FITTING = "Choosing what works best", "Fitting the classifier"
COMPARING, FEWER = "Comparing with simple methods", "Trying with fewer recordings"
COPIES, UNKNOWN, TUNING = "Looking for copies", "Learning what is unknown", "Fine-tuning"
SCENES, RULES = "Listening to scenes", "Choosing windows and rules"
TESTING, READING = "Testing on other scenes", "Reading the recordings"
DOWNLOADING = "Downloading"

# Beginnings of the stages' names as commands write them.
_WORDS = {
    "starting": STARTING,
    "embedding scenes": SCENES,
    "embedding with": LISTENING,
    "choosing layers": CHOOSING,
    "choosing windows": RULES,
    "fitting": FITTING,
    "baseline": COMPARING,
    "learning curve": FEWER,
    "looking for near copies": COPIES,
    "unknown threshold": UNKNOWN,
    "estimating events": TESTING,
    "indexing": LISTENING,
    "reading": READING,
}
# What each stage takes of the whole, in percent: the mean of trainings on 400 words of half a
# second and on 400 sounds of 5 s, on two cores.
_SHARES = {LISTENING: 32, CHOOSING: 27, FITTING: 1, COMPARING: 26, FEWER: 2, COPIES: 9, UNKNOWN: 3}
_SHARES |= {TUNING: 1_000, READING: 40, SCENES: 60, RULES: 30, TESTING: 5}


def planned(kind: str, choices: Mapping[str, Any]) -> list[str]:
    """Return the stages that a job is likely to have, in their order."""
    if kind == "train" and choices.get("detector"):
        return [READING, SCENES, RULES, FITTING, TESTING]
    if kind == "train":
        compared = [] if choices.get("no_compare") else [COMPARING, FEWER]
        tuned = [TUNING] if "finetune" in choices else []
        unknown = [UNKNOWN] if choices.get("unknown", not tuned) else []
        return [LISTENING, CHOOSING, FITTING, *compared, COPIES, *unknown, *tuned]
    if kind == "review":
        return [LISTENING, CHOOSING, FITTING, COPIES]
    if kind == "index":
        return [LISTENING]
    return [READING] if kind in ("doctor", "fix") else []


@dataclass
class Stage:
    """A stage of a job: its ``name`` for people, steps, and the clock times of its lines."""

    name: str
    begun_at: float
    at: float
    done: float = 0.0
    steps: float = 0.0
    left_s: float | None = None

    @property
    def share(self) -> float:
        """How much is done, 0 to 1; 0 if steps are not counted."""
        return min(1.0, self.done / self.steps) if self.steps else 0.0


class ProgressReader:
    """Follows the file that ``EARMARK_PROGRESS`` named for a job."""

    def __init__(self, path: Path) -> None:
        self.path, self._read = path, 0
        self._stages: dict[int, Stage] = {}

    def read(self) -> bool:
        """Read what is new; return whether there was something. A missing file is no progress."""
        try:
            with open_file(self.path) as file:
                file.seek(self._read)
                block = file.read(MOST_BYTES)
        except OSError:
            return False
        whole, end, rest = block.rpartition(b"\n")
        if not end and len(rest) > MOST_LINE:
            self._read += len(rest)
        if not end:
            return False
        self._read += len(whole) + 1
        for line in whole.split(b"\n"):
            if len(line) <= MOST_LINE:
                self._take(line)
        return True

    def _take(self, line: bytes) -> None:
        """Take a line into account; one that is no progress is passed over."""
        try:
            value = json.loads(line)
            number, at = int(value["number"]), float(value["at"])
            done, steps = float(value["done"]), float(value["steps"])
            left_s = None if value.get("left_s") is None else float(value["left_s"])
            name, unit = str(value["stage"]), str(value.get("unit"))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return
        if number not in self._stages:
            if len(self._stages) >= MOST_STAGES:
                return
            self._stages[number] = Stage(_in_words(name, unit), at, at)
        stage = self._stages[number]
        stage.at, stage.done, stage.steps, stage.left_s = at, done, steps, left_s

    def stages(self) -> list[Stage]:
        """Return the stages so far; neighbours of one name are one, with the sum of their steps."""
        joined: list[Stage] = []
        for stage in self._stages.values():
            if joined and joined[-1].name == stage.name:
                last = joined[-1]
                last.done, last.steps = last.done + stage.done, last.steps + stage.steps
                last.at, last.left_s = stage.at, stage.left_s
            else:
                joined.append(Stage(**vars(stage)))
        return joined


def _in_words(name: str, unit: str) -> str:
    if unit == "bytes":
        return DOWNLOADING
    words = (words for start, words in _WORDS.items() if name.startswith(start))
    return next(words, TUNING)


def listed(stages: Sequence[Stage], plan: Sequence[str], *, is_over: bool) -> list[dict[str, Any]]:
    """Return stages for the page: those so far and, while the job runs, those to come."""
    seen = [stage for stage in stages if stage.name != STARTING]
    rows: list[dict[str, Any]] = []
    for number, stage in enumerate(seen):
        following = seen[number + 1].begun_at if number + 1 < len(seen) else stage.at
        seconds = max(0.0, following - stage.begun_at)
        rows.append(_row(stage.name, stage.steps, stage.done, seconds))
    return rows if is_over else rows + [_row(name, 0, 0, 0) for name in _to_come(seen, plan)]


def _row(name: str, steps: float, done: float, seconds: float) -> dict[str, Any]:
    return {"name": name, "steps": steps, "done": done, "seconds": round(seconds, 1)}


def _to_come(seen: Sequence[Stage], plan: Sequence[str]) -> list[str]:
    """Return what follows the latest stage of the plan that has begun."""
    names = {stage.name for stage in seen}
    begun = max((number for number, name in enumerate(plan) if name in names), default=-1)
    return list(plan[begun + 1 :])


def left_s(stages: Sequence[Stage], plan: Sequence[str], now: float) -> float | None:
    """Return the seconds that the rest is likely to take; None while that cannot be guessed."""
    seen = [stage for stage in stages if stage.name != STARTING]
    if not seen:
        return None
    last = seen[-1]
    here_s, past_s = max(now, last.at) - last.begun_at, last.begun_at - seen[0].begun_at
    past = sum(_SHARES.get(stage.name, 0) for stage in seen[:-1])
    if last.left_s is not None:
        rest_s = last.left_s
    elif here_s >= LEAST_S and last.share >= LEAST_SHARE:
        rest_s = here_s * (1 - last.share) / last.share
    elif past and past_s >= LEAST_S:
        rest_s = max(0.0, past_s * _SHARES.get(last.name, 0) / past - here_s)
    else:
        return None
    past += _SHARES.get(last.name, 0)  # whole: its rest is in rest_s
    whole_s = past_s + here_s + rest_s
    to_come = sum(_SHARES.get(name, 0) for name in _to_come(seen, plan))
    return round(rest_s + (whole_s * to_come / past if past else 0.0))
