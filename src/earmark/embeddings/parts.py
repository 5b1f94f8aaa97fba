"""Compute parts: runs of clips, each into one Parquet file that is put in place whole.

The division into parts depends on the order of the clips alone, so all machines agree on it. The
bytes of a part depend on its rows, the networks, and the instruction set, engine and packages of
the machine. They do not depend on other parts, on the store, or on the number of threads, because
each thread computes on one core. So it does not matter who computes a part, or when.

Drivers need no locks. Two that compute the same part put the same bytes in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from earmark.data.parts import PartSummary
from earmark.embeddings.part import Part
from earmark.embeddings.part_files import write_part
from earmark.embeddings.part_folder import PartFolder, name_of
from earmark.embeddings.part_work import PartWork
from earmark.system.progress import Progress


@dataclass(frozen=True)
class PartsRun:
    """The parts of a share: their summaries by number, and how many were computed now."""

    summaries: tuple[PartSummary, ...]
    computed: int

    @classmethod
    def of(cls, summaries: Iterable[PartSummary], computed: int) -> PartsRun:
        """Sort the summaries by number."""
        return cls(tuple(sorted(summaries, key=lambda summary: summary.part)), computed)


def missing_parts(
    folder: PartFolder,
    parts: Iterable[Part],
    found: Callable[[PartSummary], object],
    *,
    machine: Callable[[], str | None] = lambda: None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Iterator[Part]:
    """Yield the parts that must be computed; call ``found`` with the summaries of all others.

    With ``retry_failed``, the file of a part in which a recording could not be read is deleted, and
    the part must be computed. ``machine`` is asked as :meth:`PartFolder.find` needs it.
    """
    for part in parts:
        summary = folder.find(part, machine())
        while summary is not None and summary.failures and retry_failed:
            folder.delete(summary)
            summary = folder.find(part, machine())  # one of another machine
        if summary is None:
            yield part
            continue
        found(summary)
        if progress is not None:
            for _ in part.clips:
                progress.advance()


def compute_parts(
    folder: PartFolder,
    parts: Iterable[Part],
    work: PartWork,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
) -> PartsRun:
    """Compute the parts whose files are missing or damaged; check the files of all others.

    A killed run loses only unfinished parts.

    Parameters
    ----------
    folder : PartFolder
        Where the files are.
    parts : iterable of Part
        The parts of a share, in order.
    work : PartWork
        What is computed; it has the settings of the folder.
    threads : int, optional
        Number of threads that compute; by default the number of cores.
    progress : Progress, optional
        Counts clips.
    retry_failed : bool
        Whether a part in which a recording could not be read is computed again.

    Raises
    ------
    EarmarkError
        A file cannot be written.
    """
    summaries: list[PartSummary] = []
    missing = missing_parts(
        folder,
        parts,
        summaries.append,
        machine=work.machine,
        retry_failed=retry_failed,
        progress=progress,
    )
    computed = 0
    for part, results in work.compute(missing, threads, progress):
        machine = work.machine()
        path, table = folder.path / name_of(part, machine), work.table(results)
        summaries.append(write_part(path, part, table, folder.settings.to_json(), machine))
        computed += 1
    return PartsRun.of(summaries, computed)
