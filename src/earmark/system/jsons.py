"""JSON as everything here writes and reads it: without NaN and infinity, which are no JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any


def json_text(
    value: Any,
    *,
    indent: int | None = None,
    sort_keys: bool = False,
    ascii_only: bool = False,
    encoding: str = "utf-8",
) -> str:
    r"""Return ``value`` as JSON; a figure that is NaN or infinite is null.

    It is ASCII where ``encoding`` lacks a letter. Bytes of a file name that are not UTF-8 are
    '\udc80' to '\udcff': Python reads them back to a name of the same file.
    """
    value = finite(value)
    text = json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=ascii_only)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, sort_keys=sort_keys)
    return text


def finite(value: Any) -> Any:
    """Return ``value`` (of dicts, lists and plain values) with None for what is not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def strict_json(text: str | bytes) -> Any:
    """Return what JSON stands for; ValueError where it is none, for NaN and for a repeated key.

    Of a key that is there twice, readers could take either value. RecursionError for brackets in
    brackets without end.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"it has {counts.most_common(1)[0][0]!r} twice")
    return value


def _refuse_constant(word: str) -> None:
    raise ValueError(f"it has {word}, which is no number of JSON")
