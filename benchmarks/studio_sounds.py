"""Measure what `earmark studio` draws: a recording of ten hours, and thumbnails of short clips.

    python benchmarks/studio_sounds.py

Real recordings (ESC-10) are repeated for ten hours at 44.1 kHz, as WAV and as FLAC, in a temporary
folder (4.8 GB). 'memory_mb' is the most that any of the processes took until then.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

import numpy as np
import soundfile

from earmark.apps.studio.sounds.sounds import Sounds
from earmark.audio import load
from machine import describe, shared_data, write

HOURS, RATE_HZ = 10, 44_100
CLIPS, CLIP_S = 1_000, 1.0


def make_long(paths: list[Path]) -> None:
    """Write the same ten hours to all paths; each round of the sounds has another loudness."""
    sounds = [load(path, RATE_HZ) for path in sorted(shared_data("esc10").glob("*/*"))[:60]]
    x = np.concatenate(sounds)
    files = [soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") for path in paths]
    left, turn = HOURS * 3_600 * RATE_HZ, 0
    while left:
        part = (0.3 + 0.7 * abs(np.sin(turn / 9))) * x[:left]
        for file in files:
            file.write(part)
        left, turn = left - len(part), turn + 1
    for file in files:
        file.close()


def make_clips(folder: Path) -> list[Path]:
    """Write short clips, each another noise."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{k}.wav" for k in range(CLIPS)]
    for path in paths:
        soundfile.write(path, rng.normal(0, 0.1, int(CLIP_S * RATE_HZ)).clip(-1, 1), RATE_HZ)
    return paths


def memory_mb(sounds: Sounds) -> int:
    """Return the most memory that one of the processes had, in MB (Linux)."""
    children = sounds._readers._children | sounds._scanners._children
    texts = [Path(f"/proc/{c._process.get_pid()}/status").read_text() for c in children]
    return max(int(text.split("VmHWM:")[1].split()[0]) // 1_000 for text in texts)


async def measure(folder: Path) -> list[dict[str, object]]:
    """Return a row for each figure."""
    rows: list[dict[str, object]] = []
    sounds = Sounds()

    async def timed(what: str, work: Awaitable[object], kind: str = "") -> None:
        begin = time.perf_counter()
        await work
        milliseconds = round(1_000 * (time.perf_counter() - begin), 1)
        row = {"what": what, "format": kind, "ms": milliseconds, "memory_mb": memory_mb(sounds)}
        rows.append(row)
        print(f"{what:<32} {kind:<6} {milliseconds:>10.1f} ms  {row['memory_mb']} MB")

    async def scanned() -> None:
        while sounds._scans:
            await asyncio.sleep(0.1)

    try:
        await sounds.start()
        whole = {"columns": 1_200, "rows": 128}
        for path in (folder / "night.wav", folder / "night.flac"):
            kind = path.suffix[1:]
            await timed("length, rate and channels", sounds.about(path), kind)
            for hour in (0, 5, 9):
                at = 3_600.0 * hour + 17
                work = sounds.picture(path, at, at + 60, columns=1_024, rows=128)
                await timed(f"picture of 60 s, hour {hour}", work, kind)
            await timed("peaks of 60 s", sounds.peaks(path, 9_000, 9_060, points=1_000), kind)
            await timed("audio of 30 s", sounds.audio(path, 20_000, 20_030), kind)
            await timed("tile of 16 s", sounds.tile(path, 6, 1_000), kind)
            await timed("tile of 256 s", sounds.tile(path, 10, 60), kind)
            await timed("sketch of 10 h", sounds.picture(path, None, None, **whole), kind)
            await timed("scan of 10 h", scanned(), kind)
            await timed("picture of 10 h, scanned", sounds.picture(path, None, None, **whole), kind)
            await timed("tile of 2.3 h, scanned", sounds.tile(path, 15, 1), kind)
        clips = [(path, None, None) for path in make_clips(folder)]
        work = sounds.pictures(clips, columns=96, rows=48)
        await timed(f"{CLIPS} thumbnails of {CLIP_S:g} s", work)
    finally:
        await sounds.close()
    return rows


def main() -> None:
    """Make the recordings, measure, and write the figures."""
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        os.environ["EARMARK_CACHE"] = str(Path(name) / "cache")
        folder = Path(name)
        make_long([folder / "night.wav", folder / "night.flac"])
        write("studio_sounds", asyncio.run(measure(folder)))


if __name__ == "__main__":
    main()
