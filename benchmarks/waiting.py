"""Measure waiting times: an error, an import, the first lines of output, the second prediction.

    python benchmarks/waiting.py

All are CPU seconds of one thread. Errors and the import are whole processes, start-up included. The
lines are those of `earmark train` on a terminal, timed from the start of the process (only on
Linux). The second prediction is `Classifier.predict` of one clip of 1 s after a first call, with
`speech-embedding`; median of 20.
"""

from __future__ import annotations

import os
import pty
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import earmark
from earmark.data import example
from machine import describe, spread, write
from machine import earmark as command

REPEATS = 7
CALLS = 20
RATE_HZ = 16_000
MISTAKES = {  # the mistake, and arguments with it
    "wrong path": ("nowhere",),
    "wrong column": (str(example()), "--label", "species"),
    "wrong backbone": (str(example()), "--backbone", "yamnett"),
    "wrong fine-tuning": (str(example()), "--finetune", "last:0"),
}

LINES = {  # output of `earmark train`, in order
    "train says what it read": " classes; ",
    "train shows its bar": "starting",
    "train begins to embed": "embedding with",
}


def cpu_seconds(arguments: Sequence[str], code: int) -> float:
    """Return the CPU seconds of a whole process that must exit with ``code``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(arguments, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != code:
        sys.exit(f"failed: {' '.join(arguments)}: {done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def lines_shown(arguments: Sequence[str]) -> dict[str, float]:
    """Run a command on a terminal; return its CPU seconds until each of LINES appears."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(arguments[0], list(arguments))
    shown, text = dict[str, float](), ""
    while len(shown) < len(LINES):
        text += os.read(terminal, 65_536).decode(errors="replace")
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for what, line in LINES.items():
            if line in text:
                shown.setdefault(what, seconds)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(terminal)
    return shown


def second_answer() -> list[float]:
    """Return the CPU seconds of each call after the first."""
    training = earmark.train(example(), backbone="speech-embedding", compare=False)
    x = np.random.default_rng(0).normal(size=RATE_HZ).astype(np.float32) * 0.1
    training.classifier.predict(x, rate_hz=RATE_HZ)
    seconds = []
    for _ in range(CALLS):
        start = time.process_time()
        training.classifier.predict(x, rate_hz=RATE_HZ)
        seconds.append(time.process_time() - start)
    return seconds


def main() -> None:
    """Measure all and write results/waiting.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    print(describe())
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EARMARK_CACHE"] = folder
        for what, arguments in MISTAKES.items():
            line = [command(), "train", *arguments, "-o", str(Path(folder) / "m.earmark")]
            measured[what] = [cpu_seconds(line, 2) for _ in range(REPEATS)]
        line = [sys.executable, "-c", "import earmark.data"]
        measured["import earmark.data"] = [cpu_seconds(line, 0) for _ in range(REPEATS)]
        line = [command(), "train", str(example()), "-o", str(Path(folder) / "m.earmark")]
        line += ["--backbone", "speech-embedding"]
        runs = [lines_shown(line) for _ in range(REPEATS)]
        measured |= {what: [run[what] for run in runs] for what in LINES}
        measured["second predict of a clip of 1 s"] = second_answer()
    for what, seconds in measured.items():
        print(f"{what}: {1000 * statistics.median(seconds):.1f} ms; {spread(seconds)} s")
    write(
        "waiting",
        [
            {
                "what": what,
                "cpu_ms_median": round(1000 * statistics.median(seconds), 1),
                "cpu_ms_min": round(1000 * min(seconds), 1),
                "cpu_ms_max": round(1000 * max(seconds), 1),
                "repeats": len(seconds),
            }
            for what, seconds in measured.items()
        ],
    )


if __name__ == "__main__":
    main()
