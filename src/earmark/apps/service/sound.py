"""The sound of a live stream: what its query says, and what waits to be scored."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from earmark.apps.service.problems import ProblemError

RATES_HZ = (100, 10_000_000)  # those of recordings
CHANNELS = (1, 8)
SAMPLE_BYTES = {"s16le": 2, "f32le": 4}
STEPS_S = (0.01, 10.0)
STEP_S = 0.24  # as in earmark.detection, whose libraries this process does without
TEXT_CHARACTERS = 1_000  # the most of a message that is text
AHEAD_S, AHEAD_BYTES = 10.0, 2**23  # sound that may wait to be scored
TURN_S, TURN_BYTES = 0.5, 2**20  # sound of one stream that is scored at once
WRONG = 1007  # code of a close: the content of a message


class CloseError(Exception):
    """A stream that ends early: the code of the close, and what is wrong and what to do."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


class GoneError(Exception):
    """The client has closed the connection."""


@dataclass(frozen=True)
class Sound:
    """The query of a stream: its classifier, the form of its PCM, and seconds of a step."""

    model: str
    rate: int
    channels: int
    format: str
    step: float

    @property
    def frame_bytes(self) -> int:
        """The bytes of one sample of every channel."""
        return self.channels * SAMPLE_BYTES[self.format]

    def bytes_of(self, seconds: float, most: int) -> int:
        """Return the bytes of some seconds: whole frames, at least one, about ``most`` at most."""
        frames = min(int(seconds * self.rate), most // self.frame_bytes)
        return max(1, frames) * self.frame_bytes

    def seconds(self, n_bytes: int) -> float:
        """Return how long so many bytes last."""
        return n_bytes / self.frame_bytes / self.rate


def sound_of(query: bytes, models: Sequence[str]) -> Sound:
    """Return the sound that a query describes; a problem for one that is not allowed."""
    pairs = urllib.parse.parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    given = dict(pairs)
    known = ("rate", "channels", "format", "model", "step")
    for name, _ in pairs:
        if name not in known:
            text = f"?{name[:80]} is not an option of a stream. Give {', '.join(known)}."
            raise ProblemError(422, text)
    if len(given) < len(pairs):
        raise ProblemError(422, "An option is there twice. Give each once.")
    if "rate" not in given:
        raise ProblemError(422, "The sample rate is missing. Give it, such as ?rate=16000.")
    model = given.get("model", models[0])
    if model not in models:
        text = f"There is no model {model[:80]!r}. Give one of: {', '.join(models)}."
        raise ProblemError(422, text)
    form = given.get("format", "s16le")
    if form not in SAMPLE_BYTES:
        text = f"?format={form[:80]} is not allowed. Give {' or '.join(SAMPLE_BYTES)}."
        raise ProblemError(422, text)
    return Sound(
        model,
        _number(given, "rate", int, *RATES_HZ),
        _number({"channels": "1", **given}, "channels", int, *CHANNELS),
        form,
        _number({"step": str(STEP_S), **given}, "step", float, *STEPS_S),
    )


def _number(
    given: dict[str, str], name: str, kind: Callable[[str], Any], least: float, most: float
) -> Any:
    text = given[name]
    try:
        value = kind(text) if text.isascii() and "_" not in text else None
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        what = "a whole number" if kind is int else "a number"
        raise ProblemError(
            422, f"?{name}={text[:80]} is not allowed. Give {what} from {least} to {most}."
        )
    return value


class Waiting:
    """The sound of a stream that waits to be scored.

    Attributes
    ----------
    is_asked_to_end : bool
        Whether the client has said that no more sound comes.
    has_ended : bool
        Whether no more sound comes, whoever said so.
    """

    def __init__(self, sound: Sound) -> None:
        self._frame_bytes = sound.frame_bytes
        self._most = sound.bytes_of(AHEAD_S, AHEAD_BYTES)
        self._turn = sound.bytes_of(TURN_S, TURN_BYTES)
        self._content = bytearray()
        self._error: Exception | None = None
        self.has_ended = self.is_asked_to_end = False
        self._has_news, self._has_room = asyncio.Event(), asyncio.Event()
        self._has_room.set()

    def add(self, message: bytes | str) -> None:
        """Add a message of the client; CloseError if it is not what may come."""
        if self.is_asked_to_end:
            raise CloseError(WRONG, "The stream was ended, and more came. Open another stream.")
        if self.has_ended:
            return
        if isinstance(message, str):
            _check_end(message)
            self.is_asked_to_end = True
            self.end()
            return
        if len(message) % self._frame_bytes:
            text = f"A message has {len(message)} bytes, and one sample of every channel has"
            raise CloseError(WRONG, f"{text} {self._frame_bytes}. Send whole samples.")
        self._content += message
        self._has_news.set()
        if len(self._content) > self._most:
            self._has_room.clear()

    async def room(self) -> None:
        """Wait until more sound may come."""
        await self._has_room.wait()

    def end(self) -> None:
        """Let no more sound come: what waits is scored, and then it ends."""
        self.has_ended = True
        self._has_room.set()
        self._has_news.set()

    def stop(self) -> None:
        """Let no more sound come, and forget what waits beyond the usual."""
        del self._content[self._most :]
        self.end()

    def fail(self, error: Exception) -> None:
        """Let the next :meth:`take` raise an error."""
        self._error = self._error or error
        self._has_news.set()

    def check(self) -> None:
        """Raise the error of :meth:`fail`, if there is one."""
        if self._error is not None:
            raise self._error

    async def take(self) -> bytes | None:
        """Return the sound of the next turn, whole samples; None at the end."""
        while True:
            self.check()
            if self._content:
                content = bytes(self._content[: self._turn])
                del self._content[: self._turn]
                if len(self._content) <= self._most:
                    self._has_room.set()
                return content
            if self.has_ended:
                return None
            self._has_news.clear()
            await self._has_news.wait()


def _check_end(text: str) -> None:
    """Raise CloseError unless a text asks to end the stream."""
    try:
        value = json.loads(text) if len(text) <= TEXT_CHARACTERS else None
    except (ValueError, RecursionError):
        value = None
    if value != {"type": "end"}:
        raise CloseError(
            WRONG,
            'A message of text is not known. Send {"type": "end"} to end the stream, and sound as'
            " binary messages.",
        )
