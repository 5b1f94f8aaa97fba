"""Classifier files that were edited, with a digest that fits: refused with the field, or the same.

Every leaf of the headers of real files is changed to values that no earmark writes.
"""

import copy
import functools
import json
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import earmark
from earmark.backbones import registry
from earmark.classifier.classifier import Classifier
from earmark.classifier.file import read_parts
from earmark.classifier.networks import check_layers
from earmark.classifier.schema import check_head
from earmark.classifier.targets import Targets
from earmark.errors import EarmarkError, ModelError
from earmark.training import heads
from edited_files import WRONG, at, kind, leaves, written

FILES = Path(__file__).parents[1] / "fixtures" / "0.1"
NAMES = ("single", "several", "mlp", "tuned", "schema2")
EITHER = [({"NoneType", "str"}, "separator"), ({"NoneType", "number"}, "channel")]
HEADLINE = {"name": "accuracy", "value": 0.5, "ci95": [0.4, 0.6], "chance": 0.25}
KNOWN = {"key": "00" * 16, "hashes": "AAAAAAAAAAA="}
TREE = dict[str, Any]


@functools.cache
def parts(name: str) -> tuple[TREE, dict[str, np.ndarray]]:
    return read_parts(FILES / f"{name}.earmark")


def traits(classifier: Classifier) -> tuple[Any, ...]:
    """Return all that decides an answer, and all figures that a person reads."""
    width = len(classifier.head.tensors["mean"])
    features = np.random.default_rng(0).normal(size=(4, width)).astype(np.float32)
    return (
        classifier.labels,
        classifier.scores(features).tolist(),
        classifier.head.known_score(features).tolist(),
        classifier.backbones,
        classifier.features,
        classifier.decision_rule,
        classifier.calibration,
        classifier.audio,
        classifier.separator,
    )


@functools.cache
def usual(name: str) -> tuple[Any, ...]:
    return traits(Classifier.load(FILES / f"{name}.earmark"))


def fingerprints(uses: Any) -> list[str]:
    return [use.fingerprint for use in uses]


def outcome(path: Path, name: str, is_tuned: bool = False) -> str:
    """Load and use a file; return why it was refused, '' where it answers as the original."""
    try:
        classifier = Classifier.load(path)
        check_layers(classifier, [registry.info(use.name) for use in classifier.backbones])
        if is_tuned or fingerprints(classifier.backbones) != fingerprints(usual(name)[3]):
            classifier.networks()
    except EarmarkError as error:
        return str(error)
    assert traits(classifier) == usual(name), "another answer without a word"
    return ""


def named(way: tuple[Any, ...]) -> str:
    """Return the first word of a field's name."""
    return str(way[0])


@pytest.mark.parametrize("name", NAMES)
def test_no_changed_leaf_is_a_traceback_or_another_answer(name, tmp_path):
    header, tensors = parts(name)
    path, refused = tmp_path / "edited.earmark", 0
    for way in leaves(header):
        if way[0] == "digest":
            continue
        for value in WRONG if name in ("single", "several") else WRONG[::3]:
            both = {kind(value), kind(at(header, way))}
            if len(both) == 1 or (both, way[-1]) in EITHER:
                continue  # another of its kind may be right: see below
            edited = copy.deepcopy(header)
            at(edited, way[:-1])[way[-1]] = value
            why = outcome(written(path, edited, tensors), name)
            refused += bool(why)
            if why and value == value:
                assert named(way) in why and str(path) in why and "\n" not in why, (way, why)
        if isinstance(way[-1], str):
            edited = copy.deepcopy(header)
            del at(edited, way[:-1])[way[-1]]
            why = outcome(written(path, edited, tensors), name)
            assert not why or way[-1] in why or "fit" in why, (way, why)
    assert refused > 150


