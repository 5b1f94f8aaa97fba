"""The command line: `python -m tools.mutants`."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections import Counter
from pathlib import Path

from .coverage import measure
from .modules import BUILD, MODULES
from .mutant import sampled, survivors
from .processes import preload
from .summary import summarise
from .trying import IMPORT, TOO_SLOW, try_all


def options() -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutants",
        description="Break the library in one place at a time, and count how often a test fails.",
    )
    add = parser.add_argument
    add("--seed", type=int, default=0, help="draws the mutants")
    add("--count", type=int, default=200, help="number of mutants")
    add("--module", action="append", choices=MODULES, help="only mutants of this module")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="mutants that are tried at a time")
    add("--again", type=Path, metavar="CSV", help="try the survivors of an earlier run again")
    add("--go-on", action="store_true", help="keep mutants that an interrupted run killed")
    add("--measure", action="store_true", help="only measure which tests execute which lines")
    add("--list", action="store_true", help="only print the mutants")
    add("--record", action="store_true", help="write a row of benchmarks/results/mutants.csv")
    return parser.parse_args()


def main() -> None:
    asked = options()
    if asked.again:
        mutants = survivors(asked.again)
    else:
        mutants = sampled(asked.seed, asked.count, asked.module or tuple(MODULES))
    if asked.list:
        for mutant in mutants:
            print(f"{mutant.module}:{mutant.line} {mutant.before} -> {mutant.after}")
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    start = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell ignores them for a background job
        signal.signal(number, signal.default_int_handler)
    preload()
    if asked.measure:
        measure(asked.jobs)
        return
    to = BUILD / ("again.csv" if asked.again else f"seed-{asked.seed}.csv")
    counts = try_all(mutants, to, asked.jobs, asked.go_on)
    minutes = (time.monotonic() - start + counts["seconds before"] / asked.jobs) / 60
    report(counts, minutes, to)
    if asked.record:
        summarise(asked.seed, len(mutants), counts, minutes)


def report(counts: Counter[str], minutes: float, to: Path) -> None:
    """Print how many mutants were killed, and how."""
    judged = counts["killed"] + counts["survived"]
    print(
        f"{counts['killed']} of {judged} mutants were killed"
        f" ({counts['killed'] / max(1, judged):.1%}): {counts[IMPORT]} of them because a test file"
        f" could not be imported, {counts[TOO_SLOW]} because the tests took too long."
        f" {counts['survived']} survived. {counts['equivalent']} more are equivalent."
        f" It took {minutes:.1f} minutes. Each mutant is a row of {to}."
    )


if __name__ == "__main__":
    main()
