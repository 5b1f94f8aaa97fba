"""Log-mel spectrograms in ONNX: a convolution with the kernels of a Fourier transform.

ONNX has an operator for it (STFT), but onnxruntime computes it five times slower than a convolution
with kernels of only those bins that a mel filter reads. The kernels are made inside the graph from
one period of a cosine, because in the file they would be as large as a small network.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earmark.backbones.networks.logmel import LogMel
from earmark.backbones.networks.spectrogram_transformers import FFT, HOP, PREEMPHASIS, Fbank
from earmark.classifier.onnx.graph import Graph


class RecordedFrontEnd(nn.Module):
    """A :class:`LogMel` or :class:`Fbank` of operations that ONNX has.

    Attributes
    ----------
    kernel : Tensor, (2 * bins, length)
        The cosines of each bin, then the sines, times the window. The recorder makes it an input of
        the graph; :func:`add_kernel` computes it there.
    filters : Tensor, (bins, M)
        The rows of the mel filters that are not zero; an input too.
    """

    def __init__(self, front_end: LogMel | Fbank) -> None:
        super().__init__()
        self.original = front_end
        self.kernel, self.filters = spectral_kernel(front_end), used_filters(front_end)
        self.hop = front_end.hop if isinstance(front_end, LogMel) else HOP

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-mel spectrogram (1, T, M) of ``x`` (1, n)."""
        if self.kernel.dtype == torch.float64:  # onnxruntime convolves float32 only
            length = self.original.window.shape[0]
            frames = (x.shape[1] - length) // self.hop + 1
            at = self.hop * torch.arange(frames)[:, None] + torch.arange(length)
            spectrum = (x[0].double()[at] @ self.kernel.T)[None]
        else:
            x = F.conv1d(x[:, None], self.kernel[:, None], stride=self.hop)
            spectrum = x.transpose(1, 2)
        real, imaginary = spectrum.chunk(2, 2)
        power = real.square() + imaginary.square()
        original = self.original
        if isinstance(original, Fbank):
            return (power @ self.filters).clamp_min(torch.finfo(torch.float32).eps).log()
        mel = (power if original.power == 2 else power.sqrt()) @ self.filters
        mel = mel + original.offset if original.offset else mel
        return (mel.clamp_min(original.floor) if original.floor else mel).log()


def _used_bins(front_end: LogMel | Fbank) -> tuple[int, int]:
    """Return the first bin that a mel filter reads, and one after the last."""
    bins = (front_end.filters != 0).any(1).nonzero()[:, 0]
    return int(bins.min()), int(bins.max()) + 1


def used_filters(front_end: LogMel | Fbank) -> Tensor:
    """Return the mel filters (bins, M) of the bins in use."""
    first, end = _used_bins(front_end)
    return front_end.filters[first:end]


def spectral_kernel(front_end: LogMel | Fbank) -> Tensor:
    """Return the kernel (2 * bins, length) of a front end, in the type of its window."""
    window, fft = front_end.window, getattr(front_end, "fft", FFT)
    first, end = _used_bins(front_end)
    turns = torch.arange(first, end)[:, None] * torch.arange(len(window)) % fft
    angles = turns.double() * (2 * math.pi / fft)
    kernel = torch.cat([angles.cos(), angles.sin()]) * window.double()
    if isinstance(front_end, Fbank):  # each frame is changed linearly before its window
        kernel = kernel @ _frame_change(len(window))
    return kernel.to(window.dtype)


def _frame_change(length: int) -> Tensor:
    """Return the matrix (length, length) that removes a frame's mean and then emphasises it."""
    mean = torch.full((length, length), 1 / length, dtype=torch.float64)
    before = torch.diag(torch.ones(length - 1, dtype=torch.float64), -1)
    before[0, 0] = 1
    eye = torch.eye(length, dtype=torch.float64)
    return (eye - PREEMPHASIS * before) @ (eye - mean)


def add_kernel(graph: Graph, front_end: LogMel | Fbank) -> str:
    """Compute :func:`spectral_kernel` in the graph; return its name."""
    kernel = spectral_kernel(front_end)
    is_double = kernel.dtype == torch.float64
    if isinstance(front_end, Fbank):
        flat = graph.floats(kernel.flatten().numpy())  # a vector: not stored as float16
        return graph.compute("Reshape", flat, graph.constant(kernel.shape))
    constant = graph.doubles if is_double else graph.floats
    fft, (first, end) = front_end.fft, _used_bins(front_end)
    period = torch.arange(fft).double() * (2 * math.pi / fft)
    bins = graph.compute("Range", *(graph.constant(n) for n in (first, end, 1)))
    times = graph.compute("Range", *(graph.constant(n) for n in (0, kernel.shape[1], 1)))
    column = graph.compute("Unsqueeze", bins, graph.constant([1]))
    turns = graph.compute("Mul", column, times)
    later = graph.compute("Add", turns, graph.constant([3 * fft // 4]))  # a sine is a later cosine
    both = graph.compute("Concat", turns, later, axis=0)
    turns = graph.compute("Mod", both, graph.constant([fft]))
    waves = graph.compute("Gather", constant(period.cos().numpy()), turns)
    return graph.compute("Mul", waves, constant(front_end.window.numpy()))


def add_filters(graph: Graph, front_end: LogMel | Fbank) -> str:
    """Compute :func:`used_filters` in the graph from the weights that are not zero."""
    filters = used_filters(front_end).numpy()
    is_double = filters.dtype.itemsize == 8
    rows, columns = filters.nonzero()
    places = rows * filters.shape[1] + columns
    size = graph.constant([filters.size])
    constant = graph.doubles if is_double else graph.floats
    zeros = graph.compute("Expand", constant([0]), size)
    at = graph.cast(graph.constant(places, "int32"), "INT64")
    flat = graph.compute("ScatterElements", zeros, at, constant(filters[rows, columns]))
    return graph.compute("Reshape", flat, graph.constant(filters.shape))
