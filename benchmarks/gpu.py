"""A GPU against the CPU of the same machine: networks alone, and from files to embeddings.

    python benchmarks/gpu.py [BACKBONE ...]

CPU and GPU take turns in one process, and the first round does not count. VGGish and Wav2Vec2 have
random weights, which take as long as trained ones. Recordings: EARMARK_TEST_DATA, or ../shared/data
beside the checkout. Without recordings only the networks are measured.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from earmark import audio
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings import computing, embedding
from earmark.embeddings.store import Store
from machine import describe, write
from rivals import random_wav2vec2
from speed import load

ROUNDS = 3
AUDIO_S = {"cpu": 60.0, "gpu": 600.0}  # of noise for a network alone
BACKBONES = ("speech-embedding", "yamnet", "efficientat-mn04", "vggish", "wav2vec2-base")


@contextmanager
def no_gpu() -> Iterator[None]:
    """Hide the GPU while networks are loaded for the CPU."""
    is_available, torch.cuda.is_available = torch.cuda.is_available, lambda: False
    try:
        yield
    finally:
        torch.cuda.is_available = is_available


def networks(name: str, folder: Path) -> dict[str, Backbone]:
    """Load a backbone for the CPU in float32, and for the GPU in float32 and bfloat16."""
    with no_gpu():
        loaded = {"cpu exact": load(name, folder, "exact", "auto")}
    loaded["gpu exact"] = load(name, folder, "exact", "torch")
    if loaded["gpu exact"].half_is_close:
        loaded["gpu fast"] = load(name, folder, "fast", "torch")
    return loaded


def windows_of(network: Backbone, audio_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return windows of noise (W, n), and how many samples of each are not padding (W,)."""
    info = network.info
    x = np.random.default_rng(0).normal(0, 0.1, int(audio_s * info.rate_hz)).astype(np.float32)
    if info.step is not None:  # clips of 5 s, as in ESC-10
        length = min(info.window, 5 * info.rate_hz // info.step * info.step)
        info = replace(info, window=length, hop=length)
    return audio.window(network.prepare(x), info.window, info.hop, info.context, info.step)


def alone(network: Backbone) -> tuple[Callable[[], object], float]:
    """Return a pass of the network over noise, from and to the CPU's memory; seconds of audio."""
    device = "cpu" if network.device.type == "cpu" else "gpu"
    windows, valid = windows_of(network, AUDIO_S[device])
    batch_s = network.batch_s if device == "cpu" else computing.BATCH_GPU_S
    batch = max(1, int(batch_s * network.info.rate_hz / windows.shape[1]))
    return lambda: computing.run(network, windows, valid, batch), AUDIO_S[device]


def files(network: Backbone, paths: list[Path]) -> tuple[Callable[[], object], float]:
    """Return the way from files to a new store; seconds of audio."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as place, Store(Path(place) / "s.sqlite") as store:
            embedding.embed([Clip(path) for path in paths], network, store)

    return run, 5.0 * len(paths)


def measure(contestants: dict[str, tuple[Callable[[], object], float]]) -> dict[str, float]:
    """Return for each the median seconds of audio that it computes in a second."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(ROUNDS + 1):
        for name, (run, audio_s) in contestants.items():
            start = time.perf_counter()
            run()
            if turn:
                rates[name].append(audio_s / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def main() -> None:
    """Measure every backbone and write results/gpu.csv."""
    if not torch.cuda.is_available():
        sys.exit("no NVIDIA GPU here")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    gpu = torch.cuda.get_device_name()
    print(describe(), gpu, sep=", ")
    beside = Path(__file__).parents[2] / "shared" / "data"
    recordings = Path(os.environ.get("EARMARK_TEST_DATA") or beside) / "esc10"
    paths = sorted(recordings.rglob("*.ogg"))
    rows = []
    with tempfile.TemporaryDirectory() as place:
        random_wav2vec2(Path(place) / "wav2vec2")
        for name in sys.argv[1:] or BACKBONES:
            loaded = networks(name, Path(place))
            jobs = {"network alone": {key: alone(n) for key, n in loaded.items()}}
            if paths:
                jobs["files to store"] = {key: files(n, paths) for key, n in loaded.items()}
            for job, contestants in jobs.items():
                rates = measure(contestants)
                for key, rate in rates.items():
                    row = {"backbone": name, "job": job, "computed": key}
                    ratio = round(rate / rates["cpu exact"], 2)
                    rows.append(
                        {**row, "audio_s_per_s": round(rate), "times_cpu": ratio, "gpu": gpu}
                    )
                    print(*rows[-1].values(), sep=", ", flush=True)
    write("gpu", rows)


if __name__ == "__main__":
    main()
