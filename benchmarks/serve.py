"""Measure ``earmark serve`` against the targets of a service, on the loopback (Linux).

    python benchmarks/serve.py capacity [--rivals PYTHON]   # answers by CPU time, beside others
    python benchmarks/serve.py overload                     # ten times the peak
    python benchmarks/serve.py slow                         # 500 slow sockets
    python benchmarks/serve.py attacks                      # the attacks of the tests, all the time
    python benchmarks/serve.py reload                       # HUP under load
    python benchmarks/serve.py term                         # TERM under load
    python benchmarks/serve.py soak [--minutes 60]          # mixed load for long
    python benchmarks/serve.py all                          # all of these, soak last

Each writes results/serve_NAME.csv. The server is the command ``earmark serve`` with a classifier of
spoken digits (speech-embedding) and one computing process. All its processes run on the first core,
the load on the second. Clips have 1 s at 8 kHz. The load knows the answer to each clip alone, and
compares every answer with it. Latencies count from the time at which a request was due.

``capacity`` compares with LitServe (pip install litserve) and a FastAPI script, in
benchmarks/serving/rivals/. ``--rivals`` names a Python that has litserve, if this one has not.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from machine import describe
from serving.capacity import capacity
from serving.common import Bench
from serving.overload import attacks, overload, slow
from serving.soak import soak
from serving.stopping import reload, term

WHAT = {
    "capacity": capacity,
    "overload": overload,
    "slow": slow,
    "attacks": attacks,
    "reload": reload,
    "term": term,
    "soak": soak,
}
SECONDS = {"capacity": 10, "overload": 30, "slow": 60, "attacks": 60, "reload": 30, "term": 4}
ROUNDS = {"capacity": 5, "overload": 1, "slow": 1, "attacks": 1, "reload": 1, "term": 5}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=(*WHAT, "all"))
    parser.add_argument("--model", type=Path, help="a classifier, if not one of spoken digits")
    parser.add_argument(
        "--cache", type=Path, default=Path("build/bench"), help="for the classifier"
    )
    parser.add_argument("--seconds", type=float, help="of a load, instead of the usual")
    parser.add_argument("--rounds", type=int, help="instead of the usual number")
    parser.add_argument("--clients", type=int, default=16, help="of a closed loop")
    parser.add_argument("--peak-seconds", type=float, default=10, help="to find the peak")
    parser.add_argument("--rivals", default=sys.executable, help="a Python that has litserve")
    parser.add_argument("--connections", type=int, default=900, help="most of an open loop")
    parser.add_argument("--pause", type=float, default=5, help="seconds between equal attacks")
    parser.add_argument("--minutes", type=float, default=60, help="of the mixed load")
    parser.add_argument("--row-seconds", type=float, default=60, help="of a row of the mixed load")
    parser.add_argument("--no-hup", action="store_true", help="leave HUP out of the mixed load")
    parser.add_argument("--option", action="append", default=[], help="more for earmark serve")
    return parser.parse_args()


def main() -> None:
    """Measure one thing, or all."""
    given = options()
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("benchmarks/serve.py reads /proc and pins processes. Run it on Linux.")
    print(describe(), flush=True)
    seconds, rounds, failed = given.seconds, given.rounds, []
    for what in WHAT if given.what == "all" else (given.what,):
        print(f"\n{what}", flush=True)
        given.seconds = seconds or SECONDS.get(what)
        given.rounds = rounds or ROUNDS.get(what)
        try:
            WHAT[what](Bench(given, given.cache))
        except (Exception, SystemExit) as error:  # the others are measured all the same
            if given.what != "all":
                raise
            failed.append(what)
            print(f"{what} failed: {type(error).__name__}: {error}", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
