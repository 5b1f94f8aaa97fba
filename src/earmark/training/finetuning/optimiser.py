"""AdamW on weights in units of their own size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

WEIGHT_DECAY = 0.01
MOST_NORM = 1.0  # of all gradients together
WARM_UP = 0.1  # share of the steps in which the rate rises; half a cosine follows
SMALLEST_CHANNEL = 1e-2  # of a tensor's size: channels below count as so large
SMALLEST = 1e-4
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps of a parameter


class Optimiser:
    """Moves ``parameters``, each at its own ``rates``: shares of its size in a step.

    The size is the root mean square, of each output channel by itself: networks whose
    normalisation is folded into their convolutions have channels that differ a thousandfold.
    Adafactor (Shazeer and Stern 2018, arXiv:1804.04235) takes one size for each tensor. A tensor
    of zeros, with which a low-rank addition begins, has the size that ``size`` says.
    """

    def __init__(self, parameters: Sequence[Tensor], rates: Sequence[float]) -> None:
        self.parameters = list(parameters)
        self.sizes = [_size(p.detach()) for p in parameters]
        # the fused step goes through memory, so that units, slopes and what is restored lie alike
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
        """Move once, ``progress`` (0 to 1) through the schedule; False if a slope is no number.

        ``slopes`` is emptied on the way, to save memory.
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
        with torch.no_grad():
            for parameter, unit, size in zip(self.parameters, self.units, self.sizes, strict=True):
                parameter.copy_(unit * size)

    def state(self) -> dict[str, Tensor]:
        """Return all tensors that a later step depends on."""
        tensors = {f"unit.{number}": unit for number, unit in enumerate(self.units)}
        for number, unit in enumerate(self.units):
            moments = self.adam.state[unit]  # empty before the first step
            tensors |= {f"{name}.{number}": moments[name] for name in MOMENTS if moments}
        return tensors

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what :meth:`state` returned."""
        for number, unit in enumerate(self.units):
            unit.copy_(state[f"unit.{number}"])
            if f"step.{number}" in state:
                self.adam.state[unit] = {
                    name: state[f"{name}.{number}"].to(unit.device) for name in MOMENTS
                }
        self._write()


def share(progress: float) -> float:
    """Return the share of the full rate: it rises evenly, then falls along half a cosine."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _size(tensor: Tensor) -> Tensor:
    whole = tensor.square().mean().sqrt()
    if not whole:
        return torch.ones_like(whole)
    if tensor.dim() < 2:
        return whole.clamp_min(SMALLEST)
    channel = tensor.flatten(1).square().mean(1).sqrt()
    channel = channel.clamp_min(SMALLEST_CHANNEL * float(whole)).clamp_min(SMALLEST)
    return channel.view(-1, *[1] * (tensor.dim() - 1))
