"""Shared parts of the benchmarks: the machine and versions they print, and runs of commands."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "openvino", "numpy", "scikit-learn", "soundfile", "soxr", "ray")


def describe() -> str:
    """Return one line: processor, cores, Python, packages."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [row for row in cpuinfo.read_text().splitlines() if row.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    installed = [
        p for p in PACKAGES if importlib.util.find_spec(p.replace("scikit-learn", "sklearn"))
    ]
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in installed)
    return f"{name}, {cores} cores, Python {platform.python_version()}, {versions}"


def shared_data(name: str) -> Path:
    """Return a folder of the real recordings, or stop with a sentence."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EARMARK_TEST_DATA") or beside) / name
    if not folder.is_dir():
        sys.exit(f"no recordings at {folder}; set EARMARK_TEST_DATA to their folder")
    return folder


@dataclass(frozen=True)
class Run:
    """One run of a command: wall-clock and CPU seconds, peak resident megabytes, its output."""

    seconds: float
    megabytes: float
    output: str
    cpu_s: float = 0.0


def run(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run a command to its end and measure it, start-up included; a failure stops the benchmark."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(command), stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"failed: {' '.join(command)}")
    return Run(seconds, usage.ru_maxrss / 1024, output, usage.ru_utime + usage.ru_stime)


def earmark() -> str:
    """Return the command beside this interpreter."""
    found = shutil.which("earmark", path=str(Path(sys.executable).parent)) or shutil.which(
        "earmark"
    )
    return found or sys.exit("the command earmark is not installed")


def spread(values: Sequence[float]) -> str:
    """Return 'median (least to most)'."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def write(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows to results/NAME.csv, with the machine in each, and say where."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "machine"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "machine": describe()} for row in rows)
    print(f"-> benchmarks/results/{name}.csv")
