"""The estimate of how good a classifier is, from cross-validation on its training data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

Figures = Mapping[str, Any]  # the JSON of one fold, class, baseline or point of a curve

VERDICTS = USE, CARE, WORTHLESS = "use", "care", "worthless"  # the words of a verdict

HEADLINES = ("accuracy", "balanced_accuracy", "macro_f1")

_JSON_NAMES = {  # of attributes that have another name in JSON
    "interval": "ci95",
    "calibration_error": "ece",
    "calibration_error_expected": "ece_expected",
    "calibration_error_debiased": "ece_debiased",
    "n_clips": "clips",
    "mean_average_precision": "map",
}


@dataclass(frozen=True)
class Estimate:
    """Figures of out-of-fold predictions: no clip was scored by a model trained on its fold.

    Attributes
    ----------
    scheme : str
        How the clips were split: '5 given folds', 'leave one of 6 groups out', ...
    accuracy : float
        The share of clips classified correctly. For clips with several classes, the label-ranking
        average precision.
    interval : (float, float)
        The 95 % interval of ``accuracy``.
    macro_f1 : float
        The mean F1 of the classes.
    balanced_accuracy : float or None
        The mean recall of the classes; None for clips with several classes.
    mean_average_precision : float or None
        None for clips with one class.
    calibration_error : float
        Expected calibration error (ECE) of the scores.
    calibration_error_expected : float or None
        The mean calibration error that perfectly calibrated scores would have on as many clips.
        None in files of earmark 0.1.
    calibration_error_debiased : float or None
        An estimate of the calibration error without that bias. None in files of earmark 0.1.
    chance : float
        The accuracy of always predicting the same class.
    headline : dict or None
        The figure to judge by: its 'name', 'value', 95 % interval 'ci95', and the 'chance' level.
        The name is 'accuracy', 'balanced_accuracy' for classes of unequal size, or 'macro_f1' for
        clips with several classes. None in files of earmark 0.1.
    verdict : dict or None
        'word' is 'use', 'care' or 'worthless', and 'why' is a sentence. None in files of earmark
        0.1.
    n_clips : int
        Number of clips tested.
    folds, classes : tuple of dict
        Figures of each fold and of each class.
    baselines, learning_curve : tuple of dict or None
        Figures of baselines, and of training on fewer clips; None if not requested.
    unknown, fine_tuning : dict or None
        Figures of the unknown threshold, and of fine-tuning; None if not requested.
    answered_unknown : int or None
        Number of evaluated clips predicted as 'unknown'; None if the classifier has no unknown
        threshold.

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
        """Whether the verdict is 'worthless'; in files of 0.1, whether guessing is as good."""
        if self.verdict is None:
            classes = max(1, sum(row["n"] > 0 for row in self.classes))
            return self.accuracy <= self.chance and (self.balanced_accuracy or 0) <= 1 / classes
        return bool(self.verdict["word"] == WORTHLESS)

    @property
    def warning(self) -> str | None:
        """The sentence that warns users of a worthless classifier; None for other classifiers."""
        if not self.is_worthless:
            return None
        guess = f"accuracy is {self.accuracy:.3f}; guessing gives {self.chance:.3f}."
        why = self.verdict["why"] if self.verdict else guess
        return f"the verdict on this classifier is {WORTHLESS!r}: {why}"

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as it is in the classifier's file and in ``--json``."""
        values = {_JSON_NAMES.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def from_dict(cls, saved: Figures) -> Estimate:
        """Return the estimate that :meth:`to_dict` wrote; KeyError if a figure is missing."""
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
            "an estimate is now an object: use estimate.accuracy, or estimate.to_dict();"
            " estimate[...] works until 0.3.",
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
