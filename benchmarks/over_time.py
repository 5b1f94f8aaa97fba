"""Statistics of a network's layers over time; for ideas.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch

from earmark import audio
from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo, Layer
from earmark.data.clip import Clip
from earmark.embeddings.cutting import cut, make_request
from earmark.embeddings.stages import CutClip, Request

STATISTICS = ("extremes", "halves", "deltas", "quantiles")


def embed_time(network: Backbone, clips: Sequence[Clip]) -> tuple[BackboneInfo, np.ndarray]:
    """Return statistics over time (N, E) of three layers, as the layers of another network."""
    layers = network.info.layers[:: -(len(network.info.layers) // 3)][:3]
    rows = []
    for clip in clips:
        of_layer = frames(network, clip, [layer.name for layer in layers])
        parts = [over_time(of_layer[layer.name]) for layer in layers]
        rows.append(np.concatenate([half for part in parts for half in part]))
    own = [Layer(f"{y.name} {kind}", y.channels, y.bands) for y in layers for kind in STATISTICS]
    info = replace(network.info, name=f"{network.info.name}-time", layers=tuple(own))
    return info, np.stack(rows)


def frames(network: Backbone, clip: Clip, layers: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the activations (T, D) of each layer's real frames, or the means of windows."""
    request = make_request(network, audio.AS_IT_IS, clip)
    assert isinstance(request, Request), request
    piece = cut(network, audio.AS_IT_IS, request)
    assert isinstance(piece, CutClip), piece
    windows, valid = torch.from_numpy(piece.windows), torch.from_numpy(piece.valid)
    with torch.inference_mode():
        if len(windows) > 1:
            stats = network(windows, valid, layers)
            return {name: own.mean.numpy() for name, own in stats.items()}
        ((_, x),) = network.inputs(windows, valid)
        found = {}
        for name, y in network.compute(x, layers):
            weight = network.weigh(name, y, valid)[0]
            real = y[0].float()[:, weight >= min(0.5, float(weight.max()))]  # (C, T, F)
            bands = network.info.layer(name).bands
            parted = real.reshape(*real.shape[:2], bands, -1).mean(3)
            found[name] = parted.permute(1, 0, 2).flatten(1).numpy()
    return found


def over_time(x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield two statistics (D,) of the frames (T, D) for each of STATISTICS."""
    step = np.abs(np.diff(x, axis=0)) if len(x) > 1 else np.zeros_like(x)
    yield from (x.max(0), x.min(0))
    yield from (x[: (len(x) + 1) // 2].mean(0), x[len(x) // 2 :].mean(0))
    yield from (step.mean(0), step.max(0))
    yield from np.quantile(x, (0.1, 0.9), axis=0).astype(np.float32)


def only(
    info: BackboneInfo, matrix: np.ndarray, statistics: Sequence[str]
) -> tuple[BackboneInfo, np.ndarray]:
    """Keep some of STATISTICS."""
    is_kept = [layer.name.split()[1] in statistics for layer in info.layers]
    columns = np.repeat(is_kept, [2 * layer.size for layer in info.layers])
    layers = tuple(itertools.compress(info.layers, is_kept))
    return replace(info, layers=layers), matrix[:, columns]
