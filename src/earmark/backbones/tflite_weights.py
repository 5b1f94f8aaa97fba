"""Read the constant tensors out of a TensorFlow Lite file (a flatbuffer; no code is run)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tflite

from earmark.errors import BackboneError

MAX_BYTES = 256 * 2**20  # more than any network here; a wrong file is refused before it is read

_DTYPES = {
    tflite.TensorType.FLOAT32: np.dtype("<f4"),
    tflite.TensorType.INT32: np.dtype("<i4"),
    tflite.TensorType.INT8: np.dtype("i1"),
    tflite.TensorType.UINT8: np.dtype("u1"),
}


def read_constants(path: Path) -> dict[int, np.ndarray]:
    """Return the constants of the first subgraph, by tensor index, in their stored shape.

    Tensors of kinds other than float32, int32, int8 and uint8 are left out. A file that is too
    large, truncated or no TFLite model raises :class:`BackboneError`.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BackboneError(
            f"{path} has {size} bytes, more than the {MAX_BYTES} that a TFLite file of a known"
            " backbone may have; give the published file."
        )
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise BackboneError(f"{path} is not a TFLite model; give the published file.")
    try:
        return _constants(tflite.Model.GetRootAsModel(data, 0))
    except Exception as error:  # a damaged flatbuffer fails in any way it likes
        raise BackboneError(
            f"{path} is damaged ({type(error).__name__}: {error}); fetch it again."
        ) from error


def _constants(model: tflite.Model) -> dict[int, np.ndarray]:
    graph = model.Subgraphs(0)
    constants = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        dtype = _DTYPES.get(tensor.Type())
        buffer = model.Buffers(tensor.Buffer())
        if dtype is None or buffer.DataLength() == 0:
            continue
        shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
        constants[index] = buffer.DataAsNumpy().view(dtype).reshape(shape)
    return constants
