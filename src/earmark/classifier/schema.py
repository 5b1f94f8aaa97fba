"""The schema of a classifier's file: ``HEADER``, ``TENSORS`` and ``check``.

Unknown keys are allowed at the top, in the estimate and in the provenance, because a later earmark
may add some there. Everything else that is read is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from earmark.audio.options import MAX_PEAK, NON_FINITE
from earmark.classifier.detector_schema import DETECTOR
from earmark.classifier.estimate import HEADLINES, VERDICTS
from earmark.classifier.head import KINDS
from earmark.classifier.schema_rules import (
    COUNT,
    NAME,
    ROUNDING,
    SHARE,
    FieldError,
    Rule,
    anything,
    array,
    boolean,
    integer,
    interval,
    nullable,
    number,
    one_of,
    record,
    share,
    text,
)

ONE_SPEC = 3  # the last schema with a single feature spec
DETECTOR_SCHEMA = 5
MOST_DEPTH = 20  # of nested lists and objects
TUNED = "tuned."  # prefix of fine-tuned tensors, before the backbone's number


HEADLINE = record({"name": one_of(HEADLINES), "value": SHARE, "ci95": interval(), "chance": SHARE})
_figures = {"accuracy": SHARE, "n": COUNT, "ci95": interval(), "clips_per_class": COUNT}
_figures |= dict.fromkeys(("recall", "precision", "f1"), nullable(SHARE))
_figures |= dict.fromkeys(("low", "high", "macro_f1", "balanced_accuracy"), SHARE)
_figures |= {"headline": HEADLINE, **dict.fromkeys(("label", "name", "fold"), NAME)}


def _rows(*required: str) -> Rule:
    """Accept lists of figures that have at least the ``required`` ones."""
    return array(record({name: _figures[name] for name in required}, _figures, is_open=True))


VERDICT = record({"word": one_of(VERDICTS), "why": NAME})
ESTIMATE = record(
    {
        "scheme": text(),
        "accuracy": SHARE,
        "ci95": interval(),
        "macro_f1": SHARE,
        "ece": SHARE,
        "chance": SHARE,
        "clips": COUNT,
        "folds": _rows("accuracy", "n"),
        "classes": _rows("label", "n", "recall", "precision", "f1"),
    },
    {
        "balanced_accuracy": SHARE,
        "map": SHARE,
        "ece_expected": SHARE,
        "ece_debiased": SHARE,
        "headline": HEADLINE,
        "verdict": VERDICT,
        "baselines": _rows("name", "accuracy"),
        "learning_curve": _rows("accuracy", "clips_per_class", "low", "high"),
        "unknown": record(
            {}, {"rate": SHARE, "below": number(), "accepted": SHARE, "answered": SHARE}, True
        ),
        "fine_tuning": record(
            {},
            {
                "frozen": SHARE,
                "fine_tuned": SHARE,
                "difference": share(-1),
                "ci95": interval(-1),
                "how": text(),
                "use": text(),
                "course": array(anything),
                "folds": array(anything),
                "recipe": record({}, is_open=True),
            },
            True,
        ),
        "answered_unknown": COUNT,
    },
    is_open=True,
)
AUDIO = record(
    {"channel": nullable(integer(1)), "non_finite": one_of(NON_FINITE)},
    {"full_scale": number(0, MAX_PEAK, above=True)},
)
_text = nullable(text(r"[^\0]*", "a text or null"))
_source = ("data", "root", "label", "group", "fold", "separator")
_words = dict.fromkeys(("backbone", "head", "layers"), text())
PROVENANCE = record(
    {"audio": AUDIO},
    {
        "earmark": text(),
        "clips": COUNT,
        "clip_seconds": interval(of=number(0, above=True)),
        "seed": COUNT,
        "data": text(),
        "layers": text(),
        "penalty": number(0),
        "candidates": array(
            record(
                {},
                {"head": text(), "layers": text(), "accuracy": SHARE}
                | {"balanced": boolean, "loss": number(), "penalty": number(0)},
                True,
            )
        ),
        "averaged": array(
            record(
                {}, {"head": text(), "layers": text(), "penalty": number(0), "factor": SHARE}, True
            )
        ),
        "contributions": array(
            record({"backbone": text(), "layer": text(), "share": number()}, is_open=True)
        ),
        "source": record({}, dict.fromkeys(_source, _text), True),
        "arguments": record({}, {**_words, "folds": integer(2)}, True),
    },
    is_open=True,
)
POOLING = dict.fromkeys(("spread", "bands", "averaged"), boolean)
HEADER = record(
    {
        "schema": integer(1),
        "labels": array(NAME, least=1, unique=True),
        "backbones": array(
            record(
                {
                    "name": NAME,
                    "fingerprint": text(
                        r"(?s:.+)/\d{1,9}/[^/]+/\w+", "of the form NAME/VERSION/WEIGHTS/PRECISION"
                    ),
                    "layers": array(NAME, least=1, unique=True),
                }
            ),
            least=1,
        ),
        "head": one_of(KINDS),
        "calibration": record(
            {"temperature": number(0, above=True), "offset": number(), "is_single": boolean}
        ),
        "limits": record(
            {
                "thresholds": array(SHARE),
                "disbelief": array(SHARE),
                "unknown_below": nullable(number()),
            }
        ),
        "estimate": ESTIMATE,
        "provenance": PROVENANCE,
    },
    {
        "pooling": record(POOLING),
        "features": array(record({"layers": array(array(NAME, unique=True)), **POOLING}), least=1),
        "detector": DETECTOR,
        "known": record(
            {
                "key": text(r"[0-9a-f]{32}", "32 hexadecimal digits"),
                "hashes": text(r"[0-9A-Za-z+/]+=*", "a text in base64"),
            }
        ),
    },
    is_open=True,
)
TENSORS = {  # names and shapes; K classes, D features, H hidden units
    **{kind: {"weight": "KD", "bias": "K"} for kind in ("prototype", "linear", "logistic")},
    "mlp": {
        "hidden.weight": "HD",
        "hidden.bias": "H",
        "output.weight": "KH",
        "output.bias": "K",
    },
}


def check(header: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError with the name of the first field or tensor that breaks the schema."""
    check_depth(header)
    HEADER(header, "")
    _check_backbones(header["backbones"])
    _check_features(header)
    _check_decision(header)
    own = {name: value for name, value in tensors.items() if not name.startswith(TUNED)}
    check_head(header["head"], own, _count_outputs(header))
    for name, value in tensors.items():
        if name != "scale":  # infinite for a feature that was constant in training
            _check_numbers(name, value)


