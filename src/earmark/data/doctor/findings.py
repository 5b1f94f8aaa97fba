"""The findings of the doctor, and their texts."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from earmark.data.clip import COLUMNS, NO_CLASS, Clip
from earmark.errors import amount
from earmark.system.text import one_line

SEVERITIES = ("error", "warning", "note")  # worst first; an error makes `earmark doctor` exit 1
MOST_NAMED = 3  # items of a finding that are printed on a line each; --json has all
MOST_EXAMPLES = 2  # items that are printed as examples if there are more
MOST_IN_ITEM = 4  # clips that are named in one item


@dataclass(frozen=True)
class Item:
    """One case of a finding: its clips, and a description in a few words."""

    clips: tuple[Clip, ...]
    detail: str


@dataclass(frozen=True)
class Finding:
    """One kind of problem in the data.

    Attributes
    ----------
    kind : str
        The name of the problem, such as 'unreadable'.
    severity : str
        'error', 'warning' or 'note'.
    items : tuple of Item
        The cases, each with its clips and a short description.
    advice : str
        What to do.
    """

    kind: str
    severity: str
    items: tuple[Item, ...]
    advice: str

    def __repr__(self) -> str:
        clips = amount(len(self.clips), "clip")
        return f"<Finding: {self.severity}, {self.kind}, {clips}: {self.advice}>"

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The clips of all cases, each once."""
        return tuple(dict.fromkeys(clip for item in self.items for clip in item.clips))

    def as_dict(self) -> dict[str, Any]:
        """Return the object that ``doctor --json`` prints; clips lack fields that are None."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "advice": self.advice,
            "clips": [clip_fields(clip) for clip in self.clips],
            "items": [
                {"detail": item.detail, "clips": [clip_fields(clip) for clip in item.clips]}
                for item in self.items
            ],
        }

    def summary(self) -> str:
        """Return the first case, the number of further ones, and the advice."""
        return f"{self.items[0].detail}{_more(self.items, 1)}: {self.advice}"

    def line(self) -> str:
        """Return the kind and the summary in one line."""
        return f"{self.kind}: {self.summary()}"

    def text(self) -> str:
        """Return :meth:`lines` as one text; names with line breaks are escaped."""
        return "\n".join(map(one_line, self.lines()))

    def lines(self) -> list[str]:
        """Return a line of a table and a line per case; of many cases, only the first few."""
        clips = amount(len(self.clips), "clip")
        head = f"{self.severity:<8} {self.kind:<20} {clips:>11}  {self.advice}"
        if _more(self.items, MOST_NAMED):
            cases = [item.detail for item in self.items[:MOST_EXAMPLES]]
            cases.append(f"{_more(self.items, MOST_EXAMPLES).lstrip()}; --json lists all")
        else:
            cases = [item.detail for item in self.items]
        return [head, *(f"           {case}" for case in cases)]


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings sorted by severity, worst first; equal ones keep their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


class Names:
    """Short names of clips: their paths relative to the folder that contains all of them."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = clips

    @functools.cached_property
    def _root(self) -> str:
        """The folder that contains all clips, or ''; computed at the first use."""
        try:
            return os.path.commonpath({os.path.dirname(clip.place) or "." for clip in self._clips})
        except ValueError:  # clips on two drives, or no clips
            return ""

    def __call__(self, clip: Clip) -> str:
        """Return the name of ``clip``, with its seconds if it is a stretch."""
        path = self.path(clip)
        if clip.start is None and clip.end is None:
            return path
        return f"{path} {clip.start or 0:g}-{'' if clip.end is None else f'{clip.end:g}'} s"

    def path(self, clip: Clip) -> str:
        """Return the name of the recording of ``clip``."""
        return os.path.relpath(clip.place, self._root) if self._root else clip.place

    def listed(self, clips: Sequence[Clip], sign: str = ", ") -> str:
        """Name the first few ``clips``, each with its label, and count the rest."""
        names = [f"{self(clip)} ({clip.label or NO_CLASS})" for clip in clips[:MOST_IN_ITEM]]
        return sign.join(names) + _more(clips, MOST_IN_ITEM)


def clip_fields(clip: Clip) -> dict[str, Any]:
    """Return the fields of a clip that are not None, as a manifest has them."""
    fields = {name: getattr(clip, name) for name in COLUMNS} | {"path": clip.place}
    return {name: value for name, value in fields.items() if value is not None}


def _more(things: Sequence[object], shown: int) -> str:
    return f" and {len(things) - shown} more" if len(things) > shown else ""
