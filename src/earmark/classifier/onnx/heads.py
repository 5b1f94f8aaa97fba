"""Features, head and calibration of a classifier in ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from earmark.backbones.info import BackboneInfo
from earmark.classifier.calibration import Calibration
from earmark.classifier.classifier import Classifier
from earmark.classifier.features import Statistic, list_statistics
from earmark.classifier.head import Head
from earmark.classifier.onnx.graph import Graph
from earmark.classifier.onnx.windows import Moments


def add_features(
    graph: Graph,
    infos: Sequence[BackboneInfo],
    moments: Sequence[Mapping[str, Moments]],
    classifier: Classifier,
) -> str:
    """Return the features (D,) of ``classifier``; ``moments`` has each backbone's layers."""
    columns = []
    for statistic in list_statistics(infos, classifier.features):
        info = infos[statistic.backbone]
        layers = [
            _layer_value(graph, info, statistic, name, moments[statistic.backbone][name])
            for name in statistic.layers
        ]
        value = graph.compute("Sum", *layers) if len(layers) > 1 else layers[0]
        if len(layers) > 1:
            value = graph.compute("Div", value, graph.floats(len(layers)))
        columns.append(value if info.is_logarithmic else _signed_root(graph, value))
    return graph.compute("Concat", *columns, axis=0) if len(columns) > 1 else columns[0]


def _layer_value(
    graph: Graph, info: BackboneInfo, statistic: Statistic, name: str, moments: Moments
) -> str:
    """Return one layer's value of a statistic, as ``statistic_values`` does."""
    layer = info.layer(name)
    if statistic.has_bands or layer.bands == 1:
        return moments.deviation if statistic.is_spread else moments.mean
    shape = graph.constant([layer.channels, layer.bands])
    mean = graph.compute("Reshape", moments.mean, shape)
    channel_mean = graph.mean(mean, 1)
    if not statistic.is_spread:
        return channel_mean
    deviation = graph.compute("Reshape", moments.deviation, shape)
    squares = graph.compute("Add", graph.square(deviation), graph.square(mean))
    var = graph.compute("Sub", graph.mean(squares, 1), graph.square(channel_mean))
    return graph.compute("Sqrt", graph.compute("Max", var, graph.floats(0)))


def _signed_root(graph: Graph, x: str) -> str:
    root = graph.compute("Sqrt", graph.compute("Abs", x))
    return graph.compute("Mul", graph.compute("Sign", x), root)


def add_head(graph: Graph, head: Head, features: str, n_classes: int) -> tuple[str, str]:
    """Return the logits (K,) and the known-score () of features (D,).

    The known-score is the highest of the first ``n_classes`` logits of shortened features.
    """
    mean, scale = (graph.floats(head.tensors[name]) for name in ("mean", "scale"))
    x = graph.compute("Div", graph.compute("Sub", features, mean), scale)
    length = graph.compute("ReduceL2", x, axes=[0], keepdims=1)
    near = graph.compute("Div", x, graph.compute("Max", length, graph.floats([1])))
    rows = [graph.compute("Unsqueeze", value, graph.constant([0])) for value in (x, near)]
    logits = _layers(graph, head, graph.compute("Concat", *rows, axis=0))  # (2, K)
    zero, one, two = (graph.constant([n]) for n in (0, 1, 2))
    known = graph.slice(graph.slice(logits, one, two), zero, graph.constant([n_classes]), axis=1)
    flat = graph.compute("Reshape", graph.slice(logits, zero, one), graph.constant([-1]))
    return flat, graph.compute("ReduceMax", known, keepdims=0)


def _layers(graph: Graph, head: Head, x: str) -> str:
    tensors = head.tensors
    if head.kind != "mlp":
        return _linear(graph, x, tensors["weight"], tensors["bias"])
    hidden = _linear(graph, x, tensors["hidden.weight"], tensors["hidden.bias"])
    rectified = graph.compute("Relu", hidden)
    return _linear(graph, rectified, tensors["output.weight"], tensors["output.bias"])


def _linear(graph: Graph, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
    return graph.compute("Gemm", x, graph.floats(weight), graph.floats(bias), transB=1)


def add_calibration(graph: Graph, calibration: Calibration, logits: str) -> str:
    """Return the scores of logits, with the classes on the last axis."""
    centred = graph.compute("Sub", logits, graph.floats(calibration.offset))
    scaled = graph.compute("Div", centred, graph.floats(calibration.temperature))
    if calibration.is_single:
        return graph.compute("Softmax", scaled, axis=-1)
    return graph.compute("Sigmoid", scaled)
