"""Named sets of layers, over one backbone or several, and the features they pick."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from earmark.backbones import BackboneInfo
from earmark.embed import Embeddings
from earmark.errors import BackboneError, did_you_mean

LayerSet = tuple[tuple[str, ...], ...]  # layer names, for each backbone in turn


def candidates(infos: Sequence[BackboneInfo], wanted: str) -> dict[str, LayerSet]:
    """Return the layer sets to choose from, by name.

    ``wanted`` is 'last', 'all', a list 'NAME,NAME' (with several backbones also
    'BACKBONE/NAME'), or 'auto': the last layer, the upper half, and all.
    """
    every = [tuple(layer.name for layer in info.layers) for info in infos]
    named = {
        "last": tuple(layers[-1:] for layers in every),
        "upper": tuple(layers[len(layers) // 2 :] for layers in every),
        "all": tuple(every),
    }
    if wanted == "auto":
        return {name: layers for name, layers in named.items() if _first(name, layers, named)}
    if wanted in ("last", "all"):
        return {wanted: named[wanted]}
    return {wanted: _listed(infos, wanted)}


def _first(name: str, layers: LayerSet, named: dict[str, LayerSet]) -> bool:
    """Whether ``name`` is the first of the names for these layers (a small network has few)."""
    return next(n for n, other in named.items() if other == layers) == name


def _listed(infos: Sequence[BackboneInfo], wanted: str) -> LayerSet:
    picked: list[list[str]] = [[] for _ in infos]
    for item in wanted.split(","):
        backbone, _, name = item.strip().rpartition("/")
        homes = [
            k
            for k, info in enumerate(infos)
            if backbone in ("", info.name) and name in {layer.name for layer in info.layers}
        ]
        if not homes:
            known = [layer.name for info in infos for layer in info.layers]
            raise BackboneError(
                f"no layer {item.strip()!r} in {', '.join(info.name for info in infos)};"
                f"{did_you_mean(name, known)} known: auto, last, all, {', '.join(known)}."
            )
        for k in homes:
            picked[k].append(name)
    return tuple(tuple(names) for names in picked)


def features(embeddings: Sequence[Embeddings], layers: LayerSet) -> np.ndarray:
    """Return (N, D) float32: the picked layers of every backbone, side by side."""
    return np.hstack(
        [e.features(names) for e, names in zip(embeddings, layers, strict=True) if names]
    )
