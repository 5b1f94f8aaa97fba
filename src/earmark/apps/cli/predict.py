"""``earmark predict``: the classes that a classifier predicts for recordings."""

from typer import Option

from earmark.apps.cli.checks import check_no_detector, check_share
from earmark.apps.cli.options import AnswerOptions, ClassifierOptions
from earmark.apps.cli.text import (
    STRETCH,
    Repeats,
    are_stretches,
    prediction_json,
    prediction_text,
    print_csv,
    report_read_warnings,
    say,
    stretch_cells,
    warn_of,
)


def predict(
    *,
    classifier: ClassifierOptions,
    options: AnswerOptions,
    top: int = Option(3, min=1, help="Number of classes to show for each recording."),
    show_all: bool = Option(
        False, "--all", help="Show all classes; with --csv, one column for each."
    ),
    coverage: float | None = Option(
        None,
        help="Add the set of plausible classes; it contains the true class with this probability,"
        " such as 0.9.",
    ),
) -> None:
    """Predict the classes of recordings, in the order given.

    The exit code is 1 if a recording could not be read.
    """
    check_share("--coverage", coverage, 0.9)
    model = classifier.file()
    check_no_detector(model)
    from earmark.data.clip import LIST_SEPARATOR

    recordings, width = options.recordings(classifier.allow_remote)
    has_stretches = are_stretches(recordings)
    failures, repeats, notes = 0, Repeats(), list[str]()
    trained = classifier.load(model)
    warn_of(model, trained.estimate.warning)
    columns = trained.labels if show_all else ()
    if show_all:
        top = len(columns)
    if options.as_csv:
        header = ["path", "label", "score", "error", *(["plausible"] if coverage else [])]
        header += STRETCH if has_stretches else []
        print_csv([[*header, *(f"score_{label}" for label in columns)]])
    for p in trained.predict_iter(recordings, coverage=coverage):
        failures += p.error is not None
        score = f"{p.score:.6f}" if p.error is None else ""
        row = [p.path, p.answer, score, p.error or ""]
        if coverage:
            row.append(LIST_SEPARATOR.join(p.plausible or ()))
        if has_stretches:
            row += stretch_cells(p)
        row += [f"{p.scores[label]:.6f}" if p.scores else "" for label in columns]
        text = prediction_text(p, top, width) if p.error is None else None
        options.show(text, prediction_json(p, top), [row])
        if p.error is not None:
            say(f"{p.name}: {p.error}")
        for message in p.warnings:
            repeats.say(p.name, message)
        notes += [f"{p.name}: {message}" for message in p.notes]
    repeats.finish()
    report_read_warnings((), notes)
    options.finish(failures)
