"""``hf:NAME-OR-FOLDER``: networks in Hugging Face format, read layer by layer.

A checkpoint is a folder as ``save_pretrained`` writes it, or a repository on the Hub, from which
only the files named here are fetched. Describing one reads its two small JSON files. No code of a
checkpoint is ever run, and a pickle is read as plain tensors or not at all.

The architectures are those of the package ``transformers``. Their modules are called one by one,
instead of the whole model with ``output_hidden_states``. So the computation ends at the highest
requested layer, and threads that share a network share no hooks.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, cast

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from earmark.backbones.base import Activations, Backbone
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.networks.checkpoint import (
    CONFIG,
    PREPARATION,
    Checkpoint,
    import_package,
)
from earmark.backbones.registry import HUGGING_FACE, register_family
from earmark.backbones.tensors import load_state_dict
from earmark.backbones.weights import sha256
from earmark.errors import BackboneError, first_line

Settings = Mapping[str, Any]  # a JSON object
K = TypeVar("K", bound="type[Transformer]")

MOST_LAYERS, MOST_SIZE = 1_000, 65_536  # a larger number in CONFIG is a mistake
_TRAINING = ("mask_time_prob", "mask_feature_prob", "layerdrop", "encoder_layerdrop")


class Config(Protocol):
    """A configuration of ``transformers``; its names of sizes differ between architectures."""

    model_type: str
    conv_dim: Sequence[int]
    conv_kernel: Sequence[int]
    conv_stride: Sequence[int]

    def __getattr__(self, name: str) -> int: ...


class Architecture(Protocol):
    """A class of networks in ``transformers``."""

    def __call__(self, config: Config) -> nn.Module: ...

    def from_pretrained(self, path: None, **options: object) -> tuple[nn.Module, Settings]: ...


class Geometry(NamedTuple):
    """How a clip is cut for a network (in samples, see BackboneInfo), and the network's layers."""

    window: int
    step: int | None
    layers: tuple[Layer, ...]


