"""The live line of ``earmark stream``: level, best class and time, on a terminal only."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from earmark.apps.cli.text import class_text
from earmark.system.text import one_line

if TYPE_CHECKING:
    from earmark.audio.live import LiveItem
    from earmark.detection.listening import Listener

LEAST_S = 0.1  # between two lines
SOFTEST_DB, CELLS = -60.0, 20  # an empty meter, and the cells of a full one (0 dB)
ERASE = "\r\x1b[K"


class Meter:
    """A line on ``stream`` that is written again and again; nothing if it is not a terminal."""

    def __init__(
        self, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self.is_shown = self._stream is not None and self._stream.isatty()
        self._now, self._shown_at, self._has_line = now, -math.inf, False
        self._squares, self._n, self._best = 0.0, 0, ""

    def hear(self, item: LiveItem, listener: Listener) -> None:
        """Count the sound of an item, and show the line if the last one is old enough."""
        if not self.is_shown:
            return
        if (samples := getattr(item, "samples", None)) is not None:  # no gap
            self._squares += float(samples @ samples)
            self._n += len(samples)
        scores = listener.stream.scores.scores
        if len(scores):
            best = int(scores[-1].argmax())
            label = listener.stream.labels[best]
            self._best = f"{class_text(label)} {scores[-1, best]:.2f}"
        if self._now() - self._shown_at >= LEAST_S:
            self._show(listener.stream.heard_s)

    def clear(self) -> None:
        """Remove the line, so that something else can be printed."""
        if self._has_line:
            self._write(ERASE)
            self._has_line = False

    def _show(self, seconds: float) -> None:
        power = self._squares / self._n if self._n else 0.0
        level_db = max(SOFTEST_DB, 10 * math.log10(max(power, 1e-12)))
        line = one_line(line_of(level_db, self._best, seconds))
        width = shutil.get_terminal_size().columns - 1  # a full line would wrap
        self._write(f"{ERASE}{line[:width]}")
        self._has_line, self._shown_at = True, self._now()
        self._squares, self._n = 0.0, 0

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with contextlib.suppress(OSError):
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()


def line_of(level_db: float, best: str, seconds: float) -> str:
    """Return the line for a level, the best class with its score, and the time of the stream."""
    filled = round(CELLS * (1 - min(level_db, 0.0) / SOFTEST_DB))
    hours, rest = divmod(int(seconds), 3_600)
    clock = f"{hours}:{rest // 60:02}:{rest % 60:02}"
    return f"{clock}  {level_db:4.0f} dB [{'#' * filled:<{CELLS}}]  {best}"
