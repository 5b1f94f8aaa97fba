"""What a head reads of the embeddings: which layers, and what of their statistics."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.layers import LayerSet, layers_of
from earmark.embeddings.pooling import columns

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Reading:
    """The layers of each backbone in turn, and what is read of their statistics.

    With ``spread`` the deviations are read beside the means, with ``bands`` each coarse frequency
    band by itself. ``averaged`` reads the mean over the layers, which must be of equal size.
    """

    layers: LayerSet
    spread: bool = True
    bands: bool = True
    averaged: bool = False


LEAST_ROOT = 0.1  # gradients through a root are those of this at least: at 0 they have no end


class Part(NamedTuple):
    """The least that readings share: one statistic of a layer, or of the mean over several."""

    backbone: int
    layers: tuple[str, ...]
    is_spread: bool
    has_bands: bool


def candidates(infos: Sequence[BackboneInfo], wanted: str) -> dict[str, Reading]:
    """Return the readings to choose from, by name.

    ``wanted`` is 'last', 'all', a list 'NAME,NAME' (with several backbones also 'BACKBONE/NAME'),
    or 'auto': of every backbone each layer alone, the mean over its layers of equal size, the
    upper half and all; of several backbones together their last layers, upper halves and all.
    Each comes with and without the deviations, and with and without frequency bands.
    """
    if wanted == "auto":
        named = {
            f"{prefix}{name}": layers
            for prefix, chosen in _combinations(infos)
            for name, layers in _sets(infos, chosen).items()
        }
    else:
        named = {wanted: Reading(layers_of(infos, wanted))}
    return {
        name + suffix: variant
        for name, reading in named.items()
        for suffix, variant in _variants(infos, reading)
    }


def features(
    infos: Sequence[BackboneInfo], matrices: Sequence[np.ndarray], reading: Reading
) -> np.ndarray:
    """Return (N, D) float32 of what ``reading`` reads in the embeddings (N, E) of each backbone."""
    found = parts(infos, reading)
    return np.hstack([part_features(infos[p.backbone], matrices[p.backbone], p) for p in found])


def parts(infos: Sequence[BackboneInfo], reading: Reading) -> tuple[Part, ...]:
    """Return the parts of a reading, in the order of its features."""
    found = []
    for k, (info, names) in enumerate(zip(infos, reading.layers, strict=True)):
        groups = ([names] if names else []) if reading.averaged else [(name,) for name in names]
        for group in groups:
            bands = reading.bands or info.layer(group[0]).bands == 1  # one name for the same thing
            found.append(Part(k, group, False, bands))
            if reading.spread:
                found.append(Part(k, group, True, bands))
    return tuple(found)


def part_features(info: BackboneInfo, matrix: np.ndarray, part: Part) -> np.ndarray:
    """Return (N, d) float32: signed square roots of one statistic.

    Roots calm the few loud units that would rule a distance or a standardised sum (power
    normalisation: Perronnin, Sanchez and Mensink 2010). Logarithms are taken as they are.
    """
    import torch

    held = {}
    for name in part.layers:
        both = torch.from_numpy(matrix[:, columns(info, [name])].astype(np.float32))
        held[name] = (both[:, : info.layer(name).size], both[:, info.layer(name).size :])
    values = statistic(info, held, part)
    return (values if info.is_logarithmic else signed_root(values)).numpy()


def statistic(info: BackboneInfo, held: Mapping[str, tuple[Tensor, Tensor]], part: Part) -> Tensor:
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


def _combinations(infos: Sequence[BackboneInfo]) -> list[tuple[str, tuple[int, ...]]]:
    """Return each backbone and each combination of them, with the prefix of its readings' names."""
    every = range(len(infos))
    chosen = [c for size in every for c in itertools.combinations(every, size + 1)]
    return [
        ("" if len(c) == len(infos) else "+".join(infos[k].name for k in c) + "/", c)
        for c in chosen
    ]


def _sets(infos: Sequence[BackboneInfo], chosen: tuple[int, ...]) -> dict[str, Reading]:
    """Return the named readings of some backbones, without their variants."""
    every = [
        tuple(layer.name for layer in info.layers) if k in chosen else ()
        for k, info in enumerate(infos)
    ]

    upper = Reading(tuple(names[len(names) // 2 :] for names in every))
    named = {"upper": upper, "all": Reading(tuple(every))}
    if len(chosen) > 1:
        return {"last": Reading(tuple(names[-1:] for names in every)), **named}
    (k,) = chosen
    alone = {
        name: Reading(tuple((name,) if j == k else () for j in range(len(infos))))
        for name in every[k]
    }
    equal = _equal_layers(infos[k])
    if len(equal) > 2:
        mean = tuple(equal if j == k else () for j in range(len(infos)))
        named["mean"] = Reading(mean, averaged=True)
    return {**alone, **(named if len(every[k]) > 1 else {})}


def _equal_layers(info: BackboneInfo) -> tuple[str, ...]:
    """Return the largest set of layers of equal size, such as the blocks of a transformer."""
    by_size: dict[tuple[int, int], list[str]] = {}
    for layer in info.layers:
        by_size.setdefault((layer.channels, layer.bands), []).append(layer.name)
    return max(map(tuple, by_size.values()), key=len)


def _variants(infos: Sequence[BackboneInfo], reading: Reading) -> list[tuple[str, Reading]]:
    """Return ``reading`` with less and less of the statistics, and what to add to its name."""
    held = [info.layer(n) for info, ns in zip(infos, reading.layers, strict=True) for n in ns]
    bands = (True, False) if any(layer.bands > 1 for layer in held) else (True,)
    return [
        (
            ("" if spread else ", means") + ("" if banded else ", no bands"),
            replace(reading, spread=spread, bands=banded),
        )
        for spread in (True, False)
        for banded in bands
    ]
