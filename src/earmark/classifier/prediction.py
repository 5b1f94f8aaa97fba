"""The prediction of a classifier for one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earmark.data.clip import LIST_SEPARATOR, Clip
from earmark.errors import EarmarkError

UNKNOWN = "unknown"  # the label of a clip that is unlike the training clips


@dataclass(frozen=True)
class Prediction:
    """The prediction for one recording.

    Attributes
    ----------
    path : str
        The recording; '<bytes>' or '<samples>' if it is not a file.
    label : str or None
        The best class, or 'unknown'; None if no class reaches its threshold.
    scores : dict of str to float
        The score of each class, 0 to 1, best first; empty if there is an ``error``.
    seconds : float
        Length of the clip in seconds.
    is_unknown : bool
        Whether the recording is unlike the training clips of every class.
    error : str or None
        A sentence that says why the recording could not be read.
    warnings : tuple of str
        Parts of the recording that were not read or were changed, and how it differs from the
        training clips.
    notes : tuple of str
        Losses that are too small for a warning.
    labels : tuple of str
        All predicted classes. One class or, if clips may have several classes, any number; none
        if the recording is unknown.
    plausible : tuple of str or None
        The classes of the prediction set, best first, if a ``coverage`` was given.
    known : str or None
        'clip' if it is a training clip, 'recording' if another stretch of its recording is one.
        None if it is neither, or if the classifier's file has no hashes of its training clips.
    start, end : float or None
        The stretch of the recording in seconds; None for the start or end of the recording.

    Examples
    --------
    >>> import earmark
    >>> prediction = earmark.load("mine.earmark").predict("new.wav")
    >>> prediction.label, list(prediction.scores)
    ('low', ['low', 'high'])
    """

    path: str
    label: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    is_unknown: bool = False
    error: str | None = None
    warnings: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    plausible: tuple[str, ...] | None = None
    known: str | None = None
    start: float | None = None
    end: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The path, and the stretch if there is one."""
        return Clip(Path(self.path), start=self.start, end=self.end).name

    @property
    def answer(self) -> str:
        """The predicted classes as text: 'unknown', or ``labels`` joined by ';'."""
        return UNKNOWN if self.is_unknown else LIST_SEPARATOR.join(self.labels)

    @property
    def nearest(self) -> str | None:
        """The class with the highest score, even if the recording is 'unknown'."""
        return next(iter(self.scores), None)

    @property
    def score(self) -> float:
        """The score of the nearest class."""
        return next(iter(self.scores.values()), 0.0)

    def __repr__(self) -> str:
        shown = f"error={self.error!r}" if self.error else f"{self.label!r}, score={self.score:.3f}"
        return f"Prediction({self.path!r}, {shown})"


def check_names(labels: Sequence[str], *, is_single: bool, asks_unknown: bool) -> None:
    """Raise EarmarkError for names of classes that would be ambiguous in a prediction.

    These are 'unknown' if ``asks_unknown``. If a clip may have several classes, they are also names
    that contain ';', because ';' separates the predicted classes.
    """
    reserved = [label for label in labels if asks_unknown and label.casefold() == UNKNOWN]
    if reserved:
        raise EarmarkError(
            f"the data has a class {reserved[0]!r}, but --unknown predicts {UNKNOWN!r} for clips"
            " unlike all classes. Rename the class, or leave out --unknown."
        )
    ambiguous = [label for label in labels if not is_single and LIST_SEPARATOR in label]
    if ambiguous:
        raise EarmarkError(
            f"the class {ambiguous[0]!r} has {LIST_SEPARATOR!r} in its name, but that separates the"
            " classes of a prediction. Rename the class, or give it as the separator."
        )
