"""Select the features that a head reads from embeddings: layers and statistics of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from earmark.backbones.info import BackboneInfo
from earmark.backbones.layers import LayerSet
from earmark.embeddings.pooling import halves_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FeatureSpec:
    """The features of a head.

    Attributes
    ----------
    layers : tuple of tuple of str
        Layer names of each backbone, in order.
    spread : bool
        Whether standard deviations are features, as well as means.
    bands : bool
        Whether each coarse frequency band is a feature of its own.
    averaged : bool
        Whether the features are means over the layers, which must have equal sizes.
    """

    layers: LayerSet
    spread: bool = True
    bands: bool = True
    averaged: bool = False


LEAST_ROOT = 0.1  # a root's gradient is infinite at 0, so it is that of a root of at least this


class Statistic(NamedTuple):
    """One statistic of a layer, or of the mean over several layers; specs may share it."""

    backbone: int
    layers: tuple[str, ...]
    is_spread: bool
    has_bands: bool


def compute_features(
    infos: Sequence[BackboneInfo], matrices: Sequence[np.ndarray], specs: Sequence[FeatureSpec]
) -> np.ndarray:
    """Return the features (N, D) float32 of ``specs`` from each backbone's embeddings (N, E)."""
    import torch

    columns = []
    with torch.inference_mode():
        for k, group in itertools.groupby(list_statistics(infos, specs), lambda p: p.backbone):
            values = [_values(infos[k], matrices[k], statistic) for statistic in group]
            columns.append(_rooted(infos[k], torch.cat(values, 1)))
        return torch.cat(columns, 1).numpy() if len(columns) > 1 else columns[0].numpy()


def list_statistics(
    infos: Sequence[BackboneInfo], specs: Sequence[FeatureSpec]
) -> tuple[Statistic, ...]:
    """Return the statistics that ``specs`` read, each once, in the order of the features.

    The order is by backbone.
    """
    statistics = dict.fromkeys(part for spec in specs for part in _statistics(infos, spec))
    return tuple(sorted(statistics, key=lambda part: part.backbone))


def _statistics(infos: Sequence[BackboneInfo], spec: FeatureSpec) -> Iterator[Statistic]:
    for k, (info, names) in enumerate(zip(infos, spec.layers, strict=True)):
        groups = ([names] if names else []) if spec.averaged else [(name,) for name in names]
        for group in groups:
            bands = spec.bands or info.layer(group[0]).bands == 1  # the same if there is one band
            yield Statistic(k, group, False, bands)
            if spec.spread:
                yield Statistic(k, group, True, bands)


def layers_read(specs: Sequence[FeatureSpec]) -> LayerSet:
    """Return each backbone's layers that at least one of ``specs`` reads, each once."""
    per_backbone = zip(*(spec.layers for spec in specs), strict=True)
    return tuple(tuple(dict.fromkeys(chain(*several))) for several in per_backbone)


def count_features(infos: Sequence[BackboneInfo], specs: Sequence[FeatureSpec]) -> int:
    """Return D, the number of features of ``specs``; ValueError for means of unequal layers."""
    return sum(statistic_size(infos, part) for part in list_statistics(infos, specs))


def statistic_size(infos: Sequence[BackboneInfo], statistic: Statistic) -> int:
    """Return the number of features of a statistic; ValueError for a mean of unequal layers."""
    layers = [infos[statistic.backbone].layer(name) for name in statistic.layers]
    sizes = {layer.size if statistic.has_bands else layer.channels for layer in layers}
    if len(sizes) > 1:
        raise ValueError("averaged layers must have equal sizes")
    return sizes.pop()


def compute_statistic(info: BackboneInfo, matrix: np.ndarray, statistic: Statistic) -> np.ndarray:
    """Return the signed square roots (N, d) float32 of one statistic.

    Without roots, a few large units would dominate distances and standardised sums (power
    normalisation: Perronnin, Sanchez and Mensink 2010). Logarithmic layers are left unchanged.
    """
    return _rooted(info, _values(info, matrix, statistic)).numpy()


def _values(info: BackboneInfo, matrix: np.ndarray, statistic: Statistic) -> Tensor:
    """Return the values (N, d) float32 of a statistic before roots are taken."""
    import torch

    def read(half: slice) -> Tensor:
        return torch.from_numpy(matrix[:, half].astype(np.float32))

    moments = {}
    for name in statistic.layers:
        means, spreads = halves_of(info, name)
        if statistic.is_spread and not statistic.has_bands:
            moments[name] = read(means), read(spreads)
        else:  # only one of the two is needed
            moments[name] = (read(spreads if statistic.is_spread else means),) * 2
    return statistic_values(info, moments, statistic)


def _rooted(info: BackboneInfo, values: Tensor) -> Tensor:
    return values if info.is_logarithmic else signed_root(values)


def statistic_values(
    info: BackboneInfo, moments: Mapping[str, tuple[Tensor, Tensor]], statistic: Statistic
) -> Tensor:
    """Return the values (N, d) of a statistic before :func:`compute_statistic` takes roots.

    ``moments`` has the mean and the deviation (N, D) of each layer, by name.
    """
    layers = []
    for name in statistic.layers:
        mean, spread = moments[name]
        if not statistic.has_bands:
            layer = info.layer(name)
            mean, spread = (x.reshape(-1, layer.channels, layer.bands) for x in (mean, spread))
            channel_mean = mean.mean(2)
            if statistic.is_spread:  # over all frequencies of a channel
                squares = (spread.square() + mean.square()).mean(2)
                spread = signed_root((squares - channel_mean.square()).clamp_min(0))
            mean = channel_mean
        layers.append(spread if statistic.is_spread else mean)
    total = layers[0]
    for values in layers[1:]:
        total = total + values
    return total / len(layers) if len(layers) > 1 else total


def signed_root(x: Tensor) -> Tensor:
    """Return the root of each absolute value with its sign; gradients stay bounded at 0."""
    import torch

    with torch.no_grad():
        root = x.abs().sqrt().copysign(x)
    if not (x.requires_grad and torch.is_grad_enabled()):
        return root
    with torch.no_grad():
        slope = 0.5 / root.abs().clamp_min(LEAST_ROOT)
    return root + (x - x.detach()) * slope
