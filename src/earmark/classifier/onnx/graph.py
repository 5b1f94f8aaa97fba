"""Write the nodes of an ONNX graph one after the other."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from earmark.system import extras

OPSET = 17  # the oldest with everything used here; onnxruntime 1.12 and later read it
IR_VERSION = 8  # of opset 17


def load_onnx() -> Any:
    """Import the package onnx; EarmarkError says how to install it."""
    return extras.load("onnx", "onnx", "exporting")


class Graph:
    """Nodes and constants of a graph, in the order in which they are computed.

    Values are named by text. A method returns the name of what it computes.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self._prefix, self._count = prefix, 0
        self._helper = importlib.import_module("onnx.helper")
        self._numpy = importlib.import_module("onnx.numpy_helper")
        self._types = importlib.import_module("onnx").TensorProto

    def constant(self, value: Any, dtype: Any = np.int64, name: str | None = None) -> str:
        """Return the name of a constant; equal small constants of integers are shared."""
        array = np.asarray(value, dtype)
        if name is None:
            is_small = array.dtype == np.int64 and array.size <= 1
            name = f"int{array.shape}{array.ravel()}" if is_small else self._name("constant")
        self.constants[name] = self._numpy.from_array(array, name)
        return name

    def floats(self, value: Any, name: str | None = None) -> str:
        """Return the name of a constant of float32 numbers."""
        return self.constant(value, np.float32, name)

    def doubles(self, value: Any) -> str:
        """Return the name of a constant of float64 numbers."""
        return self.constant(value, np.float64)

    def compute(self, kind: str, *inputs: str, into: str | None = None, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        output = into or self._name(kind)
        self.nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def rename(self, name: str) -> None:
        """Give the output of the last node another name."""
        self.nodes[-1].output[0] = name

    def compute_several(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Add a node with several outputs."""
        self.nodes.append(self._helper.make_node(kind, list(inputs), list(outputs), **attributes))

    def cast(self, value: str, dtype: str) -> str:
        """Convert ``value`` to 'FLOAT', 'DOUBLE', 'FLOAT16' or 'INT64'."""
        return self.compute("Cast", value, to=getattr(self._types, dtype))

    def column(self, value: str) -> str:
        """Return a number as an array of one number."""
        return self.compute("Unsqueeze", value, self.constant([0]))

    def slice(self, value: str, start: str, end: str, axis: int = 0) -> str:
        """Return ``value[start:end]`` along an axis; bounds are arrays of one number."""
        return self.compute("Slice", value, start, end, self.constant([axis]))

    def total(self, value: str, axis: int = 0, keepdims: int = 1) -> str:
        """Return the sum along an axis."""
        return self.compute("ReduceSum", value, self.constant([axis]), keepdims=keepdims)

    def mean(self, value: str, axis: int) -> str:
        """Return the mean along an axis, which is dropped."""
        return self.compute("ReduceMean", value, axes=[axis], keepdims=0)

    def square(self, value: str) -> str:
        """Return the squares of ``value``."""
        return self.compute("Mul", value, value)

    def add_graph(self, graph: Any) -> None:
        """Add the nodes and constants of another graph, whose names are its own."""
        self.nodes.extend(graph.node)
        self.constants.update((tensor.name, tensor) for tensor in graph.initializer)

    def value(self, name: str, dtype: str, shape: Sequence[int | str | None]) -> Any:
        """Return the description of an input or output."""
        return self._helper.make_tensor_value_info(name, getattr(self._types, dtype), shape)

    def proto(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """Return the graph as ONNX."""
        constants = list(self.constants.values())
        return self._helper.make_graph(
            self.nodes, name, list(inputs), list(outputs), initializer=constants
        )

    def model(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """Return the graph as an ONNX model."""
        return self._helper.make_model(
            self.proto(name, inputs, outputs),
            opset_imports=[self._helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="earmark",
        )

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}{kind.lower()}_{self._count}"
