"""Read TFLite files with the package tflite and compute them with ai-edge-litert."""

from __future__ import annotations

import hashlib
import importlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from earmark.backbones.networks.graph import Graph, Run, Tensor, read_file
from earmark.errors import BackboneError, first_line
from earmark.system import extras

KIND = "a TFLite file"
RUNTIME = "ai-edge-litert"
_OUTPUTS = 8  # slot of the outputs in a subgraph's flatbuffer table
_DTYPES = {value: name.lower() for name, value in vars(tflite.TensorType).items() if name.isupper()}


@dataclass(frozen=True)
class TFLiteGraph(Graph):
    """A TFLite file: its bytes, and the ``numbers`` of its computed tensors by name."""

    takes_batches = False  # an interpreter has one fixed shape
    content: bytes
    numbers: dict[str, int]

    @classmethod
    def read(cls, path: Path, name: str) -> TFLiteGraph:
        """Read and hash the file of backbone ``name``."""
        content = read_file(path, KIND)
        try:
            if content[4:8] != b"TFL3":
                raise ValueError("it does not begin like a TFLite file")
            return cls._of(path, content)
        except Exception as error:  # a damaged flatbuffer raises all kinds of exceptions
            raise BackboneError(
                f"{path} cannot be read as TFLite: {first_line(error)}. Give the published file."
            ) from error

    @classmethod
    def _of(cls, path: Path, content: bytes) -> TFLiteGraph:
        model = tflite.Model.GetRootAsModel(content, 0)
        graph = model.Subgraphs(0)
        tensors = [_tensor(graph.Tensors(k)) for k in range(graph.TensorsLength())]
        names = [tensor.name for tensor in tensors]
        operators = [graph.Operators(k) for k in range(graph.OperatorsLength())]
        inner = [int(k) for operator in operators for k in operator.OutputsAsNumpy() if k >= 0]
        constants = [
            int(np.prod(graph.Tensors(k).ShapeAsNumpy(), dtype=np.int64))
            for k in range(len(tensors))
            if model.Buffers(graph.Tensors(k).Buffer()).DataLength()
        ]
        return cls(
            path,
            tuple(tensors[k] for k in graph.InputsAsNumpy()),
            tuple(tensors[k] for k in graph.OutputsAsNumpy()),
            tuple(names[k] for k in inner),
            sum(constants),
            hashlib.sha256(content).hexdigest(),
            RUNTIME,
            (),
            content,
            {names[int(k)]: int(k) for k in (*inner, *graph.OutputsAsNumpy())},
        )

    def open(self, tensor: Tensor, shape: tuple[int, ...], outputs: Sequence[str]) -> Run:
        package = "ai_edge_litert"
        extras.load(package, "tflite", f"{self.path}", BackboneError)
        interpreter = importlib.import_module(f"{package}.interpreter").Interpreter
        content = self._with_outputs(outputs)

        def make() -> Any:
            new = interpreter(model_content=content, num_threads=1)
            number = new.get_input_details()[0]["index"]
            new.resize_tensor_input(number, shape)
            new.allocate_tensors()
            return new

        try:
            idle = [make()]
        except Exception as error:  # RuntimeError or ValueError, from any operator
            raise BackboneError(
                f"{self.path} cannot be computed by {RUNTIME}: {first_line(error)}. Convert it"
                " with only TFLite's built-in operators."
            ) from error

        def run(x: np.ndarray) -> list[np.ndarray]:
            try:  # only one thread at a time may use an interpreter
                own = idle.pop()
            except IndexError:
                own = make()
            own.set_tensor(own.get_input_details()[0]["index"], x)
            own.invoke()
            results = [_real(own.get_tensor(d["index"]), d) for d in own.get_output_details()]
            idle.append(own)
            return results

        return run

    def _with_outputs(self, names: Sequence[str]) -> bytes:
        """Return the file with these tensors as outputs: a list at its end and an offset to it.

        The runtime, when it optimises, returns values of outputs only.
        """
        own = tflite.Model.GetRootAsModel(self.content, 0).Subgraphs(0)._tab
        link = own.Pos + own.Offset(_OUTPUTS)
        content = bytearray(self.content + bytes(-len(self.content) % 4))
        struct.pack_into("<I", content, link, len(content) - link)
        numbers = [self.numbers[name] for name in names]
        return bytes(content + struct.pack(f"<{len(names) + 1}i", len(names), *numbers))


def _real(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Return the real values of quantised integers; leave float numbers unchanged."""
    scale, zero = detail["quantization"]
    return np.float32(scale) * (array.astype(np.float32) - zero) if scale else array


def _tensor(tensor: tflite.Tensor) -> Tensor:
    shape = tensor.ShapeAsNumpy().tolist() if tensor.ShapeLength() else []
    free = tensor.ShapeSignatureAsNumpy().tolist() if tensor.ShapeSignatureLength() else shape
    axes = tuple("any" if n < 0 else int(n) for n in free)
    name = (tensor.Name() or b"").decode(errors="replace")
    return Tensor(name, _DTYPES.get(tensor.Type(), "?"), axes)
