"""What the store costs: bytes a row, opening, writing, reading by blocks, and digests in it.

    python benchmarks/store.py [ROWS]

Rows are random numbers as wide as those of speech-embedding. Reading is from the page cache, and
CPU time is counted, so that a busy machine changes little.
"""

from __future__ import annotations

import csv
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from earmark.backbones.registry import info
from earmark.embeddings import store as module
from earmark.embeddings.store import Record, Store
from earmark.embeddings.table import EmbeddingTable
from machine import describe

RESULTS = Path(__file__).parent / "results" / "store.csv"
BACKBONE = "speech-embedding"
AT_ONCE = 128


def cpu_s(action: Callable[[], object]) -> float:
    """Return the CPU seconds of ``action``."""
    start = time.process_time()
    action()
    return time.process_time() - start


def key(row: int) -> bytes:
    return np.random.default_rng(row).bytes(16)


def fill(path: Path, keys: list[bytes], width: int) -> None:
    noise = np.random.default_rng(0).normal(size=width + len(keys)).astype(np.float16)
    with Store(path) as store:
        for first in range(0, len(keys), AT_ONCE):
            several = enumerate(keys[first : first + AT_ONCE], first)
            store.put(BACKBONE, ((k, Record(noise[n : n + width], 1.0)) for n, k in several))


def read(path: Path, keys: list[bytes], layers: list[str]) -> None:
    with Store(path) as store:
        table = EmbeddingTable(info(BACKBONE), store, keys)
        assert all(block.is_present.all() for block in table.blocks(layers))


def measure(rows: int) -> Iterator[tuple[str, float, str]]:
    layers = [layer.name for layer in info(BACKBONE).layers]
    width = 2 * sum(layer.size for layer in info(BACKBONE).layers)
    keys = [key(row) for row in range(rows)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.sqlite"
        yield "write", rows / cpu_s(lambda: fill(path, keys, width)), "rows/s"
        yield "size", path.stat().st_size / rows, "bytes/row"
        yield "numbers alone", 2.0 * width, "bytes/row"
        yield "open", 1e3 * cpu_s(lambda: Store(path).close()), "ms"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield "read, last layer", rows / cpu_s(lambda: read(path, keys, layers[-1:])), "rows/s"
        yield "read, all layers", rows / cpu_s(lambda: read(path, keys, layers)), "rows/s"
        yield "memory of both", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "MB"
        yield "memory before", before / 1e3, "MB"
        digest_of, is_finite = module.digest_of, module.is_finite
        module.digest_of = lambda *_: 0
        with Store(path) as store:
            store._db.execute("UPDATE embedding SET digest = 0")
        module.is_finite = lambda _: True
        yield (
            "without checks, last layer",
            rows / cpu_s(lambda: read(path, keys, layers[-1:])),
            ("rows/s"),
        )
        module.digest_of, module.is_finite = digest_of, is_finite


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with RESULTS.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("rows", "what", "value", "unit", "machine"))
        for what, value, unit in measure(rows):
            table.writerow((rows, what, f"{value:.4g}", unit, describe()))
            print(f"{what:>28} {value:>12.4g} {unit}", flush=True)


if __name__ == "__main__":
    main()
