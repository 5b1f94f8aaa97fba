"""A cluster of Ray: each worker is an actor with one GPU, or else one core."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from earmark.apps.cluster.driver import WorkerDiedError
from earmark.apps.cluster.ray_package import load_ray
from earmark.apps.cluster.worker import Worker
from earmark.embeddings.part import Part
from earmark.errors import EarmarkError, first_line
from earmark.system.threads import available_cores

CONTROL = "control"  # the thread of an actor that takes calls while another one computes
STORE_BYTES = 1 << 28  # of memory for parts on their way, in a cluster on this machine
SIGNALS = ("SIGINT", "SIGTERM")  # whose handlers Ray replaces


class RayCluster:
    """The actors of one run; see :class:`earmark.apps.cluster.driver.Cluster`.

    ``address`` is that of a cluster, or empty for a cluster that is on this machine alone.
    ``job`` is what each worker is told.
    """

    def __init__(self, address: str, job: Mapping[str, Any]) -> None:
        self._ray = load_ray(address)
        self._job = dict(job)
        resources = self._ray.cluster_resources()
        cores, gpus = (int(resources.get(name, 0)) for name in ("CPU", "GPU"))
        self.grows = bool(address)
        self.capacity = max(1, gpus or cores)
        self._cores = max(1, cores // gpus) if gpus else 1
        self._actor = self._ray.remote(
            num_cpus=self._cores,
            num_gpus=1 if gpus else 0,
            max_restarts=0,  # the driver starts another one
            concurrency_groups={CONTROL: 1},
        )(Worker)

    def start(self) -> tuple[Any, Any]:
        """Ask for an actor; return it and the call that prepares it."""
        actor = self._actor.remote(self._job, self._cores)
        return actor, actor.prepare.remote()

    def compute(self, worker: Any, errand: int, part: Part) -> Any:
        """Give a part to an actor; return the call."""
        return worker.compute.remote(errand, part)

    def drop(self, worker: Any, errand: int) -> None:
        """Tell an actor not to begin an errand. Ray's own ``cancel`` holds up what follows."""
        worker.drop.options(concurrency_group=CONTROL).remote(errand)

    def stop(self, worker: Any) -> None:
        """End an actor at once."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(worker)

    def wait(self, calls: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return the calls that have a result, in order; wait ``seconds`` for the first one."""
        calls = list(calls)
        self._ray.wait(calls, num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        return list(ready)

    def result(self, call: Any) -> Any:
        """Return the result of a call; WorkerDiedError if its actor died or raised an error."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(call)
        except errors.RayTaskError as error:
            cause = error.cause
            raise WorkerDiedError(f"{type(cause).__name__}: {first_line(cause)}") from error
        except errors.RayError as error:
            raise WorkerDiedError(first_line(error).rstrip(".")) from error


@contextlib.contextmanager
def ray_cluster(address: str, job: Mapping[str, Any]) -> Iterator[RayCluster]:
    """Connect to a cluster as :func:`connected` does, for the parts of a ``job``."""
    with connected(address):
        yield RayCluster(address, job)


@contextlib.contextmanager
def connected(address: str, store_bytes: int = STORE_BYTES) -> Iterator[Any]:
    """Connect to the cluster at ``address``, or start one on this machine if it is empty.

    A cluster on this machine listens on the loopback interface only, holds ``store_bytes`` on their
    way in memory, and ends with this process. Yields the package ray.

    Raises EarmarkError if Ray is not installed or does not answer.
    """
    own: dict[str, Any] = {
        "num_cpus": available_cores(),
        "include_dashboard": False,
        "object_store_memory": store_bytes,
    }
    ray = load_ray(address)
    numbers = [getattr(signal, name) for name in SIGNALS]
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level="ERROR",
            **({} if address else own),
        )
    except Exception as error:  # Ray raises any kind, also Exception itself
        where = f"at {address}" if address else "on this machine"
        remedy = (
            "Look with `ray status` whether it runs and has the same version of Ray and Python. If"
            " it asks for a token, set RAY_AUTH_MODE=token."
        )
        if not address:
            remedy = (
                "If the machine is busy or has little memory, run the same command again later."
            )
        reason = first_line(error).rstrip(".")
        raise EarmarkError(f"cannot use Ray {where}: {reason}. {remedy}") from error
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()
