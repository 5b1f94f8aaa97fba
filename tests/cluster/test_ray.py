"""Parts on the real Ray: the bytes of one machine, also if actors and drivers are killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("ray", reason="Ray is not installed; pip install '.[ray]'")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.slow

PROC = Path("/proc")
RATE_HZ = 16_000
CLIPS = 6_000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """Noise in six parts, enough for a kill to find a worker at work."""
    data = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(2)
    (data / "noise").mkdir()
    for k in range(CLIPS):
        soundfile.write(data / "noise" / f"{k}.wav", 0.1 * rng.normal(size=4_000), RATE_HZ)
    return data


@pytest.fixture(scope="module")
def whole(recordings, tmp_path_factory) -> dict[str, bytes]:
    """The files of a run on one machine."""
    out = tmp_path_factory.mktemp("whole") / "out"
    subprocess.run(command(recordings, out, "local"), check=True)
    return content(out)


def command(data: Path, out: Path, on: str = "ray") -> list[str]:
    words = ["embed", str(data), "-o", str(out), "--backbone", "logmel", "--on", on]
    return [sys.executable, "-m", "earmark", *words]


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("part*") if path.suffix != ".json"}


def actors(mark: str) -> list[int]:
    """Return the processes of actors that were started with an environment variable ``mark``."""
    found = []
    for folder in PROC.iterdir():
        try:
            if folder.name.isdigit() and b"ray::Worker" in (folder / "cmdline").read_bytes():
                if f"EARMARK_TEST={mark}".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def started(data: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen(command(data, out), env=os.environ | {"EARMARK_TEST": str(out)})


def wait_for(condition, process: subprocess.Popen, seconds: float = 120.0) -> bool:
    """Wait until ``condition`` holds; False if the process ends before."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_ray_gives_the_bytes_of_one_machine_and_listens_on_the_loopback_only(
    recordings, whole, tmp_path
):
    out, hosts = tmp_path / "out", set()
    process = started(recordings, out)

    def is_at_work() -> bool:
        hosts.update(listening(str(out)))
        return False

    wait_for(is_at_work, process)
    assert process.wait(60) == 0 and content(out) == whole
    if PROC.is_dir():
        assert hosts == {"127.0.0.1"}


def listening(mark: str) -> set[str]:
    """Return the IPv4 addresses on which the processes with ``mark`` listen; '::' for IPv6."""
    inodes, hosts = set(), set()
    for folder in PROC.iterdir():
        try:
            if folder.name.isdigit():
                if f"EARMARK_TEST={mark}".encode() in (folder / "environ").read_bytes():
                    inodes |= {os.readlink(link) for link in (folder / "fd").iterdir()}
        except OSError:
            continue  # it has ended
    for version in ("tcp", "tcp6"):
        for line in (PROC / "net" / version).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                address = bytes.fromhex(words[1].partition(":")[0])
                hosts.add(".".join(map(str, address[::-1])) if version == "tcp" else "::")
    return hosts


@pytest.mark.skipif(not PROC.is_dir(), reason="it finds processes in /proc")
def test_killed_actors_and_drivers_lose_nothing(recordings, whole, tmp_path):
    rng, kills = random.Random(int(os.environ.get("EARMARK_TEST_SEED", "0"))), []
    for number in range(int(os.environ.get("EARMARK_TEST_KILLS", "4"))):
        out = tmp_path / f"out{number}"
        process = started(recordings, out)
        while wait_for(lambda out=out: bool(actors(str(out))), process):
            time.sleep(rng.uniform(0.5, 5.0))
            at_work = actors(str(out))
            what = rng.choice(("actor", "driver"))
            victim = rng.choice(at_work) if what == "actor" and at_work else process.pid
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                break
            kills.append(what)
            if victim == process.pid:
                process.wait()
                process = started(recordings, out)
            elif rng.random() < 0.5:
                break
        assert process.wait(120) == 0
        assert content(out) == whole
    assert kills
