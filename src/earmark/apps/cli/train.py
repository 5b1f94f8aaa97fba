"""Commands about labelled data: doctor, train, evaluate, demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earmark.apps.cli import text as console
from earmark.apps.cli.checks import check_output, finish, opened_store, print_json, this_command
from earmark.apps.cli.options import (
    AllowSkips,
    Channel,
    Data,
    Engine,
    EngineChoice,
    FineTune,
    Fold,
    Group,
    HeadChoice,
    Json,
    Label,
    Model,
    NonFinite,
    NonFiniteChoice,
    NoStore,
    Precision,
    PrecisionChoice,
    Report,
    Separator,
    Settings,
    TensorBoard,
)
from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.dataset import Dataset
    from earmark.training import Training


def doctor(
    data: Data,
    label: Label = "label",
    group: Group = None,
    fold: Fold = None,
    separator: Separator = None,
    channel: Channel = None,
    non_finite: NonFinite = NonFiniteChoice.refuse,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not search for near-duplicates.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with DATA before any training; exit with 1 on errors."""
    from earmark.audio import AudioOptions
    from earmark.dataset import Dataset
    from earmark.doctor import examine

    audio = AudioOptions(channel, non_finite.value)
    dataset = Dataset.read(
        data, label=label, group=group, fold=fold, separator=separator, audio=audio
    )
    with console.progress_bar("listening", len(dataset)) as bar:
        findings = examine(dataset, progress=bar, near=not quick)
    if as_json:
        print_json({"clips": len(dataset), "findings": [f.as_dict() for f in findings]})
    else:
        for finding in findings:
            print(finding.text())
        print(f"{len(dataset)} clips, {len(dataset.labels)} classes, {len(findings)} findings")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def train(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="The classifier file to write.")],
    backbone: Annotated[str, typer.Option(help="NAME[,NAME...] or auto.")] = "auto",
    head: Annotated[HeadChoice, typer.Option(help="The classifier on top.")] = HeadChoice.auto,
    layers: Annotated[str, typer.Option(help="auto, last, all, or NAME,NAME...")] = "auto",
    label: Label = "label",
    group: Group = None,
    fold: Fold = None,
    separator: Separator = None,
    channel: Channel = None,
    non_finite: NonFinite = NonFiniteChoice.refuse,
    folds: Annotated[int, typer.Option(min=2, help="Folds to make where none are given.")] = 5,
    unknown: Annotated[
        float | None,
        typer.Option(help='Learn to say "unknown", letting in this share of strangers: 0.05.'),
    ] = None,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="No baselines and no learning curve.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 0,
    precision: Precision = PrecisionChoice.exact,
    engine: Engine = EngineChoice.auto,
    finetune: FineTune = None,
    recipe: Settings = "",
    tensorboard: TensorBoard = None,
    report: Report = None,
    as_json: Json = False,
    allow_skips: AllowSkips = False,
    no_store: NoStore = False,
) -> None:
    """Train on DATA, estimate the accuracy by nested cross-validation, save the classifier."""
    from earmark.audio import AudioOptions
    from earmark.dataset import Dataset
    from earmark.training import backbone_names

    check_output(output)
    audio = AudioOptions(channel, non_finite.value)
    dataset = Dataset.read(
        data, label=label, group=group, fold=fold, separator=separator, audio=audio
    )
    count = len(dataset) * len(backbone_names(backbone)[0])
    with opened_store(no_store) as store, console.progress_bar("embedding", count) as bar:
        options = {
            "backbone": backbone,
            "head": head.value,
            "layers": layers,
            "folds": folds,
            "seed": seed,
            "precision": precision.value,
            "engine": engine.value,
            "store": store,
            "progress": bar,
            "compare": not no_compare,
            "unknown": unknown,
        }
        training, forget = _trained(dataset, options, finetune, recipe, tensorboard)
        if training is None:
            return
        training.classifier.save(output)
        forget()
        if report is not None:
            from earmark.report import evidence_of, write_report

            evidence = evidence_of(training, dataset, this_command(), store)
            rows = training.out_of_fold.answers(training.classifier.labels)
            told = console.training_json(training, str(output))
            console.say(f"report: {write_report(report, told, rows, evidence)}")
    if as_json:
        print_json(console.training_json(training, str(output)))
    else:
        print(console.training_text(training, str(output)))
    console.report_read_warnings(training.read_warnings)
    finish(training.skipped, allow_skips)


def _trained(
    dataset: Dataset, options: dict[str, Any], how: str | None, recipe: str, board: Path | None
) -> tuple[Training | None, Callable[[], None]]:
    """Train, fine-tune if that is wanted; return what to do once the classifier is saved.

    Of several processes, those but the first have nothing to save.
    """
    if how is None:
        if recipe or board is not None:
            raise EarmarkError("--recipe and --tensorboard are of --finetune; give it as well.")
        from earmark.training import train

        return train(dataset, **options), lambda: None
    from earmark.finetuning.conduct import finetune
    from earmark.finetuning.recipe import Recipe
    from earmark.finetuning.tensorboard import watched

    settings = Recipe().changed(recipe)
    with console.tuning_line(options["progress"]) as line, watched(board, line) as observer:
        done = finetune(dataset, how, recipe=settings, observer=observer, **options)
    return (done.training if done.is_first else None), done.checkpoints.forget


def evaluate(
    model: Model,
    data: Data,
    label: Label = "label",
    group: Group = None,
    separator: Annotated[
        str | None,
        typer.Option(help="What stands between a clip's classes; else as MODEL was trained."),
    ] = None,
    report: Report = None,
    as_json: Json = False,
    allow_skips: AllowSkips = False,
    no_store: NoStore = False,
) -> None:
    """Score MODEL on labelled clips that it was not trained on."""
    from earmark.classifier import Classifier
    from earmark.dataset import Dataset
    from earmark.evaluation import evaluate

    classifier = Classifier.load(model)
    separator = separator or classifier.separator
    dataset = Dataset.read(data, label=label, group=group, separator=separator, least_classes=1)
    with opened_store(no_store) as store:
        done = evaluate(classifier, dataset, store)
        shown = {
            "model": str(model),
            "data": data,
            **done.figures,
            "skipped": [{"path": f.path, "reason": f.reason} for f in done.skipped],
        }
        if report is not None:
            from earmark.report import evidence_of_evaluation, write_report

            evidence = evidence_of_evaluation(done, classifier, dataset, this_command(), store)
            rows = done.answers(classifier.labels)
            console.say(f"report: {write_report(report, shown, rows, evidence)}")
    if as_json:
        print_json(shown)
    else:
        lines = [
            *console.estimate_lines(done.figures),
            *console.answered_unknown_line(done.figures),
        ]
        print("\n".join([f"{model} on {data}", *lines]))
    finish(done.skipped, allow_skips)


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The classifier file to write.")
    ] = Path("demo.earmark"),
) -> None:
    """Train, estimate and predict offline, on the small example that earmark ships."""
    from earmark.apps.cli.demo import run

    run(output)
