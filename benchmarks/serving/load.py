"""Load a server: N clients that always ask (closed), requests at a rate (open), slow clients."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from .clients import Ask, Client, Slow, request
from .loop import Loop, clock
from .tally import Tally

PATIENCE_S = 60.0  # of a client for an answer
LOOK_S = 0.02  # between two looks whether all is answered
AFTER_S = 10.0  # for the answers to what was sent before the end of a load
HEALTH_S = 0.1
REFUSED_S = 0.1  # before a client of a closed loop asks again after a refusal


class Load:
    """Everything that asks one server, in one thread.

    Attributes
    ----------
    main, health : Tally
        What the clients of the load saw, and those that ask ``/healthz``.
    is_open : bool
        Whether new requests are sent.
    """

    def __init__(self, port: int, asks: Sequence[Ask]) -> None:
        self.loop, self.port = Loop(), port
        self.main, self.health = Tally(), Tally()
        self._asks = itertools.cycle(asks)
        self._clients: list[Client] = []
        self._slow: list[Slow] = []
        self.is_open = True

    def closed(self, clients: int, keeps: bool = True, at_s: float = 0.0) -> None:
        """Let so many clients ask, each again once it has its answer; 0.1 s later if refused."""
        for _ in range(clients):
            client = Client(self.loop, self.port, self.main, self._again, keeps)
            self._clients.append(client)
            self.loop.at(clock() + at_s, lambda client=client: self._again(client))

    def open(self, rate: float, clients: int, keeps: bool = True, seed: int = 0) -> None:
        """Let requests arrive at random times, ``rate`` a second, for at most so many clients."""
        free: deque[Client] = deque()
        self._clients += [
            Client(self.loop, self.port, self.main, free.append, keeps) for _ in range(clients)
        ]
        free.extend(self._clients[-clients:])
        draw, due = random.Random(seed), clock()

        def arrive() -> None:
            nonlocal due
            now = clock()
            while due <= now and self.is_open:
                self.main.delays.append(now - due)
                if free:
                    free.popleft().send(next(self._asks), due)
                else:
                    self.main.unsent += 1
                due += draw.expovariate(rate)
            if self.is_open:
                self.loop.at(due, arrive)

        self.loop.at(due, arrive)

    def watch_health(self) -> None:
        """Ask ``/healthz`` on a connection of its own."""
        ask = Ask(request("/healthz"), name="health")
        client = Client(self.loop, self.port, self.health, lambda _: None, True)
        self._clients.append(client)

        def probe() -> None:
            if client.is_busy:
                self.health.unsent += 1
            elif self.is_open:
                client.send(ask, clock())

        self.loop.every(HEALTH_S, probe)

    def dawdle(self, sockets: int, content: bytes) -> None:
        """Open slow sockets: every other one is slow in the header, the others in the body."""
        body_at = content.index(b"\r\n\r\n") + 4
        own = [Slow(self.loop, self.port, content, (0, body_at)[k % 2]) for k in range(sockets)]
        self._slow += own
        for k, slow in enumerate(own):
            self.loop.at(clock() + k / sockets, lambda slow=slow: self.loop.every(1.0, slow.step))

    def call(self, at_s: float, call: Callable[[], None]) -> None:
        """Call something so many seconds from now."""
        self.loop.at(clock() + at_s, call)

    def run(self, seconds: float) -> Tally:
        """Run for so long, then wait for the answers to what was sent; return ``main``."""
        self.loop.every(1.0, self._end_waiting)
        began, cpu = clock(), time.thread_time()
        self.main.began = self.health.began = began
        self.loop.run(began + seconds)
        for tally in (self.main, self.health):
            tally.seconds = clock() - began
        self.main.load_cpu_s = time.thread_time() - cpu
        self.is_open = False
        in_time = {status: len(x) for status, x in self.main.latency.items()}
        self.loop.every(LOOK_S, self._stop_if_idle)
        self.loop.run(clock() + AFTER_S)
        self.main.late += sum(client.is_busy for client in self._clients)
        self.main.cut(in_time)
        for peer in [*self._clients, *self._slow]:
            peer.close()
        self.loop.close()
        return self.main

    @property
    def slow_ends(self) -> Counter[str]:
        """How slow sockets ended: with a status, or how else."""
        return sum((slow.ends for slow in self._slow), Counter())

    @property
    def by_name(self) -> Counter[str]:
        """Numbers of answers by the name of the request and its status."""
        return sum((client.statuses for client in self._clients), Counter())

    def _again(self, client: Client) -> None:
        if client.is_refused:
            client.is_refused = False
            self.loop.at(clock() + REFUSED_S, lambda: self._again(client))
        elif self.is_open:
            client.send(next(self._asks), clock())

    def _stop_if_idle(self) -> None:
        if not any(client.is_busy for client in self._clients):
            self.loop.stop()

    def _end_waiting(self) -> None:
        for client in self._clients:
            if client.is_busy and clock() - client.due > PATIENCE_S:
                client.give_up()
