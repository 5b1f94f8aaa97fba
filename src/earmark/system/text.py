"""Text from outside (names of files, labels, messages of other programs), safe to show and keep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Controls (escape sequences begin with one), line separators, halves of surrogate pairs (bytes of a
# file name that are not UTF-8), and the marks that turn the direction of all that follows.
UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)

_TO_QUOTE = re.compile(r'[,"\r\n]|^\s|\s$')  # in a cell of CSV


def one_line(text: object) -> str:
    r"""Return ``text`` on one line: '\n', '\x1b' or '\xe9' for what a terminal must not get raw."""
    return UNSHOWABLE.sub(_escaped, str(text))


def _escaped(character: re.Match[str]) -> str:
    code = ord(character[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character[0].encode("unicode_escape").decode("ascii")


def to_csv(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV, in which each cell reads back as it is.

    The module ``csv`` would leave a lone carriage return (before Python 3.13) and blanks at the
    edges of a cell without quotes; readers take them for the end of a row, or for nothing.
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text


def to_bytes(text: str) -> bytes:
    """Return UTF-8, in which a file name that is not keeps its bytes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which is no byte of a name either
        return text.encode("utf-8", "backslashreplace")


def to_utf8(text: str | None) -> str | None:
    r"""Return ``text`` for data frames and Parquet: '\xe9' for a byte that is not UTF-8."""
    return None if text is None else to_bytes(text).decode("utf-8", "backslashreplace")
