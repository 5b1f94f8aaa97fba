"""``earmark train``: train a classifier on labelled recordings and estimate its accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli import archive_labels, checks, detectors, executors, options
from earmark.apps.cli.progress import progress_bar, tuning_line
from earmark.apps.cli.text import print_json, report_read_warnings, say, show, this_command
from earmark.errors import amount
from earmark.training.summary import training_json, training_lines

if TYPE_CHECKING:
    from earmark.data.dataset import Dataset
    from earmark.embeddings.store import Store
    from earmark.training.training import Training


def train(
    *,
    output: Path = Option(..., "-o", "--output", help=options.MODEL_FILE),
    model: options.ModelOptions,
    data: options.DataOptions,
    folds: options.FoldOptions,
    unknown: float | None = Option(
        None,
        help="Predict unknown for clips of no trained class; this share of them may still get a"
        " class, such as 0.05.",
    ),
    no_compare: bool = Option(
        False, "--no-compare", help="Skip the baselines and the learning curve."
    ),
    no_hashes: bool = Option(
        False,
        "--no-hashes",
        help="Leave the hashes of the training clips out of the file, such as to publish it.",
    ),
    memory: float = Option(
        4.0, "--memory", min=0.1, help="Gigabytes of memory that training may use."
    ),
    on: str | None = Option(
        None,
        help="With a folder of parts: workers that sum over the clips: local (processes here), ray"
        " or ray:ADDRESS.",
    ),
    engine: options.EngineOptions,
    tuning: options.TuningOptions,
    detector: detectors.DetectorOptions,
    report: Path | None = options.REPORT,
    as_json: bool = options.JSON,
    run: options.RunOptions,
) -> None:
    """Train a classifier on DATA and estimate its accuracy.

    The estimate comes from nested cross-validation. The classifier is saved as one file. With
    --detector, DATA may also be recordings with annotated events: label tracks beside recordings, a
    manifest with start and end, or what `earmark detect` wrote. If DATA is an archive, its labelled
    windows are the clips, and with --detector the refused ones are background.
    """
    detector.check(tuning.finetune)
    tuning.check(unknown)
    executors.check_workers(on, data.source, tuning.finetune is None and not detector.detector)
    checks.check_share("--unknown", unknown, 0.05)
    checks.check_model_output(output, data.source, *filter(None, [detector.background]))
    checks.check_report(report, data.source, output)
    checks.check_folder(tuning.tensorboard, data.source)
    checks.check_place(tuning.checkpoints, data.source)
    checks.check_backbones(model.backbone)
    dataset = data.read()
    from earmark.classifier.prediction import check_names

    asks = unknown is not None or detector.detector
    check_names(dataset.labels, is_single=dataset.is_single, asks_unknown=asks)
    from earmark.data.splits import understood

    clips = amount(len(dataset), "clip")
    classes = amount(len(dataset.labels), "class")
    say(f"{clips}, {classes}; {understood(dataset.clips)}")
    settings = {**asdict(model), **asdict(folds), **asdict(engine)}
    settings |= {"unknown": unknown, "memory": memory}
    caveats = archive_labels.caveats_of(data)
    if detector.detector:
        settings |= {**detector.settings(), "caveats": caveats}
        if data.is_archive:
            dataset, settings["background_class"] = archive_labels.as_sounds(dataset)
        detectors.train_and_show(dataset, settings, output, report, as_json, run)
        return
    settings["compare"] = not no_compare
    workers = executors.executor_on(on)
    with run.store() as store, workers as executor, progress_bar("starting") as bar:
        settings |= {"store": store, "progress": bar, "executor": executor}
        training, forget = _trained(dataset, settings, tuning)
        if training is None:
            return
        training = replace(training, warnings=(*training.warnings, *caveats))
        output.parent.mkdir(exist_ok=True)
        training.classifier.save(output, hashes=not no_hashes)
        forget()
        figures = training_json(training, str(output))
        if report is not None:
            _report(report, training, dataset, figures, store)
    if as_json:
        print_json(figures)
    else:
        show(*training_lines(training, str(output)))
    report_read_warnings(training.read_warnings, training.read_notes)
    run.finish(training.skipped)


def _report(
    folder: Path,
    training: Training,
    dataset: Dataset,
    figures: dict[str, Any],
    store: Store | None,
) -> None:
    """Write the report of a training, and say where it is."""
    from earmark.report import contents_of_training, write_report

    rows = training.out_of_fold.answers(training.classifier.labels)
    contents = contents_of_training(training, dataset, this_command(), store)
    details = training.out_of_fold.answer_details()
    say(f"report: {write_report(folder, figures, rows, contents, details)}")


def _trained(
    dataset: Dataset, settings: dict[str, Any], tuning: options.TuningOptions
) -> tuple[Training | None, Callable[[], None]]:
    """Train, with --finetune also the networks; return the training and a function to call later.

    Call that function once the classifier is saved: it deletes the checkpoints. If there are
    several processes, only the first gets a training; the others get None.
    """
    if tuning.finetune is None:
        from earmark.training.training import train

        return train(dataset, **settings), lambda: None
    from earmark.training.finetuning.conduct import finetune
    from earmark.training.finetuning.recipe import Recipe
    from earmark.training.finetuning.tensorboard import watched

    recipe = Recipe().changed(tuning.recipe)
    with watched(tuning.tensorboard, tuning_line(settings["progress"])) as observer:
        settings |= {"recipe": recipe, "observer": observer, "checkpoints": tuning.checkpoints}
        result = finetune(dataset, tuning.finetune, **settings)
    return (result.training if result.is_first else None), result.checkpoints.forget
