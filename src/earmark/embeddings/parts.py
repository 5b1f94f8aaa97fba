"""Compute parts: runs of clips, each into one Parquet file that is put in place whole.

The division into parts depends on the order of the clips alone, so all machines agree on it. The
bytes of a part depend on its rows, the backbone, and the instruction set, engine and packages of
the machine. They do not depend on other parts, on the store, or on the number of threads, because
each thread computes on one core. So it does not matter who computes a part, or when.

Drivers need no locks. Two that compute the same part put the same bytes in place.
"""

from __future__ import annotations

import collections
import importlib.metadata
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.backbones.base import Backbone
from earmark.backbones.engines import engine_name
from earmark.data.clip import Clip
from earmark.data.parts import PartSummary
from earmark.embeddings.part import Part
from earmark.embeddings.part_files import write_part
from earmark.embeddings.part_folder import PartFolder, name_of
from earmark.embeddings.pipeline import embed_stream
from earmark.embeddings.stages import Result
from earmark.system.progress import Progress

PACKAGES = ("numpy", "soundfile", "soxr", "pyarrow")  # whose version may change bytes, too


@dataclass(frozen=True)
class PartsRun:
    """The parts of a share: their summaries by number, and how many were computed now."""

    summaries: tuple[PartSummary, ...]
    computed: int


def compute_parts(
    folder: PartFolder,
    parts: Iterable[Part],
    backbone: Backbone,
    root: Path,
    *,
    options: AudioOptions = AS_IT_IS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PartsRun:
    """Compute the parts whose files are missing or damaged; check the files of all others.

    Parts follow each other without a pause: clips of the next part are read while the last ones of
    this part are computed. A killed run loses only unfinished parts.

    Parameters
    ----------
    folder : PartFolder
        Where the files are.
    parts : iterable of Part
        The parts of a share, in order.
    backbone : Backbone
        The network.
    root : Path
        The folder that paths of recordings start from.
    options : AudioOptions
        How recordings are read.
    threads : int, optional
        Number of threads that compute; by default the number of cores.
    progress : Progress, optional
        Counts clips.

    Raises
    ------
    EarmarkError
        A file cannot be written.
    """
    summaries: list[PartSummary] = []
    waiting: collections.deque[Part] = collections.deque()

    def missing_clips() -> Iterator[Clip]:
        for part in parts:
            summary = folder.find(part, machine_of(backbone))
            if summary is None:
                waiting.append(part)
                yield from part.clips
                continue
            summaries.append(summary)
            if progress is not None:
                for _ in part.clips:
                    progress.advance()

    rows: list[Result] = []
    computed = 0
    stream = embed_stream(
        missing_clips(), backbone, options=options, threads=threads, progress=progress
    )
    for result in stream:
        rows.append(result)
        if len(rows) == len(waiting[0].clips):
            part, machine = waiting.popleft(), machine_of(backbone)
            path = folder.path / name_of(part, machine)
            summaries.append(write_part(path, part, rows, folder.settings, machine, root))
            rows, computed = [], computed + 1
    return PartsRun(tuple(sorted(summaries, key=lambda summary: summary.part)), computed)


def machine_of(backbone: Backbone) -> str:
    """Return what decides the last bits of embeddings: instruction set, engine and packages.

    With the engine 'auto', the engine is known after the first clip.
    """
    if backbone.device.type == "cpu":
        device = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    else:
        device = torch.cuda.get_device_name(backbone.device)
    engine = engine_name(backbone)
    names = dict.fromkeys((engine.partition(" ")[0], backbone.runtime, *PACKAGES))
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names if name != "auto"]
    return ", ".join([device, engine, *versions])
