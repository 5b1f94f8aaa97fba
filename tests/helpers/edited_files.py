"""Edit the header of a classifier's file, and write it with a digest that fits."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from earmark.classifier.file import digest_of

TREE = dict[str, Any]
WRONG = ("text", "", True, None, [], {}, -1, 0.5, 1e39, 10**400, [[1]], {"a": 1}, float("nan"))


def written(path: Path, header: TREE, tensors: dict[str, np.ndarray], text: str = "") -> Path:
    """Write a file whose digest fits, whatever else does."""
    header = {key: value for key, value in header.items() if key != "digest"}
    header["digest"] = digest_of(header, tensors)
    path.write_bytes(save(tensors, {"earmark": text or json.dumps(header, sort_keys=True)}))
    return path


def leaves(tree: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value; of a list the first and the last only."""
    if way:
        yield way
    if isinstance(tree, dict):
        for key in tree:
            yield from leaves(tree[key], (*way, key))
    elif isinstance(tree, list):
        for k in sorted({0, len(tree) - 1}) if tree else ():
            yield from leaves(tree[k], (*way, k))


def at(tree: Any, way: tuple[Any, ...]) -> Any:
    return functools.reduce(lambda part, key: part[key], way, tree)


def kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__
