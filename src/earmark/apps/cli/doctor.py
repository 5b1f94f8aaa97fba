"""``earmark doctor``: find problems in labelled recordings."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Exit, Option

from earmark.apps.cli.checks import check_output
from earmark.apps.cli.options import JSON, DataOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import print_json, show
from earmark.errors import EarmarkError, amount

if TYPE_CHECKING:
    from earmark.data.doctor.examination import Examination
    from earmark.data.doctor.fixing import Fixed


def doctor(
    *,
    data: DataOptions,
    quick: bool = Option(False, "--quick", help="Do not search for near copies."),
    fix: bool = Option(
        False, "--fix", help="Write a corrected manifest to -o, and list each change."
    ),
    only: list[str] = Option(
        [],
        metavar="KIND",
        help="With --fix: correct findings of this kind only, such as 'near copies'; may be"
        " repeated.",
    ),
    output: Path | None = Option(None, "-o", "--output", help="The manifest that --fix writes."),
    as_json: bool = JSON,
) -> None:
    """Find problems in DATA before you train on it.

    The exit code is 1 if there are errors (with --fix: if errors are left), else 0. --fix leaves
    out copies and recordings that are unreadable, empty or silent. It groups near copies and
    merges the spellings of a class. It does not change the recordings.
    """
    _check_output(fix, output, data.source)
    _check_only(only, fix)
    dataset = data.read()
    from earmark.data.doctor import inspect

    with progress_bar("reading", len(dataset)) as bar:
        examination = inspect(dataset, progress=bar, near=not quick)
    findings = examination.findings
    figures: dict[str, Any] = {
        "clips": len(dataset),
        "findings": [finding.as_dict() for finding in findings],
    }
    lines = [line for finding in findings for line in finding.lines()]
    clips, number = amount(len(dataset), "clip"), amount(len(findings), "finding")
    lines.append(f"{clips}, {amount(len(dataset.labels), 'class')}, {number}")
    if output is not None:
        fixed = _fix(examination, only, output)
        findings = fixed.left
        figures["fixed"] = _json(fixed, output)
        lines += _lines(fixed, output, len(dataset))
    if as_json:
        print_json(figures)
    else:
        show(*lines)
    if any(finding.severity == "error" for finding in findings):
        raise Exit(1)


def _check_output(fix: bool, output: Path | None, source: str) -> None:
    if fix != (output is not None):
        raise EarmarkError("--fix and -o MANIFEST need each other. Give both, or neither.")
    if output is None:
        return
    if output.suffix.lower() != ".csv":
        raise EarmarkError(f"-o is {output}. Give a name that ends in .csv.")
    check_output(output, source)
    if output.exists():
        raise EarmarkError(f"{output} already exists. Name a new file, or delete this one.")


def _check_only(only: Sequence[str], fix: bool) -> None:
    if only and not fix:
        raise EarmarkError("--only needs --fix. Add it, with -o MANIFEST.")
    if only:
        from earmark.data.doctor.fixing import check_kinds

        check_kinds(only)


def _fix(examination: Examination, only: Sequence[str], output: Path) -> Fixed:
    """Correct the data and write its manifest; columns that earmark does not read stay in it."""
    from earmark.data.doctor.fixing import CORRECTED, fix
    from earmark.data.other_columns import other_columns

    fixed = fix(examination, only or CORRECTED)
    columns = other_columns(examination.dataset)
    output.parent.mkdir(exist_ok=True)
    rows = fixed.rows
    fixed.dataset.to_manifest(
        output, {name: [cells[row] for row in rows] for name, cells in columns.items()}
    )
    return fixed


def _json(fixed: Fixed, output: Path) -> dict[str, Any]:
    return {
        "manifest": str(output),
        "clips": len(fixed.dataset),
        "changes": [change.as_dict() for change in fixed.changes],
        "left": [finding.as_dict() for finding in fixed.left],
    }


def _lines(fixed: Fixed, output: Path, n_clips: int) -> list[str]:
    separator = fixed.dataset.separator
    option = f" --separator {shlex.quote(separator)}" if separator else ""
    left = [finding.line() for finding in fixed.left if finding.severity != "note"]
    return [
        *(change.text() for change in fixed.changes),
        *(f"not fixed: {line}" for line in left),
        f"{output}: {amount(len(fixed.changes), 'change')}, {len(fixed.dataset):,} of"
        f" {amount(n_clips, 'clip')} left; train with `earmark train"
        f" {shlex.quote(str(output))}{option} -o MODEL`",
    ]
