"""Convolutions with few channels, which some processors compute wrongly in bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor, nn

THIN = 15  # channels per group of a convolution that bfloat16 may get wrong


def keep_thin_convolutions(network: nn.Module) -> None:
    """Compute convolutions with few channels per group in float32, inside a network in bfloat16.

    On processors with AMX, oneDNN computes some of them wrongly in bfloat16: with 2 to 14 channels
    and 8 taps or more (PyTorch 2.13; pytorch/pytorch#163347 is of the kind). They are cheap.
    """
    for module in network.modules():
        if not isinstance(module, nn.Conv1d | nn.Conv2d) or module.weight.dtype != torch.bfloat16:
            continue
        if 1 < module.in_channels // module.groups <= THIN:
            module.float()
            module.register_forward_pre_hook(_as_float)
            module.register_forward_hook(_as_bfloat16)


def _as_float(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].float(),)


def _as_bfloat16(_: nn.Module, __: tuple[Tensor], output: Tensor) -> Tensor:
    return output.to(torch.bfloat16)
