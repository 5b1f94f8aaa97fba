"""Try a classifier on one recording: a process with networks loaded answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from earmark.apps.service import frames
from earmark.apps.service.pool import EndedError, LateError, Pool
from earmark.apps.service.problems import RETRY, ProblemError
from earmark.apps.studio.live.live import MODULE

ANSWER_S = 120.0  # for an answer, from when it was asked


class Tries:
    """The process that answers for recordings; it starts with the first of them."""

    def __init__(self, folder: Path, seconds: float = ANSWER_S) -> None:
        self._pool = Pool("try", 1, {"folder": str(folder)}, MODULE)
        self._seconds, self._starting, self._is_started = seconds, asyncio.Lock(), False

    async def answer(self, model: str, path: Path, start: float | None, end: float | None) -> bytes:
        """Return the JSON of an answer; a problem if there is none."""
        asked = {"model": model, "path": str(path), "start": start, "end": end}
        await self.start()
        deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            value, answer = await self._pool.ask(frames.pack(asked), deadline)
        except LateError:
            raise ProblemError(
                504,
                f"There was no answer within {self._seconds:g} s. Try a shorter recording, or use"
                " the command.",
            ) from None
        except EndedError:
            text = "The process that computes has ended, and another starts. Try again."
            raise ProblemError(503, text, RETRY) from None
        if "error" in value:
            text = str(value["error"])
            raise ProblemError(422, f"{text[:1].upper()}{text[1:]}")
        return answer

    async def start(self) -> None:
        """Start the process, unless that was done; EarmarkError if it does not start."""
        async with self._starting:
            if not self._is_started:
                await self._pool.start()
                self._is_started = True

    async def close(self) -> None:
        """End the process."""
        await self._pool.close()
