"""Sound from a URL through FFmpeg (PyAV), with a new connection after each that breaks."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from earmark.audio.decoder import Refusal, Samples, reason
from earmark.audio.live import Clock, Gap, LiveBlock, LiveItems, Sleep
from earmark.audio.mixing import Mixer
from earmark.errors import EarmarkError, amount

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler, AudioStream
    from av.container import InputContainer

# What FFmpeg may use for a URL, and for what a playlist there names: never files of this machine.
_WEB = "tcp,tls,crypto,httpproxy"
PROTOCOLS = {
    "http": f"http,https,{_WEB}",
    "https": f"https,{_WEB}",
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tcp,tls",
}
OPEN_S = 20.0  # a server that has not begun to send sound after this long is given up
SILENT_S = 10.0  # the same between two pieces of sound
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # before a new connection; doubled after each
STEADY_S = 60.0  # a connection that brought this much sound makes the pause short again


def check_url(url: str) -> None:
    """Raise EarmarkError unless ``url`` has a host and a scheme that can be listened to."""
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError:  # such as a bracket without its partner
        scheme, host = "", None
    if scheme not in PROTOCOLS or not host:
        raise EarmarkError(
            f"{url.split('?')[0]!r} is not a URL of sound. Give SCHEME://HOST/PATH with one of the"
            f" schemes {', '.join(PROTOCOLS)}, or the path of a file."
        )


class _BrokenError(Exception):
    """A connection that ended; the text is the reason."""


class UrlListener:
    """Yields the sound of a URL, connection after connection.

    ``retries`` limits the connections in a row that break before a minute of sound.
    """

    def __init__(
        self, url: str, mixer: Mixer, clock: Clock, sleep: Sleep, retries: int | None = None
    ) -> None:
        check_url(url)
        self.url, self.mixer, self.clock, self.sleep = url, mixer, clock, sleep
        self.retries = retries
        self._pause_s, self._failures = FIRST_PAUSE_S, 0
        self._last_at: float | None = None  # of the last item
        self._problem = ""  # why the last connection broke
        self._heard = 0  # samples since the beginning of a finite recording
        self._head: Samples | None = None  # its first samples

    def items(self) -> LiveItems:
        """Yield blocks; gaps when a connection breaks, and when the sound comes back.

        Ends only at the end of a recording of known length. Raises Refusal if the first connection
        shows that later ones would fail too, and if there were too many.
        """
        import av

        while True:
            try:
                is_over = yield from self._connection()
                if is_over:
                    return
                self._problem = "the server ended the stream"
            except (av.error.FFmpegError, OSError, ValueError, _BrokenError) as error:
                self._give_up_if_hopeless(error)
                self._problem = _text(error)
            self._failures += 1
            if self.retries is not None and self._failures > self.retries:
                raise Refusal(
                    f"{self._problem} ({amount(self._failures, 'connection')} in a row failed);"
                    " check the URL and the server",
                    "missing",
                )
            yield self._gap(f"{self._problem}; connecting again in {self._pause_s:g} s")
            self.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _connection(self) -> Iterator[LiveBlock | Gap]:
        ...
