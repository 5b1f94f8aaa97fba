"""The devices that compute: a GPU, the cores of one process, or several processes."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from earmark.backbones.gpu import call_on, has_gpu
from earmark.embeddings.computing import restored_threads
from earmark.errors import EarmarkError, first_line
from earmark.system import extras
from earmark.system.threads import available_cores, workers
from earmark.training.finetuning.meeting import meet

WAIT_S = 86_400.0  # for the first process, which trains the frozen classifier alone

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
        if several and not torch.distributed.is_initialized():
            meet("nccl" if gpu else "gloo", WAIT_S)
        wait = extras.load("accelerate.utils", "finetune", "fine-tuning").InitProcessGroupKwargs(
            timeout=datetime.timedelta(seconds=WAIT_S)
        )
        self.accelerator: Any = accelerate.Accelerator(
            mixed_precision=mixed, cpu=cpu, kwargs_handlers=[wait]
        )
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
        with _connected():
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
        with _connected():
            utils.broadcast_object_list(box)
        if isinstance(box[1], Exception):
            raise box[1]
        return cast(T, box[0])

    def state_from_first(
        self, load: Callable[[], tuple[dict[str, Any], dict[str, Tensor]] | None]
    ) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Call ``load`` in the first process, and return its state and tensors in every process.

        So only the first process needs the file. The tensors are sent one by one.
        """
        if self.count == 1:
            return load()
        tensors: dict[str, Tensor] = {}

        def about() -> tuple[dict[str, Any], dict[str, tuple[torch.Size, torch.dtype]]] | None:
            if (loaded := load()) is None:
                return None
            tensors.update(loaded[1])
            return loaded[0], {name: (t.shape, t.dtype) for name, t in tensors.items()}

        if (told := self.from_first(about)) is None:
            return None
        utils = extras.load("accelerate.utils", "finetune", "fine-tuning")
        state, shapes = told
        for name, (shape, dtype) in shapes.items():
            own = tensors[name] if self.rank == 0 else torch.empty(shape, dtype=dtype)
            with _connected():
                tensors[name] = utils.broadcast(own.to(self.device), 0).cpu()
        return state, tensors

    def check_same(self, value: object, what: str) -> None:
        """Raise EarmarkError in a process whose ``value`` is not that of the first process."""
        if self.from_first(lambda: value) != value:
            raise EarmarkError(
                f"{platform.node() or 'this machine'} has other {what} than the first process. All"
                " machines need the same data and weights; then run the same command again."
            )


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Say in a sentence that another process has ended."""
    try:
        yield
    except RuntimeError as error:
        raise EarmarkError(
            f"another process of this fine-tuning has ended ({first_line(error)[:120]}). Run the"
            " same command again to continue from the last checkpoint; torchrun --max-restarts does"
            " that by itself."
        ) from error
