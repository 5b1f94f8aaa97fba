"""How work reports its progress: protocols for a terminal, a notebook or a web page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

ByteProgress = Callable[[int, int], None]  # bytes here so far, bytes in all
Step = Callable[[], None]  # called whenever a step is done


class Progress(Protocol):
    """Follows work through its stages; work of one stage only advances.

    ``stage`` begins a stage of so many steps; a step is often a clip. ``advance`` tells that a step
    is done, and how many seconds of audio were in it. It may be called from several threads.
    """

    def stage(self, name: str, steps: int) -> None: ...
    def advance(self, seconds: float = 0.0) -> None: ...


class Observer(Protocol):
    """Follows a fine-tuning: receives the name of each run and its figures so far."""

    def advance(self, run: str, figures: Mapping[str, float]) -> None: ...


class Stages:
    """Names the stages of a job to a ``progress`` and keeps the ``seconds`` that each took.

    A progress of earmark 0.1 has no ``stage``: it counts embedded clips and is told nothing else.
    ``staged`` is a progress that has stages, or None.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress
        self.staged = progress if hasattr(progress, "stage") else None
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def stage(self, name: str, steps: int, what: str | None = None) -> Iterator[Step]:
        """Time a stage under ``name``, tell that it is ``what``, and yield what counts its steps.

        Seconds of stages of one name are added up.
        """
        begun = time.perf_counter()
        if self.staged is None:
            yield no_step
        else:
            self.staged.stage(what or name, steps)
            yield self.staged.advance
        now = time.perf_counter()
        self.seconds.pop("total", None)  # it stands last
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - begun, 3)
        self.seconds["total"] = round(now - self._start, 3)


def no_step() -> None:
    """Count a step that nobody follows."""
