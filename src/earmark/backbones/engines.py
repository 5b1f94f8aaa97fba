"""Compute a backbone's body with plain PyTorch, or with OpenVINO on CPUs where it is faster.

The front end and the statistics stay in PyTorch and float32. Every compiled model is compared with
PyTorch before it is saved: see docs/engines.md.
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
from earmark.backbones.gpu import EngineWarning, has_gpu, move
from earmark.backbones.info import BackboneInfo
from earmark.errors import BackboneError, EarmarkError, did_you_mean, first_line
from earmark.system import extras
from earmark.system.cache import engines_folder
from earmark.system.files import write_whole
from earmark.system.threads import available_cores

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest

ENGINES = ("auto", "torch", "openvino")
POLICIES = ("exact", "fast")
LARGEST_ERROR = {"float32": 1e-4, "bfloat16": 0.3}  # relative to a layer's norm; a wrong one has 1
LARGE = 10_000_000  # parameters; smaller networks do not repay OpenVINO's start-up of 0.4 s
SAMPLE_S = 5.0  # seconds of audio that are timed; at least one window
LEAST = 400  # spectrogram frames or waveform samples that every network can read


def set_engine(backbone: Backbone, precision: str = "exact", engine: str = "auto") -> Backbone:
    """Choose the engine and number format that compute the body of ``backbone``; return it.

    Parameters
    ----------
    backbone : Backbone
        The network to change.
    precision : str
        'exact' computes in float32. 'fast' computes in bfloat16 or float32, whichever is faster, if
        the processor supports bfloat16 and the embeddings keep a cosine of 0.999; else in float32.
    engine : str
        'torch', 'openvino' or 'auto'. 'auto' takes a GPU if there is one. On a CPU it takes the
        engine and number format that were timed as fastest on this machine; if there are several,
        it times them when the network is first used. ``EARMARK_ENGINE`` replaces 'auto'.

    Returns
    -------
    Backbone
        ``backbone`` itself.

    Raises
    ------
    BackboneError
        The engine is unknown, not installed or cannot compute this network.
    """
    _check_known("precision", precision, POLICIES)
    _check_known("engine", engine, ENGINES)
    if backbone.runtime != "torch":
        return _keep_as_is(backbone, engine)
    half = precision == "fast" and backbone.half_is_close
    gpu = has_gpu()
    if engine == "auto":
        engine = _environment_engine(type(backbone))
    if engine == "openvino":
        if not _installed():
            raise BackboneError(
                "engine 'openvino' needs the package openvino, which is not installed."
                f" {extras.install('fast')}, or use --engine torch."
            )
        if type(backbone).body is Backbone.body:
            raise BackboneError(
                f"backbone {backbone.info.name!r} can only be computed by PyTorch. Use --engine"
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
            torch.backends.cudnn.allow_tf32 = False  # for callers that do not use `gpu.call_on`
            move(backbone, "cuda")
    backbone.precision = "fast" if half else "float32"
    return backbone


def _keep_as_is(backbone: Backbone, engine: str) -> Backbone:
    """Return a network unchanged that another package computes: on the CPU, as its file says.

    Raises BackboneError if an ``engine`` is requested. EARMARK_ENGINE has no effect here.
    """
    if engine != "auto":
        raise BackboneError(
            f"backbone {backbone.info.name!r} is computed by {backbone.runtime} and not by"
            f" {engine!r}. Use --engine auto."
        )
    return backbone


def _check_known(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise BackboneError(
            f"{what} {value!r} is unknown.{did_you_mean(value, known)} Give one of"
            f" {', '.join(known)}."
        )


def _environment_engine(cls: type[Backbone]) -> str:
    """Return the engine in EARMARK_ENGINE, or 'torch' if that engine cannot compute the class."""
    engine = os.environ.get("EARMARK_ENGINE") or "auto"
    _check_known("EARMARK_ENGINE", engine, ENGINES)
    return "torch" if engine == "openvino" and cls.body is Backbone.body else engine


def candidates(cls: type[Backbone], info: BackboneInfo, half: bool) -> list[str]:
    """Return the engines, with number formats, among which 'auto' chooses on a CPU.

    The first is the default if nothing was timed. Below LARGE parameters there is only PyTorch.
    """
    formats = ["bfloat16", "float32"] if half and _has_bfloat16() else ["float32"]
    if cls.body is Backbone.body:  # no other engine can compute it: it overrides `forward`
        return [f"{cls.runtime} {formats[0]}"]
    kinds = ["torch"]
    if info.parameters >= LARGE and _installed():
        kinds.insert(0 if cls.openvino_gains else 1, "openvino")
    return [f"{kind} {number}" for kind in kinds for number in formats]


def choice_of(cls: type[Backbone], info: BackboneInfo, precision: str) -> Choice | None:
    """Return the choice of 'auto' on a CPU: no seconds if there is only one, None if untimed."""
    half = precision == "fast" and cls.half_is_close
    names = candidates(cls, info, half)
    return Choice(names[0], {}) if len(names) == 1 else choices.load(_key(cls, info, half), names)


def _key(cls: type[Backbone], info: BackboneInfo, half: bool) -> choices.Key:
    return choices.make_key(info, cls.__qualname__, "fast" if half else "float32")


def _use(backbone: Backbone, name: str, compiled: Engine | None = None) -> None:
    """Compute ``backbone`` with the engine called ``name``, such as 'torch bfloat16'."""
    kind, number = name.split()
    if kind == "openvino":
        backbone.engine = compiled or OpenVINO(backbone, number == "bfloat16")
    else:
        precision = backbone.precision
        backbone.cast(number).precision = precision
        backbone.engine = backbone.compute


def engine_name(backbone: Backbone) -> str:
    """Return what computes a backbone: 'openvino float32', 'torch', 'auto' until it is chosen."""
    if isinstance(backbone.engine, OpenVINO):
        return f"openvino {backbone.engine.dtype}"
    return "auto" if isinstance(backbone.engine, Auto) else backbone.runtime


class Auto:
    """Time the engines at the first call of ``backbone``, then use the fastest.

    The choice is saved for later processes. If it cannot be saved, nothing is timed, because
    embeddings would then differ from run to run. Other threads that call meanwhile wait.
    """

    def __init__(self, backbone: Backbone, half: bool) -> None:
        self.backbone, cls = backbone, type(backbone)
        self.names = candidates(cls, backbone.info, half)
        # All layers are timed, even if fewer are used: one choice serves every classifier.
        self.layers = tuple(layer.name for layer in backbone.info.layers)
        self.key = _key(cls, backbone.info, half)
        self.lock = threading.Lock()

    def __call__(self, x: Tensor, layers: Collection[str]) -> Activations:
        with self.lock:
            if self.backbone.engine is self:
                name = self.known() or (None if choices.can_save() else self.names[0])
                if name is not None:
                    _use(self.backbone, name)
                else:
                    self._time(self.layers)
        return self.backbone.engine(x, layers)

    def known(self) -> str | None:
        """Return the engine that needs no timing: the only one or the saved one; else None."""
        if len(self.names) == 1:
            return self.names[0]
        choice = choices.load(self.key, self.names)
        return choice.engine if choice else None

    def _time(self, layers: tuple[str, ...]) -> None:
        """Time the engines, save the choice and use it."""
        x, audio_s = _sample(self.backbone)

        def seconds(engines: Mapping[str, Engine], rounds: int) -> dict[str, float]:
            passes = {name: functools.partial(_run, e, x, layers) for name, e in engines.items()}
            return choices.measure(passes, rounds)

        engines = {
            name: _torch_engine(self.backbone, name.split()[1])
            for name in self.names
            if name.startswith("torch")
        }
        if len(engines) > 1:  # a number format that is hopeless in PyTorch is not compiled
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
        if not self.known():  # unless another process saved its choice meanwhile
            choices.save(self.key, choice)
        name = self.known() or self.names[0]  # on a full disk: the default
        _use(self.backbone, name, engines.get(name))


def _sample(backbone: Backbone) -> tuple[Tensor, float]:
    """Return noise as an input for the body, and its length in seconds of audio."""
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
    """Return PyTorch's engine in a number format; the weights of ``backbone`` do not change."""
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
    """Say if this processor multiplies bfloat16; without that, bfloat16 is slower than float32."""
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every PyTorch
    return any(getattr(torch.cpu, ask, bool)() for ask in asks)