class Transformer(Backbone):
    """A network of ``transformers``. Subclasses say how to cut a clip and yield the layers.

    ``architectures`` maps a checkpoint's ``model_type`` to the class that computes it.
    """

    architectures: ClassVar[Mapping[str, str]]
    required: ClassVar[tuple[str, ...]]  # settings without a safe default
    openvino_gains = half_is_close = True
    castable = ("model",)

    def __init__(self, info: BackboneInfo, model: nn.Module, preparation: Settings) -> None:
        super().__init__(info)
        self.names = tuple(layer.name for layer in info.layers)
        self.model = model
        self.config = cast(Config, model.config)

    @classmethod
    def geometry(cls, config: Config, preparation: Settings) -> Geometry:
        """Return window, step and layers from a checkpoint's two JSON files, without weights."""
        raise NotImplementedError

    @classmethod
    def select(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint that the network needs, under the network's names."""
        return state

    @classmethod
    def load(cls, info: BackboneInfo) -> Transformer:
        checkpoint = Checkpoint.named(info.name)
        return cls.assemble(
            info, checkpoint.settings(), checkpoint.preparation(), checkpoint.weights()
        )

    @classmethod
    def assemble(
        cls, info: BackboneInfo, settings: Settings, preparation: Settings, files: Sequence[Path]
    ) -> Transformer:
        """Build the network from the content of the JSON files and the tensors of ``files``.

        ``weights_hash`` covers all of it. Hashing reads the files a second time: 0.3 s for 380 MB
        (1 s on a processor without SHA instructions), and importing torch and transformers takes
        5 s. So no hash is cached that could become stale.
        """
        state: dict[str, Tensor] = {}
        for file in files:
            state |= load_state_dict(file)
        config = configure(settings, info.name)
        model = build(cls.architectures[config.model_type], config, cls.select(state), files[0])
        try:
            backbone = cls(info, model, preparation)
        except Exception as error:  # transformers raises all kinds for impossible settings
            raise _no_network(info.name, error) from error
        text = json.dumps([dict(settings), dict(preparation)], sort_keys=True)
        digests = [*map(sha256, files), hashlib.sha256(text.encode()).hexdigest()]
        backbone.weights_hash = hashlib.sha256(" ".join(digests).encode()).hexdigest()
        return backbone

    def body(self, x: Tensor) -> Activations:
        yield from zip(self.names, self.hidden(x), strict=False)

    def hidden(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the activations (B, C, T, F) of every layer of ``info``, in that order."""
        raise NotImplementedError

    def save_memory(self) -> None:
        """Recompute each block for its gradients, instead of keeping its activations.

        A block does so only in training mode. The modules inside it, with their dropout, stay in
        evaluation mode.
        """
        block = importlib.import_module("transformers.modeling_layers").GradientCheckpointingLayer
        again = functools.partial(torch.utils.checkpoint.checkpoint, use_reentrant=False)
        for module in self.model.modules():
            if isinstance(module, block):
                module.gradient_checkpointing = module.training = True
                module._gradient_checkpointing_func = again


_kinds: dict[str, type[Transformer]] = {}  # by model_type


def reads(cls: K) -> K:
    """Let ``hf:`` use a class for every ``model_type`` among its ``architectures``."""
    _kinds.update(dict.fromkeys(cls.architectures, cls))
    return cls


@register_family(HUGGING_FACE)
def describe(name: str) -> tuple[BackboneInfo, type[Backbone]]:
    """Describe ``hf:NAME-OR-FOLDER`` from its JSON files; BackboneError says what is wrong."""
    checkpoint = Checkpoint.named(name)
    settings, preparation = checkpoint.settings(), checkpoint.preparation()
    model_type = settings.get("model_type")
    if not isinstance(model_type, str) or model_type not in _kinds:
        raise BackboneError(
            f"{checkpoint} has model_type {model_type!r}, which earmark cannot use. Give a"
            f" checkpoint with one of these: {', '.join(sorted(_kinds))}."
        )
    cls = _kinds[model_type]
    config = configure(settings, name)
    required = [setting for setting in cls.required if hasattr(config, setting)]
    _check_settings(checkpoint, settings, required)
    try:
        rate_hz = int(preparation.get("sampling_rate", 16_000))
        if not 1_000 <= rate_hz <= 1_000_000:
            raise ValueError(f"sampling_rate is {rate_hz}; it must be 1,000 to 1,000,000")
        window, step, layers = cls.geometry(config, preparation)
        with torch.device("meta"):  # shapes only
            skeleton = architecture(cls.architectures[model_type], name)(config)
    except Exception as error:  # transformers raises all kinds for an impossible network
        raise _no_network(str(checkpoint), error) from error
    info = BackboneInfo(
        name=checkpoint.name,
        summary=f"{model_type} checkpoint in Hugging Face format",
        rate_hz=rate_hz,
        window=window,
        hop=window,
        step=step,
        layers=layers,
        parameters=sum(p.numel() for p in skeleton.parameters()),
        source=str(checkpoint),
        licence="see the checkpoint's model card",
        version=2,
        earlier=(1,),
        drops_rounding_since=2,
    )
    return info, cls


def _no_network(name: str, error: Exception) -> BackboneError:
    return BackboneError(
        f"{name}: {CONFIG} or {PREPARATION} describes no valid network: {first_line(error)}."
        " Restore the files that came with the weights."
    )


def _check_settings(checkpoint: Checkpoint, settings: Settings, required: Sequence[str]) -> None:
    """Raise BackboneError for settings of a network that the weights do not belong to."""
    if quantised := settings.get("quantization_config"):
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise BackboneError(
            f"{checkpoint} is quantised ({method or 'by an unnamed method'}), and only plain"
            " weights can be read. Give the checkpoint that it was made from."
        )
    for name in required:
        value = settings.get(name)
        if value is None:
            raise BackboneError(
                f"{CONFIG} of {checkpoint} lacks {name!r}, and a guess could be wrong. Restore the"
                " file that came with the weights."
            )
        most = MOST_LAYERS if name.endswith("layers") else MOST_SIZE
        sizes = value if isinstance(value, list) else [value]
        if any(type(size) is int and not 0 < size <= most for size in sizes):
            raise BackboneError(
                f"{CONFIG} of {checkpoint} says {name!r} is {value}; it must be 1 to {most:,}."
                " Restore the file that came with the weights."
            )


def configure(settings: Settings, name: str) -> Config:
    """Return the configuration of ``transformers`` for ``settings``, without random masks.

    Settings that an older checkpoint lacks get the defaults of ``transformers``.
    """
    kind = import_package("transformers", name).CONFIG_MAPPING[settings["model_type"]]
    try:
        with _quiet():
            config: Config = kind.from_dict(dict(settings))
    except Exception as error:  # validation differs between versions of transformers
        raise BackboneError(
            f"{CONFIG} of {name} cannot be read by transformers: {first_line(error)}. Restore the"
            " file that came with the weights."
        ) from error
    for key in _TRAINING:
        if hasattr(config, key):
            setattr(config, key, 0.0)
    return config


def architecture(path: str, name: str) -> Architecture:
    """Return the class at ``path`` in ``transformers``; ``name`` is the backbone that needs it."""
    cls: Architecture = operator.attrgetter(path)(import_package("transformers", name))
    return cls


def build(path: str, config: Config, state: dict[str, Tensor], source: Path) -> nn.Module:
    """Build a network of ``transformers`` in float32 and fill it with ``state``.

    Names of older versions and of models with a head are translated. Raises BackboneError if
    tensors are missing or have another shape: no part of a network may stay random.
    """
    quantised = [n for n, x in state.items() if not x.is_floating_point() or x.itemsize == 1]
    if quantised := sorted(name for name in quantised if name.endswith(("weight", "bias"))):
        raise BackboneError(
            f"{source} is quantised: {quantised[0]} has type {state[quantised[0]].dtype}, and only"
            " plain weights can be read. Give the checkpoint that it was made from."
        )
    try:
        with _quiet():
            model, report = architecture(path, str(source)).from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # reported, and refused below
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises all kinds of exceptions
        raise BackboneError(
            f"{source} cannot be read as the network that {CONFIG} describes: {first_line(error)}."
            f" Give weights and {CONFIG} that belong together."
        ) from error
    wrong = sorted(report["missing_keys"]) + sorted(key for key, *_ in report["mismatched_keys"])
    if wrong:
        raise BackboneError(
            f"{source} holds the weights of another network: compared with {CONFIG}, {len(wrong)}"
            f" tensors are missing or have another shape, the first is {wrong[0]}. Give weights and"
            f" {CONFIG} that belong together."
        )
    parts = "|".join(name for name, _ in model.named_children())
    own = re.compile(rf"({model.base_model_prefix}\.)?({parts})\.")  # matches no head
    if more := sorted(filter(own.match, report["unexpected_keys"])):
        raise BackboneError(
            f"{source} holds the weights of another network: {CONFIG} does not describe {len(more)}"
            f" of its tensors, the first is {more[0]}. Give weights and {CONFIG} that belong"
            " together."
        )
    return model


def first(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return the main result of a module of transformers, which may return a tuple."""
    return result[0] if isinstance(result, tuple) else result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting an unused head and from drawing progress bars."""
    log = importlib.import_module("transformers.utils.logging")
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
