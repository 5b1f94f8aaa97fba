"""``earmark evaluate``: how a classifier does on labelled clips that it has not seen."""

from pathlib import Path

from typer import Option

from earmark.apps.cli.checks import check_folder, check_model
from earmark.apps.cli.options import JSON, MODEL, REPORT, LabelOptions, RunOptions
from earmark.apps.cli.text import print_json, report_read_warnings, say, skipped_json, this_command
from earmark.errors import amount
from earmark.training.summary import answered_unknown_line, estimate_lines


def evaluate(
    *,
    model: Path = MODEL,
    data: LabelOptions,
    held_out: bool = Option(
        False, "--held-out", help="Score only the clips that DATA's split holds out."
    ),
    report: Path | None = REPORT,
    as_json: bool = JSON,
    run: RunOptions,
) -> None:
    """Score MODEL on labelled clips that it was not trained on.

    Without --separator, labels are read as they were for the training.
    """
    check_folder(report)
    check_model(model)
    dataset = data.read(least_classes=1)
    from earmark.classifier.classifier import Classifier
    from earmark.training.evaluation import evaluate

    classifier = Classifier.load(model)
    if data.separator is None and classifier.separator is not None:
        dataset = data.read(quiet=True, separator=classifier.separator, least_classes=1)
    to_test = dataset.to_test()
    if held_out:
        dataset = to_test
    elif len(to_test) < len(dataset):
        clips = amount(len(dataset) - len(to_test), "clip")
        say(f"note: {clips} that the split gives to training are scored too; --held-out: not")
    with run.store() as store:
        evaluation = evaluate(classifier, dataset, store)
        figures = {
            "model": str(model),
            "data": data.source,
            **evaluation.figures,
            "skipped": skipped_json(evaluation.skipped),
        }
        if report is not None:
            from earmark.report import contents_of_evaluation, write_report

            rows = evaluation.answers(classifier.labels)
            contents = contents_of_evaluation(
                evaluation, classifier, dataset, this_command(), store
            )
            say(f"report: {write_report(report, figures, rows, contents)}")
    if as_json:
        print_json(figures)
    else:
        lines = [*estimate_lines(figures), *answered_unknown_line(figures)]
        print("\n".join([f"{model} on {data.source}", *lines]))
    report_read_warnings(evaluation.warnings)
    run.finish(evaluation.skipped)
