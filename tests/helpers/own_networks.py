"""Tiny ONNX networks that are written when a test needs one, and the JSON beside them."""

import json
from pathlib import Path

import numpy as np
import pytest

RATE_HZ, WINDOW, FRAME, UNITS = 16_000, 8_000, 160, 6
DESCRIPTION = {
    "rate_hz": RATE_HZ,
    "window_s": 0.5,
    "layers": ["frames", "embedding"],
    "licence": "Apache-2.0",
}

pytest.importorskip("onnxruntime", reason="onnxruntime is absent; pip install '.[onnx]'")
onnx = pytest.importorskip("onnx", reason="onnx is absent; pip install '.[onnx]'")
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper


def node(kind, inputs, *outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs, **attributes)


def describe(path: Path, **changes) -> Path:
    """Write the JSON beside a network; a value of None takes a field out."""
    fields = {k: v for k, v in {**DESCRIPTION, **changes}.items() if v is not None}
    path.with_name(f"{path.name}.json").write_text(json.dumps(fields))
    return path


def constants(seed: int = 0) -> dict[str, np.ndarray]:
    weight = np.random.default_rng(seed).normal(0, 0.1, (FRAME, UNITS)).astype(np.float32)
    return {"weight": weight, "frame": np.array([0, -1, FRAME])}


def save(
    path: Path, nodes, outputs, arrays, shape=("batch", WINDOW), kind="FLOAT", **model
) -> Path:
    """Save a graph whose input is called ``wave``; ``outputs`` are shapes, or shape and type."""
    values = [
        helper.make_tensor_value_info(name, getattr(TensorProto, dtype), axes)
        for name, (axes, dtype) in outputs.items()
    ]
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("wave", getattr(TensorProto, kind), shape)],
        values,
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), *model.pop("opsets", ())]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path, **model)
    return path


NODES = (
    node("Reshape", "wave frame", "pieces"),  # (B, T, 160)
    node("MatMul", "pieces weight", "linear"),
    node("Relu", "linear", "frames"),
    node("ReduceMean", "frames", "embedding", axes=[1], keepdims=0),
)
OUTPUTS = {
    "frames": (("batch", "time", UNITS), "FLOAT"),
    "embedding": (("batch", UNITS), "FLOAT"),
}


def small(path: Path, seed: int = 0, **changes) -> Path:
    """A network of one learned layer, frame by frame, and its mean; with its JSON."""
    return describe(save(path, NODES, OUTPUTS, constants(seed)), **changes)


def with_nodes(path: Path, *nodes, layers, outputs=None, more=None, **changes) -> Path:
    """The small network with nodes behind it, whose outputs are ``layers``."""
    names = [layer if isinstance(layer, str) else layer["output"] for layer in layers]
    outputs = outputs or dict.fromkeys(names, (None, "FLOAT"))
    save(path, [*NODES, *nodes], outputs, {**constants(), **(more or {})})
    return describe(path, layers=layers, **changes)
