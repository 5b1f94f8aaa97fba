"""``earmark embed DATA -o DIR``: a folder of parts, computed by one job or by many."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cli import signals
from earmark.apps.cli.checks import check_folder
from earmark.apps.cli.options import DataOptions, EngineOptions, RunOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import print_json, report_read_warnings, say, show, skipped_json
from earmark.apps.cluster.ray_package import load_ray
from earmark.embeddings import shares
from earmark.embeddings.shares import ALL, Share
from earmark.errors import EarmarkError, amount
from earmark.system import extras

if TYPE_CHECKING:
    from earmark.data.parts import PartSummary
    from earmark.embeddings.part import Part
    from earmark.embeddings.part_folder import PartFolder
    from earmark.embeddings.parts import PartsRun
    from earmark.embeddings.stages import Failure
    from earmark.system.progress import Progress

LOCAL, RAY = "local", "ray"  # values of --on


def is_folder(output: Path) -> bool:
    """Return whether an output of ``embed`` is a folder: one that exists, or has no suffix.

    A name that ends like a file of embeddings is a file.
    """
    from earmark.embeddings.files import FORMATS

    return output.suffix not in FORMATS and (os.path.isdir(output) or not output.suffix)


def parse_share(share: str | None, on: str | None, output: Path) -> Share:
    """Return the share that ``--share`` names; refuse values of ``--share`` and ``--on``."""
    if on is not None and not re.fullmatch(rf"{LOCAL}|{RAY}(:.+)?", on):
        raise EarmarkError(
            f"--on is {on!r}. Give local or ray, which are this machine, or ray:ADDRESS."
        )
    if (share or on) and not is_folder(output):
        raise EarmarkError(
            f"--share and --on need a folder, and {output} is a file. Name a folder with -o."
        )
    return ALL if share is None else Share.parse(share)


def embed_parts(
    data: DataOptions,
    output: Path,
    backbone: str,
    layers: str,
    share: Share,
    engine: EngineOptions,
    run: RunOptions,
    *,
    on: str,
    as_json: bool,
) -> None:
    """Compute the missing parts of a share into the folder ``output``, and check the others.

    ``on`` says what computes them: 'local', 'ray' or 'ray:ADDRESS'.
    """
    extras.load("pyarrow", "parquet", "writing parts")
    address = on.partition(":")[2]
    if on != LOCAL:
        load_ray(address)
    check_folder(output, data.source)
    clips = data.blocks(shares.PART_CLIPS)
    from earmark.backbones.registry import load_backbone
    from earmark.embeddings.part import PartSettings, divide
    from earmark.embeddings.part_folder import PartFolder
    from earmark.embeddings.parts import compute_parts

    network = load_backbone(backbone, **asdict(engine))
    settings = PartSettings.of(network, data.audio(), layers)
    root = data_root(data)
    about = {"root": str(root), "separator": clips.separator}
    folder = PartFolder(output, settings, about)
    signals.goes_on()
    parts = divide(clips.blocks(share), settings, root)
    with progress_bar("embedding", clips.count(share)) as bar:
        if on == LOCAL:
            done = compute_parts(folder, parts, network, root, options=data.audio(), progress=bar)
        else:
            done = _on_ray(address, folder, parts, root, layers, engine, bar)
    table = folder.write_table(done.summaries, share)
    failures, warnings = _problems(folder, done.summaries, root)
    if as_json:
        print_json(_json(folder, share, done, table, failures, warnings))
    else:
        show(*_lines(folder, share, done))
    report_read_warnings(warnings)
    _report(folder, share, done)
    run.finish(failures)


def _on_ray(
    address: str,
    folder: PartFolder,
    parts: Iterable[Part],
    root: Path,
    layers: str,
    engine: EngineOptions,
    progress: Progress | None,
) -> PartsRun:
    from earmark.apps.cluster.parts import compute_on
    from earmark.apps.cluster.ray_cluster import ray_cluster
    from earmark.apps.cluster.worker import job_of

    place = Path(os.path.abspath(folder.path))
    job = job_of(folder.settings, layers, asdict(engine), place, root)
    return compute_on(functools.partial(ray_cluster, address, job), folder, parts, progress)


def data_root(data: DataOptions) -> Path:
    """Return the folder that the paths of the data start from."""
    source = Path(os.path.abspath(data.root or data.source))
    return source if source.is_dir() else source.parent


def _problems(
    folder: PartFolder, summaries: Sequence[PartSummary], root: Path
) -> tuple[list[Failure], list[str]]:
    """Return the clips of all parts that could not be read, and warnings about the others."""
    from earmark.data.clip import Clip
    from earmark.embeddings.part_files import problems_of
    from earmark.embeddings.stages import Failure
    from earmark.system.objects import is_uri

    failures, warnings = [], list[str]()
    for summary in summaries:
        if not summary.failures and not summary.warnings:
            continue
        for path, error, warning in problems_of(folder.path / summary.file):
            place = path if is_uri(path) else str(root / path)
            if error is not None:
                failures.append(Failure(Clip(place), error))  # type: ignore[arg-type]
            warnings += [f"{place}: {text}" for text in (warning or "").splitlines()]
    return failures, warnings


def _lines(folder: PartFolder, share: Share, done: PartsRun) -> list[str]:
    parts = done.summaries
    clips, failures = (sum(getattr(p, name) for p in parts) for name in ("clips", "failures"))
    hours = sum(part.seconds for part in parts) / 3600
    what = f" of share {share}" if share.count > 1 else ""
    return [
        f"{amount(clips, 'clip')}, {amount(failures, 'failure')}, {hours:,.2f} h of audio:"
        f" {amount(len(parts), 'part')}{what}, {done.computed:,} computed now -> {folder.path}"
    ]


def _report(folder: PartFolder, share: Share, done: PartsRun) -> None:
    """Print notes on machines that differ, and on files that belong to no part."""
    machines = _machines(done.summaries)
    if len(machines) > 1:
        say(
            f"note: the parts were computed on {len(machines)} kinds of machines, which the table"
            " names; their numbers agree to about 1e-5, but not to the last bit"
        )
    others = folder.others(done.summaries) if share == ALL else []
    if others:
        verb = "belongs" if len(others) == 1 else "belong"
        say(
            f"note: {amount(len(others), 'file')} in {folder.path} {verb} to no part of this data,"
            f" such as {others[0]}; delete what nothing else needs"
        )


def _machines(summaries: Sequence[PartSummary]) -> list[str]:
    return sorted({summary.machine for summary in summaries})


def _json(
    folder: PartFolder,
    share: Share,
    done: PartsRun,
    table: Path,
    failures: Sequence[Failure],
    warnings: Sequence[str],
) -> dict[str, Any]:
    parts = done.summaries
    return {
        "output": str(folder.path),
        "table": str(table),
        "backbone": folder.settings.backbone,
        "share": str(share),
        "parts": len(parts),
        "computed": done.computed,
        "clips": sum(part.clips for part in parts),
        "failures": sum(part.failures for part in parts),
        "seconds": sum(part.seconds for part in parts),
        "machines": _machines(parts),
        "skipped": skipped_json(failures),
        "warnings": list(warnings),
    }
