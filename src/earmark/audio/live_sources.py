"""Open live sound by its name: standard input, a microphone, a URL or a recording."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from earmark.audio.live import BUFFER_S, Clock, LiveInput, RingBuffer, Sleep, captured, pump
from earmark.audio.microphone import Microphone
from earmark.audio.mixing import Mixer
from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.audio.pacing import recording_items
from earmark.audio.pcm import Pcm, pcm_items
from earmark.audio.source import as_source
from earmark.audio.url import UrlListener
from earmark.errors import EarmarkError
from earmark.system.http import shown_url


def open_live(
    target: str | Path,
    options: AudioOptions = AS_IT_IS,
    *,
    pcm: Pcm | None = None,
    file: BinaryIO | None = None,
    real_time: bool = False,
    retries: int | None = None,
    buffer_s: float = BUFFER_S,
    clock: Clock = time.time,
    sleep: Sleep | None = None,
) -> LiveInput:
    """Open live sound; iterate over the result for its blocks and gaps.

    A pipe and a recording wait for a slow consumer. A microphone and a URL cannot: their oldest
    sound is dropped, and a :class:`Gap` says how much.

    Parameters
    ----------
    target : str or Path
        ``-`` for raw PCM on standard input; ``mic``, ``mic:NUMBER`` or ``mic:NAME``; a URL (http,
        https, rtsp, rtsps, rtmp, rtmps); or the path of a recording.
    options : AudioOptions
        Which channel to read instead of the mean of all, and more.
    pcm : Pcm, optional
        How the raw PCM is stored; needed for ``-``.
    file : BinaryIO, optional
        What to read for ``-`` instead of standard input.
    real_time : bool
        Whether a recording is read at its own pace, and not as fast as it is consumed.
    retries : int, optional
        How many connections to a URL in a row may break; by default, it connects again for ever.
    buffer_s : float
        Seconds of sound of a microphone or a URL that may wait for the consumer.
    clock : callable
        Returns seconds since the epoch.
    sleep : callable, optional
        Waits for a number of seconds, and returns True if the input was closed meanwhile; by
        default, closing the input ends the wait.

    Returns
    -------
    LiveInput
        An iterator of LiveBlock and Gap; also a context manager.

    Raises
    ------
    EarmarkError
        If the target or its settings are wrong. AudioError if a microphone is missing or busy;
        other sources are opened by the first iteration, which may raise AudioError too.

    Examples
    --------
    >>> import io
    >>> from earmark import audio
    >>> pipe = io.BytesIO(bytes(32_000))
    >>> with audio.open_live("-", pcm=audio.Pcm(rate_hz=16_000), file=pipe) as live:
    ...     sum(item.seconds for item in live if isinstance(item, audio.LiveBlock))
    1.0
    """
    mixer, text = Mixer(options), str(target)
    if text == "-":
        return _pipe(file, pcm, mixer, clock)
    if text == "mic" or text.startswith("mic:"):
        microphone = Microphone(text[4:], mixer, clock)
        return _buffered(microphone.name, microphone.capture, RingBuffer(buffer_s), mixer)
    if "://" in text:
        buffer = RingBuffer(buffer_s)
        # Durations by a clock that nobody sets, unless a test brings its own.
        timer = time.monotonic if clock is time.time else clock
        listener = UrlListener(text, mixer, clock, timer, sleep or buffer.closed.wait, retries)
        capture = functools.partial(pump, listener.items())
        return _buffered(shown_url(text), capture, buffer, mixer)
    closed = threading.Event()
    pause = (sleep or closed.wait) if real_time else None
    items = recording_items(as_source(target), options, mixer.warnings, clock, pause)
    return LiveInput(text, items, mixer.warnings, closed)


def _pipe(file: BinaryIO | None, pcm: Pcm | None, mixer: Mixer, clock: Clock) -> LiveInput:
    if pcm is None:
        raise EarmarkError(
            "The raw PCM on standard input has no header. Give its rate, such as 16000 Hz."
        )
    items = pcm_items(file or sys.stdin.buffer, pcm, mixer, clock)
    return LiveInput("standard input", items, mixer.warnings, threading.Event())


def _buffered(
    name: str, capture: Callable[[RingBuffer], None], buffer: RingBuffer, mixer: Mixer
) -> LiveInput:
    return LiveInput(name, captured(capture, buffer), mixer.warnings, buffer.closed)
