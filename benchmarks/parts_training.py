"""Train from a folder of parts and from a store that has the same embeddings: seconds and memory.

    python benchmarks/parts_training.py [ROUNDS]

Free Spoken Digit, 3,000 recordings, `speech-embedding`. `difference` is the largest difference of a
score, 0 to 1, among the first 300 recordings.
"""

from __future__ import annotations

import collections
import sys
import tempfile
from pathlib import Path

import numpy as np

from machine import Run, describe, earmark, run, shared_data, spread, write

ANSWERED = 300  # recordings whose scores are compared


def scores(model: Path) -> np.ndarray:
    """Return the scores (300, 10) of a classifier for the first recordings."""
    import earmark as library

    paths = sorted((shared_data("fsdd") / "recordings").rglob("*.wav"))[:ANSWERED]
    return np.asarray(library.load(model).predict_proba(paths))


def main() -> None:
    """Measure both ways, alternating, and write results/parts_training.csv."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(describe())
    manifest = str(shared_data("fsdd") / "meta.csv")
    runs: dict[str, list[Run]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"EARMARK_CACHE": str(folder / "cache")}
        backbone = ["--backbone", "speech-embedding"]
        run([earmark(), "embed", manifest, "-o", str(folder / "e.npz"), *backbone], settings)
        run([earmark(), "embed", manifest, "-o", str(folder / "parts"), *backbone], settings)
        for _ in range(rounds):
            ways = {"store": [manifest, *backbone], "parts": [str(folder / "parts")]}
            for way, data in ways.items():
                command = [earmark(), "train", *data, "--no-compare"]
                runs[way].append(run([*command, "-o", str(folder / f"{way}.earmark")], settings))
        answers = {way: scores(folder / f"{way}.earmark") for way in runs}
    rows = [
        {
            "way": way,
            "cpu_s": spread([r.cpu_s for r in each]),
            "seconds": spread([r.seconds for r in each]),
            "peak_mb": round(max(r.megabytes for r in each)),
            "difference": float(np.abs(answers[way] - answers["store"]).max()),
            "rounds": rounds,
        }
        for way, each in runs.items()
    ]
    for row in rows:
        print(row)
    write("parts_training", rows)


if __name__ == "__main__":
    main()
