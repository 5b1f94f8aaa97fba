"""Who may enter: addresses that let one browser in, and the cookie that it gets for them.

The cookie ends with the run. A page that is still open sends it to whoever has the port next, so a
cookie that counted in the next run would let in another user of this machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

TOKEN_BYTES = 32
MOST_INVITATIONS = 16  # that wait to be used; older ones are forgotten
FOLDER = "tokens"


class Entry:
    """The tokens of one run, each of which works once, and its cookie.

    Parameters
    ----------
    port : int
        The port of the server. Browsers do not keep the cookies of ports apart, so it is part of
        the cookie's name.
    place : Path or None
        The folder in which another command of the same user leaves tokens (``leave``).
    fixed : str or None
        A token that works every time.
    is_secure : bool
        Whether the server has TLS.
    """

    def __init__(
        self,
        port: int,
        place: Path | None = None,
        fixed: str | None = None,
        is_secure: bool = False,
    ) -> None:
        self._cookie, self._session = f"earmark-{port}", secrets.token_urlsafe(TOKEN_BYTES)
        self._place, self._is_secure = place, is_secure
        self._fixed = None if fixed is None else _digest(fixed)
        self._invited: dict[str, None] = {}  # digests, the oldest first

    def invite(self) -> str:
        """Return a new token, which lets one browser in."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._invited[_digest(token)] = None
        while len(self._invited) > MOST_INVITATIONS:
            del self._invited[next(iter(self._invited))]
        return token

    def admit(self, token: str) -> bool:
        """Say whether a token is right; it works no more then."""
        digest = _digest(token)
        if self._fixed is not None and hmac.compare_digest(digest, self._fixed):
            return True
        for known in list(self._invited):
            if hmac.compare_digest(known, digest):
                del self._invited[known]
                return True
        return self._place is not None and _take(self._place / digest)

    def knows(self, cookies: str) -> bool:
        """Say whether a Cookie header has the cookie of this run."""
        pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
        given = [value for name, _, value in pairs if name == self._cookie]
        own = self._session.encode()
        return any(hmac.compare_digest(value.encode(), own) for value in given)

    def set_cookie(self) -> str:
        """Return the Set-Cookie header that lets a browser in."""
        secure = "; Secure" if self._is_secure else ""
        return f"{self._cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict{secure}"


def leave(place: Path) -> str:
    """Leave a token for a studio that runs, and return it; OSError if that fails.

    It works only for the user who runs the studio: :meth:`Entry.admit` checks the file's owner.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    place.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(place / _digest(token), flags, 0o600))
    return token


def clear(place: Path) -> None:
    """Forget the tokens that were left for an earlier run."""
    with contextlib.suppress(OSError):
        for path in place.iterdir():
            path.unlink()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _take(path: Path) -> bool:
    """Delete a token that was left; say whether it was there and this user's own."""
    try:
        status = os.lstat(path)
        is_own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        if not stat.S_ISREG(status.st_mode) or not is_own:
            return False
        path.unlink()
    except OSError:
        return False
    return True
