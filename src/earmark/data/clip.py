"""A clip: what has a label."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.source import FileSource, Source

COLUMNS = ("path", "label", "start", "end", "group", "fold", "split")  # of a manifest we write
LISTS = (list, tuple, np.ndarray)
NO_CLASS = "no class"  # how a clip is shown that has none, though it may have several
LIST_SEPARATOR = ";"  # between the classes of one clip, where a list of them is given

_BLANK = r"[\s\u200b-\u200f\u2060\ufeff]+"
_BLANKS = re.compile(f"^{_BLANK}|{_BLANK}$")


@dataclass(frozen=True, slots=True)
class Clip:
    """What has a label: a recording, or the stretch ``start..end`` (seconds) of one.

    Where clips may have several classes, the label of one without any is the empty string. There
    may be millions, so that the ``path`` is kept as its :attr:`place`, a text: a Path takes four
    times as much memory, and is made when it is asked for.
    """

    path: Path
    label: str | None = None
    start: float | None = None  # None: from the beginning
    end: float | None = None  # None: to the end
    group: str | None = None
    fold: str | None = None
    split: str | None = None
    recording: Source | None = field(default=None, compare=False, repr=False)  # no file at path

    @property
    def source(self) -> Source:
        """Where its samples come from: the file at ``path``, or the ``recording`` in memory."""
        return self.recording or FileSource(self.path)

    @property
    def place(self) -> str:
        """The path as a text."""
        return str(_text_of_path(self))

    @property
    def name(self) -> str:
        """The path, and the stretch where it is one: ``a.wav 1.5..3``."""
        if self.start is None and self.end is None:
            return self.place
        end = "" if self.end is None else f"{self.end:.10g}"
        return f"{self.place} {self.start or 0:.10g}..{end}"

    @property
    def key(self) -> tuple[str, float, float | None]:
        """The path as a text, start and end, which no two clips share."""
        return self.place, self.start or 0.0, self.end

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Clip):
            return NotImplemented
        return self._compared == other._compared

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[object, ...]:
        place, stretch = self.place, (self.start, self.end)
        return place, self.label, stretch, self.group, self.fold, self.split


class _PathAsText:
    """The attribute ``path`` of clips: a Path that is kept as a text in its slot."""

    def __init__(self, slot: Any) -> None:
        self.slot = slot

    def __get__(self, clip: Clip | None, owner: type[Clip]) -> Any:
        return self if clip is None else Path(self.slot.__get__(clip))

    def __set__(self, clip: Clip, path: str | Path) -> None:
        self.slot.__set__(clip, str(path if isinstance(path, Path) else Path(path)))


_text_of_path = Clip.__dict__["path"].__get__
Clip.path = _PathAsText(Clip.__dict__["path"])  # type: ignore[misc, assignment]


def bare(name: str) -> str:
    """Return the name of a class without blanks at its ends, also those that have no width."""
    return _BLANKS.sub("", name)


def split_label(label: str, separator: str | None) -> tuple[str, ...]:
    """Return the classes that a label names, in its order; one where there is no separator."""
    if not label:
        return ()
    return tuple(label.split(separator)) if separator else (label,)
