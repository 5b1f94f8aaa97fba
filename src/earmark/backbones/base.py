"""The contract of a backbone.

A backbone takes windows of waveform at its own rate and returns, for every layer, the mean and
variance of the activations over the frames that are real audio. Everything between the waveform
and the embedding (spectrogram, normalisation, masking) is inside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from earmark.backbones.info import BackboneInfo
from earmark.backbones.tensors import assign
from earmark.backbones.weights import WeightFile
from earmark.errors import BackboneError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class LayerStats(NamedTuple):
    """Statistics of one layer, per window: ``frames`` (B,), ``mean`` and ``var`` (B, D) float32.

    ``frames`` counts the frames that are real audio (a fraction where a frame is only partly so)
    and weighs a window among the others of its clip. ``var`` is the biased variance: unlike a raw
    second moment it loses no digits where a channel hardly moves.
    """

    frames: Tensor
    mean: Tensor
    var: Tensor

    def rows(self, index: Tensor | slice) -> LayerStats:
        """Return the statistics of some of the windows."""
        return LayerStats(*(column[index] for column in self))


def join(stats: Sequence[LayerStats]) -> LayerStats:
    """Return the statistics of the windows of all ``stats``, which are of one layer."""
    return LayerStats(*(torch.cat(column) for column in zip(*stats, strict=True)))


Activations = Iterator[tuple[str, Tensor]]  # a layer's name, and (B, C, T, F)
Engine = Callable[[Tensor, Collection[str]], Activations]
B = TypeVar("B", bound="Backbone")

# Share of a mean: 256 roundings of float32. On silence, means of equal numbers were off by up to
# 40 of them. On real sounds hardly any deviation is between 64 and 256.
ROUNDING = 2.0**-15


class Backbone(nn.Module):
    """A pretrained network. Subclasses set ``weights_hash`` and write its three parts.

    :meth:`inputs` is the front end, :meth:`body` the network, :meth:`weigh` says which frames are
    real audio. The body may be computed by another ``engine`` than PyTorch (see ``engines.py``).
    A network without these three parts writes :meth:`forward` instead.

    The result for a window never depends on its neighbours in the batch nor on zeros behind it.
    """

    weights_hash: str = "none"
    files: ClassVar[tuple[WeightFile, ...]] = ()  # published weights, where they are plain files
    openvino_gains: ClassVar[bool] = False  # OpenVINO is faster on most processors; if untimed
    batch_s: ClassVar[float] = 20.0  # of audio in one pass; more falls out of a CPU's caches
    runtime: ClassVar[str] = "torch"  # what computes it: the name of a package
    half_is_close: ClassVar[bool] = False  # embeddings in bfloat16 have a cosine of 0.999 and more
    free_axes: ClassVar[tuple[int, ...]] = ()  # of the body's input, as long as the clip; not 0
    castable: ClassVar[tuple[str, ...]] = ()  # attributes that :meth:`cast` changes; no front end
    untuned: ClassVar[tuple[str, ...]] = ()  # layers that fine-tuning leaves as they are
    rate: ClassVar[float] = 1.0  # of fine-tuning, as a factor of the recipe's
    position_dependence: str = ""  # why a window's numbers depend on more than core and context

    def __init__(self, info: BackboneInfo) -> None:
        super().__init__()
        self.info = info
        self.dtype = torch.float32
        self.precision = "float32"
        self.device = torch.device("cpu")
        self.normalises = False
        self.engine: Engine = self.compute

    @classmethod
    def load(cls, info: BackboneInfo) -> Backbone:
        """Build the network with its weights; :class:`BackboneError` where they are missing."""
        return cls(info)

    @classmethod
    def random(cls, info: BackboneInfo, seed: int = 0) -> Backbone:
        """Build the network with random weights: for tests, and as a baseline."""
        raise BackboneError(
            f"backbone {info.name!r} cannot be made with random weights; use its own."
        )

    @classmethod
    def weight_files(cls, info: BackboneInfo) -> tuple[WeightFile, ...]:
        """Name the files to fetch for ``info``; none where weights come some other way."""
        return cls.files

    @classmethod
    def files_to_carry(cls, info: BackboneInfo) -> tuple[WeightFile, ...]:
        """Name the files that another machine needs, which may lack what is installed here."""
        return cls.weight_files(info)

    @classmethod
    def own_files(cls, info: BackboneInfo) -> tuple[Path, ...]:
        """Return the files of a network of somebody's own; none where others publish it."""
        return ()

    def verify(self) -> str:
        """Compare the loaded network with published reference values; say what was compared.

        :class:`BackboneError` where they differ. The hash of the weights is checked by loading.
        """
        return "weights are in place; no reference values are published for this network"

    def prepare(self, clip: np.ndarray, moments: tuple[float, float] | None = None) -> np.ndarray:
        """Normalise a whole clip (n,) before it is cut into windows; here, leave it as it is.

        ``moments`` are mean and variance of the whole, where ``clip`` is only a part of it; they
        are given where ``normalises``.
        """
        return clip

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the numbers of rows that can be computed together, and the network's input.

        Arguments are those of :meth:`forward`; the input (B, ...) is float32.
        """
        raise NotImplementedError

    def body(self, x: Tensor) -> Activations:
        """Yield every layer's name and activations (B, C, T, F) for an input, lowest first.

        A generator: layers that nobody asks for are not computed. Only tensors may decide what
        is computed, so that the calls can be recorded for another engine.
        """
        raise NotImplementedError

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        """Return how much each frame of the activations ``x`` (B, C, T, F) counts, (B, T)."""
        raise NotImplementedError

    def compute(self, x: Tensor, layers: Collection[str]) -> Activations:
        """Yield the activations of ``layers``: the engine of plain PyTorch."""
        names = set(layers)
        for name, activations in self.body(x.to(self.dtype)):
            if name in names:
                yield name, activations
                names.remove(name)
            if not names:
                return

    def forward(
        self, windows: Tensor, valid: Tensor, layers: Collection[str] | None = None
    ) -> dict[str, LayerStats]:
        """Return the statistics of ``layers`` (default: all) for ``windows``.

        ``windows``: (B, core + 2 * context) float32; ``valid``: (B,) int64, the number of real
        samples in each core, at least 1. Nothing is computed beyond the highest of ``layers``. The
        results are on ``device``, like the network.
        """
        windows, valid = windows.to(self.device), valid.to(self.device)
        bands = {y.name: y.bands for y in self.info.layers if layers is None or y.name in layers}
        order, parts, drops = [], [], self.info.drops_rounding
        for rows, x in self.inputs(windows, valid):
            real = valid[rows]
            order.append(rows)
            parts.append(
                {
                    name: layer_stats(y, self.weigh(name, y, real), bands[name], drops)
                    for name, y in self.engine(x, bands)
                }
            )
        if len(parts) == 1:
            return parts[0]
        back = torch.cat(order).argsort()
        return {name: join([part[name] for part in parts]).rows(back) for name in parts[0]}

    def restrict_to_layers(self, layers: Collection[str]) -> None:
        """Drop all other layers; nothing above the highest of ``layers`` is computed."""
        for name in layers:
            self.info.layer(name)
        own = tuple(layer for layer in self.info.layers if layer.name in layers)
        self.info = replace(self.info, layers=own)

    def save_memory(self) -> None:
        """Keep fewer activations for gradients, where the network can; here, change nothing."""

    def cast(self, precision: str) -> Backbone:
        """Compute the network in ``precision`` ('float32', 'bfloat16' or 'float16') from here on.

        The front end stays in float32: a spectrogram's range does not fit half precision.
        """
        if precision not in PRECISIONS:
            raise BackboneError(
                f"precision {precision!r} is unknown; give one of {', '.join(PRECISIONS)}."
            )
        self.dtype, self.precision = PRECISIONS[precision], precision
        for name in self.castable:
            self.get_submodule(name).to(self.dtype)
        return self

    @property
    def fingerprint(self) -> str:
        """Everything that decides an embedding's bytes: name, version, weights and precision."""
        return f"{self.info.name}/{self.info.version}/{self.weights_hash}/{self.precision}"


