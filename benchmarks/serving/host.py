"""Servers in sessions of their own, pinned to a core, and what their processes use (Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MEMORY = ("Pss:", "Pss_Anon:", "Rss:")  # of smaps_rollup
TICKS = os.sysconf("SC_CLK_TCK")
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}
START_S = 180.0
END_S = 70.0  # earmark serve may take 60 s to answer what it has accepted
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = CORES[:1] if len(CORES) > 1 else CORES
LOAD_CORES = CORES[1:2] if len(CORES) > 1 else CORES


@contextlib.contextmanager
def pinned(cores: Sequence[int] = LOAD_CORES) -> Iterator[None]:
    """Let this thread run only on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True)
class Usage:
    """What the processes of a server use: memory in megabytes, and numbers.

    ``pss_mb`` has a share of each page that others use as well, such as those of libraries: it
    falls if another program loads the same ones. ``own_mb`` is the part that is no file's.
    """

    pss_mb: float
    own_mb: float
    rss_mb: float
    files: int
    threads: int
    processes: int


class Server:
    """A running server, with all the processes of its session."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.name, self.process, self.port, self.log = name, process, port, log

    def pids(self) -> list[int]:
        """Return the processes that run, those that have ended and wait to be noticed as well."""
        return [pid for pid, _ in self._stats()]

    def cpu_s(self) -> float:
        """Return CPU seconds (user and system), with those of children that have ended."""
        return sum(sum(map(int, stat[11:15])) for _, stat in self._stats()) / TICKS

    def page_faults(self) -> int:
        """Return how often the processes waited for a page of a file to be read from the disk."""
        return sum(int(stat[9]) for _, stat in self._stats())

    def usage(self) -> Usage:
        """Return what the processes use now; one that ends meanwhile counts as nothing."""
        memory, numbers = [0.0, 0.0, 0.0], [0, 0, 0]
        for pid, stat in self._stats():
            if stat[0] == "Z":
                continue
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                sizes = {line.split()[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
                files = len(os.listdir(f"/proc/{pid}/fd"))
                memory = [x + sizes[key] for x, key in zip(memory, MEMORY, strict=True)]
                numbers = [x + y for x, y in zip(numbers, (files, int(stat[17]), 1), strict=True)]
        return Usage(*(round(x, 1) for x in memory), *numbers)

    def signal(self, number: int) -> None:
        """Send a signal to the first process only, as a supervisor does."""
        self.process.send_signal(number)

    def sleep(self) -> None:
        """Stop all processes: some servers are busy even if nobody asks."""
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let all processes go on."""
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> int | None:
        """End the server with TERM, or with KILL if that takes too long; return its status."""
        if not self.has_ended():
            self.wake()
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_S)
        status = self.process.poll()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return status

    def _stats(self) -> Iterator[tuple[int, list[str]]]:
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if int(stat[3]) == self.process.pid:  # its session
                    yield int(name), stat


@contextlib.contextmanager
def running(
    name: str, command: Sequence[object], port: int, cores: Sequence[int] = SERVER_CORES
) -> Iterator[Server]:
    """Start a server, wait until it listens, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                list(map(str, command)),
                stdout=file,
                stderr=file,
                cwd=folder,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        server = Server(name, process, port, log)
        try:
            _await(server)
            yield server
        finally:
            server.stop()


def _await(server: Server) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and not server.has_ended():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
            return
        time.sleep(0.1)
    sys.exit(f"{server.name} did not start: {server.log.read_text()[-2000:]}")


@dataclass
class Watch:
    """Looks at the memory of a server all the time, in a thread of its own."""

    server: Server
    pause_s: float = 1.0
    samples: list[Usage] = field(default_factory=list)

    def __enter__(self) -> Watch:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def most(self, name: str) -> float:
        """Return the largest number that was seen."""
        return max(float(getattr(sample, name)) for sample in self.samples)

    def take(self) -> Usage:
        """Return the medians since the last call."""
        own, self.samples = self.samples or [self.server.usage()], []
        values = {name: statistics.median(getattr(u, name) for u in own) for name in vars(own[0])}
        return Usage(**{name: round(value, 1) for name, value in values.items()})

    def _run(self) -> None:
        while not self._end.is_set():
            self.samples.append(self.server.usage())
            self._end.wait(self.pause_s)
