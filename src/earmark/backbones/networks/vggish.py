"""VGGish (Hershey et al. 2017, arXiv:1609.09430): Google's AudioSet network with all its layers.

The constants are those of ``vggish_params.py`` in tensorflow/models, research/audioset/vggish. The
weights are Google's, as harritaylor/torchvggish publishes them for PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earmark.backbones.base import Activations, Backbone, all_rows, fill, random_state, real_share
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.networks.logmel import LogMel, htk_mel_filters
from earmark.backbones.registry import register, register_family
from earmark.backbones.tensors import load_state_dict
from earmark.backbones.weights import WeightFile, fetch, find, sha256
from earmark.errors import BackboneError

RATE_HZ = 16_000
FRAME, FFT, HOP = 400, 512, 160  # samples: 25 ms, 32 ms (zero-padded frame), 10 ms
FRAMES, BANDS = 96, 64  # one example is 96 frames of 64 mel bands
WINDOW = FRAMES * HOP  # 15,360 samples: 0.96 s; examples follow each other without overlap
CONTEXT = FRAME - HOP  # 240 samples that the last frame reads beyond its window

WEIGHTS = WeightFile(
    name="vggish-10086976.pth",
    url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
    sha256="10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
    bytes=288_567_937,
)

# Modules in the two parts of the network whose outputs are layers. For a block it is the output of
# the pooling: the next block reads it, and it has a quarter of the numbers.
_BLOCKS = {2: "conv1", 5: "conv2", 10: "conv3", 15: "conv4"}
_DENSE = {1: "fc1", 3: "fc2", 4: "embedding", 5: "embedding-relu"}

# Mean and standard deviation of the embeddings of a 1 kHz tone, and the allowed relative error:
# research/audioset/vggish/vggish_smoke_test.py, tensorflow/models at 09093db7 (July 2023).
SMOKE_MEAN, SMOKE_STD, SMOKE_RTOL = 0.000657, 0.343, 0.1


INFO = BackboneInfo(
    name="vggish",
    summary="VGGish: the classic AudioSet network; vggish@0.48 cuts windows every 0.48 s",
    rate_hz=RATE_HZ,
    window=WINDOW,
    hop=WINDOW,
    context=CONTEXT,
    layers=(
        *(Layer(f"conv{i}", c, bands=4) for i, c in enumerate((64, 128, 256, 512), start=1)),
        Layer("fc1", 4096),
        Layer("fc2", 4096),
        Layer("embedding", 128),
        Layer("embedding-relu", 128),
    ),
    parameters=72_141_184,
    source="arXiv:1609.09430; weights from release v0.1 of harritaylor/torchvggish",
    licence="Apache-2.0",
    notice="Copyright The TensorFlow Authors",
    version=2,
    earlier=(1,),
    drops_rounding_since=2,
)


@register(INFO)
class VGGish(Backbone):
    """Four blocks of 3x3 convolutions and three dense layers over 0.96 s of log-mel spectrogram.

    Windows agree with the published examples where those exist. The published code drops the end of
    a clip, and drops clips below 0.975 s altogether. Here the last window is padded with silence,
    and a frame's weight is its share of real audio. Frames are 20, 40, 80 and 160 ms long in the
    blocks, and as long as the window in the dense layers.
    """

    files = (WEIGHTS,)
    openvino_gains = half_is_close = True
    batch_s = 40.0  # 268 MB of dense weights are read in every pass
    castable = ("features", "embeddings")

    def __init__(self, info: BackboneInfo) -> None:
        super().__init__(info)
        # In float64: away from a pure tone's peak the spectrum is so weak that rounding in a
        # float32 FFT changes the logarithm by 1e-3. It costs 3 % of the total time.
        window = torch.hann_window(FRAME, dtype=torch.float64)
        filters = htk_mel_filters(FFT, RATE_HZ, BANDS, 125.0, 7_500.0).double()
        self.front_end = LogMel(window, HOP, filters, power=1, offset=0.01)
        with torch.device("meta"):  # shapes only: `fill` loads the tensors
            self.features = nn.Sequential(*_convolutions())
            self.embeddings = nn.Sequential(
                nn.Linear(FRAMES // 16 * (BANDS // 16) * 512, 4096),
                nn.ReLU(inplace=True),
                nn.Linear(4096, 4096),
                nn.ReLU(inplace=True),
                nn.Linear(4096, 128),
                nn.ReLU(),
            )

    @classmethod
    def load(cls, info: BackboneInfo, path: str | Path | None = None) -> VGGish:
        """Build the network with Google's weights, from ``path`` or from the usual places."""
        at = find(WEIGHTS, path) or fetch(WEIGHTS)
        backbone = cls(info)
        return fill(backbone, backbone, load_state_dict(at), sha256(at), source=str(at))

    @classmethod
    def random(cls, info: BackboneInfo, seed: int = 0) -> VGGish:
        """Build the network with random weights (He et al. 2015): for tests and as a baseline."""
        backbone = cls(info)
        state = random_state(backbone, seed)
        return fill(backbone, backbone, state, f"random-{seed}", source="random weights")

    def log_mel(self, windows: Tensor) -> Tensor:
        """Return the network's input (B, 96, 64) for ``windows`` (B, context + core + context)."""
        x: Tensor = self.front_end(windows[:, CONTEXT:])  # audio before the core is not read
        return x.float()

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        yield all_rows(windows), self.log_mel(windows)[:, None]  # (B, 1, 96, 64)

    def body(self, x: Tensor) -> Activations:
        for i, module in enumerate(self.features):
            x = module(x)
            if i in _BLOCKS:
                yield _BLOCKS[i], x
        x = x.permute(0, 2, 3, 1).flatten(1)  # (B, 12288): time, frequency, channel, as Google's
        for i, module in enumerate(self.embeddings):
            x = module(x)
            if i in _DENSE:
                yield _DENSE[i], x[:, :, None, None]

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        return real_share(x.shape[2], WINDOW // x.shape[2], valid)

    def verify(self) -> str:
        """Compare with the values of Google's smoke test, and return both.

        The values are the mean and standard deviation of the embeddings, before their ReLU, of the
        three examples in 3 s of a 1 kHz tone. Raises BackboneError if one differs by more than
        10 %.
        """
        t = torch.arange(3 * RATE_HZ, dtype=torch.float64) / RATE_HZ
        tone = F.pad((2 * math.pi * 1_000 * t).sin().float(), (CONTEXT, 0))
        windows = tone.unfold(0, WINDOW + 2 * CONTEXT, WINDOW)  # (3, n)
        with torch.inference_mode():
            stats = self(windows, torch.full((len(windows),), WINDOW), ["embedding"])
        embedding = stats["embedding"].mean
        mean, std = float(embedding.mean()), float(embedding.std(correction=0))
        values = f"embeddings of a 1 kHz tone have mean {mean:.3g} and standard deviation {std:.3g}"
        published = f"{SMOKE_MEAN:.3g} and {SMOKE_STD:.3g} (within {SMOKE_RTOL:.0%})"
        errors = (abs(mean / SMOKE_MEAN - 1), abs(std / SMOKE_STD - 1))
        if not max(errors) <= SMOKE_RTOL:  # NaN is not <=
            raise BackboneError(
                f"{self.info.name} differs from Google's network: {values}, not {published}."
                f" Fetch {WEIGHTS.name} again and verify in float32."
            )
        return f"{values}; published: {published}"


@register_family("vggish@")
def _with_hop(name: str) -> tuple[BackboneInfo, type[Backbone]]:
    """Describe ``vggish@SECONDS``, where SECONDS is the hop of the windows: 0.01 to 0.96 s."""
    try:
        hop = round(float(name.removeprefix("vggish@")) * RATE_HZ)
    except (ValueError, OverflowError):
        hop = 0
    if not HOP <= hop <= WINDOW:
        raise BackboneError(
            f"backbone {name!r} has no usable hop. Give seconds from {HOP / RATE_HZ:g} to"
            f" {WINDOW / RATE_HZ:g} after the @, such as vggish@0.48."
        )
    return replace(INFO, name=f"vggish@{hop / RATE_HZ:g}", hop=hop), VGGish


def postprocess(embeddings: Tensor, pca_eigen_vectors: Tensor, pca_means: Tensor) -> Tensor:
    """Whiten ``embeddings`` (N, 128) and round them to (N, 128) uint8, as AudioSet's release did.

    Use it only to compare with AudioSet's or YouTube-8M's own embeddings; nothing in earmark calls
    it. ``embeddings`` are those before the ReLU. The parameters, (128, 128) and (128,) or (128, 1),
    are the arrays of these names in Google's ``vggish_pca_params.npz``
    (storage.googleapis.com/audioset). -2..2 becomes 0..255, truncated as in
    ``vggish_postprocess.py`` of tensorflow/models. torchvggish rounds instead, so its values may be
    greater by one.
    """
    means, vectors = pca_means.flatten().to(embeddings), pca_eigen_vectors.to(embeddings)
    whitened = (embeddings - means) @ vectors.T
    return ((whitened.clamp(-2, 2) + 2) * (255 / 4)).to(torch.uint8)


def _convolutions() -> Iterator[nn.Module]:
    channels = 1
    for block in ((64,), (128,), (256, 256), (512, 512)):
        for width in block:
            yield nn.Conv2d(channels, width, 3, padding=1)
            yield nn.ReLU(inplace=True)
            channels = width
        yield nn.MaxPool2d(2)
