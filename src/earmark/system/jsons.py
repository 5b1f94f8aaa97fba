"""Write and read JSON without NaN and infinity, which JSON does not allow."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

# Control characters beyond those that JSON escapes anyway, and marks that turn the direction of
# text. They occur only inside strings.
_OBEYED = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def json_text(
    value: Any,
    *,
    indent: int | None = None,
    sort_keys: bool = False,
    ascii_only: bool = False,
    encoding: str = "utf-8",
) -> str:
    r"""Return ``value`` as JSON; a number that is NaN or infinite becomes null.

    If ``encoding`` lacks a character, the text is ASCII. Bytes of a file name that are not UTF-8
    become '\udc80' to '\udcff', which Python reads back as the same file name. Characters that
    terminals obey are escaped.
    """
    value = finite(value)
    text = json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=ascii_only)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, sort_keys=sort_keys)
    return _OBEYED.sub(lambda character: f"\\u{ord(character[0]):04x}", text)


def finite(value: Any) -> Any:
    """Return ``value`` (dicts, lists and plain values) with None for NaN and infinity."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def strict_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises ValueError for text that is not JSON, for NaN and for a repeated key (readers differ in
    which value they use), and RecursionError for brackets that are nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"it has {counts.most_common(1)[0][0]!r} twice")
    return value


def _refuse_constant(word: str) -> None:
    raise ValueError(f"it has {word}, which is not allowed in JSON")
