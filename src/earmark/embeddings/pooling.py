"""The statistics of all windows of a clip become its embedding."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from earmark.backbones.base import LayerStats, join, without_rounding
from earmark.backbones.info import BackboneInfo
from earmark.embeddings.stages import Embedded, Failure, WindowStats
from earmark.embeddings.store import as_stored


def columns(info: BackboneInfo, layers: Sequence[str]) -> np.ndarray:
    """Return the columns of an embedding that hold ``layers``: means, then deviations, of each."""
    halves = (half for name in layers for half in halves_of(info, name))
    return np.concatenate([np.arange(half.start, half.stop) for half in halves])


def halves_of(info: BackboneInfo, name: str) -> tuple[slice, slice]:
    """Return the columns of an embedding that hold the means and the deviations of a layer."""
    layer = info.layer(name)
    before = itertools.takewhile(lambda other: other.name != layer.name, info.layers)
    start = sum(2 * other.size for other in before)
    middle = start + layer.size
    return slice(start, middle), slice(middle, middle + layer.size)


def merge(stats: LayerStats) -> LayerStats:
    """Combine the statistics of W windows into those of one, float64, (1,) and (1, D).

    Means and variances are combined in float64 (Chan et al. 1979), weighted by frames, so that
    the result is that of the uncut clip.
    """
    frames, mean, var = (s.double() for s in stats)
    share = (frames / frames.sum().clamp_min(1e-9))[:, None]
    total = (share * mean).sum(0)
    spread = (share * (var + (mean - total).square())).sum(0)
    return LayerStats(frames.sum()[None], total[None], spread[None])


def pool(info: BackboneInfo, stats: Mapping[str, LayerStats]) -> np.ndarray:
    """Combine the statistics of all windows of one clip, (W, D) a layer, into its embedding (E,).

    Rounded as the store rounds.
    """
    parts = []
    for layer in info.layers:
        _, mean, var = merge(stats[layer.name])
        if info.drops_rounding:
            var = without_rounding(mean, var)
        parts += [mean[0], var[0].sqrt()]
    return as_stored(torch.cat(parts).numpy())


def merge_section(section: WindowStats) -> WindowStats:
    """Merge the windows of a section: those of a day would take gigabytes."""
    return replace(section, stats={name: merge(s) for name, s in section.stats.items()})


def pool_clip(info: BackboneInfo, parts: Sequence[WindowStats]) -> Embedded | Failure:
    """Make the embedding of a clip from its statistics, those of a long one in sections.

    A network that gives NaN or infinity makes it a failure, which names the layer.
    """
    first, last = parts[0], parts[-1]
    stats = first.stats
    if len(parts) > 1:
        stats = {name: join([part.stats[name] for part in parts]) for name in stats}
    seconds = sum(part.seconds for part in parts)
    request, vector = first.request, pool(info, stats)
    if not np.isfinite(vector).all():
        ends = itertools.accumulate(2 * layer.size for layer in info.layers)
        wrong = int(np.flatnonzero(~np.isfinite(vector))[0])
        layer = next(y.name for y, end in zip(info.layers, ends, strict=True) if wrong < end)
        reason = (
            f"backbone {info.name!r} gives NaN or infinity in layer {layer!r}; check its weights,"
            " or use another backbone."
        )
        return Failure(request.clip, reason, "network", request.key)
    return Embedded(
        request.clip,
        request.key,
        vector,
        seconds,
        last.warnings,
        is_computed=True,
        content=request.content,
        notes=last.notes,
    )
