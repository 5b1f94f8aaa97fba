"""Detector files that were edited, with a digest that fits: refused with the field."""

import copy
import functools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earmark.classifier.classifier import Classifier
from earmark.classifier.detector import Detector
from earmark.classifier.file import read_parts
from earmark.data.event import Event, RecordingEvents
from earmark.detection.rules import EventRules
from earmark.errors import ModelError
from earmark.training.event_metrics import evaluate_events
from edited_files import at, kind, leaves, written

SINGLE = Path(__file__).parents[1] / "fixtures" / "0.1" / "single.earmark"


@functools.cache
def parts() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the parts of a detector's file that has an estimate of events."""
    classifier = Classifier.load(SINGLE)
    labels = classifier.labels
    events = [tuple(Event(k, k + 1, label) for k, label in enumerate(labels[n:])) for n in (0, 1)]
    truth = [RecordingEvents(f"{n}.wav", 60.0, events[n]) for n in (0, 1)]
    wrong = replace(events[1][0], label=labels[0])
    answers = [truth[0], RecordingEvents("1.wav", 60.0, (wrong, *events[1][1:]))]
    estimate = evaluate_events(truth, answers).to_json()
    estimate["unknown"] = {"below": 0.5, "answered_before": 0.5, "answered": 0.0, "lost": None}
    rules = EventRules((0.5,) * len(labels)).to_json()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.earmark"
        replace(classifier, detector=Detector(0.5, 0.1, False, rules, estimate)).save(path)
        return read_parts(path)


@pytest.mark.slow
def test_no_changed_leaf_of_the_figures_is_read(tmp_path):
    """Figures may be null, and a detector that was made by hand has none."""
    header, tensors = parts()
    path, estimate = tmp_path / "edited.earmark", header["detector"]["estimate"]
    for way in leaves(estimate):
        old = at(estimate, way)
        for value in ("text", True, None, [], -1, 0.5, 1e39, [[1]]):
            is_figure = kind(old) in ("number", "NoneType") or str(way[-1]).endswith("_error_s")
            allowed = {kind(old), *(("number", "NoneType") if is_figure else ())}
            if kind(value) in allowed or (way[-1] == "label" and value in (None, "text")):
                continue
            edited = copy.deepcopy(header)
            at(edited["detector"]["estimate"], way[:-1])[way[-1]] = value
            with pytest.raises(ModelError, match="estimate"):
                Classifier.load(written(path, edited, tensors))


@pytest.mark.parametrize(
    ("way", "value"),
    [
        ("overall/recall", 1.5),
        ("overall/false_per_hour", -1),
        ("overall/false_per_hour_upper", 1e39),
        ("overall/ci95/recall", [0.9, 0.1]),
        ("overall/counts/iou30/right", -1),
        ("classes/0/label", "another"),
        ("confusions/0/count", 0.5),
        ("unknown/lost", 2),
    ],
)
def test_a_figure_of_events_out_of_range_is_named(tmp_path, way, value):
    header, tensors = copy.deepcopy(parts())
    Classifier.load(written(tmp_path / "same.earmark", header, tensors))
    steps = [int(step) if step.isdigit() else step for step in way.split("/")]
    at(header["detector"]["estimate"], steps[:-1])[steps[-1]] = value
    with pytest.raises(ModelError, match=str(steps[0])):
        Classifier.load(written(tmp_path / "edited.earmark", header, tensors))
