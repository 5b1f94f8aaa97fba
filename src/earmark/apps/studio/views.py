"""What the page is told about clips and recordings."""

from __future__ import annotations

import collections
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from earmark.apps.studio.manifest import FIRST, Row, id_of
from earmark.apps.studio.scanning import RECORDINGS, Scan
from earmark.errors import amount

LONG_S = 60.0  # a recording that is shown as a long one
MOST_NAMED = 5
LONG_BYTES = 300_000  # fewer bytes are not looked at: a minute takes more in common formats
NO_GROUPS = frozenset({*FIRST, "fold", "split", "reason"})  # columns


def clip(row: Row) -> dict[str, Any]:
    """Return a clip as the page sees it."""
    start, end = (float(text) if text else None for text in (row.start, row.end))
    return {
        "id": id_of(*row.key),
        "recording": id_of(row.path),
        "name": row.path.rpartition("/")[2],
        "place": row.path,
        "start": start,
        "end": end,
        "seconds": None if end is None else end - (start or 0.0),
        "label": row.label or None,
        "group": row.cell("group") or None,
        "take": row.cell("take") or None,
        "reason": row.cell("reason") or None,
        "error": None,
        "is_recorded": row.path.startswith(f"{RECORDINGS}/"),
    }


def counts(rows: Sequence[Row], left_out: Sequence[Row], scan: Scan) -> dict[str, Any]:
    """Return how many clips there are, the classes in their order, and columns for groups."""
    n_clips = collections.Counter(row.label for row in rows)
    takes: dict[str, set[str]] = collections.defaultdict(set)
    values: dict[str, set[str]] = collections.defaultdict(set)
    for row in rows:
        for column, cell in row.others:
            values[column].add(cell)
            if column == "take":
                takes[row.label].add(cell)
    named = {row.path for row in (*rows, *left_out)}
    n_unlabelled = len(without_label(named, scan))
    return {
        "counts": {
            "recordings": len(scan.paths),
            "clips": len(rows),
            "labelled": len(rows),
            "unlabelled": n_unlabelled,
            "left_out": len(left_out),
        },
        "classes": [
            {"name": name, "n_clips": n, "n_takes": len(takes[name])} for name, n in n_clips.items()
        ],
        "columns": [
            name for name, cells in values.items() if name not in NO_GROUPS and len(cells) > 1
        ],
    }


def without_label(named: set[str], scan: Scan) -> list[str]:
    """Return the recordings that no row names."""
    return [path for path in scan.paths if path not in named]


def regions_of(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    """Return the clips that are stretches, by recording and in the order of time."""
    regions: dict[str, list[Row]] = collections.defaultdict(list)
    for row in rows:
        if not row.is_whole:
            regions[row.path].append(row)
    for found in regions.values():
        found.sort(key=lambda row: (float(row.start or 0), float(row.end or "inf")))
    return regions


def is_long(path: Path) -> bool:
    """Whether a recording has a minute or more, by its header."""
    try:
        status = path.stat()
    except OSError:
        return False
    return _is_long(str(path), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=100_000)
def _is_long(path: str, size: int, _changed: int) -> bool:
    if size < LONG_BYTES:
        return False
    try:
        return float(soundfile.info(path).duration) >= LONG_S
    except (RuntimeError, ValueError):  # such as MP4: most of this size are long
        return True


def troubles(
    folder: Path, rows: Sequence[Row], scan: Scan, recovered: Sequence[str]
) -> list[dict[str, str]]:
    """Return what a person should know of the files, as sentences."""
    trouble = [{"kind": "unread", "detail": text} for text in scan.problems]
    missing = {row.path for row in rows} - set(scan.paths)
    absent = [path for path in sorted(missing) if not (folder / path).is_file()]
    if absent:
        files = amount(len(absent), "recording")
        detail = f"{files} of the manifest cannot be found, such as {absent[0]}. Put them back."
        trouble.append({"kind": "missing", "detail": detail})
    if recovered:
        names = ", ".join(recovered[:MOST_NAMED])
        detail = f"Kept {amount(len(recovered), 'recording')} that had not ended: {names}."
        trouble.append({"kind": "recovered", "detail": detail})
    return trouble


_last: list[tuple[Any, dict[str, Row]]] = []


def by_id(
    rows: Sequence[Row], left_out: Sequence[Row], scan: Scan, version: int
) -> Mapping[str, Row]:
    """Return all clips and recordings by their ids; the last answer is kept."""
    state = (id(rows), id(left_out), id(scan), version)
    if _last and _last[0][0] == state:
        return _last[0][1]
    known = {id_of(path): Row(path) for path in scan.paths}
    known |= {id_of(row.path): Row(row.path) for row in rows}
    known |= {id_of(*row.key): row for row in (*left_out, *rows)}
    _last[:] = [(state, known)]
    return known
