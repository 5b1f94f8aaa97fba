"""The differentiable model, from windows to logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earmark.backbones.base import Backbone, LayerStats, without_rounding
from earmark.backbones.info import BackboneInfo
from earmark.classifier.calibration import Calibration
from earmark.classifier.features import (
    FeatureSpec,
    layers_read,
    list_statistics,
    signed_root,
    statistic_values,
)
from earmark.classifier.head import Head


class WindowBatch(NamedTuple):
    """The windows (W, n) of a batch for one backbone.

    ``valid`` (W,) is the number of real samples in each window, ``clip`` (W,) the number of its
    clip in the batch.
    """

    windows: Tensor
    valid: Tensor
    clip: Tensor


class Tunable(nn.Module):
    """Backbones, pooling and head as one differentiable module, equal to :class:`Classifier`.

    It starts with the fitted head, with the calibration in its weights. So the logits before the
    first step are those of the frozen classifier.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        networks: Sequence[Backbone],
        specs: Sequence[FeatureSpec],
        head: Head,
        calibration: Calibration,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.backbones, self.specs, self.kind = networks, specs, head.kind
        self.layers = layers_read(specs)
        self.infos = [network.info for network in networks]
        self.statistics = list_statistics(self.infos, specs)
        tensors = {name: torch.from_numpy(value.copy()) for name, value in head.tensors.items()}
        self.register_buffer("mean", tensors.pop("mean"))
        self.register_buffer("scale", tensors.pop("scale"))
        last = "output." if head.kind == "mlp" else ""
        tensors[f"{last}weight"] /= calibration.temperature
        tensors[f"{last}bias"] -= calibration.offset
        tensors[f"{last}bias"] /= calibration.temperature
        self.names = list(tensors)
        self.head = nn.ParameterList(tensors.values())

    def forward(
        self, batches: Sequence[WindowBatch], n_clips: int, factors: Tensor | None = None
    ) -> Tensor:
        """Return logits (B, K) of ``n_clips`` clips; ``batches`` has one batch for each backbone.

        Features are multiplied by ``factors`` (B, D) if given; 0 drops a feature.
        """
        read = enumerate(self.layers)
        parts = [self._features(k, batches[k], n_clips) for k, layers in read if layers]
        x = torch.cat(parts, 1)
        z = (x - self.mean) / self.scale
        if factors is not None:
            z = z * factors
        return self._logits(z)

    def _features(self, number: int, batch: WindowBatch, n_clips: int) -> Tensor:
        """Return the features (B, d) of one backbone; see :func:`compute_features`."""
        network, info = self.backbones[number], self.infos[number]
        stats = network(batch.windows, batch.valid, self.layers[number])
        moments = pool(info, stats, batch.clip.to(network.device), n_clips)
        parts = [part for part in self.statistics if part.backbone == number]
        x = torch.cat([statistic_values(info, moments, part) for part in parts], 1)
        return x if info.is_logarithmic else signed_root(x)

    def _logits(self, z: Tensor) -> Tensor:
        t = dict(zip(self.names, self.head, strict=True))
        if self.kind != "mlp":
            return F.linear(z, t["weight"], t["bias"])
        hidden = F.relu(F.linear(z, t["hidden.weight"], t["hidden.bias"]))
        return F.linear(hidden, t["output.weight"], t["output.bias"])


def pool(
    info: BackboneInfo, stats: Mapping[str, LayerStats], clip: Tensor, n_clips: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return mean and deviation (B, D) of each layer, like :func:`earmark.embeddings.pooling.pool`.

    ``clip`` (W,) is the number of the clip of each window of ``stats``, below ``n_clips``.
    """
    names = [layer.name for layer in info.layers]
    sizes = [layer.size for layer in info.layers]
    mean = torch.cat([stats[name].mean for name in names], 1)
    var = torch.cat([stats[name].var for name in names], 1)
    if len(clip) > n_clips:
        frames = torch.stack([stats[name].frames for name in names], 1)  # (W, layers)
        total = frames.new_zeros(n_clips, len(names)).index_add(0, clip, frames)
        weight = (frames / total.clamp_min(1e-9)[clip]).repeat_interleave(
            torch.tensor(sizes, device=clip.device), 1
        )
        none = mean.new_zeros(n_clips, mean.shape[1])
        centre = none.index_add(0, clip, weight * mean)
        var = none.index_add(0, clip, weight * (var + (mean - centre[clip]).square()))
        mean = centre
        if info.drops_rounding:
            var = without_rounding(mean, var)
    spread = signed_root(var)
    halves = zip(torch.split(mean, sizes, 1), torch.split(spread, sizes, 1), strict=True)
    return dict(zip(names, halves, strict=True))
