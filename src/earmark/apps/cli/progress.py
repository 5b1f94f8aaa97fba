"""Progress on a terminal: bars for clips and bytes, and a line of figures for fine-tuning.

The file of ``EARMARK_PROGRESS`` gets the same, with or without a terminal (``progress_file``).
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from earmark.apps.cli.progress_file import ProgressFile, TuningFile, progress_file
from earmark.apps.cli.text import say

if TYPE_CHECKING:
    import rich.progress

    from earmark.system.progress import Observer, Progress


LINE_S = 300.0  # between two lines of progress, where there is no terminal


class _Bar:
    """A bar on standard error: the stage, its steps and, while audio is read, the speed."""

    def __init__(self, bar: rich.progress.Progress, task: rich.progress.TaskID) -> None:
        self.bar, self.task = bar, task
        self.audio_s, self.start, self.columns = 0.0, time.perf_counter(), bar.columns

    def stage(self, name: str, steps: int) -> None:
        """Begin a stage; one without steps shows its name only."""
        self.audio_s, self.start = 0.0, time.perf_counter()
        self.bar.columns = self.columns if steps else self.columns[:1]
        self.bar.reset(self.task, description=name, total=steps, speed="")

    def advance(self, seconds: float = 0.0) -> None:
        self.audio_s += seconds
        speed = self.audio_s / max(time.perf_counter() - self.start, 1e-9)
        text = f"{speed:.0f} x real time" if self.audio_s else ""
        self.bar.update(self.task, advance=1, speed=text)


class _Line:
    """The figures of fine-tuning, shown in place of a bar."""

    def __init__(self, bar: _Bar) -> None:
        self.bar = bar

    def advance(self, run: str, figures: Mapping[str, float]) -> None:
        from rich.progress import TextColumn

        minutes, seconds = divmod(int(figures["left_s"]), 60)
        line = (
            "{epoch:.1f}/{epochs:.0f}, loss {loss:.2f}, validation {validation:.2f},"
            " {clips_per_s:.0f} clips/s"
        ).format_map(figures)
        line = f"{minutes}:{seconds:02} left of {run}: epoch {line}"
        self.bar.bar.columns = (TextColumn("{task.description}", markup=False),)
        self.bar.bar.update(self.bar.task, description=line)


class _Both:
    """A bar on a terminal and a file of progress, which follow the same work."""

    def __init__(self, bar: _Bar, file: ProgressFile) -> None:
        self.bar, self.file = bar, file

    def stage(self, name: str, steps: int) -> None:
        self.bar.stage(name, steps)
        self.file.stage(name, steps)

    def advance(self, seconds: float = 0.0) -> None:
        self.bar.advance(seconds)
        self.file.advance(seconds)


class _Observers:
    """Several observers of one fine-tuning."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def advance(self, run: str, figures: Mapping[str, float]) -> None:
        for observer in self.observers:
            observer.advance(run, figures)


@contextlib.contextmanager
def _written(what: str, total: float, unit: str = "steps") -> Iterator[ProgressFile | None]:
    """Follow work in the file of ``EARMARK_PROGRESS``; yield None if it names none."""
    file = progress_file(what, total, unit)
    try:
        yield file
    finally:
        if file is not None:
            file.close()


@contextlib.contextmanager
def _shown(what: str, total: float, figures: str) -> Iterator[_Bar | None]:
    """Show a bar with ``figures`` beside it; yield None if standard error is not a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), TextColumn(figures), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, bar.add_task(what, total=total, speed=""))


@contextlib.contextmanager
def progress_bar(what: str, n_clips: int = 0) -> Iterator[_Bar | ProgressFile | _Both | None]:
    """Show the stage, steps done, speed (times real time) and time left.

    Work with several stages sets the name and the number of steps of each. Yields None without a
    terminal and without a file of progress.
    """
    figures = "{task.completed:.0f}/{task.total:.0f} {task.fields[speed]}"
    with _shown(what, n_clips, figures) as bar, _written(what, n_clips) as file:
        if bar is not None and not n_clips:
            bar.stage(what, 0)
        yield _Both(bar, file) if bar is not None and file is not None else bar or file


def tuning_line(followed: Progress | None) -> Observer | None:
    """Return what shows the figures of fine-tuning in place of the bar that is ``followed``.

    None without a terminal and without a file of progress.
    """
    if isinstance(followed, _Both):
        return _Observers(_Line(followed.bar), TuningFile(followed.file))
    if isinstance(followed, ProgressFile):
        return TuningFile(followed)
    return _Line(followed) if isinstance(followed, _Bar) else None


@contextlib.contextmanager
def byte_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a download: yield a function of (bytes so far, total bytes); None if none would see."""
    figures = "{task.completed:.1f}/{task.total:.1f} MB"
    with _shown(what, 0.0, figures) as line, _written(what, 0, "bytes") as file:

        def tell(done: int, total: int) -> None:
            if line is not None:
                line.bar.update(line.task, completed=done / 1e6, total=total / 1e6)
            if file is not None:
                file.update(done=done, steps=total)

        yield tell if line is not None or file is not None else None


