"""A clip: a recording, or a stretch of one, that has a label."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.source import FileSource, Source
from earmark.audio.uri import UriSource
from earmark.system.objects import is_uri, row_of

COLUMNS = ("path", "label", "start", "end", "group", "fold", "split")  # of a manifest
LISTS = (list, tuple, np.ndarray)
NO_CLASS = "no class"  # shown for a clip without a class, if clips may have several
LIST_SEPARATOR = ";"  # between the classes of one clip, if they were given as a list

_BLANK = r"[\s\u200b-\u200f\u2060\ufeff]+"
_BLANKS = re.compile(f"^{_BLANK}|{_BLANK}$")


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording, or the stretch ``start..end`` of one, that may have a label.

    Parameters
    ----------
    path : Path or str
        The recording; a URI, such as ``s3://bucket/a.wav``, as text.
    label : str, optional
        The class; several classes are separated by the ``separator`` of the dataset. The label of a
        clip of no class is the empty string.
    start, end : float, optional
        Seconds; None means the beginning or the end of the recording.
    group : str, optional
        What must not straddle a split, such as the speaker.
    fold, split : str, optional
        The fold, and the split ('train', 'test' ...).
    recording : Source, optional
        The recording, if it is not a file at ``path``.

    Examples
    --------
    >>> from pathlib import Path
    >>> import earmark
    >>> earmark.Clip(Path("a.wav"), "dog", start=1.5, end=3).name
    'a.wav 1.5..3'
    """

    # There may be millions of clips, so the path is stored as text, which takes a quarter of the
    # memory of a Path.

    path: Path
    label: str | None = None
    start: float | None = None
    end: float | None = None
    group: str | None = None
    fold: str | None = None
    split: str | None = None
    recording: Source | None = field(default=None, compare=False, repr=False)

    @property
    def source(self) -> Source:
        """The source of its samples: the ``recording`` if given, else what ``path`` names."""
        if self.recording is not None:
            return self.recording
        is_archived = self.is_remote or row_of(self.place) is not None
        return UriSource(self.place) if is_archived else FileSource(self.path)

    @property
    def place(self) -> str:
        """The path or URI as text."""
        return str(_text_of_path(self))

    @property
    def is_remote(self) -> bool:
        """Whether the recording is named by a URI, and must be fetched."""
        return self.recording is None and is_uri(self.place)

    @property
    def name(self) -> str:
        """The path, followed by the stretch if it is one: ``a.wav 1.5..3``."""
        if self.start is None and self.end is None:
            return self.place
        end = "" if self.end is None else f"{self.end:.10g}"
        return f"{self.place} {self.start or 0:.10g}..{end}"

    @property
    def key(self) -> tuple[str, float, float | None]:
        """The path as text, the start and the end; unique in a dataset."""
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
    """The attribute ``path`` of clips: a Path to its users, stored as text.

    For a URI, this Path is only good for its last name; the text is ``place``.
    """

    def __init__(self, slot: Any) -> None:
        self.slot = slot

    def __get__(self, clip: Clip | None, owner: type[Clip]) -> Any:
        return self if clip is None else Path(self.slot.__get__(clip))

    def __set__(self, clip: Clip, path: str | Path) -> None:
        is_text = isinstance(path, Path) or is_uri(path)
        self.slot.__set__(clip, str(path if is_text else Path(path)))


_text_of_path = Clip.__dict__["path"].__get__
Clip.path = _PathAsText(Clip.__dict__["path"])  # type: ignore[misc, assignment]


def bare(name: str) -> str:
    """Return the name of a class without blanks, even invisible ones, at both ends."""
    return _BLANKS.sub("", name)


def split_label(label: str, separator: str | None) -> tuple[str, ...]:
    """Return the classes in a label, in its order; without a separator, the label is one class."""
    if not label:
        return ()
    return tuple(label.split(separator)) if separator else (label,)
