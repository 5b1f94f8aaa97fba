"""``earmark predict``: the classes that a classifier predicts for recordings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from typer import Option

from earmark.apps.cli.checks import check_folder, check_no_detector, check_output, check_share
from earmark.apps.cli.options import AnswerOptions, ClassifierOptions
from earmark.apps.cli.part_options import PartOptions, is_folder
from earmark.apps.cli.part_runs import FolderRun, PartTask, compute_folder, root_of
from earmark.apps.cli.prediction_csv import PredictionCsv
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import (
    Repeats,
    are_stretches,
    prediction_json,
    prediction_text,
    print_csv,
    report_read_warnings,
    report_skipped,
    say,
    show,
    warn_of,
)
from earmark.embeddings import shares
from earmark.embeddings.shares import ALL
from earmark.errors import EarmarkError, amount

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier
    from earmark.classifier.prediction import Prediction
    from earmark.system.progress import Progress

TABLE = "predictions.csv"  # in a folder of parts
SUFFIXES = (".csv",)  # of an output that is a file


def predict(
    *,
    classifier: ClassifierOptions,
    options: AnswerOptions,
    output: Path | None = Option(
        None, "-o", "--output", help="The .csv file to write, or a folder for parts."
    ),
    top: int = Option(3, min=1, help="Number of classes to show for each recording."),
    show_all: bool = Option(False, "--all", help="Show all classes; in CSV, one column for each."),
    coverage: float | None = Option(
        None,
        help="Add the set of plausible classes; it contains the true class with this probability,"
        " such as 0.9.",
    ),
    parts: PartOptions,
) -> None:
    """Predict the classes of recordings, in the order given.

    A folder gets a Parquet file for each 1,024 clips, and a table of all; the same command computes
    only files that are missing or damaged, and checks the others. The exit code is 1 if a recording
    could not be read.
    """
    check_share("--coverage", coverage, 0.9)
    model = classifier.file()
    check_no_detector(model)
    is_in_parts = _check_output(output, options, parts, model)
    if output is not None and is_in_parts:
        _predict_parts(classifier, model, options, output, show_all, coverage, parts)
        return
    recordings, width = options.recordings(classifier.allow_remote)
    trained = classifier.load(model)
    warn_of(model, trained.estimate.warning)
    labels = trained.labels if show_all else ()
    columns = PredictionCsv(coverage is not None, are_stretches(recordings), labels)
    said = _Said(options, len(labels) or top, width)
    predictions = trained.predict_iter(recordings, coverage=coverage)
    if output is not None:
        known = len(recordings) if isinstance(recordings, list) else 0
        with progress_bar("predicting", known) as bar:
            columns.write(output, said.each(predictions, bar))
        show(f"{amount(said.count, 'recording')}, {amount(said.failures, 'failure')} -> {output}")
    else:
        if options.as_csv:
            print_csv([columns.header])
        for p in said.each(predictions):
            said.print(p, [columns.row(p)])
    said.finish()


@dataclass
class _Said:
    """What is printed of predictions: the results, and what is wrong with recordings."""

    options: AnswerOptions
    top: int
    width: int
    count: int = 0
    failures: int = 0
    repeats: Repeats = field(default_factory=Repeats)
    notes: list[str] = field(default_factory=list)

    def each(
        self, predictions: Iterable[Prediction], progress: Progress | None = None
    ) -> Iterator[Prediction]:
        """Yield predictions, and then say what was wrong with the recording of each."""
        for p in predictions:
            yield p
            self.count += 1
            self.failures += p.error is not None
            if progress is not None:
                progress.advance(p.seconds)
            if p.error is not None:
                say(f"{p.name}: {p.error}")
            for message in p.warnings:
                self.repeats.say(p.name, message)
            self.notes += [f"{p.name}: {message}" for message in p.notes]

    def print(self, p: Prediction, rows: list[list[str]]) -> None:
        """Print a prediction as text, JSON or CSV."""
        text = prediction_text(p, self.top, self.width) if p.error is None else None
        self.options.show(text, prediction_json(p, self.top), rows)

    def finish(self) -> None:
        """Print what repeats itself, and exit with 1 if there were failures."""
        self.repeats.finish()
        report_read_warnings((), self.notes)
        self.options.finish(self.failures)


def _check_output(
    output: Path | None, options: AnswerOptions, parts: PartOptions, model: Path
) -> bool:
    """Return whether the output is a folder of parts; refuse one that cannot be written."""
    if output is None:
        parts.check_no_output()
        return False
    is_in_parts = is_folder(output, SUFFIXES)
    parts.check(output, is_in_parts)
    if options.as_csv:
        raise EarmarkError("--csv prints what -o writes into a file. Give only one.")
    if is_in_parts:
        parts.load()
        check_folder(output, *options.paths)
        return True
    if output.suffix not in SUFFIXES:
        raise EarmarkError(f"{output} is not the name of a .csv. Give one, or a folder.")
    if options.as_json:
        raise EarmarkError("--json needs -o to be a folder, or no -o. Leave one out.")
    check_output(output, model, *(path for path in options.paths if not os.path.isdir(path)))
    return False


def _predict_parts(
    classifier: ClassifierOptions,
    model: Path,
    options: AnswerOptions,
    output: Path,
    show_all: bool,
    coverage: float | None,
    parts: PartOptions,
) -> None:
    """Compute the missing parts of a share; with all parts, write the table of predictions."""
    clips = options.blocks(shares.PART_CLIPS, classifier.allow_remote)
    how = {"model": os.path.abspath(model), "allow_remote": classifier.allow_remote}
    source, root = options.paths[0], root_of(options.paths[0], options.root)
    task = PartTask(
        "predict", how | {"coverage": coverage}, source, root, clips.blocks, clips.count
    )
    run = compute_folder(task, output, parts)
    from earmark.classifier.predict_work import PredictWork

    assert isinstance(run.work, PredictWork)
    trained = run.work.settings.classifier
    warn_of(model, trained.estimate.warning)
    table = output / TABLE if run.share == ALL else None
    if table is not None:
        labels = trained.labels if show_all else ()
        columns = PredictionCsv(coverage is not None, run.has("start", "end"), labels)
        columns.write(table, _predictions(run, trained, coverage is not None))
    lines = [f"predictions: {table}"] if table else []
    more = {"model": str(model), "predictions": str(table) if table else None}
    failures = run.finish(options.as_json, lines, **more)
    report_skipped(failures)
    options.finish(len(failures))


def _predictions(run: FolderRun, trained: Classifier, has_plausible: bool) -> Iterator[Prediction]:
    from earmark.classifier.predict_work import COLUMNS, predictions_of

    names = [*COLUMNS, *(["plausible"] if has_plausible else [])]
    for clips, table in run.tables(names):
        yield from predictions_of(table, clips, trained.labels)
