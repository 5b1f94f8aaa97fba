"""ONNX files, read by the package onnx and computed by onnxruntime.

A file is data: no library of custom operators is ever loaded, and weights outside the file come
from its own folder alone.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.backbones.networks.graph import MAX_BYTES, Graph, Run, Tensor, read_file
from earmark.errors import BackboneError, first_line
from earmark.system import extras

KIND = "an ONNX file"
RUNTIME = "onnxruntime"
_DTYPES = {"float": "float32", "double": "float64"}  # ONNX has other names for them
_FATAL = 4  # severity; errors come as exceptions

Proto = Any  # a message of the package onnx


@dataclass(frozen=True)
class OnnxGraph(Graph):
    """An ONNX file; ``model`` is its ModelProto, with all weights in it."""

    model: Proto

    @classmethod
    def read(cls, path: Path, name: str) -> OnnxGraph:
        """Read and hash the file of backbone ``name``, and the files of weights that it names."""
        onnx = extras.load("onnx", "onnx", f"backbone {name!r}", BackboneError)
        content = read_file(path, KIND)
        hashes = [hashlib.sha256(content).hexdigest()]
        try:
            model = onnx.load_model_from_string(content)
            if not model.graph.node:
                raise ValueError("it has no operators")
        except Exception as error:  # protobuf raises what it likes
            raise BackboneError(
                f"{path} cannot be read as ONNX: {first_line(error)}; give the published file."
            ) from error
        tensors = list(_tensors(model))
        hashes += _take_in(path, tensors, len(content))
        graph = model.graph
        constants = {tensor.name for tensor in graph.initializer}
        return cls(
            path,
            tuple(_tensor(onnx, v) for v in graph.input if v.name not in constants),
            tuple(_tensor(onnx, v) for v in graph.output),
            tuple(name for node in graph.node for name in node.output if name),
            sum(int(np.prod(tensor.dims, dtype=np.int64)) for tensor in tensors),
            hashes[0]
            if len(hashes) == 1
            else hashlib.sha256(" ".join(hashes).encode()).hexdigest(),
            RUNTIME,
            model,
        )

    def open(self, tensor: Tensor, shape: tuple[int, ...], outputs: Sequence[str]) -> Run:
        runtime = extras.load(RUNTIME, "onnx", f"{self.path}", BackboneError)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            session = runtime.InferenceSession(
                self._with_outputs(outputs), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a dozen kinds
            raise BackboneError(
                f"{self.path} cannot be computed by {RUNTIME}: {first_line(error)}; export it with"
                " standard operators, or for an older opset."
            ) from error
        names = list(outputs)

        def run(x: np.ndarray) -> list[np.ndarray]:
            results: list[np.ndarray] = session.run(names, {tensor.name: x})
            return results

        return run

    def _with_outputs(self, names: Sequence[str]) -> bytes:
        """Return the file with these outputs alone: what only others need is not computed.

        The model is changed in place, as a copy may take gigabytes.
        """
        onnx, graph = importlib.import_module("onnx"), self.model.graph
        known = {v.name: v for v in [*graph.value_info, *graph.output]}
        outputs = [known.get(name) or onnx.ValueInfoProto(name=name) for name in names]
        del graph.output[:]
        graph.output.extend(outputs)
        content: bytes = self.model.SerializeToString()
        return content


def _tensor(onnx: Any, value: Proto) -> Tensor:
    kind = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
    shape = None
    if kind.HasField("shape"):
        shape = tuple(d.dim_value or d.dim_param or "any" for d in kind.shape.dim)
    return Tensor(value.name, _DTYPES.get(dtype, dtype), shape)


def _tensors(model: Proto) -> Iterator[Proto]:
    """Yield all constants of a model, those in its branches and functions too."""
    nodes = [model.graph.node, *(function.node for function in model.functions)]
    yield from _constants(model.graph)
    while nodes:
        for node in nodes.pop():
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t
                for graph in (attribute.g, *attribute.graphs):
                    yield from _constants(graph)
                    nodes.append(graph.node)


def _constants(graph: Proto) -> Iterator[Proto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)


def _take_in(path: Path, tensors: Sequence[Proto], size: int) -> list[str]:
    """Put weights that lie in files beside ``path`` into the model; return the files' hashes."""
    files: dict[str, bytes] = {}
    for tensor in tensors:
        if not tensor.external_data and not tensor.data_location:
            continue
        entry = {item.key: item.value for item in tensor.external_data}
        name = entry.get("location", "")
        if not name or Path(name).name != name or "\\" in name:
            raise BackboneError(
                f"{path} has the weights {tensor.name!r} in {name!r}, which is no file in its own"
                " folder, so it is not read; save the network as one file."
            )
        if name not in files:
            if (path.parent / name).is_symlink() or not (path.parent / name).is_file():
                raise BackboneError(
                    f"{path} needs the file {name} beside it, which has its weights; put it there."
                )
            files[name] = read_file(path.parent / name, "the weights of an ONNX file")
            if size + sum(map(len, files.values())) > MAX_BYTES:
                raise BackboneError(
                    f"{path} and its weights have more than {MAX_BYTES:,} bytes together; give a"
                    " smaller network, or save it in float16."
                )
        tensor.raw_data = _slice(path, name, files[name], entry)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return [hashlib.sha256(files[name]).hexdigest() for name in sorted(files)]


def _slice(path: Path, name: str, content: bytes, entry: dict[str, str]) -> bytes:
    try:
        first = int(entry.get("offset", "0"))
        last = first + int(entry.get("length", str(len(content) - first)))
    except ValueError:
        first, last = -1, -1
    if not 0 <= first <= last <= len(content):
        raise BackboneError(
            f"{path} wants bytes {first:,} to {last:,} of {name}, which has {len(content):,}; give"
            " the two files that belong together."
        )
    return content[first:last]
