"""Record the network of a backbone as ONNX: one window in, the statistics of its layers out."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from earmark.backbones.base import Backbone, layer_stats
from earmark.backbones.networks.logmel import LogMel
from earmark.backbones.networks.spectrogram_transformers import Fbank
from earmark.classifier.onnx.front_end import RecordedFrontEnd, add_filters, add_kernel
from earmark.classifier.onnx.graph import OPSET, Graph, load_onnx
from earmark.errors import ModelError, first_line

LayerNames = Sequence[tuple[str, str, str]]  # of frames, mean and variance of each layer
EXAMPLE_STEPS = 20  # length of the window that is recorded, if lengths are free


class RecordedWindow(nn.Module):
    """The statistics of one window by a backbone, of operations that can be recorded."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.front_end: RecordedFrontEnd | None = None
        original = getattr(backbone, "front_end", None)
        if isinstance(original, LogMel | Fbank):
            backbone.front_end = self.front_end = RecordedFrontEnd(original)

    def forward(
        self, x: Tensor, valid: Tensor, kernel: Tensor | None = None, filters: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return frames (1,), mean (D,) and variance (D,) of each layer, one after the other."""
        backbone, outputs = self.backbone, []
        if self.front_end is not None and kernel is not None and filters is not None:
            self.front_end.kernel, self.front_end.filters = kernel, filters
        bands = {layer.name: layer.bands for layer in backbone.info.layers}
        for name, y, weight in backbone.window_activations(x, valid):
            stats = layer_stats(y, weight, bands[name], backbone.info.drops_rounding)
            outputs += [stats.frames, stats.mean[0], stats.var[0]]
        return tuple(outputs)


def example_window(backbone: Backbone) -> tuple[Tensor, Tensor]:
    """Return a window (1, n) and its real samples (1,) with which a network is recorded."""
    info = backbone.info
    core = info.window
    if info.step:
        core = min(core, max(EXAMPLE_STEPS * info.step, backbone.least_samples + 77))
    n = core + 2 * info.context
    x = torch.randn(1, n, generator=torch.Generator().manual_seed(0)) * 0.1
    return x, torch.tensor([core])


def add_network(graph: Graph, backbone: Backbone, number: int) -> tuple[Any, LayerNames]:
    """Record a backbone; return the ONNX graph of one window and the names of its outputs.

    The graph reads ``N/window`` (1, n) and ``N/valid`` (1,), where N is ``number``, and constants
    that are computed outside of it, in ``graph``. Raises ModelError with the reason if the network
    cannot be recorded.
    """
    onnx = load_onnx()
    backbone = copy.deepcopy(backbone).eval()
    module = RecordedWindow(backbone)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    layers = range(len(backbone.info.layers))
    names = [(f"frames_{k}", f"mean_{k}", f"var_{k}") for k in layers]
    inputs, example = ["window", "valid"], list(example_window(backbone))
    if module.front_end is not None:
        inputs += ["kernel", "filters"]
        example += [module.front_end.kernel, module.front_end.filters]
    try:
        buffer = io.BytesIO()
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about branches, which the checks below would find
            torch.onnx.export(
                module,
                tuple(example),
                buffer,  # type: ignore[arg-type]  # which this exporter can write to
                dynamo=False,
                input_names=inputs,
                output_names=[name for layer in names for name in layer],
                dynamic_axes={"window": {1: "n"}} if backbone.info.step else {},
                opset_version=OPSET,
                do_constant_folding=False,
            )
    except Exception as error:  # torch raises all kinds of exceptions
        raise refusal(backbone, first_line(error)) from error
    recorded = onnx.load_from_string(buffer.getvalue()).graph
    if any(attribute.HasField("g") for node in recorded.node for attribute in node.attribute):
        raise refusal(backbone, "what it computes depends on its input")
    _rename(recorded, f"{number}/", {name for layer in names for name in layer} | {*inputs})
    if module.front_end is not None:
        original = module.front_end.original
        kernel, filters = add_kernel(graph, original), add_filters(graph, original)
        graph.compute("Identity", kernel, into=f"{number}/kernel")
        graph.compute("Identity", filters, into=f"{number}/filters")
    return recorded, [(f"{number}/{a}", f"{number}/{b}", f"{number}/{c}") for a, b, c in names]


def refusal(backbone: Backbone, reason: str) -> ModelError:
    """Return the error of a backbone that cannot be exported."""
    return ModelError(
        f"backbone {backbone.info.name!r} cannot be exported: {reason}. Train with another backbone"
        " or setting to get a classifier that can."
    )


def _rename(graph: Any, prefix: str, kept: Collection[str]) -> None:
    """Give all values short names with a prefix; long ones take as much place as some layers."""
    short: dict[str, str] = {"": ""}
    names = [tensor.name for tensor in graph.initializer]
    names += [name for node in graph.node for name in (*node.input, *node.output)]
    for name in names:
        short.setdefault(name, f"{prefix}{name if name in kept else len(short)}")
    for tensor in graph.initializer:
        tensor.name = short[tensor.name]
    for node in graph.node:
        node.ClearField("name")
        node.ClearField("doc_string")
        node.input[:] = [short[name] for name in node.input]
        node.output[:] = [short[name] for name in node.output]
