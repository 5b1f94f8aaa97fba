"""What all measurements share: options, the start of ``earmark serve``, tables and results."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from machine import earmark, write

from . import host, material
from .clients import Ask
from .host import Server
from .load import Load

PACKAGES = ("fastapi", "uvicorn", "httptools", "uvloop", "litserve", "websockets")
LOOK = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""

Rows = list[dict[str, object]]


@dataclass
class Bench:
    """The options, and what is made of them once."""

    given: argparse.Namespace
    folder: Path

    @functools.cached_property
    def model(self) -> Path:
        return material.classifier(self.given.model, self.folder).resolve()

    @functools.cached_property
    def bodies(self) -> list[bytes]:
        return material.clips()

    @functools.cached_property
    def contents(self) -> list[bytes]:
        return [material.raw(body) for body in self.bodies]

    @property
    def seconds(self) -> float:
        return float(self.given.seconds)

    @property
    def clients(self) -> int:
        return int(self.given.clients)

    @contextlib.contextmanager
    def earmark_serve(self, *options: object, is_pinned: bool = True) -> Iterator[Server]:
        """Run the command ``earmark serve``; pinned, it has one core and one computing process."""
        port = host.free_port()
        words = [earmark(), "serve", self.model, "--port", port, *self.given.option, *options]
        if is_pinned:
            words += ["--workers", 1]
        name = "earmark serve" if is_pinned else "earmark serve, unpinned"
        cores = host.SERVER_CORES if is_pinned else host.CORES
        with host.running(name, words, port, cores) as server:
            yield server

    def peak(self, server: Server, asks: Sequence[Ask], keeps: bool = True) -> float:
        """Return the answers in a second to a closed loop."""
        load = Load(server.port, asks)
        load.closed(self.clients, keeps)
        return load.run(self.given.peak_seconds).goodput

    def keep(
        self,
        name: str,
        rows: Rows,
        python: str = sys.executable,
        shows: Rows | None = None,
    ) -> None:
        """Print a table and write results/serve_NAME.csv, with the versions in each row.

        ``shows`` are the rows that are printed, if not all.
        """
        own = versions(python)
        for row in rows if shows is None else shows:
            words = [f"{key} {value}" for key, value in row.items() if value != ""]
            print("  ".join(words), flush=True)
        write(f"serve_{name}", [{**row, "versions": own} for row in rows])


@functools.cache
def versions(python: str) -> str:
    """Return the versions of web packages that an interpreter finds."""
    done = subprocess.run(
        [python, "-c", LOOK, *PACKAGES], check=True, stdout=subprocess.PIPE, text=True
    )
    return ", ".join(f"{name} {version}" for name, version in json.loads(done.stdout).items())


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return 'median (least to most)'."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def percent(part: float, whole: float) -> float:
    """Return a share in percent."""
    return round(100 * part / whole, 1) if whole else float("nan")


def settle(seconds: float = 1.0) -> None:
    """Let connections close and processes come to rest."""
    time.sleep(seconds)
