"""``earmark density``: how many events of a class an archive has."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli.checks import check_output
from earmark.apps.cli.label_text import interval_json
from earmark.apps.cli.options import JSON, ClassifierOptions
from earmark.apps.cli.search import ARCHIVE
from earmark.apps.cli.text import print_json, say, show
from earmark.errors import EarmarkError, amount

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.labelling.density_estimate import Density, StratumFigures
    from earmark.labelling.estimates import Interval

DEFAULT_SIZE, LEAST_SIZE, MOST_SIZE = 200, 20, 100_000


def density(
    *,
    archive: Path = ARCHIVE,
    trained: ClassifierOptions,
    name: str | None = Option(
        None, "--class", help="The class to count; needed if the classifier has several."
    ),
    output: Path | None = Option(
        None,
        "-o",
        "--output",
        help="Draw a sample, and write it into this table to fill in (.csv). With --apply: the"
        " windows before those with the class.",
    ),
    before: Path | None = Option(
        None, help="With --apply: the filled-in table of -o, to count events where they begin."
    ),
    apply: Path | None = Option(None, help="Read this filled-in table of a sample, and estimate."),
    size: int | None = Option(None, help="With -o: how many windows to draw; 200 by default."),
    group: str | None = Option(
        None, help="With --apply: a column of the recordings, such as site, to estimate each value."
    ),
    seed: int = Option(0, help="Random seed; the same seed gives the same result."),
    as_json: bool = JSON,
) -> None:
    """Estimate how many events of a class an archive has, with an interval.

    MODEL scores the stored windows, no audio is read. -o draws windows from all ranges of scores.
    Answer them in the column `decision` (yes or no), and give the table to --apply.
    """
    _check(archive, output, apply, before, size, group, trained.model)
    from earmark.embeddings.archive_file import check_archive

    check_archive(archive)
    classifier = trained.load(trained.file())
    from earmark.embeddings.archive import Archive
    from earmark.labelling import density as drawing

    with Archive(archive) as opened:
        if apply is None:
            assert output is not None
            label = name if name is not None else _only_class(classifier)
            count = DEFAULT_SIZE if size is None else size
            drawn = drawing.draw(opened, classifier, label, output, count, seed)
            _show_drawn(archive, trained.model, output, label, *drawn, as_json=as_json)
            return
        result = drawing.apply(opened, classifier, apply, name, group, before=before, ask=output)
    _show_result(result, archive, trained.model, output, group, as_json=as_json)


def _show_drawn(
    archive: Path,
    model: Path,
    sample: Path,
    label: str,
    n_windows: int,
    drawn: list[int],
    *,
    as_json: bool,
) -> None:
    """Print how many windows were drawn, and what to do with them."""
    if as_json:
        figures = {"windows": n_windows, "drawn": sum(drawn), "strata": drawn}
        names = {"archive": str(archive), "model": str(model), "class": label}
        print_json({**names, "sample": str(sample), **figures})
        return
    show(
        f"{amount(sum(drawn), 'window')} of {n_windows:,} -> {sample}; write yes or no into the"
        f" column `decision` for the class {label!r}, then run:  earmark density {archive} {model}"
        f" --apply {sample}"
    )


def _show_result(
    result: Density,
    archive: Path,
    model: Path,
    before: Path | None,
    group: str | None,
    *,
    as_json: bool,
) -> None:
    """Print the estimate; ``before`` is the table of windows that was written, if any."""
    for note in result.notes:
        say(f"note: {note}")
    if as_json:
        names = {"archive": str(archive), "model": str(model)}
        print_json({**names, **_json(result), "before": None if before is None else str(before)})
        return
    show(*_lines(result, archive, group))
    if before is not None:
        say(
            f"the windows before those with the class -> {before}; answer them, too, and add"
            f" --before {before} to count events where they begin"
        )


def _check(
    archive: Path,
    output: Path | None,
    apply: Path | None,
    before: Path | None,
    size: int | None,
    group: str | None,
    model: Path,
) -> None:
    """Refuse options that exclude each other, and an output that cannot be written."""
    if output is None and apply is None:
        raise EarmarkError(
            "give -o SAMPLE.csv to draw a sample, or --apply SAMPLE.csv to estimate from it."
        )
    if apply is not None and size is not None:
        raise EarmarkError("--size needs -o. Leave it out: --apply takes the sample as it is.")
    if apply is None and (group, before) != (None, None):
        option = "--before" if group is None else "--group"
        raise EarmarkError(
            f"{option} needs --apply. Leave it out: the sample is of all recordings."
        )
    if size is not None and not LEAST_SIZE <= size <= MOST_SIZE:
        raise EarmarkError(
            f"--size is {size}. Give {LEAST_SIZE} to {MOST_SIZE:,} windows, such as 200."
        )
    if output is None:
        return
    if output.suffix != ".csv":
        raise EarmarkError(f"{output} is not the name of a .csv. Give a name that ends in .csv.")
    check_output(output, archive, model, *(path for path in (apply, before) if path is not None))
    from earmark.labelling.density_sample import settings_path

    for path in (output, *([settings_path(output)] if apply is None else [])):
        if path.exists():
            raise EarmarkError(f"{path} already exists. Name a new file, or delete this one.")


def _only_class(classifier: Classifier) -> str:
    """Return the class of a classifier that has one beside those for everything else."""
    from earmark.labelling.labelled import OTHER

    labels = [label for label in classifier.labels if label not in OTHER]
    if len(labels) != 1:
        raise EarmarkError(
            f"the classifier has the classes {', '.join(classifier.labels)}. Name the one to count"
            " with --class."
        )
    return labels[0]


def _json(result: Density) -> dict[str, Any]:
    return {
        "class": result.label,
        "windows": interval_json(result.windows),
        "events": interval_json(result.events),
        "events_per_hour": interval_json(result.events, result.hours),
        "hours": result.hours,
        "n_windows": result.n_windows,
        "window_s": result.window_s,
        "answered": result.answered,
        "skipped": result.skipped,
        "strata": [
            {
                "score": [stratum.low, stratum.high],
                "windows": stratum.windows,
                "answered": stratum.answered,
                "hits": stratum.hits,
            }
            for stratum in result.strata
        ],
        "groups": [
            {
                "group": own.group,
                "windows": interval_json(own.windows),
                "events": interval_json(own.events),
                "events_per_hour": interval_json(own.events, own.hours),
                "hours": own.hours,
                "answered": own.answered,
                "hits": own.hits,
            }
            for own in result.groups
        ],
        "is_rough": result.is_rough,
        "notes": list(result.notes),
    }


def _lines(result: Density, archive: Path, column: str | None) -> list[str]:
    n = result.n_windows
    value, low, high = (f"{100 * x / n:.2f}" for x in astuple(result.windows))
    is_rough = result.is_rough
    lines = [
        f"{result.label} in {archive}: {result.hours:,.2f} hours, {n:,} windows of"
        f" {result.window_s:g} s that do not overlap",
        f"  windows   {_text(result.windows)} have the class: {value} % of all ({low} to {high} %)",
        f"  events    {_text(result.events, is_rough=is_rough)}; windows that touch are one event",
        f"  density   {_text(result.events, result.hours, 2, is_rough)} events an hour",
        f"  sample    {amount(result.answered, 'window')} answered, {result.skipped:,} not",
        *(f"  stratum   {_stratum(stratum)}" for stratum in result.strata),
    ]
    lines += [
        f"  {column or 'group'}={own.group}: {_text(own.events, is_rough=is_rough)} events,"
        f" {_text(own.events, own.hours, 2, is_rough)} an hour in {own.hours:,.2f} hours;"
        f" {own.hits:,} of {own.answered:,} answered windows have the class"
        for own in result.groups
    ]
    return lines


def _text(interval: Interval, unit: float = 1.0, digits: int = 0, is_rough: bool = False) -> str:
    """Return an estimate and its interval; if it is rough, without a claim of coverage."""
    value, low, high = (
        f"{x / unit:,.{digits}f}" for x in (interval.value, interval.low, interval.high)
    )
    if is_rough:
        return f"roughly {value} ({low} to {high} by the sample alone)"
    return f"{value} (95 % interval {low} to {high})"


def _stratum(stratum: StratumFigures) -> str:
    return (
        f"score {stratum.low:.4f} to {stratum.high:.4f}: {stratum.hits:,} of"
        f" {stratum.answered:,} answered windows have the class; {stratum.windows:,} windows"
    )
