"""`earmark index --on`: the parts of one process, whoever runs the network."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from command_line import earmark
from dying import die_once
from earmark.apps.cli import executors
from earmark.apps.cluster.local_workers import LocalWorkers
from earmark.audio.options import AudioOptions
from earmark.backbones import load_backbone
from earmark.embeddings import indexing, pass_workers
from earmark.embeddings.archive_writer import ArchiveWriter
from earmark.embeddings.pass_workers import Job, PassRun, compute_run
from earmark.embeddings.window_settings import WindowSettings
from earmark.errors import EarmarkError

pytest.importorskip("pyarrow")
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def nights(tmp_path_factory) -> Path:
    """Recordings of all lengths; one is no recording, and one breaks off."""
    folder, rng = tmp_path_factory.mktemp("nights"), np.random.default_rng(0)
    for name, seconds in (("a", 0.3), ("b", 3.0), ("c", 50.0), ("e", 10.0), ("g", 31.3)):
        wave = 0.1 * rng.normal(size=int(seconds * RATE_HZ))
        soundfile.write(folder / f"{name}.flac", wave, RATE_HZ)
    (folder / "d.wav").write_bytes(b"no audio")
    whole = (folder / "g.flac").read_bytes()
    (folder / "f.flac").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(indexing, "PART_WINDOWS", 16)
    monkeypatch.setattr(pass_workers, "RUN", 2)


class Backwards:
    """Workers that begin only when a result is waited for, and with the last call."""

    def __init__(self, count: int):
        self.count, self.waiting, self.most, self.calls = count, [], 0, 0

    def submit(self, function, item):
        call = Call(self, pickle.dumps((function, item)))
        self.waiting.append(call)
        self.most, self.calls = max(self.most, len(self.waiting)), self.calls + 1
        return call

    def map(self, function, items):
        raise AssertionError


class Call:
    def __init__(self, workers: Backwards, content: bytes):
        self.workers, self.content, self.value = workers, content, None

    def result(self):
        if self.value is None:
            for call in reversed(self.workers.waiting):
                function, item = pickle.loads(call.content)
                call.value = pickle.dumps(function(item))
            self.workers.waiting.clear()
        return pickle.loads(self.value)

    def cancel(self):
        pass


def index(folder: Path, archive: Path, *options: object, expect: int = 1) -> dict:
    words = ("index", folder, "-o", archive, "--json", *options)
    if "--backbone" not in options:
        words += ("--backbone", "logmel")
    told = json.loads(earmark(*words, expect=expect).stdout)
    del told["archive"]
    return told


def parts_of(archive: Path) -> dict[str, bytes]:
    paths = [path for path in archive.rglob("*") if path.suffix in (".parquet", ".f16")]
    return {str(path.relative_to(archive)): path.read_bytes() for path in paths}


def give(monkeypatch, workers) -> None:
    """Let ``--on`` have these workers."""

    @contextlib.contextmanager
    def executor_on(on, runs_networks=False):
        yield workers if on else None

    monkeypatch.setattr(executors, "executor_on", executor_on)


# With windows of 8 s, sixteen blocks are merged by running sums, which depend on where they begin.
@pytest.mark.parametrize(("count", "window"), [(1, 8), (3, 1)])
def test_workers_give_the_parts_of_one_process(count, window, nights, tmp_path, monkeypatch):
    options = ("--window", window)
    alone = index(nights, tmp_path / "alone", *options)
    workers = Backwards(count)
    give(monkeypatch, workers)
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace())
    assert index(nights, tmp_path / "on", *options, "--on", "ray:head") == alone
    assert parts_of(tmp_path / "on") == parts_of(tmp_path / "alone")
    assert len(alone["skipped"]) == 1 and len(alone["warnings"]) == 1 and alone["windows"] > 100
    most = max(pass_workers.LEAST_AHEAD, pass_workers.EACH * count)
    assert workers.calls > most == workers.most
    before = workers.calls
    assert index(nights, tmp_path / "on", *options, "--on", "local")["computed"] == 0
    assert workers.calls == before


def test_a_stopped_run_goes_on_with_workers_or_without(nights, tmp_path, monkeypatch):
    index(nights, tmp_path / "whole")
    give(monkeypatch, Backwards(2))
    add_part, numbers = ArchiveWriter.add_part, []

    def stop(self, network, part, *rest):
        numbers.append(part.part)
        if len(numbers) % 4 == 0:
            raise KeyboardInterrupt
        add_part(self, network, part, *rest)

    monkeypatch.setattr(ArchiveWriter, "add_part", stop)
    words = ("index", nights, "-o", tmp_path / "stopped", "--backbone", "logmel")
    earmark(*words, "--on", "local", expect=130)
    earmark(*words, expect=130)
    earmark(*words, "--on", "local", expect=130)
    monkeypatch.setattr(ArchiveWriter, "add_part", add_part)
    index(nights, tmp_path / "stopped", "--on", "local")
    parts, again = (
        {k: v for k, v in parts_of(tmp_path / name).items() if k.endswith(".parquet")}
        for name in ("whole", "stopped")
    )
    assert again == parts and max(numbers) > 6


def test_few_runs_are_on_their_way_if_they_are_large(nights, tmp_path, monkeypatch):
    monkeypatch.setattr(pass_workers, "MOST_BYTES", 1)
    workers = Backwards(50)
    give(monkeypatch, workers)
    index(nights, tmp_path / "on", "--on", "local")
    assert workers.most == pass_workers.LEAST_AHEAD


def test_a_worker_with_other_weights_is_refused():
    backbone = load_backbone("logmel")
    settings = WindowSettings.on_grid(backbone, AudioOptions(), 1.0, 0.5)
    job = Job("logmel", "exact", "auto", replace(settings, fingerprint="logmel/2 other"))
    with pytest.raises(EarmarkError, match=r"has fingerprint .* but this run has 'logmel/2 other'"):
        compute_run(PassRun(job, ()))


def test_wrong_values_and_missing_ray_are_told(nights, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for on, words in (
        ("moon", "--on is 'moon'. Give local or ray"),
        ("ray", "pip install '.[ray]'"),
    ):
        told = earmark("index", nights, "-o", tmp_path / "archive", "--on", on, expect=2).stderr
        assert words in told and not (tmp_path / "archive").exists()


class Dying:
    """Workers of which one dies at the fourth run."""

    def __init__(self, workers: LocalWorkers, marker: Path):
        self.workers, self.count, self.marker, self.calls = workers, workers.count, marker, 0

    def submit(self, function, item):
        self.calls += 1
        if self.calls == 4:
            self.workers.submit(die_once, self.marker)
        return self.workers.submit(function, item)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["speech-embedding", "yamnet"])
def test_processes_give_the_same_parts_also_if_one_dies(backbone, nights, tmp_path, monkeypatch):
    options = ("--backbone", backbone)
    index(nights, tmp_path / "alone", *options)
    for count in (1, 2, 3):
        with LocalWorkers(count) as workers:
            give(monkeypatch, Dying(workers, tmp_path / f"died{count}"))
            index(nights, tmp_path / f"{count}", *options, "--on", "local")
            assert workers.deaths == 1
        assert parts_of(tmp_path / f"{count}") == parts_of(tmp_path / "alone")


COMMAND = """
import sys
from earmark.embeddings import indexing, pass_workers
indexing.PART_WINDOWS, pass_workers.RUN = 16, 2
from earmark.apps.cli import main
sys.argv = ["earmark", "index", *sys.argv[1:], "--backbone", "logmel", "--on", "local"]
main()
"""


def workers_of(process: int) -> list[int]:
    """Return the worker processes that a process has started."""
    own = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(pid) for pid in own if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="it finds workers in /proc")
def test_a_killed_worker_and_a_killed_command_lose_nothing(tmp_path):
    for number in range(8):
        wave = 0.1 * np.random.default_rng(number).normal(size=RATE_HZ * 120)
        (tmp_path / "in").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "in" / f"{number}.wav", wave, RATE_HZ)
    index(tmp_path / "in", tmp_path / "whole", expect=0)
    archive = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", COMMAND, tmp_path / "in", "-o", archive])

    def wait_for(parts: int) -> None:
        while process.poll() is None and len(list(archive.rglob("part-*.parquet"))) < parts:
            time.sleep(0.01)
        assert process.poll() is None

    wait_for(3)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    wait_for(30)
    process.kill()
    process.wait()
    index(tmp_path / "in", archive, "--on", "local", expect=0)
    parts, again = (
        {k: v for k, v in parts_of(tmp_path / name).items() if k.endswith(".parquet")}
        for name in ("whole", "killed")
    )
    assert again == parts


@pytest.mark.slow
def test_ray_gives_the_parts_of_one_process(nights, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed; pip install '.[ray]'")
    alone = index(nights, tmp_path / "alone")
    assert index(nights, tmp_path / "on", "--on", "ray") == alone
    assert parts_of(tmp_path / "on") == parts_of(tmp_path / "alone")
