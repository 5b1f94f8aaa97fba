"""Compare reading clips from a store with latency to reading them from files of this machine.

    python benchmarks/remote.py [CLIPS] [LATENCY_MS] [RUNS]

The store is ``object_server.py`` on the loopback, which takes some of the same cores. Each run
embeds the same clips with speech-embedding, first from files, then from the store, each with an
empty store of embeddings; then once more with the embeddings stored, where no body is read.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

import earmark
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from machine import describe

RESULTS = Path(__file__).parent / "results" / "remote.csv"
SERVER = Path(__file__).parent / "object_server.py"
BACKBONE = "speech-embedding"
SECONDS, RATE_HZ = 5, 16_000


def make_clips(folder: Path, count: int) -> list[str]:
    rng, names = np.random.default_rng(0), []
    for number in range(count):
        names.append(f"{number:05d}.wav")
        noise = 0.1 * rng.standard_normal(SECONDS * RATE_HZ).astype(np.float32)
        soundfile.write(folder / names[-1], noise, RATE_HZ, "PCM_16")
    return names


@contextmanager
def served(folder: Path, latency_ms: float) -> Iterator[str]:
    command = [sys.executable, str(SERVER), str(folder), str(latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def timed(clips: list[Clip], backbone: Backbone, path: Path) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of embedding clips with a store at ``path``."""
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    with earmark.Store(path) as store:
        result = earmark.embed(clips, backbone, store)
    assert not result.failures, result.failures[0]
    return time.perf_counter() - begin_s, time.process_time() - begin_cpu_s


def measure(count: int, latency_ms: float, runs: int) -> Iterator[tuple[str, float, str]]:
    backbone = earmark.load_backbone(BACKBONE)
    seconds: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "clips"
        folder.mkdir()
        names = make_clips(folder, count)
        with served(folder, latency_ms) as url:
            files = [Clip(folder / name) for name in names]
            objects = [Clip(f"{url}/{name}") for name in names]  # type: ignore[arg-type]
            timed(files[:50], backbone, Path(place) / "warm.sqlite")
            timed(objects[:50], backbone, Path(place) / "warm.sqlite")
            for run in range(runs):
                stores = {kind: Path(place) / f"{kind}{run}.sqlite" for kind in ("files", "store")}
                for kind, clips in (("files", files), ("store", objects)):
                    seconds.setdefault(kind, []).append(timed(clips, backbone, stores[kind]))
                again = timed(objects, backbone, stores["store"])
                seconds.setdefault("store, again", []).append(again)
    for kind, times in seconds.items():
        yield f"{kind}: clips per second", count / statistics.median(t for t, _ in times), "1/s"
        yield f"{kind}: CPU a clip", 1e3 * statistics.median(t for _, t in times) / count, "ms"
    ratios = [a / b for (a, _), (b, _) in zip(seconds["files"], seconds["store"], strict=True)]
    yield "throughput of the store, of that of files", statistics.median(ratios), "1"


def main(count: int = 1_000, latency_ms: float = 40.0, runs: int = 3) -> None:
    rows = [(name, f"{value:.4g}", unit) for name, value, unit in measure(count, latency_ms, runs)]
    about = f"{count} clips of {SECONDS} s, {latency_ms:g} ms; {describe()}"
    with RESULTS.open("w", newline="") as file:
        csv.writer(file).writerows([("what", "value", "unit"), *rows, ("on", about, "")])
    for name, value, unit in rows:
        print(f"{name:50} {value:>8} {unit}")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float, int), sys.argv[1:], strict=False)))
