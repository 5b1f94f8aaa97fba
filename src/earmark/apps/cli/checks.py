"""What several commands do: read lists of paths, check places, print one form, end."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from earmark.apps.cli import text as console
from earmark.errors import DataError, EarmarkError


def one_form(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other; give one.")


def recordings_in(inputs: list[str]) -> Iterator[Path] | list[Path]:
    """Expand files and folders; '-' alone reads paths from standard input as they come."""
    from earmark.dataset import paths

    if inputs == ["-"]:
        return (Path(line.rstrip("\n")) for line in sys.stdin if line.strip())
    found = paths(inputs)
    if not found:
        raise DataError(f"no recordings in {', '.join(inputs)}; give files, or folders with some.")
    return found


def opened_store(no_store: bool) -> Any:
    import contextlib

    from earmark.store import Store

    return contextlib.nullcontext() if no_store else Store()


def check_output(path: Path) -> None:
    """Refuse a place that cannot be written before hours are spent."""
    if path.is_dir() or not path.parent.is_dir():
        reason = "is a folder" if path.is_dir() else f"needs the folder {path.parent}"
        raise EarmarkError(f"cannot write {path}: it {reason}; name a file in an existing folder.")


def this_command() -> str:
    """Return the command as it was typed, for a report that says how to repeat it."""
    return shlex.join(["earmark", *sys.argv[1:]])


def finish(skipped: Any, allow_skips: bool) -> None:
    console.report_skipped(skipped)
    if skipped and not allow_skips:
        raise typer.Exit(1)


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_csv(row: list[str]) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(row)
    sys.stdout.flush()
