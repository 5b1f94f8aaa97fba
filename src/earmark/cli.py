"""The command line: parse, call one library function, print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earmark import console
from earmark.errors import DataError, EarmarkError, StoreError

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="earmark",
    help="Turn a folder of labelled recordings into an audio classifier you can trust and ship.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
backbones_app = typer.Typer(
    help="The pretrained networks: list, show, fetch, verify.", rich_markup_mode=None
)
cache_app = typer.Typer(help="The store of embeddings: show, prune, clear.", rich_markup_mode=None)
data_app = typer.Typer(help="Known data sets: list, fetch.", rich_markup_mode=None)
app.add_typer(backbones_app, name="backbones")
app.add_typer(data_app, name="data")
app.add_typer(cache_app, name="cache")


class NonFiniteChoice(str, Enum):
    """The values of --non-finite."""

    refuse = "refuse"
    zero = "zero"


class HeadChoice(str, Enum):
    """The values of --head."""

    auto = "auto"
    linear = "linear"
    mlp = "mlp"
    prototype = "prototype"


Data = Annotated[
    str,
    typer.Argument(help="A folder with one sub-folder per class, or a manifest (CSV, TSV, ...)."),
]
Model = Annotated[Path, typer.Argument(help="A classifier: the file that `earmark train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
AllowSkips = Annotated[
    bool, typer.Option("--allow-skips", help="Exit with 0 though recordings could not be read.")
]
NoStore = Annotated[bool, typer.Option("--no-store", help="Neither read nor keep embeddings.")]
Label = Annotated[str, typer.Option(help="The manifest's column of labels.")]
Group = Annotated[
    str | None, typer.Option(help="The column of what must not straddle a split: speaker, site.")
]
Fold = Annotated[str | None, typer.Option(help="The column of given folds.")]
Separator = Annotated[
    str | None, typer.Option(help="What stands between the classes of a clip that has several.")
]
Channel = Annotated[
    int | None, typer.Option(min=1, help="Listen to this channel, 1 is left; else to the mean.")
]
NonFinite = Annotated[
    NonFiniteChoice, typer.Option(help="Refuse recordings with NaN or infinity, or zero those.")
]
Report = Annotated[
    Path | None, typer.Option(help="Write figures, answers and confusions into this folder.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from earmark import __version__

        print(f"earmark {__version__}")
        raise typer.Exit


@app.callback()
def _earmark(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
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
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.")] = 0,
    report: Report = None,
    as_json: Json = False,
    allow_skips: AllowSkips = False,
    no_store: NoStore = False,
) -> None:
    """Train on DATA, estimate the accuracy by nested cross-validation, save the classifier."""
    from earmark.audio import AudioOptions
    from earmark.dataset import Dataset
    from earmark.training import backbone_names, train

    _check_output(output)
    audio = AudioOptions(channel, non_finite.value)
    dataset = Dataset.read(
        data, label=label, group=group, fold=fold, separator=separator, audio=audio
    )
    count = len(dataset) * len(backbone_names(backbone)[0])
    with _store(no_store) as store, console.progress_bar("embedding", count) as bar:
        training = train(
            dataset,
            backbone=backbone,
            head=head.value,
            layers=layers,
            folds=folds,
            seed=seed,
            store=store,
            progress=bar,
        )
    training.classifier.save(output)
    if report is not None:
        from earmark.report import write_report

        rows = training.out_of_fold.rows(training.classifier.labels)
        write_report(report, console.training_json(training, str(output)), rows)
    if as_json:
        _print_json(console.training_json(training, str(output)))
    else:
        print(console.training_text(training, str(output)))
    console.report_read_warnings(training.read_warnings)
    _finish(training.skipped, allow_skips)


@app.command()
def evaluate(
    model: Model,
    data: Data,
    label: Label = "label",
    group: Group = None,
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
    dataset = Dataset.read(data, label=label, group=group, least_classes=1)
    with _store(no_store) as store:
        figures, rows, skipped = evaluate(classifier, dataset, store)
    shown = {
        "model": str(model),
        "data": data,
        **figures,
        "skipped": [{"path": f.path, "reason": f.reason} for f in skipped],
    }
    if report is not None:
        from earmark.report import write_report

        write_report(report, shown, rows)
    if as_json:
        _print_json(shown)
    else:
        print("\n".join([f"{model} on {data}", *console.estimate_lines(figures)]))
    _finish(skipped, allow_skips)


@app.command()
def predict(
    model: Model,
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, or - for a list on standard input.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many labels to show for each.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV: path,label,score,error.")
    ] = False,
    allow_skips: AllowSkips = False,
) -> None:
    """Say what is heard in recordings, in the order given; exit with 1 if one could not be read."""
    from earmark.classifier import Classifier

    _one_form(as_json, as_csv)
    classifier = Classifier.load(model)
    listed = _paths(paths)
    width = 0 if isinstance(listed, Iterator) else max(len(str(path)) for path in listed)
    failed = 0
    if as_csv:
        _print_csv(["path", "label", "score", "error"])
    for prediction in classifier.predict(listed):
        failed += prediction.error is not None
        if as_json:
            _print_json(console.prediction_json(prediction, top))
        elif as_csv:
            score = "" if prediction.error else f"{prediction.score:.6f}"
            _print_csv([prediction.path, prediction.label or "", score, prediction.error or ""])
        elif prediction.error is None:
            print(console.prediction_text(prediction, top, width), flush=True)
        for text in prediction.warnings if prediction.error is None else [prediction.error]:
            console.say(f"{prediction.path}: {text}")
    if failed and not allow_skips:
        raise typer.Exit(1)


@app.command()
def tag(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, or - for a list on standard input.")
    ],
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

    _one_form(as_json, as_csv)
    listed = _paths(paths)
    width = 0 if isinstance(listed, Iterator) else max(len(str(path)) for path in listed)
    failed = 0
    tagged = tag(listed, backbone, top)
    if as_csv:
        _print_csv(["path", "tag", "score", "error"])
    for tags in tagged:
        failed += tags.error is not None
        if as_json:
            found = {"error": tags.error} if tags.error else {"tags": tags.scores}
            _print_json({"path": tags.path, **found})
        elif as_csv:
            for name, score in tags.scores.items() or [("", None)]:
                shown = "" if score is None else f"{score:.6f}"
                _print_csv([tags.path, name, shown, tags.error or ""])
        elif tags.error is None:
            named = "  ".join(f"{name} {score:.3f}" for name, score in tags.scores.items())
            print(f"{tags.path:<{width}}  {named}", flush=True)
        if tags.error is not None:
            console.say(f"{tags.path}: {tags.error}")
    if failed and not allow_skips:
        raise typer.Exit(1)


@app.command()
def embed(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="An .npz or .parquet file.")],
    backbone: Annotated[str, typer.Option(help="NAME of a backbone.")] = "speech-embedding",
    layers: Annotated[str, typer.Option(help="last, all, or NAME,NAME...")] = "all",
    channel: Channel = None,
    non_finite: NonFinite = NonFiniteChoice.refuse,
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
    _check_output(output)
    dataset = Dataset.read(data, need_labels=False)
    network = create(backbone)
    audio = AudioOptions(channel, non_finite.value)
    with _store(no_store) as store, console.progress_bar("embedding", len(dataset)) as bar:
        embeddings = embed(dataset.clips, network, store, options=audio, progress=bar)
    write_embeddings(output, embeddings, layers)
    print(f"{len(embeddings.clips)} clips, {embeddings.seconds:.0f} s of audio -> {output}")
    console.report_read_warnings(embeddings.warnings)
    _finish(embeddings.failures, allow_skips)


@app.command()
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
        _print_json({"clips": len(dataset), "findings": [f.as_dict() for f in findings]})
    else:
        for finding in findings:
            print(finding.text())
        print(f"{len(dataset)} clips, {len(dataset.labels)} classes, {len(findings)} findings")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The classifier file to write.")
    ] = Path("demo.earmark"),
) -> None:
    """Train, estimate and predict offline, on the small example that earmark ships."""
    from earmark.demo import run

    run(output)


@backbones_app.command("list")
def list_backbones(as_json: Json = False) -> None:
    """List the backbones."""
    from earmark import backbones

    infos = [backbones.info(name) for name in backbones.names()]
    if as_json:
        _print_json({"backbones": [_described(info) for info in infos]})
        return
    print(f"{'name':<20} {'rate':>6} {'layers':>6} {'size':>8} {'download':>9}  good for")
    for info in infos:
        fetched = sum(file.bytes for file in backbones.weight_files(info.name))
        download = f"{fetched / 1e6:.0f} MB" if fetched else "none"
        print(
            f"{info.name:<20} {info.rate_hz // 1000:>2} kHz {len(info.layers):>6}"
            f" {info.parameters / 1e6:>6.1f} M {download:>9}  {info.summary} ({info.licence})"
        )
    print("hf:NAME-OR-FOLDER: a Wav2Vec2, HuBERT, WavLM, data2vec, UniSpeech-SAT, AST or Whisper.")


@backbones_app.command("show")
def show_backbone(name: str, as_json: Json = False) -> None:
    """Show what is known of a backbone: rate, windows, layers, source, licence."""
    from earmark import backbones

    described = _described(backbones.info(name))
    if as_json:
        _print_json(described)
        return
    for key, value in described.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        print(f"{key:<12} {shown}")


@backbones_app.command("fetch")
def fetch_backbone(
    name: str,
    to: Annotated[
        Path | None, typer.Option(help="A folder to keep the files in, for another machine.")
    ] = None,
) -> None:
    """Find or download a backbone's weights, check their hash, say where they are."""
    from earmark import backbones, weights

    files = backbones.weight_files(name)
    if not files:
        backbones.create(name)
        print(f"{name} is ready; there is nothing to fetch.")
    for file in files:
        with console.byte_bar(file.name) as bar:
            print(weights.fetch(file, to, bar))


