"""Ctrl-C and other stop signals: the first ends a command cleanly, the second at once."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

GRACE_S = 5.0  # how long a stopped command may take to end cleanly
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C; `kill` or a shutdown; a closed terminal
SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it


class Stopped(KeyboardInterrupt):
    """A signal has asked the command to stop."""


class _Run:
    """The signals that one run of the command line has received."""

    def __init__(self) -> None:
        self.received = 0
        self.goes_on = self.is_said = self.is_held = self.is_due = False
        self.handlers: dict[int, object] = {}
        self.writer: socket.socket | None = None

    def stop(self, number: int, _: FrameType | None) -> None:
        """Handle the first signal; `watch` handles the second."""
        if not self.received:
            self.received = number
            self.is_due = self.is_held
            if not self.is_held:
                raise Stopped

    def watch(self, reader: socket.socket) -> None:
        """End the process at the second signal, or GRACE_S after the first.

        Runs in a thread, because Python calls no handler while the main thread runs C code.
        """
        received = 0
        with reader:
            while True:
                try:
                    numbers = reader.recv(1)
                except TimeoutError:
                    break
                if not numbers:
                    return
                if received:
                    break
                if numbers[0] in self.handlers:
                    received = numbers[0]
                    reader.settimeout(GRACE_S)
        self.say()
        files = sys.modules.get("earmark.system.files")  # importing it could wait for a lock
        getattr(files, "delete_parts", int)()
        os._exit(128 + received)

    def say(self) -> None:
        """Say once that the command was stopped, and whether the same command would resume."""
        if not self.is_said:
            self.is_said = True
            rest = "; run the same command again to continue from here." if self.goes_on else "."
            try:
                if sys.stderr is not None:
                    cursor = SHOW_CURSOR.decode() if sys.stderr.isatty() else ""
                    sys.stderr.write(f"{cursor}stopped{rest}\n")
                    sys.stderr.flush()
            except (OSError, ValueError):
                pass  # standard error is closed


_run: _Run | None = None


def heed() -> None:
    """Handle stop signals from now on, except those that are ignored (as under ``nohup``)."""
    global _run
    _run = _Run()
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may handle signals
    for number in (int(getattr(signal, name)) for name in NAMES if hasattr(signal, name)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            _run.handlers[number] = signal.signal(number, _run.stop)
    reader, _run.writer = socket.socketpair()
    _run.writer.setblocking(False)
    signal.set_wakeup_fd(_run.writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_run.watch, args=(reader,), daemon=True).start()


def unheed() -> None:
    """Restore the earlier signal handlers."""
    global _run
    if _run is not None:
        for number, handler in _run.handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if _run.writer is not None:
            signal.set_wakeup_fd(-1)
            _run.writer.close()  # this ends the thread
        _run = None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let the first signal wait for the end of a short block, which it must not tear in two."""
    if _run is None:
        yield
        return
    _run.is_held = True
    try:
        yield
    finally:
        _run.is_held = False
    if _run.is_due:
        _run.is_due = False
        raise Stopped


def goes_on(does: bool = True) -> None:
    """Set whether the same command, run again after a stop, would continue where it stopped."""
    if _run is not None:
        _run.goes_on = does


def say_stopped() -> int:
    """Say that the command was stopped; return the exit code, 130 for Ctrl-C."""
    assert _run is not None
    _run.say()
    return 128 + (_run.received or signal.SIGINT)


def was_stopped() -> bool:
    """Return whether a signal has asked the command to stop."""
    return _run is not None and _run.received > 0
