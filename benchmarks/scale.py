"""Measure many clips, a long recording and start-up: seconds and memory, in separate processes.

    python benchmarks/scale.py [clips] [long] [start]

Everything is generated: short clips of noise, 0.1 to 0.3 s, and a recording of ten hours of noise,
which takes 1.2 GB of disk while this runs.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from machine import describe, earmark, run, spread, write

RATE_HZ = 16_000
COUNTS = (10_000, 20_000, 40_000, 100_000)
HOURS = 10
STARTS = 7

# Clips go straight into the store; nothing of them stays in memory.
STREAM = """
import sys
from pathlib import Path
from earmark.backbones import load_backbone
from earmark.data.clip import Clip
from earmark.embeddings.pipeline import embed_stream
from earmark.embeddings.store import Store

folder, count = Path(sys.argv[1]), int(sys.argv[2])
clips = (Clip(folder / f"{k}.wav") for k in range(count))
with Store() as store:
    network = load_backbone("speech-embedding")
    print(sum(result.is_computed for result in embed_stream(clips, network, store)))
"""


def write_wav(path: Path, samples: Sequence[np.ndarray]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        for part in samples:
            file.writeframesraw(part.astype("<i2").tobytes())


def noise(rng: np.random.Generator, seconds: float) -> np.ndarray:
    return rng.integers(-3_000, 3_000, int(seconds * RATE_HZ), np.int16)


def many_clips(folder: Path) -> None:
    """Embed 10,000 to 100,000 clips, each number into a new store."""
    rng = np.random.default_rng(0)
    for k in range(max(COUNTS)):
        write_wav(folder / f"{k}.wav", [noise(rng, rng.uniform(0.1, 0.3))])
    rows = []
    for count in COUNTS:
        cache = {"EARMARK_CACHE": str(folder / f"cache{count}")}
        done = run([sys.executable, "-c", STREAM, str(folder), str(count)], cache)
        assert int(done.output) == count, done.output
        print(
            f"{count} clips: {done.seconds:.1f} s, {count / done.seconds:.0f} a second,"
            f" {done.megabytes:.0f} MB"
        )
        rows.append(
            {
                "clips": count,
                "seconds": round(done.seconds, 1),
                "clips_a_second": round(count / done.seconds),
                "peak_mb": round(done.megabytes),
            }
        )
    write("scale_clips", rows)


def long_recording(folder: Path) -> None:
    """Embed one recording of ten hours."""
    rng = np.random.default_rng(0)
    path = folder / "long" / "ten_hours.wav"
    path.parent.mkdir()
    write_wav(path, (noise(rng, 60) for _ in range(60 * HOURS)))  # type: ignore[arg-type]
    command = [earmark(), "embed", str(path.parent), "-o", str(folder / "x.npz")]
    done = run(command, {"EARMARK_CACHE": str(folder)})
    speed = HOURS * 3600 / done.seconds
    print(f"{HOURS} h: {done.seconds:.1f} s, {speed:.0f} x real time, {done.megabytes:.0f} MB")
    write(
        "scale_long",
        [
            {
                "hours": HOURS,
                "seconds": round(done.seconds, 1),
                "times_real_time": round(speed),
                "peak_mb": round(done.megabytes),
            }
        ],
    )


def start(folder: Path) -> None:
    """Start the command line several times, for its help and for one clip."""
    rng = np.random.default_rng(0)
    for label, level in (("loud", 1), ("soft", 30)):
        (folder / "data" / label).mkdir(parents=True)
        for k in range(10):
            write_wav(folder / "data" / label / f"{k}.wav", [noise(rng, 5) // level])
    cache, model = {"EARMARK_CACHE": str(folder)}, str(folder / "m.earmark")
    data = str(folder / "data")
    run([earmark(), "train", data, "-o", model, "--backbone", "speech-embedding"], cache)
    commands = {
        "earmark --help": [earmark(), "--help"],
        "earmark predict, one clip of 5 s": [earmark(), "predict", model, f"{data}/soft/0.wav"],
    }
    rows = []
    for what, command in commands.items():
        seconds = [run(command, cache).seconds for _ in range(STARTS)]
        print(f"{what}: {spread(seconds)} s")
        rows.append(
            {
                "what": what,
                "seconds_median": round(statistics.median(seconds), 2),
                "seconds_min": round(min(seconds), 2),
                "seconds_max": round(max(seconds), 2),
                "starts": STARTS,
            }
        )
    write("start", rows)


def main() -> None:
    """Measure what is named, or all."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    parts = {"clips": many_clips, "long": long_recording, "start": start}
    print(describe())
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory() as folder:
            parts[name](Path(folder))


if __name__ == "__main__":
    main()
