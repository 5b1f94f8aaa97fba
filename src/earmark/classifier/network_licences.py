"""The licences of the networks that a classifier stands on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from earmark.backbones import registry
from earmark.classifier.publication import public_names
from earmark.errors import BackboneError
from earmark.system.cache import no_downloads

if TYPE_CHECKING:
    from earmark.classifier.classifier import Classifier

LICENCES = "LICENSES.txt"  # the file that is handed on beside the weights
UNKNOWN = "unknown"
WITH_TEXT = ("Apache-2.0", "MIT")  # licences that must be handed on word for word
RULE = 72 * "-"
_LIMITED = re.compile(r"\bnc\b|non.?commercial|research.only", re.I)
_KNOWN = re.compile(
    r"\b(apache|mit|bsd|isc|cc0|cc.by|mpl|l?gpl|agpl|unlicense|openrail|public domain)\b", re.I
)


@dataclass(frozen=True)
class NetworkLicence:
    """The licence of one network, where its weights come from, and the notice that goes along.

    ``name`` has no folder of this machine.
    """

    name: str
    licence: str
    source: str
    notice: str = ""

    @property
    def warning(self) -> str | None:
        """Say that the licence is unknown or forbids commercial use; None for other licences."""
        if _LIMITED.search(self.licence):
            return f"its licence, {self.licence}, does not allow commercial use"
        if not _KNOWN.search(self.licence):
            return "its licence is not known here; ask its publisher before you use it"
        return None


def licences_of(classifier: Classifier) -> list[NetworkLicence]:
    """Return the licence of each network; nothing is downloaded to find one out."""
    licences = []
    for name, public in public_names(classifier.backbones).items():
        try:
            with no_downloads():
                info = registry.info(name)
        except BackboneError:
            licences.append(NetworkLicence(public, UNKNOWN, UNKNOWN))
            continue
        source = "a file of its author" if _is_own(name) else info.source
        licences.append(NetworkLicence(public, info.licence or UNKNOWN, source, info.notice))
    return licences


def licences_text(licences: Sequence[NetworkLicence]) -> str:
    """Return the content of LICENSES.txt: licence, source and notice of each network."""
    blocks = []
    for entry in licences:
        lines = [f"Network: {entry.name}", f"Licence: {entry.licence}", f"Source: {entry.source}"]
        if entry.warning:
            lines.append(f"Note: {entry.warning}.")
        blocks.append("\n".join([*lines, *([entry.notice] if entry.notice else [])]))
    return "\n\n".join([*blocks, *_texts(entry.licence for entry in licences)]) + "\n"


def _texts(licences: Iterable[str]) -> Iterator[str]:
    """Yield the whole text of each licence that must be handed on word for word."""
    given = set(licences)
    for name in WITH_TEXT:
        if name in given:
            text = (files(__package__) / "licences" / f"{name}.txt").read_text("utf-8")
            yield f"{RULE}\n{name}\n\n{text.strip()}"


def _is_own(name: str) -> bool:
    return name.startswith((registry.HUGGING_FACE, registry.ONNX, registry.TFLITE))
