"""Checkpoints, from which a killed run resumes. Each is put in place whole, and has a digest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import urllib.parse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from earmark.errors import EarmarkError, EarmarkWarning
from earmark.system.cache import finetuning_folder
from earmark.system.jsons import json_text
from earmark.training.finetuning.places import FolderPlace, place_of

SUFFIX = ".safetensors"
PROBE = "check"  # a state that is written to see whether that is allowed
TIMES_AS_LONG = 10  # as writing a state took, until the next one is written


class Checkpoints:
    """Named states of one fine-tuning, under a ``key``: a hash of all that decides them.

    They lie in the cache, or in ``where``: a folder, or a URI in object storage. If the disk is
    full or the network fails, it warns once, and training continues; with a ``where`` later states
    are tried again. Only the first of several processes uses them (``is_writer``).
    """

    def __init__(self, key: str, is_writer: bool = True, where: str | Path | None = None) -> None:
        self.place = place_of(where or finetuning_folder(), key)
        self.is_writer = is_writer
        self.pause_s = 0.0  # until the next state should be written, however soon it is due
        self._tries_again, self._has_warned = where is not None, False

    def check(self) -> None:
        """Raise EarmarkError if no state can be written; all states under this key are deleted."""
        if not self.is_writer:
            return
        try:
            self._write(PROBE, {}, {})
            self.place.clear()
        except (OSError, SafetensorError) as error:
            raise EarmarkError(
                f"checkpoints cannot be written to {self.place} ({_reason(error)}). Name another"
                " place with --checkpoints, or leave it out."
            ) from error

    def load(self, name: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return the state and tensors saved under ``name``; None without a complete file.

        Raises EarmarkError if a store of objects does not answer: its state may be there.
        """
        try:
            with self.place.file(_file_name(name)) as path:
                return None if path is None else self._read(path, name)
        except OSError as error:
            if isinstance(self.place, FolderPlace):
                return None
            raise EarmarkError(
                f"the checkpoint {name!r} in {self.place} cannot be read ({_reason(error)}). Run"
                " the same command again once it can."
            ) from error

    def _read(self, path: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return the state and tensors of a file; None, with a warning, if it is damaged."""
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            if _digest(about["earmark"], tensors) == about["sha256"]:
                return json.loads(about["earmark"], object_hook=_with_nan), tensors
        except (OSError, SafetensorError, ValueError, KeyError):
            pass
        self._warn(f"the checkpoint {name!r} in {self.place} is damaged, so its run starts anew.")
        return None

    def save(self, name: str, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write ``state`` and ``tensors`` under a name, whole or not at all."""
        if not self.is_writer:
            return
        start = time.monotonic()
        try:
            self._write(name, state, tensors)
        except (OSError, SafetensorError) as error:
            self.is_writer = self._tries_again
            if not self._has_warned:
                self._has_warned = True
                self._warn(
                    f"checkpoints cannot be written to {self.place} ({_reason(error)}); training"
                    " continues without them."
                )
        self.pause_s = TIMES_AS_LONG * (time.monotonic() - start)

    def _write(self, name: str, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        tensors = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
        text = json_text(state, ascii_only=True)
        about = {"earmark": text, "sha256": _digest(text, tensors)}
        self.place.put(
            _file_name(name), lambda path: safetensors.torch.save_file(tensors, path, about)
        )

    def drop(self, name: str) -> None:
        """Delete a state that is no longer needed."""
        if self.is_writer:
            with contextlib.suppress(OSError):  # it is only not needed
                self.place.drop(_file_name(name))

    def forget(self) -> None:
        """Delete all states; call it once the classifier is saved."""
        with contextlib.suppress(OSError):
            self.place.clear()

    @staticmethod
    def _warn(text: str) -> None:
        warnings.warn(text, EarmarkWarning, stacklevel=4)


def _file_name(name: str) -> str:
    """Return the name of a file; a group in the name of a run may have any characters."""
    return urllib.parse.quote(name, safe=" ,") + SUFFIX


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over the state and all tensors, as hexadecimal digits."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(json_text([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")


def _with_nan(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object in which null is NaN; it stands for a figure that was not finite."""
    return {key: float("nan") if item is None else item for key, item in value.items()}
