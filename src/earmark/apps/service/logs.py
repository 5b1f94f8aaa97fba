"""The log: one line for each response and for what happens to the service.

A thread writes it. So a reader of standard error that has stopped or gone never stops the service;
lines that find no place are counted, and the next line has their number.
"""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from earmark.apps.service.identity import CURRENT, Request

FORMS = ("json", "text", "none")
MOST_LINES = 4_096  # that wait to be written; more are dropped
BATCH_LINES = 128  # that are written at once
BATCH_S = 0.05  # that the first line waits for others
END_S = 1.0  # for the last lines to be written at the end
MOST_FRAMES = 30  # of a traceback, the innermost
Line = dict[str, Any]


class Log:
    """Writes lines as ``json``, as ``text``, or not at all (``none``).

    ``write`` takes the bytes of whole lines; it writes to standard error by default.
    """

    def __init__(self, form: str = "none", write: Callable[[bytes], None] | None = None) -> None:
        self.form = form
        self._format = {"json": _as_json, "text": _as_text}.get(form)
        self._write = write or _write_to_stderr
        self._lines: collections.deque[Line] = collections.deque()
        self._is_filled, self._is_closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._dropped = self._reported = 0

    def response(self, request: Request, method: str, path: str) -> None:
        """Add the line of a response; ``path`` is that of a route, or ``other``."""
        if self._format is None:
            return
        line = {
            "time": time.time(),
            "level": _level(request.status),
            "event": "response",
            "request_id": request.id,
            "method": method,
            "path": path,
            "status": request.status,
            "ms": round(1e3 * (time.perf_counter() - request.began_s), 2),
        }
        if request.audio_s is not None:
            line["audio_s"] = round(request.audio_s, 3)
        if request.model is not None:
            line["model"] = request.model
        self._add(line)

    def event(self, event: str, level: str = "info", **values: Any) -> None:
        """Add a line about the service."""
        if self._format is not None:
            self._add({"time": time.time(), "level": level, "event": event, **values})

    def close(self) -> None:
        """Write what waits, for a second at most."""
        self._is_closed.set()
        self._is_filled.set()
        if self._thread is not None:
            self._thread.join(END_S)

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        """Take what Python's ``logging`` reports of faults, which would print it at once."""
        handler = logging.NullHandler() if self._format is None else _Faults(self)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    def _add(self, line: Line) -> None:
        if len(self._lines) >= MOST_LINES:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._is_filled.is_set():
            self._is_filled.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="earmark-log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._is_filled.wait()
            self._is_closed.wait(BATCH_S)
            while self._lines:
                self._write_some()
            if self._is_closed.is_set():
                return
            self._is_filled.clear()
            if self._lines or self._is_closed.is_set():  # since the look above
                self._is_filled.set()

    def _write_some(self) -> None:
        assert self._format is not None
        lines = [self._lines.popleft() for _ in range(min(BATCH_LINES, len(self._lines)))]
        dropped = self._dropped
        if dropped > self._reported:
            lines[0]["dropped"] = dropped - self._reported
        try:
            self._write("".join(map(self._format, lines)).encode())
        except (OSError, ValueError):  # the reader has gone, or the disk is full
            self._dropped += len(lines)
        else:
            self._reported = dropped


class _Faults(logging.Handler):
    """Hands faults to the log: the kind of error and the lines of code, and no values."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, Any] = {"logger": record.name}
        if (request := CURRENT.get()) is not None:
            values["request_id"] = request.id
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            values["where"] = f"{record.pathname}:{record.lineno}"
        else:
            values |= {"error": type(error).__name__, "traceback": frames_of(error.__traceback__)}
        self._log.event("fault", record.levelname.lower(), **values)


def frames_of(traceback: TracebackType | None) -> list[str]:
    """Return ``FILE:LINE FUNCTION`` of each frame, the innermost last."""
    frames: collections.deque[str] = collections.deque(maxlen=MOST_FRAMES)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return list(frames)


def _level(status: int) -> str:
    if status < 500:
        return "info"
    return "error" if status == 500 else "warning"


def _as_json(line: Line) -> str:
    return json.dumps({**line, "time": _utc(line["time"])}, default=str) + "\n"


def _as_text(line: Line) -> str:
    values = dict(line)
    clock = _utc(values.pop("time"))[11:-1]
    level, event = values.pop("level"), values.pop("event")
    mark = "" if level == "info" else f"{level.upper()} "
    if event == "response":
        begin = f"{values.pop('status')} {values.pop('method')} {values.pop('path')}"
        begin += f" {values.pop('ms')} ms"
        if "audio_s" in values:
            begin += f", {values.pop('audio_s')} s of audio"
    else:
        begin = event
    rest = "".join(f" {name}={json.dumps(value, default=str)}" for name, value in values.items())
    return f"{clock} {mark}{begin}{rest}\n"


def _utc(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _write_to_stderr(content: bytes) -> None:
    if sys.stderr is None:  # number 2 may be another file then
        return
    left = memoryview(content)
    while left:
        try:
            left = left[os.write(2, left) :]
        except BlockingIOError:
            time.sleep(BATCH_S)
