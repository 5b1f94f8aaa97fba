"""What a service does when too much comes: ten times its peak, slow sockets, attacks."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import host, material
from .clients import Ask
from .common import Bench, percent, settle
from .host import Server, Watch
from .load import Load
from .tally import Tally

TIMES = 10  # the peak
SLOW = 500
ATTACKERS = Path(__file__).parent / "attackers.py"
ATTACKED = ("--max-seconds", 10, "--max-bytes", 200_000, "--header-timeout", 1, "--body-timeout", 2)
HELPERS = Path(__file__).parents[2] / "tests" / "helpers"


def overload(bench: Bench) -> None:
    """Write results/serve_overload.csv: kept connections, then one for each request."""
    rows = []
    with host.pinned():
        for keeps in (True, False):
            with bench.earmark_serve() as server:
                asks = material.asks(server, bench.contents)
                bench.peak(server, asks, keeps)  # warm
                peak = bench.peak(server, asks, keeps)
                for _ in range(bench.given.rounds):
                    row, load = _overloaded(bench, server, asks, keeps, peak)
                    after = bench.peak(server, asks, keeps)
                    row |= {"peak_after": round(after, 1)}
                    row |= {"percent_of_peak": percent(load.goodput, (peak + after) / 2)}
                    rows.append({**row, **load.row()})
                    peak = after
    bench.keep("overload", rows)


def _overloaded(
    bench: Bench, server: Server, asks: list[Ask], keeps: bool, peak: float
) -> tuple[dict[str, object], Tally]:
    settle()
    with Watch(server) as watch:
        settle(2.0)
        before, faults = watch.take(), server.page_faults()
        load = Load(server.port, asks)
        load.open(TIMES * peak, bench.given.connections, keeps)
        load.watch_health()
        tally = load.run(bench.seconds)
        most, own = watch.most("pss_mb"), watch.most("own_mb")
        faults = server.page_faults() - faults
        settle(5.0)
        watch.take()
        settle(2.0)
        after = watch.take()
    return {
        "connections": "kept" if keeps else "new",
        "most": bench.given.connections,
        "offered_per_s": round(TIMES * peak),
        "sent_per_s": round(tally.sent / tally.seconds),
        "peak_before": round(peak, 1),
        "mb_before": before.pss_mb,
        "mb_most": most,
        "mb_more": round(most - before.pss_mb, 1),
        "mb_after": after.pss_mb,
        "own_mb_more": round(own - before.own_mb, 1),
        "own_mb_after": round(after.own_mb - before.own_mb, 1),
        "health_p50_ms": load.health.ms(50),
        "health_p99_ms": load.health.ms(99),
        "health_most_ms": load.health.ms(100),
        "page_faults": faults,
        "health_answers": f"{load.health.answers} of {load.health.sent}",
    }, tally


def slow(bench: Bench) -> None:
    """Write results/serve_slow.csv: goodput without, with, and without slow sockets."""
    rows: list[dict[str, object]] = []
    with host.pinned(), bench.earmark_serve() as server:
        asks = material.asks(server, bench.contents)
        bench.peak(server, asks)  # warm
        for is_with in _in_turns(bench.given.rounds):
            load, before = Load(server.port, asks), server.cpu_s()
            load.closed(bench.clients)
            if is_with:
                load.dawdle(SLOW, bench.contents[0])
            tally = load.run(bench.seconds if is_with else bench.seconds / 2)
            spent = server.cpu_s() - before
            ends = " ".join(f"{what}:{count}" for what, count in load.slow_ends.items())
            slow_row = {"slow_sockets": SLOW if is_with else 0, "slow_ended": ends}
            by_cpu = {"per_cpu_s": round(tally.answers / spent, 1)}
            rows.append({**slow_row, **by_cpu, **tally.row()})
            settle()
    _add_shares(rows, "slow_sockets")
    bench.keep("slow", rows)


def attacks(bench: Bench) -> None:
    """Write results/serve_attacks.csv: what attacks cost others, and serve_attackers.csv."""
    sys.path.insert(0, str(HELPERS))
    from attacks import TOKEN

    contents = [material.raw(body, Authorization=f"Bearer {TOKEN}") for body in bench.bodies]
    rows: list[dict[str, object]] = []
    answers: list[dict[str, object]] = []
    with host.pinned(), bench.earmark_serve("--token", TOKEN, *ATTACKED) as server:
        asks = material.asks(server, contents)
        bench.peak(server, asks)  # warm
        for is_with in _in_turns(bench.given.rounds):
            load, before = Load(server.port, asks), server.cpu_s()
            load.closed(bench.clients)
            with contextlib.ExitStack() as stack:
                if is_with:
                    attackers = stack.enter_context(_attackers(server, bench))
                tally = load.run(bench.seconds if is_with else bench.seconds / 2)
                spent = server.cpu_s() - before
                answers = json.loads(attackers.communicate(b"\n")[0]) if is_with else answers
            total = [sum(int(str(row[key])) for row in answers) for key in ("count", "right")]
            rows.append(
                {
                    "attacks": total[0] if is_with else 0,
                    "refused_rightly": total[1] if is_with else 0,
                    "attacks_per_s": round(total[0] / tally.seconds, 1) if is_with else 0,
                    "per_cpu_s": round(tally.answers / spent, 1),
                    **tally.row(),
                }
            )
            settle()
    _add_shares(rows, "attacks")
    bench.keep("attacks", rows)
    bench.keep("attackers", answers, shows=[row for row in answers if row["wrong"]])


def _in_turns(rounds: int) -> Iterator[bool]:
    """Yield whether a load is disturbed: no, yes, no, yes, ..., no."""
    yield False
    yield from itertools.chain.from_iterable([(True, False)] * rounds)


def _add_shares(rows: list[dict[str, object]], what: str) -> None:
    """Compare each disturbed load with the mean of its neighbours."""
    for k, row in enumerate(rows):
        row["percent_of_goodput"] = row["percent_of_p99"] = ""
        if row[what]:
            for name in ("goodput", "p99"):
                key = "p99_ms" if name == "p99" else name
                near = [float(str(rows[n][key])) for n in (k - 1, k + 1)]
                row[f"percent_of_{name}"] = percent(float(str(row[key])), sum(near) / 2)


@contextlib.contextmanager
def _attackers(server: Server, bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """Run the attackers in a process of their own; a line on their input ends them."""
    path = os.pathsep.join(filter(None, [str(HELPERS), os.environ.get("PYTHONPATH", "")]))
    process = subprocess.Popen(
        [sys.executable, str(ATTACKERS), str(server.port), str(bench.given.pause)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            sys.exit("the attackers did not start; look at the lines above")
        yield process
    finally:
        process.kill()
        process.wait()
