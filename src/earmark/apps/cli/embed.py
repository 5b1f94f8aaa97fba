"""``earmark embed``: embeddings for use elsewhere."""

from dataclasses import asdict
from pathlib import Path

from typer import Option

from earmark.apps.cli.checks import check_backbones, check_output
from earmark.apps.cli.options import DATA, EngineOptions, RecordingOptions, RunOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import report_read_warnings
from earmark.errors import amount


def embed(
    *,
    source: str = DATA,
    output: Path = Option(..., "-o", "--output", help="An .npz or .parquet file."),
    backbone: str = Option("speech-embedding", help="NAME of a backbone."),
    layers: str = Option("all", help="last, all, or NAME,NAME..."),
    recordings: RecordingOptions,
    engine: EngineOptions,
    run: RunOptions,
) -> None:
    """Write the embeddings of DATA for use elsewhere.

    Labels are written beside them if DATA has some.
    """
    from earmark.embeddings.files import check_format

    check_format(output)
    check_output(output)
    check_backbones(backbone)
    from earmark.data.dataset import Dataset

    dataset = Dataset.read(source, need_labels=False)
    from earmark.backbones.registry import load_backbone
    from earmark.embeddings.embedding import embed_to_file

    network = load_backbone(backbone, **asdict(engine))
    with run.store() as store, progress_bar("embedding", len(dataset)) as bar:
        embeddings = embed_to_file(
            output,
            dataset.clips,
            network,
            store,
            layers=layers,
            options=recordings.audio(),
            progress=bar,
        )
    clips = amount(len(embeddings.clips), "clip")
    print(f"{clips}, {embeddings.seconds:.0f} s of audio -> {output}")
    report_read_warnings(embeddings.warnings)
    run.finish(embeddings.failures)
