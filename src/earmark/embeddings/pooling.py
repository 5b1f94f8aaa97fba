"""Combine the statistics of all windows of a clip into its embedding."""

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
    """Return the column numbers of ``layers`` in an embedding: means, then deviations, of each."""
    halves = (half for name in layers for half in halves_of(info, name))
    return np.concatenate([np.arange(half.start, half.stop) for half in halves])


def halves_of(info: BackboneInfo, name: str) -> tuple[slice, slice]:
    """Return the columns of a layer's means and of its deviations in an embedding."""
    layer = info.layer(name)
    before = itertools.takewhile(lambda other: other.name != layer.name, info.layers)
    start = sum(2 * other.size for other in before)
    middle = start + layer.size
    return slice(start, middle), slice(middle, middle + layer.size)


def merge(stats: LayerStats) -> LayerStats:
    """Combine the statistics of W windows into those of one: float64, (1,) and (1, D).

    Means and variances are weighted by frames (Chan et al. 1979), so the result is that of the
    uncut clip.
    """
    frames, mean, var = (s.double() for s in stats)
    if len(frames) == 1:  # it is its own mean
        return LayerStats(frames, mean, var)
    share = (frames / frames.sum().clamp_min(1e-9))[:, None]
    total = (share * mean).sum(0)
    spread = (share * (var + (mean - total).square())).sum(0)
    return LayerStats(frames.sum()[None], total[None], spread[None])


def pool(info: BackboneInfo, stats: Mapping[str, LayerStats]) -> np.ndarray:
    """Combine the statistics of all windows of a clip, (W, D) per layer, into its embedding (E,).

    The embedding is rounded as in the store.
    """
    merged = [merge(stats[layer.name]) for layer in info.layers]
    mean, var = torch.cat([s.mean[0] for s in merged]), torch.cat([s.var[0] for s in merged])
    if info.drops_rounding:
        var = without_rounding(mean, var)
    sizes = [layer.size for layer in info.layers]
    halves = zip(mean.split_with_sizes(sizes), var.sqrt().split_with_sizes(sizes), strict=True)
    return as_stored(torch.cat([half for pair in halves for half in pair]).numpy())


def merge_section(section: WindowStats) -> WindowStats:
    """Merge the windows of a section, because the windows of a day would take gigabytes."""
    return replace(section, stats={name: merge(s) for name, s in section.stats.items()})


def pool_clip(info: BackboneInfo, parts: Sequence[WindowStats]) -> Embedded | Failure:
    """Return the embedding of a clip from its statistics; a long clip's are in sections.

    If the network gives NaN or infinity, the result is a failure that names the layer.
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
