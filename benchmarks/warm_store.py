"""Run the whole command `train` with all embeddings in the store: seconds and memory.

    python benchmarks/warm_store.py [CLIPS,CLASSES,BACKBONE ... | fsdd60]

Each clip is a fifth of a second of noise, all different. Their embeddings in the store are
synthetic, as in growth.py, with classes that overlap. `fsdd60` is Free Spoken Digit with a digit of
a speaker as a class, embedded first. Each command runs twice. The second run is reported, because
the store then also has log-mel statistics and near copies.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import growth
from machine import describe, earmark, run, shared_data, write

RATE_HZ = 16_000
SIZES = (
    "2000,50,efficientat-mn04",
    "2000,50,efficientat-mn04+speech-embedding",
    "fsdd60",
    "3000,1000,speech-embedding",
    "20000,500,speech-embedding",
)


def make(folder: Path, n_clips: int, n_classes: int) -> Path:
    """Write the clips and their manifest."""
    rng, manifest = np.random.default_rng(0), folder / "meta.csv"
    with manifest.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        for number in range(n_clips):
            own = folder / f"{number // 1_000:03d}"
            own.mkdir(exist_ok=True)
            soundfile.write(own / f"{number}.wav", 0.1 * rng.normal(size=RATE_HZ // 5), RATE_HZ)
            table.writerow([f"{own.name}/{number}.wav", f"class {number % n_classes:04d}"])
    return manifest


def fill(store_path: Path, manifest: Path, backbone: str, n_classes: int, folder: Path) -> None:
    """Put a synthetic embedding of every clip into the store."""
    from earmark import Dataset, Store, load_backbone
    from earmark.embeddings.cutting import make_request
    from earmark.embeddings.stages import Request
    from earmark.embeddings.store import Record

    network, dataset = load_backbone(backbone), Dataset.read(manifest)
    width = 2 * sum(layer.size for layer in network.info.layers)
    rows = folder / "rows"
    growth.make(rows, np.arange(len(dataset)) % n_classes, width)
    matrix = np.memmap(rows, np.float16, "r", shape=(len(dataset), width))

    def records():
        for clip, row in zip(dataset.clips, matrix, strict=True):
            request = make_request(network, dataset.audio, clip)
            assert isinstance(request, Request)
            yield request.key, Record(np.array(row), 0.2)

    with Store(store_path) as store:
        store.put(network.fingerprint, records())
    rows.unlink()


def digits_of_speakers(folder: Path) -> Path:
    """Write a manifest of FSDD whose classes are digits of speakers."""
    source = shared_data("fsdd")
    with (source / "meta.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    manifest = folder / "meta.csv"
    with manifest.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label"])
        table.writerows([source / r["path"], f"{r['speaker']} {r['label']}"] for r in rows)
    return manifest


def measure(size: str, folder: Path) -> dict[str, object]:
    cache = folder / "cache"
    if size == "fsdd60":
        manifest, n_clips, n_classes, backbones = digits_of_speakers(folder), 3_000, 60, ""
    else:
        clips, classes, backbones = size.split(",")
        n_clips, n_classes = int(clips), int(classes)
        manifest = make(folder, n_clips, n_classes)
        for backbone in backbones.split("+"):
            fill(cache / "embeddings.sqlite", manifest, backbone, n_classes, folder)
    backbones = backbones.replace("+", ",") or "speech-embedding"
    command = [earmark(), "train", str(manifest), "--json", "-o", str(folder / "m.earmark")]
    command += ["--backbone", backbones, "--folds", str(min(5, n_clips // n_classes))]
    for _ in range(2):
        done = run(command, {"EARMARK_CACHE": str(cache)})
    told = json.loads(done.output)
    return {
        "data": "FSDD, digit of a speaker" if size == "fsdd60" else "synthetic",
        "clips": n_clips,
        "classes": n_classes,
        "backbone": backbones,
        "seconds": round(done.seconds, 1),
        "peak_mb": round(done.megabytes),
        "accuracy": round(told["estimate"]["accuracy"], 4),
        "stages": ", ".join(f"{name} {s:.1f}" for name, s in told["seconds"].items()),
    }


def main() -> None:
    """Measure each size in turn and write results/warm_store.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    print(describe())
    rows = []
    for size in sys.argv[1:] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(size, Path(folder)))
        print(rows[-1], flush=True)
        write("warm_store", rows)


if __name__ == "__main__":
    main()
