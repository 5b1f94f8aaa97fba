"""Embeddings of the windows of all scenes, for several window lengths, from one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from earmark.audio.decoder import Samples
from earmark.audio.resampling import resample
from earmark.backbones.base import Backbone
from earmark.data.event import Event, RecordingEvents
from earmark.embeddings.computing import compute_pool
from earmark.embeddings.sliding import Pass, SlidingWindows, Stats, embedding_of, merge_blocks
from earmark.embeddings.store import as_stored
from earmark.system.progress import Step
from earmark.system.threads import available_cores, map_ahead
from earmark.training.scenes import Scene

COVERED = 0.6  # a window or an event is mostly covered by the other: a positive
APART = 0.02  # a window that an event covers less than this is background


@dataclass(frozen=True)
class SceneTruth:
    """What is known of a scene after its samples are forgotten."""

    recording: RecordingEvents
    fold: int
    is_made: bool


@dataclass
class SceneWindows:
    """The windows of scenes by every network, for each of the ``lengths`` (seconds).

    Networks with statistics per block keep blocks, and merge them when a length is asked for. The
    others compute every length in the same pass. All is kept as float16, or as float32 where
    numbers are too large for that.
    """

    networks: Sequence[Backbone]
    lengths: Sequence[float]
    hop_s: float
    scenes: list[SceneTruth] = field(default_factory=list)
    _kept: dict[tuple[int, float], list[np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        scenes: Iterable[Scene],
        networks: Sequence[Backbone],
        lengths: Sequence[float],
        hop_s: float,
        step: Step,
    ) -> SceneWindows:
        """Run the networks over ``scenes``; ``step`` is called after each."""
        own = cls(networks, lengths, hop_s)
        threads = available_cores()
        with compute_pool(threads) as pool:
            for key, stats in map_ahead(pool, own._compute, own._jobs(scenes), 2 * threads):
                own._keep(key, stats)
                if key == own._keys[-1]:
                    step()
        return own

    @property
    def _keys(self) -> list[tuple[int, float]]:
        """Each network with the lengths that it computes; blocks have the length of a hop."""
        return [
            (k, length)
            for k, network in enumerate(self.networks)
            for length in ([self.hop_s] if network.block_step() else self.lengths)
        ]

    def _jobs(self, scenes: Iterable[Scene]) -> Iterator[tuple[tuple[int, float], Samples]]:
        least_s = max(self.lengths)
        for scene in scenes:
            seconds = len(scene.samples) / scene.rate_hz
            recording = RecordingEvents(scene.name, seconds, scene.events, scene.regions)
            self.scenes.append(SceneTruth(recording, scene.fold, scene.is_made))
            missing = max(0, round(least_s * scene.rate_hz) - len(scene.samples))
            padded = np.pad(scene.samples, (0, missing))
            at_rate = {
                hz: resample(padded, scene.rate_hz, hz)
                for hz in {network.info.rate_hz for network in self.networks}
            }
            for key in self._keys:
                yield key, at_rate[self.networks[key[0]].info.rate_hz]

    def _compute(
        self, job: tuple[tuple[int, float], Samples]
    ) -> tuple[tuple[int, float], list[Stats]]:
        key, samples = job
        windows = SlidingWindows(self.networks[key[0]], key[1], self.hop_s)
        passes: list[Pass] = [*windows.cut(samples), *windows.finish()]
        return key, [windows.compute(piece) for piece in passes]

    def _keep(self, key: tuple[int, float], stats: Sequence[Stats]) -> None:
        network = self.networks[key[0]]
        matrix = np.concatenate([embedding_of(network.info, part) for part in stats])
        self._kept.setdefault(key, []).append(as_stored(matrix))

    @property
    def labels(self) -> set[str]:
        """The classes of the events."""
        return {event.label for scene in self.scenes for event in scene.recording.events}

    def some(self, most: int) -> SceneWindows:
        """Return at most about ``most`` scenes, an even share of each fold."""
        places: list[int] = []
        folds = sorted({scene.fold for scene in self.scenes})
        for fold in folds:
            own = [n for n, scene in enumerate(self.scenes) if scene.fold == fold]
            places += own[:: max(1, -(-len(own) * len(folds) // most))]
        places.sort()
        kept = {key: [parts[n] for n in places] for key, parts in self._kept.items()}
        scenes = [self.scenes[n] for n in places]
        return SceneWindows(self.networks, self.lengths, self.hop_s, scenes, kept)

    def matrices(self, length: float) -> list[np.ndarray]:
        """Return each network's embeddings (n, E) of all windows of a length, scene after scene."""
        counts = self.counts(length)
        matrices = []
        for k, network in enumerate(self.networks):
            if network.block_step() is None:
                parts = self._kept[k, length]
            else:
                n_blocks = round(length / self.hop_s)
                parts = [merge_blocks(network.info, x, n_blocks) for x in self._kept[k, self.hop_s]]
            matrices.append(np.concatenate([x[:n] for x, n in zip(parts, counts, strict=True)]))
        return matrices

    def counts(self, length: float) -> list[int]:
        """Return the number of windows of each scene."""
        n_blocks, numbers = round(length / self.hop_s), []
        for k, network in enumerate(self.networks):
            if network.block_step() is None:
                numbers.append([len(x) for x in self._kept[k, length]])
            else:
                numbers.append([max(1, len(x) - n_blocks + 1) for x in self._kept[k, self.hop_s]])
        return [int(n) for n in np.min(numbers, 0)]

    def onehot(self, length: float, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes (n, K) of all windows of a length, and whether each is usable (n,).

        A window has a class if an event of it covers most of the window, or the window most of the
        event. It is usable if every event covers it mostly or hardly at all. A window between two
        events of a class that covers neither mostly is background: it tells them apart.
        """
        parts = [
            _classes(scene.recording, n, length, self.hop_s, labels)
            for scene, n in zip(self.scenes, self.counts(length), strict=True)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _joined(events: Sequence[Event]) -> list[Event]:
    """Return the events in order, with those of a class that overlap as one."""
    joined, last = list[Event](), dict[str, int]()
    for event in sorted(events):
        k = last.get(event.label)
        if k is not None and event.start < joined[k].end:
            joined[k] = replace(joined[k], end=max(joined[k].end, event.end))
        else:
            last[event.label] = len(joined)
            joined.append(event)
    return joined


def _classes(
    truth: RecordingEvents, n: int, length: float, hop_s: float, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    number = {label: k for k, label in enumerate(labels)}
    starts = np.arange(n) * hop_s
    has, usable = np.zeros((n, len(labels)), bool), np.ones(n, bool)
    partly = np.zeros((n, len(labels)), np.int8)
    for event in _joined(truth.events):
        first = max(0, int((event.start - length) / hop_s))
        rows = slice(first, int(event.end / hop_s) + 2)
        begin = starts[rows]
        overlap = np.minimum(begin + length, event.end) - np.maximum(begin, event.start)
        mostly = overlap >= COVERED * min(length, event.seconds)
        has[rows, number[event.label]] |= mostly
        hardly = overlap <= APART * length
        partly[rows, number[event.label]] += ~mostly & ~hardly
        usable[rows] &= mostly | hardly
    usable |= (partly >= 2).any(1) & ~(partly == 1).any(1) & ~has.any(1)
    if truth.regions is not None:
        inside = np.zeros(n, bool)
        for begin_s, end_s in truth.regions:
            inside |= (starts >= begin_s) & (starts + length <= end_s)
        usable &= inside
    return has, usable
