"""``earmark embed``: embeddings for use elsewhere."""

from dataclasses import asdict
from pathlib import Path

from typer import Option

from earmark.apps.cli.checks import check_backbones, check_output
from earmark.apps.cli.options import DataOptions, EngineOptions, RunOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import report_read_warnings
from earmark.errors import amount


def embed(
    *,
    data: DataOptions,
    output: Path = Option(..., "-o", "--output", help="An .npz or .parquet file."),
    backbone: str = Option("speech-embedding", help="NAME of a backbone."),
    layers: str = Option("all", help="last, all, or NAME,NAME..."),
    engine: EngineOptions,
    run: RunOptions,
) -> None:
    """Write the embeddings of DATA for use elsewhere.

    Labels are written beside them if DATA has some.
    """
    from earmark.embeddings.files import check_format, write_embeddings

    check_format(output)
    check_output(output)
    check_backbones(backbone)
    dataset = data.read(need_labels=False)
    from earmark.backbones.registry import load_backbone
    from earmark.embeddings.embedding import embed

    network = load_backbone(backbone, **asdict(engine))
    with run.store() as store, progress_bar("embedding", len(dataset)) as bar:
        audio = data.audio()
        embeddings = embed(dataset.clips, network, store, options=audio, progress=bar)
    output.parent.mkdir(exist_ok=True)
    write_embeddings(output, embeddings, layers)
    clips = amount(len(embeddings.clips), "clip")
    print(f"{clips}, {embeddings.seconds:.0f} s of audio -> {output}")
    report_read_warnings(embeddings.warnings)
    run.finish(embeddings.failures)
