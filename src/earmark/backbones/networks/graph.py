"""What a network file says of itself, whatever its format, and how it is opened to be computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from earmark.errors import BackboneError
from earmark.system.files import not_a_file, open_file

MAX_BYTES = (2 << 30) - 1  # what both formats can hold
FLOATS = ("float32", "float16", "float64")

Run = Callable[[np.ndarray], list[np.ndarray]]  # the network's input, and the tensors asked for


class Tensor(NamedTuple):
    """An input or output; an axis of any length has a word in ``shape``. None: not even that."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None

    def __str__(self) -> str:
        shape = "of unknown shape" if self.shape is None else f"({', '.join(map(str, self.shape))})"
        return f"{self.name} {shape}{'' if self.dtype == 'float32' else f' {self.dtype}'}"


@dataclass(frozen=True)
class Graph:
    """A network file. ``inner`` names tensors inside it, which can be read as outputs can.

    ``digest`` is a SHA-256 over all bytes of the network. ``runtime`` names what computes it.
    ``weights`` are the other files that the network is made of.
    """

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    inner: tuple[str, ...]
    parameters: int
    digest: str
    runtime: str
    weights: tuple[Path, ...]
    takes_batches: ClassVar[bool] = True  # where its input says so

    def open(self, tensor: Tensor, shape: tuple[int, ...], outputs: Sequence[str]) -> Run:
        """Make the network ready to compute ``outputs`` of an input of this ``shape``.

        Each call computes in the thread that calls, on one core; several threads may. BackboneError
        where the runtime refuses the network.
        """
        raise NotImplementedError


def read_file(path: Path, kind: str) -> bytes:
    """Return the bytes of a regular file of bounded size; BackboneError for anything else."""
    if problem := not_a_file(path):
        raise BackboneError(f"{path} {problem}; give the path of {kind}.")
    try:
        with open_file(path) as file:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise BackboneError(
                    f"{path} has {size:,} bytes, and {kind} can have {MAX_BYTES:,}; give the file"
                    " of one network."
                )
            parts = []
            while len(part := file.read(min(size + 1, MAX_BYTES))):
                parts.append(part)
                size -= len(part)
                if size < 0:
                    raise BackboneError(f"{path} grew while it was read; try again.")
            return b"".join(parts)
    except OSError as error:
        raise BackboneError(
            f"{path} cannot be read: {error.strerror}; check it and its permissions."
        ) from error
