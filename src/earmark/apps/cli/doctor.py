"""``earmark doctor``: what is wrong with labelled recordings."""

from typer import Exit, Option

from earmark.apps.cli.options import JSON, DataOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import print_json, show
from earmark.errors import amount


def doctor(
    *,
    data: DataOptions,
    quick: bool = Option(False, "--quick", help="Do not search for near-duplicates."),
    as_json: bool = JSON,
) -> None:
    """Look for what is wrong with DATA, before any training.

    The exit code is 1 if there are errors, 0 if there are only warnings and notes.
    """
    dataset = data.read()
    from earmark.data.doctor import examine

    with progress_bar("listening", len(dataset)) as bar:
        findings = examine(dataset, progress=bar, near=not quick)
    if as_json:
        print_json({"clips": len(dataset), "findings": [f.as_dict() for f in findings]})
    else:
        for finding in findings:
            show(*finding.lines())
        clips, number = amount(len(dataset), "clip"), amount(len(findings), "finding")
        show(f"{clips}, {len(dataset.labels)} classes, {number}")
    if any(finding.severity == "error" for finding in findings):
        raise Exit(1)
