"""EfficientAT (Schmid et al. 2023, arXiv:2211.04772): MobileNetV3 distilled from transformers.

The networks of fschmid56/EfficientAT, release v0.0.1, with their published weights. The front end
is that of ``models/preprocess.py`` in evaluation mode.

Every frame depends on the whole window: the gates (squeeze-and-excitation) average over all of it,
and the convolutions are zero-padded. Silence after a clip would change every frame. So a window is
cut to its real samples first, as the authors do with a whole file, and windows with the same number
of frames are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earmark.backbones import weights
from earmark.backbones.base import Activations, Backbone, fill, random_state
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.networks.audioset import Tagger, audioset_names
from earmark.backbones.networks.logmel import LogMel, htk_mel_filters
from earmark.backbones.registry import register, register_family
from earmark.backbones.tensors import load_state_dict
from earmark.backbones.weights import WeightFile
from earmark.errors import BackboneError, did_you_mean

RATE_HZ = 32_000
SECONDS = 10  # length of its training clips: the longest window
FFT, WINDOW, HOP, BANDS = 1024, 800, 320, 128  # samples (25 ms every 10 ms), and mel bands
TOP_HZ = 15_000.0  # upper edge of the mel bands: training drew it from 14 to 16 kHz
PREEMPHASIS = 0.97
CLASSES = 527
NORM_EPSILON = 1e-3


class _Spec(NamedTuple):
    """One block of MobileNetV3-Large (arXiv:1905.02244, table 1), at width 1."""

    kernel: int
    expanded: int
    out: int
    stride: int
    gated: bool = False
    hard: bool = False  # hard swish, or else ReLU


_STEM, _HIDDEN = 16, 1280
_BLOCKS = (
    _Spec(3, 16, 16, 1),
    _Spec(3, 64, 24, 2),
    _Spec(3, 72, 24, 1),
    _Spec(5, 72, 40, 2, gated=True),
    _Spec(5, 120, 40, 1, gated=True),
    _Spec(5, 120, 40, 1, gated=True),
    _Spec(3, 240, 80, 2, hard=True),
    _Spec(3, 200, 80, 1, hard=True),
    _Spec(3, 184, 80, 1, hard=True),
    _Spec(3, 184, 80, 1, hard=True),
    _Spec(3, 480, 112, 1, gated=True, hard=True),
    _Spec(3, 672, 112, 1, gated=True, hard=True),
    _Spec(5, 672, 160, 2, gated=True, hard=True),
    _Spec(5, 960, 160, 1, gated=True, hard=True),
    _Spec(5, 960, 160, 1, gated=True, hard=True),
)


def _channels(count: float) -> int:
    """Round to a multiple of 8, as all MobileNets do: at least 8, and at most a tenth lower."""
    rounded = max(8, int(count + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * count else rounded


class _Conv(nn.Conv2d):
    """A zero-padded convolution and its activation; by channel if ``groups``."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        activation: Callable[..., Tensor] | None = None,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, groups=groups)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x if self.activation is None else self.activation(x, inplace=True)


class _Gate(nn.Module):
    """Scale each channel by a gate that reads the window's mean of every channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _channels(channels // 4)
        self.fc1, self.fc2 = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3)))))
        return x * gate.sigmoid()[:, :, None, None]


class _Block(nn.Module):
    """Expand to many channels, filter each, gate them, project to few; add the input if it fits."""

    def __init__(self, spec: _Spec, channels: int, width: float) -> None:
        super().__init__()
        expanded, out = _channels(spec.expanded * width), _channels(spec.out * width)
        act = F.hardswish if spec.hard else F.relu
        expand = [_Conv(channels, expanded, activation=act)] if expanded != channels else []
        each = _Conv(expanded, expanded, spec.kernel, spec.stride, groups=expanded, activation=act)
        gate = [_Gate(expanded)] if spec.gated else []
        self.block = nn.Sequential(*expand, each, *gate, _Conv(expanded, out))
        self.residual = spec.stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y.add_(x) if self.residual else y


class _Network(nn.Module):
    """Map log-mel (B, 1, T, 128) to activations (B, C, T, F), and the last ones to logits."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = _channels(_STEM * width)
        self.features = nn.ModuleList([_Conv(1, channels, 3, 2, activation=F.hardswish)])
        for spec in _BLOCKS:
            self.features.append(_Block(spec, channels, width))
            channels = _channels(spec.out * width)
        self.features.append(_Conv(channels, 6 * channels, activation=F.hardswish))
        hidden = _channels(_HIDDEN * width)
        self.hidden, self.logits = nn.Linear(6 * channels, hidden), nn.Linear(hidden, CLASSES)

    def classify(self, features: Tensor) -> Tensor:
        """Return the logits (B, 527) for the activations of the last layer."""
        logits: Tensor = self.logits(F.hardswish(self.hidden(features.mean((2, 3)))))
        return logits


