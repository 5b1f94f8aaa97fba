"""What is wrong with a dataset, found before any training.

``examine`` decodes every clip once (``facts``), and checks the table (``tables``), the recordings
(``recordings``), and which of them hold the same sound (``copies``, ``near_duplicates``).
docs/doctor.md lists the findings, their thresholds and how often they are right.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.doctor import copies, near_duplicates, recordings, tables
from earmark.data.doctor.facts import Facts, listen
from earmark.data.doctor.findings import Finding, Item, Names, by_severity
from earmark.system.progress import Progress

__all__ = ["Finding", "Item", "check_table", "examine"]


def examine(
    dataset: Dataset, progress: Progress | None = None, *, near: bool = True
) -> list[Finding]:
    """Listen to every clip and return the findings, worst first; none for a clean dataset.

    Without ``near``, near-duplicates are not looked for: the only part that takes more than one
    pass over the data. Memory is for as many clips, decoded, as there are cores, and 1 kB for
    each second of audio.
    """
    with ThreadPoolExecutor() as pool:
        facts = []
        for heard in pool.map(functools.partial(listen, options=dataset.audio), dataset.clips):
            facts.append(heard)
            if progress is not None:
                progress.advance(heard.seconds)
        names = Names(dataset.clips)
        findings = [*check_table(dataset), *recordings.check(facts, names)]
        sounding = [f for f in facts if recordings.is_heard(f)]
        clips, content = [f.clip for f in sounding], [f.content for f in sounding]
        findings += copies.check_exact(dataset, clips, content)
        if near:
            findings += _near(dataset, sounding, pool)
    return by_severity(findings)


def check_table(dataset: Dataset) -> Iterator[Finding]:
    """Yield what the labels, groups and folds alone tell, without listening."""
    yield from tables.check_classes(dataset)
    yield from tables.check_parting(dataset)


def before_training(
    dataset: Dataset, clips: tuple[Clip, ...], content: np.ndarray
) -> list[Finding]:
    """Return what ``train`` tells by itself, worst first: what it knows without listening again.

    ``content`` (N,) has one number for each distinct sound of ``clips``. What parts recordings
    and copies is left to ``splits``, which knows the folds that were made.
    """
    conflicts = [
        finding
        for finding in copies.check_exact(dataset, clips, content.tolist())
        if finding.kind == "label conflict"
    ]
    return by_severity([*conflicts, *tables.check_classes(dataset)])


def _near(dataset: Dataset, facts: list[Facts], pool: ThreadPoolExecutor) -> Iterator[Finding]:
    """Look for near-duplicates among the first clips of each content."""
    first = {f.content: f for f in reversed(facts)}
    least_s = near_duplicates.LEAST_OVERLAP / near_duplicates.RATE_HZ
    distinct = [f for f in facts if first[f.content] is f and f.seconds >= least_s]
    clips = [f.clip for f in distinct]
    sketches = [f.sketch for f in distinct if f.sketch is not None]
    seconds = sum(f.seconds for f in distinct) / max(1, len(distinct))
    waveform = copies.waveforms(clips, seconds, dataset.audio)
    pairs = near_duplicates.find(sketches, waveform, pool.map)
    return copies.check_near(dataset, clips, pairs)
