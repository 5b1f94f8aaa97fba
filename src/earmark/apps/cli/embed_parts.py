"""``earmark embed DATA -o DIR``: a folder of parts, computed by one job or by many."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cli.checks import check_folder
from earmark.apps.cli.options import DataOptions, EngineOptions, RunOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import print_json, report_read_warnings, say, show, skipped_json
from earmark.errors import DataError, EarmarkError, amount

if TYPE_CHECKING:
    from earmark.embeddings.part import Share
    from earmark.embeddings.part_files import PartSummary
    from earmark.embeddings.part_folder import PartFolder
    from earmark.embeddings.parts import PartsRun
    from earmark.embeddings.stages import Failure


def is_folder(output: Path) -> bool:
    """Return whether an output of ``embed`` is a folder: one that exists, or has no suffix."""
    return output.is_dir() or not output.suffix
