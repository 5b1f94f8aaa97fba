"""Compare `--on ray:ADDRESS` with two workers and with one: wall-clock seconds.

    python benchmarks/ray_workers.py [ROUNDS [COPIES]]

The recordings are those of Free Spoken Digit, each COPIES times (5). A cluster with room for one
worker or for two is started on the loopback first, which is not counted. Both have all cores of the
machine, so it needs two free ones. The files of both must have equal bytes. The cluster asks for
the token that `ray get-auth-token --generate` makes.
"""

from __future__ import annotations

import collections
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from machine import Run, describe, spread, write
from on_ray import manifest, run_all
from parts import is_equal

HOST = "127.0.0.1"
START_S = 60.0
SETTINGS = {  # the loopback interface only, and nobody else on this machine
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
}


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """Start a cluster with room for so many workers; yield its address."""
    ray = shutil.which("ray") or sys.exit("the command ray is not installed")
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    command = [sys.executable, ray, "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--node-ip-address={HOST}", f"--port={port}", f"--num-cpus={workers}"]
    command += ["--include-dashboard=false", f"--object-store-memory={1 << 28}"]
    process = subprocess.Popen(
        command,
        env={**os.environ, **SETTINGS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection((HOST, port), 1):
                break
            time.sleep(0.2)
        time.sleep(5)  # until the node has registered
        yield f"{HOST}:{port}"
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    """Measure both and write results/ray_workers.csv."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    copies = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(describe())
    runs: dict[int, list[Run]] = collections.defaultdict(list)
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            embed = [sys.executable, "-m", "earmark", "embed", str(manifest(folder, copies))]
            for workers in (1, 2):
                with cluster(workers) as address:
                    out = ["-o", str(folder / f"{workers}"), "--on", f"ray:{address}"]
                    own = {"EARMARK_CACHE": str(folder / "cache"), **SETTINGS}
                    runs[workers].append(run_all([*embed, "--engine", "torch", *out], own))
                    print(workers, runs[workers][-1], flush=True)
            if not is_equal(folder / "1", folder / "2"):
                sys.exit("one worker and two gave other bytes")
    ratios = [one.seconds / two.seconds for one, two in zip(runs[1], runs[2], strict=True)]
    rows = [
        {
            "clips": copies * 3_000,
            "workers": workers,
            "seconds": spread([run.seconds for run in each]),
            "faster_than_one": spread(ratios if workers == 2 else [1.0] * rounds),
            "rounds": rounds,
        }
        for workers, each in runs.items()
    ]
    for row in rows:
        print(row)
    write("ray_workers", rows)


if __name__ == "__main__":
    main()
