"""How good a classifier is, as far as its training could tell."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

Figures = Mapping[str, Any]  # what JSON holds of one fold, class, baseline or point of a curve

VERDICTS = USE, CARE, WORTHLESS = "use", "care", "worthless"  # the words of a verdict

HEADLINES = ("accuracy", "balanced_accuracy", "macro_f1")

_JSON_NAMES = {  # where they differ from those of the attributes
    "interval": "ci95",
    "calibration_error": "ece",
    "calibration_error_expected": "ece_expected",
    "calibration_error_debiased": "ece_debiased",
    "n_clips": "clips",
    "mean_average_precision": "map",
}


@dataclass(frozen=True)
class Estimate:
    """Figures of clips that each were scored by a model that had not seen the clip's fold.

    Attributes
    ----------
    scheme : str
        How the clips were parted: '5 given folds', 'leave one of 6 groups out', ...
    accuracy, interval : float, (float, float)
        The share of clips classified correctly, and its 95 % interval. For clips with several
        classes it is the label-ranking average precision.
    macro_f1, balanced_accuracy, mean_average_precision, calibration_error : float
        The second is None for clips with several classes, the third for clips with one.
    calibration_error_expected, calibration_error_debiased : float
        The calibration error that exactly right scores would show on these clips, on average, and
        an estimate of what it is without that bias. None in files of 0.1.
    chance : float
        The accuracy of always giving the same answer.
    headline : dict
        The figure to go by: its 'name', 'value', 95 % interval 'ci95', and the 'chance' of guessing
        it. The name is 'accuracy'; of unequal classes 'balanced_accuracy'; of clips with several
        classes 'macro_f1'. None in files of 0.1.
    verdict : dict
        The 'word', 'use', 'care' or 'worthless', and 'why', a sentence; None in files of 0.1.
    n_clips : int
        How many clips were tested.
    folds, classes : tuple of dict
        Figures of each fold and of each class.
    baselines, learning_curve, unknown, fine_tuning
        What they are held against, how they grow with the clips, and what the threshold of
        'unknown' and fine-tuning came to; None where that was not asked for.
    answered_unknown : int
        How many clips of an evaluation would be answered 'unknown'; None where none could be.

    Examples
    --------
    >>> import earmark
    >>> estimate = earmark.load("mine.earmark").estimate
    >>> estimate.accuracy, estimate.interval
    (1.0, (0.73..., 1.0))
    """

    scheme: str
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    calibration_error: float
    chance: float
    n_clips: int
    folds: tuple[Figures, ...]
    classes: tuple[Figures, ...]
    balanced_accuracy: float | None = None
    mean_average_precision: float | None = None
    baselines: tuple[Figures, ...] | None = None
    learning_curve: tuple[Figures, ...] | None = None
    unknown: Figures | None = None
    fine_tuning: Figures | None = None
    answered_unknown: int | None = None
    headline: Figures | None = None
    verdict: Figures | None = None
    calibration_error_expected: float | None = None
    calibration_error_debiased: float | None = None

    @property
    def is_worthless(self) -> bool:
        """Whether the verdict says so; of files of 0.1, whether no figure is above guessing."""
        if self.verdict is None:
            classes = max(1, sum(row["n"] > 0 for row in self.classes))
            return self.accuracy <= self.chance and (self.balanced_accuracy or 0) <= 1 / classes
        return bool(self.verdict["word"] == WORTHLESS)

    @property
    def warning(self) -> str | None:
        """What whoever uses a worthless classifier has to know, in a sentence; else None."""
        if not self.is_worthless:
            return None
        guess = f"accuracy is {self.accuracy:.3f}; guessing gives {self.chance:.3f}."
        why = self.verdict["why"] if self.verdict else guess
        return f"the verdict on it is {WORTHLESS!r}: {why}"

    def to_dict(self) -> dict[str, Any]:
        """Return what the classifier's file and ``--json`` have of it."""
        values = {_JSON_NAMES.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def from_dict(cls, saved: Figures) -> Estimate:
        """Return the estimate that :meth:`to_dict` wrote; KeyError where a figure is missing."""
        names = {f.name: _JSON_NAMES.get(f.name, f.name) for f in fields(cls)}
        required = [f.name for f in fields(cls) if f.default is not None]
        values = {
            name: saved[json_name]
            for name, json_name in names.items()
            if json_name in saved or name in required
        }
        tuples = {name: tuple(v) for name, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **tuples})

    def __getitem__(self, name: str) -> Any:
        warnings.warn(
            "an estimate is an object now: estimate.accuracy, or estimate.to_dict(); estimate[...]"
            " works until 0.3.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.to_dict()[name]

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Estimate(accuracy={self.accuracy:.3f}, interval=({low:.3f}, {high:.3f}),"
            f" n_clips={self.n_clips}, scheme={self.scheme!r}{', worthless' * self.is_worthless})"
        )
