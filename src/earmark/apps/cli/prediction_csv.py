"""Predictions as rows of CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.apps.cli.text import STRETCH, stretch_cells
from earmark.system.files import write_whole
from earmark.system.text import to_bytes, to_csv

if TYPE_CHECKING:
    from earmark.classifier.prediction import Prediction


@dataclass(frozen=True)
class PredictionCsv:
    """The columns: with plausible classes, stretches, and the scores of ``labels``."""

    has_plausible: bool = False
    has_stretches: bool = False
    labels: Sequence[str] = ()

    @property
    def header(self) -> list[str]:
        """The names of the columns."""
        names = ["path", "label", "score", "error", *(["plausible"] if self.has_plausible else [])]
        names += STRETCH if self.has_stretches else []
        return [*names, *(f"score_{label}" for label in self.labels)]

    def row(self, p: Prediction) -> list[str]:
        """Return the cells of a prediction."""
        from earmark.data.clip import LIST_SEPARATOR

        row = [p.path, p.answer, f"{p.score:.6f}" if p.error is None else "", p.error or ""]
        if self.has_plausible:
            row.append(LIST_SEPARATOR.join(p.plausible or ()))
        if self.has_stretches:
            row += stretch_cells(p)
        return row + [f"{p.scores[label]:.6f}" if p.scores else "" for label in self.labels]

    def write(self, path: Path, predictions: Iterable[Prediction]) -> None:
        """Write a file, whole or not at all; one prediction is in memory at a time."""

        def lines() -> Iterator[bytes]:
            yield to_bytes(to_csv([self.header]))
            for prediction in predictions:
                yield to_bytes(to_csv([self.row(prediction)]))

        write_whole(path, lines())
