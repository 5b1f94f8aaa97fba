"""Divide a manifest of millions of clips into parts: memory and seconds of the driver.

    python benchmarks/parts_driver.py [ROWS ...]

The manifest is a Parquet file with stretches of 1,000 recordings. Nothing is computed: each part is
taken as one that another job computes. So this is what a run costs whose parts are all done, less
the digests of the files, and what each of many jobs costs beside its own parts (`share`).
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from machine import describe, run, write

ROWS = (1_000_000, 10_000_000)
RECORDINGS, BLOCK = 1_000, 1_000_000
CHILD = "--child"


def make(folder: Path, n_rows: int) -> Path:
    """Write the recordings and the manifest."""
    for k in range(RECORDINGS):
        soundfile.write(folder / f"{k:04d}.wav", np.zeros(160), 16_000)
    manifest = folder / f"{n_rows}.parquet"
    schema = pa.schema({"path": pa.string(), "start": pa.float64(), "end": pa.float64()})
    with pq.ParquetWriter(manifest, schema) as writer:
        for first in range(0, n_rows, BLOCK):
            rows = np.arange(first, min(first + BLOCK, n_rows))
            start = (rows // RECORDINGS).astype(float)
            paths = [f"{k:04d}.wav" for k in (rows % RECORDINGS).tolist()]
            writer.write_table(pa.table([paths, start, start + 1], schema=schema))
    return manifest


def divide_all(manifest: Path, share: str) -> None:
    """Divide a manifest, and print parts, clips, seconds and the peak of memory in megabytes."""
    from earmark.audio.options import AS_IT_IS
    from earmark.backbones import load_backbone
    from earmark.data.blocks import ClipBlocks
    from earmark.embeddings.part import PartSettings, divide
    from earmark.embeddings.shares import PART_CLIPS, Share

    settings = PartSettings.of(load_backbone("logmel"), AS_IT_IS)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, own = time.perf_counter(), Share.parse(share)
    blocks = ClipBlocks.read(manifest, PART_CLIPS, columns={})
    parts = clips = 0
    for part in divide(blocks.blocks(own), settings, manifest.parent):
        parts, clips = parts + 1, clips + len(part.clips)
    assert clips == blocks.count(own)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(parts, clips, round(time.perf_counter() - start, 1), round(before_mb), round(peak_mb))


def main() -> None:
    """Measure each size, whole and as one of 100 shares, and write results/parts_driver.csv."""
    if sys.argv[1:2] == [CHILD]:
        divide_all(Path(sys.argv[2]), sys.argv[3])
        return
    print(describe())
    results = []
    for n_rows in map(int, sys.argv[1:] or ROWS):
        with tempfile.TemporaryDirectory() as name:
            manifest = make(Path(name), n_rows)
            for share in ("1/1", "1/100"):
                done = run([sys.executable, __file__, CHILD, str(manifest), share], {})
                parts, clips, seconds, before, peak = done.output.split()
                results.append(
                    {
                        "rows": n_rows,
                        "share": share,
                        "parts": parts,
                        "clips": clips,
                        "seconds": seconds,
                        "cpu_s": round(done.cpu_s, 1),
                        "imports_mb": before,
                        "peak_mb": peak,
                    }
                )
                print(results[-1], flush=True)
    write("parts_driver", results)


if __name__ == "__main__":
    main()
