"""Examine a dataset step by step; modules that need SciPy are imported after the data is read."""

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
    """Decode every clip, and return the problems of the data.

    Parameters
    ----------
    data : Dataset, str, Path or object
        A :class:`Dataset`, or anything that :meth:`Dataset.read` accepts.
    near : bool
        Whether to search for near copies, which takes longer than all other checks.
    progress : Progress, optional
        Its ``advance`` is called for each clip, with the seconds of audio in it.

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
    """The results of examining a dataset.

    ``facts`` are the measurements of each clip, ``pairs`` the near copies. ``near`` says whether
    near copies were searched for.
    """

    dataset: Dataset
    facts: tuple[Facts, ...]
    pairs: tuple[tuple[Clip, Clip], ...]
    findings: list[Finding]
    near: bool = True

    def pairs_among(self, clips: Container[Clip]) -> tuple[tuple[Clip, Clip], ...]:
        """Return the near copies in a dataset that has only ``clips``.

        Which clips are compared depends on all clips in the data, so they are decoded once more.
        """
        remaining = tuple(clip for clip in self.dataset.clips if clip in clips)
        return inspect(replace(self.dataset, clips=remaining), near=self.near).pairs


def examine(
    dataset: Dataset, progress: Progress | None = None, *, near: bool = True
) -> list[Finding]:
    """Return the same as :func:`doctor`, for a Dataset."""
    return inspect(dataset, progress, near=near).findings


def inspect(
    dataset: Dataset, progress: Progress | None = None, *, near: bool = True
) -> Examination:
    """Return the findings, and the measurements behind them.

    It needs some megabytes of memory per core, and some kilobytes per clip of any length.
    """
    from earmark.data.doctor import copies, recordings
    from earmark.data.doctor.facts import listen
    from earmark.data.doctor.spool import open_spool

    threads = available_cores()
    with workers(threads) as pool, open_spool() as sketches:
        facts, numbers = [], {}
        measure = functools.partial(listen, options=dataset.audio)
        for fact in map_ahead(pool, measure, dataset.clips, 2 * threads):
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
    """Yield the findings about labels, groups and folds, which need no audio."""
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
    """Return the findings that training can make while reading little audio, worst first.

    ``content`` (N,) has the same number for clips with equal sound, ``embeddings`` are (N, E),
    ``fold`` (N,) is the fold in which each clip is tested, and ``seconds`` the mean length of a
    clip. Pairs that were ``compared`` before are not read again. Recordings and exact copies in
    several folds are reported by ``splits``, which makes the folds.
    """
    from earmark.data.doctor import copies, likely_copies

    findings = copies.check_exact(dataset, clips, content)
    conflicts = [finding for finding in findings if finding.kind == "label conflict"]
    pairs = likely_copies.find(dataset, clips, content, embeddings, seconds, compared)
    near = likely_copies.check(dataset, clips, pairs, fold)
    rest = [*likely_copies.unseen(content), *tables.check_classes(dataset)]
    return by_severity([*conflicts, *near, *rest])


def _distinct(facts: Sequence[Facts]) -> list[Clip]:
    """Return the first clip of each content, if it is long enough to be compared."""
    from earmark.data.doctor import near_duplicates

    first = {f.content: f for f in reversed(facts)}
    return [f.clip for f in facts if first[f.content] is f and f.seconds >= near_duplicates.LEAST_S]


def _near(
    dataset: Dataset, clips: Sequence[Clip], sketches: Sequence[Sketch], pool: Executor
) -> list[copies.Copied]:
    """Return the near copies among ``clips``."""
    from earmark.data.doctor import copies, near_duplicates

    waveform = copies.waveforms(clips, dataset.audio)
    return copies.between(clips, near_duplicates.find(sketches, waveform, pool.map))
