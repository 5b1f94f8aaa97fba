"""Time the main job on real sounds: from files to a saved classifier, cold and with a warm store.

    python benchmarks/main_job.py

Each run is a new process, start-up included; cold runs have an empty store. Recordings:
EARMARK_TEST_DATA, or ../shared/data beside the checkout.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path

from machine import describe, earmark, run, shared_data, spread, write

REPEATS = 2
JOBS = {
    "ESC-10, 400 clips of 5 s": ("esc10", ("--fold", "fold")),
    "FSDD, 3,000 clips of 0.4 s": ("fsdd", ("--group", "speaker")),
}


def main() -> None:
    """Measure every job cold and warm, several times, and write results/main_job.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    print(describe())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "m.earmark")
        for job, (name, options) in JOBS.items():
            manifest = str(shared_data(name) / "meta.csv")
            command = [earmark(), "train", manifest, *options, "-o", model, "--json"]
            command += ["--backbone", "speech-embedding"]
            measured: dict[str, list] = {"cold": [], "warm": []}
            for repeat in range(REPEATS):
                cache = {"EARMARK_CACHE": str(Path(folder) / f"{name}{repeat}")}
                measured["cold"].append(run(command, cache))
                measured["warm"].append(run(command, cache))
            for store, runs in measured.items():
                told = json.loads(runs[0].output)
                seconds = [r.seconds for r in runs]
                peak = max(r.megabytes for r in runs)
                print(f"{job}, {store}: {spread(seconds)} s, at most {peak:.0f} MB")
                rows.append(
                    {
                        "job": job,
                        "store": store,
                        "seconds_median": round(statistics.median(seconds), 2),
                        "seconds_min": round(min(seconds), 2),
                        "seconds_max": round(max(seconds), 2),
                        "peak_mb": round(peak),
                        "accuracy": round(told["estimate"]["accuracy"], 4),
                        "ci95": " to ".join(f"{x:.3f}" for x in told["estimate"]["ci95"]),
                    }
                )
    write("main_job", rows)


if __name__ == "__main__":
    main()
