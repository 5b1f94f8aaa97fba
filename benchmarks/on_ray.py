"""Compare ``embed --on ray`` with ``--on local``: CPU and wall-clock seconds, memory, bytes.

Usage: python benchmarks/on_ray.py [ROUNDS] [COPIES ...]. The recordings are those of Free Spoken
Digit, each COPIES times (1 and 5 by default): no part has a recording twice, so all are computed.
CPU and memory are those of all processes of a command, Ray's own included, sampled from /proc. So
it needs Linux. The files of both ways must have equal bytes.
"""

from __future__ import annotations

import collections
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import Run, describe, shared_data, spread, write
from parts import is_equal

WAYS = ("local", "ray")
MARK = "EARMARK_BENCHMARK"  # a variable in the environment of all processes of a command
SAMPLE_S = 0.05
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def sample(mark: str, strangers: set[str]) -> dict[str, tuple[float, float]]:
    """Return (CPU seconds, resident megabytes) of each process with ``mark``, by its number.

    ``strangers`` are processes without it, which are not looked at again.
    """
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or folder.name in strangers:
            continue
        try:
            if f"{MARK}={mark}\0".encode() not in (folder / "environ").read_bytes():
                strangers.add(folder.name)
                continue
            words = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it has ended
        found[folder.name] = (int(words[11]) + int(words[12])) / TICKS, int(words[21]) * PAGE_MB
    return found


def run_all(command: list[str], environment: dict[str, str]) -> Run:
    """Run a command to its end and measure all of its processes."""
    mark, start = f"{time.time_ns()}", time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment, MARK: mark}
    )
    cpu_s: dict[str, float] = {}
    strangers: set[str] = set()
    most_mb = 0.0
    while process.poll() is None:
        processes = sample(mark, strangers)
        cpu_s |= {number: seconds for number, (seconds, _) in processes.items()}
        most_mb = max(most_mb, sum(mb for _, mb in processes.values()))
        time.sleep(SAMPLE_S)
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}")
    return Run(seconds, most_mb, "", sum(cpu_s.values()))


def manifest(folder: Path, copies: int) -> Path:
    """Write a manifest with each recording ``copies`` times, the copies far from each other."""
    source = shared_data("fsdd") / "meta.csv"
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = next(name for name in ("path", "file", "filename") if name in rows[0])
    path = folder / f"{copies}.csv"
    lines = [str(source.parent / row[column]) for row in rows] * copies
    path.write_text("\n".join(["path", *lines]) + "\n")
    return path


def main() -> None:
    """Measure both ways and write results/on_ray.csv."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(describe())
    results = []
    for copies in [int(text) for text in sys.argv[2:]] or [1, 5]:
        runs: dict[str, list[Run]] = collections.defaultdict(list)
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                data = manifest(folder, copies)
                embed = [sys.executable, "-m", "earmark", "embed", str(data), "--engine", "torch"]
                for way in WAYS:
                    command = [*embed, "-o", str(folder / way), "--on", way]
                    runs[way].append(run_all(command, {"EARMARK_CACHE": str(folder / "cache")}))
                if not is_equal(*(folder / way for way in WAYS)):
                    sys.exit("the two ways gave other bytes")
        cpu = {way: [run.cpu_s for run in each] for way, each in runs.items()}
        for way, each in runs.items():
            row = {
                "clips": copies * 3_000,
                "way": way,
                "cpu_s": spread(cpu[way]),
                "cpu_ratio": spread([a / b for a, b in zip(cpu[way], cpu["local"], strict=True)]),
                "seconds": spread([run.seconds for run in each]),
                "resident_mb": round(statistics.median(run.megabytes for run in each)),
                "rounds": rounds,
            }
            print(row)
            results.append(row)
    write("on_ray", results)


if __name__ == "__main__":
    main()
