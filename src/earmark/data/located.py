"""Find files whose names in a table differ from the disk: backslashes, Unicode forms, blanks."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from earmark.data.folders import is_recording

MOST_SEARCHED = 2_000  # folders that are searched for the files of a table


class Locator:
    """Finds recordings below ``folder``; each folder is listed once.

    ``missing`` has the paths, as text, that were looked up and do not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.missing = folder, set[str]()
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path:
        """Return the file with this name, even if spelt differently; else the path as given."""
        exact = os.path.abspath(os.path.join(self.folder, name))
        if os.path.isfile(exact):
            return Path(exact)
        for other in self._spellings(name):
            path = os.path.abspath(self.folder / other)
            if os.path.isfile(path):
                return Path(path)
            if not path.isascii() and (normalised := self._by_unicode(path)):
                return Path(normalised)
        self.missing.add(str(Path(exact)))
        return Path(exact)

    def find_elsewhere(self, name: str) -> Path:
        """Return what :meth:`find` does, or else a file with that last name below the folder."""
        path = self.find(name)
        if path.is_file():
            return path
        last = name.replace("\\", "/").rpartition("/")[2]
        beside = self.find(last)
        if beside.is_file():
            return beside
        below = self._below.get(last, [])
        return Path(below[0]) if len(below) == 1 else path

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        paths: dict[str, list[str]] = {}
        for folder, _, files in os.walk(self.folder):
            for file in files:
                paths.setdefault(file, []).append(os.path.join(folder, file))
        return paths

    @staticmethod
    def _spellings(name: str) -> Iterator[str]:
        for text in dict.fromkeys((name, name.strip(), name.strip().replace("\\", "/"))):
            yield text
            if not text.isascii():
                for encoding in ("cp1252", "latin-1"):  # of the name on disk or in the table
                    for change in (_to_bytes, _from_bytes):
                        with contextlib.suppress(UnicodeError):
                            yield change(text, encoding)

    def _by_unicode(self, path: str) -> str | None:
        """Return the path with each name in the Unicode form that it has on disk, or None."""
        here = os.sep
        for part in path.split(os.sep)[1:]:
            if not os.path.lexists(os.path.join(here, part)):
                same = self._listing(here).get(unicodedata.normalize("NFC", part), [])
                if len(same) != 1:
                    return None
                part = same[0]
            here = os.path.join(here, part)
        return here if os.path.isfile(here) else None

    def _listing(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._listings:
            names: dict[str, list[str]] = {}
            try:
                for name in os.listdir(folder):
                    names.setdefault(unicodedata.normalize("NFC", name), []).append(name)
            except OSError:
                pass
            self._listings[folder] = names
        return self._listings[folder]


def elsewhere(folder: Path, missing: Sequence[Path]) -> str:
    """Return a hint where the missing files of a table may be, if they are near; else ''."""
    names = [os.path.relpath(path, folder) for path in missing]
    last = missing[0].name.replace("\\", "/").rpartition("/")[2]
    walk = itertools.chain(os.walk(folder), os.walk(folder.parent))
    for here, _, files in itertools.islice(walk, MOST_SEARCHED):
        if all(os.path.isfile(os.path.join(here, name)) for name in names):
            return f" The files are in {shlex.quote(os.path.abspath(here))}: give it as --root."
        near = [name for name in files if last in (name, os.path.splitext(name)[0])]
        near = [name for name in near if is_recording(Path(name))]
        if near:
            return f" Is {os.path.join(here, near[0])!r} the first? Then write paths like that."
    return ""


def _to_bytes(name: str, encoding: str) -> str:
    """Return the file name whose bytes are those of ``name`` in another encoding."""
    return os.fsdecode(name.encode(encoding))


def _from_bytes(name: str, encoding: str) -> str:
    """Return a file name that is not UTF-8, read in another encoding."""
    return os.fsencode(name).decode(encoding)
