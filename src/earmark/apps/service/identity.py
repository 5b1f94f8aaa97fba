"""What is known of the request that runs: its id, and what its line of the log says."""

from __future__ import annotations

import contextvars
import re
import secrets
import time

HEADER = b"x-request-id"
GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)  # ids of clients that are taken over


def new_id() -> str:
    """Return an id for a request that has none."""
    return secrets.token_hex(8)


class Request:
    """One request.

    Attributes
    ----------
    id : str
        The client's id if it is a plain word, else a new one.
    began_s : float
        A time of ``time.perf_counter``: when its header was there.
    model : str or None
        The name of the classifier that answers.
    audio_s : float or None
        The length of the recording in seconds, once it is known.
    status : int
        The status of its response, 0 before there is one.
    """

    __slots__ = ("audio_s", "began_s", "id", "model", "status")

    def __init__(self, given: str | None = None) -> None:
        is_plain = given is not None and GIVEN.fullmatch(given) is not None
        self.id = given if is_plain and given is not None else new_id()
        self.began_s = time.perf_counter()
        self.model: str | None = None
        self.audio_s: float | None = None
        self.status = 0


CURRENT: contextvars.ContextVar[Request | None] = contextvars.ContextVar("request", default=None)
