"""Answers by CPU time: ``earmark serve`` beside LitServe and a plain FastAPI script, in turns."""

from __future__ import annotations

import contextlib
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


@dataclass
class Entry:
    """A server, what it is asked, and what was measured in each round."""

    server: Server
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
        entries = [Entry(*stack.enter_context(one)) for one in _servers(bench)]
        _check_labels(entries)
        checked = _check_scores(bench, entries[0])
        for entry in entries:
            entry.server.sleep()
        for entry in entries:
            Entry(entry.server, entry.asks).measure(WARM_UP_S, bench.clients)
        for k in range(given.rounds):
            for entry in entries[k % len(entries) :] + entries[: k % len(entries)]:
                entry.measure(bench.seconds, bench.clients)
                settle(0.5)
        rows = [_row(entry, entries[0]) for entry in entries]
    with bench.earmark_serve(is_pinned=False) as server:
        own = Entry(server, material.asks(server, bench.contents))
        own.measure(WARM_UP_S, bench.clients)
        own.by_cpu, own.tallies = [], []
        for _ in range(given.rounds):
            own.measure(bench.seconds, bench.clients)
        rows.append(_row(own, None))
    print(f"the values of earmark predict --json: {checked}")
    bench.keep("capacity", rows, given.rivals)


def _servers(bench: Bench) -> Iterator[contextlib.AbstractContextManager[tuple[Server, list[Ask]]]]:
    """Yield the servers, ours first; each starts when it is entered."""
    python = bench.given.rivals
    yield _started(bench.earmark_serve(), material.raw, bench)
    yield _rival(bench, "FastAPI script", "plain_fastapi.py", material.raw)
    found = subprocess.run([python, "-c", "import litserve"], stderr=subprocess.DEVNULL)
    if found.returncode:
        print(f"LitServe is left out. Run: {python} -m pip install litserve.")
        return
    for size in BATCHES:
        name = f"LitServe, {f'batches of {size}' if size > 1 else 'no batches'}"
        yield _rival(bench, name, "with_litserve.py", lambda b: material.form(b, "request"), size)


def _rival(
    bench: Bench, name: str, script: str, make: Callable[[bytes], bytes], *more: object
) -> contextlib.AbstractContextManager[tuple[Server, list[Ask]]]:
    port = host.free_port()
    words = [bench.given.rivals, RIVALS / script, bench.model, port, *more]
    return _started(host.running(name, words, port), make, bench)


@contextlib.contextmanager
def _started(
    starting: contextlib.AbstractContextManager[Server],
    make: Callable[[bytes], bytes],
    bench: Bench,
) -> Iterator[tuple[Server, list[Ask]]]:
    with starting as server:
        yield server, material.asks(server, [make(body) for body in bench.bodies])


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
