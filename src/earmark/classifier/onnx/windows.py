"""Cut a waveform into a backbone's windows in ONNX, run its network, and pool the statistics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from earmark.backbones.base import ROUNDING, Backbone
from earmark.backbones.info import BackboneInfo
from earmark.classifier.onnx.graph import Graph
from earmark.classifier.onnx.networks import add_network

MOST_HALF = 65_504.0  # the largest number of float16
LEAST_FRAMES = 1e-9  # as in ``embeddings/pooling.py``


class Moments(NamedTuple):
    """Names of a layer's means and standard deviations over a clip or window, (D,) each."""

    mean: str
    deviation: str


def add_preparation(graph: Graph, backbone: Backbone, waveform: str) -> str:
    """Normalise a clip as :meth:`Backbone.prepare` does, if the backbone does."""
    if not backbone.normalises:
        return waveform
    from earmark.backbones.networks.wav2vec2 import VARIANCE_FLOOR

    x = graph.cast(waveform, "DOUBLE")
    centred = graph.compute("Sub", x, graph.compute("ReduceMean", x, axes=[0]))
    variance = graph.compute("ReduceMean", graph.square(centred), axes=[0])
    floored = graph.compute("Add", variance, graph.doubles([VARIANCE_FLOOR]))
    return graph.cast(graph.compute("Div", centred, graph.compute("Sqrt", floored)), "FLOAT")


def add_backbone(
    graph: Graph, backbone: Backbone, number: int, waveform: str, has_context: bool = False
) -> list[Moments]:
    """Add a backbone that reads ``waveform`` (n,) at its rate; return the moments of its layers.

    The windows are those of ``audio/windows.py``. If ``has_context``, the waveform has the samples
    before and after the clip, ``info.context`` of each; else there is silence.
    """
    info = backbone.info
    one = graph.constant([1])
    prepared = add_preparation(graph, backbone, waveform)
    samples = graph.compute("Shape", prepared)
    if has_context:
        n = graph.compute("Sub", samples, graph.constant([2 * info.context]))
    else:
        n = graph.compute("Max", samples, one)
    longer = graph.compute("Sub", n, graph.constant([info.window - info.hop]))
    count = graph.compute("Max", _ceiling(graph, longer, info.hop), one)
    core = graph.constant([info.window])
    if info.step:
        shortest = graph.compute("Mul", _ceiling(graph, n, info.step), graph.constant([info.step]))
        core = graph.compute("Where", graph.compute("Equal", count, one), shortest, core)
    last = graph.compute("Mul", graph.compute("Sub", count, one), graph.constant([info.hop]))
    end = graph.compute("Add", last, core)
    end = graph.compute("Max", end, graph.constant([backbone.least_samples]))
    if has_context:
        pads = [graph.constant([0]), graph.compute("Sub", end, n)]
    else:
        context = graph.constant([info.context])
        pads = [context, graph.compute("Sub", graph.compute("Add", end, context), samples)]
    padded = graph.compute("Pad", prepared, graph.compute("Concat", *pads, axis=0))
    turns = graph.compute("Squeeze", count, graph.constant([0]))
    return [
        add_merge(graph, info, *names)
        for names in _add_loop(graph, backbone, number, padded, turns, _Cut(n, core))
    ]


class _Cut(NamedTuple):
    """Names of a clip's length and of the length of its windows' cores, (1,) each."""

    n: str
    core: str


def _add_loop(
    graph: Graph, backbone: Backbone, number: int, padded: str, turns: str, cut: _Cut
) -> list[tuple[str, str, str]]:
    """Run a network over the windows of a padded clip.

    Returns the names of frames (W, 1), means and variances (W, D) of each layer.
    """
    info = backbone.info
    network, names = add_network(graph, backbone, number)
    body = Graph(f"{number}/body_")
    start = body.compute("Mul", body.column(f"{number}/turn"), body.constant([info.hop]))
    real = body.compute("Sub", cut.n, start)
    valid = body.compute("Min", cut.core, real, into=f"{number}/valid")
    if backbone.least_samples:
        length = body.compute("Max", valid, body.constant([backbone.least_samples]))
    else:
        length = body.compute("Add", cut.core, body.constant([2 * info.context]))
    window = body.slice(padded, start, body.compute("Add", start, length))
    body.compute("Unsqueeze", window, body.constant([0]), into=f"{number}/window")
    body.add_graph(network)
    body.compute("Identity", f"{number}/goes", into=f"{number}/goes_on")
    outputs = [body.value(f"{number}/goes_on", "BOOL", [])]
    for layer, (frames, mean, var) in zip(info.layers, names, strict=True):
        outputs.append(body.value(frames, "FLOAT", [1]))
        outputs += [body.value(name, "FLOAT", [layer.size]) for name in (mean, var)]
    inputs = [body.value(f"{number}/turn", "INT64", []), body.value(f"{number}/goes", "BOOL", [])]
    joined = [(f"{a}_of_windows", f"{b}_of_windows", f"{c}_of_windows") for a, b, c in names]
    graph.compute_several(
        "Loop",
        [turns, graph.constant(True, np.bool_, f"{number}/always")],
        [name for layer in joined for name in layer],
        body=body.proto("window", inputs, outputs),
    )
    return joined


def _ceiling(graph: Graph, n: str, step: int) -> str:
    """Return n / step, rounded up; for a negative n, rounded towards zero."""
    return graph.compute(
        "Div", graph.compute("Add", n, graph.constant([step - 1])), graph.constant([step])
    )


def add_rounding(graph: Graph, info: BackboneInfo, moments: list[Moments]) -> list[Moments]:
    """Round the moments of a clip's layers as the store does: to float16, unless it overflows."""
    flat = graph.compute("Concat", *(name for layer in moments for name in layer), axis=0)
    half = graph.cast(graph.cast(flat, "FLOAT16"), "FLOAT")
    peak = graph.compute("ReduceMax", graph.compute("Abs", half), keepdims=0)
    fits = graph.compute("LessOrEqual", peak, graph.floats(MOST_HALF))
    stored = graph.compute("Where", fits, half, graph.cast(flat, "FLOAT"))
    sizes = [size for layer in info.layers for size in (layer.size, layer.size)]
    names = [f"{name}_stored" for layer in moments for name in layer]
    graph.compute_several("Split", [stored, graph.constant(sizes)], names, axis=0)
    return [Moments(*names[i : i + 2]) for i in range(0, len(names), 2)]


def add_merge(graph: Graph, info: BackboneInfo, frames: str, mean: str, var: str) -> Moments:
    """Combine the moments of W windows, weighted by frames (Chan et al. 1979): (D,) float64."""
    frames, mean, var = (graph.cast(name, "DOUBLE") for name in (frames, mean, var))
    all_frames = graph.compute("Max", graph.total(frames), graph.doubles([[LEAST_FRAMES]]))
    share = graph.compute("Div", frames, all_frames)  # (W, 1)
    total = graph.total(graph.compute("Mul", share, mean), keepdims=0)
    away = graph.square(graph.compute("Sub", mean, total))
    spread = graph.compute("Mul", share, graph.compute("Add", var, away))
    deviation = graph.compute("Sqrt", graph.total(spread, keepdims=0))
    if info.drops_rounding:
        least = graph.compute("Mul", graph.compute("Abs", total), graph.doubles(ROUNDING))
        is_rounding = graph.compute("LessOrEqual", deviation, least)
        deviation = graph.compute("Where", is_rounding, graph.doubles(0), deviation)
    return Moments(total, deviation)
