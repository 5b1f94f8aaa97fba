"""Apply fine-tuned weights, the differences from the published network.

They are tensors by name. A parameter's new value has the parameter's name. Two factors called
``NAME.lora_a`` (r, in) and ``NAME.lora_b`` (out, r) have a product that is added to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch

from earmark.backbones.base import Backbone
from earmark.errors import ModelError

FACTORS = (".lora_a", ".lora_b")


def apply_tuned_weights(network: Backbone, tensors: Mapping[str, np.ndarray]) -> None:
    """Apply fine-tuned ``tensors`` to ``network``, and change its hash for the store.

    Raises :class:`ModelError` if the tensors do not fit.
    """
    if not tensors:
        return
    parameters = dict(network.named_parameters())
    digest = hashlib.sha256()
    with torch.no_grad():
        for name, value in sorted(tensors.items()):
            digest.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
            own = name.removesuffix(FACTORS[0]).removesuffix(FACTORS[1])
            if name.endswith(FACTORS[1]) and f"{own}{FACTORS[0]}" in tensors:
                continue  # done with the other factor
            new = _product(tensors, own) if own != name else _tensor(value)
            if new is None or own not in parameters or parameters[own].shape != new.shape:
                raise ModelError(
                    f"the classifier's fine-tuned {name} {tuple(value.shape)} does not fit backbone"
                    f" {network.info.name!r}. Get the original file again."
                )
            new = new.to(parameters[own])
            parameters[own].copy_(new if own == name else parameters[own] + new)
    network.weights_hash += f"+{digest.hexdigest()[:32]}"


def _product(tensors: Mapping[str, np.ndarray], own: str) -> torch.Tensor | None:
    """Return the product that two factors add to the parameter ``own``; None if they do not fit."""
    a, b = (tensors.get(f"{own}{factor}") for factor in FACTORS)
    if a is None or b is None or a.ndim != 2 or b.ndim != 2 or b.shape[1] != a.shape[0]:
        return None
    return _tensor(b).float() @ _tensor(a).float()


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(value))
