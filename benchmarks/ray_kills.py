"""Kill actors and drivers of `--on ray` with SIGKILL at random moments: same bytes, what is lost.

    python benchmarks/ray_kills.py [KILLS [COPIES [SEED]]]

The recordings are those of Free Spoken Digit, each COPIES times (5). A run is started anew until it
ends by itself, then the next one begins, until there were KILLS kills (20). Each time, an actor or
the driver dies. A module that Python imports first notes in a file when a worker begins and ends a
part. `lost` counts the parts that were begun and not finished: they were begun again. It must not
be more than one for an actor that was killed, and one for each worker of a driver. It needs Linux.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from machine import describe, write
from on_ray import MARK, manifest
from parts import is_equal

ACTOR = b"ray::Worker"  # in the command line of its process
LOG = "EARMARK_BENCHMARK_LOG"
PAUSE_S = (0.0, 15.0)  # from the first worker, or the last kill, to the next kill
NOTES = f"""
import os
if os.environ.get("{LOG}"):
    from earmark.apps.cluster.worker import Worker
    compute = Worker.compute
    def note(*words):
        with open(os.environ["{LOG}"], "a") as file:
            file.write(" ".join(map(str, words)) + "\\n")
    def noted(self, errand, part):
        if errand not in self._dropped:
            note("begin", part.number, os.getpid())
        answer = compute(self, errand, part)
        if answer.summary is not None:
            note("end" if answer.computed else "found", part.number, os.getpid())
        return answer
    Worker.compute = noted
"""


@dataclass
class Killed:
    """A folder of parts, and what was killed while it was computed."""

    actors: int = 0
    drivers: int = 0
    refused: int = 0
    seconds: float = 0.0
    events: list[tuple[str, int, int]] = field(default_factory=list)  # what, part, process

    def row(self) -> dict[str, float]:
        """Return the counts for the table."""
        begun = collections.Counter(part for what, part, _ in self.events if what == "begin")
        ended = collections.Counter(part for what, part, _ in self.events if what == "end")
        return {
            "actors_killed": self.actors,
            "drivers_killed": self.drivers,
            "starts_failed": self.refused,
            "parts": len(begun),
            "begun": begun.total(),
            "computed": ended.total(),
            "lost": begun.total() - sum(what != "begin" for what, _, _ in self.events),
            "seconds": round(self.seconds, 1),
        }


def actors(mark: str) -> list[int]:
    """Return the numbers of the processes of actors of a run."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            is_ours = (
                folder.name.isdigit()
                and f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes()
            )
            if is_ours and ACTOR in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def at_work(mark: str, process: subprocess.Popen[bytes], earlier: Container[int]) -> bool:
    """Wait until a worker is there that is not an ``earlier`` one; False if the run has ended."""
    while process.poll() is None:
        if any(number not in earlier for number in actors(mark)):
            return True
        time.sleep(0.05)
    return False


def run_killed(
    command: list[str], folder: Path, rng: random.Random, most: int, notes: Path
) -> Killed:
    """Run a command to its end, with at most so many kills."""
    told, mark = Killed(), f"{time.time_ns()}"
    log = folder / f"log{mark}"
    environment = {**os.environ, MARK: mark, LOG: str(log), "EARMARK_CACHE": str(folder / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join([str(notes), os.environ.get("PYTHONPATH", "")])
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    earlier: list[int] = []
    while told.actors + told.drivers < most and at_work(mark, process, earlier):
        time.sleep(rng.uniform(*PAUSE_S))
        if process.poll() is not None:
            break
        found = [number for number in actors(mark) if number not in earlier]
        if found and rng.random() < 0.6:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(rng.choice(found), signal.SIGKILL)
                told.actors += 1
        else:
            process.kill()
            process.wait()
            told.drivers += 1
            earlier += found  # they end by themselves
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while process.wait() != 0:  # Ray gives up after 30 s of starting, as on a busy machine
        told.refused += 1
        if told.refused > 3:
            sys.exit(f"failed: {' '.join(command)}")
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    told.seconds = time.perf_counter() - start
    while actors(mark):  # those of a driver that was killed end by themselves
        time.sleep(0.1)
    lines = (line.split() for line in log.read_text().splitlines())
    told.events = [(what, int(part), int(number)) for what, part, number in lines]
    return told


def main() -> None:
    """Kill, compare with a run on one machine, and write results/ray_kills.csv."""
    kills, copies, seed = map(int, [*sys.argv[1:], *("20", "5", "0")[len(sys.argv) - 1 :]])
    print(describe())
    rng, rows = random.Random(seed), list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notes = folder / "notes"
        notes.mkdir()
        (notes / "sitecustomize.py").write_text(NOTES)
        embed = [sys.executable, "-m", "earmark", "embed", str(manifest(folder, copies))]
        embed += ["--engine", "torch", "-o"]
        subprocess.run([*embed, str(folder / "whole")], check=True, stdout=subprocess.DEVNULL)
        while (rest := kills - sum(r["actors_killed"] + r["drivers_killed"] for r in rows)) > 0:
            out = folder / f"out{len(rows)}"
            told = run_killed([*embed, str(out), "--on", "ray"], folder, rng, rest, notes)
            if not is_equal(out, folder / "whole"):
                sys.exit(f"run {len(rows)} has other bytes than one machine")
            unfinished = len(list(out.glob(".*")))  # of workers that were killed while they wrote
            rows.append({"run": len(rows), **told.row(), "unfinished_files": unfinished})
            if rows[-1]["lost"] > told.actors + told.drivers * (os.cpu_count() or 1):
                sys.exit(f"run {len(rows)} has lost more than a part of each worker: {rows[-1]}")
            print(rows[-1], flush=True)
    write("ray_kills", rows)


if __name__ == "__main__":
    main()
