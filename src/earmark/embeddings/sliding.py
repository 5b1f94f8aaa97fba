"""Embed windows that slide over a long recording or a stream, as its samples come.

Window i covers ``i * hop .. i * hop + length``. Its embedding depends only on the samples in it and
on the network's context around it, and not on how the samples were fed. After the last sample there
is silence; the last window is the first one that reaches the end.

A network without a view of the whole window computes each sample once: its statistics are taken per
hop (*blocks*), and consecutive blocks are merged into windows of any length. Other networks compute
every window by itself, so a hop of a quarter of a window costs four times a clip's time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from earmark import audio
from earmark.audio.decoder import Samples
from earmark.backbones.base import Backbone, LayerStats, without_rounding
from earmark.backbones.info import BackboneInfo
from earmark.embeddings.computing import run, run_blocks

PASS_S = 10.0  # seconds of audio that a file's passes compute at once
FEW_BLOCKS = 12  # of one window, merged one by one
Stats = Mapping[str, LayerStats]


class Pass(NamedTuple):
    """Samples for one pass of the network, context included, and the number of hops they yield."""

    samples: Samples
    hops: int


@dataclass(frozen=True)
class Grid:
    """Windows of ``length`` samples every ``hop`` samples, at a network's rate."""

    length: int
    hop: int

    @classmethod
    def of(cls, backbone: Backbone, window_s: float, hop_s: float) -> Grid:
        """Return the grid of a network; ValueError if its frames do not allow the hop."""
        rate_hz = backbone.info.rate_hz
        grid = cls(max(1, round(window_s * rate_hz)), max(1, round(hop_s * rate_hz)))
        block = backbone.block_step()
        if block is not None and (grid.hop % block or grid.length % grid.hop):
            raise ValueError(
                f"{backbone.info.name}: a hop of {hop_s:g} s must be a multiple of"
                f" {block / rate_hz:g} s, and a window of {window_s:g} s one of the hop"
            )
        return grid

    def count(self, n: int) -> int:
        """Return the number of windows over ``n`` samples: at least 1."""
        return 1 + max(0, math.ceil((n - self.length) / self.hop))


