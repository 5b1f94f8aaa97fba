"""Text that can be shown, and numbers to sensible digits."""

from __future__ import annotations

import html
import re

from earmark.errors import amount as amount
from earmark.system.text import UNSHOWABLE

SPACE = "\N{NO-BREAK SPACE}"  # between a figure and its unit
MANY = 100  # clips from which a tenth of a percent means anything

_PIECE = re.compile(r"[^\s_/.-]{1,12}[\s_/.-]*|[\s_/.-]+")


def showable(text: object) -> str:
    """Return ``text`` with a replacement character for each that cannot be shown."""
    return UNSHOWABLE.sub("\ufffd", str(text))


def short(text: object, most: int) -> str:
    """Return ``text``, showable, and cut in the middle if over ``most`` characters."""
    shown = showable(text)
    if len(shown) <= most:
        return shown
    tail = most // 3
    return f"{shown[: most - tail - 1]}…{shown[-tail:]}"


def pieces(text: str, most: int) -> list[str]:
    """Cut :func:`short` text where a line may break: after a space, dot or dash, or 12 letters."""
    shown = short(text, most)
    return _PIECE.findall(shown) if len(shown) > 12 else [shown]


def safe(text: object, most: int | None = None) -> str:
    """Return ``text`` escaped for elements and attributes of SVG; see :func:`short`."""
    return html.escape(showable(text) if most is None else short(text, most))


def percent(share: float, n_clips: int = MANY) -> str:
    """Return '91.2 %', which does not break, or '91 %' of fewer than 100 clips."""
    return f"{share * 100:.{1 if n_clips >= MANY else 0}f}{SPACE}%"


def score(value: float) -> str:
    """Return a score with two decimals, which never looks like certainty."""
    if value < 0.01:
        return "<0.01"
    return f"{value:.2f}" if value <= 0.99 else ">0.99"


def rate(value: float | None, digits: int = 2) -> str:
    """Return a figure between 0 and 1, such as an F1, or '-' where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(difference: float) -> str:
    """Return '+5.2' of a difference of two shares, in points."""
    return f"{difference * 100:+.1f}"


def points(difference: float) -> str:
    """Return '+5.2 points' of a difference of two shares."""
    return f"{signed(difference)} points"


def count(number: int) -> str:
    """Return '3,000'."""
    return f"{number:,}"


def number(value: float) -> str:
    """Return a short decimal: 0.0004, 0.03, 12."""
    return f"{value:.3g}"
