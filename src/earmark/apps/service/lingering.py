"""The transport of a connection as its protocol sees it."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol


class Owner(Protocol):
    """What :class:`Lingering` needs of the protocol of a connection."""

    loop: asyncio.AbstractEventLoop

    def linger(self) -> bool:
        """Return whether the connection stays open for a moment."""

    def close_soon(self) -> None:
        """Close the connection."""


class Lingering:
    """The transport of a connection: it joins what is written, and ``close`` waits for a body.

    uvicorn writes the header and the body of a response apart, which would be two packets.
    """

    def __init__(self, protocol: Owner, transport: asyncio.Transport) -> None:
        self._protocol, self._transport, self._is_closing = protocol, transport, False
        self._unsent: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._unsent:
            self._protocol.loop.call_soon(self.flush)
        self._unsent.append(data)

    def flush(self) -> None:
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def is_closing(self) -> bool:
        return self._is_closing or self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._is_closing = True
        if not self._protocol.linger():
            self._protocol.close_soon()
