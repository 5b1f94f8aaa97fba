"""``earmark embed DATA --plan``: what embedding would take, from a sample; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from earmark.apps.cli.options import DataOptions, EngineOptions, PlanOptions
from earmark.apps.cli.part_runs import root_of
from earmark.apps.cli.progress import progress_bar, span_text
from earmark.apps.cli.text import print_json, say, show
from earmark.embeddings import shares
from earmark.errors import amount
from earmark.system import extras
from earmark.system.threads import available_cores

if TYPE_CHECKING:
    from earmark.backbones.base import Backbone
    from earmark.embeddings.plan import Plan, Range, Work
    from earmark.system.progress import Progress

PRICE = 0.04  # of a core-hour, if none is given: about that of a cloud in 2026, in dollars
SAMPLE_CLIPS = 200
SEED = 0


def embed_plan(
    data: DataOptions,
    backbone: str,
    layers: str,
    engine: EngineOptions,
    planned: PlanOptions,
    *,
    as_json: bool,
) -> None:
    """Embed a sample of the data, and print what all of it would take."""
    extras.load("pyarrow", "parquet", "planning parts")
    from earmark.backbones.registry import load_backbone
    from earmark.embeddings.plan import at_hand, make_plan

    network = load_backbone(backbone, **asdict(engine))
    start_s = time.process_time()
    clips = data.blocks(shares.PART_CLIPS)
    with progress_bar("reading the rows") as bar:
        survey = clips.survey(planned.sample or SAMPLE_CLIPS, SEED)
        here, missing = at_hand(backbone)
        plan = make_plan(
            survey,
            network,
            root_of(data.source, data.root),
            layers=layers,
            options=data.audio(),
            start_s=start_s,
            others=_others(here, engine, bar),
            missing=missing,
        )
    price = PRICE if planned.price is None else planned.price
    cores = planned.cores or available_cores()
    if as_json:
        print_json(_json(plan, price, cores))
    else:
        show(*_lines(plan, price, cores, planned.price is not None), *_table(plan))
    if plan.missing:
        names = ", ".join(plan.missing)
        say(f"note: not compared, because their weights are not on this machine: {names}")


def _others(
    names: Sequence[str], engine: EngineOptions, progress: Progress | None
) -> Iterator[Backbone]:
    """Load one backbone after the other, so that only one is in memory."""
    from earmark.embeddings.plan import load_other

    for name in names:
        if progress is not None:
            progress.stage(f"comparing {name}", 0)
        yield load_other(name, engine.precision, engine.engine)


def _lines(plan: Plan, price: float, cores: int, is_own_price: bool) -> list[str]:
    work, hours = plan.work, plan.seconds.scaled(1 / 3600)
    total = work.core_s.scaled(1 / 3600)
    unit = "GPU-hour" if work.is_on_gpu else "core-hour"
    steps = [
        (work.fetch_s, "to fetch"),
        (work.read_s, "to read and decode"),
        (work.network_s, f"for {work.backbone} ({work.engine})"),
        (work.write_s, "to write"),
    ]
    parts = ", ".join(f"{_ms(s)} {what}" for s, what in steps if s > 0)
    whose = "your price" if is_own_price else "give yours with --price"
    waits = f", and {_ms(work.wait_s)} of waiting for a server" if work.wait_s > 0 else ""
    machine = "one GPU" if work.is_on_gpu else amount(cores, "core")
    return [
        f"sample     {plan.sample:,} of {amount(plan.n_clips, 'clip')},"
        f" {amount(plan.failures, 'failure')}; nothing was written",
        f"audio      {_range(hours)} h",
        f"a clip     {_ms(work.clip_s)} of a core: {parts}{waits}",
        f"work       {_range(total)} {unit}s, and {plan.start_s:.1f} s to start each job",
        f"storage    {_size(work.bytes)} in {amount(plan.n_parts, 'part')}",
        f"money      {_number(total.value * price)} at {price:g} a {unit} ({whose}), without"
        " storage and traffic",
        f"time       {span_text(plan.wall_s(cores))} on {machine} like this",
    ]


def _table(plan: Plan) -> list[str]:
    """Return a line for each backbone, with its work and storage."""
    if not plan.others:
        return []
    works = sorted([plan.work, *plan.others], key=lambda work: work.core_s.value)
    width = max(len(work.backbone) for work in works)
    header = f"{'backbone':<{width}}  {'core-hours':>11}  {'times':>7}  {'storage':>9}  engine"
    return ["", header, *(_row(work, plan.work, width) for work in works)]


def _row(work: Work, base: Work, width: int) -> str:
    times = work.core_s.value / max(1e-9, base.core_s.value)
    hours = _number(work.core_s.value / 3600)
    return (
        f"{work.backbone:<{width}}  {hours:>11}  {times:>7.2f}  {_size(work.bytes):>9}"
        f"  {work.engine}"
    )


def _range(estimate: Range) -> str:
    if estimate.low == estimate.high:
        return _number(estimate.value)
    high = "?" if estimate.high is None else _number(estimate.high)
    return f"{_number(estimate.value)} ({_number(estimate.low)} to {high})"


def _number(value: float) -> str:
    """Return three digits, or a whole number with commas."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ms(seconds: float) -> str:
    return f"{_number(1000 * seconds)} ms" if seconds < 1 else f"{_number(seconds)} s"


def _size(n_bytes: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if n_bytes >= size:
            return f"{_number(n_bytes / size)} {unit}"
    return f"{_number(n_bytes / 1e6)} MB"


def _json(plan: Plan, price: float, cores: int) -> dict[str, Any]:
    return {
        "backbone": plan.work.backbone,
        "clips": plan.n_clips,
        "parts": plan.n_parts,
        "sample": plan.sample,
        "failures": plan.failures,
        "seconds": asdict(plan.seconds),
        "start_seconds": plan.start_s,
        "work": _work_json(plan.work),
        "price": price,
        "money": plan.work.core_s.value / 3600 * price,
        "cores": cores,
        "wall_seconds": plan.wall_s(cores),
        "others": [_work_json(work) for work in plan.others],
        "missing": list(plan.missing),
    }


def _work_json(work: Work) -> dict[str, Any]:
    return {
        "backbone": work.backbone,
        "engine": work.engine,
        "is_on_gpu": work.is_on_gpu,
        "fetch_seconds": work.fetch_s,
        "read_seconds": work.read_s,
        "network_seconds": work.network_s,
        "write_seconds": work.write_s,
        "wait_seconds": work.wait_s,
        "core_seconds": asdict(work.core_s),
        "bytes": work.bytes,
    }
