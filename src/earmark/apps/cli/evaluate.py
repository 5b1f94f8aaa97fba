"""``earmark evaluate``: score a classifier on recordings that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from typer import Option

from earmark.apps.cli.checks import check_no_detector, check_report, separator_of
from earmark.apps.cli.detectors import ComparisonOptions, compare_and_show
from earmark.apps.cli.options import JSON, REPORT, ClassifierOptions, LabelOptions, RunOptions
from earmark.apps.cli.text import (
    print_json,
    report_read_warnings,
    say,
    show,
    skipped_json,
    this_command,
    warn_of,
)
from earmark.errors import DataError, amount
from earmark.training.summary import answered_unknown_line, estimate_lines

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.data.dataset import Dataset


def evaluate(
    *,
    trained: ClassifierOptions,
    data: LabelOptions,
    include_known: bool = Option(
        False, "--include-known", help="Also score the clips that MODEL was trained on."
    ),
    held_out: bool = Option(
        False, "--held-out", help="Score only the clips that the split of DATA holds out."
    ),
    comparison: ComparisonOptions,
    report: Path | None = REPORT,
    as_json: bool = JSON,
    run: RunOptions,
) -> None:
    """Score MODEL on labelled clips or annotated events that it was not trained on.

    Clips that MODEL was trained on are left out, unless it was saved without their hashes. Without
    --separator, labels are read as they were read for training. With --events, DATA is label tracks
    beside recordings, a manifest with start and end, or what `earmark detect` wrote.
    """
    unused = {"--include-known": include_known, "--held-out": held_out, "--group": data.group}
    unused |= {"--split": data.split, "--split-map": data.split_map}
    comparison.check_compared(data.source, unused)
    check_report(report, data.source, trained.model)
    model = trained.file()
    if comparison.events:
        comparison.check(model)
        compare_and_show(trained, model, data, comparison, report, as_json, run)
        return
    check_no_detector(model)
    separator = data.separator or separator_of(model)
    dataset = data.read(separator=separator, least_classes=1, allow_remote=trained.allow_remote)
    from earmark.training.evaluation import evaluate

    classifier = trained.load(model)
    dataset = _to_score(dataset, data.source, classifier, held_out=held_out)
    with run.store() as store:
        evaluation = evaluate(classifier, dataset, store, include_known=include_known)
        figures = {
            "model": str(model),
            "data": data.source,
            **evaluation.figures,
            "skipped": skipped_json(evaluation.skipped),
            "warnings": list(evaluation.warnings),
            "notes": list(evaluation.read_notes),
        }
        if report is not None:
            from earmark.report import contents_of_evaluation, write_report

            rows = evaluation.answers(classifier.labels)
            contents = contents_of_evaluation(
                evaluation, classifier, dataset, this_command(), store
            )
            details = evaluation.tested.answer_details()
            say(f"report: {write_report(report, figures, rows, contents, details)}")
    if as_json:
        print_json(figures)
    else:
        lines = [*estimate_lines(figures), *answered_unknown_line(figures)]
        show(f"{model} on {data.source}", *lines)
    warn_of(model, classifier.estimate.warning)
    for note in evaluation.notes:
        say(f"note: {note}")
    report_read_warnings(evaluation.warnings, evaluation.read_notes)
    run.finish(evaluation.skipped)


def _to_score(dataset: Dataset, source: str, classifier: Classifier, *, held_out: bool) -> Dataset:
    """Return the clips to score; say so if some of them may have been training clips."""
    from earmark.data.split_words import is_held_out

    to_test = dataset.to_test()
    if held_out:
        if not any(is_held_out(clip.split) for clip in dataset):
            raise DataError(
                f"{source} has no split that holds clips out. Remove --held-out, or say with"
                " --split-map what the words of its split mean."
            )
        return to_test
    if len(to_test) < len(dataset) and classifier.known is None:
        clips = amount(len(dataset) - len(to_test), "clip")
        say(
            f"note: {clips} that the split assigns to training will also be scored; --held-out"
            " leaves them out"
        )
    return dataset
