"""The one thread that uses a GPU, the float32 in it, and what is said when a GPU does not work.

A CPU plays the GPU here; `test_gpu.py` has what needs a real one.
"""

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from earmark.backbones import gpu
from earmark.backbones.base import LayerStats
from earmark.embeddings.computing import run
from earmark.errors import BackboneError

CUDA = torch.device("cuda")


def tf32() -> list[object]:
    return [getattr(place, name) for place, name, _ in gpu._settings()]


def test_one_thread_serves_all_others():
    with ThreadPoolExecutor(8) as pool:
        idents = set(pool.map(lambda _: gpu.call_on(CUDA, threading.get_ident), range(64)))
    assert len(idents) == 1 and threading.get_ident() not in idents
    assert {gpu.call_on(CUDA, threading.get_ident)} == idents  # it outlives the threads that asked


def test_what_runs_there_may_ask_for_it_again():
    outer, inner = gpu.call_on(
        CUDA, lambda: (threading.get_ident(), gpu.call_on(CUDA, threading.get_ident))
    )
    assert outer == inner


def test_a_cpu_computes_in_the_thread_that_asks():
    assert gpu.call_on(torch.device("cpu"), threading.get_ident) == threading.get_ident()


def test_errors_come_back():
    with pytest.raises(ZeroDivisionError):
        gpu.call_on(CUDA, lambda: 1 // 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_a_thread_of_its_own():
    gpu.call_on(CUDA, threading.get_ident)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about forks beside threads
        child = os.fork()
    if not child:
        os._exit(7 if gpu.call_on(CUDA, lambda: True) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_nothing_is_computed_in_tf32_and_the_settings_come_back(precision):
    torch.set_float32_matmul_precision(precision)
    try:
        before = tf32()
        assert gpu.call_on(CUDA, tf32) == [value for _, _, value in gpu._settings()]
        with pytest.raises(ZeroDivisionError):
            gpu.call_on(CUDA, lambda: 1 // 0)
        assert tf32() == before
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


def test_full_memory_is_a_sentence():
    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore")

    with pytest.raises(BackboneError, match=r"not enough memory\. Close other .* CPU\."):
        gpu.call_on(CUDA, full)


class Small:
    """A network that has memory for ``most`` windows at a time."""

    device = torch.device("cpu")

    def __init__(self, most: int) -> None:
        self.most, self.sizes = most, list[int]()

    def __call__(self, windows: torch.Tensor, valid: torch.Tensor) -> dict[str, LayerStats]:
        self.sizes.append(len(windows))
        if len(windows) > self.most:
            raise torch.OutOfMemoryError("out of memory.")
        return {"one": LayerStats(valid.float(), windows.mean(1), windows.var(1))}


def test_a_gpu_computes_powers_of_two_of_windows(monkeypatch):
    """The network stays on the CPU; only what is asked of it is that of a GPU."""
    windows, valid = np.arange(220, dtype=np.float32).reshape(11, 20), np.full(11, 20)
    small = Small(99)
    expected = run(small, windows, valid, 6)["one"]
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_, **__: tensor)
    small.device = CUDA
    got = run(small, windows, valid, 6)["one"]
    assert small.sizes == [6, 5, 8, 8]
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_fewer_windows_at_a_time_if_memory_is_small():
    windows = np.random.default_rng(0).normal(size=(11, 20)).astype(np.float32)
    small, valid = Small(3), np.full(11, 20)
    got = run(small, windows, valid, 8)["one"]
    assert small.sizes == [8, 4, 2, 2, 2, 2, 2, 1]
    assert torch.equal(got.mean, torch.from_numpy(windows).mean(1))
    with pytest.raises(torch.OutOfMemoryError):
        run(Small(0), windows, valid, 8)


def test_a_gpu_that_does_not_work_is_not_used(monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", broken)
    gpu._works.cache_clear()
    try:
        with pytest.warns(gpu.EngineWarning, match=r"cannot be used \(no kernel .* device\), so"):
            assert not gpu.has_gpu()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it is said once
            assert not gpu.has_gpu()
    finally:
        gpu._works.cache_clear()
