"""Read ONNX files with the package onnx and compute them with onnxruntime.

No library of custom operators is ever loaded. Weights outside the file are read only from the
file's own folder.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earmark.backbones.networks.graph import MAX_BYTES, Graph, Run, Tensor, read_file
from earmark.errors import BackboneError, first_line
from earmark.system import extras

KIND = "an ONNX file"
RUNTIME = "onnxruntime"
_DTYPES = {"float": "float32", "double": "float64"}  # ONNX's names to NumPy's
_FATAL = 4  # log severity; errors are raised as exceptions anyway

Proto = Any  # a message of the package onnx


@dataclass(frozen=True)
class OnnxGraph(Graph):
    """An ONNX file; ``model`` is its ModelProto, with all weights in it."""

    model: Proto

    @classmethod
    def read(cls, path: Path, name: str) -> OnnxGraph:
        """Read and hash the file of backbone ``name`` and the files of weights that it names."""
        onnx = extras.load("onnx", "onnx", f"backbone {name!r}", BackboneError)
        content = read_file(path, KIND)
        hashes = [hashlib.sha256(content).hexdigest()]
        try:
            model = onnx.load_model_from_string(content)
            model.DiscardUnknownFields()  # everything that is computed is checked here
            if not model.graph.node:
                raise ValueError("it has no operators")
        except Exception as error:  # protobuf raises all kinds of exceptions
            raise BackboneError(
                f"{path} cannot be read as ONNX: {first_line(error)}. Give the published file."
            ) from error
        tensors = list(_tensors(model))
        bits = {number: _bits(name) for name, number in onnx.TensorProto.DataType.items()}
        files = _take_in(path, tensors, len(content), bits)
        if any(tensor.external_data or tensor.data_location for tensor in _tensors(model)):
            raise BackboneError(
                f"{path} has weights outside the file that cannot be read. Save the network as one"
                " file."
            )
        hashes += [files[name] for name in sorted(files)]
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
            tuple(path.parent / name for name in files),
            model,
        )

    def open(self, tensor: Tensor, shape: tuple[int, ...], outputs: Sequence[str]) -> Run:
        """Return a function that computes ``outputs`` for an input, on one thread."""
        runtime = extras.load(RUNTIME, "onnx", f"{self.path}", BackboneError)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            session = runtime.InferenceSession(
                self._with_outputs(outputs), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises a dozen kinds of exceptions
            raise BackboneError(
                f"{self.path} cannot be computed by {RUNTIME}: {first_line(error)}. Export it with"
                " standard operators, or for an older opset."
            ) from error
        names = list(outputs)

        def run(x: np.ndarray) -> list[np.ndarray]:
            results: list[np.ndarray] = session.run(names, {tensor.name: x})
            return results

        return run

    def _with_outputs(self, names: Sequence[str]) -> bytes:
        """Return the file with only these outputs, so that nothing else is computed.

        The model is changed in place, because a copy may take gigabytes.
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


def _bits(kind: str) -> int:
    """Return the bits of a number type, such as FLOAT16; 0 for other types."""
    size = re.search(r"\d+", kind)
    return {"FLOAT": 32, "DOUBLE": 64, "BOOL": 8}.get(kind, int(size.group()) if size else 0)


def _tensors(message: Proto) -> Iterator[Proto]:
    """Yield all constants in a message, also those in nested graphs, functions and attributes."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in [value] if hasattr(value, "ListFields") else value:
            if item.DESCRIPTOR.name == "TensorProto":
                yield item
            else:
                yield from _tensors(item)


def _take_in(
    path: Path, tensors: Sequence[Proto], size: int, bits: Mapping[int, int]
) -> dict[str, str]:
    """Load weights from files beside ``path`` into the model; return the files' hashes.

    ``size`` is the size of the model itself in bytes. Each tensor's bytes must match its shape. The
    total is limited, because many tensors may name the same bytes.
    """
    files: dict[str, bytes] = {}
    for tensor in tensors:
        if not tensor.external_data and not tensor.data_location:
            continue
        entry = {item.key: item.value for item in tensor.external_data}
        name = entry.get("location", "")
        if not name or Path(name).name != name or "\\" in name:
            raise BackboneError(
                f"{path} has the weights {tensor.name!r} in {name!r}, which is not a file in its"
                " own folder, so it is not read. Save the network as one file."
            )
        if name not in files:
            if (path.parent / name).is_symlink() or not (path.parent / name).is_file():
                raise BackboneError(
                    f"{path} needs the file {name} beside it, which has its weights. Put it there."
                )
            files[name] = read_file(path.parent / name, "the weights of an ONNX file")
            _check_sum(path, size + sum(map(len, files.values())))
        length = -(-math.prod(tensor.dims) * bits.get(tensor.data_type, 0) // 8)
        size += max(length, 0)
        _check_sum(path, size)
        tensor.raw_data = _slice(path, name, files[name], entry, length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _check_sum(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise BackboneError(
            f"{path} and its weights have more than {MAX_BYTES:,} bytes together. Give a smaller"
            " network, or save it in float16."
        )


def _slice(path: Path, name: str, content: bytes, entry: dict[str, str], length: int) -> bytes:
    """Return the ``length`` bytes of a tensor; BackboneError if ``entry`` says other bytes."""
    try:
        first = int(entry.get("offset", "0"))
        last = first + int(entry.get("length", str(length)))
    except ValueError:
        first, last = -1, -1
    if not 0 <= first <= last <= len(content):
        raise BackboneError(
            f"{path} refers to bytes {first:,} to {last:,} of {name}, which has only"
            f" {len(content):,}. Give two files that belong together."
        )
    if last - first != length:
        raise BackboneError(
            f"{path} refers to {last - first:,} bytes of {name} for weights whose shape needs"
            f" {length:,}. Give the published file."
        )
    return content[first:last]
