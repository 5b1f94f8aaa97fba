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
from earmark.backbones.thin_convolutions import keep_thin_convolutions
from earmark.backbones.weights import WeightFile
from earmark.errors import BackboneError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class LayerStats(NamedTuple):
    """Statistics of one layer for B windows.

    Attributes
    ----------
    frames : Tensor, (B,)
        Number of frames of real audio in each window; a partly real frame counts as a fraction.
        It is the window's weight when the windows of a clip are pooled.
    mean : Tensor, (B, D) float32
    var : Tensor, (B, D) float32
        The biased variance. Unlike a raw second moment, it loses no digits where a channel hardly
        changes.
    """

    frames: Tensor
    mean: Tensor
    var: Tensor

    def rows(self, index: Tensor | slice) -> LayerStats:
        """Return the statistics of the windows at ``index``."""
        return LayerStats(*(column[index] for column in self))


def join(stats: Sequence[LayerStats]) -> LayerStats:
    """Concatenate several batches of windows; all ``stats`` belong to the same layer."""
    return LayerStats(*(torch.cat(column) for column in zip(*stats, strict=True)))


Activations = Iterator[tuple[str, Tensor]]  # a layer's name and its activations (B, C, T, F)
Engine = Callable[[Tensor, Collection[str]], Activations]
B = TypeVar("B", bound="Backbone")

# Relative to the mean: 256 rounding steps of float32. On silence, the mean of equal numbers was off
# by up to 40 steps. On real sounds, hardly any deviation lies between 64 and 256 steps.
ROUNDING = 2.0**-15
KNOWN_WEIGHTS = 256  # of frames, for windows of some lengths


