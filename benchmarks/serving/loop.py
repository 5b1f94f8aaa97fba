"""An event loop on epoll, lighter than asyncio: it knows sockets and timers, and nothing else."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable
from typing import Protocol

IN, OUT = select.EPOLLIN, select.EPOLLOUT
clock = time.perf_counter


class Peer(Protocol):
    """What wants to know that its socket is ready."""

    def ready(self, mask: int) -> None: ...


class Loop:
    """Calls peers whose sockets are ready, and timers that are due."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._peers: dict[int, Peer] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def add(self, fd: int, peer: Peer, mask: int) -> None:
        """Watch a socket."""
        self._epoll.register(fd, mask)
        self._peers[fd] = peer

    def change(self, fd: int, mask: int) -> None:
        """Watch for something else."""
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Watch no more."""
        self._epoll.unregister(fd)
        del self._peers[fd]

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call ``call`` at a time of ``clock``."""
        heapq.heappush(self._timers, (when, next(self._count), call))

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Call ``call`` at once and again after each pause."""

        def again() -> None:
            call()
            self.at(clock() + seconds, again)

        self.at(clock(), again)

    def run(self, until: float) -> None:
        """Run until a time, or until :meth:`stop`."""
        self._is_stopped = False
        while (now := clock()) < until and not self._is_stopped:
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            wake = min(until, self._timers[0][0]) if self._timers else until
            for fd, mask in self._epoll.poll(max(0.0, wake - clock())):
                if (peer := self._peers.get(fd)) is not None:
                    peer.ready(mask)

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._is_stopped = True

    def close(self) -> None:
        """Free the descriptor."""
        self._epoll.close()
