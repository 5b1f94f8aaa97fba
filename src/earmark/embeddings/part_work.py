"""What is computed for the clips of parts: embeddings, predictions or events."""

from __future__ import annotations

import collections
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import torch

from earmark.backbones.base import Backbone
from earmark.backbones.engines import engine_name
from earmark.data.clip import Clip
from earmark.embeddings.part import Part, Settings
from earmark.system.progress import Progress

PACKAGES = ("numpy", "soundfile", "soxr", "pyarrow")  # whose version may change bytes, too

T = TypeVar("T")


class PartWork(Protocol):
    """Computes parts and has what that needs in memory, such as networks.

    ``settings`` and the rows of a part decide its results; ``machine`` returns what decides their
    last bits. ``compute`` yields each part with its results, in order. It may read parts ahead, and
    computes with so many ``threads``, or with all cores. ``table`` returns the results of a part as
    a table of pyarrow, with the columns that :func:`~earmark.embeddings.part_files.write_part`
    needs.
    """

    @property
    def settings(self) -> Settings: ...
    def machine(self) -> str: ...
    def compute(
        self, parts: Iterable[Part], threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[Part, Sequence[Any]]]: ...
    def table(self, results: Sequence[Any]) -> Any: ...


def by_part(
    parts: Iterable[Part], compute: Callable[[Iterator[Clip]], Iterator[T]]
) -> Iterator[tuple[Part, list[T]]]:
    """Yield each part with its results; ``compute`` yields one for each clip, in order.

    Parts follow each other without a pause: clips of the next part are read while the last ones of
    this part are computed.
    """
    waiting: collections.deque[Part] = collections.deque()

    def clips() -> Iterator[Clip]:
        for part in parts:
            waiting.append(part)
            yield from part.clips

    rows: list[T] = []
    for result in compute(clips()):
        rows.append(result)
        if len(rows) == len(waiting[0].clips):
            yield waiting.popleft(), rows
            rows = []


def machine_of(*backbones: Backbone) -> str:
    """Return what decides the last bits of results: instruction set, engines and packages.

    With the engine 'auto', the engine is known after the first clip.
    """
    devices, engines, names = (dict[str, None]() for _ in range(3))
    for backbone in backbones:
        if backbone.device.type == "cpu":
            devices[f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"] = None
        else:
            devices[torch.cuda.get_device_name(backbone.device)] = None
        engine = engine_name(backbone)
        engines[engine] = None
        names |= dict.fromkeys((engine.partition(" ")[0], backbone.runtime))
    names |= dict.fromkeys(PACKAGES)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names if name != "auto"]
    return ", ".join([*devices, *engines, *versions])
