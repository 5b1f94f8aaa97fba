"""Protocols for reporting progress to a terminal, a notebook or a web page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

ByteProgress = Callable[[int, int], None]  # bytes so far, total bytes
Step = Callable[[], None]  # called after each step


class Progress(Protocol):
    """Follows work through its stages.

    ``stage`` begins a stage with a number of ``steps``, often clips; work with a single stage never
    calls it. ``advance`` reports that a step is done, and how many seconds of audio it had; it may
    be called from several threads.
    """

    def stage(self, name: str, steps: int) -> None: ...
    def advance(self, seconds: float = 0.0) -> None: ...


class Observer(Protocol):
    """Follows a fine-tuning: receives the name of each run and its latest figures."""

    def advance(self, run: str, figures: Mapping[str, float]) -> None: ...


class Stages:
    """Reports the stages of a job to a ``progress`` and keeps the ``seconds`` that each took.

    ``staged`` is the progress if it has stages, else None. A progress for earmark 0.1 has no
    ``stage``: it only counts embedded clips.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress
        self.staged = progress if hasattr(progress, "stage") else None
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def stage(self, name: str, steps: int, what: str | None = None) -> Iterator[Step]:
        """Time a stage as ``name``, report it as ``what``, and yield a function that counts steps.

        The seconds of stages with the same name are added up.
        """
        start = time.perf_counter()
        if self.staged is None:
            yield no_step
        else:
            self.staged.stage(what or name, steps)
            yield self.staged.advance
        now = time.perf_counter()
        self.seconds.pop("total", None)  # to keep it the last key
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - start, 3)
        self.seconds["total"] = round(now - self._start, 3)


def no_step() -> None:
    """Do nothing; used where no progress follows the steps."""