def all_rows(windows: Tensor) -> Tensor:
    """Return the numbers of all rows of a batch, for a network that takes them together."""
    return torch.arange(len(windows), device=windows.device)


def frame_weights(frames: int, first: int, stride: int, valid: Tensor) -> Tensor:
    """Return (B, T) float32, 1 for each frame of real samples in the core.

    The centre of frame ``t`` is ``first + t * stride`` samples after the start of the core, and
    may be negative. It stands for the stride in which it lies, so that the frames of neighbouring
    windows tile a clip and no clip is without a frame. ``valid`` (B,) counts the real samples.
    """
    starts = first - first % stride + stride * torch.arange(frames, device=valid.device)
    return ((starts >= 0) & (starts < valid[:, None])).float()


def real_share(frames: int, stride: float, valid: Tensor) -> Tensor:
    """Return (B, T): how much of each frame, ``stride`` samples long, is real audio, 0 to 1.

    For networks that read windows of one length: the last window of a clip then weighs less.
    """
    starts = stride * torch.arange(frames, device=valid.device)
    return ((valid[:, None] - starts) / stride).clamp(0, 1)


def fill(
    backbone: B, module: nn.Module, state: Mapping[str, Tensor], weights_hash: str, source: str
) -> B:
    """Give ``module`` of ``backbone`` its tensors, laid out as convolutions read them fastest."""
    assign(module, state, source)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    backbone.weights_hash = weights_hash
    return backbone


