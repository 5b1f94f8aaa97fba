"""The ONNX graph of a detector: one hop of a stream in, the scores of one window out.

What the graph remembers between two hops, its *state*, goes in and comes out: the last samples, the
number of hops, and the statistics of the last blocks of networks that compute each sample once (see
``embeddings/sliding.py``). A window can be scored when the samples after it, which the networks
read too, have come: ``delay_steps`` hops after the hop in which it begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from earmark.audio.decoder import Samples
from earmark.backbones.base import Backbone
from earmark.classifier.classifier import Classifier
from earmark.classifier.onnx.checks import Difference, recorded_sounds
from earmark.classifier.onnx.graph import Graph
from earmark.classifier.onnx.heads import add_calibration, add_features, add_head
from earmark.classifier.onnx.metadata import STREAM, describe
from earmark.classifier.onnx.names import KNOWN_SCORE, SCORES, rate_of
from earmark.classifier.onnx.networks import add_network
from earmark.classifier.onnx.resampling import add_resampling, resampling_kernel, whole_factor
from earmark.classifier.onnx.windows import (
    Moments,
    add_backbone,
    add_merge,
)
from earmark.classifier.recordings import Recordings
from earmark.detection.scores import ScoreStream, WindowScorer, WindowScores
from earmark.embeddings.sliding import Grid
from earmark.errors import ModelError, amount

BLOCK, SAMPLES, POSITION, WINDOW = "block", "samples", "position", "window"
NEXT = "next_"  # before the name of a state, for its new value
CHECKED_S = (0.01, 1.0, 7.3)  # seconds of noise that are compared


class _Reader(NamedTuple):
    """How one network reads the stream; lengths are in samples of the stream."""

    network: Backbone
    grid: Grid
    factor: int  # of the stream's rate above the network's
    kernel: np.ndarray | None  # that resamples the stream

    @property
    def reach(self) -> int:
        """Samples before and after a stretch that resampling reads."""
        return 0 if self.kernel is None else len(self.kernel) // 2

    @property
    def context(self) -> int:
        """Samples before and after a window that the network reads."""
        return self.network.info.context * self.factor

    @property
    def blocks(self) -> int | None:
        """Blocks of a window; None for a network that computes whole windows."""
        is_whole = self.network.block_step() is None
        return None if is_whole else self.grid.length // self.grid.hop

    @property
    def state(self) -> str:
        return f"blocks_{self.network.info.name}"

    @property
    def width(self) -> int:
        """Numbers of a block: means and variances of all layers."""
        return 2 * sum(layer.size for layer in self.network.info.layers)


class StreamGraph:
    """The graph of a detector, whose networks are restricted to the layers in use.

    Attributes
    ----------
    hop : int
        Samples of one block.
    delay_steps : int
        Blocks from the one in which a window begins to the one that gives its scores.
    """

    def __init__(self, classifier: Classifier, networks: Sequence[Backbone]) -> None:
        assert classifier.detector is not None
        self.classifier, self.networks = classifier, networks
        detector, self.rate_hz = classifier.detector, rate_of(networks)
        self._window_s, self._hop_s = detector.window_s, detector.hop_s
        self._readers = [self._reader(network) for network in networks]
        self.hop = self._readers[0].grid.hop * self._readers[0].factor
        if any(reader.grid.hop * reader.factor != self.hop for reader in self._readers):
            raise ModelError(
                f"a hop of {self._hop_s:g} s is not a whole number of samples at the rates of all"
                " backbones, so the detector cannot be exported. Train with one backbone."
            )
        ends = [r.grid.length * r.factor + r.context + r.reach for r in self._readers]
        self.delay_steps = max(math.ceil(end / self.hop) for end in ends) - 1
        self._length = max(self._start(reader) for reader in self._readers)

    def _reader(self, network: Backbone) -> _Reader:
        rate_hz = network.info.rate_hz
        grid = Grid.of(network, self._window_s, self._hop_s)
        factor = whole_factor(self.rate_hz, rate_hz)
        kernel = None if factor == 1 else resampling_kernel(self.rate_hz, rate_hz)
        return _Reader(network, grid, factor, kernel)

    def _start(self, reader: _Reader) -> int:
        """Return how long before the end of the samples a network's part begins."""
        start = (self.delay_steps + 1) * self.hop + reader.context + reader.reach
        return start - (0 if reader.blocks is None else (reader.blocks - 1) * self.hop)

    def states(self) -> dict[str, tuple[str, list[int]]]:
        """Return the type and shape of each state; each is zero at the start of a stream."""
        states: dict[str, tuple[str, list[int]]] = {
            SAMPLES: ("FLOAT", [self._length - self.hop]),
            POSITION: ("INT64", []),
        }
        for reader in self._readers:
            if reader.blocks is not None:
                states[reader.state] = ("FLOAT", [reader.blocks - 1, reader.width])
        return states

    def build(self) -> Any:
        """Return the graph."""
        graph, classifier = Graph(), self.classifier
        samples = graph.compute("Concat", SAMPLES, BLOCK, axis=0)
        graph.slice(samples, graph.constant([self.hop]), graph.constant([self._length]))
        graph.rename(f"{NEXT}{SAMPLES}")
        graph.compute("Add", POSITION, graph.constant(1), into=f"{NEXT}{POSITION}")
        graph.compute("Sub", POSITION, graph.constant(self.delay_steps), into=WINDOW)
        moments = []
        for number, reader in enumerate(self._readers):
            layers = self._add_network(graph, reader, number, samples)
            names = [layer.name for layer in reader.network.info.layers]
            moments.append(dict(zip(names, layers, strict=True)))
        infos, n_classes = [network.info for network in self.networks], len(classifier.labels)
        features = add_features(graph, infos, moments, classifier)
        logits, known = add_head(graph, classifier.head, features, n_classes)
        scores = add_calibration(graph, classifier.calibration, logits)
        graph.slice(scores, graph.constant([0]), graph.constant([n_classes]))
        graph.rename(SCORES)
        graph.compute("Identity", known, into=KNOWN_SCORE)
        inputs = [graph.value(BLOCK, "FLOAT", [self.hop])]
        outputs = [graph.value(SCORES, "FLOAT", [n_classes])]
        outputs += [graph.value(KNOWN_SCORE, "FLOAT", []), graph.value(WINDOW, "INT64", [])]
        for name, (dtype, shape) in self.states().items():
            inputs.append(graph.value(name, dtype, shape))
            outputs.append(graph.value(f"{NEXT}{name}", dtype, shape))
        return graph.model("earmark", inputs, outputs)

    def _add_network(
        self, graph: Graph, reader: _Reader, number: int, samples: str
    ) -> list[Moments]:
        """Return the moments of a network's layers over the window that is complete now."""
        first = self._length - self._start(reader)
        core = self.hop if reader.blocks else reader.grid.length * reader.factor
        end = first + core + 2 * (reader.context + reader.reach)
        x = graph.slice(samples, graph.constant([first]), graph.constant([end]))
        if reader.kernel is not None:
            x = self._resample(graph, reader, x, core)
        network = reader.network
        if reader.blocks is None:
            layers = add_backbone(graph, network, number, x, has_context=True)
            return _as_floats(graph, layers)
        graph.compute("Unsqueeze", x, graph.constant([0]), into=f"{number}/window")
        graph.constant([reader.grid.hop], name=f"{number}/valid")
        recorded, names = add_network(graph, network, number)
        graph.add_graph(recorded)
        return self._add_blocks(graph, reader, names)

    def _resample(self, graph: Graph, reader: _Reader, x: str, core: int) -> str:
        """Resample a part of the stream; before the stream there is silence, without ringing."""
        assert reader.kernel is not None
        count = (core + 2 * reader.context) // reader.factor
        y = add_resampling(graph, x, reader.kernel, reader.factor, graph.constant([count]))
        window = graph.compute("Mul", WINDOW, graph.constant(reader.grid.hop))
        ahead = 0 if reader.blocks is None else (reader.blocks - 1) * reader.grid.hop
        at = graph.constant(np.arange(count) + ahead - reader.network.info.context)
        is_in = graph.compute("GreaterOrEqual", graph.compute("Add", window, at), graph.constant(0))
        return graph.compute("Where", is_in, y, graph.floats(0))

    def _add_blocks(
        self, graph: Graph, reader: _Reader, names: Sequence[tuple[str, str, str]]
    ) -> list[Moments]:
        """Merge the newest block with those before it."""
        info, k = reader.network.info, reader.blocks or 1
        flat = graph.compute("Concat", *(n for _, mean, var in names for n in (mean, var)), axis=0)
        new = graph.compute("Unsqueeze", flat, graph.constant([0]))
        blocks = graph.compute("Concat", reader.state, new, axis=0)
        graph.slice(blocks, graph.constant([1]), graph.constant([k]))
        graph.rename(f"{NEXT}{reader.state}")
        sizes = [size for layer in info.layers for size in (layer.size, layer.size)]
        parts = [f"{number}_of_{reader.state}" for number in range(len(sizes))]
        graph.compute_several("Split", [blocks, graph.constant(sizes)], parts, axis=1)
        frames = graph.floats(np.ones((k, 1)))
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return _as_floats(graph, [add_merge(graph, info, frames, *pair) for pair in pairs])

    def describe(self) -> dict[str, Any]:
        """Return what the file's metadata says."""
        detector = self.classifier.detector
        assert detector is not None
        states = {name: shape for name, (_, shape) in self.states().items()}
        return {
            **describe(self.classifier, self.rate_hz),
            "kind": STREAM,
            "window_s": detector.window_s,
            "hop_s": detector.hop_s,
            "block_samples": self.hop,
            "delay_steps": self.delay_steps,
            "states": states,
            "rules": dict(detector.rules),
        }

    def compare(self, session: Any, verify: Recordings, most: float) -> list[Difference]:
        """Return the differences from ``classifier.stream`` on made and on given sounds."""
        scorer = WindowScorer(self.classifier, self.networks, self._window_s, self._hop_s)
        differences = []
        for name, x in self._sounds(verify):
            stream = ScoreStream(scorer, self.rate_hz)
            parts = [stream.feed(x), stream.finish()]
            expected = WindowScores(*map(np.concatenate, zip(*parts, strict=True)))
            got = run_stream(session, self.states(), self.hop, self.delay_steps, x, len(expected))
            n = self._n_equal(len(x), len(expected))
            away = np.abs(got[:n] - expected.scores[:n])
            differences.append(Difference(name, float(away.max(initial=0))))
        return differences

    def _n_equal(self, n: int, n_windows: int) -> int:
        """Return how many windows over n samples must have equal scores.

        Resampling rings after the last sample. A recording's ringing is cut off, but a graph does
        not know which sample is the last one.
        """
        if all(reader.kernel is None for reader in self._readers):
            return n_windows
        return max(0, min(n_windows, n // self.hop - self.delay_steps))

    def _sounds(self, verify: Recordings) -> Iterator[tuple[str, Samples]]:
        rng = np.random.default_rng(0)
        for seconds in CHECKED_S:
            n = round(seconds * self.rate_hz)
            noise = 0.1 * rng.standard_normal(n).astype(np.float32)
            yield f"noise of {amount(n, 'sample')}", noise
        yield "silence of 1 s", np.zeros(self.rate_hz, np.float32)
        yield from recorded_sounds(self.classifier, verify, self.rate_hz)


def _as_floats(graph: Graph, layers: Sequence[Moments]) -> list[Moments]:
    return [Moments(*(graph.cast(name, "FLOAT") for name in layer)) for layer in layers]


def run_stream(
    session: Any,
    states: Mapping[str, tuple[str, list[int]]],
    hop: int,
    delay_steps: int,
    x: Samples,
    n_windows: int,
) -> np.ndarray:
    """Return the scores (n, K) that a graph gives for the windows of samples (n,)."""
    types = {"FLOAT": np.float32, "INT64": np.int64}
    state = {name: np.zeros(shape, types[dtype]) for name, (dtype, shape) in states.items()}
    padded = np.pad(x, (0, max(0, (n_windows + delay_steps) * hop - len(x))))
    names = [SCORES, *(f"{NEXT}{name}" for name in states)]
    rows = []
    for step in range(n_windows + delay_steps):
        block = padded[step * hop : (step + 1) * hop]
        scores, *values = session.run(names, {BLOCK: block, **state})
        state = dict(zip(states, values, strict=True))
        rows.append(scores)
    return np.array(rows[delay_steps:])
