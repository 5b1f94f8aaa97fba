"""Read the JSON in which a user describes a network file. Imports no torch.

``perch.onnx.json`` describes ``perch.onnx`` beside it; docs/backbones.md lists its fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from earmark.errors import BackboneError, did_you_mean, first_line
from earmark.system.files import not_a_file, open_file
from earmark.system.jsons import strict_json

MOST_BYTES = 1 << 16  # of the JSON
MOST_LAYERS = 1_000
MOST_WINDOW_S = 60.0
ROUNDED = 0.01  # samples by which window_s and hop_s may miss a whole number
LONGEST_TEXT = 1_000
AXES = "BCTF1"  # batch, channels, time, frequency, and an axis of length 1
KEPT_WORDS, KEPT_SIGNS = ("auto", "last", "all"), frozenset("/,")  # reserved by --layers

_USAGE = "Give the values that the network's publisher states"


@dataclass(frozen=True)
class Output:
    """A layer: its ``name`` here, and the name of the network's tensor, ``output``.

    ``axes`` has a letter of ``AXES`` for each axis; None if the number of axes decides.
    """

    name: str
    output: str
    axes: str | None = None


@dataclass(frozen=True)
class Description:
    """How to use a network; ``window`` and ``hop`` are samples at ``rate_hz``.

    The network reads the waveform (full scale 1) multiplied by ``full_scale``. With ``peak``, each
    window first loses its mean and is scaled to this peak.
    """

    rate_hz: int
    window: int
    hop: int
    layers: tuple[Output, ...]
    licence: str
    full_scale: float = 1.0
    peak: float | None = None
    summary: str | None = None
    source: str | None = None

    @property
    def decisive(self) -> str:
        """Everything that decides what is computed, as text: equal texts give equal numbers."""
        words = ("licence", "summary", "source")
        fields = {key: value for key, value in asdict(self).items() if key not in words}
        return json.dumps(fields, sort_keys=True)


def place_of(file: Path) -> Path:
    """Return the path of a network file's JSON: ``perch.onnx.json`` beside ``perch.onnx``."""
    return file.parent / f"{file.name}.json"  # `with_name` would fail for "/"


def read_description(place: Path) -> Description:
    """Read and check the JSON at ``place``; BackboneError names a wrong field."""
    if problem := not_a_file(place):
        raise BackboneError(f"{place} {problem}. Put the JSON of the network there.")
    try:
        with open_file(place) as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        fields = strict_json(text)
        if not isinstance(fields, dict):
            raise ValueError("it is not a JSON object in braces")
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(
            f"{place} cannot be read as JSON: {first_line(error)}. Write an object such as"
            f" {template(['embedding'])}, with the values that the network's publisher states."
        ) from error
    try:
        return _parse(fields)
    except ValueError as error:
        raise BackboneError(f"{place}: {error}. {_USAGE}.") from error


def template(layers: Sequence[str | Mapping[str, Any]]) -> str:
    """Return a JSON to fill in; each null is a value that only the network's publisher knows."""
    fields = {"rate_hz": None, "window_s": None, "layers": list(layers), "licence": None}
    return json.dumps(fields, ensure_ascii=False)


def _parse(fields: Mapping[str, Any]) -> Description:
    for key in fields:
        if key not in _FIELDS:
            near = did_you_mean(key, _FIELDS)
            raise ValueError(
                f"it has an unknown field {key!r}.{near} Known fields: {', '.join(_FIELDS)}"
            )
    for key in ("rate_hz", "window_s", "layers", "licence"):
        if key not in fields:
            raise ValueError(f"it lacks {key!r}, {_FIELDS[key][0]}")
    for key, (must, is_right) in _FIELDS.items():
        if key in fields and not is_right(fields[key]):
            shown = json.dumps(fields[key], ensure_ascii=False)
            raise ValueError(f"{key} is {shown[:60]}; it must be {must}")
    rate_hz, window_s = fields["rate_hz"], fields["window_s"]
    window = _samples("window_s", window_s, rate_hz)
    hop = _samples("hop_s", fields.get("hop_s", window_s), rate_hz)
    if hop > window:
        raise ValueError(
            f"hop_s is {fields['hop_s']} and window_s {window_s}; audio between two windows would"
            " be skipped, so hop_s must be window_s or less"
        )
    rest = {key: fields[key] for key in _AS_THEY_ARE if key in fields}
    # 32768 and 32768.0 must give the same text in `decisive`.
    rest |= {key: float(rest[key]) for key in ("full_scale", "peak") if key in rest}
    return Description(rate_hz, window, hop, _layers(fields["layers"]), **rest)