@pytest.mark.parametrize(
    ("name", "way", "value", "field"),
    [
        ("single", "schema", 4, "schema 4"),
        ("single", "schema", 3.0, r"schema 3\.0"),
        ("single", "labels", [], "labels is"),
        ("single", "labels", ["beeps", "beeps", "hum", "whistle"], "labels .*'beeps' twice"),
        ("single", "labels", ["hiss", "beeps", "hum", "whistle"], "labels"),
        ("single", "labels", ["beeps", "hiss", "hum", "whistle", "x"], "labels"),
        ("single", "labels/0", "", r"labels\[0\] is ''"),
        ("single", "backbones", [], "backbones is"),
        ("single", "backbones/0/layers", [], r"backbones\[0\]\.layers"),
        ("single", "backbones/0/layers", ["embedding", "conv1"], "features"),
        ("single", "backbones/0/layers", ["nothing"], "layer 'nothing'"),
        ("single", "backbones/0/layers", ["embedding"] * 2, "'embedding' twice"),
        ("single", "backbones/0/name", "yamnet", r"backbones\[0\]\.fingerprint"),
        ("single", "backbones/0/fingerprint", "speech-embedding", r"backbones\[0\]\.fingerprint"),
        ("several", "backbones/1", None, r"backbones\[1\]"),
        ("single", "head", "mlp", "mlp head has"),
        ("single", "head", "forest", "head is 'forest'"),
        ("single", "calibration/temperature", 0, r"calibration\.temperature is 0"),
        ("single", "calibration/temperature", -0.05, r"calibration\.temperature"),
        ("single", "calibration/offset", 0.5, r"calibration\.offset is 0\.5"),
        ("single", "calibration/is_single", False, r"limits\.disbelief"),
        ("several", "calibration/is_single", True, r"calibration\.offset"),
        ("several", "limits/thresholds", [0.5], r"limits\.thresholds"),
        ("several", "limits/thresholds/2", 1.5, r"limits\.thresholds\[2\] is 1\.5"),
        ("several", "limits/thresholds/0", -0.1, r"limits\.thresholds\[0\]"),
        ("single", "limits/disbelief/0", 0.9, r"limits\.disbelief"),
        ("single", "limits/unknown_below", 0.5, r"limits\.unknown_below"),
        ("single", "pooling/spread", False, "features"),
        ("mlp", "pooling/bands", True, "features"),
        ("single", "pooling/spreads", True, r"pooling\.spreads is an unknown field"),
        ("single", "estimate/accuracy", 1.2, r"estimate\.accuracy is 1\.2"),
        ("single", "estimate/ci95", [0.9, 0.6], r"estimate\.ci95"),
        ("single", "estimate/ci95", [0.5], r"estimate\.ci95"),
        ("single", "estimate/ece_expected", 1.5, r"estimate\.ece_expected is 1\.5"),
        ("single", "estimate/ece_debiased", -0.1, r"estimate\.ece_debiased is -0\.1"),
        ("single", "estimate/ece_debiased", None, r"estimate\.ece_debiased is None"),
        ("single", "estimate/clips", -3, r"estimate\.clips"),
        ("single", "estimate/classes/0/recall", 3, r"estimate\.classes\[0\]\.recall"),
        ("tuned", "estimate/fine_tuning/frozen", 9, r"estimate\.fine_tuning\.frozen"),
        ("single", "provenance/audio/channel", 0, r"provenance\.audio\.channel is 0"),
        ("single", "provenance/audio/non_finite", "keep", r"provenance\.audio\.non_finite"),
        ("single", "provenance/audio/gain", 2, r"provenance\.audio\.gain"),
        ("single", "provenance/seed", -1, r"provenance\.seed"),
        ("single", "provenance/clip_seconds", [0, 1], r"provenance\.clip_seconds\[0\] is 0"),
        ("single", "provenance/audio/full_scale", True, r"provenance\.audio\.full_scale"),
        ("single", "estimate/verdict", None, r"estimate\.verdict is None"),
        ("single", "estimate/verdict", {"word": "worthless", "why": ""}, r"estimate\.verdict\.why"),
        ("single", "estimate/headline", HEADLINE | {"value": True}, r"headline\.value is True"),
        (
            "single",
            "estimate/headline",
            HEADLINE | {"value": 0.2},
            r"headline\.value is 0\.2; .* that",
        ),
        ("single", "estimate/headline", HEADLINE | {"ci95": [1, 0.9]}, r"estimate\.headline\.ci95"),
        (
            "single",
            "estimate/classes/0",
            {"label": "beeps"},
            r"estimate\.classes\[0\]\.n is missing",
        ),
        ("single", "estimate/folds/0", {"n": 3}, r"estimate\.folds\[0\]\.accuracy is missing"),
        ("single", "estimate/learning_curve/0", {}, r"learning_curve\[0\]\.accuracy is missing"),
        ("single", "estimate/baselines/0", {}, r"baselines\[0\]\.name is missing"),
        (
            "single",
            "estimate/baselines",
            [{"name": "a", "accuracy": 1, "headline": HEADLINE | {"value": "a"}}],
            r"baselines\[0\]\.headline\.value is 'a'",
        ),
        ("single", "known", KNOWN | {"hashes": ""}, r"known\.hashes is ''"),
        ("single", "known", KNOWN | {"hashes": "AAAAAAAAAAEAAAAAAAAAAA=="}, "hashes .* not sorted"),
        ("single", "known", KNOWN | {"hashes": "AAAAAAAAAAAAAAAAAAAAAA=="}, "hashes .* not sorted"),
        ("single", "known", KNOWN | {"key": "AA" * 16}, r"known\.key"),
        ("single", "known", KNOWN | {"salt": 1}, r"known\.salt is an unknown field"),
    ],
)
def test_a_value_out_of_range_is_named(tmp_path, name, way, value, field):
    header, tensors = copy.deepcopy(parts(name))
    steps = [int(step) if step.isdigit() else step for step in way.split("/")]
    at(header, steps[:-1])[steps[-1]] = value
    assert re.search(field, outcome(written(tmp_path / "edited.earmark", header, tensors), name))


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_checked(tmp_path, name):
    header, tensors = parts(name)
    path = tmp_path / "edited.earmark"

    def why(changed: dict[str, np.ndarray]) -> str:
        return outcome(written(path, header, changed), name, is_tuned=name == "tuned")

    for key, value in tensors.items():
        rest = {k: v for k, v in tensors.items() if k != key}
        wrong = [value[:-1], value[None], np.concatenate([value, value]), value.T[..., None]]
        wrong += [value.astype(dtype) for dtype in (np.int32, np.int8, bool)]
        wrong += [value[:0]] + ([value.T] if value.ndim > 1 and key != "tuned.0.weights.0" else [])
        for number in (np.nan, -np.inf) if key == "scale" else (np.nan, np.inf, -np.inf):
            wrong.append(value.copy())
            wrong[-1].flat[-1] = number
        if not key.startswith("tuned."):
            wrong += [value.astype(np.float64), value.astype(np.float16)]
            assert "tensors are" in why(rest), key
        for array in wrong:
            text = why({**rest, key: array})
            assert "tensor" in text or "fine-tuned" in text, (key, array.shape, array.dtype, text)
    for number in (0, -1, -0.0):
        scale = tensors["scale"].copy()
        scale[3] = number
        assert "scale" in why({**tensors, "scale": scale})
    assert "tensors are" in why({**tensors, "more": np.zeros(2, np.float32)})
    assert "none of its backbones" in why({**tensors, "tuned.7.x": np.zeros(2, np.float32)})