class SlidingWindows:
    """Embeds sliding windows of one stream of samples with one network.

    It works in three steps. :meth:`cut` and :meth:`finish` yield passes. :meth:`compute` runs the
    network over a pass, in any thread. :meth:`merge` takes the results in order and returns
    embeddings (n, E). These have the means, then the deviations, of every layer of ``backbone``,
    like the embedding of a clip, but as float32.

    Attributes
    ----------
    hops : int
        Number of hops in a pass; only the last pass may have fewer.
    lag : int
        Number of hops from the one in which a window begins to the one in which it ends.
    """

    def __init__(
        self, backbone: Backbone, window_s: float, hop_s: float, pass_s: float = PASS_S
    ) -> None:
        self.backbone, self.grid = backbone, Grid.of(backbone, window_s, hop_s)
        self.has_blocks = backbone.block_step() is not None
        info = backbone.info
        self.hops = max(1, round(pass_s * info.rate_hz) // self.grid.hop)
        self._reach = info.context + (self.grid.hop if self.has_blocks else self.grid.length)
        self._parts: list[Samples] = [np.zeros(info.context, np.float32)]
        self._waiting, self._n, self._cut = info.context, 0, 0
        self.lag = self.grid.length // self.grid.hop - 1 if self.has_blocks else 0
        self._blocks: LayerStats | None = None  # of all layers side by side

    def cut(self, samples: Samples) -> Iterator[Pass]:
        """Yield the passes that are complete with ``samples`` (n,) at the network's rate."""
        self._parts.append(samples)
        self._waiting += len(samples)
        self._n += len(samples)
        context, hop = self.backbone.info.context, self.grid.hop
        needed = context + (self.hops - 1) * hop + self._reach
        if self._waiting < needed:
            return
        x, at = np.concatenate(self._parts), 0
        while len(x) - at >= needed:
            yield Pass(x[at : at + needed], self.hops)
            at += self.hops * hop
            self._cut += self.hops
        self._parts, self._waiting = [x[at:].copy()], len(x) - at

    def finish(self) -> Iterator[Pass]:
        """Yield the last passes. The stream has ended, and silence follows it."""
        total = self.grid.count(self._n) + self.lag
        context, hop = self.backbone.info.context, self.grid.hop
        x = np.concatenate(self._parts)
        while self._cut < total:
            hops = min(self.hops, total - self._cut)
            core = x[: context + (hops - 1) * hop + self._reach]
            needed = context + (hops - 1) * hop + self._reach
            yield Pass(np.pad(core, (0, needed - len(core))), hops)
            x = x[hops * hop :]
            self._cut += hops

    def compute(self, piece: Pass) -> dict[str, LayerStats]:
        """Return the statistics of a pass: of each block, or of each window."""
        if self.has_blocks:
            return run_blocks(self.backbone, piece.samples, self.grid.hop)
        return _run_windows(self.backbone, piece, self.grid)

    @torch.inference_mode()
    def merge(self, stats: Mapping[str, LayerStats]) -> np.ndarray:
        """Return the embeddings (n, E) of the windows that end with these statistics."""
        info = self.backbone.info
        if not self.has_blocks:
            return embedding_of(info, stats)
        return _embedding(info, self._joined(_side_by_side(info, stats)))

    def _joined(self, new: LayerStats) -> LayerStats:
        """Merge every k consecutive blocks, those of the last pass included (Chan et al. 1979)."""
        k = self.lag + 1
        old = self._blocks if self._blocks is not None else new.rows(slice(0, 0))
        blocks = LayerStats(*(torch.cat(pair) for pair in zip(old, new, strict=True)))
        self._blocks = blocks.rows(slice(max(0, len(blocks.mean) - k + 1), None))
        return _merged(blocks, k)


def embedding_of(info: BackboneInfo, stats: Stats) -> np.ndarray:
    """Return embeddings (n, E) float32: the means, then the deviations, of every layer."""
    return _embedding(info, _side_by_side(info, stats))


def _side_by_side(info: BackboneInfo, stats: Stats) -> LayerStats:
    """Return the statistics of all layers as one; ``frames`` are those of the first layer."""
    layers = [stats[layer.name] for layer in info.layers]
    means, variances = ([getattr(x, name) for x in layers] for name in ("mean", "var"))
    return LayerStats(layers[0].frames, torch.cat(means, 1), torch.cat(variances, 1))


def _embedding(info: BackboneInfo, stats: LayerStats) -> np.ndarray:
    """Return embeddings for the statistics of all layers side by side."""
    _, mean, var = stats
    if info.drops_rounding:
        var = without_rounding(mean, var)
    sizes = [layer.size for layer in info.layers]
    halves = (torch.split(column.float(), sizes, 1) for column in (mean, var.sqrt()))
    return torch.cat([half for pair in zip(*halves, strict=True) for half in pair], 1).numpy()


def merge_blocks(info: BackboneInfo, blocks: np.ndarray, k: int) -> np.ndarray:
    """Merge every k consecutive rows of embeddings (n, E) of blocks; the type stays."""
    if k == 1:
        return blocks
    rows = torch.from_numpy(blocks).double()
    parts = torch.split(rows, [layer.size for layer in info.layers for _ in range(2)], 1)
    mean, deviation = torch.cat(parts[::2], 1), torch.cat(parts[1::2], 1)
    stats = LayerStats(torch.ones(len(rows)), mean, deviation.square())
    return _embedding(info, _merged(stats, k)).astype(blocks.dtype)


def _merged(blocks: LayerStats, k: int) -> LayerStats:
    """Return the statistics (n - k + 1, D) of every k consecutive blocks (n, D) of equal length."""
    n = max(0, len(blocks.mean) - k + 1)
    if k == 1 or n == 0:
        return blocks.rows(slice(0, n))
    if k <= FEW_BLOCKS:
        return _merged_few(blocks, k, n)
    frames, mean, var = (column.double() for column in blocks)
    total, spread = _sliding_mean(mean, k), _sliding_mean(var, k)
    squares = _sliding_mean((mean - mean[0]).square(), k)
    spread += (squares - (total - mean[0]).square()).clamp_min_(0)
    return LayerStats(frames[:n] * k, total, spread)


def _merged_few(blocks: LayerStats, k: int, n: int) -> LayerStats:
    """Merge a few blocks in float32, one by one: faster than running sums."""
    frames, mean, var = blocks
    total, spread = mean[:n].clone(), var[:n].clone()
    for first in range(1, k):
        total += mean[first : first + n]
        spread += var[first : first + n]
    total /= k
    for first in range(k):
        spread += (mean[first : first + n] - total).square_()
    return LayerStats(frames[:n] * k, total, spread.div_(k))


def _sliding_mean(x: torch.Tensor, k: int) -> torch.Tensor:
    """Return the mean (n - k + 1, D) of every k consecutive rows of ``x`` (n, D)."""
    sums = torch.cat([torch.zeros_like(x[:1]), x.cumsum(0)])
    return (sums[k:] - sums[:-k]) / k


def _run_windows(backbone: Backbone, piece: Pass, grid: Grid) -> dict[str, LayerStats]:
    """Return the statistics of each window of a pass, computed by itself."""
    info, context = backbone.info, backbone.info.context
    cores, valid = [], []
    for number in range(piece.hops):
        at = context + number * grid.hop
        core = piece.samples[at : at + grid.length]
        around = (piece.samples[at - context : at], piece.samples[at + grid.length :][:context])
        windows, real = audio.window(
            backbone.prepare(core), info.window, info.hop, context, info.step, around=around
        )
        cores.append(windows)
        valid.append(real)
    each = len(cores[0])
    batch = max(1, int(backbone.batch_s * info.rate_hz / cores[0].shape[1]))
    stats = run(backbone, np.concatenate(cores), np.concatenate(valid), batch)
    return {name: _merged_each(s, each) for name, s in stats.items()}


def _merged_each(stats: LayerStats, each: int) -> LayerStats:
    """Merge the statistics of every ``each`` network windows into those of one window."""
    if each == 1:
        return stats
    frames, mean, var = (s.double() for s in stats)
    frames = frames.view(-1, each)
    share = (frames / frames.sum(1, keepdim=True).clamp_min(1e-9))[..., None]
    mean, var = mean.view(len(frames), each, -1), var.view(len(frames), each, -1)
    total = (share * mean).sum(1)
    spread = (share * (var + (mean - total[:, None]).square())).sum(1)
    return LayerStats(frames.sum(1), total, spread)
