"""What a classifier answers for one recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earmark.data.clip import LIST_SEPARATOR, Clip
from earmark.errors import EarmarkError

UNKNOWN = "unknown"  # how a clip is called that is like nothing trained on


@dataclass(frozen=True)
class Prediction:
    """The answer for one recording.

    Attributes
    ----------
    path : str
        The recording; '<bytes>' or '<samples>' where it is no file.
    label : str or None
        The best class, or 'unknown'; None where no class reaches its threshold.
    scores : dict
        The score of each class, 0 to 1, best first; empty where there is an ``error``.
    seconds : float
        How long the clip is.
    is_unknown : bool
        Whether nothing like the recording was trained on.
    error : str or None
        Why it could not be read, in a sentence.
    warnings : tuple of str
        What of the recording was not read, or not as it is; how it is unlike the training clips.
    notes : tuple of str
        What is missing of the recording where it is too little for a warning.
    labels : tuple of str
        All classes that are heard: one, or with several classes a clip any number; none if unknown.
    plausible : tuple of str or None
        The classes of the prediction set, best first, where a ``coverage`` was asked for.
    known : str or None
        'clip' where it was trained on, 'recording' where another stretch of its recording was, as
        far as the classifier's file says so.
    start, end : float or None
        The stretch of the recording that was asked about, in seconds.
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
        """The path, and the stretch where it is one."""
        return Clip(Path(self.path), start=self.start, end=self.end).name

    @property
    def answer(self) -> str:
        """The classes in one word: 'unknown', or those of ``labels`` with ';' between them."""
        return UNKNOWN if self.is_unknown else LIST_SEPARATOR.join(self.labels)

    @property
    def nearest(self) -> str | None:
        """The best class, whether the recording is like it or 'unknown'."""
        return next(iter(self.scores), None)

    @property
    def score(self) -> float:
        """The score of the nearest class."""
        return next(iter(self.scores.values()), 0.0)

    def __repr__(self) -> str:
        shown = f"error={self.error!r}" if self.error else f"{self.label!r}, score={self.score:.3f}"
        return f"Prediction({self.path!r}, {shown})"


def check_names(labels: Sequence[str], *, is_single: bool, asks_unknown: bool) -> None:
    """Refuse names of classes that an answer could not tell from something else.

    Those are 'unknown' beside ``asks_unknown``, and, where a clip may have several classes, names
    with the ';' that stands between them.
    """
    taken = [label for label in labels if asks_unknown and label.casefold() == UNKNOWN]
    if taken:
        raise EarmarkError(
            f"the data has a class {taken[0]!r}, and --unknown answers {UNKNOWN!r} for what is like"
            " no class, so that the two could not be told apart; rename the class, or leave out"
            " --unknown."
        )
    joined = [label for label in labels if not is_single and LIST_SEPARATOR in label]
    if joined:
        raise EarmarkError(
            f"the class {joined[0]!r} has {LIST_SEPARATOR!r} in its name, which stands between the"
            " classes of an answer; rename it, or give it as the separator."
        )
