"""Commands about recordings without labels: predict, tag, embed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from earmark.apps.cli import text as console
from earmark.apps.cli.checks import (
    check_output,
    finish,
    one_form,
    opened_store,
    print_csv,
    print_json,
    recordings_in,
)
from earmark.apps.cli.options import (
    AllowSkips,
    Channel,
    Data,
    Engine,
    EngineChoice,
    Inputs,
    Model,
    NonFinite,
    NonFiniteChoice,
    NoStore,
    Precision,
    PrecisionChoice,
)


def predict(
    model: Model,
    paths: Inputs,
    top: Annotated[int, typer.Option(min=1, help="How many labels to show for each.")] = 3,
    coverage: Annotated[
        float | None,
        typer.Option(help="Add the set of classes that holds the true one so often: 0.9."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print CSV: path,label,score,error; plausible with --coverage."),
    ] = False,
    allow_skips: AllowSkips = False,
) -> None:
    """Say what is heard in recordings, in the order given; exit with 1 if one could not be read."""
    from earmark.classifier import Classifier
    from earmark.clips import LIST_SEPARATOR

    one_form(as_json, as_csv)
    classifier = Classifier.load(model)
    listed = recordings_in(paths)
    width = 0 if isinstance(listed, Iterator) else max(len(str(path)) for path in listed)
    failed = 0
    if as_csv:
        print_csv(["path", "label", "score", "error", *(["plausible"] if coverage else [])])
    for prediction in classifier.predict(listed, coverage):
        failed += prediction.error is not None
        if as_json:
            print_json(console.prediction_json(prediction, top))
        elif as_csv:
            score = "" if prediction.error else f"{prediction.score:.6f}"
            sets = [LIST_SEPARATOR.join(prediction.plausible or ())] if coverage else []
            print_csv([prediction.path, prediction.answer, score, prediction.error or "", *sets])
        elif prediction.error is None:
            print(console.prediction_text(prediction, top, width), flush=True)
        for text in prediction.warnings if prediction.error is None else [prediction.error]:
            console.say(f"{prediction.path}: {text}")
    if failed and not allow_skips:
        raise typer.Exit(1)


def tag(
    paths: Inputs,
    backbone: Annotated[
        str, typer.Option(help="A network that has classes: yamnet or one of efficientat-*.")
    ] = "efficientat-mn04",
    top: Annotated[int, typer.Option(min=1, help="How many classes to show for each.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: path,tag,score,error.")] = False,
    allow_skips: AllowSkips = False,
) -> None:
    """Name the sounds in recordings with AudioSet's classes, without any training."""
    from earmark.tagging import tag

    one_form(as_json, as_csv)
    listed = recordings_in(paths)
    width = 0 if isinstance(listed, Iterator) else max(len(str(path)) for path in listed)
    failed = 0
    tagged = tag(listed, backbone, top)
    if as_csv:
        print_csv(["path", "tag", "score", "error"])
    for tags in tagged:
        failed += tags.error is not None
        if as_json:
            found = {"error": tags.error} if tags.error else {"tags": tags.scores}
            print_json({"path": tags.path, **found})
        elif as_csv:
            for name, score in tags.scores.items() or [("", None)]:
                shown = "" if score is None else f"{score:.6f}"
                print_csv([tags.path, name, shown, tags.error or ""])
        elif tags.error is None:
            named = "  ".join(f"{name} {score:.3f}" for name, score in tags.scores.items())
            print(f"{tags.path:<{width}}  {named}", flush=True)
        if tags.error is not None:
            console.say(f"{tags.path}: {tags.error}")
    if failed and not allow_skips:
        raise typer.Exit(1)


def embed(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="An .npz or .parquet file.")],
    backbone: Annotated[str, typer.Option(help="NAME of a backbone.")] = "speech-embedding",
    layers: Annotated[str, typer.Option(help="last, all, or NAME,NAME...")] = "all",
    channel: Channel = None,
    non_finite: NonFinite = NonFiniteChoice.refuse,
    precision: Precision = PrecisionChoice.exact,
    engine: Engine = EngineChoice.auto,
    allow_skips: AllowSkips = False,
    no_store: NoStore = False,
) -> None:
    """Write the embeddings of DATA (labels not needed) for use elsewhere."""
    from earmark.audio import AudioOptions
    from earmark.backbones import create
    from earmark.dataset import Dataset
    from earmark.embed import embed
    from earmark.embedding_files import check_format, write_embeddings

    check_format(output)
    check_output(output)
    dataset = Dataset.read(data, need_labels=False)
    network = create(backbone, precision.value, engine.value)
    audio = AudioOptions(channel, non_finite.value)
    with opened_store(no_store) as store, console.progress_bar("embedding", len(dataset)) as bar:
        embeddings = embed(dataset.clips, network, store, options=audio, progress=bar)
    write_embeddings(output, embeddings, layers)
    print(f"{len(embeddings.clips)} clips, {embeddings.seconds:.0f} s of audio -> {output}")
    console.report_read_warnings(embeddings.warnings)
    finish(embeddings.failures, allow_skips)
