"""Find the recordings of a folder, and notice when there are others."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from earmark.apps.studio.places import LEFT_OUT_FILE, MANIFEST, WRITTEN
from earmark.data.annotations import SUFFIX
from earmark.data.folders import is_recording, natural_key
from earmark.data.tables import MANIFEST_SUFFIXES

MOST_RECORDINGS = 500_000
MOST_TABLES, TABLE_DEPTH = 50, 4
MOST_TRACKS = 20_000
_TICK_NS = 50_000_000  # two changes of a folder within this time may have the same time
_NOT_SOUND = (".earmark",)


@dataclass
class Scan:
    """What was found.

    Attributes
    ----------
    recordings : dict
        Their paths relative to the folder, in natural order, each with the name alone.
    tables : list of str
        Paths of tables that may be manifests.
    tracks : list of str
        Text files, which may be the label tracks of recordings beside them.
    links : list of str
        Links that lead out of the folder, or to a folder; they are not followed.
    unlisted : list of str
        Folders that cannot be listed.
    is_cut : bool
        Whether there are more recordings than are shown.
    """

    recordings: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    is_cut: bool = False
    stamps: dict[str, int] = field(default_factory=dict)
    is_young: bool = False

    def is_current(self) -> bool:
        """Return whether no folder has got or lost a file since; only folders are looked at."""
        if self.is_young or not self.stamps:
            return False
        try:
            return all(os.stat(at).st_mtime_ns == stamp for at, stamp in self.stamps.items())
        except OSError:
            return False


def scan(folder: Path) -> Scan:
    """Return the recordings below ``folder``; OSError if it is not there."""
    found, root = Scan(), os.path.realpath(folder)
    now = time.time_ns()
    _look(root, "", found, root, 0)
    newest = max(found.stamps.values(), default=0)
    found.is_young = newest > now - _TICK_NS
    return found


def _look(at: str, place: str, found: Scan, root: str, depth: int) -> None:
    try:
        found.stamps[at] = os.stat(at).st_mtime_ns
        with os.scandir(at) as inside:
            entries = [entry for entry in inside if not entry.name.startswith(".")]
    except OSError:
        if not place:
            raise
        found.unlisted.append(place)
        return
    for entry in sorted(entries, key=lambda entry: natural_key(entry.name)):
        inner = f"{place}{entry.name}"
        if entry.is_symlink() and (entry.is_dir() or not is_inside(entry.path, root)):
            found.links.append(inner)
        elif entry.is_dir():
            if place or entry.name not in WRITTEN:
                _look(entry.path, f"{inner}/", found, root, depth + 1)
        elif is_sound(entry.name):
            if len(found.recordings) >= MOST_RECORDINGS:
                found.is_cut = True
            else:
                found.recordings[inner] = entry.name
        elif _is_table(inner, entry.name, depth) and len(found.tables) < MOST_TABLES:
            found.tables.append(inner)
        elif entry.name.lower().endswith(SUFFIX) and len(found.tracks) < MOST_TRACKS:
            found.tracks.append(inner)


def stamp(path: Path) -> tuple[int, ...] | None:
    """Return what differs once a file was written again; None if there is no file."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def is_sound(name: str) -> bool:
    """Return whether a file counts as a recording, by its name alone."""
    return is_recording(Path(name)) and not name.lower().endswith(_NOT_SOUND)


def is_inside(path: str | Path, root: str | Path) -> bool:
    """Return whether a path, with all links followed, is below ``root`` (which has no links)."""
    real = os.path.realpath(path)
    return real.startswith(os.path.join(str(root), ""))


def _is_table(place: str, name: str, depth: int) -> bool:
    is_other = place not in (MANIFEST, LEFT_OUT_FILE)
    return is_other and depth < TABLE_DEPTH and name.lower().endswith(MANIFEST_SUFFIXES)
