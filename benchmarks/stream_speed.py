"""Time the steps of a stream on one thread, the delay of its events, and its memory over a day.

    python benchmarks/stream_speed.py MODEL RECORDING... [--hours 24] [--step 0.24]

MODEL is a detector; the RECORDINGS are fed one after the other, again and again, as 20 ms blocks
with a gap now and then. The speed is computed from CPU time, because other programs may use the
machine meanwhile. The delay is that of the stream: from the end of an event until as much sound was
heard that it is final; computing a step comes on top. Memory is what the process uses after 10 % of
the hours and at the end.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from machine import describe, write

BLOCK_S, SHORT_S = 0.02, 120.0
STEPS_S = (0.08, 0.24, 1.0)
GAP_EVERY_S = 1_000.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RATE_HZ = 16_000


def used_mb() -> float:
    """Return the memory that this process uses now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def sounds(paths: list[Path]) -> list[np.ndarray]:
    """Read the recordings as 16 kHz mono, as a microphone might bring it."""
    from earmark import audio

    return [audio.load(path, RATE_HZ) for path in paths]


def blocks(recordings: list[np.ndarray], seconds: float) -> Iterator[Any]:
    """Yield live blocks, and a gap now and then, until ``seconds`` are over."""
    from earmark.audio.live import Gap, LiveBlock

    size, heard_s, gap_s = round(BLOCK_S * RATE_HZ), 0.0, GAP_EVERY_S
    for x in itertools.cycle(recordings):
        for at in range(0, len(x) - size + 1, size):
            yield LiveBlock(x[at : at + size], RATE_HZ, heard_s)
            heard_s += BLOCK_S
            if heard_s >= seconds:
                return
            if heard_s >= gap_s:
                gap_s += GAP_EVERY_S
                yield Gap(0.0, "a test")


def run(detector: Any, recordings: list[np.ndarray], seconds: float, step_s: float) -> dict:
    """Listen for so many seconds of sound; return a row."""
    from earmark.detection.listening import HeardEvent, Listener

    now_s = 0.0
    listener = Listener(detector, step_s, clock=lambda: now_s)
    delays, count, early_mb = list[float](), 0, 0.0
    began = time.process_time()
    for item in blocks(recordings, seconds):
        now_s = listener.stream.heard_s + getattr(item, "seconds", 0.0)
        heard = [r for r in listener.hear(item) if isinstance(r, HeardEvent)]
        count += len(heard)
        if len(delays) < 10_000 and hasattr(item, "samples"):
            delays += [r.decided_at - r.event.end for r in heard]
        if not early_mb and now_s >= seconds / 10:
            early_mb = used_mb()
    cpu_s = time.process_time() - began
    row = {
        "step_s": step_s,
        "hours": round(seconds / 3_600, 3),
        "window_s": detector.scorer.window_s,
        "speed": round(seconds / cpu_s, 1),
        "ms_a_step": round(1_000 * cpu_s * step_s / seconds, 2),
        "events": count,
        "delay_median_s": round(float(np.median(delays)), 3) if delays else "",
        "delay_most_s": round(max(delays), 3) if delays else "",
        "early_mb": round(early_mb, 1),
        "late_mb": round(used_mb(), 1),
    }
    print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


def main() -> None:
    """Measure, and write results/stream_speed.csv."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--step", type=float, default=0.24)
    options = parser.parse_args()
    import torch

    from earmark.classifier.classifier import Classifier
    from earmark.detection.detecting import EventDetector

    torch.set_num_threads(1)
    print(describe())
    detector = EventDetector.load(Classifier.load(options.model))
    recordings = sounds(options.recordings)
    run(detector, recordings, 20.0, options.step)  # first calls are slower
    rows = [run(detector, recordings, SHORT_S, step_s) for step_s in STEPS_S]
    rows.append(run(detector, recordings, options.hours * 3_600, options.step))
    write("stream_speed", rows)


if __name__ == "__main__":
    main()