class Backbone(nn.Module):
    """A pretrained network: windows of waveform in, statistics of every layer out.

    Subclasses set ``weights_hash`` and write three parts: :meth:`inputs`, the front end;
    :meth:`body`, the network; :meth:`weigh`, the share of real audio in each frame. An ``engine``
    other than PyTorch may compute the body (see ``engines.py``). A network that cannot be split
    into these parts overrides :meth:`forward` instead.

    The result for a window must not depend on its neighbours in the batch or on zeros after it.

    Attributes
    ----------
    info : BackboneInfo
        Its rate, windows and layers.
    device : torch.device
        Where it computes.
    precision : str
        'float32', 'bfloat16', 'float16' or 'fast'.
    normalises : bool
        Whether :meth:`prepare` needs the moments of the whole clip.
    weights_hash : str
        SHA-256 of the weights, or another text that changes when the weights change.
    """

    weights_hash: str = "none"
    files: ClassVar[tuple[WeightFile, ...]] = ()  # published weights, if they are plain files
    openvino_gains: ClassVar[bool] = False  # whether 'auto' prefers OpenVINO if nothing was timed
    batch_s: ClassVar[float] = 20.0  # seconds of audio in one pass; more overflows a CPU's caches
    runtime: ClassVar[str] = "torch"  # the package that computes it
    half_is_close: ClassVar[bool] = False  # bfloat16 embeddings keep a cosine of 0.999 to float32
    free_axes: ClassVar[tuple[int, ...]] = ()  # of the body's input: as long as the clip; never 0
    castable: ClassVar[tuple[str, ...]] = ()  # submodules that :meth:`cast` converts; no front end
    untuned: ClassVar[tuple[str, ...]] = ()  # layers that fine-tuning leaves unchanged
    rate: ClassVar[float] = 1.0  # learning rate of fine-tuning, as a factor of the recipe's
    least_samples: int = 0  # if positive: a window is cut to its real samples, at least so many
    position_dependence: str = ""  # why a window depends on more than its core and context, if so

    def __init__(self, info: BackboneInfo) -> None:
        super().__init__()
        self.info = info
        self.dtype = torch.float32
        self.precision = "float32"
        self.device = torch.device("cpu")
        self.normalises = False
        self.engine: Engine = self.compute
        self._block_frames: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._known_weights: dict[tuple[str, int, int], Tensor] = {}

    @classmethod
    def load(cls, info: BackboneInfo) -> Backbone:
        """Build the network with its weights; :class:`BackboneError` if they are missing."""
        return cls(info)

    @classmethod
    def random(cls, info: BackboneInfo, seed: int = 0) -> Backbone:
        """Build the network with random weights: for tests, and as a baseline."""
        raise BackboneError(
            f"backbone {info.name!r} cannot be made with random weights. Use its pretrained"
            " weights."
        )

    @classmethod
    def weight_files(cls, info: BackboneInfo) -> tuple[WeightFile, ...]:
        """Return the files to fetch for ``info``; none if the weights come some other way."""
        return cls.files

    @classmethod
    def files_to_carry(cls, info: BackboneInfo) -> tuple[WeightFile, ...]:
        """Return the files that another machine needs; it may lack packages installed here."""
        return cls.weight_files(info)

    @classmethod
    def own_files(cls, info: BackboneInfo) -> tuple[Path, ...]:
        """Return the files of a user's own network; none for a published network."""
        return ()

    def verify(self) -> str:
        """Compare the loaded network with published reference values; return what was compared.

        Raises :class:`BackboneError` if they differ. Loading has already checked the weights' hash.
        """
        return "weights are in place; no reference values are published for this network"

    def prepare(self, clip: np.ndarray, moments: tuple[float, float] | None = None) -> np.ndarray:
        """Normalise a clip (n,) before it is cut into windows; by default, return it unchanged.

        If ``normalises`` is true and ``clip`` is only a part, ``moments`` are the mean and variance
        of the whole clip.
        """
        return clip

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield indices of rows that can be computed together, and the network's input for them.

        Arguments are those of :meth:`forward`; the input (B, ...) is float32.
        """
        raise NotImplementedError

    def body(self, x: Tensor) -> Activations:
        """Yield every layer's name and activations (B, C, T, F) for an input, lowest first.

        This is a generator, so that the caller can stop after the last layer it needs. It must
        consist of tensor operations only, so that another engine can record them.
        """
        raise NotImplementedError

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        """Return the weight (B, T) of each frame of ``x`` (B, C, T, F) in the statistics."""
        raise NotImplementedError

    def compute(self, x: Tensor, layers: Collection[str]) -> Activations:
        """Yield the activations of ``layers``, computed by plain PyTorch."""
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
        """Return the statistics of ``layers`` for ``windows``.

        Parameters
        ----------
        windows : Tensor, (B, core + 2 * context) float32
            Waveform at ``info.rate_hz``, full scale 1.
        valid : Tensor, (B,) int64
            Number of real samples in each core, at least 1.
        layers : collection of str, optional
            Names of layers; by default all. Nothing above the highest is computed.

        Returns
        -------
        dict of str to LayerStats
            On ``device``, like the network.
        """
        windows, valid = windows.to(self.device), valid.to(self.device)
        bands = {y.name: y.bands for y in self.info.layers if layers is None or y.name in layers}
        order, parts = [], []
        for rows, x in self.inputs(windows, valid):
            real = valid[rows]
            order.append(rows)
            part = {
                name: layer_stats(y, self._weights(name, y, real), bands[name])
                for name, y in self.engine(x, bands)
            }
            parts.append(_all_without_rounding(part) if self.info.drops_rounding else part)
        if len(parts) == 1:
            return parts[0]
        back = torch.cat(order).argsort()
        return {name: join([part[name] for part in parts]).rows(back) for name in parts[0]}

    def _weights(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        """Return what :meth:`weigh` does; for one window, what it returned before."""
        if len(valid) > 1 or valid.is_cuda:
            return self.weigh(layer, x, valid)
        key, known = (layer, x.shape[2], int(valid[0])), self._known_weights
        if key not in known:
            if len(known) >= KNOWN_WEIGHTS:
                known = self._known_weights = {}
            with torch.inference_mode(False):
                known[key] = self.weigh(layer, x, valid)
        return known[key]

    def window_activations(
        self, window: Tensor, valid: Tensor
    ) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield each layer's name, activations (1, C, T, F) and weights (1, T) for one window.

        Arguments are those of :meth:`forward`. Only tensor operations compute it, so that it can be
        recorded once for windows of any length. If ``least_samples`` is positive, ``window`` is
        (1, max(valid, least_samples)).
        """
        layers = [layer.name for layer in self.info.layers]
        for name, y in self.compute(self.window_input(window, valid), layers):
            yield name, y, self.weigh(name, y, valid)

    def window_input(self, window: Tensor, valid: Tensor) -> Tensor:
        """Return the network's input for one window; arguments as in :meth:`window_activations`."""
        ((_, x),) = self.inputs(window, valid)
        return x

    def block_step(self) -> int | None:
        """Return the samples between frames of the slowest layer.

        Statistics may be taken over any multiple of it, because a frame depends on the samples
        around it alone. None if a frame depends on the whole window.
        """
        return None

    def block_stats(self, window: Tensor, block: int) -> dict[str, LayerStats]:
        """Return the statistics of each block of a window, for every layer.

        Parameters
        ----------
        window : Tensor, (core + 2 * context,) float32
            The core has n whole blocks.
        block : int
            Samples, a multiple of :meth:`block_step`.

        Returns
        -------
        dict of str to LayerStats
            n rows, in order.
        """
        windows = window[None].to(self.device)
        core = len(window) - 2 * self.info.context
        valid = torch.tensor([core], device=self.device)
        bands = {layer.name: layer.bands for layer in self.info.layers}
        ((_, x),) = self.inputs(windows, valid)
        stats = {}
        for name, y in self.engine(x, bands):
            key = name, y.shape[2], core
            if key not in self._block_frames:
                weight = self.weigh(name, y, valid)[0]
                self._block_frames[key] = int(weight.argmax()), int(weight.sum())
            first, frames = self._block_frames[key]
            stats[name] = statistics_of_blocks(
                y[0, :, first : first + frames], core // block, bands[name]
            )
        return stats

    def restrict_to_layers(self, layers: Collection[str]) -> None:
        """Drop all layers except ``layers``; nothing above the highest of these is computed."""
        for name in layers:
            self.info.layer(name)
        own = tuple(layer for layer in self.info.layers if layer.name in layers)
        self.info = replace(self.info, layers=own)

    def save_memory(self) -> None:
        """Keep fewer activations for gradients, if the network can; by default, do nothing."""

    def cast(self, precision: str) -> Backbone:
        """Convert the network to ``precision`` ('float32', 'bfloat16' or 'float16').

        The front end stays in float32: a spectrogram's range does not fit half precision.
        """
        if precision not in PRECISIONS:
            raise BackboneError(
                f"precision {precision!r} is unknown. Give one of {', '.join(PRECISIONS)}."
            )
        self.dtype, self.precision = PRECISIONS[precision], precision
        for name in self.castable:
            self.get_submodule(name).to(self.dtype)
        if self.dtype == torch.bfloat16:
            keep_thin_convolutions(self)
        return self

    @property
    def fingerprint(self) -> str:
        """Name, version, weights' hash and precision: all that decides an embedding's bytes."""
        return f"{self.info.name}/{self.info.version}/{self.weights_hash}/{self.precision}"


