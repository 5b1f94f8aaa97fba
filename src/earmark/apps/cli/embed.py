"""``earmark embed``: embeddings for use elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli.checks import check_backbones, check_output
from earmark.apps.cli.embed_parts import LOCAL, embed_parts, is_folder, parse_share
from earmark.apps.cli.embed_plan import embed_plan
from earmark.apps.cli.options import JSON, DataOptions, EngineOptions, PlanOptions, RunOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import print_json, report_read_warnings, show, skipped_json
from earmark.errors import DataError, EarmarkError, amount

if TYPE_CHECKING:
    from earmark.embeddings.embedding import Embeddings


def embed(
    *,
    data: DataOptions,
    output: Path | None = Option(
        None, "-o", "--output", help="The .npz or .parquet file to write, or a folder for parts."
    ),
    backbone: str = Option("speech-embedding", help="The pretrained network: NAME."),
    layers: str = Option("all", help="The layers to write: last, all, or NAME,NAME..."),
    on: str | None = Option(
        None, help="With a folder: what computes the parts: local, ray or ray:ADDRESS."
    ),
    share: str | None = Option(
        None, help="With a folder: compute only the parts of job I of N, written I/N."
    ),
    engine: EngineOptions,
    planned: PlanOptions,
    as_json: bool = JSON,
    run: RunOptions,
) -> None:
    """Write the embeddings of DATA to a file for use elsewhere, or to a folder of parts.

    If DATA has labels, the file has them too. A folder gets a Parquet file for each 1,024 clips;
    the same command computes only files that are missing or damaged, and checks the others.
    """
    planned.check()
    if planned.plan:
        if share or on:
            raise EarmarkError("--plan is for all parts. Leave out --share and --on.")
        check_backbones(backbone)
        embed_plan(data, backbone, layers, engine, planned, as_json=as_json)
        return
    if output is None:
        raise EarmarkError("there is no output. Give -o FILE or -o FOLDER, or --plan.")
    own_share = parse_share(share, on, output)
    if is_folder(output):
        check_backbones(backbone)
        embed_parts(
            data,
            output,
            backbone,
            layers,
            own_share,
            engine,
            run,
            on=on or LOCAL,
            as_json=as_json,
        )
        return
    from earmark.embeddings.files import check_format

    check_format(output)
    check_output(output, data.source)
    check_backbones(backbone)
    dataset = data.read(need_labels=False)
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
            options=data.audio(),
            progress=bar,
        )
    if as_json:
        print_json(_json(embeddings, output))
    elif embeddings.clips:
        clips = amount(len(embeddings.clips), "clip")
        show(f"{clips}, {embeddings.seconds:.0f} s of audio -> {output}")
    report_read_warnings(embeddings.warnings, embeddings.notes)
    run.finish(embeddings.failures)
    if not embeddings.clips:
        raise DataError(
            f"no recording of {data.source} could be read, so {output} was not written. Run"
            " `earmark doctor` on the data."
        )


def _json(embeddings: Embeddings, output: Path) -> dict[str, Any]:
    return {
        "output": str(output) if embeddings.clips else None,
        "backbone": embeddings.info.name,
        "clips": len(embeddings.clips),
        "seconds": embeddings.seconds,
        "skipped": skipped_json(embeddings.failures),
        "warnings": list(embeddings.warnings),
        "notes": list(embeddings.notes),
    }
