"""Measure the store: bytes per row, opening, writing, and reading in blocks of 1,000 rows.

    python benchmarks/store.py [ROWS]

Rows are random numbers, as many as in those of speech-embedding. Reading is from the page cache,
and CPU time is measured, so that a busy machine changes little.
"""

from __future__ import annotations

import csv
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from earmark.backbones.registry import info
from earmark.embeddings.rows import STORED, RowsOnDisk, StoredRows
from earmark.embeddings.store import Record, Store
from machine import describe

RESULTS = Path(__file__).parent / "results" / "store.csv"
BACKBONE = "speech-embedding"
AT_ONCE = 1_000


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


def read(path: Path, keys: list[bytes], order: np.ndarray, width: int) -> None:
    """Read all rows in blocks of ``AT_ONCE``, in the given order."""
    with Store(path) as store:
        numbers = np.frombuffer(b"".join(keys), "V16")
        places = np.full(len(keys), STORED)
        rows = StoredRows(store, numbers, RowsOnDisk(width), places, np.dtype(np.float16))
        for first in range(0, len(keys), AT_ONCE):
            rows[order[first : first + AT_ONCE]]


def copy(count: int, width: int) -> None:
    """Do the minimum of any reading: copy each row and compute its CRC-32."""
    row, block = np.ones(width, np.float16), np.empty((AT_ONCE, width), np.float16)
    content = row.tobytes()
    for number in range(count):
        zlib.crc32(content)
        block[number % AT_ONCE] = row


def measure(rows: int) -> Iterator[tuple[str, float, str]]:
    width = 2 * sum(layer.size for layer in info(BACKBONE).layers)
    keys = [key(row) for row in range(rows)]
    in_order, mixed = np.arange(rows), np.random.default_rng(0).permutation(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.sqlite"
        yield "write", 1e6 * cpu_s(lambda: fill(path, keys, width)) / rows, "us/row"
        yield "size", path.stat().st_size / rows, "bytes/row"
        yield "numbers alone", 2.0 * width, "bytes/row"
        yield "open", 1e3 * cpu_s(lambda: Store(path).close()), "ms"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for name, order in (("in order", in_order), ("in any order", mixed)):
            seconds = cpu_s(lambda order=order: read(path, keys, order, width))
            yield f"read {name}", 1e6 * seconds / rows, "us/row"
        yield "memory of both", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "MB"
        yield "memory before", before / 1e3, "MB"
        yield "copy and CRC-32 alone", 1e6 * cpu_s(lambda: copy(rows, width)) / rows, "us/row"


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
