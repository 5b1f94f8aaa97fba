"""Write the folder of a report: tables for programs and a page for people."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from earmark.data.event_files import write_events
from earmark.errors import EarmarkError
from earmark.report.contents import ReportContents
from earmark.report.event_contents import EventContents
from earmark.report.rendering import event_page, page
from earmark.system.files import write_whole
from earmark.system.jsons import json_text
from earmark.system.text import to_bytes, to_csv

MOST_LABELS = 2_000  # with more labels, the confusion table lists pairs instead of columns
ROWS = 10_000  # rows of a table that are in memory as text


def write_report(
    folder: Path,
    summary: dict[str, Any],
    rows: Sequence[tuple[str, str, str]],
    contents: ReportContents | None = None,
    more: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write ``summary.json``, ``answers.csv`` and ``confusion.csv`` into ``folder``.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    summary : dict
        As :func:`training_json` returns it, or the figures of an evaluation.
    rows : sequence of (str, str, str)
        Path, label and predicted class of each clip, by a model that was not trained on it.
    contents : ReportContents, optional
        With it, ``report.html`` is written, too. It needs no other file.
    more : mapping of str to sequence of str, optional
        Further columns of ``answers.csv``, with a cell for each clip.

    Returns
    -------
    Path
        The file to open first.

    Raises
    ------
    EarmarkError
        The folder cannot be made.

    Notes
    -----
    The confusion table has a row for each label and a column for each predicted class. With more
    than 2,000 labels it has a row (label, answer, clips) for each pair that occurs.
    """
    columns = more or {}
    header = ("path", "label", "answer", *columns)
    cells = zip(rows, *columns.values(), strict=True)
    answers = ((*row, *further) for row, *further in cells)
    files: dict[str, bytes | Iterable[bytes]] = {
        "answers.csv": _csv(itertools.chain([header], answers)),
        "confusion.csv": _csv(_confusion(rows)),
        "summary.json": to_bytes(json_text(summary, indent=2) + "\n"),
    }
    if contents is not None:
        files["report.html"] = to_bytes(page(summary, contents))
    return _write(folder, files)


def write_event_report(folder: Path, summary: dict[str, Any], contents: EventContents) -> Path:
    """Write a report of detected events into ``folder``, which is made if it does not exist.

    ``events.csv`` has the detected events, ``thresholds.csv`` what other thresholds give, and
    ``summary.json`` the figures; ``report.html`` needs no other file. Returns its path. Raises
    EarmarkError if the folder cannot be made.
    """
    thresholds = [row.to_json() for row in contents.thresholds]
    files: dict[str, bytes | Iterable[bytes]] = {
        "thresholds.csv": _csv(
            [list(row) for row in thresholds[:1]] + [list(row.values()) for row in thresholds]
        ),
        "summary.json": to_bytes(json_text(summary, indent=2) + "\n"),
        "report.html": to_bytes(event_page(summary, contents)),
    }
    if not contents.is_heard:  # scenes have names and no paths
        files = {"events.csv": _csv(_scene_rows(contents)), **files}
    path = _write(folder, files)
    if contents.is_heard:
        write_events(contents.answers, folder / "events.csv", "csv")
    return path


def _scene_rows(contents: EventContents) -> Iterator[Sequence[object]]:
    yield "scene", "start", "end", "label", "score"
    for recording in contents.answers:
        for event in recording.events:
            yield recording.path, event.start, event.end, event.label, event.score


def _write(folder: Path, files: Mapping[str, bytes | Iterable[bytes]]) -> Path:
    """Write files into a folder, and return the last one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EarmarkError(
            f"cannot make the folder {folder}: {error.strerror}. Name another folder."
        ) from error
    for name, content in files.items():
        write_whole(folder / name, content)
    return folder / list(files)[-1]


def _confusion(rows: Sequence[tuple[str, str, str]]) -> Iterator[Sequence[object]]:
    """Yield the rows of the confusion table; with too many labels, its pairs."""
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
    """Yield rows as CSV, in blocks."""
    rest = iter(rows)
    while some := list(itertools.islice(rest, ROWS)):
        yield to_bytes(to_csv(some))
