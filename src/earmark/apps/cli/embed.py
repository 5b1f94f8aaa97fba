"""``earmark embed``: embeddings for use elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from earmark.apps.cli.checks import check_backbones, check_folder, check_output
from earmark.apps.cli.embed_plan import embed_plan
from earmark.apps.cli.options import JSON, DataOptions, EngineOptions, PlanOptions, RunOptions
from earmark.apps.cli.part_options import PartOptions, is_folder
from earmark.apps.cli.part_runs import PartTask, compute_folder, root_of
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import print_json, report_read_warnings, show, skipped_json
from earmark.embeddings import shares
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
    parts: PartOptions,
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
        if parts.are_given:
            raise EarmarkError(
                "--plan is for all parts. Leave out --share, --on and --retry-failed."
            )
        check_backbones(backbone)
        embed_plan(data, backbone, layers, engine, planned, as_json=as_json)
        return
    if output is None:
        raise EarmarkError("there is no output. Give -o FILE or -o FOLDER, or --plan.")
    from earmark.embeddings.files import FORMATS, check_format

    is_in_parts = is_folder(output, FORMATS)
    parts.check(output, is_in_parts)
    if is_in_parts:
        _embed_parts(data, output, backbone, layers, parts, engine, as_json, run)
        return
    check_format(output)
    check_output(output, data.source)
    check_backbones(backbone)
    _embed_file(data, output, backbone, layers, engine, as_json, run)


def _embed_file(
    data: DataOptions,
    output: Path,
    backbone: str,
    layers: str,
    engine: EngineOptions,
    as_json: bool,
    run: RunOptions,
) -> None:
    """Write the embeddings of all clips to one file."""
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


def _embed_parts(
    data: DataOptions,
    output: Path,
    backbone: str,
    layers: str,
    parts: PartOptions,
    engine: EngineOptions,
    as_json: bool,
    run: RunOptions,
) -> None:
    """Compute the missing parts of a share into a folder, and check the others."""
    check_backbones(backbone)
    parts.load()
    check_folder(output, data.source)
    clips = data.blocks(shares.PART_CLIPS)
    how = {"backbone": backbone, "engine": asdict(engine), "layers": layers}
    how["audio"] = asdict(data.audio())
    root, about = root_of(data.source, data.root), {"separator": clips.separator}
    task = PartTask("embed", how, data.source, root, clips.blocks, clips.count, about)
    done = compute_folder(task, output, parts)
    run.finish(done.finish(as_json, backbone=done.folder.settings.to_json()["backbone"]))


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
