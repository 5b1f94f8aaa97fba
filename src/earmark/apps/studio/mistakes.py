"""What a person, or another program, can do wrong in the studio.

``status`` is that of HTTP which answers it.
"""

from __future__ import annotations

import errno

from earmark.errors import EarmarkError

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}

GONE = "it is not there any more. Reload the page to see what is there."


class UnknownIdError(EarmarkError, KeyError):
    """An id that names nothing in the folder, or nothing any more."""

    status = 404

    __str__ = Exception.__str__  # that of KeyError quotes the sentence


class ConflictError(EarmarkError):
    """A change that does not fit what is in the folder now."""

    status = 409


class ImpossibleError(ConflictError):
    """A change that cannot be unmade, or made again, any more."""


class TooLargeError(EarmarkError):
    """An upload, or a part of one, that is larger than is allowed."""

    status = 413


class DiskFullError(EarmarkError):
    """The disk has no room; what was there before is as it was."""

    status = 507


def of_the_disk(error: OSError, what: str) -> EarmarkError:
    """Return the error of the studio for one of the system, while it did ``what``."""
    if error.errno in FULL:
        return DiskFullError(
            f"cannot {what}: the disk is full. Nothing was changed; free some space and try again."
        )
    return EarmarkError(
        f"cannot {what}: {error.strerror or error}. Nothing was changed; check the folder and its"
        " permissions."
    )