def _count_outputs(header: Mapping[str, Any]) -> int:
    """Return the number of outputs of the head: the classes, and background in a detector."""
    detector, n_labels = header.get("detector"), len(header["labels"])
    if detector is None:
        return n_labels
    if len(detector["rules"]["thresholds"]) != n_labels:
        must = f"a list of {n_labels} items, one for each label"
        raise FieldError("detector.rules.thresholds", detector["rules"]["thresholds"], must)
    if detector["hop_s"] > detector["window_s"]:
        must = f"at most detector.window_s, {detector['window_s']:g}"
        raise FieldError("detector.hop_s", detector["hop_s"], must)
    tested = [row["label"] for row in detector["estimate"].get("classes", ())]
    if tested and tested != header["labels"]:
        raise FieldError(
            "labels", header["labels"], f"those of detector.estimate.classes, {tested}"
        )
    return n_labels + bool(detector["has_background"])


def check_depth(value: Any, depth: int = 0) -> None:
    """Raise ValueError for JSON that is nested deeper than in any classifier."""
    if depth > MOST_DEPTH:
        raise ValueError(f"its header is nested deeper than {MOST_DEPTH} levels")
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list)):
        for child in children:
            check_depth(child, depth + 1)


def _check_backbones(uses: Sequence[Mapping[str, Any]]) -> None:
    names = [use["name"] for use in uses]
    for k, use in enumerate(uses):
        if not use["fingerprint"].startswith(f"{use['name']}/"):
            name = f"backbones[{k}].fingerprint"
            raise FieldError(name, use["fingerprint"], f"one of backbone {use['name']!r}")
        if names.count(use["name"]) > 1:
            raise FieldError(f"backbones[{k}].name", use["name"], "different for each backbone")


