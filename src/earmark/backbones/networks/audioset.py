"""Backbones that still predict the classes of AudioSet, and the names of these classes.

``audioset_527.txt`` has one name per line, in the order of ``class_labels_indices.csv`` of AudioSet
(Gemmeke et al. 2017, research.google.com/audioset, CC BY 4.0). Networks trained on all its classes
have their 527 outputs in this order.
"""

from __future__ import annotations

from importlib.resources import files

from torch import Tensor

from earmark.backbones.base import Backbone


class Tagger(Backbone):
    """A backbone that still has the classifier it was trained with."""

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the K classes, in the order of :meth:`class_scores`."""
        raise NotImplementedError

    def class_scores(self, windows: Tensor, valid: Tensor) -> Tensor:
        """Return the score of each class in each window, (B, K) float32 in 0..1.

        Arguments are those of :meth:`forward`. Classes are scored independently, so the scores of a
        window do not add up to 1.
        """
        raise NotImplementedError


def audioset_names() -> tuple[str, ...]:
    """Return the names of AudioSet's 527 classes, in AudioSet's order."""
    return tuple(files(__package__).joinpath("audioset_527.txt").read_text("utf-8").splitlines())
