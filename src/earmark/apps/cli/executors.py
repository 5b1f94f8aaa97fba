"""``--on`` of ``train`` and ``index``: the workers that a command has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from earmark.apps.cli.part_options import LOCAL, address_of, check_on
from earmark.errors import EarmarkError

if TYPE_CHECKING:
    from earmark.system.executors import Executor


def check_workers(on: str | None, data: str, is_alone: bool) -> None:
    """Refuse a value of ``--on``, data that workers cannot read, and other ways to train."""
    check_on(on)
    if on is None:
        return
    if not is_alone:
        raise EarmarkError("--on cannot be used with --finetune or --detector. Leave one out.")
    from earmark.data.parts import is_folder_of_parts

    if not is_folder_of_parts(Path(data)):
        raise EarmarkError(
            f"--on needs a folder of parts, and {data} is none. Compute one with `earmark embed"
            f" {data} -o DIR`, and train on that."
        )
    check_package(on)


def check_package(on: str | None) -> None:
    """Refuse a wrong value of ``--on``, and Ray if it is not installed."""
    check_on(on)
    if on not in (None, LOCAL):
        from earmark.apps.cluster.ray_package import load_ray

        load_ray(address_of(on))


@contextlib.contextmanager
def executor_on(on: str | None, runs_networks: bool = False) -> Iterator[Executor | None]:
    """Yield the executor that ``--on`` names; None without it.

    Its workers have one core each. If they run networks, they have a GPU each where there is one.
    """
    if on is None:
        yield None
    elif on == LOCAL:
        from earmark.apps.cluster.local_workers import LocalWorkers
        from earmark.backbones.gpu import has_gpu

        with LocalWorkers(1 if runs_networks and has_gpu() else None) as local:
            yield local
    else:
        from earmark.apps.cluster.ray_workers import ray_workers

        with ray_workers(address_of(on), runs_networks) as workers:
            yield workers
