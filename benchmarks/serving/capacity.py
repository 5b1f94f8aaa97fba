"""Answers by CPU time: ``earmark serve`` beside LitServe and a plain FastAPI script, in turns."""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import host, material
from .clients import Ask
from .common import Bench, settle, spread
from .host import Server
from .load import Load
from .tally import Tally

RIVALS = Path(__file__).parent / "rivals"
BATCHES = (1, 8)  # of LitServe
COMPARED = 3  # clips whose answers are compared with `earmark predict --json`
WARM_UP_S = 1.0


Make = Callable[[bytes], bytes]  # a request for a recording


@dataclass
class Entry:
    """A server, what it is asked, and what was measured in each round.

    ``kind`` is ``raw`` if a body is a recording, ``form`` if it is a form with a file.
    """

    server: Server
    kind: str
    asks: list[Ask]
    by_cpu: list[float] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)

    def measure(self, seconds: float, clients: int) -> None:
        """Ask in a closed loop; every answer counts, and so does all CPU time of the server.

        It sleeps before and after, so that it disturbs no other server.
        """
        self.server.wake()
        load, before = Load(self.server.port, self.asks), self.server.cpu_s()
        load.closed(clients)
        tally = load.run(seconds)
        spent = self.server.cpu_s() - before
        if tally.refused or tally.lost or tally.unaccounted:
            print(f"{self.server.name}: {tally.row()}", file=sys.stderr)
        self.server.sleep()
        self.by_cpu.append((tally.answers + tally.after) / spent)
        self.tallies.append(tally)


def capacity(bench: Bench) -> None:
    """Write results/serve_capacity.csv."""
    given, rows = bench.given, []
    with host.pinned(), contextlib.ExitStack() as stack:
        entries = [
            Entry(server, kind, material.asks(server, list(map(make, bench.bodies))))
            for starting, kinds in _servers(bench)
            for server in [stack.enter_context(starting)]
            for kind, make in kinds.items()
        ]
        _check_labels(entries)
        checked = _check_scores(bench, entries[0])
        for entry in entries:
            entry.server.sleep()
        for entry in entries:
            Entry(entry.server, entry.kind, entry.asks).measure(WARM_UP_S, bench.clients)
        for k in range(given.rounds):
            for entry in entries[k % len(entries) :] + entries[: k % len(entries)]:
                entry.measure(bench.seconds, bench.clients)
                settle(0.5)
        ours = {entry.kind: entry for entry in entries if entry.server is entries[0].server}
        rows = [_row(entry, ours[entry.kind]) for entry in entries]
    with bench.earmark_serve(is_pinned=False) as server:
        own = Entry(server, "raw", material.asks(server, bench.contents))
        own.measure(WARM_UP_S, bench.clients)
        own.by_cpu, own.tallies = [], []
        for _ in range(given.rounds):
            own.measure(bench.seconds, bench.clients)
        rows.append(_row(own, None))
    print(f"the values of earmark predict --json: {checked}")
    bench.keep("capacity", rows, given.rivals)


def _servers(
    bench: Bench,
) -> Iterator[tuple[contextlib.AbstractContextManager[Server], dict[str, Make]]]:
    """Yield the servers, ours first, and how each is asked; each starts when it is entered."""
    python = bench.given.rivals
    yield bench.earmark_serve(), {"raw": material.raw, "form": material.form}
    form = functools.partial(material.form, name="request")
    ways = {"raw": material.raw, "form": functools.partial(form, path="/v1/form")}
    yield _rival(bench, "FastAPI script", "plain_fastapi.py"), ways
    found = subprocess.run([python, "-c", "import litserve"], stderr=subprocess.DEVNULL)
    if found.returncode:
        print(f"LitServe is left out. Run: {python} -m pip install litserve.")
        return
    for size in BATCHES:
        name = f"LitServe, {f'batches of {size}' if size > 1 else 'no batches'}"
        yield _rival(bench, name, "with_litserve.py", size), {"form": form}


def _rival(
    bench: Bench, name: str, script: str, *more: object
) -> contextlib.AbstractContextManager[Server]:
    port = host.free_port()
    return host.running(name, [bench.given.rivals, RIVALS / script, bench.model, port, *more], port)


def _check_labels(entries: list[Entry]) -> None:
    """Stop if two servers give a clip different labels."""
    for entry in entries[1:]:
        for own, other in zip(entries[0].asks, entry.asks, strict=True):
            labels = [json.loads(ask.expected or b"")["label"] for ask in (own, other)]
            if labels[0] != labels[1]:
                sys.exit(f"{entry.server.name} answers {labels[1]!r} instead of {labels[0]!r}")


def _check_scores(bench: Bench, entry: Entry) -> str:
    """Say for how many clips the values are those of ``earmark predict --json``."""
    equal = 0
    pairs = zip(material.predicted(bench.model, bench.bodies[:COMPARED]), entry.asks, strict=False)
    for alone, ask in pairs:
        served = json.loads(ask.expected or b"")
        own = [{key: json.dumps(x[key]) for key in x if key in alone} for x in (alone, served)]
        own[0].pop("path")
        equal += own[0] == own[1]
    return f"{equal} of {COMPARED} clips are equal"


def _row(entry: Entry, first: Entry | None) -> dict[str, object]:
    """Return the figures of a server; ratios are ours to it, round by round."""
    ratios = [a / b for a, b in zip(first.by_cpu, entry.by_cpu, strict=True)] if first else []
    tallies = entry.tallies
    return {
        "server": entry.server.name,
        "kind": entry.kind,
        "per_cpu_s": round(statistics.median(entry.by_cpu), 1),
        "lowest": round(min(entry.by_cpu), 1),
        "highest": round(max(entry.by_cpu), 1),
        "ours_to_it": spread(ratios, 2) if ratios else "",
        "rounds": len(tallies),
        "per_s": spread([tally.goodput for tally in tallies]),
        "p50_ms": spread([tally.ms(50) for tally in tallies]),
        "p99_ms": spread([tally.ms(99) for tally in tallies]),
        "wrong": sum(tally.wrong for tally in tallies),
        "load_us": round(statistics.median(t.load_cpu_s / t.sent * 1e6 for t in tallies)),
    }
