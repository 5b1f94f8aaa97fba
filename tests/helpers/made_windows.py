"""Windows of an archive that are only vectors: no sound, no recordings on the disk."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from earmark.embeddings.archive import ArchiveNetwork, ArchiveRecording, Windows
from earmark.embeddings.window_vectors import Centre, VectorFiles

ROWS = 256  # of a part


def made_windows(folder: Path, vectors: np.ndarray, per_recording: int = 100) -> Windows:
    """Return windows with vectors (N, D) of unit length, 0.96 s every 0.48 s."""
    n, width = vectors.shape
    half = width // 2
    files = VectorFiles(folder, {"one": width, "two": width}, Centre.none((half, width - half)))
    (folder / "vectors").mkdir(parents=True, exist_ok=True)
    parts = []
    for first in range(0, n, ROWS):
        own = vectors[first : first + ROWS].astype("<f2")
        parts.append(SimpleNamespace(file=f"part-{first // ROWS}.parquet", clips=len(own)))
        files.path(parts[-1].file).write_bytes(own.tobytes())
    contents, numbers = np.divmod(np.arange(n), per_recording)
    recordings = {
        k: [ArchiveRecording("d", f"{k}.wav", str(folder / f"{k}.wav"), k, per_recording * 0.48)]
        for k in np.unique(contents).tolist()
    }
    table = SimpleNamespace(rows=np.arange(n), parts=parts)
    network = ArchiveNetwork(1, {"window_s": 0.96, "hop_s": 0.48}, "", files.centre)
    return Windows(network, contents, numbers, table, recordings, files)  # type: ignore[arg-type]


def planted_vectors(
    n: int, every: int, width: int = 32, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors (n, width) of unit length, and a mask of the class: one in ``every``."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 1 / every
    x = rng.standard_normal((n, width)).astype(np.float32)
    x[truth, :4] += 2.5
    return x / np.linalg.norm(x, axis=1, keepdims=True), truth
