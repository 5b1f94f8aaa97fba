"""Accuracy on real sounds, by the command line's own estimate.

    python benchmarks/accuracy.py

Recordings: EARMARK_TEST_DATA, or ../shared/data beside the checkout. A backbone whose weights are
neither at hand nor to be fetched is left out, and named.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from machine import describe, earmark, shared_data, write

PAIR = "efficientat-mn04,speech-embedding"
SETS = {
    "ESC-10": (
        "esc10",
        ("--fold", "fold"),
        ("logmel", "speech-embedding", "yamnet", "efficientat-mn04", PAIR),
    ),
    "FSDD": ("fsdd", ("--group", "speaker"), ("logmel", "speech-embedding", PAIR)),
}


def main() -> None:
    """Train on every set with every backbone and write results/accuracy.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    print(describe())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EARMARK_CACHE"] = folder
        for name, (where, options, backbones) in SETS.items():
            for backbone in backbones:
                command = [earmark(), "train", str(shared_data(where) / "meta.csv"), *options]
                command += ["--backbone", backbone, "-o", f"{folder}/m.earmark", "--json"]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name}, {backbone}: left out, {done.stderr.strip()}")
                    continue
                told = json.loads(done.stdout)
                estimate = told["estimate"]
                low, high = estimate["ci95"]
                print(f"{name}, {backbone}: {estimate['accuracy']:.3f} ({low:.3f} to {high:.3f})")
                rows.append(
                    {
                        "set": name,
                        "backbone": backbone,
                        "scheme": estimate["scheme"],
                        "accuracy": round(estimate["accuracy"], 4),
                        "ci95_low": round(low, 4),
                        "ci95_high": round(high, 4),
                        "macro_f1": round(estimate["macro_f1"], 4),
                        "ece": round(estimate["ece"], 4),
                        "head": told["head"],
                        "layers": len(told["layers"]),
                        "seconds": told["seconds"]["total"],
                    }
                )
    write("accuracy", rows)


if __name__ == "__main__":
    main()
