"""Decoding and resampling of ESC-10 to 16 kHz: against librosa's loader, and in two threads.

    pip install librosa
    python benchmarks/decode.py

What is compared runs in turns, in one process, so that a busy machine disturbs both alike; a ratio
is that of two neighbours. Two processes share nothing, and so show how much of two cores the
machine had to give at that moment. Recordings: EARMARK_TEST_DATA, or ../shared/data beside the
checkout.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from earmark import audio
from machine import describe, shared_data, spread, write

RATE_HZ = 16_000
REPEATS = 7
WARM_UP = 40  # files: libraries load, and the disk's cache fills, before anything counts
TIMES_LIBROSA, TIMES_ONE_THREAD = 1.0, 1.7  # what is wanted


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


def main() -> None:
    """Measure both ratios and write results/decode.csv."""
    try:
        import librosa
    except ImportError:
        sys.exit("librosa is not installed; pip install librosa")
    paths = sorted(shared_data("esc10").glob("*/*.ogg"))
    print(f"{describe()}, librosa {librosa.__version__}")
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        two_threads, two_processes = shared_by(threads), shared_by(processes)
        for warm_up in (ours, librosas, two_threads, two_processes):
            warm_up(paths[:WARM_UP])
        rows = [
            compare("earmark to librosa", librosas, ours, paths, TIMES_LIBROSA),
            compare("two threads to one", ours, two_threads, paths, TIMES_ONE_THREAD),
            compare("two processes to one", ours, two_processes, paths, TIMES_ONE_THREAD),
            compare("two threads to two processes", two_processes, two_threads, paths, 1.0),
        ]
    write("decode", [{**row, "librosa": librosa.__version__} for row in rows])


if __name__ == "__main__":
    main()
