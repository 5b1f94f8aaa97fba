"""Machines on one computer: network namespaces on a bridge, each with a cache of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

NETWORK = "10.83.{}.{}"


@dataclass(frozen=True)
class Machine:
    """A network namespace ``name`` with an ``address``, whose network card is ``card``."""

    name: str
    address: str
    card: str
    cache: Path

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen:
        """Start a command on the machine."""
        own = {"EARMARK_CACHE": str(self.cache), "GLOO_SOCKET_IFNAME": self.card}
        words = ["ip", "netns", "exec", self.name, *command]
        return subprocess.Popen(
            words, env={**os.environ, **environment, **own}, stderr=subprocess.PIPE, text=True
        )

    def lose_power(self) -> None:
        """End all processes of the machine at once."""
        pids = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True
        )
        for pid in map(int, pids.stdout.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def connected_machines(count: int, folder: Path) -> Iterator[list[Machine]]:
    """Yield machines that see each other and nothing else; skip the test if there can be none."""
    if os.name != "posix" or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need Linux, the command ip, and root")
    number = os.getpid() % 250
    bridge, names = f"em{number}", [f"em{number}-{k}" for k in range(count)]
    try:
        try:
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
            machines = [_machine(name, bridge, number, k, folder) for k, name in enumerate(names)]
        except (subprocess.CalledProcessError, OSError) as error:
            reason = getattr(error, "stderr", None) or str(error)
            pytest.skip(f"network namespaces cannot be made here: {reason.strip()}")
        yield machines
        for machine in machines:
            machine.lose_power()
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True)


def _machine(name: str, bridge: str, number: int, k: int, folder: Path) -> Machine:
    address, outside = NETWORK.format(number, k + 1), f"{bridge}v{k}"
    _ip("netns", "add", name)
    _ip("link", "add", outside, "type", "veth", "peer", "name", "card", "netns", name)
    _ip("link", "set", outside, "master", bridge, "up")
    for words in (
        ["address", "add", f"{address}/24", "dev", "card"],
        ["link", "set", "card", "up"],
        ["link", "set", "lo", "up"],
    ):
        _ip("-n", name, *words)
    cache = folder / f"cache{k}"
    cache.mkdir()
    return Machine(name, address, "card", cache)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, text=True, check=True)
