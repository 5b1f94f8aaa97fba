"""Which parameters of a network are tuned: all, those of its last layers, or low-rank additions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.errors import BackboneError
from earmark.system import extras
from earmark.training.finetuning.recipe import LAST, LORA

LORA_RANK, LORA_ALPHA = 8, 16  # as in LoRA (Hu et al. 2021, arXiv:2106.09685) and peft


class NotTunedError(BackboneError):
    """The layers in use have nothing to tune, or the weights grew beyond all bounds."""


def tunable(network: Backbone, how: str) -> dict[str, int]:
    """Let the parameters that ``how`` names have gradients, and return the depth of each.

    A depth is the number of layers between a parameter and the highest layer of ``network``, 0 for
    the highest. Parameters that change no layer in use stay frozen, and so do the layers of
    ``network.untuned``. For 'lora' the network gets its additions here; BackboneError where it can
    have none. NotTunedError where nothing is left to tune.
    """
    if how == LORA:
        _add_low_rank(network)
    names = [n for n, _ in network.named_parameters() if how != LORA or "lora_" in n]
    lowest = lowest_layers(network, names) if names else {}
    top = max(lowest.values(), default=0)
    match = LAST.fullmatch(how)
    numbers = sorted(set(lowest.values()))[-int(match[1]) if match else 0 :]
    layers = [layer.name for layer in network.info.layers]
    depth = {
        name: top - layer
        for name, layer in lowest.items()
        if layer in numbers and layers[layer] not in network.untuned
    }
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in depth)
    if not depth:
        raise NotTunedError(
            f"backbone {network.info.name!r} has nothing to fine-tune in the layers"
            f" {', '.join(layers)}; read higher ones (--layers), use another, or leave --finetune"
            " out."
        )
    return depth


def lowest_layers(network: Backbone, parameters: Iterable[str]) -> dict[str, int]:
    """Return for each of ``parameters`` the number of the lowest layer that it changes.

    Autograd says so: it holds for any network. What changes no layer is left out.
    """
    names = set(parameters)
    left = {name: p for name, p in network.named_parameters() if name in names}
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for parameter in left.values():
        parameter.requires_grad_(True)
    lowest: dict[str, int] = {}
    x = _example(network)
    for number, (_, y) in enumerate(network.compute(x, [y.name for y in network.info.layers])):
        if not y.requires_grad or not left:
            continue
        slopes = torch.autograd.grad(
            y.float().square().sum(), list(left.values()), allow_unused=True, retain_graph=True
        )
        reached = [name for name, slope in zip(left, slopes, strict=True) if slope is not None]
        lowest |= dict.fromkeys(reached, number)
        for name in reached:
            del left[name]
    return lowest


def _example(network: Backbone) -> Tensor:
    """Return the network's input for a second of noise, or for one window if that is longer."""
    info: BackboneInfo = network.info
    samples = info.window if info.step is None else min(info.window, info.rate_hz)
    samples -= samples % (info.step or samples)
    noise = torch.randn(1, samples + 2 * info.context, generator=torch.Generator().manual_seed(0))
    noise = (0.1 * noise).to(network.device)
    with torch.no_grad():
        valid = torch.tensor([samples], device=network.device)
        return next(iter(network.inputs(noise, valid)))[1]


def _add_low_rank(network: Backbone) -> None:
    """Give every linear map inside the network's blocks a low-rank addition."""
    targets = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and re.search(r"\.layers?\.\d+\.", name)
    ]
    if not targets:
        raise BackboneError(
            f"backbone {network.info.name!r} is no transformer, and 'lora' is for these; give"
            " 'last:N' or 'full'."
        )
    peft = extras.load("peft", "finetune", "fine-tuning")
    config = peft.LoraConfig(r=LORA_RANK, lora_alpha=LORA_ALPHA, target_modules=targets)
    with torch.random.fork_rng([]):  # a run that is taken up has to begin with the same numbers
        torch.manual_seed(0)
        # in a list, for peft asks a module with a configuration what only transformers' have
        peft.inject_adapter_in_model(config, nn.ModuleList([network]))


def states(network: Backbone, names: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the tuned tensors, under the names of the network as it was loaded.

    Of a low-rank addition these are ``NAME.lora_a`` (r, in) and ``NAME.lora_b`` (out, r), whose
    product is added to the parameter ``NAME``.
    """
    if not any("lora_" in name for name in names):
        parameters = dict(network.named_parameters())
        return {name: parameters[name].detach().clone() for name in names}
    factors = {}
    for name, module in network.named_modules():
        if not any(n.startswith(f"{name}.lora_A.") for n in names):
            continue
        (adapter,) = module.lora_A.keys()
        scaled = module.lora_A[adapter].weight.detach() * module.scaling[adapter]
        factors[f"{name}.weight.lora_a"] = scaled
        factors[f"{name}.weight.lora_b"] = module.lora_B[adapter].weight.detach().clone()
    return factors
