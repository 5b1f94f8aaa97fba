"""Compare reading clips from a store with latency to reading them from files of this machine.

    python benchmarks/remote.py throughput [CLIPS] [LATENCY_MS] [RUNS]
    python benchmarks/remote.py again [CLIPS] [LATENCY_MS]

The store is ``object_server.py`` on the loopback, which takes some of the same cores.

``throughput`` embeds the same clips with speech-embedding in turns, from files and over HTTP, each
time with an empty store of embeddings. CPU time is that of all threads of earmark, without the
server's. ``again`` runs over clips in S3 whose embeddings are in the store: only their statuses
are asked for.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

import earmark
from earmark.audio.fetching import fetch
from earmark.audio.options import AS_IT_IS
from earmark.audio.uri import UriSource
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.embeddings.cutting import make_request
from earmark.embeddings.objects import RecordingVersion
from earmark.embeddings.readers import FETCHERS
from earmark.embeddings.stages import Request
from earmark.embeddings.store import Record
from earmark.system.objects import ObjectStatus
from machine import describe
from object_server import MADE_BYTES, made_name, made_tag

RESULTS = Path(__file__).parent / "results"
SERVER = Path(__file__).parent / "object_server.py"
SECONDS, RATE_HZ = 5, 16_000
Row = tuple[str, float, str]


def make_clips(folder: Path, count: int) -> list[str]:
    rng, names = np.random.default_rng(0), []
    folder.mkdir()
    for number in range(count):
        names.append(f"{number:05d}.wav")
        noise = 0.1 * rng.standard_normal(SECONDS * RATE_HZ).astype(np.float32)
        soundfile.write(folder / names[-1], noise, RATE_HZ, "PCM_16")
    return names


@contextmanager
def served(*words: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the address of a server, and a dictionary that has its counts at the end."""
    command, counts = [sys.executable, str(SERVER), *words], dict[str, int]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", counts
        finally:
            process.terminate()
            counts |= ast.literal_eval(process.stdout.read() or "{}")


def timed(clips: list[Clip], backbone: Backbone, path: Path) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of embedding clips with a store at ``path``."""
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    with earmark.Store(path) as store:
        result = earmark.embed(clips, backbone, store)
    assert not result.failures, result.failures[0]
    return time.perf_counter() - begin_s, time.process_time() - begin_cpu_s


def throughput(count: int = 800, latency_ms: float = 40.0, runs: int = 5) -> Iterator[Row]:
    backbone = earmark.load_backbone("speech-embedding")
    seconds: dict[str, list[tuple[float, float]]] = {"files": [], "store": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "clips"
        names = make_clips(folder, count)
        with served(str(folder), str(latency_ms)) as (url, counts):
            clips = {
                "files": [Clip(folder / name) for name in names],
                "store": [Clip(f"{url}/clips/{name}") for name in names],  # type: ignore[arg-type]
            }
            begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(FETCHERS) as pool:
                list(pool.map(fetch, (clip.source for clip in clips["store"])))  # type: ignore[arg-type]
            alone_s, alone_cpu_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
            for kind in clips:
                timed(clips[kind][:50], backbone, Path(place) / "warm.sqlite")
            for run in range(runs):
                for kind in sorted(clips, reverse=run % 2 == 1):
                    path = Path(place) / f"{kind}{run}.sqlite"
                    seconds[kind].append(timed(clips[kind], backbone, path))
    for kind, times in seconds.items():
        yield f"{kind}: clips per second", count / statistics.median(t for t, _ in times), "1/s"
        yield f"{kind}: best", count / min(t for t, _ in times), "1/s"
        yield f"{kind}: CPU a clip", 1e3 * statistics.median(t for _, t in times) / count, "ms"
    median, best = (
        f([t for t, _ in seconds["files"]]) / f([t for t, _ in seconds["store"]])
        for f in (statistics.median, min)
    )
    yield "throughput of the store, of that of files, median", median, "1"
    yield "throughput of the store, of that of files, best", best, "1"
    yield "fetching alone: clips per second", count / alone_s, "1/s"
    yield "fetching alone: CPU a clip", 1e3 * alone_cpu_s / count, "ms"
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    server_ms = 1e3 * (used.ru_utime + used.ru_stime) / ((runs + 1) * count)
    yield "CPU of the server, which has the same cores, a clip", server_ms, "ms"
    yield "requests a clip", sum(counts.values()) / ((runs + 1) * count + 50), "1"


def again(count: int = 100_000, latency_ms: float = 40.0) -> Iterator[Row]:
    backbone = earmark.load_backbone("logmel")
    with (
        tempfile.TemporaryDirectory() as place,
        served("--made", str(count), str(latency_ms)) as (url, counts),
    ):
        os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
        names = [made_name(number) for number in range(count)]
        clips = [Clip(f"s3://made-bucket/{name}") for name in names]  # type: ignore[arg-type]
        path = Path(place) / "s.sqlite"
        fill(path, clips, names, backbone)
        wall_s, cpu_s = timed(clips, backbone, path)
    yield "run again", wall_s, "s"
    yield "run again, CPU", cpu_s, "s"
    for kind in ("list", "HEAD", "GET"):
        yield f"requests: {kind}", counts.get(kind, 0), "1"


def fill(path: Path, clips: list[Clip], names: list[str], backbone: Backbone) -> None:
    """Put a row for each clip into the store, as if it had been read and embedded."""
    row = np.random.default_rng(0).standard_normal(2 * 64).astype(np.float16)
    with earmark.Store(path) as store:
        for first in range(0, len(clips), 1_000):
            records = []
            for clip, name in zip(clips[first : first + 1_000], names[first:], strict=False):
                status = ObjectStatus(MADE_BYTES, f'"{made_tag(name)}"')
                version = RecordingVersion(hashlib.sha256(name.encode()).digest(), 3)
                store.recordings.add(UriSource(clip.place), status, version)
                request = make_request(backbone, AS_IT_IS, clip, store.recordings)
                assert isinstance(request, Request) and request.is_known
                records.append((request.key, Record(row, 1.0)))
            store.put(backbone.fingerprint, records)


def main(what: str, *words: str) -> None:
    numbers = [kind(word) for kind, word in zip((int, float, int), words, strict=False)]
    measured = {"throughput": throughput, "again": again}[what](*numbers)  # type: ignore[arg-type]
    rows = [(name, f"{value:.4g}", unit) for name, value, unit in measured]
    about = f"{' '.join(words) or 'defaults'}; {describe()}"
    with (RESULTS / f"remote_{what}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("what", "value", "unit"), *rows, ("on", about, "")])
    for name, value, unit in rows:
        print(f"{name:52} {value:>8} {unit}")


if __name__ == "__main__":
    main(*sys.argv[1:])
