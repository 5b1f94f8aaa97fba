"""AST (Gong et al. 2021, arXiv:2104.01778) and Whisper's encoder (Radford et al. 2022,
arXiv:2212.04356), as ``hf:NAME-OR-FOLDER``.

Both read a log-mel spectrogram of fixed length, padded after the end of the clip. The spectrograms
are those of transformers' feature extractors, computed here in batches on the network's device.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earmark.backbones.base import all_rows, frame_weights
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.networks.huggingface import (
    Config,
    Geometry,
    Settings,
    Transformer,
    first,
    reads,
)
from earmark.backbones.networks.logmel import LogMel

FRAME, HOP = 400, 160  # samples at 16 kHz: 25 and 10 ms, in both networks
FFT = 512  # points, for AST; Whisper transforms the 400 samples without padding
PREEMPHASIS = 0.97  # of Kaldi's filterbank


@reads
class Whisper(Transformer):
    """The encoder of Whisper over windows of 30 s; its decoder is not loaded.

    ``block0`` is the input of the first block, ``block1`` ... are the outputs of the blocks, and
    ``output`` is the last one after normalisation. The network always reads 30 s. As its authors
    did, shorter clips are padded with silence; they cost the same, and the frames of that silence
    are not counted.
    """

    architectures: ClassVar[Mapping[str, str]] = {
        "whisper": "models.whisper.modeling_whisper.WhisperEncoder"
    }
    required = (
        "d_model",
        "encoder_layers",
        "encoder_attention_heads",
        "encoder_ffn_dim",
        "num_mel_bins",
        "max_source_positions",
    )
    position_dependence = "spectrograms are cut 8 decades below the window's peak, as published"

    def __init__(self, info: BackboneInfo, model: nn.Module, preparation: Settings) -> None:
        super().__init__(info, model, preparation)
        bands = self.config.num_mel_bins
        filters = _mel_filters(FRAME, bands, 0, info.rate_hz, norm="slaney", scale="slaney")
        self.front_end = LogMel(torch.hann_window(FRAME), HOP, filters, floor=1e-10)

    @classmethod
    def geometry(cls, config: Config, preparation: Settings) -> Geometry:
        layers = (f"block{i}" for i in range(config.encoder_layers + 1))
        return Geometry(
            window=config.max_source_positions * 2 * HOP,
            step=None,
            layers=tuple(Layer(name, config.d_model) for name in (*layers, "output")),
        )

    @classmethod
    def select(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        parts = {name: name.partition("encoder.") for name in state}
        return {
            own: state[name]
            for name, (before, separator, own) in parts.items()
            if separator and before in ("", "model.")
        }

    def log_mel(self, windows: Tensor) -> Tensor:
        """Return the network's input (B, M, T): log10 / 4 + 1, cut 8 decades below the peak."""
        x = F.pad(windows[:, None].float(), (FRAME // 2, FRAME // 2), mode="reflect")[:, 0]
        x = self.front_end(x)[:, :-1] / math.log(10)  # (B, T, M)
        x = torch.maximum(x, x.amax((1, 2), keepdim=True) - 8)
        return (x.transpose(1, 2) + 4) / 4

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        yield all_rows(windows), self.log_mel(windows)

    def hidden(self, x: Tensor) -> Iterator[Tensor]:
        part = self.model.get_submodule
        x = F.gelu(part("conv2")(F.gelu(part("conv1")(x)))).transpose(1, 2)  # (B, T, C)
        x = x + self.model.get_parameter("embed_positions.weight")
        yield x.transpose(1, 2)[..., None]
        for block in part("layers").children():
            x = first(block(x, None))
            yield x.transpose(1, 2)[..., None]
        yield part("layer_norm")(x).transpose(1, 2)[..., None]

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        return frame_weights(x.shape[2], 0, 2 * HOP, valid)


@reads
class AST(Transformer):
    """The Audio Spectrogram Transformer over windows of 10.2 s (``max_length`` frames).

    ``block0`` is the patches that the first block reads, and ``block1`` ... are the patches that
    the blocks return. A patch's weight is its share of real frames. ``output`` is the mean of the
    two class tokens after normalisation, which the published classifiers read; its weight is the
    window's number of real frames. As in training, the spectrogram is padded with zeros after the
    clip, and a short clip costs as much as a whole window.
    """

    architectures: ClassVar[Mapping[str, str]] = {"audio-spectrogram-transformer": "ASTModel"}
    required = (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "num_mel_bins",
        "max_length",
        "patch_size",
        "frequency_stride",
        "time_stride",
    )

    def __init__(self, info: BackboneInfo, model: nn.Module, preparation: Settings) -> None:
        super().__init__(info, model, preparation)
        normal = bool(preparation.get("do_normalize", True))  # defaults: published, for AudioSet
        self.mean = float(preparation.get("mean", -4.2677393)) if normal else 0.0
        self.deviations = 2 * float(preparation.get("std", 4.5689974)) if normal else 1.0
        bands = self.config.num_mel_bins
        self.front_end = Fbank(_mel_filters(FFT, bands, 20, info.rate_hz, norm=None, scale="kaldi"))

    @classmethod
    def geometry(cls, config: Config, preparation: Settings) -> Geometry:
        blocks = (
            Layer(f"block{i}", config.hidden_size) for i in range(config.num_hidden_layers + 1)
        )
        return Geometry(
            window=(config.max_length - 1) * HOP + FRAME,
            step=None,
            layers=(*blocks, Layer("output", config.hidden_size)),
        )

    def log_mel(self, windows: Tensor, real: Tensor) -> Tensor:
        """Return the network's input (B, T, M); its first ``real`` (B,) frames are audio."""
        x: Tensor = self.front_end(windows)
        filled = torch.arange(x.shape[1], device=x.device) >= real[:, None]
        return (x.masked_fill_(filled[..., None], 0) - self.mean) / self.deviations

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        yield all_rows(windows), self.log_mel(windows, _real_frames(valid))

    def hidden(self, x: Tensor) -> Iterator[Tensor]:
        part, config = self.model.get_submodule, self.config
        x = part("embeddings")(x)  # (B, 2 + F * T, C)
        bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        yield _patches(x, bands)
        blocks = "layers" if hasattr(self.model, "layers") else "encoder.layer"  # version 5.0
        for block in part(blocks).children():
            x = first(block(x))
            yield _patches(x, bands)
        yield part("layernorm")(x[:, :2]).mean(1)[..., None, None]

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        patch, stride = int(self.config.patch_size), int(self.config.time_stride)
        real = _real_frames(valid)[:, None]
        if layer == "output":
            return real.float()
        starts = torch.arange(x.shape[2], device=x.device) * stride
        return ((real - starts) / patch).clamp(0, 1)


def _real_frames(valid: Tensor) -> Tensor:
    """Return the number of spectrogram frames of real audio; at least one, zero-padded."""
    return ((valid - FRAME) // HOP + 1).clamp_min(1)


def _patches(x: Tensor, bands: int) -> Tensor:
    """Return AST's tokens (B, 2 + F * T, C) as (B, C, T, F), without the two class tokens."""
    patches = torch.unflatten(x[:, 2:], 1, (bands, -1))
    return patches.permute(0, 3, 2, 1)


class Fbank(nn.Module):
    """Kaldi's log filterbank as AST uses it: (B, n) waveform -> (B, T, M), without padding.

    Each frame loses its mean, and then each sample loses 0.97 times the sample before it; the first
    sample of a frame loses 0.97 times itself. As in the authors' code, the waveform is within
    -1..1.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, filters: Tensor) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FRAME, periodic=False), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.float().unfold(-1, FRAME, HOP)  # (B, T, 400)
        frames = frames - frames.mean(-1, keepdim=True)
        frames = frames - PREEMPHASIS * torch.cat([frames[..., :1], frames[..., :-1]], -1)
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window, FFT)).square_().sum(-1)
        return (spectrum @ self.filters).clamp_min_(torch.finfo(torch.float32).eps).log_()


def _mel_filters(
    fft: int, bands: int, low_hz: int, rate_hz: int, *, norm: str | None, scale: str
) -> Tensor:
    """Return triangular filters (fft // 2 + 1, bands) of transformers, up to half the rate."""
    filters = importlib.import_module("transformers.audio_utils").mel_filter_bank(
        num_frequency_bins=fft // 2 + 1,
        num_mel_filters=bands,
        min_frequency=low_hz,
        max_frequency=rate_hz / 2,
        sampling_rate=rate_hz,
        norm=norm,
        mel_scale=scale,
        triangularize_in_mel_space=scale == "kaldi",
    )
    return torch.from_numpy(filters).float()
