"""A clip: what has a label."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from earmark.audio.source import FileSource, Source

COLUMNS = ("path", "label", "start", "end", "group", "fold", "split")  # of a manifest we write
LISTS = (list, tuple, np.ndarray)
NO_CLASS = "no class"  # how a clip is shown that has none, though it may have several
LIST_SEPARATOR = ";"  # between the classes of one clip, where a list of them is given

_BLANK = r"[\s\u200b-\u200f\u2060\ufeff]+"
_BLANKS = re.compile(f"^{_BLANK}|{_BLANK}$")


@dataclass(frozen=True)
class Clip:
    """What has a label: a recording, or the stretch ``start..end`` (seconds) of one.

    Where clips may have several classes, the label of one without any is the empty string.
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
    def name(self) -> str:
        """The path, and the stretch where it is one: ``a.wav 1.5..3``."""
        if self.start is None and self.end is None:
            return str(self.path)
        end = "" if self.end is None else f"{self.end:.10g}"
        return f"{self.path} {self.start or 0:.10g}..{end}"

    @property
    def key(self) -> tuple[Path, float, float | None]:
        """The path, start and end, which no two clips share."""
        return self.path, self.start or 0.0, self.end


def bare(name: str) -> str:
    """Return the name of a class without blanks at its ends, also those that have no width."""
    return _BLANKS.sub("", name)


def split_label(label: str, separator: str | None) -> tuple[str, ...]:
    """Return the classes that a label names, in its order; one where there is no separator."""
    if not label:
        return ()
    return tuple(label.split(separator)) if separator else (label,)
