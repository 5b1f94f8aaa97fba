"""Curves of fine-tuning for TensorBoard, besides whatever else looks on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from earmark.finetuning.scope import package
from earmark.finetuning.setup import Observer


class Board:
    """Writes the figures of each run into a folder of its own, and passes them on to ``other``."""

    def __init__(self, folder: Path, other: Observer | None) -> None:
        package("tensorboard")
        self.make = package("torch.utils.tensorboard").SummaryWriter
        self.folder, self.other = folder, other
        self.run, self.step = "", 0
        self.writer: Any = None

    def advance(self, run: str, figures: Mapping[str, float]) -> None:
        if run != self.run:
            self.close()
            self.run, self.step = run, 0
            self.writer = self.make(str(self.folder / run.replace(", ", "-").replace(" ", "-")))
        self.step += 1
        for name in ("loss", "validation", "clips_per_s"):
            self.writer.add_scalar(name, figures[name], self.step)
        if self.other is not None:
            self.other.advance(run, figures)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


@contextlib.contextmanager
def watched(folder: Path | None, other: Observer | None) -> Iterator[Observer | None]:
    """Yield an observer that writes into ``folder``; without one, ``other``."""
    if folder is None:
        yield other
        return
    writer = Board(folder, other)
    try:
        yield writer
    finally:
        writer.close()
