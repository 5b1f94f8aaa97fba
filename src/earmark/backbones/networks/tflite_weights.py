"""Read the constant tensors out of a TensorFlow Lite file (a flatbuffer; no code is run)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import tflite

from earmark.errors import BackboneError

MAX_BYTES = 256 * 2**20  # more than any network that is read here

_DTYPES = {
    tflite.TensorType.FLOAT32: np.dtype("<f4"),
    tflite.TensorType.INT32: np.dtype("<i4"),
    tflite.TensorType.INT8: np.dtype("i1"),
    tflite.TensorType.UINT8: np.dtype("u1"),
}


_OPTIONS = {
    tflite.BuiltinOperator.CONV_2D: ("conv", tflite.Conv2DOptions),
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D: ("depthwise", tflite.DepthwiseConv2DOptions),
    tflite.BuiltinOperator.FULLY_CONNECTED: ("dense", tflite.FullyConnectedOptions),
}
_ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: "none",
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
}

T = TypeVar("T")


class LearnedOperator(NamedTuple):
    """An operator with constants: ``kind`` is 'conv', 'depthwise' or 'dense'.

    ``weight`` is float32 in the file's order: (out, height, width, in), (1, height, width, out) or
    (out, in). ``bias`` is (out,). ``activation`` is 'none', 'relu' or 'relu6'. If ``same``, zeros
    around the input keep its size, and an odd zero comes after it.
    """

    kind: str
    weight: np.ndarray
    bias: np.ndarray
    stride: int = 1
    same: bool = False
    activation: str = "none"


def read_constants(path: Path) -> dict[int, np.ndarray]:
    """Return the constants of the first subgraph, by tensor index, in their stored shape.

    Tensors of types other than float32, int32, int8 and uint8 are left out. Raises
    :class:`BackboneError` for a file that is too large, damaged or not a TFLite model.
    """
    return _read(path, _constants)


def read_operators(path: Path) -> list[LearnedOperator]:
    """Return the convolutions and dense layers of the first subgraph, in the order they run.

    Quantised constants become real values, (integer - zero point) * scale, with one scale for the
    tensor or for each channel. Raises :class:`BackboneError` as :func:`read_constants` does, and
    for options that no network here has, such as a dilation.
    """
    return _read(path, _operators)


def _read(path: Path, function: Callable[[tflite.Model], T]) -> T:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BackboneError(
            f"{path} has {size:,} bytes, but at most {MAX_BYTES:,} are possible in a TFLite file of"
            " a known backbone. Give the published file."
        )
    data = path.read_bytes()
    if data[4:8] != b"TFL3":
        raise BackboneError(f"{path} is not a TFLite model. Give the published file.")
    try:
        return function(tflite.Model.GetRootAsModel(data, 0))
    except Exception as error:  # a damaged flatbuffer raises all kinds of exceptions
        raise BackboneError(
            f"{path} is damaged ({type(error).__name__}: {error}). Fetch it again."
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
        _check_finite(tensor, constants[index])
    return constants


def _check_finite(tensor: tflite.Tensor, values: np.ndarray) -> None:
    """Raise ValueError for NaN or infinity, except a single infinity: the start of a maximum."""
    if np.isnan(values).any() or (values.size > 1 and not np.isfinite(values).all()):
        name = (tensor.Name() or b"").decode(errors="replace")
        raise ValueError(f"its tensor {name!r} has NaN or infinity")


def _operators(model: tflite.Model) -> list[LearnedOperator]:
    graph, constants, operators = model.Subgraphs(0), _constants(model), []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        code = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if code not in _OPTIONS:
            continue
        kind, options_of = _OPTIONS[code]
        table, options = operator.BuiltinOptions(), options_of()
        options.Init(table.Bytes, table.Pos)
        weight, bias = (
            _real(graph.Tensors(tensor), constants[tensor])
            for tensor in operator.InputsAsNumpy()[1:].tolist()
        )
        stride, same = (1, False) if kind == "dense" else _geometry(options)
        activation = _ACTIVATIONS[options.FusedActivationFunction()]
        operators.append(
            LearnedOperator(kind, weight, bias, stride, same=same, activation=activation)
        )
    return operators


def _geometry(options: tflite.Conv2DOptions | tflite.DepthwiseConv2DOptions) -> tuple[int, bool]:
    """Return the stride, and whether zeros keep the input's size."""
    stride, dilations = options.StrideH(), (options.DilationHFactor(), options.DilationWFactor())
    if stride != options.StrideW() or dilations != (1, 1):
        raise ValueError(f"stride {stride} x {options.StrideW()}, dilation {dilations}")
    return stride, options.Padding() == tflite.Padding.SAME


def _real(tensor: tflite.Tensor, stored: np.ndarray) -> np.ndarray:
    """Return the real values of a constant, float32."""
    quantised = tensor.Quantization()
    if quantised is None or quantised.ScaleLength() == 0:
        return stored.astype(np.float32)
    shape = np.ones(stored.ndim, int)
    shape[quantised.QuantizedDimension()] = quantised.ScaleLength()
    scale, zero = quantised.ScaleAsNumpy(), quantised.ZeroPointAsNumpy()
    _check_finite(tensor, scale)
    real = (stored - zero.reshape(shape)) * scale.reshape(shape)
    return np.asarray(real, np.float32)
