"""Read the tensors of a network from a file, and load them into the network."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from earmark.backbones.weights import MAX_BYTES
from earmark.errors import BackboneError, first_line

LFS_POINTER = b"version https://git-lfs"


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file or a PyTorch state dict, on the CPU.

    No code in the file is run. Raises BackboneError for any other file, and for one that is
    damaged, larger than ``MAX_BYTES`` or holds anything but named tensors.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BackboneError(
            f"{path} has {size:,} bytes, and at most {MAX_BYTES:,} are loaded. Give the weights of"
            " one network."
        )
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise BackboneError(
                f"{path} is a Git LFS pointer and not the weights themselves. Run `git lfs pull` in"
                " its folder."
            )
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BackboneError(
            f"{path} is not a plain state dict: it is damaged, or holds Python objects, which are"
            " never run. Save it again with torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:  # torch raises all kinds of exceptions for a damaged file
        raise BackboneError(
            f"{path} cannot be read as weights: {first_line(error)}. Fetch it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise BackboneError(
            f"{path} holds {type(state).__name__} and not a plain state dict of tensors. Save it"
            " again with torch.save(model.state_dict(), path)."
        )
    check_finite(path, state)
    return state


def check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    """Raise BackboneError, with the file and the first tensor, for weights with NaN or infinity."""
    for name, x in state.items():
        finite = torch.isfinite(x.float() if x.itemsize == 1 else x)
        if not bool(finite.all()):
            raise BackboneError(
                f"{path}: the tensor {name} has NaN or infinity in {int((~finite).sum()):,} of"
                f" {x.numel():,} values. Fetch the weights again, or repeat the training that made"
                " them."
            )


def assign(module: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Give ``module`` the tensors of ``state`` without copying; every name and shape must match.

    Raises BackboneError, with the first difference, for the weights of another network. The message
    calls the weights ``source``.
    """
    own = module.state_dict()
    for name in [*own, *state]:
        shapes = [tuple(d[name].shape) if name in d else None for d in (state, own)]
        if shapes[0] != shapes[1]:
            theirs, ours = ("missing" if s is None else f"of shape {s}" for s in shapes)
            raise BackboneError(
                f"{source} holds the weights of another network: {name} is {theirs} there and"
                f" {ours} in this backbone. Give the file that belongs to this backbone."
            )
    module.load_state_dict(state, assign=True)
