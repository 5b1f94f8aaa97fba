"""Compute a folder of parts, report it, and read it again to write one table of all."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earmark.apps.cli import signals
from earmark.apps.cli.part_options import PartOptions
from earmark.apps.cli.progress import progress_bar
from earmark.apps.cli.text import print_json, report_read_warnings, say, show, skipped_json
from earmark.embeddings.shares import ALL, Share
from earmark.errors import DataError, amount

if TYPE_CHECKING:
    from earmark.data.blocks import Block
    from earmark.data.clip import Clip
    from earmark.embeddings.part import Part, Settings
    from earmark.embeddings.part_folder import PartFolder
    from earmark.embeddings.part_work import PartWork
    from earmark.embeddings.parts import PartsRun
    from earmark.embeddings.stages import Failure

DOING = {"embed": "embedding", "predict": "predicting", "detect": "searching"}


@dataclass(frozen=True)
class PartTask:
    """What is computed for which rows.

    Attributes
    ----------
    kind : str
        The command: 'embed', 'predict' or 'detect'.
    how : dict
        The arguments of its work, in types of JSON; see ``apps/cluster/works.py``.
    source : str
        The manifest or folder.
    root : Path
        The folder that the paths of recordings start from.
    blocks : callable
        Yields the blocks of clips whose numbers it is given.
    count : callable
        Returns how many clips these blocks have; 0 if that is not known.
    about : dict
        What a new folder of parts remembers of the data.
    """

    kind: str
    how: Mapping[str, Any]
    source: str
    root: Path
    blocks: Callable[[Container[int]], Iterator[Block]]
    count: Callable[[Container[int]], int]
    about: Mapping[str, str | None] = field(default_factory=dict)

    def parts(self, settings: Settings, wanted: Container[int]) -> Iterator[Part]:
        """Yield the parts with ``wanted`` numbers; their paths are absolute."""
        from earmark.embeddings.part import divide

        blocks = (
            (number, tuple(_absolute(clip) for clip in clips))
            for number, clips in self.blocks(wanted)
        )
        return divide(blocks, settings, self.root)


def root_of(source: str, root: str | None) -> Path:
    """Return the folder that the paths of data start from."""
    start = Path(os.path.abspath(root or source))
    return start if start.is_dir() else start.parent


def _absolute(clip: Clip) -> Clip:
    """Return a clip whose path does not depend on the current folder."""
    if clip.recording is not None or clip.is_remote or os.path.isabs(clip.place):
        return clip
    return replace(clip, path=Path(os.path.abspath(clip.place)))


def compute_folder(task: PartTask, output: Path, options: PartOptions) -> FolderRun:
    """Compute the missing parts of a share into the folder ``output``, and check the others."""
    from earmark.apps.cluster.works import load_work
    from earmark.embeddings.part_folder import PartFolder
    from earmark.embeddings.parts import compute_parts

    work = load_work(task.kind, task.how, task.root)
    folder = PartFolder(output, work.settings, {"root": str(task.root), **task.about})
    signals.goes_on()
    share, retry = options.own_share, options.retry_failed
    parts = task.parts(work.settings, share)
    with progress_bar(DOING[task.kind], task.count(share)) as bar:
        if options.is_local:
            done = compute_parts(folder, parts, work, progress=bar, retry_failed=retry)
        else:
            from earmark.apps.cluster.parts import compute_on
            from earmark.apps.cluster.ray_cluster import ray_cluster
            from earmark.apps.cluster.worker import job_of

            place = Path(os.path.abspath(output))
            job = job_of(work.settings, task.how, place, task.root)
            cluster = functools.partial(ray_cluster, options.address, job)
            done = compute_on(cluster, folder, parts, bar, retry_failed=retry)
    return FolderRun(task, work, folder, share, done)


@dataclass(frozen=True)
class FolderRun:
    """The parts of a share, all of which are whole."""

    task: PartTask
    work: PartWork
    folder: PartFolder
    share: Share
    done: PartsRun

    def finish(self, as_json: bool, lines: Sequence[str] = (), **more: Any) -> list[Failure]:
        """Write the table of parts, print the result, and return the clips that failed.

        ``lines`` and ``more`` (for JSON) say what was written besides.
        """
        table = self.folder.write_table(self.done.summaries, self.share)
        failures, warnings = self._problems()
        if as_json:
            print_json(self._json(table, failures, warnings, more))
        else:
            show(self._line(), *lines)
        report_read_warnings(warnings)
        self._report()
        return failures

    def tables(self, names: Sequence[str]) -> Iterator[tuple[Sequence[Clip], dict[str, list[Any]]]]:
        """Yield the rows of each part as they were given, and columns of its file as lists."""
        from earmark.data.parts import columns_of

        own = {summary.part: summary for summary in self.done.summaries}
        parts = self.task.parts(self.folder.settings, self.share)
        for (_, clips), part in zip(self.task.blocks(self.share), parts, strict=True):
            summary = own.get(part.number)
            if summary is None or not summary.file.startswith(part.stem):
                raise DataError(
                    f"{self.task.source} has changed while it was read. Run the same command again."
                )
            yield clips, columns_of(self.folder.path / summary.file, list(names))

    def has(self, *names: str) -> bool:
        """Return whether any part has a value in one of the columns."""
        from earmark.data.parts import columns_of

        files = (self.folder.path / summary.file for summary in self.done.summaries)
        return any(
            value is not None
            for file in files
            for column in columns_of(file, list(names)).values()
            for value in column
        )

    def _problems(self) -> tuple[list[Failure], list[str]]:
        """Return the clips that could not be read, and warnings about the others."""
        from earmark.data.clip import Clip
        from earmark.embeddings.part_files import problems_of
        from earmark.embeddings.stages import Failure
        from earmark.system.objects import is_uri

        failures, warnings = [], list[str]()
        for summary in self.done.summaries:
            if not summary.failures and not summary.warnings:
                continue
            for path, error, warning in problems_of(self.folder.path / summary.file):
                place = path if is_uri(path) else str(self.task.root / path)
                if error is not None:
                    failures.append(Failure(Clip(place), error))  # type: ignore[arg-type]
                warnings += [f"{place}: {text}" for text in (warning or "").splitlines()]
        return failures, warnings

    def _line(self) -> str:
        parts = self.done.summaries
        rows, failures = (sum(getattr(p, name) for p in parts) for name in ("clips", "failures"))
        hours = sum(part.seconds for part in parts) / 3600
        what = f" of share {self.share}" if self.share.count > 1 else ""
        row = "recording" if self.task.kind == "detect" else "clip"
        return (
            f"{amount(rows, row)}, {amount(failures, 'failure')}, {hours:,.2f} h of audio:"
            f" {amount(len(parts), 'part')}{what}, {self.done.computed:,} computed now ->"
            f" {self.folder.path}"
        )

    def _report(self) -> None:
        """Print notes on machines that differ, and on files that belong to no part."""
        machines = self._machines()
        if len(machines) > 1:
            say(
                f"note: the parts were computed on {len(machines)} kinds of machines, which the"
                " table names; their numbers agree to about 1e-5, but not to the last bit"
            )
        others = self.folder.others(self.done.summaries) if self.share == ALL else []
        if others:
            verb = "belongs" if len(others) == 1 else "belong"
            say(
                f"note: {amount(len(others), 'file')} in {self.folder.path} {verb} to no part of"
                f" this data, such as {others[0]}; delete what nothing else needs"
            )

    def _machines(self) -> list[str]:
        return sorted({summary.machine for summary in self.done.summaries})

    def _json(
        self,
        table: Path,
        failures: Sequence[Failure],
        warnings: Sequence[str],
        more: Mapping[str, Any],
    ) -> dict[str, Any]:
        parts = self.done.summaries
        return {
            "output": str(self.folder.path),
            "table": str(table),
            **more,
            "share": str(self.share),
            "parts": len(parts),
            "computed": self.done.computed,
            "clips": sum(part.clips for part in parts),
            "failures": sum(part.failures for part in parts),
            "seconds": sum(part.seconds for part in parts),
            "machines": self._machines(),
            "skipped": skipped_json(failures),
            "warnings": list(warnings),
        }