def _check_features(header: Mapping[str, Any]) -> None:
    """Check that either 'pooling' or 'features' exists and reads the layers of the backbones."""
    name, other = (
        ("features", "pooling") if header["schema"] > ONE_SPEC else ("pooling", "features")
    )
    if name not in header or other in header:
        raise ValueError(f"schema {header['schema']} requires the field {name} and forbids {other}")
    if ("detector" in header) != (header["schema"] >= DETECTOR_SCHEMA):
        raise ValueError(f"the field detector belongs to schema {DETECTOR_SCHEMA}")
    specs, uses = header.get("features", ()), header["backbones"]
    if header["schema"] == ONE_SPEC + 1 and len(specs) < 2:
        raise FieldError("features", specs, "a list of at least 2 items")
    for k, spec in enumerate(specs):
        name = f"features[{k}].layers"
        if len(spec["layers"]) != len(uses):
            must = f"{len(uses)} lists, one for each backbone"
            raise FieldError(name, spec["layers"], must)
        if not any(spec["layers"]):
            raise FieldError(name, spec["layers"], "lists with at least one layer in all")
    for k, use in enumerate(uses if specs else ()):
        read = {layer for spec in specs for layer in spec["layers"][k]}
        if read != set(use["layers"]):
            must = f"the layers that features read, {sorted(read)}"
            raise FieldError(f"backbones[{k}].layers", use["layers"], must)


def _check_decision(header: Mapping[str, Any]) -> None:
    """Check that the decision rule fits the classes, the calibration and the estimate."""
    labels, limits, estimate = header["labels"], header["limits"], header["estimate"]
    if header["calibration"]["is_single"]:
        if offset := header["calibration"]["offset"]:
            must = "0, because calibration.is_single says that a clip has one class"
            raise FieldError("calibration.offset", offset, must)
        if limits["thresholds"]:
            must = "empty, because calibration.is_single says that a clip has one class"
            raise FieldError("limits.thresholds", limits["thresholds"], must)
    elif limits["disbelief"]:
        must = "empty, because calibration.is_single says that a clip has several classes"
        raise FieldError("limits.disbelief", limits["disbelief"], must)
    elif len(limits["thresholds"]) != len(labels):
        must = f"a list of {len(labels)} items, one for each label"
        raise FieldError("limits.thresholds", limits["thresholds"], must)
    if limits["disbelief"] != sorted(limits["disbelief"]):
        raise FieldError("limits.disbelief", limits["disbelief"], "sorted, the smallest first")
    tested_labels = [figures.get("label") for figures in estimate["classes"]]
    if tested_labels and tested_labels != labels:
        raise FieldError("labels", labels, f"those of estimate.classes, {tested_labels}")
    headline = estimate.get("headline", {})
    same = estimate.get(headline.get("name")) if header["calibration"]["is_single"] else None
    if same is not None and abs(headline["value"] - same) > ROUNDING:
        must = f"that of estimate.{headline['name']}, {same}"
        raise FieldError("estimate.headline.value", headline["value"], must)
    below = estimate.get("unknown", {}).get("below")
    if below != limits["unknown_below"]:
        raise FieldError(
            "limits.unknown_below",
            limits["unknown_below"],
            f"that of estimate.unknown.below, {below}",
        )


def check_head(kind: str, tensors: Mapping[str, np.ndarray], labels: int) -> None:
    """Check the names, types, shapes and numbers of a head's tensors."""
    shapes = {"mean": "D", "scale": "D", **TENSORS[kind]}
    if set(tensors) != set(shapes):
        names = ", ".join(sorted(tensors))
        raise ValueError(f"its tensors are {names}; a {kind} head has {', '.join(sorted(shapes))}")
    sizes = {"K": labels}
    for name, axes in shapes.items():
        value = tensors[name]
        if value.ndim != len(axes) or any(
            sizes.setdefault(axis, size) != size or not size
            for axis, size in zip(axes, value.shape, strict=False)
        ):
            expected = [sizes.get(axis, axis) for axis in axes]
            raise FieldError(f"the shape of tensor {name}", list(value.shape), f"{expected}")
        if value.dtype != np.float32:
            raise FieldError(f"the type of tensor {name}", str(value.dtype), "float32")
    scale = tensors["scale"]  # infinite for a feature that was constant in training
    _check_numbers("scale", scale[scale != np.inf])
    if not (scale > 0).all():
        raise FieldError("the smallest number of tensor scale", float(scale.min()), "above 0")


def _check_numbers(name: str, value: np.ndarray) -> None:
    if value.dtype.kind != "f":
        raise FieldError(f"the type of tensor {name}", str(value.dtype), "a float")
    if not np.isfinite(value).all():
        raise ValueError(f"tensor {name} has NaN or infinity")
