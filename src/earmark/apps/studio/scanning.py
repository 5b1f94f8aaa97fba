"""Find the recordings of a folder, and notice when there are others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from earmark.data.folders import is_recording, natural_key
from earmark.data.tables import MANIFEST_SUFFIXES

RECORDINGS = "recordings"  # what the page records and takes
PRIVATE = ".studio"
OWN = frozenset({"models", "reports", "decisions", "exports"})  # hold no recordings
MOST_LISTED = 5


@dataclass(frozen=True)
class Scan:
    """The paths of recordings from the folder, in natural order, and what was not read."""

    paths: tuple[str, ...]
    tables: tuple[str, ...]  # other manifests
    folders: tuple[tuple[str, int], ...]  # every folder and when it was changed
    problems: tuple[str, ...]

    def is_current(self) -> bool:
        """Whether no folder has changed since."""
        try:
            return all(os.stat(name).st_mtime_ns == changed for name, changed in self.folders)
        except OSError:
            return False


def scan(folder: Path) -> Scan:
    """Search all levels. Links are not followed: they could lead out of the folder.

    Raises OSError if the folder itself cannot be listed.
    """
    paths: list[str] = []
    tables: list[str] = []
    folders: list[tuple[str, int]] = []
    links: list[str] = []
    problems: list[str] = []
    waiting = [(folder, "")]
    while waiting:
        place, prefix = waiting.pop()
        try:
            folders.append((str(place), os.stat(place).st_mtime_ns))
            with os.scandir(place) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(".") or (not prefix and name in OWN):
                        continue
                    if entry.is_symlink():
                        links.append(prefix + name)
                    elif entry.is_dir():
                        waiting.append((place / name, f"{prefix}{name}/"))
                    elif not prefix and Path(name).suffix.lower() in MANIFEST_SUFFIXES:
                        tables.append(name)
                    elif is_recording(Path(name)):
                        paths.append(prefix + name)
        except OSError as error:
            if not prefix:
                raise
            problems.append(f"{prefix} cannot be listed: {error.strerror}.")
    if links:
        listed = ", ".join(sorted(links)[:MOST_LISTED])
        more = f" and {len(links) - MOST_LISTED} more" if len(links) > MOST_LISTED else ""
        problems.append(f"Links are not followed: {listed}{more}. Copy what they lead to.")
    ordered = sorted(paths, key=lambda path: [natural_key(part) for part in path.split("/")])
    return Scan(tuple(ordered), tuple(sorted(tables)), tuple(folders), tuple(problems))
