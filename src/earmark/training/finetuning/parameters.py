"""Select the parameters to tune: all, those of the last layers, or low-rank additions (LoRA)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from earmark.backbones.base import Backbone
from earmark.backbones.info import BackboneInfo
from earmark.errors import BackboneError
from earmark.system import extras
from earmark.training.finetuning.recipe import LAST, LORA

LORA_RANK, LORA_ALPHA = 8, 16  # as in LoRA (Hu et al. 2021, arXiv:2106.09685) and peft


class NotTunedError(BackboneError):
    """The layers in use have no parameters to tune, or the weights diverged."""


def tunable(network: Backbone, how: str) -> dict[str, int]:
    """Switch on gradients of the parameters that ``how`` selects, and return the depth of each.

    The depth is the number of layers between a parameter and the highest layer of ``network``, 0
    for the highest. Parameters that affect no layer in use stay frozen, and so do the layers of
    ``network.untuned``. For 'lora' this function adds the low-rank additions; BackboneError if the
    network cannot have them. NotTunedError if there is nothing to tune.
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
            f" {', '.join(layers)}. Choose higher layers (--layers) or another backbone, or leave"
            " --finetune out."
        )
    return depth


def lowest_layers(network: Backbone, parameters: Iterable[str]) -> dict[str, int]:
    """Return for each of ``parameters`` the number of the lowest layer that it affects.

    Autograd finds it, so it works for any network. Parameters that affect no layer are left out.
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
    """Give every linear map inside the blocks of the network a low-rank addition."""
    targets = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and re.search(r"\.layers?\.\d+\.", name)
    ]
    if not targets:
        raise BackboneError(
            f"backbone {network.info.name!r} is not a transformer, and 'lora' needs one. Give"
            " 'last:N' or 'full'."
        )
    raw = _read_raw(network, targets)
    config = {"r": LORA_RANK, "lora_alpha": LORA_ALPHA}
    with torch.random.fork_rng([]):  # a resumed run must start with the same numbers
        torch.manual_seed(0)
        if called := [name for name in targets if name not in raw]:
            peft = extras.load("peft", "finetune", "fine-tuning")
            # in a list, because peft expects a transformers configuration of a bare network
            peft.inject_adapter_in_model(
                peft.LoraConfig(**config, target_modules=called), nn.ModuleList([network])
            )
        for name in raw:
            module = network.get_submodule(name)
            low_rank = LowRank(network.get_parameter(f"{name}.weight"))
            parametrize.register_parametrization(module, "weight", low_rank)


def _read_raw(network: Backbone, targets: Iterable[str]) -> list[str]:
    """Return those of the linear maps ``targets`` that the network never calls.

    WavLM's attention passes their weights to a function. A parametrisation of the weight takes
    effect there, but an addition that wraps the module does not.
    """
    called: set[nn.Module] = set()
    modules = {name: network.get_submodule(name) for name in targets}
    hooks = [
        module.register_forward_hook(lambda module, *_: called.add(module))
        for module in modules.values()
    ]
    with torch.no_grad():
        for _ in network.compute(_example(network), [y.name for y in network.info.layers]):
            pass
    for hook in hooks:
        hook.remove()
    return [name for name, module in modules.items() if module not in called]


class LowRank(nn.Module):
    """A parametrisation that adds the product of two factors to a weight (out, in), as peft does.

    ``lora_A`` (r, in) starts with random values, ``lora_B`` (out, r) with zeros.
    """

    scaling = LORA_ALPHA / LORA_RANK

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.lora_A = nn.Parameter(weight.new_empty(LORA_RANK, weight.shape[1]))
        self.lora_B = nn.Parameter(weight.new_zeros(weight.shape[0], LORA_RANK))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + self.scaling * (self.lora_B @ self.lora_A)


def states(network: Backbone, names: Mapping[str, int]) -> dict[str, Tensor]:
    """Return the tuned tensors by the parameter names of the network as it was loaded.

    A low-rank addition has ``NAME.lora_a`` (r, in) and ``NAME.lora_b`` (out, r). Their product is
    added to the parameter ``NAME``.
    """
    if not any("lora_" in name for name in names):
        parameters = dict(network.named_parameters())
        return {name: parameters[name].detach().clone() for name in names}
    factors = {}
    for name, module in network.named_modules():
        if isinstance(module, LowRank) and f"{name}.lora_A" in names:
            own = name.removesuffix(".parametrizations.weight.0")
            a, b, scaling = module.lora_A, module.lora_B, module.scaling
        elif any(n.startswith(f"{name}.lora_A.") for n in names):
            own, (adapter,) = name, module.lora_A.keys()
            a, b = module.lora_A[adapter].weight, module.lora_B[adapter].weight
            scaling = module.scaling[adapter]
        else:
            continue
        factors[f"{own}.weight.lora_a"] = a.detach() * scaling
        factors[f"{own}.weight.lora_b"] = b.detach().clone()
    return factors
