"""Which folders Find may read: the studio's own, and those that its command line has named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from earmark.apps.studio.folder.scanning import is_inside
from earmark.system.objects import is_uri


class Sources:
    """The folders whose recordings may be indexed and played.

    A page never names a path: it chooses one of these by its name.

    Attributes
    ----------
    named : dict of str to Path
        The folders of the command line by the last part of their paths.
    """

    def __init__(self, folder: Path, recordings: Sequence[Path] = ()) -> None:
        self.named: dict[str, Path] = {}
        for path in recordings:
            self.named[_free(path.name or "recordings", self.named)] = path
        self._roots = [os.path.realpath(path) for path in (folder, *recordings)]

    def may_play(self, place: str) -> bool:
        """Return whether a recording lies in one of the folders, wherever its links lead."""
        if is_uri(place):
            return False
        return any(is_inside(place, root) for root in self._roots)


def _free(name: str, taken: dict[str, Path]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
