"""The devices that compute: a GPU, the cores of one process, or several processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from earmark.backbones.gpu import call_on, has_gpu
from earmark.embeddings.computing import restored_threads
from earmark.system import extras
from earmark.system.threads import available_cores, workers

T = TypeVar("T")
R = TypeVar("R")


class Map(Protocol):
    """Calls a function for each item, like ``map``."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> Iterator[R]: ...


class Processes:
    """The processes that ``torchrun`` or ``accelerate launch`` started, or this one alone.

    On a CPU each core computes its own slice of a batch. For small networks, several cores on one
    operation are no faster, and are slower if another program uses one of them.
    """

    def __init__(self, half: bool = False) -> None:
        accelerate = extras.load("accelerate", "finetune", "fine-tuning")
        gpu = has_gpu()
        mixed = "bf16" if half and gpu else "no"
        # unless told, accelerate does not join the processes that `torchrun` starts on CPUs, and
        # takes a GPU that does not work
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        cpu = not gpu and (several or torch.cuda.is_available())
        self.accelerator: Any = accelerate.Accelerator(mixed_precision=mixed, cpu=cpu)
        self.rank: int = self.accelerator.process_index
        self.count: int = self.accelerator.num_processes
        self.device: torch.device = self.accelerator.device
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.threads = 1 if self.device.type != "cpu" else max(1, available_cores() // local)

    @contextlib.contextmanager
    def side_by_side(self) -> Iterator[Map]:
        """Yield a ``map`` whose calls run in parallel, each on one core; on a GPU one by one."""
        if self.device.type != "cpu":
            yield lambda function, items: (call_on(self.device, function, x) for x in items)
            return
        with restored_threads():
            torch.set_num_threads(1)
            with workers(self.threads, torch.set_num_threads, 1) as pool:
                yield pool.map

    def total(self, tensors: list[Tensor]) -> list[Tensor]:
        """Return the sums over all processes."""
        if self.count == 1:
            return tensors
        flat = self.accelerator.reduce(torch.cat([t.flatten() for t in tensors]), "sum")
        sizes = [t.numel() for t in tensors]
        return [f.view_as(t) for f, t in zip(flat.split(sizes), tensors, strict=True)]

    def from_first(self, make: Callable[[], T]) -> T:
        """Call ``make`` in the first process, and return its result in every process.

        An error is raised in every process, too.
        """
        if self.count == 1:
            return make()
        utils = extras.load("accelerate.utils", "finetune", "fine-tuning")
        box: list[object] = [None, None]  # the result, the error
        if self.rank == 0:
            try:
                box[0] = make()
            except Exception as error:
                box[1] = error
        utils.broadcast_object_list(box)
        if isinstance(box[1], Exception):
            raise box[1]
        return cast(T, box[0])
