"""Store the weights of a graph as float16; computing stays in float32."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from earmark.classifier.onnx.windows import MOST_HALF

LEAST_SIZE = 256  # numbers of a constant that is worth it


def halve_weights(graph: Any) -> None:
    """Replace the float32 matrices of an ONNX graph, and of graphs inside it, by float16.

    Vectors stay: they are small, and those of the front end must be exact. A window in float16
    would leak loud frequencies into quiet bands.
    """
    onnx = importlib.import_module("onnx")
    to_array, from_array = onnx.numpy_helper.to_array, onnx.numpy_helper.from_array
    casts = []
    for tensor in graph.initializer:
        is_float = tensor.data_type == onnx.TensorProto.FLOAT
        if not is_float or len(tensor.dims) < 2 or np.prod(tensor.dims) < LEAST_SIZE:
            continue
        values = to_array(tensor)
        if np.abs(values).max() > MOST_HALF:
            continue
        name, half = tensor.name, f"{tensor.name}_half"
        tensor.CopyFrom(from_array(values.astype(np.float16), half))
        casts.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                halve_weights(attribute.g)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
