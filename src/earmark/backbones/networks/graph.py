"""The content of a network file in any format, and the interface to compute it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from earmark.errors import BackboneError
from earmark.system.files import not_a_file, open_file

MAX_BYTES = (2 << 30) - 1  # limit of both formats
FLOATS = ("float32", "float16", "float64")

Run = Callable[[np.ndarray], list[np.ndarray]]  # maps the network's input to its outputs


class Tensor(NamedTuple):
    """An input or output. In ``shape``, a word is an axis of any length; None is any shape."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None

    def __str__(self) -> str:
        shape = "of unknown shape" if self.shape is None else f"({', '.join(map(str, self.shape))})"
        return f"{self.name} {shape}{'' if self.dtype == 'float32' else f' {self.dtype}'}"


@dataclass(frozen=True)
class Graph:
    """A network file.

    ``inner`` names tensors inside the network, which can be used like outputs. ``digest`` is a
    SHA-256 over all bytes of the network. ``runtime`` is the package that computes it. ``weights``
    are further files that belong to the network.
    """

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    inner: tuple[str, ...]
    parameters: int
    digest: str
    runtime: str
    weights: tuple[Path, ...]
    takes_batches: ClassVar[bool] = True  # if its input's shape allows it

    def open(self, tensor: Tensor, shape: tuple[int, ...], outputs: Sequence[str]) -> Run:
        """Return a function that computes ``outputs`` for an input of this ``shape``.

        It computes in the calling thread, on one core. Several threads may call it. Raises
        BackboneError if the runtime refuses the network.
        """
        raise NotImplementedError


def read_file(path: Path, kind: str) -> bytes:
    """Return the bytes of a regular file of bounded size; BackboneError for anything else."""
    if problem := not_a_file(path):
        raise BackboneError(f"{path} {problem}. Give the path of {kind}.")
    try:
        with open_file(path) as file:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise BackboneError(
                    f"{path} has {size:,} bytes, and {kind} can have at most {MAX_BYTES:,}. Give"
                    " the file of one network."
                )
            parts = []
            while len(part := file.read(min(size + 1, MAX_BYTES))):
                parts.append(part)
                size -= len(part)
                if size < 0:
                    raise BackboneError(f"{path} grew while it was read. Try again.")
            return b"".join(parts)
    except OSError as error:
        raise BackboneError(
            f"{path} cannot be read: {error.strerror}. Check it and its permissions."
        ) from error
