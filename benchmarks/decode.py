"""Time decoding and resampling of ESC-10 to 16 kHz: against librosa, and in two threads.

    pip install librosa
    python benchmarks/decode.py
    python benchmarks/decode.py --against ../older-checkout

With ``--against``, this checkout is compared with another one, format by format, in CPU time: two
processes read the same files in turns.

The two sides of a comparison run in turns, in one process, so that other work on the machine slows
both alike; each ratio compares two consecutive runs. Two processes share nothing, so they show how
much of two cores the machine could give at that moment. Recordings: EARMARK_TEST_DATA, or
../shared/data beside the checkout.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

from earmark import audio
from machine import describe, shared_data, spread, write

RATE_HZ = 16_000
REPEATS = 7
WARM_UP = 40  # files that do not count: libraries load, and the disk's cache fills
TIMES_LIBROSA, TIMES_ONE_THREAD = 1.0, 1.7  # targets
CODECS = {"mp3": "libmp3lame", "flac": "flac", "wav": "pcm_s16le"}  # by suffix, beside Ogg
COPIES, ROUNDS = 60, 40  # files of each format, and how often both checkouts read a group of them
GROUP = 6
READER = """
import sys, time, warnings
from earmark import audio
warnings.simplefilter("ignore")
for line in sys.stdin:
    start = time.process_time()
    for path in line.rstrip("\\n").split("\\t"):
        audio.read(path, 16_000)
    print(time.process_time() - start, flush=True)
"""


def ours(paths: Sequence[Path]) -> None:
    for path in paths:
        audio.load(path, RATE_HZ)


def librosas(paths: Sequence[Path]) -> None:
    import librosa

    for path in paths:
        librosa.load(path, sr=RATE_HZ)


def shared_by(pool: Executor) -> Callable[[Sequence[Path]], None]:
    """Return a run that gives each of the two workers of ``pool`` a few files at a time."""

    def run(paths: Sequence[Path]) -> None:
        list(pool.map(ours, [paths[i : i + 4] for i in range(0, len(paths), 4)]))

    return run


def seconds(run: Callable[[Sequence[Path]], None], paths: Sequence[Path]) -> float:
    start = time.perf_counter()
    run(paths)
    return time.perf_counter() - start


def compare(
    name: str,
    slow: Callable[[Sequence[Path]], None],
    fast: Callable[[Sequence[Path]], None],
    paths: Sequence[Path],
    wanted: float,
) -> dict[str, object]:
    """Run both in turns, the first of each pair alternating; return the ratio and the speeds."""
    pairs = []
    for repeat in range(REPEATS):
        first, second = (slow, fast) if repeat % 2 else (fast, slow)
        took = {first: seconds(first, paths), second: seconds(second, paths)}
        pairs.append((took[slow], took[fast]))
    ratios = [a / b for a, b in pairs]
    audio_s = sum(len(audio.load(path, RATE_HZ)) for path in paths) / RATE_HZ
    speed = audio_s / statistics.median(b for _, b in pairs)
    print(f"{name}: {spread(ratios)} times; {speed:,.0f} times real time (wanted: {wanted} times)")
    return {
        "what": name,
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "wanted": wanted,
        "times_real_time": round(speed),
        "files": len(paths),
        "repeats": REPEATS,
    }


def copies(paths: Sequence[Path], folder: Path, suffix: str) -> list[Path]:
    """Write recordings in another format."""
    written = []
    for number, path in enumerate(paths[:COPIES]):
        written.append(folder / f"{number}.{suffix}")
        x, rate_hz = audio.decode(path)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x.mean(1)[None]), "flt", "mono")
        frame.sample_rate = rate_hz
        with av.open(written[-1], "w") as container:
            stream = container.add_stream(CODECS[suffix], rate=rate_hz, layout="mono")
            codec = stream.codec_context
            resampler = av.AudioResampler(codec.format.name, "mono", rate_hz, codec.frame_size)
            for part in (*resampler.resample(frame), *resampler.resample(None), None):
                container.mux(stream.encode(part))
    return written


def reader(checkout: Path) -> subprocess.Popen[str]:
    """Start a process that reads files with a checkout's code and prints CPU seconds."""
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve() / "src")}
    command = [sys.executable, "-c", READER]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)


def cpu_seconds(process: subprocess.Popen[str], paths: Sequence[Path]) -> float:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\t".join(map(str, paths)) + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def against(older: Path, paths: Sequence[Path]) -> None:
    """Compare this checkout with an older one; print a line for each format."""
    this = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder, reader(this) as ours, reader(older) as theirs:
        files = {suffix: copies(paths, Path(folder), suffix) for suffix in CODECS}
        for suffix, own in {**files, "ogg": list(paths[:COPIES])}.items():
            for process in (ours, theirs):
                cpu_seconds(process, own)
            ratios = []
            for number in range(ROUNDS):
                group = [own[(number * GROUP + k) % len(own)] for k in range(GROUP)]
                order = (ours, theirs) if number % 2 else (theirs, ours)
                took = {id(process): cpu_seconds(process, group) for process in order}
                ratios.append(took[id(ours)] / took[id(theirs)])
            print(f"{suffix}: {spread(ratios)} times the CPU time of {older}", flush=True)
        for process in (ours, theirs):
            assert process.stdin is not None
            process.stdin.close()


def main() -> None:
    """Measure all ratios and write results/decode.csv, or compare with another checkout."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path, help="an older checkout, to compare CPU time with")
    if older := parser.parse_args().against:
        print(describe())
        against(older, sorted(shared_data("esc10").glob("*/*.ogg")))
        return
    try:
        import librosa
    except ImportError:
        sys.exit("librosa is not installed; pip install librosa")
    paths = sorted(shared_data("esc10").glob("*/*.ogg"))
    print(f"{describe()}, librosa {librosa.__version__}")
    with (
        ThreadPoolExecutor(2) as threads,
        ProcessPoolExecutor(2) as processes,
        tempfile.TemporaryDirectory() as folder,
    ):
        mp3 = copies(paths, Path(folder), "mp3")
        two_threads, two_processes = shared_by(threads), shared_by(processes)
        for warm_up in (ours, librosas, two_threads, two_processes):
            warm_up(paths[:WARM_UP])
        rows = [
            compare("earmark to librosa", librosas, ours, paths, TIMES_LIBROSA),
            compare("earmark to librosa, MP3", librosas, ours, mp3, TIMES_LIBROSA),
            compare("two threads to one", ours, two_threads, paths, TIMES_ONE_THREAD),
            compare("two processes to one", ours, two_processes, paths, TIMES_ONE_THREAD),
            compare("two threads to two processes", two_processes, two_threads, paths, 1.0),
        ]
    write("decode", [{**row, "librosa": librosa.__version__} for row in rows])


if __name__ == "__main__":
    main()