def test_a_feature_that_training_never_saw_move_is_saved_and_not_read(tmp_path):
    """Its scale is infinite, in files of 0.1 as well."""
    features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    features[:, 2] = 5
    head = heads.fit("logistic", features, Targets.single(np.arange(30) % 3, 3), 0.01)
    assert np.isinf(head.tensors["scale"]).tolist() == [False, False, True, False]
    check_head("logistic", head.tensors, 3)
    header, tensors = parts("single")
    scale = tensors["scale"].copy()
    scale[3] = np.inf
    path = written(tmp_path / "still.earmark", header, {**tensors, "scale": scale})
    Classifier.load(path).save(tmp_path / "again.earmark")
    again, x = Classifier.load(tmp_path / "again.earmark"), np.zeros((2, 192), np.float32)
    x[1, 3] = 1e30
    assert np.array_equal(*again.scores(x)) and np.isfinite(again.head.known_score(x)).all()


def test_numbers_that_overflow_are_no_answer(tmp_path):
    header, tensors = parts("single")
    huge = {**tensors, "weight": np.full_like(tensors["weight"], 3e38)}
    classifier = Classifier.load(written(tmp_path / "huge.earmark", header, huge))
    with pytest.raises(ModelError, match="scores that are not numbers"):
        classifier.scores(np.full((1, 192), 9.0, np.float32) * tensors["scale"])


