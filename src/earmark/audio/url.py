"""Sound from a URL through FFmpeg (PyAV), with a new connection after each that breaks."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import zlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from earmark.audio.decoder import Refusal, Samples, reason
from earmark.audio.live import Clock, Gap, LiveBlock, LiveItem, LiveItems, Sleep
from earmark.audio.mixing import Mixer
from earmark.errors import EarmarkError, amount
from earmark.system.http import shown_url

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
MARKS = 1_000  # blocks, some 20 s, that show whether a recording begins again
STEADY_S = 60.0  # a connection that brought this much sound makes the pause short again


def check_url(url: str) -> None:
    """Raise EarmarkError unless ``url`` has a host and a scheme that can be listened to."""
    try:
        scheme, host, _ = urlsplit(url).scheme, urlsplit(url).hostname, urlsplit(url).port
    except ValueError:  # such as an open bracket, or a port that is no number
        scheme, host = "", None
    if scheme not in PROTOCOLS or not host:
        raise EarmarkError(
            f"{shown_url(url)!r} is not a URL of sound. Give SCHEME://HOST/PATH with one of the"
            f" schemes {', '.join(PROTOCOLS)}, or the path of a file."
        )


class _BrokenError(Exception):
    """A connection that ended; the text is the reason."""


class _NoSoundError(Exception):
    """A server that sends no sound; the text says what it sends."""


class UrlListener:
    """Yields the sound of a URL, connection after connection.

    ``clock`` tells when blocks arrived, and ``timer``, which nobody may set, how long things take.
    ``retries`` limits the connections in a row that break before a minute of sound.
    """

    def __init__(
        self,
        url: str,
        mixer: Mixer,
        clock: Clock,
        timer: Clock,
        sleep: Sleep,
        retries: int | None = None,
    ) -> None:
        check_url(url)
        self.url, self.mixer, self.retries = url, mixer, retries
        self.clock, self.timer, self.sleep = clock, timer, sleep
        self._pause_s, self._failures = FIRST_PAUSE_S, 0
        self._last_s = 0.0  # the time of the last item, by the timer
        self._problem = ""  # why the last connection broke; empty once sound comes again
        self._place = _Place()

    def items(self) -> LiveItems:
        """Yield blocks; gaps when a connection breaks, and when the sound comes back.

        Ends only at the end of a recording whose length is known. Raises Refusal if the first
        connection shows that later ones would fail too, and if too many failed.
        """
        from av.error import FFmpegError

        self._last_s = self.timer()
        while True:
            try:
                if (yield from self._connection()):
                    return
                self._problem = "the server ended the stream"
            except (FFmpegError, OSError, _BrokenError, _NoSoundError) as error:
                if not (self._failures or self._place.has_sound):
                    _give_up_if_hopeless(self.url, error)
                self._problem = _text(error)
            self._failures += 1
            if self.retries is not None and self._failures > self.retries:
                raise Refusal(
                    f"{self._problem} ({amount(self._failures, 'connection')} in a row failed);"
                    " check the URL and the server",
                    "missing",
                )
            text = f"{self._problem}; connecting again in {self._pause_s:g} s"
            yield self._gap(text, self._place.is_resumable)
            if self.sleep(self._pause_s):
                return
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _connection(self) -> Generator[LiveItem, None, bool]:
        """Yield what one connection brings; return whether the recording is over."""
        with _connected(self.url) as (container, stream):
            is_finite = _is_finite(container)
            if self._place.begin(is_finite) and container.format.name == "hls":
                return True  # it was live, and now its playlist has an end
            connected_s = 0.0
            for part in _sound(container, stream, self.timer):
                if isinstance(part, Gap):
                    if not self._place.is_skipping:
                        yield part
                    continue
                samples, rate_hz = part
                is_float = stream.codec_context.name.startswith(("pcm_f32", "pcm_f64"))
                mono = self._place.rest_of(self.mixer.mono(samples, is_float))
                if not len(mono):
                    continue
                if self._problem:
                    text = f"connected again after this: {self._problem}"
                    yield self._gap(text, self._place.goes_on)
                    self._problem = ""
                self._last_s = self.timer()
                yield LiveBlock(mono, rate_hz, self.clock())
                connected_s += len(mono) / rate_hz
                if connected_s >= STEADY_S:
                    self._pause_s, self._failures = FIRST_PAUSE_S, 0
            return is_finite

    def _gap(self, why: str, is_kept: bool) -> Gap:
        """Return a gap of the time since the last item, or of 0 s if no sound was lost."""
        if is_kept:
            return Gap(0.0, why)
        since_s, self._last_s = self._last_s, self.timer()
        return Gap(self._last_s - since_s, why)


class _Place:
    """Where a recording of known length is, so that a new connection goes on there.

    Some stations state a length although they are live. So a new connection is skipped only as far
    as its first blocks equal those of the connection before; all that follows is new.
    """

    def __init__(self) -> None:
        self.has_sound = False
        self.is_resumable = False  # the next connection can go on where this one breaks
        self.goes_on = False  # this connection does so
        self._was_live = False
        self._marks: list[int] = []  # checksums of the first blocks
        self._block = self._position = 0  # of this connection; the position is in samples
        self._end = 0  # the highest position of all connections

    @property
    def is_skipping(self) -> bool:
        """Whether the connection repeats what an earlier one brought."""
        return self._position < self._end

    def begin(self, is_finite: bool) -> bool:
        """Begin a new connection; return whether it has an end, and one before had none."""
        self._block = self._position = 0
        self._marks = self._marks[:-1]  # the block that broke may be incomplete
        if not is_finite:
            self._was_live, self._end = True, 0
        self.is_resumable, self.goes_on = is_finite, self._end > 0
        return is_finite and self._was_live

    def rest_of(self, x: Samples) -> Samples:
        """Return the samples of ``x``, the next block, that are new."""
        self.has_sound = True
        if not self.is_resumable:
            return x
        mark = zlib.crc32(x.data)
        if self._block < len(self._marks) and mark != self._marks[self._block]:
            self.is_resumable = self.goes_on = False
            self._end = 0
            self._marks.clear()
            return x
        if self._block == len(self._marks) < MARKS:
            self._marks.append(mark)
        new = x[max(0, self._end - self._position) :]
        self._block, self._position = self._block + 1, self._position + len(x)
        self._end = max(self._end, self._position)
        return new


@contextlib.contextmanager
def _connected(url: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Connect, with time limits and no protocols but those that the URL needs."""
    import av

    options = {"protocol_whitelist": PROTOCOLS[urlsplit(url).scheme], "user_agent": "earmark"}
    if authorities := ssl.get_default_verify_paths().cafile:  # FFmpeg checks no certificate else
        options |= {"tls_verify": "1", "ca_file": authorities}
    if urlsplit(url).scheme.startswith("rtsp"):  # UDP loses packets, and FFmpeg waits for them
        options |= {"rtsp_transport": "tcp", "allowed_media_types": "audio"}
    with av.open(
        url,
        "r",
        metadata_errors="replace",
        container_options=options,
        timeout=(OPEN_S, SILENT_S),
    ) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            raise _NoSoundError("no audio stream")
        if stream.codec_context is None:
            raise _NoSoundError("sound in a format that cannot be decoded")
        yield container, stream


