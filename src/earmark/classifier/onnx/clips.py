"""The ONNX graph of a classifier of clips: a waveform in, scores and the known-score out."""

from __future__ import annotations

from typing import Any

from earmark.classifier.classifier import Classifier
from earmark.classifier.onnx.graph import Graph
from earmark.classifier.onnx.heads import add_calibration, add_features, add_head
from earmark.classifier.onnx.windows import add_backbone, add_rate
from earmark.backbones.base import Backbone

WAVEFORM, SCORES, KNOWN_SCORE = "waveform", "scores", "known_score"


def rate_of(networks: list[Backbone]) -> int:
    """Return the sample rate that a graph reads: the highest of its backbones."""
    return max(network.info.rate_hz for network in networks)


def build_clip_graph(classifier: Classifier, networks: list[Backbone]) -> Any:
    """Return the ONNX model: ``waveform`` (n,) -> ``scores`` (K,), ``known_score`` ().

    ``networks`` are those of the classifier, restricted to the layers in use.
    """
    graph, rate_hz = Graph(), rate_of(networks)
    moments = []
    for number, network in enumerate(networks):
        waveform = add_rate(graph, WAVEFORM, rate_hz, network.info.rate_hz)
        layers = add_backbone(graph, network, number, waveform)
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
