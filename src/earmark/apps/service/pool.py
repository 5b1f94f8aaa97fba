"""Processes that answer messages, one at a time each; one that fails is ended and replaced."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable
from typing import Any, cast

from earmark.apps.service import frames
from earmark.apps.service.settings import TOKEN_VARIABLE
from earmark.errors import EarmarkError

MODULE = "earmark.apps.service.child"
START_S = 120.0  # for a process to load its libraries and networks
END_S = 2.0  # for a process to end after its input has ended
PAUSES_S = (0.0, 0.5, 2.0, 10.0)  # before a process is started again and again
Answer = frames.Message


class LateError(Exception):
    """An answer that did not come before its deadline."""


class EndedError(Exception):
    """A process that ended instead of answering."""


WHY: dict[type[BaseException], str] = {  # a process was replaced
    LateError: "it did not answer in time",
    EndedError: "it has ended",
}


class Child(asyncio.SubprocessProtocol):
    """One process: see :mod:`earmark.apps.service.child`. It answers messages in their order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._unpacker = frames.Unpacker()
        self._answers: collections.deque[asyncio.Future[Answer]] = collections.deque()
        self._exited = self._loop.create_future()
        self._process: asyncio.SubprocessTransport
        self._input: asyncio.WriteTransport
        self.hello: dict[str, Any] = {}
        self.has_ended = False  # it answers no more

    @classmethod
    async def start(cls, role: str, settings: dict[str, Any], module: str) -> Child:
        """Start a process and wait until it is ready; EarmarkError with its reason if it fails."""
        environment = {k: v for k, v in os.environ.items() if k != TOKEN_VARIABLE}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # what runs here
        environment["PYTHONSAFEPATH"] = "1"  # and nothing that lies in the current folder
        words = [sys.executable, "-m", module, role, json.dumps(settings)]
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(cls, *words, stderr=None, env=environment)
        try:
            child.hello, _ = await asyncio.wait_for(child._expect(), START_S)
        except (asyncio.TimeoutError, EndedError) as error:
            await child.end()
            raise EarmarkError(
                f"the process that should {role} did not start. Look at the lines above."
            ) from error
        except BaseException:
            await child.end()
            raise
        if "error" in child.hello:
            await child.end()
            raise EarmarkError(child.hello["error"])
        return child

    def ask(self, message: bytes) -> asyncio.Future[Answer]:
        """Send a message; the future gives its answer, or EndedError if the process ends."""
        self._input.write(message)
        return self._expect()

    async def end(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._exited
        self._process.close()

    async def close(self) -> None:
        """Let the process end."""
        self._input.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._exited), END_S)
        await self.end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the process and its standard input."""
        self._process = cast(asyncio.SubprocessTransport, transport)
        self._input = cast(asyncio.WriteTransport, self._process.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Give answers to those who wait for them."""
        try:
            for answer in self._unpacker.feed(data):
                waiter = self._answers.popleft()
                if not waiter.done():
                    waiter.set_result(answer)
        except (ValueError, IndexError):  # it says what it was not asked
            self._process.kill()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Tell those who wait that no answer comes."""
        if fd == 1:
            self.has_ended = True
        while fd == 1 and self._answers:
            _fail(self._answers.popleft(), EndedError())

    def process_exited(self) -> None:
        """Take note of the end."""
        if not self._exited.done():
            self._exited.set_result(None)

    def _expect(self) -> asyncio.Future[Answer]:
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        if self.has_ended:
            _fail(waiter, EndedError())
        else:
            self._answers.append(waiter)
        return waiter


class Pool:
    """Several processes of one role; requests wait in order for one that is free.

    Attributes
    ----------
    size : int
        How many processes there are; one on a GPU.
    hello : dict
        What a process said when it was ready. ``at_once`` is the number of messages that it takes
        before it answers the first, 1 by default.
    replaced : int
        How many processes were ended and started again.
    on_replaced : callable
        What to call then, with the role and why.
    """

    def __init__(
        self, role: str, size: int, settings: dict[str, Any], module: str = MODULE
    ) -> None:
        self.role, self.size, self._module = role, size, module
        self._settings = settings
        self._idle: list[Child] = []
        self._waiting: collections.deque[asyncio.Future[Child]] = collections.deque()
        self._children: set[Child] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self.replaced = 0
        self.on_replaced: Callable[[str, str], None] = lambda role, why: None
        self.hello: dict[str, Any] = {}

    @property
    def is_ready(self) -> bool:
        """Whether at least one process runs."""
        return bool(self._children)

    async def start(self) -> None:
        """Start all processes; EarmarkError if one cannot be started.

        One that takes several messages at once needs no others beside it.
        """
        if self.size:
            await self._start_one()
        if self.hello.get("at_once", 1) > 1:
            self.size = 1
        others = (self._start_one() for _ in range(self.size - 1))
        for done in await asyncio.gather(*others, return_exceptions=True):
            if done is not None:  # raised once no other still starts
                raise done

    async def ask(
        self, message: bytes, deadline: float, begins: Callable[[], None] | None = None
    ) -> Answer:
        """Return the answer to a message; ``deadline`` is a time of the event loop.

        ``begins`` is called when a process begins with it. Raises LateError, after the process was
        ended if it had begun; EndedError if it ended by itself.
        """
        child = await self._take(deadline)
        if begins is not None:
            begins()
        return await self._ask(child, message, deadline)

    async def ask_within(
        self,
        message: bytes,
        seconds: float,
        deadline: float,
        begins: Callable[[], None] | None = None,
    ) -> Answer:
        """Return the answer as :meth:`ask` does; a process gets at most ``seconds`` for it."""
        child = await self._take(deadline)
        if begins is not None:
            begins()
        end = min(deadline, asyncio.get_running_loop().time() + seconds)
        return await self._ask(child, message, end)

    async def close(self) -> None:
        """End all processes."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, *self._ending, return_exceptions=True)
        await asyncio.gather(*(child.close() for child in self._children))
        self._children.clear()
        self._idle.clear()

    async def _ask(self, child: Child, message: bytes, end: float) -> Answer:
        answer = child.ask(message)
        timer = asyncio.get_running_loop().call_at(end, _fail, answer, LateError())
        try:
            await answer
        except BaseException as error:
            self._replace(child, WHY.get(type(error), "the service stops"))
            raise
        finally:
            timer.cancel()
        self._give(child)
        return answer.result()

    async def _take(self, deadline: float) -> Child:
        """Wait for a free process, in the order of the calls."""
        while self._idle:
            child = self._idle.pop()
            if child in self._children and not child.has_ended:
                return child
            self._replace(child, WHY[EndedError])
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Child] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_at(deadline, _fail, waiter, LateError())
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give(waiter.result())
            raise
        finally:
            timer.cancel()

    def _give(self, child: Child) -> None:
        if child not in self._children:
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(child)
                return
        self._idle.append(child)

    def _replace(self, child: Child, why: str) -> None:
        if child not in self._children:  # another of its messages has replaced it
            return
        self._children.discard(child)
        self.replaced += 1
        self.on_replaced(self.role, why)
        loop = asyncio.get_running_loop()
        for tasks, work in ((self._ending, child.end()), (self._starting, self._start_again())):
            task = loop.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _start_again(self) -> None:
        for pause_s in itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1])):
            await asyncio.sleep(pause_s)
            try:
                await self._start_one()
                return
            except (EarmarkError, OSError) as error:
                self.on_replaced(self.role, f"it did not start: {error}")

    async def _start_one(self) -> None:
        child = await Child.start(self.role, self._settings, self._module)
        self._children.add(child)
        self.hello = child.hello
        for _ in range(child.hello.get("at_once", 1)):
            self._give(child)


def _fail(waiter: asyncio.Future[Any], error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