def all_rows(windows: Tensor) -> Tensor:
    """Return the indices of all rows, for a network that computes them in one batch."""
    return torch.arange(len(windows), device=windows.device)


def frame_weights(frames: int, first: int, stride: int, valid: Tensor) -> Tensor:
    """Return (B, T) float32: 1 for each frame of real samples in the core, else 0.

    The centre of frame ``t`` is ``first + t * stride`` samples after the start of the core, which
    may be negative. A frame stands for the stride that contains its centre. So the frames of
    neighbouring windows tile a clip, and every clip has a frame. ``valid`` (B,) is the number of
    real samples.
    """
    starts = first - first % stride + stride * torch.arange(frames, device=valid.device)
    return ((starts >= 0) & (starts < valid[:, None])).float()


def real_share(frames: int, stride: float, valid: Tensor) -> Tensor:
    """Return (B, T): the share of real audio, 0 to 1, in each frame of ``stride`` samples.

    It is for networks that read windows of a fixed length: a clip's last window then weighs less.
    """
    starts = stride * torch.arange(frames, device=valid.device)
    return ((valid[:, None] - starts) / stride).clamp(0, 1)


def fill(
    backbone: B, module: nn.Module, state: Mapping[str, Tensor], weights_hash: str, source: str
) -> B:
    """Load ``state`` into ``module`` of ``backbone``, channels last: fastest for convolutions."""
    assign(module, state, source)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    backbone.weights_hash = weights_hash
    return backbone


