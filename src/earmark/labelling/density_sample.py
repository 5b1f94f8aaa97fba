"""What must be known of a sample to read it back: the file beside the table that is filled in."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from earmark.data.clip import Clip
from earmark.data.remote import place_from
from earmark.errors import DataError
from earmark.system.files import not_a_file, write_whole
from earmark.system.jsons import json_text, strict_json
from earmark.system.objects import is_uri
from earmark.system.text import to_bytes

SUFFIX = ".density.json"
SCHEMA = 1
MOST_BYTES = 1 << 24
MOST_DRAWN = 100_000


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How a sample was drawn.

    Attributes
    ----------
    label : str
        The class.
    model : str
        The digest of the classifier.
    network : str
        The fingerprint of the network whose windows were drawn.
    window_s, hop_s : float
        The grid of its windows.
    archive : str
        A hash over the contents of the archive.
    last_content : int
        The number of the last of these contents; later ones were added since.
    seed : int
        The seed of the drawing, and of the intervals.
    edges : tuple of float
        The log-odds between strata, ascending.
    drawn : tuple of (int, int)
        Content and number of each window that was drawn.
    recordings : dict of str to int
        The content of each recording in the table, by its whole path or its URI at the drawing.
    """

    label: str
    model: str
    network: str
    window_s: float
    hop_s: float
    archive: str
    last_content: int
    seed: int
    edges: tuple[float, ...]
    drawn: tuple[tuple[int, int], ...]
    recordings: Mapping[str, int]

    def write(self, path: Path) -> None:
        """Write the file beside the table at ``path``."""
        folder = settings_path(path).parent
        recordings = {
            place_from(Clip(place), folder): n  # type: ignore[arg-type]  # a URI stays text
            for place, n in self.recordings.items()
        }
        value = {**asdict(self), "recordings": recordings}
        text = json_text({"schema": SCHEMA, "kind": "density", **value})
        write_whole(settings_path(path), to_bytes(f"{text}\n"))

    @classmethod
    def read(cls, path: Path) -> SampleSettings:
        """Read the file beside the table at ``path``. Raises DataError."""
        beside = settings_path(path)
        if problem := not_a_file(beside):
            raise DataError(f"{beside} {problem}. Put the file back that was drawn with {path}.")
        if not beside.is_file():
            raise DataError(
                f"{beside} does not exist, which says how {path} was drawn. Keep the two files"
                " together, or draw a new sample with -o."
            )
        try:
            if beside.stat().st_size > MOST_BYTES:
                raise ValueError("it is too large")
            value = strict_json(beside.read_bytes())
            return cls(**_checked(value, beside.parent))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(
                f"{beside} is damaged, or is not the file that was drawn with {path}: {error}."
                " Restore it, or draw a new sample with -o."
            ) from error


def settings_path(path: Path) -> Path:
    """Return the file beside a table of a sample."""
    return Path(os.path.abspath(path)).with_suffix(SUFFIX)


def _checked(value: Any, folder: Path) -> dict[str, Any]:
    """Return the attributes; ValueError says what is wrong."""
    if not isinstance(value, dict) or value.get("kind") != "density":
        raise ValueError("it describes no sample")
    if value.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {value.get('schema')!r}; this earmark reads {SCHEMA}")
    fields: dict[str, Any] = {}
    for name in ("label", "model", "network", "archive"):
        fields[name] = _is(value, name, str)
    for name in ("last_content", "seed"):
        fields[name] = _is(value, name, int)
    for name in ("window_s", "hop_s"):
        fields[name] = _seconds(value[name], name)
    edges = [_number(edge, "edges") for edge in _is(value, "edges", list)]
    if edges != sorted(edges):
        raise ValueError("its edges are not in order")
    drawn = [(_whole(a), _whole(b)) for a, b in _is(value, "drawn", list)]
    if len(drawn) > MOST_DRAWN:
        raise ValueError("it names too many windows")
    recordings = {
        name if is_uri(name) else os.path.abspath(folder / name): _whole(content)
        for name, content in _is(value, "recordings", dict).items()
    }
    return {**fields, "edges": tuple(edges), "drawn": tuple(drawn), "recordings": recordings}


def _is(value: dict[str, Any], name: str, kind: type) -> Any:
    if not isinstance(value.get(name), kind) or isinstance(value[name], bool):
        raise ValueError(f"its {name} is {str(value.get(name))[:60]!r}")
    return value[name]


def _number(item: Any, name: str) -> float:
    if isinstance(item, bool) or not isinstance(item, (int, float)) or not math.isfinite(item):
        raise ValueError(f"its {name} has {str(item)[:60]!r}, which is no number")
    return float(item)


def _seconds(item: Any, name: str) -> float:
    if _number(item, name) <= 0:
        raise ValueError(f"its {name} is {item!r}, which is not above 0")
    return float(item)


def _whole(item: Any) -> int:
    if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < 2**53:
        raise ValueError(f"it names the window {str(item)[:60]!r}, which is no number")
    return item
