"""The feature specs that training chooses from, by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from earmark.backbones.info import BackboneInfo
from earmark.backbones.layers import layers_of
from earmark.classifier.features import FeatureSpec


def candidates(infos: Sequence[BackboneInfo], layers: str) -> dict[str, FeatureSpec]:
    """Return the feature specs to choose from, by name.

    ``layers`` is 'last', 'all', a list 'NAME,NAME' (with several backbones also 'BACKBONE/NAME')
    or 'auto'. With 'auto' there are, for each backbone: each layer alone, the mean of its layers
    of equal size, its upper half and all its layers. Several backbones together give their last
    layers, their upper halves and all layers. Each set comes with and without deviations, and with
    and without frequency bands, except single layers below the last.
    """
    if layers == "auto":
        named = {
            f"{prefix}{name}": spec
            for prefix, chosen in _combinations(infos)
            for name, spec in _sets(infos, chosen).items()
        }
    else:
        named = {layers: FeatureSpec(layers_of(infos, layers))}
    return {
        name + suffix: variant
        for name, spec in named.items()
        for suffix, variant in ([("", spec)] if _is_inner(infos, spec) else _variants(infos, spec))
    }


def _is_inner(infos: Sequence[BackboneInfo], spec: FeatureSpec) -> bool:
    """Return whether ``spec`` reads a single layer that is not the last of its backbone."""
    read = [(k, name) for k, names in enumerate(spec.layers) for name in names]
    return len(read) == 1 and read[0][1] != infos[read[0][0]].layers[-1].name


def _combinations(infos: Sequence[BackboneInfo]) -> list[tuple[str, tuple[int, ...]]]:
    """Return each combination of backbones, and the prefix of the names of its specs."""
    every = range(len(infos))
    chosen = [c for size in every for c in itertools.combinations(every, size + 1)]
    return [
        ("" if len(c) == len(infos) else "+".join(infos[k].name for k in c) + "/", c)
        for c in chosen
    ]


def _sets(infos: Sequence[BackboneInfo], chosen: tuple[int, ...]) -> dict[str, FeatureSpec]:
    """Return the named feature specs of some backbones, without their variants."""
    every = [
        tuple(layer.name for layer in info.layers) if k in chosen else ()
        for k, info in enumerate(infos)
    ]

    upper = FeatureSpec(tuple(names[len(names) // 2 :] for names in every))
    named = {"upper": upper, "all": FeatureSpec(tuple(every))}
    if len(chosen) > 1:
        return {"last": FeatureSpec(tuple(names[-1:] for names in every)), **named}
    (k,) = chosen
    alone = {
        name: FeatureSpec(tuple((name,) if j == k else () for j in range(len(infos))))
        for name in every[k]
    }
    equal = _equal_layers(infos[k])
    if len(equal) > 2:
        mean = tuple(equal if j == k else () for j in range(len(infos)))
        named["mean"] = FeatureSpec(mean, averaged=True)
    return {**alone, **(named if len(every[k]) > 1 else {})}


def _equal_layers(info: BackboneInfo) -> tuple[str, ...]:
    """Return the largest set of layers of equal size, such as the blocks of a transformer."""
    by_size: dict[tuple[int, int], list[str]] = {}
    for layer in info.layers:
        by_size.setdefault((layer.channels, layer.bands), []).append(layer.name)
    return max(map(tuple, by_size.values()), key=len)


def _variants(infos: Sequence[BackboneInfo], spec: FeatureSpec) -> list[tuple[str, FeatureSpec]]:
    """Return ``spec`` with all or fewer statistics, each with the suffix of its name."""
    layers = [info.layer(n) for info, ns in zip(infos, spec.layers, strict=True) for n in ns]
    bands = (True, False) if any(layer.bands > 1 for layer in layers) else (True,)
    return [
        (
            ("" if spread else ", means") + ("" if banded else ", no bands"),
            replace(spec, spread=spread, bands=banded),
        )
        for spread in (True, False)
        for banded in bands
    ]
