"""Files that a table names in another way than the disk: backslashes, Unicode forms, blanks."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path


class Locator:
    """Finds recordings below ``folder``; each listing is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path:
        """Return the file of this name; where there is none, the name as it was given."""
        given = Path(os.path.abspath(self.folder / name))
        if os.path.isfile(given):
            return given
        for other in self._spellings(name):
            path = os.path.abspath(self.folder / other)
            if os.path.isfile(path):
                return Path(path)
            if not path.isascii() and (normalised := self._by_unicode(path)):
                return Path(normalised)
        return given

    def find_elsewhere(self, name: str) -> Path:
        """Return what :meth:`find` does, else the file of that last name in or below the folder."""
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
        found: dict[str, list[str]] = {}
        for folder, _, files in os.walk(self.folder):
            for file in files:
                found.setdefault(file, []).append(os.path.join(folder, file))
        return found

    @staticmethod
    def _spellings(name: str) -> Iterator[str]:
        for text in dict.fromkeys((name, name.strip(), name.strip().replace("\\", "/"))):
            yield text
            if not text.isascii():
                for encoding in ("cp1252", "latin-1"):  # the bytes of a name that is not UTF-8
                    try:
                        yield os.fsdecode(text.encode(encoding))
                    except UnicodeError:
                        continue

    def _by_unicode(self, path: str) -> str | None:
        """Walk down from the root, taking each name in whatever Unicode form it has there."""
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
