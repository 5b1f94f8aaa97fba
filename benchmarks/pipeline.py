"""Compare today's pipeline with that of another revision: speed of embedding and of predict.

    python benchmarks/pipeline.py [REVISION ...]

Each revision (default: the last of 0.1) is checked out beside today's code. Each runs in a process
of its own, warm, in turns, over the same files of ESC-10 without a store. A ratio compares runs of
the same round: above 1, today's code is faster. CPU seconds are those of the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from machine import shared_data, write

ROOT = Path(__file__).parents[1]
BEFORE = "8001c58"  # the last revision of 0.1
BACKBONES = {"speech-embedding": 200, "logmel": 200, "efficientat-mn04": 200}  # and their clips
ROUNDS = 9

WORKER = """
import json, sys, time
from pathlib import Path
try:
    from earmark.embeddings.embedding import embed
    from earmark.backbones.registry import load_backbone
    from earmark.data.clip import Clip
except ImportError:
    from earmark.embed import embed
    from earmark.backbones import create as load_backbone
    from earmark.dataset import Clip
name, files = sys.argv[1], json.loads(sys.argv[2])
network, clips = load_backbone(name), [Clip(Path(file)) for file in files]
embed(clips[:8], network)
print("ready", flush=True)
for _ in sys.stdin:
    cpu, wall = time.process_time(), time.perf_counter()
    seconds = embed(clips, network).seconds
    print(json.dumps([seconds, time.process_time() - cpu, time.perf_counter() - wall]), flush=True)
"""


@contextlib.contextmanager
def worker(source: Path, name: str, files: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a process that embeds ``files`` each time it reads a line."""
    command = [sys.executable, "-c", WORKER, name, json.dumps(files)]
    environment = {**os.environ, "PYTHONPATH": str(source / "src")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def measure(process: subprocess.Popen[str]) -> tuple[float, float, float]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    seconds, cpu, wall = json.loads(process.stdout.readline())
    return seconds, cpu, wall


def main(revisions: list[str]) -> None:
    folder = shared_data("esc10")
    rows = []
    for revision in revisions or [BEFORE]:
        with tempfile.TemporaryDirectory() as place:
            before = Path(place) / "before"
            git = ["git", "-C", str(ROOT), "worktree"]
            subprocess.run([*git, "add", "--detach", str(before), revision], check=True)
            try:
                for name, count in BACKBONES.items():
                    files = [str(path) for path in sorted(folder.glob("*/*.ogg"))[:count]]
                    rows.append(
                        {"before": revision, "backbone": name} | compare(before, name, files)
                    )
                    print(rows[-1])
            finally:
                subprocess.run([*git, "remove", "--force", str(before)], check=True)
    write("pipeline", rows)


def compare(before: Path, name: str, files: list[str]) -> dict[str, object]:
    """Run both in turns; the first one alternates between rounds."""
    with worker(before, name, files) as old, worker(ROOT, name, files) as new:
        cpu, wall, speeds = [], [], []
        for turn in range(ROUNDS):
            first, second = (old, new) if turn % 2 else (new, old)
            results = {id(first): measure(first), id(second): measure(second)}
            (_, cpu_old, wall_old), (audio_s, cpu_new, wall_new) = (
                results[id(old)],
                results[id(new)],
            )
            cpu.append(cpu_old / cpu_new)
            wall.append(wall_old / wall_new)
            speeds.append(audio_s / wall_new)
    return {
        "clips": len(files),
        "rounds": ROUNDS,
        "cpu_ratio": round(statistics.median(cpu), 3),
        "cpu_low": round(min(cpu), 3),
        "cpu_high": round(max(cpu), 3),
        "wall_ratio": round(statistics.median(wall), 3),
        "x_real_time": round(statistics.median(speeds)),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
