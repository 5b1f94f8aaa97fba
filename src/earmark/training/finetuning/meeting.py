"""How the processes of one fine-tuning find each other, also after torchrun has restarted them."""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import time
from typing import Any

from torch import distributed

KEY = "earmark.first"  # in torchrun's store: where the first process is
TOKEN = "token"  # in its own store
ANSWER_S, PAUSE_S = 5.0, 0.2  # for a store to answer; until it is asked again


def meet(backend: str, wait_s: float) -> None:
    """Join the processes that torchrun started, if it keeps one store for all of its restarts.

    In that store, addresses of processes that have ended are still there, and a process that reads
    one waits for it forever. So the first process opens a new store, and the others look for it
    until they find one that answers with its token. ``wait_s`` is how long processes wait for each
    other later.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    agents = _store(host, port)
    if rank == 0:
        own = _store(host, 0, is_master=True)
        token = secrets.token_hex(16)
        own.set(TOKEN, token)
        agents.set(KEY, f"{own.port} {token}")
    else:
        own = _found(agents, host)
    limit = datetime.timedelta(seconds=wait_s)
    distributed.init_process_group(backend, store=own, rank=rank, world_size=count, timeout=limit)


def _store(host: str, port: int, **options: Any) -> Any:
    """Return a store: opened here, with ``is_master``, or by another process."""
    return distributed.TCPStore(  # type: ignore[attr-defined]
        host, port, **{"is_master": False, "wait_for_workers": False, **options}
    )


def _found(agents: Any, host: str) -> Any:
    """Return the store of the first process."""
    limit = datetime.timedelta(seconds=ANSWER_S)
    while True:
        port, token = agents.get(KEY).decode().split()
        with contextlib.suppress(RuntimeError):  # of a process that has ended
            store = _store(host, int(port), timeout=limit)
            if store.get(TOKEN).decode() == token:
                return store
        time.sleep(PAUSE_S)
