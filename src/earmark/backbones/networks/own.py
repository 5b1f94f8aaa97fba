"""``onnx:FILE`` and ``tflite:FILE``: a network of your own, described by a JSON beside it.

The file is opened once per process. A few sounds then check that its result for a window depends on
that window alone.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from earmark.backbones import weights
from earmark.backbones.base import Backbone, LayerStats, layer_stats, real_share
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.networks import onnx_graph, tflite_graph
from earmark.backbones.networks.description import place_of
from earmark.backbones.networks.network_file import NetworkFile
from earmark.backbones.networks.onnx_graph import OnnxGraph
from earmark.backbones.networks.tflite_graph import TFLiteGraph
from earmark.backbones.registry import ONNX, TFLITE, absolute_name, register_family
from earmark.errors import BackboneError

OPENED = 2  # networks that stay open for later calls
MOST_BANDS = 4

_READERS = {ONNX: OnnxGraph.read, TFLITE: TFLiteGraph.read}
_KINDS = {ONNX: onnx_graph.KIND, TFLITE: tflite_graph.KIND}


class OwnNetwork(Backbone):
    """A network that another library than PyTorch computes: on the CPU, as its file says."""

    network: NetworkFile

    @classmethod
    def load(cls, info: BackboneInfo) -> OwnNetwork:
        backbone = cls(info)
        backbone.network = _open_once(info.name)
        backbone.weights_hash = backbone.network.digest
        return backbone

    @classmethod
    def own_files(cls, info: BackboneInfo) -> tuple[Path, ...]:
        network = _open_once(info.name)
        return (network.path, place_of(network.path), *network.weights)

    def forward(
        self, windows: Tensor, valid: Tensor, layers: Collection[str] | None = None
    ) -> dict[str, LayerStats]:
        activations = self.network(windows.cpu().numpy())
        own = {layer.name: layer for layer in self.info.layers}
        stats = {}
        for output, array in zip(self.network.layers, activations, strict=True):
            if output.name not in own or (layers is not None and output.name not in layers):
                continue
            x = torch.from_numpy(array)
            weight = real_share(x.shape[2], self.info.window / x.shape[2], valid.cpu())
            bands = own[output.name].bands
            stats[output.name] = layer_stats(x, weight, bands, self.info.drops_rounding)
        return stats

    def cast(self, precision: str) -> Backbone:
        if precision != "float32":
            raise BackboneError(
                f"backbone {self.info.name!r} is computed by {self.runtime} in the precision of its"
                f" file and not in {precision}. Use precision 'exact'."
            )
        return super().cast(precision)

    def verify(self) -> str:
        """Say what was checked when the network was opened. A wrong network cannot be loaded."""
        checked, description = self.network.checked, self.network.description
        together = (
            "windows are computed together, because a batch changes nothing (relative"
            f" difference {checked.difference:.1g})"
            if checked.is_batched
            else f"windows are computed one by one: {checked.why}"
        )
        shapes = ", ".join(f"{x.name} ({x.size})" for x in self.info.layers)
        return (
            f"SHA-256 {self.network.sha256}; {description.window:,} samples at"
            f" {description.rate_hz:,} Hz give {shapes}; a window gives the same numbers in every"
            f" call, also after another window; {together}"
        )


class OnnxNetwork(OwnNetwork):
    """An ONNX file."""

    runtime = onnx_graph.RUNTIME


class TFLiteNetwork(OwnNetwork):
    """A TFLite file."""

    runtime = tflite_graph.RUNTIME


@register_family(ONNX)
@register_family(TFLITE)
def describe(name: str) -> tuple[BackboneInfo, type[Backbone]]:
    """Describe ``onnx:FILE`` or ``tflite:FILE``; BackboneError says what is wrong with it."""
    name = absolute_name(name)
    network = _open_once(name)
    description = network.description
    layers = []
    for output, (_, channels, _, width) in zip(network.layers, network.shapes, strict=True):
        bands = next(b for b in range(MOST_BANDS, 0, -1) if width % b == 0)
        layers.append(Layer(output.name, channels, bands))
    info = BackboneInfo(
        name=name,
        summary=description.summary or f"a network of your own, {network.path.name}",
        rate_hz=description.rate_hz,
        window=description.window,
        hop=description.hop,
        layers=tuple(layers),
        parameters=network.parameters,
        source=description.source or str(network.path),
        licence=description.licence,
        drops_rounding_since=1,
    )
    return info, OnnxNetwork if name.startswith(ONNX) else TFLiteNetwork


def _open_once(name: str) -> NetworkFile:
    """Return the network called ``name``, opened once per process unless its files change."""
    path = _path(name)
    key = (path, name, os.getpid(), _states(path, place_of(path)))
    network, states = _open(*key)
    if states != _states(*network.weights):  # only an opened network knows these files
        _open.cache_clear()
        network, _ = _open(*key)
    return network


@functools.lru_cache(OPENED)
def _open(
    path: Path, name: str, _process: int, _states_of_both: tuple[object, ...]
) -> tuple[NetworkFile, tuple[object, ...]]:
    prefix = next(p for p in _READERS if name.startswith(p))
    network = NetworkFile(_READERS[prefix](path, name))
    return network, _states(*network.weights)


def _states(*files: Path) -> tuple[object, ...]:
    return tuple(
        (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for s in (file.stat() for file in files if file.exists())
    )


def _path(name: str) -> Path:
    """Return the file that ``name`` says, or one of that file name in the folders of weights."""
    prefix = next(p for p in _READERS if name.startswith(p))
    text = name.removeprefix(prefix)
    if not text:
        raise BackboneError(f"backbone {name!r} names no file. Give {prefix}FILE.")
    path = Path(os.path.expanduser(text))  # unlike Path.expanduser, keeps an unknown ~user
    if path.exists():
        return path
    if copy := weights.find_by_name(path.name):
        return copy
    raise BackboneError(
        f"no file {path} for backbone {name!r}. Give the path of {_KINDS[prefix]}, or put"
        f" {path.name} into a folder and name that folder in EARMARK_WEIGHTS."
    )
