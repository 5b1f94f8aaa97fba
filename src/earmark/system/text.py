"""Make text from outside (file names, labels, messages of programs) safe to print and save."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Control characters (escape sequences begin with one), line separators, halves of surrogate pairs
# (bytes of a file name that are not UTF-8), and marks that change the direction of text.
UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)

_TO_QUOTE = re.compile(r'[,"\r\n]|^\s|\s$')  # in a cell of CSV


# A byte of a file name that is not UTF-8, as ``repr`` writes it
_BYTE = re.compile(r"(?<!\\)((?:\\\\)*)\\udc([89a-f][0-9a-f])")


def one_line(text: object) -> str:
    r"""Return ``text`` on one line, with '\n', '\x1b' or '\xe9' for unsafe characters."""
    return _BYTE.sub(r"\1\\x\2", UNSHOWABLE.sub(_escaped, str(text)))


def _escaped(character: re.Match[str]) -> str:
    code = ord(character[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python represents a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character[0].encode("unicode_escape").decode("ascii")


def to_csv(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV text; each cell reads back unchanged.

    The module ``csv`` does not quote blanks at the edges of a cell, which some readers drop, nor
    (before Python 3.13) a lone carriage return, which some readers take for the end of a row.
    """
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text


def to_bytes(text: str) -> bytes:
    """Return ``text`` as UTF-8; a file name that is not UTF-8 keeps its bytes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair that does not stand for a byte
        return text.encode("utf-8", "backslashreplace")


def to_utf8(text: str | None) -> str | None:
    r"""Return ``text`` for data frames and Parquet: '\xe9' for a byte that is not UTF-8."""
    return None if text is None else to_bytes(text).decode("utf-8", "backslashreplace")
