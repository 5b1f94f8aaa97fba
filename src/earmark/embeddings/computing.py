"""Run a network over the windows of several clips together."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import torch

from earmark.backbones.base import Backbone, LayerStats, join
from earmark.backbones.gpu import call_on
from earmark.embeddings.stages import CutClip, WindowStats

BATCH_GPU_S = 60.0  # seconds of audio in one pass on a GPU; on a CPU the network's `batch_s`


def window_stats(backbone: Backbone, clips: Sequence[CutClip]) -> list[WindowStats]:
    """Return the statistics of ``clips``, in their order; windows of equal length share batches.

    A clip with warnings is never stored, so every run computes it. It gets its own batch, so that
    the batches of the other clips are the same in every run.
    """
    by_width: dict[tuple[int, int], list[CutClip]] = collections.defaultdict(list)
    for clip in clips:
        by_width[clip.windows.shape[1], id(clip) if clip.warnings else 0].append(clip)
    computed: dict[int, WindowStats] = {}
    for (width, _), group in by_width.items():
        batch_s = backbone.batch_s if backbone.device.type == "cpu" else BATCH_GPU_S
        batch = max(1, int(batch_s * backbone.info.rate_hz / width))
        windows = np.concatenate([clip.windows for clip in group])
        valid = np.concatenate([clip.valid for clip in group])
        stats = run(backbone, windows, valid, batch)
        first = 0
        for clip in group:
            last = first + len(clip.windows)
            own = {name: s.rows(slice(first, last)) for name, s in stats.items()}
            computed[id(clip)] = WindowStats(
                clip.request, own, clip.seconds, clip.warnings, clip.section, clip.notes
            )
            first = last
    return [computed[id(clip)] for clip in clips]


class _Threads(threading.local):
    """PyTorch's number of threads ``before`` this thread was set to one."""

    lock = threading.Lock()
    before = 1
    calls: ClassVar[list[int]] = []  # the number to restore, for each call in progress


_threads = _Threads()


@contextlib.contextmanager
def restored_threads() -> Iterator[None]:
    """Restore PyTorch's number of threads when the last of several concurrent calls ends.

    With MKL, the number applies to the whole process. If it were restored earlier, it would change
    the last bits of results that another call computes on one core.
    """
    with _threads.lock:
        if _threads.calls:
            before = _threads.calls[0]
        else:
            before = max(_threads.before, torch.get_num_threads())
        _threads.calls.append(before)
    try:
        yield
    finally:
        with _threads.lock:
            _threads.calls.pop()
            if _threads.calls:
                _threads.before = before
            else:
                _threads.before = 1
                torch.set_num_threads(before)


@contextlib.contextmanager
def compute_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads that compute on one core each."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(restored_threads())  # the workers' setting reaches MKL
        pool = ThreadPoolExecutor(threads, "earmark-net", torch.set_num_threads, (1,))
        stack.enter_context(pool)
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        yield pool


def run(
    backbone: Backbone, windows: np.ndarray, valid: np.ndarray, batch: int
) -> dict[str, LayerStats]:
    """Return the statistics of ``windows`` (W, n) on the CPU, computed ``batch`` at a time.

    If a GPU's memory is too small for that, fewer windows are computed at a time.
    """
    return call_on(backbone.device, _run, backbone, windows, valid, batch)


def run_blocks(backbone: Backbone, samples: np.ndarray, block: int) -> dict[str, LayerStats]:
    """Return the statistics of each block of a window (core + 2 * context,), on the CPU."""
    return call_on(backbone.device, _run_blocks, backbone, samples, block)


@torch.inference_mode()
def _run(
    backbone: Backbone, windows: np.ndarray, valid: np.ndarray, batch: int
) -> dict[str, LayerStats]:
    parts: list[dict[str, LayerStats]] = []
    done = 0
    while done < len(windows):
        rows = slice(done, done + batch)
        try:
            parts.append(_stats(backbone, windows[rows], valid[rows]))
            done += batch
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch = 0  # the error holds what was computed until this block ends
        if not batch:
            batch = max(1, (rows.stop - rows.start) // 2)
            torch.cuda.empty_cache()
    return _on_cpu({name: join([part[name] for part in parts]) for name in parts[0]})


@torch.inference_mode()
def _run_blocks(backbone: Backbone, samples: np.ndarray, block: int) -> dict[str, LayerStats]:
    return _on_cpu(backbone.block_stats(torch.from_numpy(samples), block))


def _on_cpu(stats: Mapping[str, LayerStats]) -> dict[str, LayerStats]:
    """Return the statistics of each layer in the CPU's memory."""
    return {name: LayerStats(*(values.cpu() for values in s)) for name, s in stats.items()}


def _stats(backbone: Backbone, windows: np.ndarray, valid: np.ndarray) -> dict[str, LayerStats]:
    """Return the statistics of a batch, on the network's device.

    A GPU computes a power of two of windows, the first one several times: cuDNN takes one to two
    seconds to prepare the convolutions of a small network for each new number.
    """
    tensors = [torch.from_numpy(array) for array in (windows, valid)]
    if backbone.device.type == "cpu":
        stats: dict[str, LayerStats] = backbone(*tensors)
        return stats
    missing = (1 << (len(windows) - 1).bit_length()) - len(windows)
    padded = [torch.cat([t, t[:1].expand(missing, *t.shape[1:])]) for t in tensors]
    on_gpu = [t.pin_memory().to(backbone.device, non_blocking=True) for t in padded]
    return {name: s.rows(slice(len(windows))) for name, s in backbone(*on_gpu).items()}
