"""The whole way from windows to logits as one function that gradients go through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earmark.backbones.base import Backbone, LayerStats
from earmark.backbones.info import BackboneInfo
from earmark.classifier.calibration import Calibration
from earmark.classifier.features import FeatureSpec, list_statistics, signed_root, statistic_values
from earmark.classifier.head import Head


class WindowBatch(NamedTuple):
    """What one backbone hears of a batch: ``windows`` (W, n), ``valid`` (W,), ``clip`` (W,).

    ``clip`` numbers the clip that a window is of.
    """

    windows: Tensor
    valid: Tensor
    clip: Tensor


class Tunable(nn.Module):
    """Backbones, pooling and head: what :class:`Classifier` computes, differentiable.

    The head begins as the fitted one, its temperature put into its weights: so the logits are
    those of the frozen classifier until the first step.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        networks: Sequence[Backbone],
        reading: FeatureSpec,
        head: Head,
        calibration: Calibration,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.backbones, self.reading, self.kind = networks, reading, head.kind
        self.infos = [network.info for network in networks]
        self.parts = list_statistics(self.infos, reading)
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
        self, heard: Sequence[WindowBatch], clips: int, factors: Tensor | None = None
    ) -> Tensor:
        """Return logits (B, K) of ``clips`` clips, heard by each backbone in turn.

        Features are multiplied by ``factors`` (B, D) where there are any: 0 drops one.
        """
        x = torch.cat(
            [
                self._features(k, *part, clips)
                for k, part in enumerate(heard)
                if self.reading.layers[k]
            ],
            1,
        )
        z = (x - self.mean) / self.scale
        if factors is not None:
            z = z * factors
        return self._logits(z)

    def _features(
        self, number: int, windows: Tensor, valid: Tensor, clip: Tensor, clips: int
    ) -> Tensor:
        """Return (B, d), what is read of one backbone; see :func:`readings.features`."""
        network, info = self.backbones[number], self.infos[number]
        stats = network(windows, valid, self.reading.layers[number])
        held = pool(info, stats, clip.to(network.device), clips)
        parts = [part for part in self.parts if part.backbone == number]
        x = torch.cat([statistic_values(info, held, part) for part in parts], 1)
        return x if info.is_logarithmic else signed_root(x)

    def _logits(self, z: Tensor) -> Tensor:
        t = dict(zip(self.names, self.head, strict=True))
        if self.kind != "mlp":
            return F.linear(z, t["weight"], t["bias"])
        hidden = F.relu(F.linear(z, t["hidden.weight"], t["hidden.bias"]))
        return F.linear(hidden, t["output.weight"], t["output.bias"])


def pool(
    info: BackboneInfo, stats: Mapping[str, LayerStats], clip: Tensor, clips: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return mean and deviation (B, D) of each layer, like :func:`embed.pool`.

    ``clip`` (W,) numbers the clip of each window of ``stats``, from 0 to ``clips``.
    """
    names = [layer.name for layer in info.layers]
    sizes = [layer.size for layer in info.layers]
    mean = torch.cat([stats[name].mean for name in names], 1)
    var = torch.cat([stats[name].var for name in names], 1)
    if len(clip) > clips:
        frames = torch.stack([stats[name].frames for name in names], 1)  # (W, layers)
        total = frames.new_zeros(clips, len(names)).index_add(0, clip, frames)
        weight = (frames / total.clamp_min(1e-9)[clip]).repeat_interleave(
            torch.tensor(sizes, device=clip.device), 1
        )
        none = mean.new_zeros(clips, mean.shape[1])
        centre = none.index_add(0, clip, weight * mean)
        var = none.index_add(0, clip, weight * (var + (mean - centre[clip]).square()))
        mean = centre
    spread = signed_root(var)
    halves = zip(torch.split(mean, sizes, 1), torch.split(spread, sizes, 1), strict=True)
    return dict(zip(names, halves, strict=True))