def random_state(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return a state for ``module`` with random weights (He et al. 2015); seeds give equal ones."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, like in module.state_dict().items():
        bound = math.sqrt(6 / like[0].numel()) if name.endswith("weight") else 0.1
        state[name] = torch.empty(like.shape).uniform_(-bound, bound, generator=generator)
    return state


def layer_stats(
    x: Tensor, weight: Tensor, bands: int = 1, drops_rounding: bool = False
) -> LayerStats:
    """Reduce ``x`` (B, C, T, F) over time and within coarse frequency bands.

    ``weight`` (B, T), not negative. F must be a multiple of ``bands``. Where a window has no frame
    of any weight, its statistics are zero and so is its count. ``drops_rounding`` applies
    :func:`without_rounding` to the variance.
    """
    batch, channels, time, width = x.shape
    frames = weight.sum(1)
    share = (weight / frames.clamp_min(1e-9)[:, None])[:, None]  # (B, 1, T)
    flat = x.float().permute(0, 2, 3, 1).reshape(batch, time, -1)  # (B, T, F * C)
    mean = share @ flat
    var = share @ (flat - mean).square_()
    mean, var = (s.view(batch, bands, width // bands, channels) for s in (mean, var))
    band = mean.mean(2)  # (B, bands, C)
    var = var.mean(2) + (mean - band[:, :, None]).square().mean(2)
    mean, var = (s.transpose(1, 2).flatten(1) for s in (band, var))
    return LayerStats(frames, mean, without_rounding(mean, var) if drops_rounding else var)


def without_rounding(mean: Tensor, var: Tensor) -> Tensor:
    """Return ``var`` with zeros where the deviation is no more than ``ROUNDING`` of the mean.

    The mean of a thousand equal numbers is rounded, so it differs from them a little. That would
    count as a deviation, and the root in a head's features would make it a large one.
    """
    return var.masked_fill(var.detach().sqrt() <= ROUNDING * mean.detach().abs(), 0)
