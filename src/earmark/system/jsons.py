"""JSON as everything here writes it: never with NaN or infinity, which are no JSON."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(
    value: Any, *, indent: int | None = None, sort_keys: bool = False, ascii_only: bool = False
) -> str:
    """Return ``value`` as JSON; a figure that is NaN or infinite is null."""
    return json.dumps(
        finite(value), indent=indent, sort_keys=sort_keys, ensure_ascii=ascii_only, allow_nan=False
    )


def finite(value: Any) -> Any:
    """Return ``value`` (of dicts, lists and plain values) with None for what is not finite."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
