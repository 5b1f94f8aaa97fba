"""What a head reads of embeddings: which layers, and what of their statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.layers import LayerSet
from earmark.embeddings.pooling import columns

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FeatureSpec:
    """The layers of each backbone in turn, and what is read of their statistics.

    With ``spread`` the deviations are read beside the means, with ``bands`` each coarse frequency
    band by itself. ``averaged`` reads the mean over the layers, which must be of equal size.
    """

    layers: LayerSet
    spread: bool = True
    bands: bool = True
    averaged: bool = False


LEAST_ROOT = 0.1  # gradients through a root are those of this at least: at 0 they have no end


class Statistic(NamedTuple):
    """The least that readings share: one statistic of a layer, or of the mean over several."""

    backbone: int
    layers: tuple[str, ...]
    is_spread: bool
    has_bands: bool


def compute_features(
    infos: Sequence[BackboneInfo], matrices: Sequence[np.ndarray], reading: FeatureSpec
) -> np.ndarray:
    """Return (N, D) float32 of what ``reading`` reads in the embeddings (N, E) of each backbone."""
    found = list_statistics(infos, reading)
    return np.hstack([compute_statistic(infos[p.backbone], matrices[p.backbone], p) for p in found])


def list_statistics(infos: Sequence[BackboneInfo], reading: FeatureSpec) -> tuple[Statistic, ...]:
    """Return the parts of a reading, in the order of its features."""
    found = []
    for k, (info, names) in enumerate(zip(infos, reading.layers, strict=True)):
        groups = ([names] if names else []) if reading.averaged else [(name,) for name in names]
        for group in groups:
            bands = reading.bands or info.layer(group[0]).bands == 1  # one name for the same thing
            found.append(Statistic(k, group, False, bands))
            if reading.spread:
                found.append(Statistic(k, group, True, bands))
    return tuple(found)


def compute_statistic(info: BackboneInfo, matrix: np.ndarray, part: Statistic) -> np.ndarray:
    """Return (N, d) float32: signed square roots of one statistic.

    Roots calm the few loud units that would rule a distance or a standardised sum (power
    normalisation: Perronnin, Sanchez and Mensink 2010). Logarithms are taken as they are.
    """
    import torch

    held = {}
    for name in part.layers:
        both = torch.from_numpy(matrix[:, columns(info, [name])].astype(np.float32))
        held[name] = (both[:, : info.layer(name).size], both[:, info.layer(name).size :])
    values = statistic_values(info, held, part)
    return (values if info.is_logarithmic else signed_root(values)).numpy()


def statistic_values(
    info: BackboneInfo, held: Mapping[str, tuple[Tensor, Tensor]], part: Statistic
) -> Tensor:
    """Return (N, d), what :func:`part_features` takes the roots of.

    ``held`` has the mean and the deviation (N, D) of each layer, by name.
    """
    found = []
    for name in part.layers:
        mean, spread = held[name]
        if not part.has_bands:
            mean, spread = _without_bands(info.layer(name), mean, spread)
        found.append(spread if part.is_spread else mean)
    total = found[0]
    for values in found[1:]:
        total = total + values
    return total / len(found) if len(found) > 1 else total


def signed_root(x: Tensor) -> Tensor:
    """Return the root of each size, with the sign that it had; gradients stay bounded at 0."""
    import torch

    if not (x.requires_grad and torch.is_grad_enabled()):
        return x.sign() * x.abs().sqrt()
    with torch.no_grad():
        root = x.sign() * x.abs().sqrt()
        slope = 0.5 / root.abs().clamp_min(LEAST_ROOT)
    return root + (x - x.detach()) * slope


def _without_bands(layer: Layer, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Join the bands of each channel: the mean and the deviation over all of its frequencies."""
    means = mean.reshape(-1, layer.channels, layer.bands)
    squares = spread.reshape(means.shape).square() + means.square()
    joined = means.mean(2)
    return joined, signed_root((squares.mean(2) - joined.square()).clamp_min(0))
