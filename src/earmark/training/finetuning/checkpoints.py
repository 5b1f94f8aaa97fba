"""Checkpoints, from which a killed run resumes. They are written atomically."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from earmark.errors import EarmarkWarning
from earmark.system.cache import finetuning_folder
from earmark.system.files import whole_file
from earmark.system.jsons import json_text


class Checkpoints:
    """Named states of one fine-tuning, in a folder named ``key``: a hash of all that decides them.

    If the disk is full, it warns once and stops writing; training continues.
    """

    def __init__(self, key: str, is_writer: bool = True) -> None:
        self.folder = finetuning_folder() / key
        self.is_writer = is_writer

    def load(self, name: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return the state and tensors saved under ``name``; None without a complete file."""
        try:
            with safe_open(self._place(name), framework="pt") as file:
                state = json.loads((file.metadata() or {})["earmark"], object_hook=_with_nan)
                return state, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def save(self, name: str, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write ``state`` and ``tensors`` under a name, atomically."""
        if not self.is_writer:
            return
        tensors = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self._place(name)) as part:
                safetensors.torch.save_file(
                    tensors, part, {"earmark": json_text(state, ascii_only=True)}
                )
        except (OSError, SafetensorError) as error:
            self.is_writer = False
            reason = getattr(error, "strerror", None) or str(error)
            warnings.warn(
                f"checkpoints cannot be written to {self.folder} ({reason}); training continues"
                " without them.",
                EarmarkWarning,
                stacklevel=2,
            )

    def drop(self, name: str) -> None:
        """Delete a state that is no longer needed."""
        if self.is_writer:
            self._place(name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete all states; call it once the classifier is saved."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def _with_nan(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object in which null is NaN; it stands for a figure that was not finite."""
    return {key: float("nan") if item is None else item for key, item in value.items()}
