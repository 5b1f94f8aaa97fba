"""The archive: cost and memory of `index`, time of a search, and which layers find what.

    python benchmarks/archive.py index [HOURS ...]      # into results/archive_index.csv
    python benchmarks/archive.py search [WINDOWS ...]   # into results/archive_search.csv
    python benchmarks/archive.py layers                 # into results/archive_layers.csv

`index` writes recordings of an hour, 16 kHz FLAC, from the pieces of `forest` and ESC-10 in a
seeded order, and indexes them with speech-embedding; start-up and the reading of FLAC are included.
A second run finds nothing to do. `search` compares random vectors with a query and with NumPy in
float64. `layers` takes every clip of FSDD (other speakers count) and the three loudest windows of
each clip of ESC-10 (other clips count) as a query, and counts the right ones among the ten nearest.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from earmark import audio
from earmark.backbones import load_backbone
from earmark.embeddings.sliding import SlidingWindows
from earmark.embeddings.window_vectors import Centre, VectorFiles
from machine import describe, earmark, run, shared_data, write

RATE_HZ, HOUR_S = 16_000, 3_600
ROWS = 1_024  # of a part
QUERIES, NEAREST = 400, 10


def write_hours(folder: Path, hours: int) -> None:
    """Write recordings of an hour each, all of them different."""
    paths = [*shared_data("forest").glob("*.flac"), *shared_data("esc10").glob("*/*.ogg")]
    pieces = [audio.load(path, RATE_HZ) for path in sorted(paths)]
    rng = np.random.default_rng(0)
    for hour in range(hours):
        with soundfile.SoundFile(folder / f"{hour:03d}.flac", "w", RATE_HZ, 1, "PCM_16") as file:
            left = HOUR_S * RATE_HZ
            while left > 0:
                piece = pieces[rng.integers(len(pieces))][:left]
                file.write(piece * rng.uniform(0.5, 1))
                left -= len(piece)


def index(hours: Sequence[int]) -> None:
    """Measure `earmark index` for some numbers of hours."""
    rows = []
    for number in hours:
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "nights").mkdir()
            write_hours(Path(name) / "nights", number)
            command = [earmark(), "index", f"{name}/nights", "-o", f"{name}/archive", "--json"]
            first, again = (run(command, {"EARMARK_CACHE": f"{name}/cache"}) for _ in range(2))
            windows = json.loads(first.output.splitlines()[-1])["windows"]
            size = sum(path.stat().st_size for path in (Path(name) / "archive").rglob("*.*"))
        rows.append(
            {
                "hours": number,
                "windows": windows,
                "cpu_s": round(first.cpu_s, 1),
                "speed_per_core": round(number * HOUR_S / first.cpu_s),
                "seconds": round(first.seconds, 1),
                "peak_mb": round(first.megabytes),
                "archive_mb_per_hour": round(size / 1e6 / number, 1),
                "again_cpu_s": round(again.cpu_s, 1),
            }
        )
        print(rows[-1], flush=True)
    write("archive_index", rows)


def search(counts: Sequence[int]) -> None:
    """Measure the comparison of one query with all windows, and compare it with NumPy."""
    rows, rng = [], np.random.default_rng(0)
    for count, width in [(n, width) for n in counts for width in (384, 1_000)]:
        with tempfile.TemporaryDirectory() as name:
            layers = {"one": width, "two": width}
            files = VectorFiles(Path(name), layers, Centre.none((width // 2, width // 2)))
            (Path(name) / "vectors").mkdir()
            parts = [(f"part-{k}.parquet", ROWS) for k in range(count // ROWS)]
            for file, _ in parts:
                x = rng.standard_normal((ROWS, width), np.float32)
                x /= np.linalg.norm(x, axis=1, keepdims=True)
                files.path(file).write_bytes(x.astype(np.float16).tobytes())
            query = np.array(next(files.blocks(*parts[0]))[7], np.float32)
            cpu, wall = [], []
            for _ in range(7):
                start = time.process_time(), time.perf_counter()
                scores = files.similarities(parts, query)
                cpu.append(time.process_time() - start[0])
                wall.append(time.perf_counter() - start[1])
            blocks = (block for part in parts for block in files.blocks(*part))
            exact = np.concatenate(
                [x.astype(np.float64) @ query.astype(np.float64) for x in blocks]
            )
        best, expected = (set(np.argsort(-s)[:50].tolist()) for s in (scores, exact))
        rows.append(
            {
                "windows": len(scores),
                "numbers": width,
                "cpu_s": round(statistics.median(cpu), 3),
                "seconds": round(statistics.median(wall), 3),
                "least_seconds": round(min(wall), 3),
                "recall_at_50": len(best & expected) / 50,
                "largest_error": f"{np.abs(scores - exact).max():.1e}",
            }
        )
        print(rows[-1], flush=True)
    write("archive_search", rows)


def windows_of(path: Path, network: SlidingWindows) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of a recording's windows, and the power of each."""
    samples = audio.load(path, RATE_HZ)
    own = SlidingWindows(network.backbone, 0.96, 0.48)
    rows = [own.merge(own.compute(piece)) for piece in [*own.cut(samples), *own.finish()]]
    matrix = np.concatenate(rows)
    grid = own.grid
    power = [np.square(samples[k * grid.hop :][: grid.length]).mean() for k in range(len(matrix))]
    return matrix, np.array(power)


