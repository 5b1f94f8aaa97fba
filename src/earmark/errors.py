"""What earmark raises: every message says what was got, what was wanted and the way out."""

import difflib
from collections.abc import Iterable


class EarmarkWarning(UserWarning):
    """Something that a person should know and that stops nothing."""


class EarmarkError(Exception):
    """Base of every error that a user can cause and mend; its text is one sentence."""


class AudioError(EarmarkError):
    """A recording that cannot be read, with the decoder's reason."""


class DataError(EarmarkError):
    """A dataset that cannot be used as it is."""


class BackboneError(EarmarkError):
    """A backbone that is unknown, or whose weights are missing or wrong."""


class StoreError(EarmarkError):
    """An embedding store that cannot be opened, read or written."""


class ModelError(EarmarkError):
    """A file that is not a usable classifier."""


def did_you_mean(got: str, known: Iterable[str]) -> str:
    """Return `` did you mean 'x'?`` for the nearest of ``known``, or an empty string."""
    near = difflib.get_close_matches(got, list(known), n=1)
    return f" did you mean {near[0]!r}?" if near else ""


def amount(count: int, noun: str) -> str:
    """Return '1 clip', '3,000 clips' or '2 classes'."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
