"""The trash: recordings that were deleted can be brought back for a time, and up to a size."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path

from earmark.apps.studio.folder.changes import Move
from earmark.apps.studio.mistakes import ConflictError, ImpossibleError
from earmark.apps.studio.places import PRIVATE

PLACE = f"{PRIVATE}/trash"
KEPT_DAYS, KEPT_BYTES = 30, 10 * 10**9
LEAST_DAYS = 1  # so long a recording is kept, whatever its size
DAY_S, EVERY_S = 86_400, 3_600  # a look takes long if many recordings were deleted


class Trash:
    """The trash of the folder ``root``, and the moves of recordings there and back.

    What was deleted lies in a folder of its own, whose time says when that was.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._looked_at = root, float("-inf")

    def place_of(self, place: str) -> str:
        """Return where a recording goes when it is deleted, relative to the folder."""
        return f"{PLACE}/{secrets.token_hex(6)}/{place}"

    def move(self, move: Move, forward: bool) -> None:
        """Bring a recording to its place, or to the trash; what was done before stays."""
        place, trash = self._root / move.place, self._root / move.trash
        source = self._root / move.source if move.source else trash
        if forward == move.adds:
            source = source if os.path.lexists(source) else trash
            target = place
        else:
            source, target = place, trash
        if os.path.lexists(target):
            if os.path.lexists(source):
                raise ConflictError(f"{move.place!r} is there already. Rename that file first.")
            return
        if not os.path.lexists(source):
            raise ImpossibleError(_gone(move.place, is_trashed=source == trash))
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)

    def empty(self) -> None:
        """Delete for good what is too old, and the oldest if there is too much; at most hourly."""
        if time.monotonic() < self._looked_at + EVERY_S:
            return
        self._looked_at, now, n_bytes = time.monotonic(), time.time(), 0
        for deleted_at, path in self._deleted():
            sizes = [os.lstat(file).st_size for file in path.rglob("*") if not file.is_dir()]
            n_bytes += sum(sizes)
            days = (now - deleted_at) / DAY_S
            is_too_much = n_bytes > KEPT_BYTES and days > LEAST_DAYS
            if days > KEPT_DAYS or is_too_much or not sizes:
                shutil.rmtree(path, ignore_errors=True)

    def _deleted(self) -> list[tuple[float, Path]]:
        """Return when each recording was deleted, and its folder; the newest first."""
        place = self._root / PLACE
        if place.is_symlink() or place.parent.is_symlink() or not place.is_dir():
            return []
        inside = [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]
        return sorted(((path.stat().st_mtime, path) for path in inside), reverse=True)


def _gone(place: str, is_trashed: bool) -> str:
    if is_trashed:
        return (
            f"{place!r} is not in the trash any more. Deleted recordings stay there for"
            f" {KEPT_DAYS} days, and for {LEAST_DAYS} day if they are more than"
            f" {KEPT_BYTES / 10**9:g} GB."
        )
    return f"{place!r} is not there any more: another program has moved or deleted it."