def data_of(name: str, network: SlidingWindows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return embeddings of windows, their classes, and the groups that do not answer each other."""
    folder, group = shared_data(name), {"fsdd": "speaker", "esc10": "path"}[name]
    rows, labels, groups = [], [], []
    for row in csv.DictReader((folder / "meta.csv").open()):
        matrix, power = windows_of(folder / row["path"], network)
        for best in np.argsort(-power)[: 1 if name == "fsdd" else 3]:
            rows.append(matrix[best])
            labels.append(row["label"])
            groups.append(row[group])
    return np.array(rows), np.array(labels), np.array(groups)


def precision(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray, few: bool) -> float:
    """Return the share of right ones among the nearest of other groups, one of each if ``few``."""
    shares = []
    for query in np.random.default_rng(0).choice(len(labels), QUERIES, replace=False):
        scores = np.where(groups == groups[query], -9, vectors @ vectors[query])
        order = np.argsort(-scores)
        if few:
            order = order[np.sort(np.unique(groups[order], return_index=True)[1])]
        shares.append((labels[order[:NEAREST]] == labels[query]).mean())
    return float(np.mean(shares))


def layers() -> None:
    """Measure which layers, as they are or standardised, find sounds of the same class."""
    backbone = load_backbone("speech-embedding")
    network, info = SlidingWindows(backbone, 0.96, 0.48), backbone.info
    names = [layer.name for layer in info.layers]
    starts = dict(zip(names, np.cumsum([0, *(2 * x.size for x in info.layers)]), strict=False))
    sizes = {layer.name: layer.size for layer in info.layers}
    data = {name: data_of(name, network) for name in ("fsdd", "esc10")}
    choices = {
        "last": names[-1:],
        "last two": names[-2:],
        "middle": [names[len(names) // 2]],
        "middle and last": [names[len(names) // 2], names[-1]],
        "all": names,
    }
    rows = []
    for title, chosen in choices.items():
        for how in ("cosine", "standardised, one cosine", "standardised, a cosine each"):
            row: dict[str, object] = {"layers": title, "comparison": how}
            for name, (matrix, labels, groups) in data.items():
                means = [matrix[:, starts[n] : starts[n] + sizes[n]] for n in chosen]
                own = [sizes[n] for n in chosen]
                if how != "standardised, a cosine each":
                    own = [sum(own)]
                joined = np.concatenate(means, 1)
                centre = Centre.none(own) if how == "cosine" else Centre.of([joined], own)
                vectors = centre.vectors(joined)
                row[name] = round(precision(vectors, labels, groups, name == "esc10"), 3)
            rows.append(row)
            print(row, flush=True)
    write("archive_layers", rows)


def main() -> None:
    """Run the benchmark that the first argument names."""
    print(describe())
    what, *rest = sys.argv[1:] or ["index"]
    numbers = [int(text) for text in rest]
    if what == "index":
        index(numbers or [1, 4, 6])
    elif what == "search":
        search(numbers or [1_000_000])
    else:
        layers()


if __name__ == "__main__":
    main()
