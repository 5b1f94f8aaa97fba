"""A plan: what it would take to embed clips, from a sample of them. Nothing is written."""

from __future__ import annotations

import collections
import itertools
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scipy.stats import t as student

from earmark.audio.options import AS_IT_IS, AudioOptions
from earmark.backbones import engines, registry, weights
from earmark.backbones.base import Backbone
from earmark.data.clip import Clip
from earmark.data.survey import Survey
from earmark.embeddings import shares
from earmark.embeddings.effort import KEPT, Effort, measure
from earmark.embeddings.embed_work import EmbedWork
from earmark.embeddings.part import FINGERPRINT_DIGITS, Part, PartSettings
from earmark.embeddings.part_files import size_of
from earmark.embeddings.readers import FETCHERS
from earmark.embeddings.stages import Embedded, Failure, Result
from earmark.errors import BackboneError, DataError, WeightsError

SAMPLE_S = 60.0  # of the clock; then no further clip of the sample is begun
OTHER_S, OTHER_LONG_S = 4.0, 20.0  # the same for each other backbone, and of a long clip


@dataclass(frozen=True)
class Range:
    """An estimate with its 95 % interval; ``high`` is None if one clip cannot tell it."""

    value: float
    low: float
    high: float | None

    def scaled(self, factor: float) -> Range:
        """Return the estimate of a quantity that is proportional."""
        high = None if self.high is None else self.high * factor
        return Range(self.value * factor, self.low * factor, high)


@dataclass(frozen=True)
class Work:
    """What one backbone would take for all clips.

    Attributes
    ----------
    backbone, engine : str
        The network, and what computes it.
    is_on_gpu : bool
        Whether it ran on a GPU: ``core_s`` then counts hours of a GPU with its cores.
    fetch_s, read_s, network_s, write_s : float
        Core seconds of one clip: fetching it from elsewhere, hashing and decoding it, the network,
        and its row in the file of a part.
    wait_s : float
        Seconds of one clip by the clock, in which only a server works.
    core_s : Range
        Core seconds of all clips.
    bytes : int
        The size of the files of all parts.
    """

    backbone: str
    engine: str
    is_on_gpu: bool
    fetch_s: float
    read_s: float
    network_s: float
    write_s: float
    wait_s: float
    core_s: Range
    bytes: int

    @property
    def clip_s(self) -> float:
        """Core seconds of one clip."""
        return self.fetch_s + self.read_s + self.network_s + self.write_s


@dataclass(frozen=True)
class Plan:
    """What it would take to embed all clips.

    Attributes
    ----------
    n_clips, n_parts : int
        All clips, and the files they would become.
    sample, failures : int
        Clips that were embedded for this plan, and those of them that could not be read.
    seconds : Range
        Seconds of audio. The interval is that of the sample; stretches with an end are exact.
    start_s : float
        Core seconds until a process is ready.
    work : Work
        For the backbone.
    others : tuple of Work
        For other backbones whose weights are here, the cheapest first.
    missing : tuple of str
        Backbones whose weights are not here, so nothing is known of them.
    """

    n_clips: int
    n_parts: int
    sample: int
    failures: int
    seconds: Range
    start_s: float
    work: Work
    others: tuple[Work, ...]
    missing: tuple[str, ...]

    def wall_s(self, cores: int) -> float:
        """Return the seconds by the clock on one machine like this, with ``cores`` cores."""
        waiting_s = self.n_clips * self.work.wait_s / FETCHERS
        computing_s = self.work.core_s.value / (1 if self.work.is_on_gpu else cores)
        return self.start_s + max(computing_s, waiting_s)


def make_plan(
    survey: Survey,
    backbone: Backbone,
    root: Path,
    *,
    layers: str = "all",
    options: AudioOptions = AS_IT_IS,
    start_s: float = 0.0,
    limit_s: float = SAMPLE_S,
    others: Iterable[Backbone] = (),
    missing: Sequence[str] = (),
) -> Plan:
    """Embed a sample of clips and say what all would take; nothing is written.

    Parameters
    ----------
    survey : Survey
        The number of clips, what their rows say of lengths, and the sample.
    backbone : Backbone
        The network.
    root : Path
        The folder that paths of recordings start from.
    layers : str
        The layers that would be written: 'last', 'all' or 'NAME,NAME'.
    options : AudioOptions
        How recordings are read.
    start_s : float
        Core seconds until this process was ready.
    limit_s : float
        Seconds after which no further clip is begun.
    others : iterable of Backbone
        Networks to compare, with fewer clips each.
    missing : sequence of str
        Names of networks that cannot be compared.

    Raises
    ------
    DataError
        No recording of the sample can be read.
    """
    effort = measure(survey.sample, backbone, options, limit_s)
    failed = [result for result in effort.results if isinstance(result, Failure)]
    if len(failed) == len(effort.results):
        raise DataError(
            f"none of {len(failed):,} recordings of the sample could be read, first"
            f" {failed[0].path}: {failed[0].reason} Run `earmark doctor` on the data."
        )
    seconds = _seconds_of_all(survey, effort)
    work = _work(survey, effort, seconds, backbone, layers, options, root)
    clips = [result.clip for result in effort.results[:KEPT] if isinstance(result, Embedded)]
    rest = [
        _add_fetching(_compared(survey, clips, seconds, other, options, root), work)
        for other in (others if clips else ())
    ]
    return Plan(
        survey.n_clips,
        math.ceil(survey.n_clips / shares.PART_CLIPS),
        len(effort.results),
        len(failed),
        seconds,
        start_s,
        work,
        tuple(sorted(rest, key=lambda other: other.core_s.value)),
        tuple(missing),
    )


