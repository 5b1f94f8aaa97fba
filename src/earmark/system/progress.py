"""How work reports its progress: protocols for a terminal, a notebook or a web page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

ByteProgress = Callable[[int, int], None]  # bytes here so far, bytes in all


class Progress(Protocol):
    """Counts finished clips and the seconds of audio in them."""

    def advance(self, seconds: float) -> None: ...


class Observer(Protocol):
    """Follows a fine-tuning: receives the name of each run and its figures so far."""

    def advance(self, run: str, figures: Mapping[str, float]) -> None: ...
