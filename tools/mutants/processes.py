"""Forked processes, and the tests that run in them."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .modules import ROOT, SRC

PRELOADED = (
    "numpy", "torch", "scipy.sparse.csgraph", "scipy.optimize", "scipy.stats", "sklearn.metrics",
    "sklearn.linear_model", "sklearn.model_selection", "soundfile", "safetensors.numpy", "jinja2",
    "filelock", "huggingface_hub", "rich.console", "typer.testing", "hypothesis",
)  # fmt: skip


def preload() -> None:
    """Import what every mutant needs, so that no forked process has to; nothing of the package."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if any(name.partition(".")[0] == "earmark" for name in sys.modules):
        raise SystemExit("earmark is imported already, so that no change of it would have effect")


def start_tests() -> None:
    """Prepare this forked process to run tests without output, and in the same way each time."""
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    os.chdir(ROOT)
    sys.path.insert(0, str(SRC))
    sys.dont_write_bytecode = True
    with contextlib.suppress(ImportError):
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)  # a failing example need not be made small
        settings.register_profile(
            "mutants", phases=phases, derandomize=True, database=None, deadline=None
        )
        settings.load_profile("mutants")


def run_pytest(arguments: Sequence[str], plugin: object, folder: str) -> int:
    """Run pytest in this process, and return its exit code."""
    base = ["-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder}/t"]
    return int(pytest.main([*base, *arguments], plugins=[plugin]))


class Job(NamedTuple):
    """Work for a forked process, and how many seconds it may take.

    ``work`` gets the file for its result and a temporary folder.
    """

    name: Any
    work: Callable[[Path, str], None]
    limit_s: float


def in_turn(jobs: Sequence[Job], n_beside: int) -> Iterator[tuple[Any, str | None, float]]:
    """Fork a process for each job, and run ``n_beside`` of them at a time.

    Yield the name, the result and the seconds of each job. The result is None if the job took too
    long. When this function is interrupted, all its processes end.
    """
    running: dict[int, tuple[Job, float, str]] = {}
    waiting = list(reversed(jobs))
    try:
        while waiting or running:
            while waiting and len(running) < n_beside:
                job, folder = waiting.pop(), tempfile.mkdtemp(prefix="mutant-")
                running[_fork(job, folder)] = job, time.monotonic(), folder
            time.sleep(0.02)
            for process, (job, start, folder) in list(running.items()):
                seconds = time.monotonic() - start
                ended, _ = os.waitpid(process, os.WNOHANG)
                if not ended and seconds <= job.limit_s:
                    continue
                if not ended:
                    _end(process)
                result = Path(folder) / "result"
                text = result.read_text(encoding="utf-8") if result.exists() else "the process died"
                del running[process]
                shutil.rmtree(folder, ignore_errors=True)
                yield job.name, text if ended else None, seconds
    finally:
        for process, (_, _, folder) in running.items():
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)


def _fork(job: Job, folder: str) -> int:
    process = os.fork()
    if process == 0:
        status = 1
        try:
            job.work(Path(folder) / "result", folder)
            status = 0
        finally:
            os._exit(status)
    return process


def _end(process: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, 0)