def _seconds_of_all(survey: Survey, effort: Effort) -> Range:
    """Return the seconds of audio of all clips; only those without an end are estimated."""
    rest = survey.n_clips - survey.n_timed
    runs = _open_s(survey, effort)
    n, measured_s = sum(map(len, runs)), math.fsum(itertools.chain(*runs))
    if not rest or not n:
        return Range(survey.timed_s, survey.timed_s, None if rest else survey.timed_s)
    value, least = survey.timed_s + rest * measured_s / n, survey.timed_s + measured_s
    if n >= rest:
        return Range(value, value, value)
    if len(runs) == 1:
        return Range(value, least, None)
    excess = [math.fsum(run) - len(run) * measured_s / n for run in runs]  # of a run
    error = statistics.stdev(excess) * math.sqrt(len(runs)) / n * math.sqrt(1 - n / rest)
    half = float(student.ppf(0.975, len(runs) - 1)) * rest * error
    return Range(value, max(least, value - half), value + half)


def _open_s(survey: Survey, effort: Effort) -> list[list[float]]:
    """Return the seconds of the clips without an end, for each run of the sample."""
    place = {clip.key: row // survey.run for row, clip in enumerate(survey.sample)}
    runs = collections.defaultdict[int, list[float]](list)
    for result, seconds in zip(effort.results, effort.seconds, strict=True):
        if result.clip.end is None:
            runs[place[result.clip.key]].append(seconds)
    return list(runs.values())


def _work(
    survey: Survey,
    effort: Effort,
    seconds: Range,
    backbone: Backbone,
    layers: str,
    options: AudioOptions,
    root: Path,
) -> Work:
    settings = PartSettings.of(backbone, options, layers)
    n = len(effort.results)
    work = EmbedWork(settings, backbone, root)
    _size(effort.results[:1], work)  # the first file takes longer
    begin_s = time.process_time()
    size, fixed = _sizes(effort.results, work)
    write_s = (time.process_time() - begin_s) * n / (n + n // 2)  # it made two files
    n_parts = math.ceil(survey.n_clips / shares.PART_CLIPS)
    is_on_gpu = backbone.device.type != "cpu"
    cores_s = effort.fetch_s + effort.read_s + write_s
    sample_s = max(cores_s, effort.network_s) if is_on_gpu else cores_s + effort.network_s
    return Work(
        backbone.info.name,
        engines.engine_name(backbone),
        is_on_gpu,
        effort.fetch_s / n,
        effort.read_s / n,
        effort.network_s / n,
        write_s / n,
        effort.wait_s / n,
        seconds.scaled(sample_s / max(1e-9, sum(effort.seconds))),
        round(survey.n_clips * size + n_parts * fixed),
    )


def _sizes(results: Sequence[Result], work: EmbedWork) -> tuple[float, float]:
    """Return the bytes of a clip in the file of a part, and those of the file itself."""
    n, half = len(results), len(results) // 2
    whole = _size(results, work)
    if not half:
        return whole, 0.0
    size = (whole - _size(results[:half], work)) / (n - half)
    return size, max(0.0, whole - n * size)


def _size(results: Sequence[Result], work: EmbedWork) -> int:
    part = Part(0, (), "0" * FINGERPRINT_DIGITS)
    return size_of(part, work.table(results), work.settings.to_json())


def _compared(
    survey: Survey,
    clips: Sequence[Clip],
    seconds: Range,
    backbone: Backbone,
    options: AudioOptions,
    root: Path,
) -> Work:
    effort = measure(clips, backbone, options, OTHER_S, OTHER_LONG_S)
    return _work(survey, effort, seconds, backbone, "all", options, root)


def _add_fetching(other: Work, work: Work) -> Work:
    """Return what another backbone takes, with the fetching that was done once for all."""
    share = work.fetch_s / max(1e-12, work.clip_s)
    more = work.core_s.scaled(share)
    high = None if other.core_s.high is None else other.core_s.high + (more.high or 0.0)
    core_s = Range(other.core_s.value + more.value, other.core_s.low + more.low, high)
    return replace(other, fetch_s=work.fetch_s, wait_s=work.wait_s, core_s=core_s)


def at_hand(name: str) -> tuple[list[str], list[str]]:
    """Return the other backbones whose weights are on this machine, and those that are missing."""
    here, missing = list[str](), list[str]()
    for other in registry.list_backbones():
        if other == name:
            continue
        try:
            is_here = weights.are_at_hand(registry.weight_files(other))
        except (BackboneError, WeightsError):
            is_here = False
        (here if is_here else missing).append(other)
    return here, missing


def load_other(name: str, precision: str, engine: str) -> Backbone:
    """Load a backbone to compare; 'auto' takes an engine that was timed earlier, or PyTorch."""
    if engine == "auto":
        info, cls = registry.entry(name)
        engine = "auto" if engines.choice_of(cls, info, precision) else "torch"
    return registry.load_backbone(name, precision, engine)
