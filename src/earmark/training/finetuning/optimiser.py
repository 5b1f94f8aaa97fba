"""AdamW with rates relative to the size of each weight."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

WEIGHT_DECAY = 0.01
MOST_NORM = 1.0  # all gradients together are clipped to this norm
WARM_UP = 0.1  # the rate rises in this share of the steps, then falls along half a cosine
SMALLEST_CHANNEL = 1e-2  # the least size of a channel, as a share of the size of its tensor
SMALLEST = 1e-4  # the least size of any channel or tensor
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # the state of AdamW for a parameter


class Optimiser:
    """Updates ``parameters`` with AdamW; each of ``rates`` is a share of the parameter's size.

    The size is the root mean square of each output channel. If normalisation is folded into
    convolutions, the channels of a tensor can differ a thousandfold, so one size for each tensor,
    as in Adafactor (Shazeer and Stern 2018, arXiv:1804.04235), is not enough. A tensor of zeros,
    such as the initial ``lora_B``, has size 1.
    """

    def __init__(self, parameters: Sequence[Tensor], rates: Sequence[float]) -> None:
        self.parameters = list(parameters)
        self.sizes = [_size(p.detach()) for p in parameters]
        # the fused step runs through memory, so all its tensors must have the same layout
        self.units = [
            (p.detach() / s).clone(memory_format=torch.contiguous_format)
            for p, s in zip(parameters, self.sizes, strict=True)
        ]
        groups = [
            {"params": [u for u, r in zip(self.units, rates, strict=True) if r == rate], "at": rate}
            for rate in dict.fromkeys(rates)
        ]
        self.adam = torch.optim.AdamW(groups, 0.0, weight_decay=WEIGHT_DECAY, fused=True)

    def step(self, slopes: list[Tensor], progress: float) -> bool:
        """Take a step at ``progress`` (0 to 1) of the schedule; False if a gradient is not finite.

        ``slopes``, the gradients, is emptied on the way to save memory.
        """
        for unit, size in zip(self.units[::-1], self.sizes[::-1], strict=True):
            unit.grad = (slopes.pop() * size).contiguous()
        norm = torch.nn.utils.get_total_norm([u.grad for u in self.units if u.grad is not None])
        if not bool(torch.isfinite(norm)):
            return False
        torch.nn.utils.clip_grads_with_norm_(self.units, MOST_NORM, norm)
        for group in self.adam.param_groups:
            group["lr"] = group["at"] * share(progress)
        self.adam.step()
        self.adam.zero_grad()
        self._write()
        return True

    def _write(self) -> None:
        """Write the units, times their sizes, into the parameters."""
        with torch.no_grad():
            for parameter, unit, size in zip(self.parameters, self.units, self.sizes, strict=True):
                parameter.copy_(unit * size)

    def state(self) -> dict[str, Tensor]:
        """Return all tensors that later steps depend on."""
        tensors = {f"unit.{number}": unit for number, unit in enumerate(self.units)}
        for number, unit in enumerate(self.units):
            moments = self.adam.state[unit]  # empty before the first step
            tensors |= {f"{name}.{number}": moments[name] for name in MOMENTS if moments}
        return tensors

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore the state that :meth:`state` returned."""
        for number, unit in enumerate(self.units):
            unit.copy_(state[f"unit.{number}"])
            if f"step.{number}" in state:
                self.adam.state[unit] = {
                    name: state[f"{name}.{number}"].to(unit.device) for name in MOMENTS
                }
        self._write()


def share(progress: float) -> float:
    """Return the share of the full rate: it rises linearly, then falls along half a cosine."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _size(tensor: Tensor) -> Tensor:
    """Return the root mean square of each output channel, shaped to multiply ``tensor``."""
    whole = tensor.square().mean().sqrt()
    if not whole:
        return torch.ones_like(whole)
    if tensor.dim() < 2:
        return whole.clamp_min(SMALLEST)
    channel = tensor.flatten(1).square().mean(1).sqrt()
    channel = channel.clamp_min(SMALLEST_CHANNEL * float(whole)).clamp_min(SMALLEST)
    return channel.view(-1, *[1] * (tensor.dim() - 1))
