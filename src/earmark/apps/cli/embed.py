"""``earmark embed``: embeddings for use elsewhere."""

from dataclasses import asdict
from pathlib import Path

from typer import Option

from earmark.apps.cli.checks import check_backbones, check_output
from earmark.apps.cli.options import DATA, EngineOptions, RecordingOptions, RunOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import report_read_warnings
from earmark.summary import counted


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

    Labels are written beside them where DATA has some.
    """
    check_output(output)
    from earmark.dataset import Dataset

    dataset = Dataset.read(source, need_labels=False)
    check_backbones(backbone)
    from earmark.backbones import create
    from earmark.embed import embed
    from earmark.embedding_files import check_format, write_embeddings

    check_format(output)
    network = create(backbone, **asdict(engine))
    with run.store() as store, progress_bar("embedding", len(dataset)) as bar:
        audio = recordings.audio()
        embeddings = embed(dataset.clips, network, store, options=audio, progress=bar)
    output.parent.mkdir(exist_ok=True)
    write_embeddings(output, embeddings, layers)
    clips = counted(len(embeddings.clips), "clip")
    print(f"{clips}, {embeddings.seconds:.0f} s of audio -> {output}")
    report_read_warnings(embeddings.warnings)
    run.finish(embeddings.failures)