class Hours:
    """How much of long recordings is done: a bar on a terminal, else a line now and then.

    A ``file`` of progress gets the seconds too.

    Lengths are those of headers, 0 where unknown; an unknown one is taken for an average one.
    """

    def __init__(
        self, bar: _Bar | None, lengths: Sequence[float], file: ProgressFile | None = None
    ) -> None:
        known = [length for length in lengths if length]
        self.bar, self.file = bar, file
        self._usual_s = sum(known) / len(known) if known else 0.0
        self.total_s = sum(known) + self._usual_s * (len(lengths) - len(known))
        self.done_s = self.computed_s = self._here_s = 0.0
        self._start = self._said = time.perf_counter()

    def advance(self, seconds: float) -> None:
        """Count seconds of the recording that is being computed."""
        self._here_s += seconds
        self.computed_s += seconds
        self._write()
        if self.bar is not None:
            self.bar.bar.update(
                self.bar.task, completed=self.done_s + self._here_s, speed=self._text()
            )
        elif time.perf_counter() - self._said > LINE_S:
            self._said = time.perf_counter()
            say(f"{self._text()}, {span_text(self.left_s)} left")

    def end(self, header_s: float, seconds: float, is_computed: bool = True) -> None:
        """End a recording, which had a length by its header and another one in truth."""
        self.total_s += seconds - (header_s or self._usual_s)
        self.done_s, self._here_s = self.done_s + seconds, 0.0
        self._write()
        if self.bar is None:
            return
        total = self.total_s or None
        if is_computed:
            self.bar.bar.update(self.bar.task, completed=self.done_s, total=total)
        else:  # what was computed earlier says nothing about the speed
            self.bar.bar.reset(
                self.bar.task, completed=int(self.done_s), total=total, speed=self._text()
            )

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._start

    @property
    def speed(self) -> float:
        """How much faster than real time the recordings were computed."""
        return self.computed_s / max(self.elapsed_s, 1e-9)

    @property
    def left_s(self) -> float:
        """Seconds that the rest is likely to take."""
        rest = max(0.0, self.total_s - self.done_s - self._here_s)
        return rest / max(self.speed, 1e-9)

    def _write(self) -> None:
        if self.file is not None:
            done, steps = round(self.done_s + self._here_s, 1), round(self.total_s, 1)
            left = {"left_s": round(self.left_s, 1)} if self.computed_s else {}
            self.file.update(done=done, steps=steps, **left)

    def _text(self) -> str:
        done, total = (self.done_s + self._here_s) / 3600, self.total_s / 3600
        of_total = f" of {total:.1f}" if total else ""
        return f"{done:.1f}{of_total} h, {self.speed:.0f} x real time"


@contextlib.contextmanager
def hours_bar(what: str, lengths: Sequence[float]) -> Iterator[Hours]:
    """Follow the computing of recordings of these lengths in seconds; see :class:`Hours`."""
    total_s = sum(lengths)
    with (
        _shown(what, total_s, "{task.fields[speed]}") as bar,
        _written(what, total_s, "seconds") as file,
    ):
        yield Hours(bar, lengths, file)


def span_text(seconds: float) -> str:
    """Return '24.0 h', '3.5 min', '12 s' or '0.3 s'."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    if seconds >= 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
