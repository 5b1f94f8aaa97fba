"""The errors of earmark: every message says what was got, what must be there and what to do."""

import difflib
from collections.abc import Iterable, Sequence

MOST_NAMED = 3  # classes in a sentence
MOST_LISTED = 20  # classes in a list of all; a longer list is shortened


class EarmarkWarning(UserWarning):
    """A warning that a person should read; the work goes on."""


class EarmarkError(Exception):
    """Base class of every error that a user can cause and correct; its text is one sentence."""


class AudioError(EarmarkError):
    """A recording that cannot be read.

    Attributes
    ----------
    path : str
        The path of the file; '<bytes>' or '<samples>' if the recording is not a file.
    reason : str
        Why it cannot be read.
    kind : str
        One of 'missing' (cannot be opened), 'empty', 'unreadable' (unknown format), 'damaged',
        'stretch' (not inside the recording), 'length' (too long or too short), 'rate', 'channel',
        'samples' (NaN or infinite), 'network' (the embedding is NaN or infinite).
    """

    def __init__(self, path: str, reason: str, kind: str) -> None:
        super().__init__(path, reason, kind)  # pickling rebuilds the error from these arguments
        self.path, self.reason, self.kind = path, reason, kind

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}."


class DataError(EarmarkError):
    """A dataset that cannot be used as it is."""


class BackboneError(EarmarkError):
    """A backbone that is unknown, or whose weights are missing or wrong."""


class WeightsError(BackboneError):
    """Published weights that cannot be obtained: the ``problem``, and what to do (``way_out``)."""

    def __init__(self, problem: str, way_out: str) -> None:
        super().__init__(problem, way_out)
        self.problem, self.way_out = problem, way_out

    def __str__(self) -> str:
        return f"{self.problem}. {self.way_out[:1].upper()}{self.way_out[1:]}."


class NotHereError(BackboneError):
    """A file of a network that is not on this machine and may not be downloaded."""


class StoreError(EarmarkError):
    """An embedding store that cannot be opened, read or written."""


class StoreDamageError(StoreError):
    """A store that is damaged or was not written by earmark; work can go on without it."""


class ModelError(EarmarkError):
    """A file that is not a usable classifier."""


class HubError(EarmarkError):
    """A classifier that cannot be got from the Hugging Face Hub, or put there."""


class InputError(EarmarkError, ValueError):
    """An argument of a scikit-learn estimator that cannot be used. It is a ValueError, too."""


class AudioInputError(AudioError, InputError):
    """A recording, given to a scikit-learn estimator, that cannot be read."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, without full stop; if empty, its type's name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")


def did_you_mean(got: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the most similar of ``known``, or an empty string."""
    near = difflib.get_close_matches(got, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def amount(count: int, noun: str) -> str:
    """Return '1 clip', '3,000 clips' or '2 classes'."""
    plural = f"{noun}es" if noun.endswith(("s", "ch")) else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def some(labels: Sequence[str], noun: str = "class") -> str:
    """Name the first few classes (or whatever ``noun`` says) and count the rest."""
    names = ", ".join(repr(label) for label in labels[:MOST_NAMED])
    left = len(labels) - MOST_NAMED
    return f"{names} and {amount(left, f'more {noun}')}" if left > 0 else names


def listed(labels: Sequence[str]) -> str:
    """Name all classes, or the first few of a long list."""
    return ", ".join(labels) if len(labels) <= MOST_LISTED else some(labels)
