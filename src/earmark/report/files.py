"""The folder of a report: tables for programs, and the page."""

from __future__ import annotations

import collections
import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from earmark.errors import EarmarkError
from earmark.report.contents import ReportContents
from earmark.report.rendering import page
from earmark.system.files import write_whole

PAGE = "report.html"


def write_report(
    folder: Path,
    summary: dict[str, Any],
    rows: Sequence[tuple[str, str, str]],
    contents: ReportContents | None = None,
) -> Path:
    """Write ``summary.json``, ``answers.csv`` and ``confusion.csv`` into ``folder``.

    ``rows`` are (path, label, answer); each answer is of a model that had not seen the clip. The
    confusion table has a row for each label and a column for each answer. With ``contents`` there
    is ``report.html`` as well, which needs no other file. Returns the one to open first. Raises
    ``EarmarkError`` where the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EarmarkError(f"cannot make the folder {folder}: {error.strerror}.") from error
    counts = collections.Counter((label, answer) for _, label, answer in rows)
    labels = sorted({label for pair in counts for label in pair})
    confusion = [[label, *(counts[label, answer] for answer in labels)] for label in labels]
    _write_csv(folder / "answers.csv", ["path", "label", "answer"], rows)
    _write_csv(folder / "confusion.csv", ["label", *labels], confusion)
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    _write(folder / "summary.json", text + "\n")
    if contents is None:
        return folder / "summary.json"
    _write(folder / PAGE, page(summary, contents))
    return folder / PAGE


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    _write(path, text.getvalue())


def _write(path: Path, text: str) -> None:
    """Write ``text``; names of files that are not UTF-8 keep their bytes."""
    write_whole(path, text.encode(errors="surrogateescape"))
