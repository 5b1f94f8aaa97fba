"""Time once which engine computes a network fastest on this machine, and save the result.

torch is imported only for timing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import math
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from earmark.backbones.info import BackboneInfo
from earmark.errors import EarmarkError
from earmark.system.cache import engines_folder
from earmark.system.files import open_file, write_whole
from earmark.system.jsons import json_text
from earmark.system.threads import available_cores, workers
from earmark.version import __version__

MEASURED_S = 1.0  # CPU seconds per core and engine; then no further round begins
ROUNDS = 5
CLEARLY = 0.95  # an engine replaces the default if it takes less than this share of its time
HOPELESS = 1.5  # an engine that takes this many times the best is timed no more
MOST_BYTES = 1 << 16  # a larger file was not written here

Key = dict[str, str | int | list[str]]


class Choice(NamedTuple):
    """The ``engine`` to use, such as 'openvino float32'.

    ``seconds`` has the CPU time in seconds that each timed engine takes for a second of audio.
    """

    engine: str
    seconds: dict[str, float]


def make_key(info: BackboneInfo, network: str, precision: str) -> Key:
    """Return everything that decides which engine is fastest; ``network`` is the class's name."""
    return {
        "format": 1,
        "backbone": info.name,
        "version": info.version,
        "network": network,
        "parameters": info.parameters,
        "layers": [f"{layer.name} {layer.size}" for layer in info.layers],
        "precision": precision,
        "processor": _processor(),
        "cores": available_cores(),
        "torch": _version("torch"),
        "openvino": _version("openvino"),
        "earmark": __version__,
    }


def load(key: Key, engines: Sequence[str]) -> Choice | None:
    """Return the saved choice among ``engines``; None if there is no valid file."""
    try:
        with open_file(_place(key)) as file:
            content = json.loads(file.read(MOST_BYTES))
        if content["key"] != key or content["engine"] not in engines:
            return None
        seconds = {str(name): float(s) for name, s in content["seconds"].items()}
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
        return None
    except RecursionError:  # too many nested brackets
        return None
    if not all(0 < s < math.inf for s in seconds.values()) or content["engine"] not in seconds:
        return None
    return Choice(content["engine"], seconds)


def save(key: Key, choice: Choice) -> None:
    """Save a choice. On a full disk nothing is saved, and the next process times again."""
    content = {"key": key, "engine": choice.engine, "seconds": choice.seconds}
    with contextlib.suppress(OSError, EarmarkError):
        write_whole(_place(key), json_text(content).encode())


def can_save() -> bool:
    """Say whether choices can be saved; create the folder for them."""
    try:
        engines_folder().mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=engines_folder()).close()
    except OSError:
        return False
    return True


def quickest(seconds: Mapping[str, float]) -> Choice:
    """Return the fastest engine, or the first one if no other is clearly faster."""
    first = next(iter(seconds))
    best = min(seconds, key=lambda name: seconds[name])
    gains = seconds[best] < CLEARLY * seconds[first]
    return Choice(best if gains else first, dict(seconds))


def measure(passes: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the CPU seconds that each of the ``passes`` takes, by name: the least of some rounds.

    Every core runs its own copy, as when clips are embedded. The passes take turns, so that other
    work on the machine slows all of them alike. Each runs once before, which does not count. A pass
    that is HOPELESS after two rounds, or after the only round, is left out of the result.
    """
    import torch

    cores, best, total_s = available_cores(), dict.fromkeys(passes, math.inf), 0.0
    threads = torch.get_num_threads()
    try:
        with workers(cores, torch.set_num_threads, 1) as pool:

            def seconds(name: str) -> float:
                start = time.process_time()
                list(pool.map(lambda _: passes[name](), range(cores)))
                return (time.process_time() - start) / cores

            for name in best:
                seconds(name)
            for number in range(1, rounds + 1):
                now = {name: seconds(name) for name in best}
                total_s += sum(now.values())
                best = {name: min(s, best[name]) for name, s in now.items()}
                if number >= min(2, rounds):
                    least = min(best.values())
                    best = {name: s for name, s in best.items() if s <= HOPELESS * least}
                if total_s > MEASURED_S * len(best):
                    break
    finally:
        torch.set_num_threads(threads)
    return best


def _place(key: Key) -> Path:
    digest = hashlib.sha256(json_text(key, sort_keys=True).encode()).hexdigest()[:32]
    return engines_folder() / f"{digest}.choice.json"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def processor_name() -> str:
    """Return the name of the processor."""
    named = _processor_facts().get("model name")
    return named or f"{platform.machine()} {platform.processor()}".strip()


@functools.cache
def _processor_facts() -> dict[str, str]:
    """Return the fields of the first processor on Linux; none on other systems."""
    names = ("model name", "cpu family", "model", "stepping", "flags", "Features", "CPU part")
    facts: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if name in names:
                facts[name] = value
    return facts


def _processor() -> str:
    """Return the processor's name and a hash of its features, which vary under one name."""
    facts = _processor_facts()
    name = facts.get("model name") or f"{platform.machine()} {platform.processor()}"
    return f"{name} {hashlib.sha256(json_text(facts, sort_keys=True).encode()).hexdigest()[:16]}"
