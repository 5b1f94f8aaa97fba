"""The command that compares backbones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from earmark.apps.cli import text as console
from earmark.apps.cli.checks import finish, opened_store, print_json
from earmark.apps.cli.options import (
    AllowSkips,
    Channel,
    Data,
    Fold,
    Group,
    Json,
    Label,
    NonFinite,
    NonFiniteChoice,
    NoStore,
    Separator,
)


def compare(
    data: Data,
    backbone: Annotated[str, typer.Option(help="NAME,NAME[,NAME...]: at least two.")],
    label: Label = "label",
    group: Group = None,
    fold: Fold = None,
    separator: Separator = None,
    channel: Channel = None,
    non_finite: NonFinite = NonFiniteChoice.refuse,
    folds: Annotated[int, typer.Option(min=2, help="Folds to make where none are given.")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 0,
    as_json: Json = False,
    allow_skips: AllowSkips = False,
    no_store: NoStore = False,
) -> None:
    """Compare backbones on DATA: accuracy on the same folds, seconds, megabytes, and which to take.

    Each is tried alone, and last all of them together.
    """
    from earmark.audio import AudioOptions
    from earmark.comparison import compare
    from earmark.dataset import Dataset
    from earmark.training import backbone_names

    audio = AudioOptions(channel, non_finite.value)
    dataset = Dataset.read(
        data, label=label, group=group, fold=fold, separator=separator, audio=audio
    )
    count = 2 * len(dataset) * len(backbone_names(backbone)[0])
    with opened_store(no_store) as store, console.progress_bar("embedding", count) as bar:
        found = compare(dataset, backbone, folds=folds, seed=seed, store=store, progress=bar)
    if as_json:
        print_json(_json(data, found))
    else:
        print(table(found))
    finish(found.skipped, allow_skips)


def table(found: Any) -> str:
    """Return the comparison as aligned lines, then what to take."""
    head = ("backbone", "accuracy (95 %)", "to the best (95 %)", "p", "s/hour", "download", "file")
    most = max(entry.accuracy for entry in found.entries)
    rows = [head, *(_row(entry, entry.accuracy == most) for entry in found.entries)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = []
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *aligned]))
    return "\n".join([f"{found.clips} clips, {found.scheme}", "", *lines, "", found.recommendation])


def _row(entry: Any, is_best: bool) -> tuple[str, ...]:
    low, high = entry.ci95
    under, over = (100 * x for x in entry.difference_ci95)
    return (
        entry.name,
        f"{entry.accuracy:.3f} ({low:.3f} to {high:.3f})",
        "best" if is_best else f"{100 * entry.difference:+.1f} ({under:+.1f} to {over:+.1f})",
        "" if is_best else f"{entry.p:.3f}",
        f"{entry.seconds_per_hour:.1f}",
        "-" if entry.download_mb is None else f"{entry.download_mb:.1f} MB",
        f"{entry.classifier_mb:.2f} MB",
    )


def _json(data: str, found: Any) -> dict[str, Any]:
    return {
        "data": data,
        "clips": found.clips,
        "scheme": found.scheme,
        "skipped": [{"path": f.path, "reason": f.reason} for f in found.skipped],
        "entries": [asdict(entry) for entry in found.entries],
        "recommended": found.recommended,
        "recommendation": found.recommendation,
    }