def _is_finite(container: InputContainer) -> bool:
    """Return whether the server says where the recording ends."""
    if container.format.name in ("hls", "dash", "rtsp"):
        return bool(container.duration)  # their size is that of a playlist
    return container.size > 0


def _sound(
    container: InputContainer, stream: AudioStream, timer: Clock
) -> Iterator[tuple[Samples, int] | Gap]:
    """Yield samples (n, channels) with their rate, and a gap for damaged packets."""
    from av.error import FFmpegError

    to_float = _ToFloat()
    last_s, has_sound, damaged_s = timer(), False, 0.0
    damaged = 0  # packets since the last sound; if none follows, the connection is about to break
    for packet in container.demux():  # other streams too: they must not hide that this one is dead
        frames: list[AudioFrame] = []
        if packet.stream.index == stream.index:
            try:
                frames = packet.decode()  # type: ignore[assignment]  # the stream is audio
            except FFmpegError:  # of the decoder; there is no other here
                damaged += has_sound  # else the connection began inside a frame
                damaged_s += float((packet.duration or 0) * (packet.time_base or 0))
        for frame in frames:
            if damaged:
                yield Gap(damaged_s, f"{amount(damaged, 'packet')} damaged")
            for samples in to_float.convert(frame):
                yield samples, frame.sample_rate
            last_s, has_sound, damaged, damaged_s = timer(), True, 0, 0.0
        if timer() - last_s > SILENT_S:
            raise _BrokenError(f"no sound came for {SILENT_S:g} s")


