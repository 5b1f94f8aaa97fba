"""Progress in a file for other programs: ``EARMARK_PROGRESS`` names it, with a JSON object a line.

docs/reference/progress.md describes the lines.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, BinaryIO

from earmark.apps.cli.text import say
from earmark.system.files import not_a_file
from earmark.system.jsons import finite

VARIABLE = "EARMARK_PROGRESS"
LEAST_S, MOST_S = 0.25, 5.0  # between two lines of a stage; long stages write more rarely
SHARE = 1 / 200  # of the time that a stage has taken so far

_number = 0  # of the stage, counted over the whole process


class ProgressFile:
    """Appends the stages of a command to a file, a line at once; several threads may use it.

    A file that cannot be written stops the lines with a warning, but never the command.
    """

    def __init__(self, file: BinaryIO, what: str, total: float, unit: str) -> None:
        self._file: BinaryIO | None = file
        self._lock = threading.Lock()
        self._unit = unit
        self._begin(what, total)

    def stage(self, name: str, steps: int) -> None:
        """Begin a stage; 0 ``steps`` means that they are not counted."""
        with self._lock:
            self._write()
            self._begin(name, steps)

    def advance(self, seconds: float = 0.0) -> None:
        """Count a step, and the ``seconds`` of audio that it had."""
        with self._lock:
            self._state["done"] += 1
            if seconds:
                read_s = self._state.get("audio_s", 0.0) + seconds
                self._state["audio_s"] = round(read_s, 3)
            self._write_if_due()

    def update(self, **values: Any) -> None:
        """Change values of the line: ``done``, ``steps``, ``left_s`` or ``figures``."""
        with self._lock:
            self._state |= values
            self._write_if_due()

    def close(self) -> None:
        """Write the last line, if it is new, and close the file."""
        with self._lock:
            self._write()
            if self._file is not None:
                self._file.close()
                self._file = None

    def _begin(self, name: str, steps: float) -> None:
        global _number
        _number += 1
        self._start = time.monotonic()
        self._state: dict[str, Any] = {"stage": name, "number": _number, "done": 0, "steps": steps}
        self._written: dict[str, Any] = {}
        self._write()

    def _write_if_due(self) -> None:
        now = time.monotonic()
        pause_s = min(MOST_S, max(LEAST_S, SHARE * (now - self._start)))
        if now - self._wrote_at >= pause_s:
            self._write()

    def _write(self) -> None:
        """Append the line unless it is the last one; a single call, so that no line is torn."""
        if self._file is None or self._state == self._written:
            return
        line = finite({"at": round(time.time(), 3), **self._state, "unit": self._unit})
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
        except OSError as error:
            say(f"warning: no more lines for {VARIABLE}: {error.strerror}.")
            self._file.close()
            self._file = None
        self._wrote_at, self._written = time.monotonic(), dict(self._state)


class TuningFile:
    """Writes the figures of a fine-tuning as one stage for each run."""

    def __init__(self, file: ProgressFile) -> None:
        self._file, self._run = file, ""

    def advance(self, run: str, figures: Mapping[str, float]) -> None:
        if run != self._run:
            self._run = run
            self._file.stage(run, 0)
        left_s = round(figures["left_s"], 1)
        rest = {name: value for name, value in figures.items() if name != "left_s"}
        values = {"done": figures["epoch"], "steps": figures["epochs"]}
        self._file.update(**values, left_s=left_s, figures=rest)


def progress_file(what: str, total: float, unit: str = "steps") -> ProgressFile | None:
    """Open the file that ``EARMARK_PROGRESS`` names; None if there is none to write.

    ``unit`` is what ``done`` and ``steps`` count: 'steps', 'seconds' of audio, or 'bytes'.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    if problem := not_a_file(name):
        say(f"warning: {VARIABLE} is {name}, which {problem}. Name a file.")
        return None
    try:
        return ProgressFile(open(name, "ab", buffering=0), what, total, unit)
    except OSError as error:
        say(f"warning: cannot write {name}, which {VARIABLE} names: {error.strerror}.")
        return None
