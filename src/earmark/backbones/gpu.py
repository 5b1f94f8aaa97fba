"""The GPU: whether there is one that works, and the one thread of a process that uses it."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from earmark.errors import BackboneError, EarmarkWarning, first_line

if TYPE_CHECKING:
    from earmark.backbones.base import Backbone

R = TypeVar("R")
HIDE = "CUDA_VISIBLE_DEVICES= (empty)"
_NAME = "earmark-gpu"
_starting = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}  # by process: a forked one has none of its threads


class EngineWarning(EarmarkWarning):
    """The CPU or plain PyTorch replaced a GPU or another engine; the message says why."""


def has_gpu() -> bool:
    """Say whether PyTorch has a GPU that works; the first call warns about one that does not."""
    return torch.cuda.is_available() and _works()


@functools.cache
def _works() -> bool:
    """Compute something on the GPU: PyTorch also lists one for which it has no kernels."""
    try:
        return bool(torch.ones(1, device="cuda").add(1).item() == 2)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a PyTorch without CUDA
        warnings.warn(
            f"the GPU cannot be used ({first_line(error)}), so the CPU computes. To hide this"
            f" warning, set {HIDE}.",
            EngineWarning,
            stacklevel=3,
        )
        return False


def move(network: Backbone, device: str) -> None:
    """Let ``network`` compute on ``device`` from now on."""
    network.device = torch.device(device)
    network.to(network.device)


def call_on(device: torch.device, function: Callable[..., R], *arguments: Any) -> R:
    """Call ``function``; for a GPU in the one thread that uses it, without TF32. Return its result.

    cuDNN prepares a convolution for each shape of its input, and PyTorch keeps that by thread. When
    threads of pools took turns on a GPU, it was prepared again in each of them, and the process
    ended when one of them ended while another computed.
    """
    if device.type == "cpu" or threading.current_thread().name.startswith(_NAME):
        return function(*arguments)
    with _starting:
        if os.getpid() not in _pools:
            _pools[os.getpid()] = ThreadPoolExecutor(1, _NAME)
        pool = _pools[os.getpid()]
    return pool.submit(_call, function, *arguments).result()


def _call(function: Callable[..., R], *arguments: Any) -> R:
    try:
        with without_tf32():
            return function(*arguments)
    except torch.OutOfMemoryError as error:
        raise BackboneError(
            "the GPU has not enough memory. Close other programs that use it, or set"
            f" {HIDE} to compute on the CPU."
        ) from error


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Compute in float32: the 10 bits of TF32's mantissa are not enough.

    PyTorch allows TF32 in convolutions by default, and programs often allow it elsewhere. These
    settings apply to the whole process, so they are restored.
    """
    settings = _settings()
    before = [getattr(place, name) for place, name, _ in settings]
    try:
        for place, name, value in settings:
            setattr(place, name, value)
        yield
    finally:
        for (place, name, _), value in zip(settings, before, strict=True):
            setattr(place, name, value)


def _settings() -> list[tuple[Any, str, object]]:
    """Return the settings that switch TF32 off: place, name and value."""
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):  # since PyTorch 2.9; the older names may not be readable
        return [(cudnn.conv, "fp32_precision", "ieee"), (matmul, "fp32_precision", "ieee")]
    return [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
