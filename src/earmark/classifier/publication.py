"""What of a classifier is published: nothing that tells whose recordings it was trained on.

Only fields that are named here are kept, so a field that a later version adds stays private until
somebody thinks about it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

from earmark.backbones.registry import HUGGING_FACE, ONNX, TFLITE
from earmark.classifier.classifier import BackboneUse, Classifier
from earmark.classifier.estimate import Estimate
from earmark.errors import ModelError, amount

PROVENANCE = ("earmark", "clips", "clip_seconds", "audio", "seed", "data", "layers", "penalty")
ARGUMENTS = ("backbone", "head", "layers", "folds")
TABLES = {  # lists of provenance, and what is kept of a row
    "averaged": ("head", "layers", "penalty", "factor"),
    "candidates": ("head", "layers", "penalty", "balanced", "accuracy", "loss", "screened"),
    "contributions": ("backbone", "layer", "share"),
}
ROWS = {  # lists of the estimate, and the texts that are kept of a row, with its numbers
    "folds": (),
    "classes": ("label",),
    "baselines": ("name",),
    "learning_curve": (),
}
FINE_TUNING = ("frozen", "fine_tuned", "difference", "ci95", "how", "use")
OWN = (HUGGING_FACE, ONNX, TFLITE)


def published(
    classifier: Classifier, *, hashes: bool = False
) -> tuple[Classifier, tuple[str, ...]]:
    """Return the classifier to publish, and a few words for each thing that was left out.

    It gives the same scores, to the bit.

    Left out are the path and the columns of the training data, other paths of the training, names
    of groups, paths of networks, and, without ``hashes``, the hashes of the training clips. Raises
    ModelError if two networks would get the same name, or a path would stay.
    """
    left_out: list[str] = []
    names = public_names(classifier.backbones)
    renamed = sum(old != new for old, new in names.items())
    if renamed:
        left_out.append(f"the folders of {amount(renamed, 'network')}; the names of files stay")
    uses = tuple(
        replace(use, name=names[use.name], fingerprint=_renamed(use.fingerprint, use.name, names))
        for use in classifier.backbones
    )
    estimate = _estimate(classifier.estimate, left_out)
    provenance = _provenance(classifier.provenance, left_out)
    known = classifier.known
    if known is not None and not hashes:
        left_out.append(f"the {len(known):,} hashes of training clips")
        known = None
    public = replace(
        classifier,
        backbones=uses,
        estimate=Estimate.from_dict(_with_names(estimate, names)),
        provenance=_with_names(provenance, names),
        known=known,
    )
    _check(public, classifier)
    return public, tuple(left_out)


def public_names(uses: Sequence[BackboneUse]) -> dict[str, str]:
    """Return the public name of each network: that of a file on this machine loses its folder."""
    names = {}
    for use in uses:
        prefix = next((p for p in OWN if use.name.startswith(p)), "")
        path = use.name.removeprefix(prefix)
        is_path = prefix and (prefix != HUGGING_FACE or _is_absolute(path) or os.path.isdir(path))
        names[use.name] = f"{prefix}{PureWindowsPath(path).name}" if is_path else use.name
    if len(set(names.values())) < len(names):
        raise ModelError(
            "two networks of this classifier would have the same name without their folders. Rename"
            " the file of one, and train the classifier again."
        )
    return names


def _is_absolute(path: str) -> bool:
    return path.startswith(("/", "\\", "~")) or bool(PureWindowsPath(path).drive)


def _renamed(text: str, old: str, names: Mapping[str, str]) -> str:
    return names[old] + text.removeprefix(old)


def _with_names(value: Any, names: Mapping[str, str]) -> Any:
    """Return JSON in which the names of networks are the public ones."""
    if isinstance(value, str):
        for old, new in names.items():
            if old != new:
                value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {key: _with_names(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_names(item, names) for item in value]
    return value


def _estimate(estimate: Estimate, left_out: list[str]) -> dict[str, Any]:
    saved = estimate.to_dict()
    names = [row.get("fold") for row in saved["folds"]]
    for field, texts in ROWS.items():
        if field in saved:
            saved[field] = [_row(row, texts) for row in saved[field]]
    for number, row in enumerate(saved["folds"], 1):
        row["fold"] = str(number)
    if any(not re.fullmatch(r"\d+", str(name)) for name in names if name is not None):
        left_out.append(f"the names of {amount(len(names), 'fold')}, which are numbered instead")
    for field, kept in (("unknown", None), ("headline", ("name",)), ("verdict", ("word", "why"))):
        if isinstance(saved.get(field), Mapping):
            saved[field] = _row(saved[field], kept or ())
    if "fine_tuning" in saved:
        tuning = saved["fine_tuning"]
        saved["fine_tuning"] = {name: tuning[name] for name in FINE_TUNING if name in tuning}
        left_out.append("the course and the recipe of fine-tuning")
    return saved


def _row(row: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Return the numbers of a row, and those of its texts that are kept."""
    return {key: value for key, value in row.items() if key in texts or _is_number(value)}


def _is_number(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_number, value))
    return value is None or isinstance(value, (bool, int, float))


def _provenance(saved: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    kept = {name: saved[name] for name in PROVENANCE if name in saved}
    for field, columns in TABLES.items():
        if field in saved:
            kept[field] = [{k: row[k] for k in columns if k in row} for row in saved[field]]
    source, arguments = saved.get("source") or {}, saved.get("arguments") or {}
    if "source" in saved:  # the separator says how labels are read
        kept["source"] = {"separator": source.get("separator")}
    if "arguments" in saved:
        kept["arguments"] = {name: arguments[name] for name in ARGUMENTS if name in arguments}
    dropped = [f"the {what} of the training data" for what in _told(source)]
    dropped += [f"the argument {name!r}" for name in sorted(set(arguments) - set(ARGUMENTS))]
    names = {*PROVENANCE, *TABLES, "source", "arguments"}
    dropped += [f"the field {name!r} of the provenance" for name in sorted(set(saved) - names)]
    left_out += dropped
    return kept


def _told(source: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the entry ``source`` of a provenance tells."""
    if source.get("data") or source.get("root"):
        yield "path"
    if any(value for name, value in source.items() if name not in ("data", "root", "separator")):
        yield "columns"


def _check(public: Classifier, original: Classifier) -> None:
    """Raise ModelError if a field still has a path of this machine or of the training data."""
    source = original.provenance.get("source") or {}
    secrets = {str(Path.home()), source.get("data"), source.get("root")}
    paths = {text for text in secrets if isinstance(text, str) and _is_absolute(text)}
    paths.discard("/")
    parts = (public.provenance, public.estimate.to_dict(), [use.name for use in public.backbones])
    for text in _texts(parts, lambda key: key == "label"):
        if path := next((path for path in paths if path in text), None):
            raise ModelError(
                f"the classifier's file has {path!r} in a text that would be published: {text!r}."
                " Train the classifier on data in another place, and publish that."
            )


def _texts(value: Any, skips: Callable[[str], bool]) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not skips(key):
                yield from _texts(item, skips)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, skips)
