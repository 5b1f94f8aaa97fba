"""Find the files of a checkpoint in Hugging Face format, in a folder or on the Hub."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from earmark.backbones.registry import HUGGING_FACE as PREFIX
from earmark.backbones.registry import absolute_name
from earmark.backbones.weights import WeightFile, find
from earmark.errors import BackboneError, NotHereError, first_line
from earmark.system import extras
from earmark.system.cache import is_offline
from earmark.system.files import open_file

CONFIG = "config.json"
MAX_JSON_BYTES = 1 << 26
PREPARATION = "preprocessor_config.json"
PROCESSOR = "processor_config.json"  # has PREPARATION inside it if there is a tokenizer too
WEIGHTS = (  # the first one that exists is read; an index names several files
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

_HUB_FILE = re.compile(r"https://huggingface\.co/(.+)/resolve/(\w+)/(.+)")  # repo, revision, file
_HUB_NAME = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?")
_NOT_SETTINGS = ("_name_or_path", "transformers_version")  # keys of CONFIG that change no result


@dataclass(frozen=True)
class Checkpoint:
    """A network in ``folder`` or, if that is None, in the Hub's ``repo`` at ``revision``."""

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
        """Return the checkpoint that ``hf:OWNER/NAME[@REVISION]`` or ``hf:FOLDER`` names.

        A folder that exists is preferred to a name on the Hub; its path becomes absolute. If only
        the folder's parent exists, the Hub is not asked, unless a revision is given. Raises
        BackboneError for any other text.
        """
        name = absolute_name(name)
        text = name.removeprefix(PREFIX)
        folder = Path(os.path.expanduser(text)).absolute()
        if text and folder.is_dir():
            return cls(name, folder)
        match = _HUB_NAME.fullmatch(text)
        is_local = folder.parent.is_dir() and not (match and match["revision"])
        if match is None or is_local or folder.is_file():
            what = "neither a folder nor a name on the Hub"
            if folder.is_file() or match:
                what = "a file" if folder.is_file() else f"not a folder in {folder.parent}"
            raise BackboneError(
                f"{text!r} is {what}. Give {PREFIX}FOLDER, as save_pretrained writes it, or"
                f" {PREFIX}OWNER/NAME[@REVISION], such as {PREFIX}microsoft/wavlm-base@main."
            )
        return cls(name, None, match["repo"], match["revision"] or "main")

    def settings(self) -> dict[str, Any]:
        """Return the settings in ``config.json`` that describe the network."""
        settings = self._json(CONFIG)
        if settings is None:
            raise self._lacks(CONFIG)
        return {key: value for key, value in settings.items() if key not in _NOT_SETTINGS}

    def preparation(self) -> dict[str, Any]:
        """Return how the waveform must be prepared. Nobody would notice a guess that is wrong."""
        preparation = self._json(PREPARATION)
        if preparation is None:
            preparation = (self._json(PROCESSOR) or {}).get("feature_extractor")
        if not isinstance(preparation, dict):
            raise self._lacks(f"{PREPARATION} to say how its audio is prepared")
        return preparation

    def weights(self) -> list[Path]:
        """Return the files of weights; download them if necessary."""
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
            if Path(name).name != name or not (at := self._file(name)):
                raise self._lacks(f"{name}, which its {index} names")
            paths.append(at)
        return paths

    def _json(self, file: str) -> dict[str, Any] | None:
        at = self._file(file)
        if at is None:
            return None
        try:
            with open_file(at) as opened:
                content = json.loads(opened.read(MAX_JSON_BYTES), parse_constant=_refuse)
        except (OSError, ValueError, RecursionError) as error:
            raise BackboneError(
                f"{at} cannot be read as JSON: {first_line(error)}. Fetch the checkpoint again."
            ) from error
        return content if isinstance(content, dict) else {}

    def _file(self, file: str) -> Path | None:
        """Return the path of a file, downloaded if necessary; None if the checkpoint lacks it."""
        if self.folder is not None:
            at = self.folder / file
            return at if at.is_file() else None
        hub = import_package("huggingface_hub", self.name)
        if is_offline():  # hf_hub_download would ask the Hub for more than the file
            at = hub.try_to_load_from_cache(self.repo, file, revision=self.revision)
            return Path(at) if isinstance(at, str) else None
        errors = importlib.import_module("huggingface_hub.errors")
        try:
            at = hub.hf_hub_download(self.repo, file, revision=self.revision)
        except Exception as error:  # from the network, the Hub or the disk
            is_of_cache = isinstance(error, errors.LocalEntryNotFoundError)  # the network failed
            if not is_of_cache and isinstance(error, errors.EntryNotFoundError):
                return None
            raise BackboneError(
                f"{file} of {self} could not be fetched: {first_line(error)}. Check the name and"
                f" the network, or copy the repository into a folder and give {PREFIX}FOLDER."
            ) from error
        return Path(at)

    def _lacks(self, what: str) -> BackboneError:
        if self.folder is None and is_offline():
            return NotHereError(
                f"this machine's Hugging Face cache has no {what} of {self}, and"
                " EARMARK_OFFLINE=1 forbids downloading it. Unset EARMARK_OFFLINE once, or copy the"
                f" repository into a folder and give {PREFIX}FOLDER."
            )
        return BackboneError(
            f"{self} has no {what}. Give a folder that save_pretrained wrote for the model and for"
            " its feature extractor, or the name of a repository that has both."
        )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def find_in_hub_cache(file: WeightFile) -> Path | None:
    """Return the copy of ``file`` in the cache of Hugging Face's libraries, its hash checked."""
    match = _HUB_FILE.fullmatch(file.url)
    if match is None or importlib.util.find_spec("huggingface_hub") is None:
        return None
    repo, revision, name = match.groups()
    hub = importlib.import_module("huggingface_hub")
    at = hub.try_to_load_from_cache(repo, name, revision=revision)
    return find(file, at) if isinstance(at, str) else None


def import_package(package: str, name: str) -> ModuleType:
    """Import a package of the extra ``transformers``, which backbone ``name`` needs."""
    return extras.load(package, "transformers", f"backbone {name!r}", BackboneError)
