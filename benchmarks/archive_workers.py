"""`earmark index` with workers: CPU seconds over those of one process, and the same bytes.

    python benchmarks/archive_workers.py [HOURS ...]    # into results/archive_workers.csv

It writes recordings of an hour as `archive.py index` does, and indexes them with speech-embedding:
without workers, and with 1 and 2 processes of `--on local`, three times in turn. `cpu_s` is that of
all processes, start-up included. `own_cpu_s` is that of the command, which reads, merges and
writes; `own_start_s` of it is what the command takes when there is nothing to do.
"""

from __future__ import annotations

import collections
import hashlib
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from archive import write_hours
from machine import Run, describe, run, spread, write

ROUNDS = 3
COMMAND = """
import resource, sys
from earmark.apps.cli import main
from earmark.apps.cluster import local_workers
count = int(sys.argv[1])
local_workers.available_cores = lambda: count
sys.argv = ["earmark", "index", *sys.argv[2:], "--json"] + (["--on", "local"] if count else [])
try:
    main()
finally:
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(own.ru_utime + own.ru_stime)
"""


def indexed(folder: Path, archive: Path, workers: int) -> tuple[Run, float]:
    """Index a folder with so many workers; return the run, and the CPU seconds of the command."""
    command = [sys.executable, "-c", COMMAND, str(workers), str(folder), "-o", str(archive)]
    done = run(command, {"EARMARK_CACHE": str(folder.parent / "cache")})
    return done, float(done.output.split()[-1])


def digest(archive: Path) -> str:
    """Return the hash of all parts."""
    paths = sorted(archive.rglob("part-*.parquet"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def measure(hours: int) -> list[dict[str, object]]:
    """Index some hours with 0, 1 and 2 workers; return a row for each."""
    runs: dict[int, list[tuple[Run, float]]] = collections.defaultdict(list)
    digests: dict[int, set[str]] = collections.defaultdict(set)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "nights"
        folder.mkdir()
        write_hours(folder, hours)
        for number in range(ROUNDS):
            for workers in (0, 1, 2):
                archive = Path(name) / f"{workers}-{number}"
                runs[workers].append(indexed(folder, archive, workers))
                digests[workers].add(digest(archive))
        _, start_s = indexed(folder, archive, 2)
    rows: list[dict[str, object]] = []
    for workers, done in runs.items():
        plain = [run.cpu_s for run, _ in runs[0]]
        rows.append(
            {
                "hours": hours,
                "workers": workers,
                "cpu_s": round(statistics.median(run.cpu_s for run, _ in done), 1),
                "of_plain": spread([r.cpu_s / p for (r, _), p in zip(done, plain, strict=True)]),
                "seconds": round(statistics.median(run.seconds for run, _ in done), 1),
                "own_cpu_s": round(statistics.median(own for _, own in done), 1),
                "own_start_s": round(start_s, 1),
                "same_bytes": digests[workers] == digests[0] and len(digests[0]) == 1,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main(hours: Sequence[int]) -> None:
    """Measure each number of hours."""
    print(describe())
    write("archive_workers", [row for number in hours for row in measure(number)])


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1, 4])
