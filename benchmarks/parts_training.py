"""Train from a folder of parts and from a store that has the same embeddings: seconds and memory.

    python benchmarks/parts_training.py [ROUNDS]

Free Spoken Digit, 3,000 recordings, `speech-embedding`: 29 MB of embeddings. With `--memory 0.1`
they stay in the store or in the parts, and some rows are read at a time. Both ways must give the
same scores for the first 300 recordings.
"""

from __future__ import annotations

import collections
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

from machine import Run, describe, earmark, run, shared_data, spread, write

MEMORIES = ("4", "0.1")
ANSWERED = 300  # recordings whose scores are compared


def scores(model: Path) -> np.ndarray:
    """Return the scores (300, 10) of a classifier for the first recordings."""
    import earmark as library

    paths = sorted((shared_data("fsdd") / "recordings").rglob("*.wav"))[:ANSWERED]
    return np.asarray(library.load(model).predict_proba(paths))


def main() -> None:
    """Measure both ways with much and with little memory; write results/parts_training.csv."""
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
        ways = {"store": [manifest, *backbone], "parts": [str(folder / "parts")]}
        for _, memory, way in itertools.product(range(rounds), MEMORIES, ways):
            command = [earmark(), "train", *ways[way], "--memory", memory, "--no-compare"]
            model = folder / f"{way} {memory}.earmark"
            runs[f"{way} {memory}"].append(run([*command, "-o", str(model)], settings))
        answers = {way: scores(folder / f"{way}.earmark") for way in runs}
    rows = [
        {
            "way": way,
            "cpu_s": spread([r.cpu_s for r in each]),
            "seconds": spread([r.seconds for r in each]),
            "peak_mb": round(max(r.megabytes for r in each)),
            "same_scores": np.array_equal(answers[way], answers[way.replace("parts", "store")]),
            "rounds": rounds,
        }
        for way, each in runs.items()
    ]
    for row in rows:
        print(row)
    write("parts_training", rows)


if __name__ == "__main__":
    main()
