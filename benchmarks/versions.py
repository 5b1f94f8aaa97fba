"""Accuracy with the earlier and with the newest version of what backbones compute.

    python benchmarks/versions.py

Everything else is equal: clips, folds, heads, seed, machine. Recordings: EARMARK_TEST_DATA, or
../shared/data beside the checkout.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from machine import describe, shared_data, write

RUNS = (
    ("ESC-10", "esc10", {"fold": "fold"}, "speech-embedding"),
    ("FSDD", "fsdd", {"group": "speaker"}, "speech-embedding"),
    ("ESC-10", "esc10", {"fold": "fold"}, "yamnet"),
    ("ESC-10", "esc10", {"fold": "fold"}, "efficientat-mn04"),
)


def main() -> None:
    """Train on every set with both versions and write results/numbers.csv."""
    beside = Path(__file__).parents[2] / "shared" / "weights"
    os.environ.setdefault("EARMARK_WEIGHTS", str(beside))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import earmark
    from earmark.backbones import registry

    print(describe(), flush=True)
    rows = []
    for name, where, columns, backbone in RUNS:
        data = earmark.Dataset.read(shared_data(where) / "meta.csv", **columns)
        newest, cls = registry.entry(backbone)
        for version in (*newest.earlier, newest.version):
            registry._registry[backbone] = (newest.at_version(version), cls)
            start = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                os.environ["EARMARK_CACHE"] = folder
                estimate = earmark.train(data, backbone=backbone, compare=False).estimate
            low, high = estimate.interval
            rows.append(
                {
                    "set": name,
                    "backbone": backbone,
                    "version": version,
                    "accuracy": round(estimate.accuracy, 4),
                    "ci95_low": round(low, 4),
                    "ci95_high": round(high, 4),
                    "macro_f1": round(estimate.macro_f1, 4),
                    "ece": round(estimate.calibration_error, 4),
                    "cpu_s": round(time.process_time() - start, 1),
                }
            )
            print(*rows[-1].values(), flush=True)
            write("numbers", rows)
        registry._registry[backbone] = (newest, cls)


if __name__ == "__main__":
    main()
