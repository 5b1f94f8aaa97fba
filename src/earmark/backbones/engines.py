"""What computes a backbone's body: plain PyTorch everywhere, OpenVINO on CPUs where it is quicker.

The front end and the statistics stay in PyTorch and float32. Every compiled model is compared with
PyTorch before it is kept on disk: see docs/engines.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import io
import platform
import sys
import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from earmark.backbones import choices
from earmark.backbones.base import Activations, Backbone
from earmark.errors import BackboneError, EarmarkError, EarmarkWarning, did_you_mean, first_line
from earmark.system.cache import engines_folder
from earmark.system.files import write_whole
from earmark.system.threads import available_cores

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest

ENGINES = ("auto", "torch", "openvino")
POLICIES = ("exact", "fast")
LARGEST_ERROR = {"float32": 1e-4, "bfloat16": 0.3}  # of a layer, relative; gross errors have 1
LARGE = 10_000_000  # parameters; the start of OpenVINO, 0.4 s, does not pay for less
LEAST = 400  # frames of a spectrogram or samples of a waveform that every network can read


class EngineWarning(EarmarkWarning):
    """An engine was replaced by plain PyTorch, and why."""


def set_engine(backbone: Backbone, precision: str = "exact", engine: str = "auto") -> Backbone:
    """Let ``engine`` compute the body of ``backbone`` in a ``precision``.

    'exact' gives float32 results with every engine. 'fast' gives the quickest results whose
    embeddings keep a cosine of 0.999 to those: bfloat16 where the processor has it and the network
    tolerates it, else float32. 'auto' takes a GPU, else OpenVINO where it is installed and was
    measured to be faster on this machine, else PyTorch. BackboneError for an engine that is
    unknown, not installed or cannot be used.
    """
    _known("precision", precision, POLICIES)
    _known("engine", engine, ENGINES)
    half = precision == "fast" and backbone.half_is_close
    if engine == "openvino" or (engine == "auto" and _openvino_gains(backbone, half)):
        if not _installed():
            raise BackboneError(
                "engine 'openvino' needs the package openvino, which is not installed; pip install"
                " 'earmark[fast]', or use --engine torch."
            )
        if type(backbone).body is Backbone.body:
            raise BackboneError(
                f"backbone {backbone.info.name!r} can only be computed by PyTorch; use --engine"
                " auto or torch."
            )
        backbone.engine = OpenVINO(backbone, half, is_required=engine == "openvino")
    else:
        gpu = torch.cuda.is_available()
        backbone.cast("bfloat16" if half and (gpu or _has_bfloat16()) else "float32")
        if gpu:
            torch.backends.cudnn.allow_tf32 = half  # 10 bits of mantissa are not float32
            backbone.device = torch.device("cuda")
            backbone.to(backbone.device)
    backbone.precision = "fast" if half else "float32"
    return backbone


def _known(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise BackboneError(
            f"{what} {value!r} is unknown;{did_you_mean(value, known)} give one of"
            f" {', '.join(known)}."
        )


def _openvino_gains(backbone: Backbone, half: bool) -> bool:
    """Say if OpenVINO was the quicker engine on this machine; measure it where nobody has."""
    able = type(backbone).body is not Backbone.body and backbone.info.parameters >= LARGE
    if not able or not _installed() or torch.cuda.is_available():
        return False
    precision = "fast" if half else "float32"
    choice = choices.kept(backbone.info, precision)
    if choice is None:
        rates = _rates(backbone, half)
        choice = choices.quickest(rates)
        if "openvino" in rates:
            choices.keep(backbone.info, precision, choice)
    return choice.engine == "openvino"


def _rates(backbone: Backbone, half: bool) -> dict[str, float]:
    """Measure every engine that can compute ``backbone``; its weights stay as they are."""
    rates = {
        "torch": choices.torch_rate(backbone, "bfloat16" if half and _has_bfloat16() else "float32")
    }
    compiled = OpenVINO(backbone, half)
    backbone.engine = compiled
    try:
        measured = choices.rate(backbone)
    finally:
        backbone.engine = backbone.compute
    if None not in compiled.models.values():  # else PyTorch computed in its place
        rates["openvino"] = measured
    return rates


def _installed() -> bool:
    return importlib.util.find_spec("openvino") is not None


def _has_bfloat16() -> bool:
    """Say if this processor multiplies bfloat16; where it does not, it is slower than float32."""
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every PyTorch
    return any(getattr(torch.cpu, ask, bool)() for ask in asks)


class OpenVINO:
    """Computes the body of ``backbone``; safe to call from several threads, each with one core.

    The first call for some layers compiles a model of them: it is recorded from PyTorch, compared
    with it, and kept in the folder ``engines`` of the cache for the next process. A model that
    differs too much is not used: PyTorch computes instead, with a warning, or a BackboneError is
    raised if the engine ``is_required``.
    """

    def __init__(self, backbone: Backbone, half: bool, is_required: bool = False) -> None:
        self.backbone, self.is_required = backbone, is_required
        with _unreported():
            self.ov = importlib.import_module("openvino")
        self.core = self.ov.Core()
        able = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.dtype = "bfloat16" if half and "BF16" in able else "float32"
        self.models: dict[tuple[str, ...], CompiledModel | None] = {}
        self.lock, self.own = threading.Lock(), threading.local()

    def __call__(self, x: Tensor, layers: Collection[str]) -> Activations:
        names = tuple(sorted(layers))
        with self.lock:
            if names not in self.models:
                self.models[names] = self._model(names, x)
        model = self.models[names]
        if model is None:
            return self.backbone.compute(x, layers)
        return self._infer(model, names, x)

    def _infer(self, model: CompiledModel, names: tuple[str, ...], x: Tensor) -> Activations:
        """Compute in the calling thread's own request; results last until its next call."""
        requests: dict[tuple[str, ...], InferRequest] = self.own.__dict__.setdefault("requests", {})
        if names not in requests:
            requests[names] = model.create_infer_request()
        values = x.contiguous().numpy()  # shared: it has to live as long as the results
        arrays = requests[names].infer([values], share_inputs=True, share_outputs=True)
        for number, name in enumerate(names):
            yield name, torch.from_numpy(arrays[number]).permute(0, 3, 1, 2)

    def _model(self, names: tuple[str, ...], x: Tensor) -> CompiledModel | None:
        """Return the compiled model for these layers, or None if PyTorch has to do."""
        at = self._place(names)
        if at.exists():
            with contextlib.suppress(RuntimeError), at.open("rb") as file:
                return self.core.import_model(file.read(), "CPU", self._settings())
        try:
            model = self._convert(names, x)
            self._compare(model, names, x)
        except Exception as error:  # converters raise what they like
            text = f"OpenVINO cannot compute {self.backbone.info.name}: {first_line(error)}"
            if self.is_required:
                raise BackboneError(f"{text}; use --engine torch.") from error
            warnings.warn(f"{text}; PyTorch does.", EngineWarning, stacklevel=2)
            return None
        if self.backbone.weights_hash != "none":
            with contextlib.suppress(OSError, EarmarkError):  # a full disk only costs time again
                at.parent.mkdir(parents=True, exist_ok=True)
                blob = io.BytesIO()
                model.export_model(blob)
                write_whole(at, blob.getvalue())
        return model

    def _convert(self, names: tuple[str, ...], x: Tensor) -> CompiledModel:
        with warnings.catch_warnings(), torch.no_grad(), _unreported():
            warnings.simplefilter("ignore")  # of tracing: `_compare` tells what matters
            ir = self.ov.convert_model(
                _Recorded(self.backbone, names).eval(), example_input=x[:1].detach().clone()
            )
        free = {0, *self.backbone.free_axes}
        ir.reshape({0: [-1 if axis in free else n for axis, n in enumerate(x.shape)]})
        return self.core.compile_model(ir, "CPU", self._settings())

    def _compare(self, model: CompiledModel, names: tuple[str, ...], x: Tensor) -> None:
        """Refuse a model that differs from PyTorch on ``x``, or on an input of another shape."""
        other = torch.cat([x[:1], x[:1].flip(-1)])
        for axis in self.backbone.free_axes:
            half = x.shape[axis] // 2
            long = half >= LEAST  # else a half might be less than the network reads
            other = other.narrow(axis, 0, half) if long else torch.cat([other, other], axis)
        for inputs in (x[:1], other):
            theirs = dict(self._infer(model, names, inputs))
            for name, ours in self.backbone.compute(inputs, names):
                error = float((theirs[name] - ours).norm() / ours.norm().clamp_min(1e-9))
                if not error <= LARGEST_ERROR[self.dtype]:
                    raise ValueError(f"its {name} is off by {error:.2g} of its size")
        self.own.__dict__.clear()

    def _settings(self) -> dict[str, str | int]:
        cores = available_cores()
        return {
            "INFERENCE_PRECISION_HINT": "bf16" if self.dtype == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": cores,
        }

    def _place(self, names: tuple[str, ...]) -> Path:
        """Name the file of a compiled model after everything that decides what is in it."""
        fingerprint = self.backbone.fingerprint.rpartition("/")[0]
        cpu = self.core.get_property("CPU", "FULL_DEVICE_NAME")
        able = " ".join(self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        versions = f"{self.ov.get_version()} {torch.__version__} {platform.machine()} {cpu} {able}"
        what = f"2 {fingerprint} {self.dtype} {' '.join(names)} {versions}"
        return engines_folder() / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.openvino"


class _Recorded(nn.Module):
    """The body as a function of tensors: the layers (B, T, F, C) in float32, in the order given."""

    def __init__(self, backbone: Backbone, names: Sequence[str]) -> None:
        super().__init__()
        self.backbone, self.names = backbone, names

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        activations = dict(self.backbone.compute(x, self.names))
        return tuple(activations[name].permute(0, 2, 3, 1).float() for name in self.names)


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
    """Keep openvino from importing the package through which it reports its use to its makers."""
    reporter = "openvino_telemetry"
    if reporter in sys.modules:
        yield
        return
    sys.modules[reporter] = None  # type: ignore[assignment]  # importing it fails, as provided for
    try:
        yield
    finally:
        del sys.modules[reporter]
