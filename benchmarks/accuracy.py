"""Accuracy on real sounds, by the command line's own estimate.

    python benchmarks/accuracy.py

Recordings: EARMARK_TEST_DATA, or ../shared/data beside the checkout. A backbone is left out, with a
line that says so, if its weights are not on this machine and cannot be fetched.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from machine import describe, earmark, shared_data, write

PAIR = "efficientat-mn04,speech-embedding"
FROM_INDEX = "yamnet-float32,speech-embedding"  # backbones that need only a package index
SETS = {  # folder, columns, and backbones with their candidate layers
    "ESC-10": (
        "esc10",
        ("--fold", "fold"),
        (
            ("logmel", "auto"),
            ("speech-embedding", "last"),
            ("speech-embedding", "auto"),
            ("yamnet", "last"),
            ("yamnet", "auto"),
            ("efficientat-mn04", "last"),
            ("efficientat-mn04", "auto"),
            (PAIR, "auto"),
            (f"{PAIR},yamnet", "auto"),
            ("yamnet-float32", "auto"),
            (FROM_INDEX, "auto"),
        ),
    ),
    "FSDD": (
        "fsdd",
        ("--group", "speaker"),
        (
            ("logmel", "auto"),
            ("speech-embedding", "last"),
            ("speech-embedding", "auto"),
            ("efficientat-mn04", "last"),
            ("efficientat-mn04", "auto"),
            (PAIR, "auto"),
            ("yamnet-float32", "auto"),
            (FROM_INDEX, "auto"),
        ),
    ),
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
            for backbone, layers in backbones:
                command = [earmark(), "train", str(shared_data(where) / "meta.csv"), *options]
                command += ["--backbone", backbone, "--layers", layers, "--json"]
                command += ["-o", f"{folder}/m.earmark"]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name}, {backbone}: left out, {done.stderr.strip()}")
                    continue
                told = json.loads(done.stdout)
                estimate = told["estimate"]
                low, high = estimate["ci95"]
                without = {b["name"]: b["accuracy"] for b in estimate["baselines"]}
                print(f"{name}, {backbone}, {layers}: {estimate['accuracy']:.3f}", without)
                rows.append(
                    {
                        "set": name,
                        "backbone": backbone,
                        "from_layers": layers,
                        "scheme": estimate["scheme"],
                        "accuracy": round(estimate["accuracy"], 4),
                        "ci95_low": round(low, 4),
                        "ci95_high": round(high, 4),
                        "macro_f1": round(estimate["macro_f1"], 4),
                        "ece": round(estimate["ece"], 4),
                        "ece_expected": round(estimate["ece_expected"], 4),
                        "ece_debiased": round(estimate["ece_debiased"], 4),
                        "head": told["head"],
                        "layers": len(told["layers"]),
                        "log_mel": without.get("log-mel statistics", ""),
                        "random_weights": without.get("random weights", ""),
                        "select_s": told["seconds"]["choose"] + told["seconds"]["fit"],
                        "seconds": told["seconds"]["total"],
                    }
                )
    write("accuracy", rows)


if __name__ == "__main__":
    main()
