"""A digest of the labels in a folder, which tells whether they have changed since a training."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from earmark.apps.studio.places import ARCHIVES, MANIFEST, PRIVATE
from earmark.data.dataset import Dataset
from earmark.data.tables import read_table
from earmark.errors import EarmarkError
from earmark.labelling.labels import labels_of
from earmark.system.files import file_sha256, write_whole

_COLUMNS = ("path", "start", "end", "label")
_OF = "/"  # after the name of an archive, which has no slash
_MOST_BYTES = 10_000  # of a record


def data_digest(folder: Path) -> str | None:
    """Return a digest over path, start, end and label of the labelled clips, in any order.

    None if they cannot be read now. Reads the whole manifest, so call it in a thread.
    """
    try:
        rows = list(_rows(folder))
    except (EarmarkError, OSError):
        return None
    digest = hashlib.sha256()
    for row in sorted(rows):
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()


def training_digest(folder: Path, archive: object = None) -> str | None:
    """Return the digest of the labels that a training reads: those of the folder or an archive.

    Reads files, so call it in a thread.
    """
    return data_digest(folder) if archive is None else _archive_digest(folder, str(archive))


def has_changed(folder: Path, before: str, now: str | None) -> bool | None:
    """Return whether labels have changed since their digest was ``before``; None if not known.

    ``now`` is the digest of the folder's own labels.
    """
    archive, sign, _ = before.rpartition(_OF)
    if sign:
        now = _archive_digest(folder, archive)
    return None if now is None else before != now


def _archive_digest(folder: Path, archive: str) -> str | None:
    """Return the name of an archive and the digest of its labels; None if they cannot be read."""
    try:
        digest = file_sha256(labels_of(folder / ARCHIVES / archive)).hex()
    except OSError:
        return None
    return f"{archive}{_OF}{digest}"


def _rows(folder: Path) -> Iterable[list[str]]:
    """Yield the cells of each labelled clip; numbers have one form."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        for clip in Dataset.read(folder, least_classes=1):
            path, end = clip.path.relative_to(folder).as_posix(), clip.end
            cells = [str(clip.start or 0.0), "" if end is None else str(end)]
            yield [path, *cells, str(clip.label)]
        return
    for _, row in read_table(manifest, set(_COLUMNS)).rows:
        cells = [str(row.get(name) or "").strip() for name in _COLUMNS]
        if cells[3]:
            yield [cells[0], _number(cells[1]) or "0.0", _number(cells[2]), cells[3]]


def _number(cell: str) -> str:
    with contextlib.suppress(ValueError):
        return str(float(cell))
    return cell


class TrainedRecords:
    """What the labels were when each classifier of a folder was trained.

    A record counts only for the file that it was made for.
    """

    def __init__(self, folder: Path) -> None:
        self.place = folder / PRIVATE / "trained"

    def write(self, model: Path, digest: str | None) -> None:
        """Note the labels that ``model`` was trained on; EarmarkError if that fails."""
        try:
            status = model.stat()
            self.place.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        record = {"data": digest, "file": [status.st_size, status.st_mtime_ns]}
        write_whole(self.place / f"{model.stem}.json", json.dumps(record).encode())

    def read(self, model: Path) -> str | None:
        """Return the digest of the labels that ``model`` was trained on; None if not known."""
        path = self.place / f"{model.stem}.json"
        try:
            status = model.stat()
            if path.stat().st_size > _MOST_BYTES:
                return None
            record = json.loads(path.read_bytes())
            is_same = record["file"] == [status.st_size, status.st_mtime_ns]
            return str(record["data"]) if is_same and record["data"] else None
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
