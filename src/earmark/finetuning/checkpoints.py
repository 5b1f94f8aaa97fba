"""What a killed run goes on from: files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from earmark.errors import EarmarkWarning
from earmark.store import finetuning_folder


class Checkpoints:
    """Named states of one fine-tuning, in a folder whose name covers all that decides its result.

    With a full disk there are none from then on, which is said once: training goes on.
    """

    def __init__(self, key: str, is_writer: bool = True) -> None:
        self.folder = finetuning_folder() / key
        self.is_writer = is_writer

    def load(self, name: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return what was saved under ``name``, or None if there is nothing whole."""
        try:
            with safe_open(self._place(name), framework="pt") as file:
                said = json.loads((file.metadata() or {})["earmark"])
                return said, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def save(self, name: str, said: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write a state, atomically."""
        if not self.is_writer:
            return
        at = self._place(name)
        part = at.with_suffix(".part")
        held = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            safetensors.torch.save_file(held, part, {"earmark": json.dumps(said)})
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, at)
        except (OSError, SafetensorError) as error:
            self.is_writer = False
            with contextlib.suppress(OSError):
                part.unlink()
            reason = getattr(error, "strerror", None) or str(error)
            warnings.warn(
                f"no checkpoint can be kept in {self.folder} ({reason}); training goes on without.",
                EarmarkWarning,
                stacklevel=2,
            )

    def drop(self, name: str) -> None:
        """Delete a state that is not needed any more."""
        if self.is_writer:
            self._place(name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete all of it, once the classifier is saved."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