def random_state(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return random weights for ``module`` (He et al. 2015); equal seeds give equal weights."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, like in module.state_dict().items():
        bound = math.sqrt(6 / like[0].numel()) if name.endswith("weight") else 0.1
        state[name] = torch.empty(like.shape).uniform_(-bound, bound, generator=generator)
    return state


def layer_stats(
    x: Tensor, weight: Tensor, bands: int = 1, drops_rounding: bool = False
) -> LayerStats:
    """Reduce ``x`` (B, C, T, F) to mean and variance over time and within ``bands`` of frequency.

    ``weight`` (B, T) is not negative. F must be a multiple of ``bands``. A window whose frames all
    have weight 0 gets statistics and a frame count of 0. ``drops_rounding`` applies
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
    if width > bands:
        var = var.mean(2) + (mean - band[:, :, None]).square().mean(2)
    mean, var = (s.view(batch, bands, channels).transpose(1, 2).flatten(1) for s in (band, var))
    return LayerStats(frames, mean, without_rounding(mean, var) if drops_rounding else var)


def statistics_of_blocks(x: Tensor, n: int, bands: int = 1) -> LayerStats:
    """Reduce ``x`` (C, T, F) to mean and variance within n blocks of its frames."""
    channels, frames, width = x.shape
    each = x.float().permute(1, 2, 0)  # (T, F, C), contiguous
    each = each.reshape(n, frames // n, bands, width // bands, channels)
    mean = each.mean((1, 3), keepdim=True)
    var = (each - mean).square_().mean((1, 3))  # (n, bands, C)
    mean, var = (s.view(n, bands, channels).transpose(1, 2).flatten(1) for s in (mean, var))
    return LayerStats(torch.full((n,), frames / n, device=x.device), mean, var)


def without_rounding(mean: Tensor, var: Tensor) -> Tensor:
    """Return ``var`` with zeros where the deviation is at most ``ROUNDING`` times the mean.

    The mean of a thousand equal numbers is rounded, so it differs from them a little. That would
    count as a deviation, and the square root in a head's features would enlarge it.
    """
    return var.masked_fill(var.detach().sqrt() <= ROUNDING * mean.detach().abs(), 0)


def _all_without_rounding(stats: Mapping[str, LayerStats]) -> dict[str, LayerStats]:
    """Apply :func:`without_rounding` to all layers together: a small operation costs its call."""
    sizes = [layer.mean.shape[1] for layer in stats.values()]
    means, variances = (torch.cat([layer[k] for layer in stats.values()], 1) for k in (1, 2))
    parts = without_rounding(means, variances).split_with_sizes(sizes, 1)
    pairs = zip(stats.items(), parts, strict=True)
    return {name: layer._replace(var=var) for (name, layer), var in pairs}
