"""Measure how selection and fitting grow with clips and classes: seconds, CPU time and memory.

    python benchmarks/growth.py [CLIPS,CLASSES ...]

The embeddings are synthetic and as long as those of speech-embedding (4,800 numbers). They are in a
file that is read in blocks, like a store. Each size runs in a process of its own. The other work of
a whole command (reading, embedding, the estimate) is not in the figures.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from machine import describe, write

SIZES = ("3000,10", "20000,10", "100000,35", "20000,500", "3000,1000")
FOLDS = 5
BLOCK = 2_048


class Rows:
    """A matrix (N, E) float16 in a file; only requested rows are in memory."""

    def __init__(self, path: Path, n_clips: int, width: int) -> None:
        self.shape, self.dtype = (n_clips, width), np.dtype(np.float16)
        self._file, self._bytes = path.open("rb", buffering=0), 2 * width

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), self.shape[1]), np.float16)
        for row, place in zip(found, rows.tolist(), strict=True):
            self._file.seek(place * self._bytes)
            self._file.readinto(memoryview(row).cast("B"))
        return found


def make(path: Path, truth: np.ndarray, width: int) -> None:
    """Write rows of classes that overlap."""
    rng, n_classes = np.random.default_rng(0), int(truth.max()) + 1
    centres = rng.standard_normal((n_classes, 64)).astype(np.float32)
    mix = rng.standard_normal((64, width)).astype(np.float32) / 8
    with path.open("wb") as file:
        for start in range(0, len(truth), BLOCK):
            own = truth[start : start + BLOCK]
            hidden = 0.35 * centres[own] + rng.standard_normal((len(own), 64), np.float32)
            noise = rng.standard_normal((len(own), width), np.float32)
            file.write(np.abs(hidden @ mix + 0.3 * noise).astype(np.float16).tobytes())


def measure(n_clips: int, n_classes: int, path: Path) -> dict[str, object]:
    """Select, fit and compute out-of-fold predictions of all clips; return figures."""
    from earmark.backbones import registry
    from earmark.classifier.targets import Targets
    from earmark.data.splits import Scheme
    from earmark.training import candidates, solution
    from earmark.training.kernels import FeatureTable
    from earmark.training.selection import Search

    info = registry.info("speech-embedding")
    width = 2 * sum(layer.size for layer in info.layers)
    truth = np.arange(n_clips) % n_classes
    if not path.exists():
        make(path, truth, width)
    fold = np.random.default_rng(1).permutation(n_clips) % FOLDS
    scheme = Scheme("", tuple(map(str, range(FOLDS))), fold, np.arange(n_clips))
    table = FeatureTable(
        [info], [Rows(path, n_clips, width)], candidates.candidates([info], "auto")
    )
    search = Search(table, Targets.single(truth, n_classes), fold)
    start, cpu = time.perf_counter(), time.process_time()
    solved = solution.solve(search, [None] * n_clips, truth, scheme)
    return {
        "clips": n_clips,
        "classes": n_classes,
        "accuracy": round(float((solved.logits.argmax(1) == truth).mean()), 4),
        "layers": solved.chosen.best.reading,
        "penalty": round(solved.chosen.best.members[0].penalty, 7),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "cpu_ms_a_clip": round(1e3 * (time.process_time() - cpu) / n_clips, 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure each size in turn and write results/growth.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if "--one" in sys.argv:
        n_clips, n_classes = map(int, sys.argv[2].split(","))
        print(json.dumps(measure(n_clips, n_classes, Path(sys.argv[3]))))
        return
    print(describe())
    rows = []
    for size in sys.argv[1:] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--one", size, f"{folder}/rows"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout))
        print(rows[-1], flush=True)
    write("growth", rows)


if __name__ == "__main__":
    main()
