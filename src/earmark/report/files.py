"""The folder of a report: tables for programs, and the page."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from earmark.errors import EarmarkError
from earmark.report.contents import ReportContents
from earmark.report.rendering import page
from earmark.system.files import write_whole
from earmark.system.jsons import json_text
from earmark.system.text import to_bytes, to_csv

MOST_LABELS = 2_000  # of a confusion table with a column for each; of more there are pairs
ROWS = 10_000  # of a table that are in memory as text


def write_report(
    folder: Path,
    summary: dict[str, Any],
    rows: Sequence[tuple[str, str, str]],
    contents: ReportContents | None = None,
) -> Path:
    """Write ``summary.json``, ``answers.csv`` and ``confusion.csv`` into ``folder``.

    ``rows`` are (path, label, answer); each answer is of a model that had not seen the clip. The
    confusion table has a row for each label and a column for each answer, or of more than 2,000
    labels, as clips with several classes may have, a row (label, answer, clips) for each pair. With
    ``contents`` there is ``report.html`` as well, which needs no other file. Returns the one to
    open first. Raises ``EarmarkError`` where the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EarmarkError(f"cannot make the folder {folder}: {error.strerror}.") from error
    files: dict[str, bytes | Iterable[bytes]] = {
        "answers.csv": _csv(itertools.chain([("path", "label", "answer")], rows)),
        "confusion.csv": _csv(_confusion(rows)),
        "summary.json": to_bytes(json_text(summary, indent=2) + "\n"),
    }
    if contents is not None:
        files["report.html"] = to_bytes(page(summary, contents))
    for name, content in files.items():
        write_whole(folder / name, content)
    return folder / list(files)[-1]


def _confusion(rows: Sequence[tuple[str, str, str]]) -> Iterator[Sequence[object]]:
    """Yield a row for each label with a column for each answer, or the pairs of too many labels."""
    counts = collections.Counter((label, answer) for _, label, answer in rows)
    labels = sorted({label for pair in counts for label in pair})
    if len(labels) > MOST_LABELS:
        yield "label", "answer", "clips"
        yield from ((label, answer, n) for (label, answer), n in sorted(counts.items()))
        return
    yield "label", *labels
    for label in labels:
        yield label, *(counts[label, answer] for answer in labels)


def _csv(rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Yield rows as CSV, some at a time."""
    rest = iter(rows)
    while some := list(itertools.islice(rest, ROWS)):
        yield to_bytes(to_csv(some))
