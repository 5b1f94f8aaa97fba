"""The folder of a report: tables for programs, and the page."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from earmark.errors import EarmarkError
from earmark.report.contents import ReportContents
from earmark.report.rendering import page
from earmark.system.files import write_whole
from earmark.system.jsons import json_text
from earmark.system.text import to_bytes, to_csv


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
    files = {
        "answers.csv": to_csv([["path", "label", "answer"], *rows]),
        "confusion.csv": to_csv([["label", *labels], *confusion]),
        "summary.json": json_text(summary, indent=2) + "\n",
    }
    if contents is not None:
        files["report.html"] = page(summary, contents)
    for name, text in files.items():
        write_whole(folder / name, to_bytes(text))
    return folder / list(files)[-1]
