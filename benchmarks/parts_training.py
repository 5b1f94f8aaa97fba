"""Train from a folder of parts and from a store that has the same embeddings: seconds and memory.

    python benchmarks/parts_training.py [ROUNDS]

Free Spoken Digit with `speech-embedding`. Each of the 3,000 recordings is there as a whole and as
two stretches, which makes 9,000 clips and 86 MB of embeddings. With `--memory 0.3` they stay in the
store or in the parts, and some rows are read at a time. The store is filled without parts, so some
values differ by one step of float16. `difference` is the largest one of a score, 0 to 1.
"""

from __future__ import annotations

import collections
import csv
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

from machine import Run, describe, earmark, run, shared_data, spread, write

MEMORIES = ("4", "0.3")
STRETCHES_S = ((None, None), (0.0, 0.2), (0.04, 0.24))
ANSWERED = 300  # recordings whose scores are compared


def make(folder: Path) -> str:
    """Write the manifest; the clips of a recording are a group."""
    source = shared_data("fsdd")
    with (source / "meta.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    manifest = folder / "meta.csv"
    with manifest.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "group", "start", "end"])
        for row, (start, end) in itertools.product(rows, STRETCHES_S):
            table.writerow([source / row["path"], row["label"], row["path"], start, end])
    return str(manifest)


def scores(model: Path) -> np.ndarray:
    """Return the scores (300, 10) of a classifier for the first recordings."""
    import earmark as library

    paths = sorted((shared_data("fsdd") / "recordings").rglob("*.wav"))[:ANSWERED]
    return np.asarray(library.load(model).predict_proba(paths))


def main() -> None:
    """Measure both ways with much and with little memory; write results/parts_training.csv."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    print(describe())
    runs: dict[str, list[Run]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest, settings = make(folder), {"EARMARK_CACHE": str(folder / "cache")}
        backbone = ["--backbone", "speech-embedding"]
        run(
            [earmark(), "embed", manifest, "-o", str(folder / "e.npz"), "--allow-skips", *backbone],
            settings,
        )
        run(
            [earmark(), "embed", manifest, "-o", str(folder / "parts"), "--allow-skips", *backbone],
            settings,
        )
        ways = {"store": [manifest, *backbone], "parts": [str(folder / "parts")]}
        for _, memory, way in itertools.product(range(rounds), MEMORIES, ways):
            command = [earmark(), "train", *ways[way], "--memory", memory, "--no-compare"]
            model = folder / f"{way} {memory}.earmark"
            runs[f"{way} {memory}"].append(
                run([*command, "--allow-skips", "-o", str(model)], settings)
            )
        answers = {way: scores(folder / f"{way}.earmark") for way in runs}
    rows = [
        {
            "way": way,
            "cpu_s": spread([r.cpu_s for r in each]),
            "seconds": spread([r.seconds for r in each]),
            "peak_mb": round(max(r.megabytes for r in each)),
            "difference": float(
                np.abs(answers[way] - answers[way.replace("parts", "store")]).max()
            ),
            "rounds": rounds,
        }
        for way, each in runs.items()
    ]
    for row in rows:
        print(row)
    write("parts_training", rows)


if __name__ == "__main__":
    main()
