"""Read and write a classifier's file; no code in it is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earmark.classifier.schema import DETECTOR_SCHEMA, ONE_SPEC, TUNED, check_depth
from earmark.data.clip import LIST_SEPARATOR
from earmark.errors import ModelError
from earmark.system.files import not_a_file
from earmark.system.jsons import strict_json

if TYPE_CHECKING:
    from earmark.classifier.features import FeatureSpec

# Schema 3 adds fine-tuned weights to schema 2. Schema 4 has several feature specs. Schema 5 is a
# detector, which older versions would take for a classifier of clips.
SEVERAL_SPECS = 4
READ = (2, ONE_SPEC, SEVERAL_SPECS, DETECTOR_SCHEMA)
MAX_BYTES = 4 * 2**30  # a classifier without fine-tuned weights has a few megabytes


def tuned_tensors(
    tensors: Mapping[str, np.ndarray], backbones: int
) -> tuple[dict[str, np.ndarray], ...]:
    """Return the fine-tuned weights of each backbone; an empty tuple if there are none."""
    weights: list[dict[str, np.ndarray]] = [{} for _ in range(backbones)]
    for key, value in tensors.items():
        if key.startswith(TUNED):
            number, _, name = key.removeprefix(TUNED).partition(".")
            if number not in map(str, range(backbones)):
                raise ValueError(f"{key} belongs to none of its backbones")
            weights[int(number)][name] = value
    return tuple(weights) if any(weights) else ()


def read_parts(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the JSON header and the tensors of a classifier's file, in safetensors format."""
    from safetensors import SafetensorError, safe_open

    if problem := not_a_file(path):
        raise ModelError(f"{path} {problem}. Give the file that `earmark train` wrote.")
    if not path.is_file():
        raise ModelError(f"{path} does not exist. Give the file that `earmark train` wrote.")
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(
            f"{path} has more than {MAX_BYTES:,} bytes, so it is not a classifier. Give the file"
            " that `earmark train` wrote."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("earmark")
            if text is None:
                raise ModelError(
                    f"{path} is a safetensors file but not a classifier. Give the file that"
                    " `earmark train` wrote."
                )
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        header = strict_json(text)
        check_depth(header)
    except (
        SafetensorError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise ModelError(
            f"{path} is not a classifier, or the file is incomplete ({error}). Give the file that"
            " `earmark train` wrote."
        ) from error
    if not isinstance(header, dict):
        raise ModelError(
            f"{path} has a header that is not a JSON object. Train the classifier again."
        )
    return header, tensors


def features_to_json(specs: Sequence[FeatureSpec], *, is_detector: bool) -> dict[str, Any]:
    """Return the header's schema and features; older versions of earmark can read one spec."""
    if len(specs) > 1 or is_detector:
        schema = DETECTOR_SCHEMA if is_detector else SEVERAL_SPECS
        return {"schema": schema, "features": [asdict(spec) for spec in specs]}
    pooling = asdict(specs[0])
    del pooling["layers"]  # they are in the header's entries of backbones
    return {"schema": ONE_SPEC, "pooling": pooling}


def features_from_json(header: Mapping[str, Any]) -> tuple[FeatureSpec, ...]:
    """Return the specs that :func:`features_to_json` wrote."""
    from earmark.classifier.features import FeatureSpec  # imports torch, only for a valid file

    if header["schema"] < SEVERAL_SPECS:
        layers = tuple(tuple(use["layers"]) for use in header["backbones"])
        return (FeatureSpec(layers, **header["pooling"]),)
    return tuple(
        FeatureSpec(**spec | {"layers": tuple(map(tuple, spec["layers"]))})
        for spec in header["features"]
    )


def separator_of(provenance: Mapping[str, Any], is_single: bool) -> str | None:
    """Return the text between the classes of a training clip; None for one class per clip."""
    separator: str | None = provenance.get("source", {}).get("separator")
    return separator or (None if is_single else LIST_SEPARATOR)


def digest_of(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
    """Return a hash over everything in the file, which reveals damage and edits."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode() + tensor.tobytes())
    return digest.hexdigest()
