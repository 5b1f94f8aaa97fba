"""Child processes that outlive the server: start, find again, stop.

A process is known by its number and the time at which it started, because systems use numbers
again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import earmark

EARMARK = (sys.executable, "-m", "earmark")
NICENESS = 10  # the page and other programs go first
# A group of its own, low priority, no window; the constants of `subprocess` exist on Windows alone.
_FLAGS = 0x200 | 0x4000 | 0x8000000 if sys.platform == "win32" else 0
_QUERY, _STILL_ACTIVE = 0x1000, 259


def environment() -> dict[str, str]:
    """Return the environment variables of a child that is ``earmark``."""
    names = {**os.environ, "PYTHONUTF8": "1", "OMP_WAIT_POLICY": "passive"}
    if Path(earmark.__file__).parents[1] != Path.cwd():
        # No modules from the current folder, which may hold files of such names (Python 3.11).
        names["PYTHONSAFEPATH"] = "1"
    return names


def start(
    argv: Sequence[str], out: Path, err: Path, more: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Start ``earmark ARGV`` in a session of its own, with low priority.

    Its standard output goes to the file ``out`` and its messages to ``err``; ``more`` are further
    environment variables. It goes on when this process ends. Raises OSError.
    """
    command = [*EARMARK, *argv]
    with out.open("wb") as output, err.open("wb") as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=messages,
            env={**environment(), **more},
            start_new_session=True,  # on Windows, the flags do it
            creationflags=_FLAGS,
        )
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PGRP, process.pid, NICENESS)
    return process


def started(pid: int) -> str | None:
    """Return when a process started, as a text that no other process of this number has.

    None if there is no such process, or if it has ended and nobody has asked how.
    """
    if pid <= 0:
        return None
    if sys.platform == "win32":
        return _started_on_windows(pid)
    if sys.platform == "linux":
        return _started_on_linux(pid)
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, time = done.stdout.strip().partition(" ")
    return None if not time or state.startswith("Z") else time.strip()


def _started_on_linux(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may have blanks
    is_ended = fields[0] in ("Z", "X")
    return None if is_ended else f"{boot} {fields[19]}"


if sys.platform == "win32":

    def _started_on_windows(pid: int) -> str | None:
        import ctypes

        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(_QUERY, False, pid)
        if not handle:
            return None
        try:
            times = [ctypes.c_ulonglong() for _ in range(4)]
            code = ctypes.c_ulong()
            is_known = kernel.GetProcessTimes(handle, *map(ctypes.byref, times))
            kernel.GetExitCodeProcess(handle, ctypes.byref(code))
            return str(times[0].value) if is_known and code.value == _STILL_ACTIVE else None
        finally:
            kernel.CloseHandle(handle)


def is_running(pid: int, since: str) -> bool:
    """Return whether the process that started at ``since`` (see :func:`started`) still runs."""
    return bool(since) and started(pid) == since


def ask_to_stop(pid: int) -> None:
    """Ask a process and those that it started to end cleanly."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            os.kill(pid, signal.CTRL_BREAK_EVENT)
        else:
            os.killpg(pid, signal.SIGTERM)


def end(pid: int) -> None:
    """End a process and those that it started, at once."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)  # which ends it at once there
        else:
            os.killpg(pid, signal.SIGKILL)
