"""Decode text files: UTF-8, UTF-16, UTF-32, and Windows-1252 if that is clear."""

from __future__ import annotations

import codecs
import re

_MARKS = (  # UTF-32 first: its mark begins like the mark of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PROBE = 4096  # bytes that are examined for UTF-16 without a mark
# Characters of Western European text beyond ASCII. In other code pages (Cyrillic, Greek) these
# bytes are other letters, often three in a row, which Western words do not have.
_WESTERN = re.compile(
    "[\\x00-\\x7f\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u00ff\\u00a0\\u00b0\\u2013\\u2019]*"
)
_FOREIGN = re.compile("[\\u00c0-\\u00ff]{3}")


def decode(content: bytes) -> tuple[str, str | None]:
    """Return the text without a byte order mark, and a note if its encoding is a guess.

    Raises ValueError if the encoding is not clear; its text is a sentence without the subject and
    the full stop.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _strict(content, encoding), None
    wide = _wide(content[:_PROBE])
    if wide:
        return _strict(content, wide), None
    try:
        return content.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        reason = error.reason
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    if text and _WESTERN.fullmatch(text) and not _FOREIGN.search(text):
        word = re.search(r"\w*[^\x00-\x7f]\w*", text)
        shown = word[0] if word else ""
        return text, f"is not UTF-8; it is read as Windows-1252 (Latin-1), as in {shown!r}"
    raise ValueError(f"is not UTF-8 ({reason}), and its encoding is not clear. Save it as UTF-8")


def is_wide(content: bytes) -> bool:
    """Return whether bytes begin like UTF-16 or UTF-32."""
    marks = tuple(mark for mark, _ in _MARKS)
    return content.startswith(marks) or _wide(content[:_PROBE]) is not None


def _strict(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"begins like {encoding.upper()} but is not ({error.reason}). Save it as UTF-8"
        ) from error


def _wide(probe: bytes) -> str | None:
    """Return the kind of UTF-16 of bytes without a mark: every second byte is 0; else None."""
    even, odd = probe[::2], probe[1::2]
    if len(odd) < 4:
        return None
    if odd.count(0) > 0.9 * len(odd) and not even.count(0):
        return "utf-16-le"
    if even.count(0) > 0.9 * len(even) and not odd.count(0):
        return "utf-16-be"
    return None
