"""An example of what is searched: a recording, or a stretch of one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from earmark.audio.source import FileSource, Source
from earmark.audio.uri import UriSource
from earmark.errors import EarmarkError
from earmark.system.objects import is_uri

_EXAMPLE = re.compile(r"(.+):(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", re.S)


@dataclass(frozen=True)
class Example:
    """A recording, or ``start..end`` (seconds) of one, that sounds like what is searched."""

    place: str
    start: float | None = None
    end: float | None = None

    @classmethod
    def parse(cls, text: str) -> Example:
        """Return the example that is written CLIP or CLIP:START-END."""
        match = _EXAMPLE.fullmatch(text)
        if match is None:
            return cls(text)
        start, end = float(match[2]), float(match[3])
        if not start < end:
            raise EarmarkError(
                f"the example {text!r} ends before it starts. Give CLIP:START-END in seconds."
            )
        return cls(match[1], start, end)

    @property
    def source(self) -> Source:
        """The recording."""
        return UriSource(self.place) if is_uri(self.place) else FileSource(Path(self.place))