@backbones_app.command("verify")
def verify_backbone(name: str) -> None:
    """Load a backbone's weights, check their hash and the network's published reference values."""
    from earmark import backbones

    backbone = backbones.create(name)
    print(backbone.fingerprint)
    print(backbone.verify())


@data_app.command("list")
def list_data(as_json: Json = False) -> None:
    """List the known data sets: size, licence, protocol."""
    from earmark import known_data

    sets = list(known_data.KNOWN.values())
    if as_json:
        _print_json({"data": [known.described() for known in sets]})
        return
    for known in sets:
        print(
            f"{known.name:<16} {known.clips:>7} clips {known.classes:>3} classes"
            f" {known.archive.bytes / 1e6:>6.0f} MB  {known.licence:<13} {known.protocol}"
        )


@data_app.command("fetch")
def fetch_data(
    name: str,
    to: Annotated[
        Path | None, typer.Option(help="The folder to unpack into; else the user's cache.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option("--from", help="A copy of its archive, used instead.")
    ] = None,
) -> None:
    """Download a known data set, or unpack an archive of it, and write its manifest."""
    from earmark import known_data

    known = known_data.find(name)
    console.say(f"{known.title}\nlicence: {known.licence}; see {known.page}")
    with console.byte_bar(known.archive.name) as bar:
        fetched = known_data.fetch(name, to, archive, bar)
    console.say(f"{fetched.clips} clips, {known.classes} classes; {known.protocol}")
    console.say(f"archive: {fetched.about_hash}")
    print(fetched.manifest)


@cache_app.command("show")
def show_cache(as_json: Json = False) -> None:
    """Show where the store is and what it holds."""
    from earmark.store import Store

    with Store() as store:
        rows = store.summary()
        if as_json:
            held = [{"backbone": f, "clips": n, "bytes": b} for f, n, b in rows]
            _print_json({"path": str(store.path), "held": held})
            return
        print(store.path)
    for fingerprint, clips, size in rows:
        print(f"{clips:>9} clips {size / 1e6:>9.1f} MB  {fingerprint}")


@cache_app.command("prune")
def prune_cache(
    max_mb: Annotated[float, typer.Option("--max-mb", min=0, help="Megabytes to keep.")],
) -> None:
    """Delete the oldest embeddings until the store holds --max-mb."""
    from earmark.store import Store

    with Store() as store:
        print(f"{store.prune(int(max_mb * 1e6))} clips deleted from {store.path}")


@cache_app.command("clear")
def clear_cache() -> None:
    """Delete the store; embeddings are computed anew when they are needed."""
    from earmark.store import delete_store

    print(f"deleted {delete_store()}")


def _described(info: Any) -> dict[str, Any]:
    layers = [f"{layer.name} ({layer.size})" for layer in info.layers]
    return {
        "name": info.name,
        "summary": info.summary,
        "parameters": info.parameters,
        "rate_hz": info.rate_hz,
        "window_s": info.window / info.rate_hz,
        "hop_s": info.hop / info.rate_hz,
        "layers": layers,
        "source": info.source,
        "licence": info.licence,
    }


def _one_form(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other; give one.")


def _paths(inputs: list[str]) -> Iterator[Path] | list[Path]:
    """Expand files and folders; '-' alone reads paths from standard input as they come."""
    from earmark.dataset import paths

    if inputs == ["-"]:
        return (Path(line.rstrip("\n")) for line in sys.stdin if line.strip())
    found = paths(inputs)
    if not found:
        raise DataError(f"no recordings in {', '.join(inputs)}; give files, or folders with some.")
    return found


def _store(no_store: bool) -> Any:
    import contextlib

    from earmark.store import Store

    return contextlib.nullcontext() if no_store else Store()


def _check_output(path: Path) -> None:
    """Refuse a place that cannot be written before hours are spent."""
    if path.is_dir() or not path.parent.is_dir():
        reason = "is a folder" if path.is_dir() else f"needs the folder {path.parent}"
        raise EarmarkError(f"cannot write {path}: it {reason}; name a file in an existing folder.")


def _finish(skipped: Any, allow_skips: bool) -> None:
    console.report_skipped(skipped)
    if skipped and not allow_skips:
        raise typer.Exit(1)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def _print_csv(row: list[str]) -> None:
    import csv

    csv.writer(sys.stdout, lineterminator="\n").writerow(row)
    sys.stdout.flush()


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error, no traceback."""
    try:
        app()
    except StoreError as error:
        console.say(f"error: {error}")
        sys.exit(1)
    except EarmarkError as error:
        console.say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        console.say("stopped; what was embedded so far is in the store.")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stdout = None
        sys.exit(1)


if __name__ == "__main__":
    main()
