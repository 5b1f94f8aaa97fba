"""The process that decodes recordings, computes, or listens: ``python -m`` starts it.

It reads messages from its standard input and writes an answer to each, in their order. It ends when
its input ends, which is when the service has ended, however that came. A signal to stop is the
service's business: the answers to what was accepted are still to come.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from earmark.apps.service import frames
from earmark.apps.service.decoding import Decoder
from earmark.errors import EarmarkError
from earmark.system.threads import give_way

Handler = Callable[[list[frames.Message]], Sequence[frames.Message]]
Role = Callable[[str, dict[str, Any]], tuple[dict[str, Any], Handler]]


def main(play: Role | None = None) -> None:
    """Answer messages until the input ends; the arguments are a role and its settings.

    ``play`` returns what the process says when it is ready, and what answers messages; it raises
    EarmarkError if the process cannot do its work.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    source, target = _streams()
    role, settings = sys.argv[1], json.loads(sys.argv[2])
    try:
        hello, handle = (play or _play)(role, settings)
    except EarmarkError as error:
        target.write(frames.pack({"error": str(error)}))
        return
    target.write(frames.pack(hello))
    for messages in _batches(source, hello.get("at_once", 1)):
        for value, body in handle(messages):
            target.write(frames.pack(value, body))


def _play(role: str, settings: dict[str, Any]) -> tuple[dict[str, Any], Handler]:
    """Return what a process says when it is ready, and what answers messages."""
    if role == "decode":
        give_way()
        decoder = Decoder(settings)
        return {}, lambda messages: [decoder.answer(*message) for message in messages]
    if role == "listen":
        from earmark.apps.service.hearing import Hearing

        hearing = Hearing(settings)
        return {}, lambda messages: [hearing.answer(*message) for message in messages]
    from earmark.apps.service.computing import Computer

    computer = Computer(settings)
    return computer.hello(), computer.answer


def _batches(source: BinaryIO, most: int) -> Iterator[list[frames.Message]]:
    """Yield the messages that have come since the last batch, at most ``most`` of them."""
    if most == 1:
        while (message := frames.read(source)) is not None:
            yield [message]
        return
    waiting: queue.SimpleQueue[frames.Message | None] = queue.SimpleQueue()

    def read() -> None:
        while (message := frames.read(source)) is not None:
            waiting.put(message)
        waiting.put(None)

    threading.Thread(target=read, name="earmark-read", daemon=True).start()
    while (first := waiting.get()) is not None:
        batch, is_last = [first], False
        while len(batch) < most and not is_last and not waiting.empty():
            following = waiting.get()
            is_last = following is None
            batch += [] if following is None else [following]
        yield batch
        if is_last:
            return


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Return input and output for messages; what else is printed goes to standard error."""
    source = os.fdopen(os.dup(0), "rb")
    target = os.fdopen(os.dup(1), "wb", buffering=0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return source, _Whole(target)  # type: ignore[return-value]


class _Whole:
    """Writes all bytes to a pipe, which takes them in parts."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) or 0 :]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
