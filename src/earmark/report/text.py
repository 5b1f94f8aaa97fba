"""Format text and numbers for the page."""

from __future__ import annotations

import html
import re

from earmark.errors import amount as amount
from earmark.system.text import UNSHOWABLE

SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit
MANY = 100  # with fewer clips, a tenth of a percent means nothing

_PIECE = re.compile(r"[^\s_/.-]{1,12}[\s_/.-]*|[\s_/.-]+")


def showable(text: object) -> str:
    """Return ``text`` with a replacement for each character that cannot be shown."""
    return UNSHOWABLE.sub("\ufffd", str(text))


def short(text: object, most: int) -> str:
    """Return showable ``text``, cut in the middle if it has more than ``most`` characters."""
    shown = showable(text)
    if len(shown) <= most:
        return shown
    tail = most // 3
    return f"{shown[: most - tail - 1]}…{shown[-tail:]}"


def pieces(text: str, most: int) -> list[str]:
    """Split :func:`short` text where a line may break: after a space, dot, dash or 12 letters."""
    shown = short(text, most)
    return _PIECE.findall(shown) if len(shown) > 12 else [shown]


def safe(text: object, most: int | None = None) -> str:
    """Return ``text``, optionally cut by :func:`short`, escaped for SVG."""
    return html.escape(showable(text) if most is None else short(text, most))


def percent(share: float, n_clips: int = MANY) -> str:
    """Return '91.2 %', or '91 %' for fewer than 100 clips, with a no-break space."""
    return f"{share * 100:.{1 if n_clips >= MANY else 0}f}{SPACE}%"


def score(value: float) -> str:
    """Return a score with two decimals, but never 0.00 or 1.00, which look like certainty."""
    if value < 0.01:
        return "<0.01"
    return f"{value:.2f}" if value <= 0.99 else ">0.99"


def rate(value: float | None, digits: int = 2) -> str:
    """Return a figure between 0 and 1, such as F1; '-' for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(difference: float) -> str:
    """Return a difference of two shares in points, such as '+5.2'."""
    return f"{difference * 100:+.1f}"


def points(difference: float) -> str:
    """Return a difference of two shares with its unit, such as '+5.2 points'."""
    return f"{signed(difference)} points"


def count(number: int) -> str:
    """Return a whole number with commas, such as '3,000'."""
    return f"{number:,}"


def number(value: float) -> str:
    """Return a number with three significant digits, such as 0.0004, 0.03 or 12."""
    return f"{value:.3g}"
