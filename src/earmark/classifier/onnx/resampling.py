"""Resample a waveform by a whole factor in ONNX, with the impulse response of soxr."""

from __future__ import annotations

import numpy as np

from earmark.classifier.onnx.graph import Graph
from earmark.errors import ModelError

PHASES = 64  # samples that are computed together


def whole_factor(from_hz: int, to_hz: int) -> int:
    """Return ``from_hz / to_hz``; ModelError if it is not a whole number."""
    if from_hz % to_hz:
        raise ModelError(
            f"its backbones read {from_hz} and {to_hz} Hz, and a graph resamples by whole factors"
            " only. Train with backbones of equal rates, or export a classifier of one backbone."
        )
    return from_hz // to_hz


def add_rate(graph: Graph, waveform: str, from_hz: int, to_hz: int) -> str:
    """Resample ``waveform`` (n,) by a whole factor, as soxr does in ``audio/resampling.py``."""
    factor = whole_factor(from_hz, to_hz)
    if factor == 1:
        return waveform
    kernel = resampling_kernel(from_hz, to_hz)
    reach = graph.constant([len(kernel) // 2])
    n = graph.compute("Shape", waveform)
    padded = graph.compute("Pad", waveform, graph.compute("Concat", reach, reach, axis=0))
    rounded = graph.compute("Add", n, graph.constant([factor // 2]))
    count = graph.compute("Div", rounded, graph.constant([factor]))
    return add_resampling(graph, padded, kernel, factor, count)


def add_resampling(graph: Graph, x: str, kernel: np.ndarray, factor: int, count: str) -> str:
    """Return the first ``count`` (1,) sums of ``x`` (n,) times a kernel, ``factor`` samples apart.

    ``PHASES`` consecutive sums are channels of one convolution: with one channel, onnxruntime would
    copy every sample a thousand times.
    """
    apart = (PHASES - 1) * factor
    padded = graph.floats(np.pad(kernel, apart))
    starts = graph.constant(apart - factor * np.arange(PHASES)[:, None])
    numbers = [graph.constant(n) for n in (0, len(kernel) + apart, 1)]
    at = graph.compute("Add", starts, graph.compute("Range", *numbers))
    bank = graph.compute("Unsqueeze", graph.compute("Gather", padded, at), graph.constant([1]))
    longer = graph.compute("Pad", x, graph.constant([0, PHASES * factor]))
    rows = graph.compute("Reshape", longer, graph.constant([1, 1, -1]))
    y = graph.compute("Conv", rows, bank, strides=[PHASES * factor])  # (1, PHASES, T)
    flat = graph.compute(
        "Reshape", graph.compute("Transpose", y, perm=[0, 2, 1]), graph.constant([-1])
    )
    return graph.slice(flat, graph.constant([0]), count)


def resampling_kernel(from_hz: int, to_hz: int) -> np.ndarray:
    """Return soxr's impulse response for a whole factor, (2 * reach + 1,), to be correlated."""
    import soxr

    factor, around = from_hz // to_hz, 1 << 13
    response = {}
    for offset in range(factor):
        x = np.zeros(2 * around * factor)
        x[around * factor + offset] = 1
        y = soxr.resample(x, from_hz, to_hz, quality="HQ")
        for k in np.flatnonzero(np.abs(y) > 1e-9).tolist():
            response[around * factor + offset - factor * k] = float(y[k])
    reach = max(map(abs, response))
    return np.array([response.get(at, 0.0) for at in range(-reach, reach + 1)])
