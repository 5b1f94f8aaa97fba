"""Compute the missing parts of a folder on a cluster."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from earmark.apps.cluster.driver import Cluster, Driver
from earmark.data.parts import PartSummary
from earmark.embeddings.part import Part
from earmark.embeddings.part_folder import PartFolder
from earmark.embeddings.parts import PartsRun, missing_parts
from earmark.system.progress import Progress


def compute_on(
    cluster: Callable[[], AbstractContextManager[Cluster]],
    folder: PartFolder,
    parts: Iterable[Part],
    progress: Progress | None = None,
    *,
    retry_failed: bool = False,
) -> PartsRun:
    """Compute the parts whose files are missing or damaged on a ``cluster``; check all others.

    The cluster is opened only if a part is missing. The files have the bytes that
    :func:`~earmark.embeddings.parts.compute_parts` gives them on machines of the same kind; see
    there for ``retry_failed``.

    Raises
    ------
    EarmarkError
        The cluster does not answer, a worker is refused or cannot write, or workers die with the
        same part.
    """
    summaries: list[PartSummary] = []
    rest = missing_parts(
        folder, parts, summaries.append, retry_failed=retry_failed, progress=progress
    )
    first, computed = next(rest, None), 0
    if first is not None:
        with cluster() as opened:
            for part, answer in Driver(opened, itertools.chain([first], rest)).run():
                assert answer.summary is not None
                summaries.append(answer.summary)
                computed += answer.computed
                if progress is not None:
                    for _ in part.clips:
                        progress.advance(answer.summary.seconds / len(part.clips))
    return PartsRun.of(summaries, computed)
