"""The examination of a dataset, step by step; what needs SciPy is imported after reading."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.doctor import tables
from earmark.data.doctor.findings import Finding, Names, by_severity
from earmark.system.progress import Progress
from earmark.system.threads import available_cores, map_ahead, workers

if TYPE_CHECKING:
    from earmark.data.doctor import copies
    from earmark.data.doctor.facts import Facts
    from earmark.data.doctor.likely_copies import Compared, Rows
    from earmark.data.doctor.near_duplicates import Sketch


def doctor(data: DataLike, *, near: bool = True, progress: Progress | None = None) -> list[Finding]:
    """Listen to every clip and return what is wrong with the data, before any training.

    Parameters
    ----------
    data
        A :class:`Dataset`, or anything that :meth:`Dataset.read` takes.
    near
        Whether to search for near-duplicates, which takes longer than all other checks.
    progress
        Is told of each clip and of the seconds of audio in it.

    Returns
    -------
    list of Finding
        Errors first, then warnings, then notes; empty for clean data.

    Raises
    ------
    DataError
        If ``data`` cannot be read as a dataset. A recording that cannot be read is a finding.

    Examples
    --------
    >>> import earmark
    >>> from earmark.data import example
    >>> earmark.doctor(example())
    []
    >>> data = earmark.Dataset.read(example(), group="label")
    >>> for finding in earmark.doctor(data, near=False):
    ...     print(f"{finding.severity}: {finding.kind}, {len(finding.clips)} clips")
    error: class equals group, 120 clips
    """
    return examine(as_dataset(data), progress, near=near)


@dataclass(frozen=True)
class Examination:
    """What was heard of a dataset: ``facts`` of each clip, ``pairs`` of near copies, findings."""

    dataset: Dataset
    facts: tuple[Facts, ...]
    pairs: tuple[tuple[Clip, Clip], ...]
    findings: list[Finding]
    near: bool = True

    def pairs_among(self, clips: Container[Clip]) -> tuple[tuple[Clip, Clip], ...]:
        """Return the near copies that are found where there are only ``clips``.

        Which clips are compared depends on all that are there. They are listened to once more.
        """
        among = tuple(clip for clip in self.dataset.clips if clip in clips)
        return inspect(replace(self.dataset, clips=among), near=self.near).pairs


def examine(
    dataset: Dataset, progress: Progress | None = None, *, near: bool = True
) -> list[Finding]:
    """Return what :func:`doctor` does, of a dataset."""
    return inspect(dataset, progress, near=near).findings


def inspect(
    dataset: Dataset, progress: Progress | None = None, *, near: bool = True
) -> Examination:
    """Return the findings and what they were made of.

    In memory are some megabytes for each core, and some kilobytes for each clip, however long.
    """
    from earmark.data.doctor import copies, recordings
    from earmark.data.doctor.facts import listen
    from earmark.data.doctor.spool import open_spool

    threads = available_cores()
    with workers(threads) as pool, open_spool() as sketches:
        facts, numbers = [], {}
        hear = functools.partial(listen, options=dataset.audio)
        for fact in map_ahead(pool, hear, dataset.clips, 2 * threads):
            if near and fact.sketch is not None:
                numbers[fact.clip] = len(sketches)
                sketches.append(fact.sketch)
            facts.append(replace(fact, sketch=None))
            if progress is not None:
                progress.advance(fact.seconds)
        findings = [*check_table(dataset), *recordings.check(facts, Names(dataset.clips))]
        sounding = [f for f in facts if recordings.is_heard(f)]
        clips, content = [f.clip for f in sounding], [f.content for f in sounding]
        findings += copies.check_exact(dataset, clips, content)
        pairs: list[copies.Copied] = []
        if near:
            distinct = _distinct(sounding)
            chosen = sketches.chosen(numbers[clip] for clip in distinct)
            pairs = _near(dataset, distinct, chosen, pool)
        findings += copies.check_near(dataset, pairs)
    copied = tuple((pair.first, pair.second) for pair in pairs)
    return Examination(dataset, tuple(facts), copied, by_severity(findings), near)


def check_table(dataset: Dataset) -> Iterator[Finding]:
    """Yield what labels, groups and folds tell by themselves, without listening."""
    yield from tables.check_classes(dataset)
    yield from tables.check_partition(dataset)


def before_training(
    dataset: Dataset,
    clips: Sequence[Clip],
    content: np.ndarray,
    embeddings: Rows,
    fold: np.ndarray,
    seconds: float,
    compared: Compared | None = None,
) -> list[Finding]:
    """Return the findings that training can make with little listening, worst first.

    ``content`` (N,) has one number for each distinct sound of ``clips``, ``embeddings`` are
    (N, E), ``fold`` (N,) is what each clip is tested in, ``seconds`` their mean length. Pairs that
    were ``compared`` before are not read again.
    Recordings and exact copies in several folds are left to ``splits``, which makes the folds.
    """
    from earmark.data.doctor import copies, likely_copies

    findings = copies.check_exact(dataset, clips, content)
    conflicts = [finding for finding in findings if finding.kind == "label conflict"]
    pairs = likely_copies.find(dataset, clips, content, embeddings, seconds, compared)
    near = likely_copies.check(dataset, clips, pairs, fold)
    rest = [*likely_copies.unseen(content), *tables.check_classes(dataset)]
    return by_severity([*conflicts, *near, *rest])


def _distinct(facts: Sequence[Facts]) -> list[Clip]:
    """Return the first clips of each content that are long enough to be compared."""
    from earmark.data.doctor import near_duplicates

    first = {f.content: f for f in reversed(facts)}
    return [f.clip for f in facts if first[f.content] is f and f.seconds >= near_duplicates.LEAST_S]


def _near(
    dataset: Dataset, clips: Sequence[Clip], sketches: Sequence[Sketch], pool: Executor
) -> list[copies.Copied]:
    """Look for near-duplicates among ``clips``."""
    from earmark.data.doctor import copies, near_duplicates

    waveform = copies.waveforms(clips, dataset.audio)
    return copies.between(clips, near_duplicates.find(sketches, waveform, pool.map))
