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
import importlib.util
import json
import operator
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, cast

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from earmark.backbones.base import Activations, Backbone
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.registry import register_family
from earmark.backbones.weights import WeightFile, find, load_state_dict, sha256
from earmark.errors import BackboneError, first_line
from earmark.system import extras
from earmark.system.cache import is_offline
from earmark.system.files import open_file

PREFIX = "hf:"
CONFIG = "config.json"
MAX_JSON_BYTES = 1 << 26
PREPARATION = "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # or inside this, if the checkpoint has a tokenizer too
WEIGHTS = (  # the first that there is; an index names several files
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
Settings = Mapping[str, Any]  # a JSON object
K = TypeVar("K", bound="type[Transformer]")

_HUB_FILE = re.compile(r"https://huggingface\.co/(.+)/resolve/(\w+)/(.+)")  # repo, revision, file
_HUB_NAME = re.compile(r"(?P<repo>\w[\w.-]*(/\w[\w.-]*)?)(@(?P<revision>\w[\w./-]*))?")
_NOT_SETTINGS = ("_name_or_path", "transformers_version")  # of CONFIG: they change no result
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
        backbone = cls(info, model, preparation)
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


@register_family(PREFIX)
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
    cls, config = _kinds[model_type], configure(settings, name)
    try:
        rate_hz = int(preparation.get("sampling_rate", 16_000))
        window, step, layers = cls.geometry(config, preparation)
        with torch.device("meta"):  # shapes only
            skeleton = architecture(cls.architectures[model_type], name)(config)
    except Exception as error:  # transformers raises what it likes for an impossible network
        raise BackboneError(
            f"{checkpoint}: {CONFIG} or {PREPARATION} describes no network: {first_line(error)};"
            " restore the files that came with the weights."
        ) from error
    info = BackboneInfo(
        name=name,
        summary=f"{model_type} checkpoint in Hugging Face format",
        rate_hz=rate_hz,
        window=window,
        hop=window,
        step=step,
        layers=layers,
        parameters=sum(p.numel() for p in skeleton.parameters()),
        source=str(checkpoint),
        licence="see the checkpoint's model card",
    )
    return info, cls


@dataclass(frozen=True)
class Checkpoint:
    """A network in ``folder`` or, where that is None, in the Hub's ``repo`` at ``revision``."""

    name: str
    folder: Path | None
    repo: str = ""
    revision: str = "main"

    def __str__(self) -> str:
        if self.folder is not None:
            return self.name
        return f"{self.name} (huggingface.co/{self.repo} at {self.revision})"

    @classmethod
    def named(cls, name: str) -> Checkpoint:
        """Find out what ``hf:NAME``, ``hf:NAME@REVISION`` or ``hf:FOLDER`` means.

        A folder that exists comes before a name. BackboneError for neither.
        """
        text = name.removeprefix(PREFIX)
        folder = Path(os.path.expanduser(text))
        if text and folder.is_dir():
            return cls(name, folder)
        match = _HUB_NAME.fullmatch(text)
        if match is None or folder.is_file():
            what = "a file" if folder.is_file() else "neither a folder nor a name on the Hub"
            raise BackboneError(
                f"{text!r} is {what}; give {PREFIX}FOLDER, as save_pretrained writes it, or"
                f" {PREFIX}NAME[@REVISION], such as {PREFIX}microsoft/wavlm-base."
            )
        return cls(name, None, match["repo"], match["revision"] or "main")

    def settings(self) -> dict[str, Any]:
        """Return what ``config.json`` says of the network."""
        settings = self._json(CONFIG)
        if settings is None:
            raise self._lacks(CONFIG)
        return {key: value for key, value in settings.items() if key not in _NOT_SETTINGS}

    def preparation(self) -> dict[str, Any]:
        """Return how the waveform is to be prepared; nobody would notice a wrong guess."""
        preparation = self._json(PREPARATION)
        if preparation is None:
            preparation = (self._json(PROCESSOR) or {}).get("feature_extractor")
        if not isinstance(preparation, dict):
            raise self._lacks(f"{PREPARATION} to say how its audio is prepared")
        return preparation

    def weights(self) -> list[Path]:
        """Return the files that hold the weights, fetched if need be."""
        for name in WEIGHTS:
            if at := self._file(name):
                return self._shards(name) if at.suffix == ".json" else [at]
        raise self._lacks(f"weights ({WEIGHTS[0]} or {WEIGHTS[2]})")

    def _shards(self, index: str) -> list[Path]:
        names = (self._json(index) or {}).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise self._lacks(f"weight_map in its {index}")
        paths = []
        for name in sorted(set(map(str, names.values()))):
            if not (at := self._file(name)):
                raise self._lacks(f"{name}, which its {index} names")
            paths.append(at)
        return paths

    def _json(self, file: str) -> dict[str, Any] | None:
        at = self._file(file)
        if at is None:
            return None
        try:
            with open_file(at) as opened:
                content = json.loads(opened.read(MAX_JSON_BYTES))
        except (OSError, ValueError) as error:
            raise BackboneError(
                f"{at} cannot be read as JSON: {first_line(error)}; fetch the checkpoint anew."
            ) from error
        return content if isinstance(content, dict) else {}

    def _file(self, file: str) -> Path | None:
        """Return where a file of the checkpoint lies, fetched if need be; None if it has none."""
        if self.folder is not None:
            at = self.folder / file
            return at if at.is_file() else None
        hub, offline = _import("huggingface_hub", self.name), is_offline()
        errors = importlib.import_module("huggingface_hub.errors")
        try:
            at = hub.hf_hub_download(
                self.repo, file, revision=self.revision, local_files_only=offline
            )
        except Exception as error:  # of the network, of the Hub, of the disk
            is_of_cache = isinstance(error, errors.LocalEntryNotFoundError)  # or the network failed
            if offline if is_of_cache else isinstance(error, errors.EntryNotFoundError):
                return None
            raise BackboneError(
                f"{file} of {self} could not be fetched: {first_line(error)}; check the name and"
                f" the network, or copy the repository into a folder and give {PREFIX}FOLDER."
            ) from error
        return Path(at)

    def _lacks(self, what: str) -> BackboneError:
        if self.folder is None and is_offline():
            return BackboneError(
                f"{self} is not in this machine's Hugging Face cache, at least not {what}, and"
                " EARMARK_OFFLINE=1 forbids downloading it; unset EARMARK_OFFLINE once, or copy the"
                f" repository into a folder and give {PREFIX}FOLDER."
            )
        return BackboneError(
            f"{self} has no {what}; give a folder as save_pretrained of a model and of its feature"
            " extractor writes it, or the name of such a repository."
        )


def configure(settings: Settings, name: str) -> Config:
    """Return the configuration of ``transformers`` for ``settings``, without random masks.

    Settings that an older checkpoint lacks get the defaults of ``transformers``.
    """
    kind = _import("transformers", name).CONFIG_MAPPING[settings["model_type"]]
    try:
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
    cls: Architecture = operator.attrgetter(path)(_import("transformers", name))
    return cls


def build(path: str, config: Config, state: dict[str, Tensor], source: Path) -> nn.Module:
    """Build a network of ``transformers`` in float32 and fill it with ``state``.

    Names of older versions, and of a model with a head, are translated. BackboneError where
    tensors are missing or of another shape: a network must never be random in part.
    """
    with _quiet():
        model, report = architecture(path, str(source)).from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # reported, and refused below
            output_loading_info=True,
        )
    wrong = sorted(report["missing_keys"]) + sorted(key for key, *_ in report["mismatched_keys"])
    if wrong:
        raise BackboneError(
            f"{source} holds the weights of another network: {len(wrong)} tensors are missing or of"
            f" another shape than {CONFIG} says, {wrong[0]} first; give weights and {CONFIG} that"
            " belong together."
        )
    return model


def first(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return what a module of transformers computes, from among what else it may return."""
    return result[0] if isinstance(result, tuple) else result


def find_in_hub_cache(file: WeightFile) -> Path | None:
    """Return the copy of ``file`` that Hugging Face's libraries fetched once, its hash checked."""
    match = _HUB_FILE.fullmatch(file.url)
    if match is None or importlib.util.find_spec("huggingface_hub") is None:
        return None
    repo, revision, name = match.groups()
    hub = importlib.import_module("huggingface_hub")
    at = hub.try_to_load_from_cache(repo, name, revision=revision)
    return find(file, at) if isinstance(at, str) else None


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


def _import(package: str, name: str) -> ModuleType:
    return extras.load(package, "transformers", f"backbone {name!r}", BackboneError)
