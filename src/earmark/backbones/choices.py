"""Which engine was the quickest on this machine: measured once, kept beside the compiled models.

Imports no torch before something is measured.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import importlib.metadata
import json
import math
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from earmark.backbones.info import BackboneInfo
from earmark.errors import EarmarkError
from earmark.system.cache import engines_folder
from earmark.system.files import open_file, write_whole
from earmark.system.jsons import json_text
from earmark.system.threads import available_cores
from earmark.version import __version__

if TYPE_CHECKING:
    from earmark.backbones.base import Backbone

MEASURED_S = 0.5  # for each engine; one pass at least
PASS_S = 5.0  # of audio in one pass; one window at least
MOST_BYTES = 1 << 16  # a larger file is not one of these


class Choice(NamedTuple):
    """The quickest engine, and how many seconds of audio each computes in a second."""

    engine: str
    rates: dict[str, float]


def kept(info: BackboneInfo, precision: str) -> Choice | None:
    """Return what was measured here; None where nothing was, or its file is no such file."""
    key = _key(info, precision)
    try:
        with open_file(_place(key)) as file:
            found = json.loads(file.read(MOST_BYTES))
        rates = {name: float(found["rates"][name]) for name in ("torch", "openvino")}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if found.get("key") != key or not all(0 < r < math.inf for r in rates.values()):
        return None
    return quickest(rates)


def keep(info: BackboneInfo, precision: str, choice: Choice) -> None:
    """Write what was measured; where that cannot be, the next process measures again."""
    key = _key(info, precision)
    at = _place(key)
    with contextlib.suppress(OSError, EarmarkError):
        at.parent.mkdir(parents=True, exist_ok=True)
        write_whole(at, json_text({"key": key, "rates": choice.rates}).encode())


def quickest(rates: dict[str, float]) -> Choice:
    """Return the engine with the highest rate."""
    return Choice(max(rates, key=lambda name: rates[name]), rates)


def rate(backbone: Backbone) -> float:
    """Measure how many seconds of audio ``backbone`` computes in a second.

    Every core computes its own windows, as when clips are embedded. What is compiled first does
    not count.
    """
    import torch

    info, cores = backbone.info, available_cores()
    rows = max(1, int(PASS_S * info.rate_hz / info.window))
    generator = torch.Generator().manual_seed(0)
    windows = 0.1 * torch.randn(rows, info.window + 2 * info.context, generator=generator)
    valid = torch.full((rows,), info.window)

    def passes(seconds: float) -> int:
        count, end = 0, time.perf_counter() + seconds
        with torch.inference_mode():
            while count == 0 or time.perf_counter() < end:
                backbone(windows, valid)
                count += 1
        return count

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, "earmark-rate", torch.set_num_threads, (1,)) as pool:
            list(pool.map(passes, [0.0] * cores))
            start = time.perf_counter()
            done = sum(pool.map(passes, [MEASURED_S] * cores))
            took = time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)
    return done * rows * info.window / info.rate_hz / took


def torch_rate(backbone: Backbone, precision: str) -> float:
    """Measure PyTorch in a ``precision``; the weights of ``backbone`` stay as they are."""
    if precision == "float32":
        return rate(backbone)
    return rate(copy.deepcopy(backbone).cast(precision))


def _key(info: BackboneInfo, precision: str) -> dict[str, str | int]:
    """Return everything that decides which engine is the quickest."""
    return {
        "backbone": info.name,
        "version": info.version,
        "parameters": info.parameters,
        "precision": precision,
        "processor": _processor(),
        "cores": available_cores(),
        "torch": _version("torch"),
        "openvino": _version("openvino"),
        "earmark": __version__,
    }


def _place(key: dict[str, str | int]) -> Path:
    digest = hashlib.sha256(json_text(key, sort_keys=True).encode()).hexdigest()[:32]
    return engines_folder() / f"{digest}.choice.json"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


@functools.cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return f"{platform.machine()} {platform.processor()}"
