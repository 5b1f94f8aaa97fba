"""Live sound: an input yields blocks of samples and gaps, in the order in which they come."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import NamedTuple

from earmark.audio.decoder import Refusal, Samples
from earmark.errors import AudioError

BUFFER_S = 30.0  # of sound that waits for a consumer who is too slow
MOST_ITEMS = 1_000  # from here on, a gap after a gap is added to it: they must not pile up
_LOOK_S = 0.2  # between looks of a waiting consumer: was the input closed, or Ctrl-C pressed?


class LiveBlock(NamedTuple):
    """Consecutive samples.

    Attributes
    ----------
    samples : ndarray of float32, (n,)
        At least one sample, mono, full scale 1.
    rate_hz : int
        The native rate of the source. It may change after a gap, and inside some streams.
    heard_at : float
        When the last sample arrived: seconds since the epoch, by the clock of the input.
    """

    samples: Samples
    rate_hz: int
    heard_at: float

    @property
    def seconds(self) -> float:
        """Length of the block."""
        return len(self.samples) / self.rate_hz


class Gap(NamedTuple):
    """Sound that was lost since the item before: ``lost_s`` seconds, and the ``reason``.

    What comes after it does not continue what came before it. ``lost_s`` is 0 where no sound, or an
    unknown amount, was lost.
    """

    lost_s: float
    reason: str


LiveItem = LiveBlock | Gap
LiveItems = Generator[LiveItem, None, None]
Clock = Callable[[], float]  # returns seconds since the epoch
Sleep = Callable[[float], bool | None]  # returns True if the input was closed meanwhile


class LiveInput:
    """Live sound, to be iterated once; also a context manager.

    Attributes
    ----------
    name : str
        What a person calls the source, without passwords.
    warnings : list of str
        Sentences, without the name, on what was changed or is missing. Complete after the last
        item.
    """

    def __init__(
        self, name: str, items: LiveItems, warnings: list[str], closed: threading.Event
    ) -> None:
        self.name, self.warnings = name, warnings
        self._items, self._closed = items, closed

    def __iter__(self) -> Iterator[LiveItem]:
        return self

    def __next__(self) -> LiveItem:
        """Return the next item; raise AudioError if the source cannot be read any further."""
        try:
            if not self._closed.is_set():
                return next(self._items)
        except Refusal as error:
            raise AudioError(self.name, str(error), error.kind) from error.__cause__
        raise StopIteration

    def close(self) -> None:
        """End the input, from any thread; one that waits for sound of a live source stops."""
        self._closed.set()

    def __enter__(self) -> LiveInput:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()
        with contextlib.suppress(ValueError):  # another thread is inside it, and will end it
            self._items.close()


class RingBuffer:
    """Hands live items from the thread that captures them to a consumer.

    It never makes the capturing thread wait: when more than ``seconds`` of sound wait for the
    consumer, the oldest blocks are dropped, and the consumer gets a :class:`Gap` in their place.
    """

    def __init__(self, seconds: float = BUFFER_S) -> None:
        self.seconds = seconds
        self.closed = threading.Event()
        self._changed = threading.Condition()
        self._items: collections.deque[LiveItem] = collections.deque()
        self._waiting_s = self._lost_s = 0.0
        self._is_over = False  # something was dropped that the consumer has not been told
        self._is_finished = False
        self._error: BaseException | None = None

    def put(self, item: LiveItem) -> bool:
        """Add an item; return False if the consumer has closed the buffer."""
        with self._changed:
            if isinstance(item, LiveBlock):
                self._waiting_s += item.seconds
            elif len(self._items) >= MOST_ITEMS and isinstance(last := self._items[-1], Gap):
                self._items.pop()
                item = Gap(last.lost_s + item.lost_s, item.reason)
            self._items.append(item)
            while self._waiting_s > self.seconds and len(self._items) > 1:
                self._drop()
            self._changed.notify_all()
            return not self.closed.is_set()

    def finish(self, error: BaseException | None = None) -> None:
        """Say that no more items come; the consumer gets those that wait, and then the error."""
        with self._changed:
            self._is_finished, self._error = True, error
            self._changed.notify_all()

    def __iter__(self) -> Iterator[LiveItem]:
        while (item := self._take()) is not None:
            yield item

    def _take(self) -> LiveItem | None:
        with self._changed:
            while not (self._items or self._is_finished or self.closed.is_set()):
                self._changed.wait(_LOOK_S)
            if self.closed.is_set():
                return None
            if self._is_over:
                gap = Gap(self._lost_s, f"processing is too slow; {self.seconds:g} s were waiting")
                self._is_over, self._lost_s = False, 0.0
                return gap
            if self._items:
                item = self._items.popleft()
                if isinstance(item, LiveBlock):
                    self._waiting_s -= item.seconds
                return item
            if self._error is not None:
                raise self._error
            return None

    def _drop(self) -> None:
        item = self._items.popleft()
        self._is_over = True
        if isinstance(item, LiveBlock):
            self._waiting_s -= item.seconds
            self._lost_s += item.seconds
        else:
            self._lost_s += item.lost_s


def captured(capture: Callable[[RingBuffer], None], buffer: RingBuffer) -> LiveItems:
    """Yield what ``capture`` puts into ``buffer``; a thread runs it from the first item on."""

    def run() -> None:
        try:
            capture(buffer)
        except BaseException as error:  # the consumer gets it
            buffer.finish(error)
        else:
            buffer.finish()

    # A daemon: FFmpeg may wait for a server until its timeout, and nobody waits for FFmpeg.
    threading.Thread(target=run, name="earmark live", daemon=True).start()
    try:
        yield from buffer
    finally:  # also of a generator that is dropped
        buffer.closed.set()


def pump(source: LiveItems, buffer: RingBuffer) -> None:
    """Put the items of ``source`` into ``buffer`` until one of them ends."""
    with contextlib.closing(source):
        for item in source:
            if not buffer.put(item):
                return
