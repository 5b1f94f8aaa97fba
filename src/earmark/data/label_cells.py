"""Recognise cells that have several classes although no separator was given."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable

from earmark.data.clip import Clip, bare

_BETWEEN = (",", ";", "|")


def text_list(cell: str) -> list[str] | None:
    """Return the classes of a list that is written as text, such as ``['dog', 'rain']``."""
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        items = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    is_list = isinstance(items, list) and all(isinstance(item, str) for item in items)
    return items if is_list else None


def several_in_one(column: str, clips: Iterable[Clip], separator: str | None) -> list[str]:
    """Return notes if labels look like several classes, or if none has the ``separator``.

    A label looks like several classes if its pieces are also labels, or pieces of labels, of other
    clips.
    """
    clips = list(clips)
    labels = {clip.label for clip in clips if clip.label}
    if separator and any(separator in label for label in labels):
        return []
    unused = [f"no label has the separator {separator!r}, so no clip has several classes"]
    if any(not clip.label for clip in clips) or not separator:
        unused = []  # here, the separator says that clips may have no class
    for between in _BETWEEN:
        pieces = {x: {bare(piece) for piece in x.split(between)} for x in labels if between in x}
        count = Counter(piece for label in labels for piece in pieces.get(label, {label}))
        shared = [x for x in sorted(pieces) if any(p and count[p] > 1 for p in pieces[x])]
        if 2 * len(shared) > len(pieces):
            return [
                *unused,
                f"{column!r} has labels such as {shared[0]!r}, each read as one class; if"
                f" {between!r} separates several classes, add --separator {between!r}",
            ]
    return unused
