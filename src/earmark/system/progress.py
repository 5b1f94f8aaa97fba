"""Who is told how work goes on: protocols, which a terminal, a notebook or a page may meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

ByteProgress = Callable[[int, int], None]  # bytes here so far, bytes in all


class Progress(Protocol):
    """Is told of each finished clip and of the seconds of audio in it."""

    def advance(self, seconds: float) -> None: ...


class Observer(Protocol):
    """Is told how a fine-tuning goes on: the name of the run, and its figures so far."""

    def advance(self, run: str, figures: Mapping[str, float]) -> None: ...
