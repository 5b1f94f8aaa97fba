"""``hf:NAME-OR-FOLDER``: networks in Hugging Face format, read layer by layer.

A checkpoint is a folder as ``save_pretrained`` writes it, or a repository on the Hub, from which
only the files named here are fetched. Describing one reads its two small JSON files. No code of a
checkpoint is ever run, and a pickle is read as plain tensors or not at all.

The architectures are those of the package ``transformers``. Their modules are called one by one,
rather than the model as a whole with ``output_hidden_states``: so the computation ends at the
highest layer asked for, and threads that share a network share no hooks.
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
    """A configuration of ``transformers``: sizes by name, which differ between architectures."""

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
    """How a network cuts a clip (in samples, see BackboneInfo), and the layers that it has."""

    window: int
    step: int | None
    layers: tuple[Layer, ...]


class Transformer(Backbone):
    """A network of ``transformers``. Subclasses say how to cut a clip, and what the layers give.

    ``architectures`` maps a checkpoint's ``model_type`` to the class that computes it.
    """

    architectures: ClassVar[Mapping[str, str]]
    required: ClassVar[tuple[str, ...]]  # settings for which a guess could be wrong
    openvino_gains = half_is_close = True
    castable = ("model",)

    def __init__(self, info: BackboneInfo, model: nn.Module, preparation: Settings) -> None:
        super().__init__(info)
        self.names = tuple(layer.name for layer in info.layers)
        self.model = model
        self.config = cast(Config, model.config)

    @classmethod
    def geometry(cls, config: Config, preparation: Settings) -> Geometry:
        """Return what the two JSON files of a checkpoint say, without its weights."""
        raise NotImplementedError

    @classmethod
    def select(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint that the network needs, under the names it uses."""
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
        """Build the network from what the JSON files say and the tensors of ``files``.

        ``weights_hash`` covers all of it. Hashing reads the files once more, which takes 0.3 s for
        380 MB (1 s without a processor's SHA instructions) beside the 5 s in which torch and
        transformers are imported: nothing is noted from one process to the next and gets stale.
        """
        state: dict[str, Tensor] = {}
        for file in files:
            state |= load_state_dict(file)
        config = configure(settings, info.name)
        model = build(cls.architectures[config.model_type], config, cls.select(state), files[0])
        try:
            backbone = cls(info, model, preparation)
        except Exception as error:  # transformers raises what it likes for impossible settings
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
        """Compute each block once more for its gradients, instead of keeping what is in it.

        A block does so where it is in training itself; the modules in it, with their dropout, are
        not.
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
    """Describe ``hf:NAME-OR-FOLDER`` from its JSON files; BackboneError says what they lack."""
    checkpoint = Checkpoint.named(name)
    settings, preparation = checkpoint.settings(), checkpoint.preparation()
    model_type = settings.get("model_type")
    if not isinstance(model_type, str) or model_type not in _kinds:
        raise BackboneError(
            f"{checkpoint} is of model_type {model_type!r}, which is not among those that can be"
            f" used: {', '.join(sorted(_kinds))}; give a checkpoint of one of these."
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
    except Exception as error:  # transformers raises what it likes for an impossible network
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
        f"{name}: {CONFIG} or {PREPARATION} describes no network: {first_line(error)}; restore the"
        " files that came with the weights."
    )


def _check_settings(checkpoint: Checkpoint, settings: Settings, required: Sequence[str]) -> None:
    """Refuse settings that lead to another network than the weights are of: BackboneError."""
    if quantised := settings.get("quantization_config"):
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise BackboneError(
            f"{checkpoint} is quantised ({method or 'by an unnamed method'}), and only plain"
            " weights are read; give the checkpoint that it was made from."
        )
    for name in required:
        value = settings.get(name)
        if value is None:
            raise BackboneError(
                f"{CONFIG} of {checkpoint} does not say {name!r}, and a guess could be wrong;"
                " restore the one that came with the weights."
            )
        most = MOST_LAYERS if name.endswith("layers") else MOST_SIZE
        sizes = value if isinstance(value, list) else [value]
        if any(type(size) is int and not 0 < size <= most for size in sizes):
            raise BackboneError(
                f"{CONFIG} of {checkpoint} says {name!r} is {value}, and 1 to {most:,} are"
                " possible; restore the one that came with the weights."
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
            f"{CONFIG} of {name} is not understood: {first_line(error)}; restore the one that came"
            " with the weights."
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

    Names of older versions, and of a model with a head, are translated. BackboneError where
    tensors are missing or of another shape: a network must never be random in part.
    """
    packed = [n for n, x in state.items() if not x.is_floating_point() or x.itemsize == 1]
    if packed := sorted(name for name in packed if name.endswith(("weight", "bias"))):
        raise BackboneError(
            f"{source} is quantised: {packed[0]} is of {state[packed[0]].dtype}, and only plain"
            " weights are read; give the checkpoint that it was made from."
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
    except Exception as error:  # transformers raises what it likes
        raise BackboneError(
            f"{source} cannot be read as the network that {CONFIG} describes: {first_line(error)};"
            f" give weights and {CONFIG} that belong together."
        ) from error
    wrong = sorted(report["missing_keys"]) + sorted(key for key, *_ in report["mismatched_keys"])
    if wrong:
        raise BackboneError(
            f"{source} holds the weights of another network: {len(wrong)} tensors are missing or of"
            f" another shape than {CONFIG} says, {wrong[0]} first; give weights and {CONFIG} that"
            " belong together."
        )
    parts = "|".join(name for name, _ in model.named_children())
    own = re.compile(rf"({model.base_model_prefix}\.)?({parts})\.")  # and not of a head
    if more := sorted(filter(own.match, report["unexpected_keys"])):
        raise BackboneError(
            f"{source} holds the weights of another network: {CONFIG} leaves out {len(more)}"
            f" tensors that it has, {more[0]} first; give weights and {CONFIG} that belong"
            " together."
        )
    return model


def first(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return what a module of transformers computes, from among what else it may return."""
    return result[0] if isinstance(result, tuple) else result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting on a head that is left out, and from drawing bars."""
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