_NORM = ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var")
_RENAMED = (("conc_se_layers.0.", ""), ("classifier.2.", "hidden."), ("classifier.5.", "logits."))


def _translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate a published state dict into one for ``_Network``.

    A batch normalisation ``x.1`` is folded into the convolution before it, ``x.0``: both become
    ``x``. Kernels are transposed, because time comes before frequency here. Tensors of another
    network stay unchanged, for ``assign`` to report.
    """
    own = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    for name in [key.removesuffix(".1.running_var") for key in state]:
        keys = [f"{name}.{part}" for part in _NORM]
        if not all(key in own for key in keys) or own[keys[0]].dim() != 4:
            continue
        weight, gain, bias, mean, var = (own.pop(key) for key in keys)
        gain = gain / (var + NORM_EPSILON).sqrt()
        own[f"{name}.weight"] = weight.transpose(2, 3) * gain[:, None, None, None]
        own[f"{name}.bias"] = bias - mean * gain
    for theirs, ours in _RENAMED:
        own = {key.replace(theirs, ours): tensor for key, tensor in own.items()}
    return own


class _Release(NamedTuple):
    width: float
    parameters: int
    file: WeightFile


# The authors publish no hashes. Other projects that pin these two files have the same hashes. The
# hashes of the other files are noted at first use; their sizes are estimated from their tensors.
_SHA256 = {
    "mn04": "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
    "mn10": "0bd7dc2443af498c289a2e739f02ebb515d6aa3fd3ab9db539c86123ae368a4e",
}
_URL = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1"
RELEASES = {
    f"efficientat-{name[:4]}": _Release(
        width, parameters, WeightFile(name, f"{_URL}/{name}", _SHA256.get(name[:4], ""), size)
    )
    for name, width, parameters, size in (
        ("mn04_as_mAP_432.pt", 0.4, 983_599, 4_066_513),
        ("mn10_as_mAP_471.pt", 1.0, 4_876_831, 19_708_753),
        ("mn05_as_mAP_443.pt", 0.5, 1_431_239, 5_870_000),
        ("mn20_as_mAP_478.pt", 2.0, 17_909_287, 71_930_000),
        ("mn30_as_mAP_482.pt", 3.0, 39_086_367, 156_740_000),
        ("mn40_as_mAP_484.pt", 4.0, 68_427_303, 274_200_000),
    )
}


class EfficientAT(Tagger):
    """A network of the family; its name says its width.

    A frame of the spectrogram is centred on every 10 ms of the window. A clip shorter than 32 ms,
    the length of the Fourier transform, is padded with silence to 32 ms.
    """

    free_axes = (2,)
    castable = ("network",)
    least_samples = FFT

    def __init__(self, info: BackboneInfo) -> None:
        super().__init__(info)
        self.front_end = LogMel(
            torch.hann_window(WINDOW, periodic=False),
            HOP,
            htk_mel_filters(FFT, RATE_HZ, BANDS, 0.0, TOP_HZ),
            offset=1e-5,
        )
        with torch.device("meta"):  # shapes only: `fill` loads the tensors
            self.network = _Network(RELEASES[info.name].width)

    @classmethod
    def load(cls, info: BackboneInfo) -> EfficientAT:
        path = weights.fetch(RELEASES[info.name].file)
        backbone, state = cls(info), _translate(load_state_dict(path))
        return fill(backbone, backbone.network, state, weights.sha256(path), str(path))

    @classmethod
    def random(cls, info: BackboneInfo, seed: int = 0) -> EfficientAT:
        """Build the network with random weights (He et al. 2015): for tests and as a baseline."""
        backbone = cls(info)
        state = random_state(backbone.network, seed)
        return fill(backbone, backbone.network, state, f"random-{seed}", "random weights")

    @classmethod
    def weight_files(cls, info: BackboneInfo) -> tuple[WeightFile, ...]:
        return (RELEASES[info.name].file,)

    def log_mel(self, x: Tensor, real: Tensor) -> Tensor:
        """Return the network's input (B, 1, T, 128) for the first ``real`` (B,) samples of ``x``.

        As published, a high-pass filter shortens the waveform by one sample, and the rest is
        mirrored at both ends. All rows must have the same number of frames, T.
        """
        return self._log_mel(x, real, int(_frames(real).max()))

    def _log_mel(self, x: Tensor, real: Tensor, frames: int) -> Tensor:
        x = x[:, 1:] - PREEMPHASIS * x[:, :-1]
        at = torch.arange(-WINDOW // 2, (frames - 1) * HOP + WINDOW // 2, device=x.device).abs()
        at = torch.minimum(at, 2 * (real[:, None] - 2) - at)  # mirrored at the last sample
        x = self.front_end(x.gather(1, at))
        return x.add_(4.5).div_(5.0)[:, None]

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        windows = F.pad(windows.float(), (0, max(0, self.least_samples - windows.shape[1])))
        real = valid.clamp_min(self.least_samples)
        for frames in torch.unique(_frames(real)):
            rows = (_frames(real) == frames).nonzero()[:, 0]
            yield rows, self.log_mel(windows[rows], real[rows])

    def window_input(self, window: Tensor, valid: Tensor) -> Tensor:
        n = window.shape[1]
        return self._log_mel(window, valid.clamp_min(self.least_samples), (n + HOP - 1) // HOP)

    def body(self, x: Tensor) -> Activations:
        x = x.contiguous(memory_format=torch.channels_last)
        for name, layer in zip(_NAMES, self.network.features, strict=True):
            x = layer(x)
            yield name, x

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        """Weigh all frames of a window equally; together they count as its real samples do.

        Otherwise, in a clip of 10 s and one sample, the last sample would count as much as the
        10 s before it.
        """
        frames = valid * (x.shape[3] / BANDS / HOP)  # time is halved where frequency is
        return (frames / x.shape[2])[:, None].expand(-1, x.shape[2])

    def class_names(self) -> tuple[str, ...]:
        return audioset_names()

    def class_scores(self, windows: Tensor, valid: Tensor) -> Tensor:
        windows, valid = windows.to(self.device), valid.to(self.device)
        scores = windows.new_empty(len(windows), CLASSES, dtype=torch.float32)
        for rows, x in self.inputs(windows, valid):
            ((_, features),) = self.compute(x, [_NAMES[-1]])
            scores[rows] = self.network.classify(features).float().sigmoid()
        return scores


def _frames(samples: Tensor) -> Tensor:
    return (samples + HOP - 1) // HOP


_NAMES = ("stem", *(f"block{number}" for number, _ in enumerate(_BLOCKS, start=1)), "features")


def _layers(width: float) -> tuple[Layer, ...]:
    """Return the layers: four frequency bands of each, and the published embedding as the last."""
    sizes = [_channels(count * width) for count in (_STEM, *(spec.out for spec in _BLOCKS))]
    inner = (Layer(name, size, 4) for name, size in zip(_NAMES[:-1], sizes, strict=True))
    return (*inner, Layer("features", 6 * sizes[-1]))


@register_family("efficientat-")
def _describe(name: str) -> tuple[BackboneInfo, type[Backbone]]:
    """Describe a network of the family, the large ones included."""
    if name not in RELEASES:
        near = did_you_mean(name, RELEASES)
        raise BackboneError(f"no backbone {name!r}.{near} Known: {', '.join(RELEASES)}.")
    release = RELEASES[name]
    info = BackboneInfo(
        name=name,
        summary="EfficientAT: MobileNetV3 trained on AudioSet; also as mn05, mn20, mn30 and mn40",
        rate_hz=RATE_HZ,
        window=SECONDS * RATE_HZ,
        hop=SECONDS * RATE_HZ,
        step=HOP,
        layers=_layers(release.width),
        parameters=release.parameters,
        source=f"arXiv:2211.04772; {release.file.url}",
        licence="MIT",
        notice="Copyright (c) 2022 Florian Schmid",
        version=2,
        earlier=(1,),
        drops_rounding_since=2,
    )
    return info, EfficientAT


for _name in ("efficientat-mn04", "efficientat-mn10"):
    register(_describe(_name)[0])(EfficientAT)
