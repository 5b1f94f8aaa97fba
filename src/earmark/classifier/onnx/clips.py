"""Build the ONNX graph of a classifier: from a waveform to scores and a known-score."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from earmark.backbones.base import Backbone
from earmark.classifier.classifier import Classifier
from earmark.classifier.onnx.checks import Difference, compare, made_sounds, recorded_sounds
from earmark.classifier.onnx.graph import Graph
from earmark.classifier.onnx.heads import add_calibration, add_features, add_head
from earmark.classifier.onnx.metadata import describe
from earmark.classifier.onnx.names import KNOWN_SCORE, SCORES, WAVEFORM, rate_of
from earmark.classifier.onnx.resampling import add_rate
from earmark.classifier.onnx.windows import add_backbone, add_rounding
from earmark.classifier.recordings import Recordings


class ClipGraph:
    """The graph of a classifier of clips, whose networks are restricted to the layers in use."""

    def __init__(self, classifier: Classifier, networks: Sequence[Backbone]) -> None:
        self.classifier, self.networks = classifier, networks
        self.rate_hz = rate_of(networks)

    def build(self) -> Any:
        """Return the graph."""
        return build_clip_graph(self.classifier, self.networks)

    def describe(self) -> dict[str, Any]:
        """Return what the file's metadata says."""
        return describe(self.classifier, self.rate_hz)

    def compare(self, session: Any, verify: Recordings, most: float) -> list[Difference]:
        """Return the differences from ``predict`` on made and on given sounds."""
        sounds = itertools.chain(
            made_sounds(self.networks), recorded_sounds(self.classifier, verify, self.rate_hz)
        )
        return compare(session, self.classifier, self.networks, sounds, most)


def build_clip_graph(classifier: Classifier, networks: Sequence[Backbone]) -> Any:
    """Return the ONNX model: ``waveform`` (n,) -> ``scores`` (K,), ``known_score`` ().

    ``networks`` are those of the classifier, restricted to the layers in use.
    """
    graph, rate_hz = Graph(), rate_of(networks)
    moments = []
    for number, network in enumerate(networks):
        waveform = add_rate(graph, WAVEFORM, rate_hz, network.info.rate_hz)
        layers = add_backbone(graph, network, number, waveform)
        layers = add_rounding(graph, network.info, layers)
        names = [layer.name for layer in network.info.layers]
        moments.append(dict(zip(names, layers, strict=True)))
    infos = [network.info for network in networks]
    features = add_features(graph, infos, moments, classifier)
    logits, known = add_head(graph, classifier.head, features, len(classifier.labels))
    scores = add_calibration(graph, classifier.calibration, logits)
    graph.compute("Identity", scores, into=SCORES)
    graph.compute("Identity", known, into=KNOWN_SCORE)
    return graph.model(
        "earmark",
        [graph.value(WAVEFORM, "FLOAT", ["samples"])],
        [
            graph.value(SCORES, "FLOAT", [len(classifier.labels)]),
            graph.value(KNOWN_SCORE, "FLOAT", []),
        ],
    )