class OpenVINO:
    """Compute the body of ``backbone`` in OpenVINO. Several threads may call, each on one core.

    The first call for a set of layers compiles a model of them. The model is recorded from PyTorch,
    compared with it and saved in the cache's folder ``engines`` for later processes. A model that
    differs too much is not used: a warning is given and PyTorch computes instead. If the engine
    ``is_required``, BackboneError is raised.
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
        """Compute in a request of the calling thread; results are valid until its next call."""
        requests: dict[tuple[str, ...], InferRequest] = self.own.__dict__.setdefault("requests", {})
        if names not in requests:
            requests[names] = model.create_infer_request()
        values = x.contiguous().numpy()  # shared memory: it must live as long as the results
        arrays = requests[names].infer([values], share_inputs=True, share_outputs=True)
        for number, name in enumerate(names):
            yield name, torch.from_numpy(arrays[number]).permute(0, 3, 1, 2)

    def _model(self, names: tuple[str, ...], x: Tensor) -> CompiledModel | None:
        """Return the compiled model for these layers, or None if PyTorch must compute them."""
        at = self._place(names)
        if at.exists():
            with contextlib.suppress(RuntimeError), at.open("rb") as file:
                return self.core.import_model(file.read(), "CPU", self._settings())
        try:
            model = self._convert(names, x)
            self._compare(model, names, x)
        except Exception as error:  # converters raise all kinds of exceptions
            text = f"OpenVINO cannot compute {self.backbone.info.name}: {first_line(error)}"
            if self.is_required:
                raise BackboneError(f"{text}. Use --engine torch.") from error
            warnings.warn(f"{text}; PyTorch computes it instead.", EngineWarning, stacklevel=2)
            return None
        if self.backbone.weights_hash != "none":
            with contextlib.suppress(OSError, EarmarkError):  # on a full disk, compile again later
                at.parent.mkdir(parents=True, exist_ok=True)
                blob = io.BytesIO()
                model.export_model(blob)
                write_whole(at, blob.getvalue())
        return model

    def _convert(self, names: tuple[str, ...], x: Tensor) -> CompiledModel:
        with warnings.catch_warnings(), torch.no_grad(), _unreported():
            warnings.simplefilter("ignore")  # tracing warns; `_compare` finds real differences
            ir = self.ov.convert_model(
                _Recorded(self.backbone, names).eval(), example_input=x[:1].detach().clone()
            )
        free = {0, *self.backbone.free_axes}
        ir.reshape({0: [-1 if axis in free else n for axis, n in enumerate(x.shape)]})
        return self.core.compile_model(ir, "CPU", self._settings())

    def _compare(self, model: CompiledModel, names: tuple[str, ...], x: Tensor) -> None:
        """Raise ValueError if the model differs from PyTorch on ``x`` or on another shape."""
        other = torch.cat([x[:1], x[:1].flip(-1)])
        for axis in self.backbone.free_axes:
            half = x.shape[axis] // 2
            long = half >= LEAST  # else half might be too short for the network
            other = other.narrow(axis, 0, half) if long else torch.cat([other, other], axis)
        for inputs in (x[:1], other):
            theirs = dict(self._infer(model, names, inputs))
            for name, ours in self.backbone.compute(inputs, names):
                error = float((theirs[name] - ours).norm() / ours.norm().clamp_min(1e-9))
                if not error <= LARGEST_ERROR[self.dtype]:
                    raise ValueError(f"its layer {name} differs by {error:.2g} of its norm")
        self.own.__dict__.clear()

    def _settings(self) -> dict[str, str | int]:
        cores = available_cores()
        return {
            "INFERENCE_PRECISION_HINT": "bf16" if self.dtype == "bfloat16" else "f32",
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": cores,
        }

    def _place(self, names: tuple[str, ...]) -> Path:
        """Return the path of a compiled model; its name hashes all that decides its content."""
        fingerprint = self.backbone.fingerprint.rpartition("/")[0]
        cpu = self.core.get_property("CPU", "FULL_DEVICE_NAME")
        able = " ".join(self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        versions = f"{self.ov.get_version()} {torch.__version__} {platform.machine()} {cpu} {able}"
        what = f"2 {fingerprint} {self.dtype} {' '.join(names)} {versions}"
        return engines_folder() / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.openvino"


class _Recorded(nn.Module):
    """The body as a module that returns the named layers (B, T, F, C) in float32, in order."""

    def __init__(self, backbone: Backbone, names: Sequence[str]) -> None:
        super().__init__()
        self.backbone, self.names = backbone, names

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        activations = dict(self.backbone.compute(x, self.names))
        return tuple(activations[name].permute(0, 2, 3, 1).float() for name in self.names)


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
    """Keep openvino from importing the package that reports its use to its makers."""
    reporter = "openvino_telemetry"
    if reporter in sys.modules:
        yield
        return
    sys.modules[reporter] = None  # type: ignore[assignment]  # openvino goes on without it
    try:
        yield
    finally:
        del sys.modules[reporter]
