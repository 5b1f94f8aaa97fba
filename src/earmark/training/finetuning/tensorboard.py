"""Write curves of fine-tuning for TensorBoard."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.errors import EarmarkError, EarmarkWarning
from earmark.system import extras
from earmark.system.progress import Observer

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Writes the figures of each run into its own folder, and passes them on to ``other``.

    Steps are thousandths of an epoch. If the disk is full, it warns once and stops writing.
    EarmarkError if ``folder`` cannot be made.
    """

    def __init__(self, folder: Path, other: Observer | None) -> None:
        extras.load("tensorboard", "tensorboard", "--tensorboard")
        self.make = extras.load(
            "torch.utils.tensorboard", "tensorboard", "--tensorboard"
        ).SummaryWriter
        self.folder, self.other, self.run, self.is_full = folder, other, "", False
        self.writer: SummaryWriter | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EarmarkError(
                f"{folder} cannot be a folder for TensorBoard ({error.strerror}). Give another."
            ) from error

    def advance(self, run: str, figures: Mapping[str, float]) -> None:
        """Write the figures of a step of a run."""
        if not self.is_full:
            try:
                self._write(run, figures)
            except OSError as error:
                self.is_full = True
                warnings.warn(
                    f"curves cannot be written to {self.folder} ({error}); training continues"
                    " without them.",
                    EarmarkWarning,
                    stacklevel=2,
                )
        if self.other is not None:
            self.other.advance(run, figures)

    def _write(self, run: str, figures: Mapping[str, float]) -> None:
        if self.writer is None or run != self.run:
            self.close()
            self.run = run
            self.writer = self.make(str(self.folder / run.replace(", ", "-").replace(" ", "-")))
        for name in ("loss", "validation", "clips_per_s"):
            self.writer.add_scalar(name, figures[name], round(1000 * figures["epoch"]))

    def close(self) -> None:
        """Write out what is pending and close the files."""
        if self.writer is not None and not self.is_full:
            with contextlib.suppress(OSError):
                self.writer.close()


@contextlib.contextmanager
def watched(folder: Path | None, other: Observer | None) -> Iterator[Observer | None]:
    """Yield an observer that writes into ``folder`` and informs ``other``; no folder: ``other``."""
    if folder is None:
        yield other
        return
    with contextlib.closing(Board(folder, other)) as board:
        yield board
