"""The examination of a dataset, step by step; what needs SciPy is imported after reading."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from earmark.data.clip import Clip
from earmark.data.dataset import DataLike, Dataset, as_dataset
from earmark.data.doctor import tables
from earmark.data.doctor.findings import Finding, Names, by_severity
from earmark.system.progress import Progress

if TYPE_CHECKING:
    from earmark.data.doctor import copies
    from earmark.data.doctor.facts import Facts


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

        Which clips are compared depends on all that are there. Nothing is listened to again.
        """
        from earmark.data.doctor.recordings import is_heard

        facts = [f for f in self.facts if f.clip in clips and is_heard(f)]
        with ThreadPoolExecutor() as pool:
            pairs = _near(self.dataset, facts, pool) if self.near else []
        return tuple((pair.first, pair.second) for pair in pairs)


def examine(
    dataset: Dataset, progress: Progress | None = None, *, near: bool = True
) -> list[Finding]:
    """Return what :func:`doctor` does, of a dataset."""
    return inspect(dataset, progress, near=near).findings


def inspect(
    dataset: Dataset, progress: Progress | None = None, *, near: bool = True
) -> Examination:
    """Return the findings and what they were made of.

    In memory are, at a time, as many decoded clips as there are cores, and 1 kB for each second of
    audio.
    """
    from earmark.data.doctor import copies, recordings
    from earmark.data.doctor.facts import listen

    with ThreadPoolExecutor() as pool:
        facts = []
        for fact in pool.map(functools.partial(listen, options=dataset.audio), dataset.clips):
            facts.append(fact)
            if progress is not None:
                progress.advance(fact.seconds)
        findings = [*check_table(dataset), *recordings.check(facts, Names(dataset.clips))]
        sounding = [f for f in facts if recordings.is_heard(f)]
        clips, content = [f.clip for f in sounding], [f.content for f in sounding]
        findings += copies.check_exact(dataset, clips, content)
        pairs = _near(dataset, sounding, pool) if near else []
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
    embeddings: np.ndarray,
    fold: np.ndarray,
    seconds: float,
) -> list[Finding]:
    """Return the findings that training can make with little listening, worst first.

    ``content`` (N,) has one number for each distinct sound of ``clips``, ``embeddings`` are
    (N, E), ``fold`` (N,) is what each clip is tested in, ``seconds`` their mean length.
    Recordings and exact copies in several folds are left to ``splits``, which makes the folds.
    """
    from earmark.data.doctor import copies, likely_copies

    findings = copies.check_exact(dataset, clips, content.tolist())
    conflicts = [finding for finding in findings if finding.kind == "label conflict"]
    pairs = likely_copies.find(dataset, clips, content, embeddings, seconds)
    near = likely_copies.check(dataset, clips, pairs, fold)
    return by_severity([*conflicts, *near, *tables.check_classes(dataset)])


def _near(dataset: Dataset, facts: Sequence[Facts], pool: Executor) -> list[copies.Copied]:
    """Look for near-duplicates among the first clips of each content."""
    from earmark.data.doctor import copies, near_duplicates

    first = {f.content: f for f in reversed(facts)}
    distinct = [f for f in facts if first[f.content] is f and f.seconds >= near_duplicates.LEAST_S]
    sketches = [f.sketch for f in distinct if f.sketch is not None]
    clips = [f.clip for f in distinct]
    waveform = copies.waveforms(clips, dataset.audio)
    return copies.between(clips, near_duplicates.find(sketches, waveform, pool.map))
