"""What an exported graph says of itself, and how a later change of the file is noticed."""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import asdict
from typing import Any

from earmark.classifier.classifier import Classifier
from earmark.classifier.network_licences import licences_of
from earmark.errors import ModelError
from earmark.system.jsons import json_text
from earmark.version import __version__

SCHEMA = 1
SEAL = "sha256"  # the last entry: the hash of all bytes of the file before it
CLIPS, STREAM = "clips", "stream"  # kinds of graphs


def describe(classifier: Classifier, rate_hz: int) -> dict[str, Any]:
    """Return what users of a graph must know, as JSON; ``rate_hz`` is that of its input."""
    rule, verdict = classifier.decision_rule, classifier.estimate.verdict
    backbones = [
        {
            **asdict(licence),
            "fingerprint": licence.name + use.fingerprint.removeprefix(use.name),
            "layers": list(use.layers),
        }
        for use, licence in zip(classifier.backbones, licences_of(classifier), strict=True)
    ]
    return {
        "schema": SCHEMA,
        "kind": CLIPS,
        "labels": list(classifier.labels),
        "rate_hz": rate_hz,
        "is_single": classifier.calibration.is_single,
        "thresholds": list(rule.thresholds),
        "unknown_threshold": rule.unknown_threshold,
        "audio": {"channel": classifier.audio.channel, "full_scale": classifier.audio.full_scale},
        "clip_seconds": classifier.provenance.get("clip_seconds"),
        "digest": classifier.digest,
        "verdict": None if verdict is None else verdict["word"],
        "backbones": backbones,
        "earmark": __version__,
    }


def seal(model: Any, description: dict[str, Any]) -> bytes:
    """Return an ONNX model as bytes, with ``description`` in its metadata and a hash at the end.

    Bytes that follow a protobuf message belong to it, so the hash is one more entry.
    """
    helper = importlib.import_module("onnx.helper")
    texts = {key: json_text(value, ascii_only=True) for key, value in description.items()}
    helper.set_model_props(model, texts)
    content: bytes = model.SerializeToString(deterministic=True)
    return content + _tail(content)


def _tail(content: bytes) -> bytes:
    onnx = importlib.import_module("onnx")
    entry = onnx.ModelProto()
    onnx.helper.set_model_props(entry, {SEAL: json.dumps(hashlib.sha256(content).hexdigest())})
    tail: bytes = entry.SerializeToString()
    return tail


def read_description(content: bytes, path: object) -> dict[str, Any]:
    """Return the description in the bytes of a graph that :func:`seal` made.

    Raises ModelError if it is no such graph, or was changed.
    """
    onnx = importlib.import_module("onnx")
    size = len(_tail(b""))
    try:
        model = onnx.load_from_string(content)
        description = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
        is_ours = description["schema"] == SCHEMA and SEAL in description
    except Exception as error:  # protobuf raises all kinds of exceptions for other files
        raise ModelError(f"{path} is not a graph that `earmark export` wrote.") from error
    if not is_ours:
        raise ModelError(
            f"{path} is not a graph that this earmark wrote. Export the classifier again."
        )
    if content[-size:] != _tail(content[:-size]):
        raise ModelError(
            f"{path} was changed after it was exported (its hash does not match). Export the"
            " classifier again."
        )
    return description
