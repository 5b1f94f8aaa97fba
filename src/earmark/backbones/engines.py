"""What computes a backbone's body: plain PyTorch everywhere, OpenVINO on CPUs where it is quicker.

The front end and the statistics stay in PyTorch and float32. Every compiled model is compared with
PyTorch before it is kept on disk: see docs/engines.md.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import functools
import hashlib
import importlib
import importlib.util
import io
import os
import platform
import sys
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from earmark.backbones import choices
from earmark.backbones.base import Activations, Backbone, Engine
from earmark.backbones.choices import Choice
from earmark.backbones.info import BackboneInfo
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
SAMPLE_S = 5.0  # of audio in what is timed; one window at least
LEAST = 400  # frames of a spectrogram or samples of a waveform that every network can read


class EngineWarning(EarmarkWarning):
    """An engine was replaced by plain PyTorch, and why."""


def set_engine(backbone: Backbone, precision: str = "exact", engine: str = "auto") -> Backbone:
    """Let ``engine`` compute the body of ``backbone`` in a ``precision``.

    'exact' gives float32 results with every engine. 'fast' gives the quickest results whose
    embeddings keep a cosine of 0.999 to those: in bfloat16 or float32 where the processor and the
    network bear both, else in float32. 'auto' takes a GPU, else the engine and the number format
    that were timed to be the quickest on this machine; where it has a choice, it times them when
    the network is first used. ``EARMARK_ENGINE`` names an engine in place of 'auto'. BackboneError
    for an engine that is unknown, not installed or cannot be used.
    """
    _known("precision", precision, POLICIES)
    _known("engine", engine, ENGINES)
    if backbone.runtime != "torch":
        return _left_alone(backbone, engine)
    half = precision == "fast" and backbone.half_is_close
    gpu = torch.cuda.is_available()
    if engine == "auto":
        engine = _named(type(backbone))
    if engine == "openvino":
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
        backbone.engine = OpenVINO(backbone, half, is_required=True)
    elif engine == "auto" and not gpu:
        auto = Auto(backbone, half)
        backbone.engine = auto
        if name := auto.known():
            _use(backbone, name)
    else:
        backbone.cast("bfloat16" if half and (gpu or _has_bfloat16()) else "float32")
        if gpu:
            torch.backends.cudnn.allow_tf32 = half  # 10 bits of mantissa are not float32
            backbone.device = torch.device("cuda")
            backbone.to(backbone.device)
    backbone.precision = "fast" if half else "float32"
    return backbone


def _left_alone(backbone: Backbone, engine: str) -> Backbone:
    """Return a network that another package computes, on the CPU and in the precision of its file.

    BackboneError where an ``engine`` is asked for; what the environment names does not concern it.
    """
    if engine != "auto":
        raise BackboneError(
            f"backbone {backbone.info.name!r} is computed by {backbone.runtime} and not by"
            f" {engine!r}; use --engine auto."
        )
    return backbone


def _known(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise BackboneError(
            f"{what} {value!r} is unknown;{did_you_mean(value, known)} give one of"
            f" {', '.join(known)}."
        )


def _named(cls: type[Backbone]) -> str:
    """Return the engine that the environment names, where it can compute such a network."""
    engine = os.environ.get("EARMARK_ENGINE") or "auto"
    _known("EARMARK_ENGINE", engine, ENGINES)
    return "torch" if engine == "openvino" and cls.body is Backbone.body else engine


def candidates(cls: type[Backbone], info: BackboneInfo, half: bool) -> list[str]:
    """Name the engines, with number formats, that 'auto' has on a CPU; the first if untimed.

    For less than LARGE parameters that is PyTorch alone.
    """
    formats = ["bfloat16", "float32"] if half and _has_bfloat16() else ["float32"]
    if cls.body is Backbone.body:  # it has no engine: PyTorch computes it as a whole
        return [f"{cls.runtime} {formats[0]}"]
    kinds = ["torch"]
    if info.parameters >= LARGE and _installed():
        kinds.insert(0 if cls.openvino_gains else 1, "openvino")
    return [f"{kind} {number}" for kind in kinds for number in formats]


def choice_of(cls: type[Backbone], info: BackboneInfo, precision: str) -> Choice | None:
    """Return what 'auto' takes on a CPU; without seconds where it is alone, None if untimed."""
    half = precision == "fast" and cls.half_is_close
    names = candidates(cls, info, half)
    return Choice(names[0], {}) if len(names) == 1 else choices.kept(_key(cls, info, half), names)


def _key(cls: type[Backbone], info: BackboneInfo, half: bool) -> choices.Key:
    return choices.make_key(info, cls.__qualname__, "fast" if half else "float32")


def _use(backbone: Backbone, name: str, compiled: Engine | None = None) -> None:
    """Let the engine called ``name``, such as 'torch bfloat16', compute a network from here on."""
    kind, number = name.split()
    if kind == "openvino":
        backbone.engine = compiled or OpenVINO(backbone, number == "bfloat16")
    else:
        precision = backbone.precision
        backbone.cast(number).precision = precision
        backbone.engine = backbone.compute


class Auto:
    """Times the engines that can compute ``backbone`` at its first call; the quickest takes over.

    The choice is kept on disk for the next process. Where it cannot be, none is timed: embeddings
    would differ from day to day. Threads that call meanwhile wait.
    """

    def __init__(self, backbone: Backbone, half: bool) -> None:
        self.backbone, cls = backbone, type(backbone)
        self.names = candidates(cls, backbone.info, half)
        # All layers are timed, even where fewer are read: one choice serves every classifier.
        self.layers = tuple(layer.name for layer in backbone.info.layers)
        self.key = _key(cls, backbone.info, half)
        self.lock = threading.Lock()

    def __call__(self, x: Tensor, layers: Collection[str]) -> Activations:
        with self.lock:
            if self.backbone.engine is self:
                name = self.known() or (None if choices.can_keep() else self.names[0])
                if name is not None:
                    _use(self.backbone, name)
                else:
                    self._time(self.layers)
        return self.backbone.engine(x, layers)

    def known(self) -> str | None:
        """Return the engine that needs no timing: the only one, or the one that was kept."""
        if len(self.names) == 1:
            return self.names[0]
        choice = choices.kept(self.key, self.names)
        return choice.engine if choice else None

    def _time(self, layers: tuple[str, ...]) -> None:
        """Time the engines, keep the choice and use it."""
        x, audio_s = _sample(self.backbone)

        def seconds(engines: Mapping[str, Engine], rounds: int) -> dict[str, float]:
            passes = {name: functools.partial(_run, e, x, layers) for name, e in engines.items()}
            return choices.measure(passes, rounds)

        engines = {
            name: _torch_engine(self.backbone, name.split()[1])
            for name in self.names
            if name.startswith("torch")
        }
        if len(engines) > 1:  # what is hopeless in PyTorch is not compiled either
            engines = {name: engines[name] for name in seconds(engines, 2)}
        for name in self.names:
            number = name.split()[1]
            if name not in engines and f"torch {number}" in engines:
                compiled = OpenVINO(self.backbone, number == "bfloat16")
                _run(compiled, x, layers)
                if compiled.dtype == number and None not in compiled.models.values():
                    engines[name] = compiled
        engines = {name: engines[name] for name in self.names if name in engines}
        took = seconds(engines, choices.ROUNDS)
        choice = choices.quickest({name: s / audio_s for name, s in took.items()})
        if not self.known():  # no other process was faster
            choices.keep(self.key, choice)
        name = self.known() or self.names[0]  # on a full disk, as if nothing had been timed
        _use(self.backbone, name, engines.get(name))


def _sample(backbone: Backbone) -> tuple[Tensor, float]:
    """Return an input of the body, of noise, and the seconds of audio in it."""
    info = backbone.info
    most = int(SAMPLE_S * info.rate_hz)
    length = info.window
    if info.step is not None:
        length = min(length, max(info.step, most - most % info.step))
    rows = max(1, most // length)
    noise = torch.randn(rows, length + 2 * info.context, generator=torch.Generator().manual_seed(0))
    _, x = next(iter(backbone.inputs(0.1 * noise, torch.full((rows,), length))))
    return x, rows * length / info.rate_hz


def _torch_engine(backbone: Backbone, number: str) -> Engine:
    """Return PyTorch's engine in a number format; the weights of ``backbone`` stay as they are."""
    if number == "float32":
        return backbone.compute
    copied = copy.deepcopy(backbone, {id(backbone.engine): Backbone.compute})
    return copied.cast(number).compute


@torch.inference_mode()
def _run(engine: Engine, x: Tensor, layers: Collection[str]) -> None:
    collections.deque(engine(x, layers), maxlen=0)


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
