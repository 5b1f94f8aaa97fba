"""``earmark train --on``: the workers that sum over the clips of a folder of parts."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from earmark.data.parts import is_folder_of_parts
from earmark.errors import EarmarkError
from earmark.training.executors import Executor

LOCAL, RAY = "local", "ray"  # values of --on


def check_on(on: str | None, data: str, is_alone: bool) -> None:
    """Refuse a value of ``--on``, data that workers cannot read, and other ways to train."""
    if on is None:
        return
    if not re.fullmatch(rf"{LOCAL}|{RAY}(:.+)?", on):
        raise EarmarkError(
            f"--on is {on!r}. Give local or ray, which are this machine, or ray:ADDRESS."
        )
    if not is_alone:
        raise EarmarkError("--on and --finetune or --detector exclude each other. Leave one out.")
    if not is_folder_of_parts(Path(data)):
        raise EarmarkError(
            f"--on needs a folder of parts, and {data} is none. Compute one with `earmark embed"
            f" {data} -o DIR`, and train on that."
        )
    if on != LOCAL:
        from earmark.apps.cluster.ray_package import load_ray

        load_ray(on.partition(":")[2])


@contextlib.contextmanager
def executor_on(on: str | None) -> Iterator[Executor | None]:
    """Yield the executor that ``--on`` names; None without it."""
    if on is None:
        yield None
    elif on == LOCAL:
        from earmark.apps.cluster.local_workers import LocalWorkers

        with LocalWorkers() as local:
            yield local
    else:
        from earmark.apps.cluster.ray_workers import ray_workers

        with ray_workers(on.partition(":")[2]) as workers:
            yield workers
