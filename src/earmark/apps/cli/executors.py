"""``earmark train --on``: the workers that sum over the clips of a folder of parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.apps.cli.part_options import LOCAL, address_of, check_on
from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.training.executors import Executor


def check_workers(on: str | None, data: str, is_alone: bool) -> None:
    """Refuse a value of ``--on``, data that workers cannot read, and other ways to train."""
    if on is None:
        return
    check_on(on)
    if not is_alone:
        raise EarmarkError("--on cannot be used with --finetune or --detector. Leave one out.")
    from earmark.data.parts import is_folder_of_parts

    if not is_folder_of_parts(Path(data)):
        raise EarmarkError(
            f"--on needs a folder of parts, and {data} is none. Compute one with `earmark embed"
            f" {data} -o DIR`, and train on that."
        )
    if on != LOCAL:
        from earmark.apps.cluster.ray_package import load_ray

        load_ray(address_of(on))


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

        with ray_workers(address_of(on)) as workers:
            yield workers