def test_what_is_not_finite_is_never_written(tmp_path):
    classifier, path = Classifier.load(FILES / "single.earmark"), tmp_path / "m.earmark"
    weight = np.full_like(classifier.head.tensors["weight"], np.nan)
    head = replace(classifier.head, tensors={**classifier.head.tensors, "weight": weight})
    with pytest.raises(ModelError, match="tensor weight has NaN or infinity"):
        replace(classifier, head=head).save(path)
    with pytest.raises(ModelError, match="macro_f1 is None; it must be a number"):
        replace(classifier, estimate=replace(classifier.estimate, macro_f1=np.nan)).save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"schema": 3, "schema": 3}', "'schema' twice"),
        ('{"schema": 3, "labels": NaN}', "NaN, which is not allowed in JSON"),
        ('{"schema": 3, "labels": -Infinity}', "-Infinity, which is not allowed in JSON"),
        ('{"schema": 3, "a": ' + "[" * 50 + "]" * 50 + "}", "nested deeper"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "is not a classifier"),
        ("[" * 100_000, "is not a classifier"),
        ('{"schema": ' + "9" * 5_000 + "}", "is not a classifier"),
        ("[]", "not a JSON object"),
        ("", "is not a classifier"),
        ("null", "not a JSON object"),
        ('{"schema": true}', "has schema True"),
        ('{"schema": 1e999}', "has schema inf"),
        ('{"schema": [3]}', r"has schema \[3\]"),
        ("{}", "has schema None"),
    ],
)
def test_odd_json_is_refused(tmp_path, text, reason):
    path = tmp_path / "odd.earmark"
    path.write_bytes(save({"mean": np.zeros(2, np.float32)}, {"earmark": text}))
    with pytest.raises(ModelError, match=reason):
        earmark.load(path)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F8_E5M2", "U64", "F16", "I32", "BOOL", "X"])
def test_tensors_of_odd_types_are_refused(tmp_path, dtype):
    """Written by hand: NumPy has not all of these types."""
    raw = {"mean": {"dtype": dtype, "shape": [4], "data_offsets": [0, 16]}}
    for size in (1, 2, 4, 8, 16):
        raw["mean"]["shape"] = [size]
        text = json.dumps({**raw, "__metadata__": {"earmark": "{}"}}).encode()
        path = tmp_path / "odd.earmark"
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
        with pytest.raises(ModelError):
            earmark.load(path)


@pytest.mark.parametrize("name", ["single", "tuned", "today"])
def test_no_mutant_of_the_bytes_is_read(tmp_path, name):
    path, rng = tmp_path / "mutant.earmark", np.random.default_rng(0)
    if name == "today":
        earmark.load(FILES / "single.earmark").save(path)
    content = (path if name == "today" else FILES / f"{name}.earmark").read_bytes()
    for k in range(150):
        changed = bytearray(content)
        start = int(rng.integers(len(changed) if k % 2 else min(9_000, len(changed))))
        end = start + int(rng.integers(1, 40))
        if k % 5 == 0:
            del changed[start:end]
        elif k % 5 == 1:
            changed[start:start] = rng.bytes(end - start)
        elif k % 5 == 2:
            changed[start:end] = rng.bytes(len(changed[start:end]))
        else:
            changed[start] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        if changed != content:
            with pytest.raises(ModelError, match=re.escape(str(path))):
                earmark.load(path)


def test_no_mutant_of_the_header_is_a_traceback(tmp_path):
    """300 edits of its text, with a digest that fits wherever it still is JSON."""
    header, tensors = parts("several")
    text, rng = (
        json.dumps({k: v for k, v in header.items() if k != "digest"}),
        np.random.default_rng(0),
    )
    path, snippets = (
        tmp_path / "m.earmark",
        ('"', "[", "]", "{}", "1e400", "-", "null", "0", ",", "x"),
    )
    loaded = 0
    for _ in range(300):
        start = int(rng.integers(len(text)))
        end = start + int(rng.integers(3))
        changed = text[:start] + snippets[rng.integers(len(snippets))] + text[end:]
        try:
            edited = json.loads(changed)
            written(path, edited, tensors)
        except ValueError:
            written(path, {}, tensors, text=changed)
        try:
            scores = earmark.load(path).scores(np.ones((2, 320), np.float32))
        except ModelError:
            continue
        assert np.isfinite(scores).all()
        loaded += 1
    assert loaded < 150
