"""The windows of an archive that a sample is drawn from, with their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from earmark.classifier.classifier import Classifier
from earmark.embeddings.archive import NUMBER_BITS, Archive, ArchiveRecording
from earmark.errors import DataError
from earmark.labelling.strata import steps_of
from earmark.labelling.window_scores import ScoredWindows, class_number


@dataclass(frozen=True)
class Frame:
    """The windows that a sample is drawn from: N that do not overlap, by content and number."""

    contents: np.ndarray
    numbers: np.ndarray
    scores: np.ndarray  # log-odds of the class
    recordings: Mapping[int, ArchiveRecording]  # of each content, one that is there
    window_s: float
    hop_s: float
    network: str

    @classmethod
    def of(
        cls,
        archive: Archive,
        classifier: Classifier,
        label: str,
        last_content: int | None = None,
        grid: tuple[float, float] | None = None,
    ) -> Frame:
        """Score the windows of recordings that are there; later contents than the last are not.

        Raises ModelError if the classifier does not fit, and DataError if there is no window.
        """
        class_number(classifier, label)
        scored = ScoredWindows.of(archive, classifier, grid)
        windows, network = scored.windows, scored.windows.network
        there = {
            content: own[0]
            for content, own in windows.recordings.items()
            if not own[0].is_gone and (last_content is None or content <= last_content)
        }
        step = steps_of(network.window_s, network.hop_s)
        keep = windows.numbers[scored.rows] % step == 0
        keep &= np.isin(windows.contents[scored.rows], np.array(sorted(there), np.int64))
        scored = scored.only(keep)
        if not len(scored.rows):
            raise DataError(
                f"the archive {archive.path} has no window to draw. Run `earmark index` on"
                " recordings that are there."
            )
        order = np.lexsort((windows.numbers[scored.rows], windows.contents[scored.rows]))
        rows, scores = scored.rows[order], scored.log_odds(label)[order]
        return cls(
            windows.contents[rows], windows.numbers[rows], scores, there, network.window_s,
            network.hop_s, network.fingerprint,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def step(self) -> int:
        """How many hops lie between the starts of two windows."""
        return steps_of(self.window_s, self.hop_s)

    def hours(self, count: int) -> float:
        """Return the hours that so many windows stand for."""
        return count * self.step * self.hop_s / 3600

    def before(self, rows: np.ndarray) -> np.ndarray:
        """Return the row of the window just before each of ``rows`` (n,); -1 if there is none."""
        near = np.maximum(rows - 1, 0)
        is_before = (rows > 0) & (self.contents[near] == self.contents[rows])
        is_before &= self.numbers[near] + self.step == self.numbers[rows]
        previous: np.ndarray = np.where(is_before, near, -1)
        return previous

    def rows_of(self, drawn: Sequence[tuple[int, int]]) -> np.ndarray:
        """Return the row of each content and number, (n,); -1 for those that are not here."""
        keys, wanted = _keys(self.contents, self.numbers), _keys(*_columns(drawn))
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        rows: np.ndarray = np.where(keys[places] == wanted, places, -1)
        return rows


def _columns(drawn: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array(drawn, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _keys(contents: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    keys: np.ndarray = (contents << NUMBER_BITS) + numbers
    return keys
