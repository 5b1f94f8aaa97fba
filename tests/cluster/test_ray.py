"""Parts on the real Ray: the bytes of one machine, also if actors and drivers are killed."""

import contextlib
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

import earmark
from tones import tone_detector, write_tones

pytest.importorskip("ray", reason="Ray is not installed; pip install '.[ray]'")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.slow

PROC = Path("/proc")
ACTOR = b"ray::Worker"  # in the command line of its process
LISTENS = "0A"  # the state of a socket in /proc/net/tcp
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
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


@pytest.mark.parametrize("kind", ["predict", "detect"])
def test_predictions_and_events_are_those_of_one_machine(kind, tmp_path):
    model = tone_detector(tmp_path / "clips")
    if kind == "predict":
        training = earmark.train(tmp_path / "clips", backbone="logmel", compare=False)
        training.classifier.save(model)
    rng = np.random.default_rng(3)
    for k in range(70 if kind == "detect" else 2_100):
        path = tmp_path / "in" / f"{k}.wav"
        if kind == "detect":
            write_tones(path, 5.0, k)
        else:
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, 0.1 * rng.normal(size=8_000), RATE_HZ)
    out = {on: tmp_path / on for on in ("local", "ray")}
    for on, folder in out.items():
        words = [kind, str(model), str(tmp_path / "in"), "-o", str(folder), "--on", on]
        subprocess.run([sys.executable, "-m", "earmark", *words], check=True)
    assert len(content(out["ray"])) == 3 + 1 and content(out["ray"]) == content(out["local"])
    table = {"predict": "predictions.csv", "detect": "events.csv"}[kind]
    assert (out["ray"] / table).read_bytes() == (out["local"] / table).read_bytes()


def command(data: Path, out: Path, on: str = "ray") -> list[str]:
    words = ["embed", str(data), "-o", str(out), "--backbone", "logmel", "--on", on]
    return [sys.executable, "-m", "earmark", *words]


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("part*") if path.suffix != ".json"}


def processes(out: Path, name: bytes = b"") -> list[Path]:
    """Return the folders in /proc of the processes of a command, and of Ray below it."""
    found, sign = [], f"EARMARK_TEST={out}\0".encode()
    for folder in PROC.iterdir():
        try:
            is_ours = folder.name.isdigit() and sign in (folder / "environ").read_bytes()
            if is_ours and name in (folder / "cmdline").read_bytes():
                found.append(folder)
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


@pytest.mark.skipif(not PROC.is_dir(), reason="it finds sockets in /proc")
def test_ray_gives_the_bytes_of_one_machine_and_listens_on_the_loopback_only(
    recordings, whole, tmp_path
):
    out, addresses = tmp_path / "out", set()
    process = started(recordings, out)
    while wait_for(lambda: bool(processes(out, ACTOR)), process):
        addresses |= listening(out)
        time.sleep(0.5)
    assert process.wait(60) == 0 and content(out) == whole
    assert addresses and addresses <= LOOPBACK


def listening(out: Path) -> set[str]:
    """Return the addresses on which the processes of a command listen, in hexadecimal digits."""
    inodes, addresses = set(), set()
    for process in processes(out):
        with contextlib.suppress(OSError):  # it has ended
            inodes |= {os.readlink(link) for link in (process / "fd").iterdir()}
    for version in ("tcp", "tcp6"):
        for line in (PROC / "net" / version).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENS and f"socket:[{words[9]}]" in inodes:
                addresses.add(words[1].partition(":")[0])
    return addresses


@pytest.mark.skipif(not PROC.is_dir(), reason="it finds processes in /proc")
def test_killed_actors_and_drivers_lose_nothing(recordings, whole, tmp_path):
    rng, kills = random.Random(int(os.environ.get("EARMARK_TEST_SEED", "0"))), []
    for number in range(int(os.environ.get("EARMARK_TEST_KILLS", "4"))):
        out = tmp_path / f"out{number}"
        process = started(recordings, out)
        while wait_for(lambda out=out: bool(processes(out, ACTOR)), process):
            time.sleep(rng.uniform(0.5, 5.0))
            at_work = [int(folder.name) for folder in processes(out, ACTOR)]
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
