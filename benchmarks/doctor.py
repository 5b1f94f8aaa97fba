"""Measure the doctor: its speed, and the near-duplicates that it finds, misses and invents.

    python benchmarks/doctor.py [speed] [near] [rain] [scale]

`near` gives every second clip of ESC-10 and every fifth of FSDD one altered copy, each change in
turn, and searches all clips for near-duplicates. (Thresholds were set with copies of other clips:
the first, third ... of ESC-10, the first, sixth ... of FSDD.) `rain` does the same with 1,000 clips
of synthetic rain, stationary noise of one kind. `scale` times the search among 10,000. Recordings:
EARMARK_TEST_DATA, or ../shared/data beside the checkout.
"""

from __future__ import annotations

import collections
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from earmark import audio
from earmark.audio.options import AS_IT_IS
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor import copies, near_duplicates, recordings
from earmark.data.doctor.facts import listen
from earmark.data.doctor.findings import Names
from earmark.data.doctor.near_duplicates import Pair
from machine import describe, shared_data, spread, write

REPEATS = 5
RAIN_CLIPS, RAIN_S, RATE_HZ = 1_000, 5.0, 16_000
SCALE_CLIPS, SCALE_S = 10_000, 1.0
LEAST_ENERGY = 0.01  # share of a sound's energy that a trimmed copy must keep

# The only ones of all 79,800 pairs of ESC-10 whose waveforms agree; see docs/doctor.md.
TRUE_PAIRS = {
    frozenset(pair)
    for pair in (
        ("2-28314-A", "2-30322-A"),
        ("2-28314-B", "2-30322-B"),
        ("3-151080-A", "5-151085-A"),
    )
}


@dataclass(frozen=True)
class Change:
    """The changes of a copy: shares cut off, gain, format and its compression, rate."""

    front: float = 0
    back: float = 0
    db: float = 0
    format: str = "WAV"
    compression: float | None = None
    rate_hz: int | None = None


CHANGES = {
    "ogg, 0.6": Change(format="OGG", compression=0.6),
    "ogg, 0.95": Change(format="OGG", compression=0.95),
    "mp3, 0.5": Change(format="MP3", compression=0.5),
    "mp3, 0.95": Change(format="MP3", compression=0.95),
    "opus at 48 kHz, 0.9": Change(format="OGG", compression=0.9, rate_hz=48_000),
    "6 dB louder (clipped)": Change(db=6),
    "12 dB louder (clipped)": Change(db=12),
    "12 dB softer": Change(db=-12),
    "at 16 kHz": Change(rate_hz=16_000),
    "10 % off the front": Change(front=0.1),
    "20 % off the back": Change(back=0.2),
    "30 % off, both ends": Change(front=0.17, back=0.13),
    "30 % off, 6 dB softer, ogg 0.6": Change(0.17, 0.13, -6, "OGG", 0.6),
    "20 % off the front, mp3 0.8": Change(front=0.2, format="MP3", compression=0.8),
}


def plant(clip: Clip, change: Change, folder: Path) -> tuple[Clip, float]:
    """Write an altered copy of ``clip``; also return the share of energy that trimming left."""
    x, rate_hz = audio.decode(clip.path)
    x = x.mean(1)
    kept = x[round(change.front * len(x)) : round((1 - change.back) * len(x))]
    y = np.clip(kept * 10 ** (change.db / 20), -1, 1)
    if change.rate_hz:
        y, rate_hz = soxr.resample(y, rate_hz, change.rate_hz), change.rate_hz
    options = {} if change.compression is None else {"compression_level": change.compression}
    if "opus" in next(name for name, known in CHANGES.items() if known is change):
        options["subtype"] = "OPUS"
    path = folder / f"{clip.path.stem}.{change.format.lower()}"
    soundfile.write(path, y, rate_hz, format=change.format, **options)
    return Clip(path, clip.label), float(np.square(kept).sum() / np.square(x).sum())


def near(name: str, clips: Sequence[Clip], every: int) -> list[dict[str, object]]:
    """Plant one copy for every ``every``-th clip; return a row of figures for each change."""
    with tempfile.TemporaryDirectory() as folder:
        kinds, originals, planted, left = [], [], [], []
        for number, original in enumerate(clips[1::every]):
            kind = list(CHANGES)[number % len(CHANGES)]
            copy, share = plant(original, CHANGES[kind], Path(folder))
            kinds.append(kind)
            originals.append(1 + number * every)
            planted.append(copy)
            left.append(share)
        everyone = [*clips, *planted]
        start = time.perf_counter()
        found = search(everyone)
        seconds = time.perf_counter() - start
    of = [*range(len(clips)), *originals]
    hits = {(p.first, p.second) for p in found if of[p.first] == of[p.second]}
    others = {frozenset(clips[of[n]].path.stem for n in p[:2]) for p in found} - TRUE_PAIRS
    false = {pair for pair in others if len(pair) == 2}
    rows = tally(name, kinds, left, [(of[n], n) in hits for n in range(len(clips), len(everyone))])
    print(
        f"{name}: {len(everyone)} clips in {seconds:.0f} s; pairs of different sounds: {len(false)}"
    )
    for pair in sorted(map(sorted, false)):
        print(f"  false: {' ~ '.join(pair)}")
    return [*rows, {"data": name, "change": "false pairs", "planted": 0, "found": len(false)}]


