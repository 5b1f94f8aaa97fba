"""The licences of the pretrained weights in a classifier, for files that contain these weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files

from earmark.backbones.info import BackboneInfo

OPEN = ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0")
WITH_TEXT = ("Apache-2.0", "MIT")  # licences that must be handed on word for word
RULE = 72 * "-"


def licence_warnings(infos: Iterable[BackboneInfo]) -> Iterator[str]:
    """Yield a sentence for each backbone whose licence is unknown or forbids commercial use."""
    for info in infos:
        words = info.licence.upper().replace("_", "-").split("-")
        if "NC" in words or "NONCOMMERCIAL" in "".join(words).replace(" ", ""):
            yield (
                f"backbone {info.name!r} has the licence {info.licence}, which forbids commercial"
                " use. The exported file has its weights."
            )
        elif info.licence not in OPEN:
            yield (
                f"the licence of backbone {info.name!r} is not known ({info.licence or 'none'})."
                " Read the terms of its weights before you hand them on."
            )


def licence_text(infos: Iterable[BackboneInfo]) -> str:
    """Return the text of LICENSES.txt: source, notice and licence of each backbone."""
    infos = tuple(infos)
    parts = ["This classifier contains the weights of these pretrained networks."]
    for info in infos:
        lines = [info.name, f"Source: {info.source}", f"Licence: {info.licence}"]
        parts.append("\n".join([*lines, *([info.notice] if info.notice else [])]))
    return "\n\n".join([*parts, *texts_of(info.licence for info in infos)]) + "\n"


def texts_of(licences: Iterable[str]) -> Iterator[str]:
    """Yield the whole text of each licence that must be handed on word for word."""
    given = set(licences)
    for name in WITH_TEXT:
        if name in given:
            text = (files(__package__) / "licences" / f"{name}.txt").read_text("utf-8")
            yield f"{RULE}\n{name}\n\n{text.strip()}"
