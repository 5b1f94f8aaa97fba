"""Wav2vec 2.0 (Baevski et al. 2020, arXiv:2006.11477) and networks of the same structure.

HuBERT, WavLM, data2vec-audio and UniSpeech-SAT share it: seven convolutions turn the waveform into
a frame every 20 ms, and transformer blocks follow. These are used as ``hf:NAME-OR-FOLDER``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.networks.checkpoint import find_in_hub_cache
from earmark.backbones.networks.huggingface import (
    Config,
    Geometry,
    Settings,
    Transformer,
    first,
    reads,
)
from earmark.backbones.registry import register
from earmark.backbones.weights import WeightFile, fetch, find

RATE_HZ = 16_000
WINDOW_S = 20  # training clips had at most 15.6 s; attention's cost grows with the square
VARIANCE_FLOOR = 1e-7  # as in transformers' Wav2Vec2FeatureExtractor


@reads
class Wav2Vec2(Transformer):
    """Convolutions over the waveform, then a transformer; every hidden state is a layer.

    ``features`` is the output of the convolutions. ``block0`` is the input of the first transformer
    block (projected, with positions), and ``block1`` ... are the outputs of the blocks. If the
    network normalises once more after its last block, ``output`` is the result.

    A window is computed at its own length and never padded, so that a clip's embedding cannot
    depend on the others of its batch. Masks would be exact only if every norm covered one frame. In
    the base sizes, a group norm after the first convolution takes its mean over the whole time
    axis, zeros included. Padded batches are also slower on a CPU than one clip after the other.

    A clip longer than 20 s is cut. The windows' statistics combine exactly, weighted by frames, but
    attention, positions and group norm do not reach across a cut. A clip shorter than a frame's 400
    samples is zero-padded; the weight of its one frame is the share of real samples.
    """

    architectures: ClassVar[Mapping[str, str]] = {
        "wav2vec2": "Wav2Vec2Model",
        "hubert": "HubertModel",
        "wavlm": "WavLMModel",
        "data2vec-audio": "Data2VecAudioModel",
        "unispeech-sat": "UniSpeechSatModel",
    }
    required = (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "num_conv_pos_embeddings",
        "conv_dim",
        "conv_kernel",
        "conv_stride",
        "conv_bias",
        "feat_extract_norm",
        "do_stable_layer_norm",
        "num_buckets",  # only WavLM has this one and the next
        "max_bucket_distance",
    )
    free_axes = (1,)
    untuned = ("features",)

    def __init__(self, info: BackboneInfo, model: nn.Module, preparation: Settings) -> None:
        super().__init__(info, model, preparation)
        self.normalises = bool(preparation.get("do_normalize", True))
        if self.normalises:
            self.position_dependence = "clips are normalised as a whole, as published"
        self.stable = _stable(self.config)
        self.grouped = getattr(self.config, "feat_extract_norm", None) == "group"
        self.least_samples = _frame(self.config)
        for module in model.modules():  # apply weight norm once instead of at every call
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")

    @classmethod
    def geometry(cls, config: Config, preparation: Settings) -> Geometry:
        window = WINDOW_S * int(preparation.get("sampling_rate", RATE_HZ))
        return Geometry(
            window,
            step=1,
            layers=_layers(
                config.conv_dim[-1], config.hidden_size, config.num_hidden_layers, _stable(config)
            ),
        )

    def prepare(self, clip: np.ndarray, moments: tuple[float, float] | None = None) -> np.ndarray:
        """Scale a clip (n,) to zero mean and unit variance, if the checkpoint requires it."""
        if not self.normalises:
            return clip
        mean, variance = moments or (clip.mean(), clip.var())
        return np.asarray((clip - mean) / np.sqrt(variance + VARIANCE_FLOOR), np.float32)

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for length in sorted(set(valid.tolist())):
            rows = (valid == length).nonzero()[:, 0]
            yield rows, F.pad(windows[rows, :length], (0, max(0, self.least_samples - length)))

    def window_input(self, window: Tensor, valid: Tensor) -> Tensor:
        return window

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        return (valid / self.least_samples).clamp_max(1)[:, None].expand(-1, x.shape[2])

    def hidden(self, x: Tensor) -> Iterator[Tensor]:
        return (y.transpose(1, 2)[..., None] for y in self._states(x))

    def _states(self, x: Tensor) -> Iterator[Tensor]:
        """Yield every hidden state (B, T, C) of windows (B, n) of equal length."""
        part = self.model.get_submodule
        norm = part("encoder.layer_norm")
        extractor = part("feature_extractor")
        is_recorded = self.grouped and torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        x = (_channels_last(extractor, x) if is_recorded else extractor(x)).transpose(1, 2)
        yield x
        x = first(part("feature_projection")(x))
        x = x + part("encoder.pos_conv_embed")(x)
        if not self.stable:
            x = norm(x)
        yield x
        bias: dict[str, Tensor] = {}  # WavLM's first block computes it for the others
        for block in part("encoder.layers").children():
            result = block(x, **bias)
            x = first(result)
            if self.config.model_type == "wavlm":
                bias = {"position_bias": result[1]}
            yield x
        if self.stable:
            yield norm(x)


def _channels_last(extractor: nn.Module, x: Tensor) -> Tensor:
    """Compute the convolutions of a network with a group norm as OpenVINO is fastest at them.

    OpenVINO computes convolutions with channels last. It reorders them around a group norm, which
    takes a tenth of the total time, but not around a mean over time in an image one row high. In
    PyTorch itself this form is slower.
    """
    x = x[:, None, None]  # (B, C, 1, T)
    for layer in extractor.get_submodule("conv_layers").children():
        conv, norm = layer.get_submodule("conv"), getattr(layer, "layer_norm", None)
        assert isinstance(conv, nn.Conv1d) and isinstance(norm, nn.GroupNorm | None)
        x = F.conv2d(x, conv.weight[:, :, None], conv.bias, (1, *conv.stride))
        if norm is not None:  # every channel is a group
            mean = x.mean(3, keepdim=True)
            variance = (x - mean).square().mean(3, keepdim=True)
            scale = torch.rsqrt(variance + norm.eps) * norm.weight[:, None, None]
            x = x * scale + (norm.bias[:, None, None] - mean * scale)
        x = layer.get_submodule("activation")(x)
    return x[:, :, 0]


def _stable(config: Config) -> bool:
    """Say whether blocks normalise their input, and the network the output of its last block."""
    return bool(getattr(config, "do_stable_layer_norm", False))


def _frame(config: Config) -> int:
    """Return the number of samples that one frame reads."""
    samples = 1
    for kernel, stride in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def _layers(features: int, hidden: int, blocks: int, output: bool) -> tuple[Layer, ...]:
    return (
        Layer("features", features),
        *(Layer(f"block{i}", hidden) for i in range(blocks + 1)),
        *([Layer("output", hidden)] if output else []),
    )


# Settings in the config.json of both repositories, except those that the weights' shapes imply.
_BASE = {
    "model_type": "wav2vec2",
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "do_stable_layer_norm": False,
    "hidden_act": "gelu",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "layer_norm_eps": 1e-5,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
}


def _base(name: str, summary: str) -> BackboneInfo:
    return BackboneInfo(
        name=name,
        summary=summary,
        rate_hz=RATE_HZ,
        window=WINDOW_S * RATE_HZ,
        hop=WINDOW_S * RATE_HZ,
        step=1,
        layers=_layers(512, 768, 12, output=False),
        parameters=94_370_944,
        source=f"arXiv:2006.11477; weights from huggingface.co/facebook/{name}",
        licence="Apache-2.0",
        notice="Copyright Facebook, Inc. and its affiliates",
        version=2,
        earlier=(1,),
        drops_rounding_since=2,
    )


class _Published(Wav2Vec2):
    """A network of the base size with its weights in one file on huggingface.co."""

    @classmethod
    def load(cls, info: BackboneInfo, path: str | Path | None = None) -> Transformer:
        """Build the network with its weights, from ``path`` or from the usual places.

        Hugging Face's own cache is searched too.
        """
        (file,) = cls.files
        at = find(file, path) or find_in_hub_cache(file) or fetch(file)
        return cls.assemble(info, _BASE, {"do_normalize": True}, [at])


@register(_base("wav2vec2-base", "wav2vec 2.0 base: for speech, pretrained without text; large"))
class Wav2Vec2Base(_Published):
    """Pretrained on 960 h of LibriSpeech without its text."""

    files = (
        WeightFile(
            name="wav2vec2-base-0b5b8e86.bin",
            url="https://huggingface.co/facebook/wav2vec2-base/resolve"
            "/0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8/pytorch_model.bin",
            sha256="3249fe98bfc62fcbc26067f724716a6ec49d12c4728a2af1df659013905dff21",
            bytes=380_267_417,
        ),
    )


@register(_base("wav2vec2-base-960h", "wav2vec 2.0 base, fine-tuned to transcribe English; large"))
class Wav2Vec2Base960h(_Published):
    """The same network, fine-tuned with the text of these 960 h."""

    files = (
        WeightFile(
            name="wav2vec2-base-960h-22aad52d.safetensors",
            url="https://huggingface.co/facebook/wav2vec2-base-960h/resolve"
            "/22aad52d435eb6dbaf354bdad9b0da84ce7d6156/model.safetensors",
            sha256="8aa76ab2243c81747a1f832954586bc566090c83a0ac167df6f31f0fa917d74a",
            bytes=377_607_901,
        ),
    )
