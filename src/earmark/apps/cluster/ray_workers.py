"""Workers of a cluster of Ray, as an executor; calls of dead ones are repeated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from earmark.apps.cluster.ray_cluster import connected
from earmark.errors import EarmarkError, first_line

STORE_BYTES = 1 << 30  # of memory for items and results on their way, in a cluster on this machine
MOST_DEATHS = 3  # of the workers of one call, before a run stops


class Call:
    """One call of a function on a cluster."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def result(self) -> Any:
        """Wait for the result; EarmarkError if the call failed or its workers died."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(self._reference)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EarmarkError):
                raise cause from error
            raise EarmarkError(
                f"a worker of Ray failed: {type(cause).__name__}: {first_line(cause).rstrip('.')}."
                " Install the same earmark on all machines."
            ) from error
        except errors.RayError as error:
            raise EarmarkError(
                f"a worker of Ray died {MOST_DEATHS + 1} times: {first_line(error).rstrip('.')}."
                " Look with `ray status` whether its machine has enough memory."
            ) from error

    def cancel(self) -> None:
        """End the call."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.cancel(self._reference, force=True)


class RayWorkers:
    """Calls functions on the cluster that ``ray`` is connected to.

    A worker has one core. If it ``runs_networks`` and the cluster has GPUs, it has one GPU. Then it
    also stays for further calls, with what it has loaded, while Ray would start a new process.
    """

    def __init__(self, ray: Any, runs_networks: bool = False) -> None:
        self._ray = ray
        self._what = "GPU" if runs_networks and self._has("GPU") else "CPU"
        own = {"num_gpus": 1, "max_calls": 0} if self._what == "GPU" else {}
        self._call = ray.remote(num_cpus=1, max_retries=MOST_DEATHS, **own)(_call)

    def _has(self, what: str) -> int:
        return int(self._ray.cluster_resources().get(what, 0))

    @property
    def count(self) -> int:
        """How many workers the cluster has room for now."""
        return max(1, self._has(self._what))

    def submit(self, function: Callable[[Any], Any], item: Any) -> Call:
        """Let a worker call ``function``, which all machines have; return the call."""
        return Call(self._ray, self._call.remote(function, item))

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """Yield the result for each item, in order; all items are given to workers at once."""
        calls = [self.submit(function, item) for item in items]
        return (call.result() for call in calls)


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


@contextlib.contextmanager
def ray_workers(address: str, runs_networks: bool = False) -> Iterator[RayWorkers]:
    """Connect to the cluster at ``address``, or start one on this machine if it is empty."""
    with connected(address, STORE_BYTES) as ray:
        yield RayWorkers(ray, runs_networks)
