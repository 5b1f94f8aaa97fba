"""Progress on a terminal: bars for clips and bytes, and a line of figures for fine-tuning."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

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
def progress_bar(what: str, n_clips: int = 0) -> Iterator[_Bar | None]:
    """Show the stage, steps done, speed (times real time) and time left; None without a terminal.

    Work with several stages sets the name and the number of steps of each.
    """
    figures = "{task.completed:.0f}/{task.total:.0f} {task.fields[speed]}"
    with _shown(what, n_clips, figures) as bar:
        if bar is not None and not n_clips:
            bar.stage(what, 0)
        yield bar


def tuning_line(bar: Progress | None) -> Observer | None:
    """Return a line of fine-tuning figures to show in place of ``bar``; None without a terminal."""
    return _Line(bar) if isinstance(bar, _Bar) else None


@contextlib.contextmanager
def byte_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a download: yield a function of (bytes so far, total bytes); None without a terminal."""
    with _shown(what, 0.0, "{task.completed:.1f}/{task.total:.1f} MB") as line:
        if line is None:
            yield None
        else:
            bar, task = line.bar, line.task
            yield lambda done, total: bar.update(task, completed=done / 1e6, total=total / 1e6)


class Hours:
    """How much of long recordings is done: a bar on a terminal, else a line now and then.

    Lengths are those of headers, 0 where unknown; an unknown one is taken for an average one.
    """

    def __init__(self, bar: _Bar | None, lengths: Sequence[float]) -> None:
        known = [length for length in lengths if length]
        self.bar, self._usual_s = bar, sum(known) / len(known) if known else 0.0
        self.total_s = sum(known) + self._usual_s * (len(lengths) - len(known))
        self.done_s = self.computed_s = self._here_s = 0.0
        self._start = self._said = time.perf_counter()

    def advance(self, seconds: float) -> None:
        """Count seconds of the recording that is being computed."""
        self._here_s += seconds
        self.computed_s += seconds
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

    def _text(self) -> str:
        done, total = (self.done_s + self._here_s) / 3600, self.total_s / 3600
        of_total = f" of {total:.1f}" if total else ""
        return f"{done:.1f}{of_total} h, {self.speed:.0f} x real time"


@contextlib.contextmanager
def hours_bar(what: str, lengths: Sequence[float]) -> Iterator[Hours]:
    """Follow the computing of recordings of these lengths in seconds; see :class:`Hours`."""
    with _shown(what, sum(lengths), "{task.fields[speed]}") as bar:
        yield Hours(bar, lengths)


def span_text(seconds: float) -> str:
    """Return '24.0 h', '3.5 min', '12 s' or '0.3 s'."""
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} h"
    if seconds >= 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