def _samples(key: str, seconds: float, rate_hz: int) -> int:
    count = round(seconds * rate_hz)
    if count < 1 or abs(count - seconds * rate_hz) > ROUNDED:
        near = max(count, 1)
        raise ValueError(
            f"{key} is {seconds}, which is {seconds * rate_hz:,.2f} samples at rate_hz {rate_hz};"
            f" it must be a whole number of them, such as {near / rate_hz!r} for {near:,}"
        )
    return count


def _layers(items: Sequence[Any]) -> tuple[Output, ...]:
    layers = tuple(_layer(number, item) for number, item in enumerate(items))
    names = [layer.name for layer in layers]
    for name in names:
        if name in KEPT_WORDS or KEPT_SIGNS & set(name) or name != name.strip():
            raise ValueError(
                f"a layer cannot be called {name!r}, because --layers reads that in another way."
                f' Write {{"name": "embedding", "output": {json.dumps(name)}}} with another name'
            )
        if names.count(name) > 1:
            raise ValueError(f"layers has {name!r} twice. Give each layer another name")
    return layers


def _layer(number: int, item: Any) -> Output:
    if _is_text(item):
        return Output(item, item)
    keys = ("name", "output", "axes")
    if not isinstance(item, dict) or "output" not in item:
        raise ValueError(
            f"layers[{number}] is {json.dumps(item)[:60]}; it must be the name of an output, or"
            ' {"name": ..., "output": ..., "axes": ...}'
        )
    for key, value in item.items():
        if key not in keys:
            near = did_you_mean(key, keys)
            raise ValueError(f"layers[{number}] has {key!r}.{near} Known: {', '.join(keys)}")
        if not _is_text(value):
            raise ValueError(
                f"layers[{number}].{key} is {json.dumps(value)[:60]}; it must be a text"
            )
    axes = item.get("axes")
    if axes is not None and (
        "C" not in axes or set(axes) - set(AXES) or any(axes.count(a) > 1 for a in "BCTF")
    ):
        raise ValueError(
            f"layers[{number}].axes is {axes!r}; it must have a letter for each axis of the output:"
            " B for the batch, C for the channels (required), T for time, F for frequency from low"
            " to high, 1 for an axis of length 1"
        )
    output: str = item["output"]
    return Output(item.get("name", output), output, axes)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and len(value) <= LONGEST_TEXT


def _number(
    low: float, high: float, kinds: tuple[type, ...] = (int, float)
) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds and low <= value <= high


_LICENCE = 'a text such as "Apache-2.0", "CC BY-NC-SA 4.0" or "unknown"'
_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "rate_hz": (
        "the sample rate that the network reads, a whole number from 1000 to 1000000",
        _number(1_000, 1_000_000, (int,)),
    ),
    "window_s": (
        f"the seconds of audio that it reads at a time, above 0 and up to {MOST_WINDOW_S:g}",
        _number(1e-4, MOST_WINDOW_S),
    ),
    "layers": (
        f"a list of 1 to {MOST_LAYERS:,} outputs, the lowest first",
        lambda value: isinstance(value, list) and 1 <= len(value) <= MOST_LAYERS,
    ),
    "licence": (_LICENCE, _is_text),
    "hop_s": (
        "the seconds from one window to the next, above 0 and up to window_s",
        _number(1e-4, MOST_WINDOW_S),
    ),
    "full_scale": (
        "the value of full scale in the network's input, such as 1 or 32768",
        _number(1e-6, 1e12),
    ),
    "peak": ("the peak to which each window is scaled, above 0 and up to 1", _number(1e-6, 1)),
    "summary": ("a text", _is_text),
    "source": ("a text", _is_text),
}
_AS_THEY_ARE = ("licence", "full_scale", "peak", "summary", "source")
