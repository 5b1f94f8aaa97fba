"""Layers by the words that name them."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.backbones.info import BackboneInfo
from earmark.errors import BackboneError, did_you_mean

LayerSet = tuple[tuple[str, ...], ...]  # layer names, for each backbone in turn


def layers_of(infos: Sequence[BackboneInfo], wanted: str) -> LayerSet:
    """Return the layers that 'last', 'all' or a list of names stands for."""
    every = [tuple(layer.name for layer in info.layers) for info in infos]
    if wanted == "last":
        return tuple(layers[-1:] for layers in every)
    return tuple(every) if wanted == "all" else _listed(infos, wanted)


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