def tally(
    name: str, kinds: Sequence[str], left: Sequence[float], is_found: Sequence[bool]
) -> list[dict[str, object]]:
    """Count planted and found copies, by change and in all; nearly silent ones separately."""
    count: dict[str, list[bool]] = collections.defaultdict(list)
    for kind, share, hit in zip(kinds, left, is_found, strict=True):
        row = kind if share >= LEAST_ENERGY else "all but 1 % of the energy cut away"
        count[row].append(hit)
        if share >= LEAST_ENERGY:
            count["all"].append(hit)
    rows = []
    for kind, hits in count.items():
        print(f"  {name}, {kind}: {sum(hits)} of {len(hits)} found")
        rows.append({"data": name, "change": kind, "planted": len(hits), "found": sum(hits)})
    return rows


def search(clips: Sequence[Clip]) -> list[Pair]:
    """Read ``clips`` and find near-duplicates, as the doctor does."""
    with ThreadPoolExecutor() as pool:
        facts = list(pool.map(lambda clip: listen(clip, AS_IT_IS), clips))
        waveform = copies.waveforms(clips, AS_IT_IS)
        return near_duplicates.find([f.sketch for f in facts], waveform, pool.map)


def rain(seed: int, seconds: float) -> np.ndarray:
    """Make rain: drops at random times, each a decaying resonance, over a hiss."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    drops = rng.exponential(size=n) * (rng.random(n) < 0.02)
    t = np.arange(400) / RATE_HZ
    drop = np.exp(-t / 0.002) * np.sin(2 * np.pi * 2_500 * t)
    x = np.convolve(drops * rng.choice([-1, 1], n), drop)[:n] + 0.3 * rng.normal(size=n)
    return 0.1 * x / x.std()


def run_near() -> None:
    rows = []
    for name, every in (("esc10", 2), ("fsdd", 5)):
        clips = Dataset.read(shared_data(name) / "meta.csv").clips
        rows += near(name, clips, every)
    write("doctor_near", rows)


def run_rain() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clips = [Clip(Path(folder) / f"rain{k}.wav", "rain") for k in range(RAIN_CLIPS)]
        for k, clip in enumerate(clips):
            soundfile.write(clip.path, rain(k, RAIN_S), RATE_HZ)
        write("doctor_rain", near("synthetic rain", clips, 5))


def run_scale() -> None:
    """Time the stages on many short clips of noise without near-duplicates."""
    rng = np.random.default_rng(0)
    n = round(SCALE_S / near_duplicates.HOP_S)
    sketches = [
        rng.integers(0, 250, (n, near_duplicates.BANDS)).astype(np.uint8)
        for _ in range(SCALE_CLIPS)
    ]
    start = time.perf_counter()
    pairs = near_duplicates._neighbours(sketches)
    chosen = time.perf_counter()
    for i, j in pairs[:: len(pairs) // 2_000].tolist():
        near_duplicates._aligned(sketches[i], sketches[j])
    each = (time.perf_counter() - chosen) / len(pairs[:: len(pairs) // 2_000])
    print(
        f"{SCALE_CLIPS} clips of {SCALE_S:g} s: {chosen - start:.1f} s to choose {len(pairs)}"
        f" pairs, {1e3 * each:.2f} ms to align one: {each * len(pairs):.0f} s on one core"
    )


def run_speed() -> None:
    """Time decoding alone, and decoding with all cheap checks, on one core."""
    rows = []
    for name in ("esc10", "fsdd"):
        clips = Dataset.read(shared_data(name) / "meta.csv").clips

        def decode(clips: Sequence[Clip] = clips) -> float:
            return sum(len(x) / hz for x, hz in (audio.decode(clip.path) for clip in clips))

        def check(clips: Sequence[Clip] = clips) -> float:
            facts = [listen(clip, AS_IT_IS) for clip in clips]
            list(recordings.check(facts, Names(clips)))
            return sum(f.seconds for f in facts)

        for what, work in (("decoding", decode), ("decoding and cheap checks", check)):
            times = [timed(work) for _ in range(REPEATS)]
            print(f"{name}, {what}: {spread(times)} times real time on one core")
            best, median = max(times), statistics.median(times)
            row = {"data": name, "what": what, "median": round(median), "best": round(best)}
            rows.append(row)
    write("doctor_speed", rows)


def timed(work: Callable[[], float]) -> float:
    """Return seconds of audio per second of one core's time."""
    start = time.process_time()
    return work() / (time.process_time() - start)


def main() -> None:
    """Run the named parts, or all."""
    parts = {"speed": run_speed, "near": run_near, "rain": run_rain, "scale": run_scale}
    print(describe())
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
