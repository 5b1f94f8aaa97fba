"""``/v1/listen``: PCM comes over a WebSocket; scores and events go back while it comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence

from starlette.types import Message, Receive, Scope, Send

from earmark.apps.service.hearers import Hearer, Hearers, WrongError
from earmark.apps.service.identity import CURRENT, HEADER
from earmark.apps.service.pool import EndedError
from earmark.apps.service.problems import ProblemError
from earmark.apps.service.settings import LISTEN, Settings
from earmark.apps.service.sound import WRONG, CloseError, GoneError, Sound, Waiting, sound_of
from earmark.errors import EarmarkError

PROTOCOL, BEARER = "earmark-v1", "bearer."  # a browser sends its token as a subprotocol
DONE, GOING, POLICY, FAULT = 1000, 1001, 1008, 1011  # codes of a close
REASON_BYTES = 120  # of a close; the protocol allows 123
CLOSE_S = 2.0  # for an error to leave


def as_request(scope: Scope) -> Scope:
    """Return the handshake as a request of HTTP, whose token may be a subprotocol."""
    headers = list(scope["headers"])
    offered = [name for name in scope["subprotocols"] if name.startswith(BEARER)]
    if offered and PROTOCOL in scope["subprotocols"]:
        token = offered[0].removeprefix(BEARER)
        if not any(name == b"authorization" for name, _ in headers):
            headers.append((b"authorization", f"Bearer {token}".encode("latin-1")))
    scheme = {"ws": "http", "wss": "https"}[scope["scheme"]]
    return {**scope, "type": "http", "method": "GET", "scheme": scheme, "headers": headers}


def instead(send: Send) -> Send:
    """Return what sends a response of HTTP instead of the handshake."""

    async def send_response(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return send_response


async def listen(
    hearers: Hearers, settings: Settings, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve one stream; a problem if it is refused before the handshake."""
    if scope["path"] != LISTEN:
        raise ProblemError(404, f"There is no WebSocket here. Open one at {LISTEN}.")
    sound = sound_of(scope["query_string"], list(settings.models))
    await hear(hearers, sound, settings.limits.body_s, scope, receive, send)


async def hear(
    hearers: Hearers, sound: Sound, patience_s: float, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve one stream of a sound; a problem if it is refused before the handshake.

    ``patience_s`` is how long the client may send nothing, or read nothing.
    """
    with hearers.enter() as number:
        await receive()  # the handshake
        is_ours = PROTOCOL in scope["subprotocols"]
        subprotocol, known = PROTOCOL if is_ours else None, CURRENT.get()
        pairs = [] if known is None else [(HEADER, known.id.encode())]
        await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": pairs})
        stream = _Stream(number, sound, hearers, receive, send, patience_s)
        with contextlib.suppress(GoneError, OSError):
            await stream.run()


class _Stream:
    """One stream: a task reads its sound, as far ahead as is allowed; this one scores it."""

    def __init__(
        self,
        number: int,
        sound: Sound,
        hearers: Hearers,
        receive: Receive,
        send: Send,
        patience_s: float,
    ) -> None:
        self._number, self._sound, self._hearers = number, sound, hearers
        self._receive, self._send, self._patience_s = receive, send, patience_s
        self._waiting, self._is_ready = Waiting(sound), False

    async def run(self) -> None:
        """Answer until the stream ends, and close the connection; GoneError."""
        tasks = [asyncio.ensure_future(self._read()), asyncio.ensure_future(self._stop())]
        texts = []
        try:
            code, detail = await self._answer()
        except CloseError as error:
            code, detail = error.code, error.detail
            texts = [json.dumps({"type": "error", "detail": detail}, ensure_ascii=False)]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(asyncio.TimeoutError):  # then the connection is cut
            await asyncio.wait_for(self._close(texts, code, detail), CLOSE_S)

    async def _answer(self) -> tuple[int, str]:
        """Score the sound; return the code of the close and its reason."""
        try:
            async with self._hearers.hearer() as hearer:
                try:
                    await self._score(hearer)
                finally:
                    with contextlib.suppress(EndedError, WrongError):
                        await hearer.ask({"do": "drop", "stream": self._number})
        except EndedError:
            text = "The process that scores this stream has ended. Open another stream."
            raise CloseError(FAULT, text) from None
        except WrongError as error:
            raise CloseError(WRONG, str(error)) from None
        except EarmarkError:
            text = "The process that scores live sound does not start. Try again later."
            raise CloseError(FAULT, text) from None
        if self._hearers.stopping.is_set() and not self._waiting.is_asked_to_end:
            return GOING, "The service stops."
        return DONE, ""

    async def _score(self, hearer: Hearer) -> None:
        sound, number = self._sound, self._number
        form = {"rate": sound.rate, "channels": sound.channels, "format": sound.format}
        opening = {"model": sound.model, "sound": {**form, "step": sound.step}}
        try:
            about = await hearer.ask({"do": "open", "stream": number, **opening})
        except WrongError as error:  # not what the client sent
            raise CloseError(FAULT, str(error)) from None
        await self._write(about)
        self._is_ready = True
        while (content := await self._waiting.take()) is not None:
            await self._write(await hearer.ask({"do": "feed", "stream": number}, content))
            self._hearers.heard_s += sound.seconds(len(content))
        left = await hearer.ask({"do": "finish", "stream": number})
        self._waiting.check()
        await self._write(left)

    async def _write(self, texts: Sequence[str]) -> None:
        """Send texts; CloseError if the client does not read them."""

        try:
            await asyncio.wait_for(self._send_all(texts), self._patience_s)
        except asyncio.TimeoutError:
            text = f"Nobody has read the answers for {self._patience_s:g} s. Read them."
            raise CloseError(POLICY, text) from None

    async def _send_all(self, texts: Sequence[str]) -> None:
        for text in texts:
            await self._send({"type": "websocket.send", "text": text})

    async def _close(self, texts: Sequence[str], code: int, detail: str) -> None:
        await self._send_all(texts)
        reason = detail.encode()[:REASON_BYTES].decode("utf-8", "ignore")
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _read(self) -> None:
        try:
            while True:
                self._waiting.add(await self._message())
                await self._waiting.room()
        except (CloseError, GoneError) as error:
            self._waiting.fail(error)

    async def _message(self) -> bytes | str:
        """Return the next message; CloseError if it does not come in time, GoneError."""
        while True:
            try:
                message = await asyncio.wait_for(self._receive(), self._patience_s)
                break
            except asyncio.TimeoutError:
                if self._is_ready and not self._waiting.has_ended:
                    text = f"Nothing came for {self._patience_s:g} s. Send zeros for silence."
                    raise CloseError(POLICY, text) from None
        if message["type"] == "websocket.disconnect":
            raise GoneError
        content: bytes | None = message.get("bytes")
        return str(message["text"]) if content is None else content

    async def _stop(self) -> None:
        await self._hearers.stopping.wait()
        self._waiting.stop()
