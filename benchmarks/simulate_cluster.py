"""Give ten million clips out to 8, 64 and 512 simulated workers, with the real driver.

    python benchmarks/simulate_cluster.py [CLIPS]

What takes time, fails and dies is drawn from the distributions in `simulated_cluster.World`. The
driver is that of `earmark embed --on ray`. It dies as well, and another one goes on: all that is
left then are the files of finished parts. The runs marked `real` divide a Parquet manifest of so
many rows as the command does, so their peak of memory is that of a driver.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from earmark.apps.cluster.driver import Driver
from earmark.data.clip import Clip
from earmark.embeddings.part import Part
from earmark.embeddings.shares import PART_CLIPS
from machine import describe, run, write
from simulated_cluster import DriverDiedError, SimulatedCluster, World

CHILD = "--child"
CLIPS = 10_000_000
WORKERS = (8, 64, 512)
LONG = (600.0, 0.5)  # seconds of a part of a large network
CASES = (  # workers, whether parts are long, rows of a real manifest
    *((workers, False, 0) for workers in WORKERS),
    (64, True, 0),
    (512, True, 0),
    (64, False, 1_000_000),
    (64, False, CLIPS),
)

Parts = Callable[[], Iterator[Part]]


def made_parts(count: int) -> Iterator[Part]:
    """Yield parts without a manifest."""
    clips = (Clip(Path("a.wav")),) * PART_CLIPS
    for number in range(count):
        yield Part(number, clips, f"{number:016x}")


def simulate(world: World, parts: Parts, seed: int = 0) -> tuple[SimulatedCluster, float]:
    """Run drivers until all parts are done; return the cluster, and CPU seconds of the drivers."""
    cluster = SimulatedCluster(world, seed)
    own_s = 0.0

    def missing() -> Iterator[Part]:
        nonlocal own_s
        iterator = parts()
        while True:
            begin = time.thread_time()
            part = next(iterator, None)
            own_s += time.thread_time() - begin
            if part is None:
                return
            if part.number not in cluster.done:
                yield part
            else:
                cluster.now += world.check_s

    begin = time.thread_time()
    while True:
        cluster.let_driver_live()
        with contextlib.suppress(DriverDiedError):
            for _ in Driver(cluster, missing(), lambda: cluster.now).run():
                pass
            break
        cluster.tally.driver_deaths += 1
        cluster.now += world.driver_pause_s
    took_s = time.thread_time() - begin
    return cluster, took_s - own_s - cluster.tally.cluster_cpu_s


def work_s(world: World, n_parts: int, seed: int = 1) -> float:
    """Return the core seconds of all parts if nothing is slow, from a sample."""
    cluster = SimulatedCluster(world, seed)
    return n_parts * sum(cluster.part_s() for _ in range(2_000)) / 2_000


def peak_mb() -> float:
    """Return the peak of this process; getrusage would also count the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def real_parts(manifest: Path) -> Parts:
    """Return a function that divides a manifest as the command does."""
    from earmark.audio.options import AS_IT_IS
    from earmark.backbones import load_backbone
    from earmark.data.blocks import ClipBlocks
    from earmark.embeddings.part import PartSettings, divide
    from earmark.embeddings.shares import ALL

    settings = PartSettings.of(load_backbone("logmel"), AS_IT_IS)
    blocks = ClipBlocks.read(manifest, PART_CLIPS, columns={})
    return lambda: divide(blocks.blocks(ALL), settings, manifest.parent)


def child(workers: int, is_long: bool, n_clips: int, manifest: str) -> None:
    """Simulate one case and print its figures."""
    world = World(workers)
    if is_long:
        world = replace(world, part_s=LONG)
    n_parts = -(-n_clips // PART_CLIPS)
    if manifest:  # each driver would divide it again
        world = replace(world, driver_life_s=1e12)
        parts = real_parts(Path(manifest))
    else:
        parts = lambda: made_parts(n_parts)  # noqa: E731
    cluster, driver_s = simulate(world, parts)
    tally = cluster.tally
    assert cluster.done == set(range(n_parts)), "a part was lost"
    ideal_s = work_s(world, n_parts) / workers
    figures = {
        "hours": round(cluster.now / 3600, 2),
        "ideal_hours": round(ideal_s / 3600, 2),
        "of_ideal": round(cluster.now / ideal_s, 2),
        "doubled_parts": f"{(tally.completed - n_parts) / n_parts:.4f}",
        "lost_work": f"{(tally.busy_s - tally.useful_s) / tally.useful_s:.4f}",
        "node_deaths": tally.node_deaths,
        "worker_deaths": tally.worker_deaths,
        "driver_deaths": tally.driver_deaths,
        "driver_cpu_s": round(driver_s, 1),
        "peak_mb": round(peak_mb()),
    }
    print(*(f"{name}={value}" for name, value in figures.items()))


def main() -> None:
    """Simulate all cases, each in a process of its own; write results/simulate_cluster.csv."""
    if sys.argv[1:2] == [CHILD]:
        workers, is_long, n_clips, *manifest = sys.argv[2:]
        child(int(workers), is_long == "True", int(n_clips), "".join(manifest))
        return
    from parts_driver import make

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="?", type=int, default=CLIPS)
    most = parser.parse_args().clips
    print(describe())
    results = []
    for workers, is_long, n_rows in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows = min(n_rows, most)
            words = [str(workers), str(is_long), str(rows or most)]
            words += [str(make(Path(folder), rows))] if rows else []
            done = run([sys.executable, __file__, CHILD, *words], {})
        about = {"workers": workers, "part_s": (LONG if is_long else World(1).part_s)[0]}
        about |= {"clips": rows or most, "manifest": "real" if rows else "made"}
        results.append(about | dict(pair.split("=") for pair in done.output.split()))
        print(results[-1], flush=True)
    write("simulate_cluster", results)


if __name__ == "__main__":
    main()
