"""Text that is safe in HTML and SVG, and numbers to sensible digits."""

from __future__ import annotations

import html
import re

SPACE = "\N{NO-BREAK SPACE}"  # between a figure and its unit
MANY = 100  # clips from which a tenth of a percent means anything

# Controls, halves of surrogate pairs (file names that are no UTF-8), and the marks that turn the
# direction of all that follows: none can be shown, and the first two are not allowed in XML.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")

_PIECE = re.compile(r"[^\s_/.-]{1,12}[\s_/.-]*|[\s_/.-]+")


def safe(text: object, most: int | None = None) -> str:
    """Return ``text`` escaped for elements and attributes, cut in the middle if over ``most``."""
    shown = _UNSHOWABLE.sub("\ufffd", str(text))
    if most is not None and len(shown) > most:
        tail = most // 3
        shown = f"{shown[: most - tail - 1]}…{shown[-tail:]}"
    return html.escape(shown, quote=True)


def name(text: object, most: int = 40) -> str:
    """Return a user's word as an element that keeps its direction to itself; whole when hovered.

    It may be broken into lines behind what parts words in names, and anywhere in long ones.
    """
    cut = f' title="{safe(text)}"' if len(str(text)) > most else ""
    shown = html.unescape(safe(text, most))
    pieces = _PIECE.findall(shown) if len(shown) > 12 else [shown]
    return f"<bdi{cut}>{'<wbr/>'.join(html.escape(piece) for piece in pieces)}</bdi>"


def percent(share: float, clips: int = MANY) -> str:
    """Return '91.2 %', which does not break, or '91 %' of fewer than 100 clips."""
    return f"{share * 100:.{1 if clips >= MANY else 0}f}{SPACE}%"


def score(value: float) -> str:
    """Return a score with two decimals, which never looks like certainty."""
    if value < 0.01:
        return "<0.01"
    return f"{value:.2f}" if value <= 0.99 else ">0.99"


def points(difference: float) -> str:
    """Return '+5.2 points' of a difference of two shares."""
    return f"{difference * 100:+.1f} points"


def amount(count: int, thing: str) -> str:
    """Return '1 clip' or '3,000 clips'."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{count:,} {thing if count == 1 else plural}"


def number(value: float) -> str:
    """Return a short decimal: 0.0004, 0.03, 12."""
    return f"{value:.3g}"
