"""Read the constant tensors out of an ONNX file (Protocol Buffers; no code is run).

The messages are those of ``onnx/onnx.proto``. Only float32 constants stored as raw bytes are read.
Constants of other types, in nested graphs or in separate files are left out.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from earmark.backbones.networks.protobuf import fields, message, text, varint
from earmark.errors import BackboneError, first_line
from earmark.system.files import open_file

MAX_BYTES = 64 << 20  # more than any network that is read here
MAX_TENSORS = 10_000
MAX_AXES = 8

_GRAPH, _INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9  # of TensorProto
_FLOAT = 1


def read_initializers(path: Path) -> dict[str, np.ndarray]:
    """Return the float32 constants of the graph by name, in their stored shape.

    Raises BackboneError for a file that is too large, damaged or not an ONNX model, and for a
    constant with NaN or infinity.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, and at most {MAX_BYTES:,} are read")
        with open_file(path) as file:
            model = memoryview(file.read(MAX_BYTES))
        graph = next((value for number, value in fields(model) if number == _GRAPH), None)
        if graph is None:
            raise ValueError("it has no graph")
        return _tensors(message(graph))
    except OSError as error:
        raise BackboneError(
            f"{path} cannot be read: {error.strerror}. Check it and its permissions."
        ) from error
    except ValueError as error:
        raise BackboneError(
            f"{path} is damaged or not an ONNX model: {first_line(error)}. Fetch it again."
        ) from error


def _tensors(graph: memoryview) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for number, value in fields(graph):
        if number == _INITIALIZER and _is_float(message(value)):
            name, values = _tensor(message(value))
            tensors[name] = values
        if len(tensors) > MAX_TENSORS:
            raise ValueError(f"more than {MAX_TENSORS:,} tensors")
    return tensors


def _is_float(tensor: memoryview) -> bool:
    facts = {number: value for number, value in fields(tensor) if number in (_TYPE, _RAW)}
    return facts.get(_TYPE) == _FLOAT and _RAW in facts


def _tensor(tensor: memoryview) -> tuple[str, np.ndarray]:
    name, raw = "", memoryview(b"")
    shape: list[int] = []
    for number, value in fields(tensor):
        if number == _DIMS:
            shape += [value] if isinstance(value, int) else _packed(value)
            if len(shape) > MAX_AXES:
                raise ValueError(f"a tensor of more than {MAX_AXES} axes")
        elif number == _NAME:
            name = text(value)
        elif number == _RAW:
            raw = message(value)
    if len(raw) != 4 * math.prod(shape):
        raise ValueError(f"its tensor {name!r} has {len(raw):,} bytes and shape {shape}")
    values = np.frombuffer(raw, "<f4").reshape(shape)
    if np.isnan(values).any() or (values.size > 1 and not np.isfinite(values).all()):
        raise ValueError(f"its tensor {name!r} has NaN or infinity")
    return name, values


def _packed(data: memoryview) -> list[int]:
    """Return the integers of a packed field."""
    at = 0
    values: list[int] = []
    while at < len(data) and len(values) <= MAX_AXES:
        value, at = varint(data, at)
        values.append(value)
    return values
