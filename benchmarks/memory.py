"""Measure peak memory of `predict`, `embed` and `doctor`: long, many or many-channel recordings.

    python benchmarks/memory.py [NAME...]

Everything is generated. It is mostly silence, which takes few bytes on disk but as much time and
memory as sound: 1 GB of disk and half an hour for all. NAMES choose among the inputs; the results
of the others are kept.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from machine import describe, earmark, write

TARGET_MB = 1_000
MODEL = Path(__file__).parents[1] / "tests" / "fixtures" / "0.1" / "single.earmark"
PYTHON = """
import sys
import numpy as np
import earmark
recording, rate_hz = open(sys.argv[2], "rb").read(), None
if sys.argv[3] == "samples":
    recording, rate_hz = np.zeros(3600 * 16_000, np.float32), 16_000
print(earmark.load(sys.argv[1]).predict(recording, rate_hz=rate_hz).label)
"""


def silence(
    path: Path, seconds: float, rate_hz: int, channels: int = 1, first: int = 0, kind: str = "FLAC"
) -> Path:
    """Write silence with libsndfile, except for the first sample, which differs between files."""
    block = np.zeros((max(1, (1 << 20) // channels), channels), np.int16)
    with soundfile.SoundFile(path, "w", rate_hz, channels, "PCM_16", format=kind) as file:
        file.write(np.full((1, channels), first, np.int16))
        for at in range(1, int(seconds * rate_hz), len(block)):
            file.write(block[: int(seconds * rate_hz) - at])
    return path


def encoded(path: Path, seconds: float, kind: str, codec: str, rate_hz: int) -> Path:
    """Write silence with FFmpeg's libraries."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        stream.codec_context.bit_rate = 64_000
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 960
        x = np.zeros((1, size), np.float32)
        name = stream.codec_context.format.name
        for at in range(0, int(seconds * rate_hz), size):
            frame = av.AudioFrame.from_ndarray(x.astype(_DTYPES[name]), name, "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, at, Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


_DTYPES = {"fltp": np.float32, "flt": np.float32, "s16": np.int16, "s16p": np.int16}


def folder_of(folder: Path, count: int, seconds: float, rate_hz: int, kind: str) -> Path:
    """Write a folder of two classes."""
    for k in range(count):
        place = folder / "ab"[k % 2]
        place.mkdir(parents=True, exist_ok=True)
        silence(place / f"{k}.{kind.lower()}", seconds, rate_hz, first=k, kind=kind)
    return folder


HOUR = 3600
INPUTS: dict[str, Callable[[Path], Path]] = {
    "flac, 4 h": lambda at: silence(at / "a.flac", 4 * HOUR, 44_100),
    "m4a, 4 h": lambda at: encoded(at / "a.m4a", 4 * HOUR, "mp4", "aac", 44_100),
    "aac without an index, 1 h": lambda at: encoded(at / "a.aac", HOUR, "adts", "aac", 44_100),
    "opus in webm, 30 min": lambda at: encoded(at / "a.webm", HOUR / 2, "webm", "libopus", 48_000),
    "wma, 1 h": lambda at: encoded(at / "a.wma", HOUR, "asf", "wmav2", 44_100),
    "mp2, 1 h": lambda at: encoded(at / "a.mp2", HOUR, "mp2", "mp2", 44_100),
    "flac, 8 channels at 384 kHz, 5 min": lambda at: silence(at / "a.flac", 300, 384_000, 8),
    "wav, 1,024 channels, 10 s": lambda at: silence(at / "a.wav", 10, 8_000, 1_024, kind="WAV"),
    "8 flac of 1 h": lambda at: folder_of(at / "data", 8, HOUR, 44_100, "FLAC"),
    "40 wav of 119 s": lambda at: folder_of(at / "data", 40, 119, 48_000, "WAV"),
    "10,000 wav of 1 s": lambda at: folder_of(at / "data", 10_000, 1, 8_000, "WAV"),
}


def measure(what: str, name: str, command: list[str], cache: Path) -> dict[str, object]:
    """Run a command to its end; return its peak memory. A doctor may have found something."""
    start = time.perf_counter()
    environment = {**os.environ, "EARMARK_CACHE": str(cache)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"failed: {' '.join(command)}")
    megabytes = usage.ru_maxrss * 1024 / 1e6
    verdict = "met" if megabytes < TARGET_MB else "MISSED"
    seconds = time.perf_counter() - start
    print(f"{name:36} {what:16} {megabytes:6.0f} MB {seconds:7.1f} s  {verdict}", flush=True)
    return {
        "input": name,
        "command": what,
        "megabytes": round(megabytes),
        "seconds": round(seconds),
    }


def commands(path: Path, out: Path) -> dict[str, list[str]]:
    """Return the commands to run on an input; the doctor and `embed` take folders."""
    folder = path if path.is_dir() else path.parent
    chosen = {
        "predict": [earmark(), "predict", str(MODEL), str(path)],
        "embed": [earmark(), "embed", str(folder), "-o", str(out / "e.npz")],
        "doctor": [earmark(), "doctor", _labelled(path, out)],
    }
    if path.suffix == ".flac":
        for kind in ("bytes", "samples"):
            chosen[f"predict {kind}"] = [sys.executable, "-c", PYTHON, str(MODEL), str(path), kind]
    return chosen


def _labelled(path: Path, out: Path) -> str:
    """Return the folder, or a manifest in which both halves of a recording have a label."""
    if path.is_dir():
        return str(path)
    half = soundfile.info(path).duration / 2 if path.suffix in (".flac", ".wav") else HOUR / 4
    manifest = out / "clips.csv"
    manifest.write_text(f"path,label,start,end\n{path},a,,{half:g}\n{path},b,{half:g},\n")
    return str(manifest)


def _others(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the rows of earlier runs for inputs that were not measured now."""
    path = Path(__file__).parent / "results" / "memory.csv"
    if not path.exists():
        return []
    measured = {row["input"] for row in rows}
    with path.open(newline="") as file:
        old = [dict(row) for row in csv.DictReader(file) if row["input"] not in measured]
    return [{key: row[key] for key in rows[0]} for row in old]


def main() -> None:
    print(describe())
    rows = []
    for name, make in INPUTS.items():
        if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
            continue
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
            path = make(Path(folder))
            for what, command in commands(path, Path(out)).items():
                with tempfile.TemporaryDirectory() as cache:
                    rows.append(measure(what, name, command, Path(cache)))
    write("memory", [*_others(rows), *rows])


if __name__ == "__main__":
    main()
