"""Progress on a terminal: bars for clips and bytes, and a line of figures for fine-tuning."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress

    from earmark.system.progress import Observer, Progress


class _Bar:
    """A bar on standard error: the stage, its steps and, while audio is read, the speed."""

    def __init__(self, bar: rich.progress.Progress, task: rich.progress.TaskID) -> None:
        self.bar, self.task = bar, task
        self.audio_s, self.start = 0.0, time.perf_counter()

    def stage(self, name: str, steps: int) -> None:
        self.audio_s, self.start = 0.0, time.perf_counter()
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


def progress_bar(what: str, n_clips: int = 0) -> contextlib.AbstractContextManager[_Bar | None]:
    """Show the stage, steps done, speed (times real time) and time left; None without a terminal.

    Work with several stages sets the name and the number of steps of each.
    """
    return _shown(what, n_clips, "{task.completed:.0f}/{task.total:.0f} {task.fields[speed]}")


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
