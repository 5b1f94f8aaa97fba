"""Turn the words of ``--layers`` into layer names."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.backbones.info import BackboneInfo
from earmark.errors import BackboneError, did_you_mean

LayerSet = tuple[tuple[str, ...], ...]  # layer names of each backbone, in order


def layers_of(infos: Sequence[BackboneInfo], words: str) -> LayerSet:
    """Return the layers of each backbone that ``words`` selects: 'last', 'all' or names."""
    every = [tuple(layer.name for layer in info.layers) for info in infos]
    if words in ("all", "last"):
        return tuple(layers if words == "all" else layers[-1:] for layers in every)
    picks: list[list[str]] = [[] for _ in infos]
    for item in map(str.strip, words.split(",")):
        backbone, _, name = item.rpartition("/")
        homes = [
            k for k, info in enumerate(infos) if backbone in ("", info.name) and name in every[k]
        ]
        if not homes:
            known = [layer for layers in every for layer in layers]
            raise BackboneError(
                f"no layer {item!r} in {', '.join(info.name for info in infos)}."
                f"{did_you_mean(name, known)} Known: auto, last, all, {', '.join(known)}."
            )
        for k in homes:
            if name in picks[k]:
                raise BackboneError(f"layers {words!r} have {name!r} twice. Give each layer once.")
            picks[k].append(name)
    return tuple(map(tuple, picks))
