"""``earmark compare``: backbones on the same folds."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from typer import Option

from earmark.apps.cli.checks import check_backbones
from earmark.apps.cli.options import JSON, DataOptions, FoldOptions, RunOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import print_json, show, skipped_json
from earmark.errors import amount

if TYPE_CHECKING:
    from earmark.training.comparison import Comparison, Entry


def compare(
    *,
    data: DataOptions,
    backbone: str = Option(..., help="At least two backbones: NAME,NAME[,NAME...]."),
    folds: FoldOptions,
    as_json: bool = JSON,
    run: RunOptions,
) -> None:
    """Compare backbones on DATA, and recommend one.

    Shows accuracy on the same folds, computing time and size, for each backbone alone and for all
    of them together.
    """
    check_backbones(backbone, several=True)
    dataset = data.read()
    from earmark.training.comparison import compare

    with run.store() as store, progress_bar("starting") as bar:
        comparison = compare(dataset, backbone, **asdict(folds), store=store, progress=bar)
    if as_json:
        figures = asdict(comparison) | {"skipped": skipped_json(comparison.skipped)}
        print_json({"data": data.source, "clips": figures.pop("n_clips"), **figures})
    else:
        show(*table(comparison))
    run.finish(comparison.skipped)


def table(comparison: Comparison) -> list[str]:
    """Return the comparison as aligned lines, then the recommendation."""
    is_balanced = comparison.entries[0].balanced_accuracy is not None
    figure = "balanced accuracy (95 %)" if is_balanced else "accuracy (95 %)"
    head = ("backbone", figure, "points to best (95 %)", "p", "s/hour", "download", "file")
    best = max(entry.value for entry in comparison.entries)
    rows = [head, *(_row(entry, entry.value == best) for entry in comparison.entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *aligned]))
    title = f"{amount(comparison.n_clips, 'clip')}, {comparison.scheme}"
    return [title, "", *lines, "", comparison.recommendation]


def _row(entry: Entry, is_best: bool) -> tuple[str, ...]:
    low, high = entry.ci95
    lower, upper = (100 * x for x in entry.difference_ci95)
    return (
        entry.name,
        f"{entry.value:.3f} ({low:.3f} to {high:.3f})",
        "best" if is_best else f"{100 * entry.difference:+.1f} ({lower:+.1f} to {upper:+.1f})",
        "" if is_best else f"{entry.p:.3f}",
        f"{entry.seconds_per_hour:.1f}",
        "-" if entry.download_mb is None else f"{entry.download_mb:.1f} MB",
        f"{entry.classifier_mb:.2f} MB",
    )
