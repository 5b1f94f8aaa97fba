"""What is lost when a service loads its classifiers anew (HUP), and when it stops (TERM)."""

from __future__ import annotations

import signal

from . import host, material
from .clients import Ask
from .common import Bench
from .host import Server
from .load import Load
from .loop import clock
from .tally import Tally

HUP_EVERY_S = 2.0
TERM_AFTER_S = 2.0


def reload(bench: Bench) -> None:
    """Write results/serve_reload.csv: a HUP every 2 s, closed and open loops."""
    rows = []
    with host.pinned():
        for keeps in (True, False):
            with bench.earmark_serve() as server:
                asks = material.asks(server, bench.contents)
                peak = bench.peak(server, asks, keeps)
                for rate in (0.0, peak / 2):
                    rows.append(_reloaded(bench, server, asks, keeps, rate))
    bench.keep("reload", rows)


def _reloaded(
    bench: Bench, server: Server, asks: list[Ask], keeps: bool, rate: float
) -> dict[str, object]:
    pids, n_signals = set(server.pids()), 0

    def hup() -> None:
        nonlocal n_signals
        if n_signals * HUP_EVERY_S < bench.seconds and not server.has_ended():
            server.signal(signal.SIGHUP)
            n_signals += 1

    load = _loaded(bench, server, asks, keeps, rate)
    load.call(1.0, lambda: load.loop.every(HUP_EVERY_S, hup))
    tally = load.run(bench.seconds)
    return {
        "connections": "kept" if keeps else "new",
        "loop": f"open, {rate:.0f} a second" if rate else f"closed, {bench.clients} clients",
        "hups": n_signals,
        "new_processes": len(set(server.pids()) - pids),
        "ended": "yes" if server.has_ended() else "no",
        "lost": tally.lost,
        "unaccounted": tally.unaccounted,
        **tally.row(),
    }


def term(bench: Bench) -> None:
    """Write results/serve_term.csv: a TERM while clients ask, several times."""
    rows = []
    with host.pinned():
        for k in range(bench.given.rounds * 2):
            keeps = k % 2 == 0
            with bench.earmark_serve() as server:
                asks = material.asks(server, bench.contents)
                rows.append(_stopped(bench, server, asks, keeps))
    bench.keep("term", rows)


def _stopped(bench: Bench, server: Server, asks: list[Ask], keeps: bool) -> dict[str, object]:
    times: dict[str, float] = {}

    def stop() -> None:
        server.signal(signal.SIGTERM)
        times["stop"] = clock()

    def look() -> None:
        if server.has_ended():
            times.setdefault("end", clock())

    load = _loaded(bench, server, asks, keeps, 0.0)
    load.call(TERM_AFTER_S, stop)
    load.loop.every(0.02, look)
    tally = load.run(TERM_AFTER_S + bench.seconds)
    status = server.stop()
    return {
        "connections": "kept" if keeps else "new",
        "clients": bench.clients,
        "answers_until_end": tally.answers + tally.after,
        "seconds_to_end": round(times.get("end", clock()) - times["stop"], 2),
        "exit_status": status,
        "lost": tally.lost,
        "unaccounted": tally.unaccounted,
        **_without_rates(tally),
    }


def _loaded(bench: Bench, server: Server, asks: list[Ask], keeps: bool, rate: float) -> Load:
    load = Load(server.port, asks)
    if rate:
        load.open(rate, bench.given.connections, keeps)
    else:
        load.closed(bench.clients, keeps)
    return load


def _without_rates(tally: Tally) -> dict[str, object]:
    return {key: value for key, value in tally.row().items() if key != "goodput"}
