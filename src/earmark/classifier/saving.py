"""Between a classifier and its file: the parts of one become the parts of the other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from earmark.audio.options import AudioOptions
from earmark.classifier import hub_address
from earmark.classifier.calibration import Calibration
from earmark.classifier.classifier import BackboneUse, Classifier
from earmark.classifier.decision import DecisionRule
from earmark.classifier.detector import Detector
from earmark.classifier.estimate import Estimate
from earmark.classifier.file import (
    READ,
    digest_of,
    features_from_json,
    features_to_json,
    read_parts,
    tuned_tensors,
)
from earmark.classifier.head import Head
from earmark.classifier.known import KnownClips
from earmark.classifier.schema import TUNED, check
from earmark.errors import ModelError
from earmark.system.files import write_whole
from earmark.system.jsons import finite, json_text
from earmark.version import __version__


def parts_of(classifier: Classifier) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the tensors of a classifier's file."""
    tensors = dict(classifier.head.tensors)
    for number, changed in enumerate(classifier.tuned):
        tensors |= {f"{TUNED}{number}.{name}": value for name, value in changed.items()}
    known, detector = classifier.known, classifier.detector
    header = {
        "labels": list(classifier.labels),
        "backbones": [asdict(use) for use in classifier.backbones],
        "head": classifier.head.kind,
        "calibration": asdict(classifier.calibration),
        **features_to_json(classifier.features, is_detector=detector is not None),
        "limits": classifier.decision_rule.to_json(),
        "estimate": classifier.estimate.to_dict(),
        "provenance": {"audio": asdict(AudioOptions()), **classifier.provenance},
        **({} if known is None else {"known": known.to_json()}),
        **({} if detector is None else {"detector": detector.to_json()}),
    }
    return finite(header), {k: np.ascontiguousarray(v) for k, v in sorted(tensors.items())}


def content_of(classifier: Classifier, path: Path) -> bytes:
    """Return the bytes of a classifier's file; ``path`` is named in the ModelError."""
    from safetensors.numpy import save

    header, tensors = parts_of(classifier)
    try:
        check(header, tensors)
    except ValueError as error:
        raise ModelError(
            f"cannot write {path}: {error}. Check the data with `earmark doctor`, and train"
            " the classifier again."
        ) from error
    digest = classifier.digest
    text = json_text(header | {"digest": digest}, sort_keys=True, ascii_only=True)
    return save(tensors, {"earmark": text})


def write(classifier: Classifier, path: Path) -> None:
    """Write a classifier's file; see :meth:`Classifier.save` for the errors."""
    write_whole(path, content_of(classifier, path))


def load(path: str | Path, *, allow_remote: bool = False) -> Classifier:
    """Read a classifier that ``Classifier.save`` or ``earmark train`` wrote.

    Parameters
    ----------
    path : str or Path
        The file, or ``hf://OWNER/NAME``, ``hf://OWNER/NAME@REVISION`` or ``hf://...#FILE`` for one
        on the Hugging Face Hub. It is downloaded once per commit. No code in it is run.
    allow_remote : bool
        Whether a network that the file names may be downloaded from where the file says. Without
        it, such a network must be on this machine. Networks that earmark knows by hash do not
        need it.

    Returns
    -------
    Classifier

    Raises
    ------
    ModelError
        The file is not a classifier, is damaged, was edited, or is from a newer earmark.
    HubError
        The classifier cannot be got from the Hub.

    Examples
    --------
    >>> import earmark
    >>> earmark.load("mine.earmark").labels
    ('high', 'low')
    """
    if (address := hub_address.parse(path)) is not None:
        from earmark.classifier.hub_files import fetch

        path = fetch(address)
    path = Path(path)
    header, tensors = read_parts(path)
    schema = header.get("schema")
    if type(schema) is not int or schema not in READ:
        raise ModelError(
            f"{path} has schema {header.get('schema')!r}, and this earmark ({__version__})"
            f" reads {' and '.join(map(str, READ))}. Update earmark, or train the classifier"
            " again."
        )
    digest = header.pop("digest", None)
    if digest != digest_of(header, tensors):
        raise ModelError(
            f"{path} was changed after it was saved (its digest does not match). Get the"
            " original file again, or train the classifier again."
        )
    try:
        check(header, tensors)
        return _classifier(header, tensors, allow_remote)
    except ValueError as error:
        raise ModelError(
            f"{path} is not a valid classifier: {error}. Get the original file again, or train"
            " the classifier again."
        ) from error


def _classifier(
    header: dict[str, Any], tensors: dict[str, np.ndarray], allow_remote: bool
) -> Classifier:
    uses = (
        BackboneUse(u["name"], u["fingerprint"], tuple(u["layers"])) for u in header["backbones"]
    )
    head = {name: value for name, value in tensors.items() if not name.startswith(TUNED)}
    return Classifier(
        tuple(header["labels"]),
        tuple(uses),
        Head(header["head"], head),
        Calibration(**header["calibration"]),
        features_from_json(header),
        DecisionRule.from_json(header["limits"]),
        Estimate.from_dict(header["estimate"]),
        header["provenance"],
        tuned_tensors(tensors, len(header["backbones"])),
        KnownClips.from_json(header["known"]) if "known" in header else None,
        Detector(**header["detector"]) if "detector" in header else None,
        allow_remote,
    )
