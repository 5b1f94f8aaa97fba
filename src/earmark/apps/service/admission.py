"""Who may come in: a queue that is bounded in seconds of audio."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType

from earmark.apps.service.settings import Limits

FIRST_S = 5.0  # the length that a recording is taken to have before any was seen
FIRST_SPEED = 50.0  # seconds of audio computed in a second, before any was seen
NEWEST_WEIGHT = 0.1  # of the newest recording in the running means


class BusyError(Exception):
    """There is no place; ``retry_s`` is when there may be one."""

    def __init__(self, retry_s: int) -> None:
        super().__init__(retry_s)
        self.retry_s = retry_s


class Admission:
    """Counts the audio of all requests between their admission and their answer.

    A recording has a length only once it is decoded. Until then it counts as long as the recordings
    before it were on average.

    Attributes
    ----------
    seconds : float
        Audio of all requests that are inside.
    requests : int
        Number of these requests.
    room : WaitingRoom
        Those who wait for a place.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._mean_s = min(FIRST_S, limits.seconds)
        self._speed = FIRST_SPEED
        self.seconds, self.requests = 0.0, 0
        self.room = WaitingRoom()

    def enter(self) -> Place:
        """Return a place for one request; BusyError if there is none."""
        place = Place(self, self.expected_s())
        self.offer()  # a long recording may have left room for several
        return place

    def expected_s(self) -> float:
        """Return the length that a recording is taken to have; BusyError if there is no place."""
        self.check()
        return self._mean_s

    def check(self) -> None:
        """Raise BusyError if there is no place."""
        if self.is_full:
            raise BusyError(max(1, math.ceil(self.seconds / self._speed)))

    @property
    def is_full(self) -> bool:
        """Whether there is no place."""
        most_s = min(self._limits.queue_s, self._speed * self._limits.deadline_s / 2)
        is_long = self.seconds + self._mean_s > most_s
        return self.requests >= self._limits.requests or (self.requests > 0 and is_long)

    def offer(self) -> None:
        """Call the newest of those who wait, if there is a place."""
        if not self.is_full:
            self.room.call_newest()

    def observe_length(self, seconds: float) -> None:
        """Take note of the length of a recording."""
        self._mean_s += NEWEST_WEIGHT * (seconds - self._mean_s)

    def observe_speed(self, seconds: float, spent_s: float, workers: int) -> None:
        """Take note of the time that was spent on computing a recording."""
        speed = workers * seconds / max(spent_s, 1e-3)
        self._speed += NEWEST_WEIGHT * (speed - self._speed)


class Place:
    """The place of one request, a context manager."""

    def __init__(self, admission: Admission, seconds: float) -> None:
        self._admission, self._seconds, self._is_taken = admission, 0.0, False
        self._take(seconds)

    def count(self, seconds: float) -> None:
        """Set the length of the recording."""
        self._admission.seconds += seconds - self._seconds
        self._seconds = seconds

    def leave(self) -> None:
        """Let another request have the place."""
        if self._is_taken:
            self.count(0.0)
            self._is_taken = False
            self._admission.requests -= 1
            if not self._admission.requests:
                self._admission.seconds = 0.0  # no rounding errors are left
            self._admission.offer()

    async def take_again(self, patience_s: float) -> None:
        """Take a place if this one was left, once one is free; BusyError if none is in time."""
        if self._is_taken:
            return
        if self._admission.is_full:
            free = asyncio.get_running_loop().create_future()
            self._admission.room.enter(self, free.cancel)
            await asyncio.wait([free], timeout=patience_s)
            self._admission.room.leave(self)
        self._take(self._admission.expected_s())

    def _take(self, seconds: float) -> None:
        self._is_taken = True
        self._admission.requests += 1
        self.count(seconds)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()


class WaitingRoom:
    """Those who wait for a place. The newest is called first: clients of older ones may give up."""

    def __init__(self) -> None:
        self._waiting: dict[object, Callable[[], object]] = {}

    def enter(self, who: object, call: Callable[[], object]) -> None:
        """Let ``who`` wait; ``call`` is called when a place is free."""
        self._waiting[who] = call

    def leave(self, who: object) -> None:
        """Let ``who`` wait no more."""
        self._waiting.pop(who, None)

    def call_newest(self) -> None:
        """Call the newest of them, if there are any."""
        if self._waiting:
            self._waiting.popitem()[1]()

    def __len__(self) -> int:
        return len(self._waiting)


class Memory:
    """Lets decoding wait while the decoded recordings take ``most`` bytes or more."""

    def __init__(self, most: int) -> None:
        self._most, self._used, self._freed = most, 0, asyncio.Event()

    async def wait(self, deadline: float) -> None:
        """Wait until there is memory; TimeoutError of asyncio at a time of the event loop."""
        while self._used >= self._most:
            self._freed.clear()
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait_for(self._freed.wait(), left)

    @contextlib.contextmanager
    def hold(self, n_bytes: int) -> Iterator[None]:
        """Count the memory of a recording."""
        self._used += n_bytes
        try:
            yield
        finally:
            self._used -= n_bytes
            self._freed.set()


class Turns:
    """Lets a number of requests do something at once, in the order in which they ask."""

    def __init__(self, number: int) -> None:
        self._free = asyncio.Semaphore(number)

    @contextlib.asynccontextmanager
    async def turn(self, deadline: float) -> AsyncIterator[None]:
        """Wait for a turn; TimeoutError of asyncio at a time of the event loop."""
        if self._free.locked():
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait_for(self._free.acquire(), left)
        else:
            await self._free.acquire()
        try:
            yield
        finally:
            self._free.release()
