"""Run the whole command on many clips: 35 classes of FSDD, repeated with other gains and starts.

    python benchmarks/many_clips.py [CLIPS [FOLDER]]

A class is a digit of a speaker. Each clip is written again, softer by up to 20 dB and cut by up to
50 ms, so that no two are equal. Copies of a recording share a group, and so a fold. The clips are
embedded once; `after embedding` is a second run with a warm store. The clips are kept if FOLDER is
given. If it exists already, only the warm run is measured.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from machine import describe, earmark, run, shared_data, write

CLIPS, CLASSES = 105_000, 35


def make(folder: Path, n_clips: int) -> Path:
    """Write the clips and their manifest."""
    with (shared_data("fsdd") / "meta.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = sorted({(row["speaker"], row["label"]) for row in rows})[:CLASSES]
    rows = [row for row in rows if (row["speaker"], row["label"]) in labels]
    sounds = [soundfile.read(shared_data("fsdd") / row["path"], dtype="float32") for row in rows]
    rng = np.random.default_rng(0)
    manifest = folder / "meta.csv"
    with manifest.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "group"])
        for number in range(n_clips):
            original = number % len(rows)
            row = rows[original]
            x, rate_hz = sounds[original]
            own = folder / f"{number // 1_000:03d}"
            own.mkdir(exist_ok=True)
            x = x[rng.integers(0, rate_hz // 20) :] * 10 ** (rng.uniform(-20, 0) / 20)
            soundfile.write(own / f"{number}.wav", x, rate_hz)
            label = f"{row['speaker']} {row['label']}"
            table.writerow([f"{own.name}/{number}.wav", label, row["path"]])
    return manifest


def main() -> None:
    """Train cold and warm, and write results/many_clips.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    n_clips = int(sys.argv[1]) if len(sys.argv) > 1 else CLIPS
    print(describe())
    rows = []
    with contextlib.ExitStack() as stack:
        place = sys.argv[2] if len(sys.argv) > 2 else ""
        place = place or stack.enter_context(tempfile.TemporaryDirectory())
        is_made = (Path(place) / "cache").exists()
        manifest = Path(place) / "meta.csv" if is_made else make(Path(place), n_clips)
        command = [earmark(), "train", str(manifest), "--group", "group", "--json"]
        command += ["-o", str(Path(place) / "m.earmark"), "--backbone", "speech-embedding"]
        for store in ("warm",) if is_made else ("cold", "warm"):
            done = run(command, {"EARMARK_CACHE": str(Path(place) / "cache")})
            told = json.loads(done.output)
            stages = {name: round(s, 1) for name, s in told["seconds"].items()}
            print(f"{store}: {done.seconds:.0f} s, {done.megabytes:.0f} MB, {stages}", flush=True)
            rows.append(
                {
                    "clips": n_clips,
                    "classes": CLASSES,
                    "store": store,
                    "seconds": round(done.seconds, 1),
                    "peak_mb": round(done.megabytes),
                    "accuracy": round(told["estimate"]["accuracy"], 4),
                    **{f"{name}_s": s for name, s in stages.items()},
                }
            )
    write("many_clips", rows)


if __name__ == "__main__":
    main()