class _ToFloat:
    """Converts frames to float32; their rate and channels may change."""

    def __init__(self) -> None:
        self._converter: AudioResampler | None = None
        self._shape: tuple[object, ...] = ()

    def convert(self, frame: AudioFrame) -> Iterator[Samples]:
        """Yield the samples (n, channels) of a frame."""
        import av

        shape = (frame.sample_rate, frame.layout.name, frame.format.name)
        if self._converter is None or shape != self._shape:
            # Packed, not planar: above 8 channels PyAV 18 reads beyond its planes and crashes.
            self._converter, self._shape = av.AudioResampler(format="flt"), shape
        channels = frame.layout.nb_channels
        for part in self._converter.resample(frame):
            if part.samples:
                yield np.asarray(part.to_ndarray(), np.float32).reshape(-1, channels)


def _give_up_if_hopeless(url: str, error: Exception) -> None:
    """Raise Refusal if an error of the first connection would come again."""
    from av import error as errors

    if isinstance(error, errors.HTTPNotFoundError):
        why = "cannot be opened: the server has no such address (404); check the URL"
    elif isinstance(error, errors.HTTPUnauthorizedError | errors.HTTPForbiddenError):
        why = (
            f"cannot be opened: {reason(error)}; give the user and the password, as in"
            " http://USER:PASSWORD@HOST/PATH"
        )
    elif isinstance(error, _NoSoundError):
        raise Refusal(f"the server sends {error}; check the URL", "unreadable") from error
    elif isinstance(error, errors.InvalidDataError | errors.LookupError):
        raise Refusal(
            "the server sends no sound in a known format; check the URL: it may be that of a web"
            " page",
            "unreadable",
        ) from error
    elif isinstance(error, OSError) and not _is_known(url):
        why = "cannot be opened: the host is unknown; check the URL and the network"
    elif url.startswith("https:") and (doubt := _certificate_doubt(url)):
        why = (
            f"cannot be opened: its certificate is not trusted ({doubt}); if it is yours, set"
            " SSL_CERT_FILE to the file of the certificate"
        )
    else:
        return
    raise Refusal(why, "missing") from error


def _is_known(url: str) -> bool:
    """Return whether the name of the host has an address; FFmpeg does not tell."""
    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except (OSError, UnicodeError):  # UnicodeError: a part of the name is too long
        return False
    return True


def _certificate_doubt(url: str) -> str:
    """Return why the certificate of a server is not trusted, or an empty text."""
    host, port = urlsplit(url).hostname, urlsplit(url).port or 443
    try:
        with socket.create_connection((host, port), SILENT_S) as connection:
            ssl.create_default_context().wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError:
        pass
    return ""


def _text(error: Exception) -> str:
    """Return in a few words why a connection failed."""
    from av.error import ExitError

    if isinstance(error, ExitError):
        return "the server sent nothing for too long"
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return "the connection broke"
    if isinstance(error, _NoSoundError):
        return f"the server sends {error}"
    return reason(error)
