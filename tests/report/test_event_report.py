"""The page of detected events: what it says, marks and leaves out, and that it stands alone."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from earmark.data.event import Event, RecordingEvents
from earmark.report import EventContents, event_page, event_plots, timeline
from earmark.report.plots import WIDTH
from earmark.training.event_figures import MatchCounts
from earmark.training.event_metrics import evaluate_events
from earmark.training.event_thresholds import ThresholdFigures
from earmark.training.event_verdict import event_verdict
from made_events import LABELS, draw_events, recordings

HOSTILE = ("<script>alert(1)</script>", "]]>&lt;", "مرحبا", "x" * 300, "bell\x07", "half \udcff")
XML = "{http://www.w3.org/1999/xhtml}"


def contents(truth, answers, **changes):
    rows = [
        ThresholdFigures(t, MatchCounts(round(10 * (1 - t)), 3, round(10 * t)), 30.0)
        for t in (0.1, 0.5, 0.9)
    ]
    values = {"thresholds": rows, "chosen": (0.45,), **changes}
    return EventContents("earmark evaluate m d --events", LABELS, truth, answers, **values)


def summary(truth, answers, **changes):
    evaluation = evaluate_events(truth, answers)
    events = {"verdict": event_verdict(evaluation), "scheme": "3 given recordings"}
    return {
        "model": "/models/night.earmark",
        "data": "nights",
        "events": {**events, **evaluation.to_json()},
        "unknown": [],
        "skipped": [],
        "warnings": [],
        **changes,
    }


def page_of(truth, answers, **changes):
    html = event_page(summary(truth, answers), contents(truth, answers, **changes))
    return html, ElementTree.fromstring(html.partition("\n")[2])


def titles(root):
    return [element.text for element in root.iter(f"{XML}h2")]


@pytest.mark.parametrize("seed", [0, 3])
def test_the_page_has_its_sections_and_stands_alone(seed):
    truth, answers = (recordings(several) for several in draw_events(seed))
    html, root = page_of(truth, answers)
    assert titles(root) == [
        "What was done",
        "How good it is",
        "What other thresholds give",
        "How exact the times are",
        "Class by class",
        "Which classes are confused",
        "Can the scores be believed?",
        "The minutes with the most errors",
        "How to repeat it",
    ]
    assert not re.search(r'(src|href)="(?!#|data:)', html)
    assert "url(" not in html and "<script" not in html
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan", "", html)


def test_sections_without_content_are_left_out():
    truth = recordings([[Event(1, 2, "bird")]])
    _, root = page_of(truth, recordings([[]]), thresholds=())
    assert "What other thresholds give" not in titles(root)
    assert "Can the scores be believed?" not in titles(root)
    assert "How exact the times are" not in titles(root)
    _, root = page_of(truth, truth)
    assert "The minutes with the most errors" not in titles(root)


def test_the_page_of_recordings_without_events():
    empty = recordings([[], []])
    _, root = page_of(empty, empty)
    assert titles(root)[:2] == ["What was done", "How good it is"]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_shown_and_not_run(name):
    truth = [RecordingEvents(name, 30.0, (Event(1, 2, name), Event(5, 6, "bird")))]
    answers = [RecordingEvents(name, 30.0, (Event(1, 2, "bird", 0.4),))]
    html, _ = page_of(truth, answers, is_heard=True)
    assert "<script>" not in html
    assert "No player" in html or "can no longer be read" in html


# Plots


def test_the_chosen_threshold_is_marked_at_its_place():
    plot = event_plots.shares("p", (0.1, 0.9), {"recall": (0.5, 0.4)}, "threshold", (0.45,))
    (x,) = re.findall(r'M([\d.]+) [\d.]+L\1 [\d.]+" class="ideal"', plot)
    left, right = event_plots.LEFT, event_plots.RIGHT
    assert float(x) == pytest.approx(left + 0.45 * (right - left), abs=0.06)


def test_a_share_that_is_unknown_interrupts_the_line():
    values = (0.5, None, 0.5, 0.4)
    plot = event_plots.shares("p", (0.1, 0.2, 0.3, 0.4), {"precision": values}, "threshold")
    assert len(re.findall(r'd="M[^"]*" class="line main"', plot)) == 3  # two parts, and the legend


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=14), st.floats(0, 1))
def test_rates_stay_inside_the_plot(values, chosen):
    x = np.linspace(0, 1, len(values)).tolist()
    plot = event_plots.rates("r", x, values, (chosen,))
    (path,) = re.findall(r'd="M([^"]*)" class="line main"', plot)
    spots = [tuple(map(float, spot.split())) for spot in path.split("L")]
    bottom = event_plots.TOP + event_plots.HEIGHT
    assert all(0 <= a <= WIDTH and 7.9 <= b <= bottom + 0.1 for a, b in spots)
    heights = np.array([b for _, b in spots])[np.argsort(values, kind="stable")]
    assert (np.diff(heights) <= 0.11).all()  # a higher rate is higher up


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=50))
def test_a_histogram_counts_every_error(errors):
    plot = event_plots.histogram("h", np.array(errors), 0.4, 0.2, "error")
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" class="bar main"', plot)]
    counts, _ = np.histogram(np.clip(errors, -0.4, 0.4), event_plots.BARS, (-0.4, 0.4))
    assert heights == pytest.approx(110 * counts / counts.max(), abs=0.06)


# Timeline


def test_the_worst_minute_comes_first_with_its_errors():
    truth = recordings(
        [[Event(10, 12, "bird"), Event(70, 72, "dog"), Event(75, 77, "dog")], [Event(1, 2, "dog")]],
        seconds=120.0,
    )
    answers = recordings(
        [[Event(10, 12, "bird"), Event(90, 91, "rain")], [Event(30, 31, "dog")]], seconds=120.0
    )
    values = timeline.timeline(contents(truth, answers))
    first, second = values["minutes"]
    assert (first["path"], first["span"], first["missed"], first["false"]) == (
        "0.wav", ("1:00", "2:00"), 2, 1,
    )  # fmt: skip
    assert (second["path"], second["missed"], second["false"]) == ("1.wav", 1, 1)
    assert (values["errors"], values["shown"], values["line_s"]) == (5, 5, 60.0)
    (line,) = first["lines"]
    assert [(bar.label, bar.kind) for bar in line.truth] == [("dog", "missed")] * 2
    assert line.truth[0].left == pytest.approx(100 * 10 / 60)
    assert line.truth[0].width == pytest.approx(100 * 2 / 60)
    assert [(bar.label, bar.kind, bar.colour) for bar in line.answers] == [("rain", "false", "")]


def test_an_event_across_lines_is_on_both():
    truth = recordings([[Event(9.8, 10.4, "bird"), Event(30, 30.6, "dog")]])
    values = timeline.timeline(contents(truth, recordings([[]])))
    lines = values["minutes"][0]["lines"]
    assert values["line_s"] == 20.0 and len(lines) == 3
    truth = recordings([[Event(19.8, 20.4, "bird"), Event(30, 30.6, "dog")]])
    first, second, _ = timeline.timeline(contents(truth, recordings([[]])))["minutes"][0]["lines"]
    assert first.truth[0].left + first.truth[0].width == pytest.approx(100)
    assert second.truth[0].left == 0
    assert second.truth[0].width == pytest.approx(2)


def test_what_was_not_annotated_is_blind():
    regions = [((5.0, 8.0), (30.0, 100.0))]
    truth = recordings([[Event(6, 8, "bird")]], regions=regions)
    (line,) = timeline.timeline(contents(truth, recordings([[]])))["minutes"][0]["lines"]
    scale = 100 / 60
    (first, second) = line.blind
    assert first == pytest.approx((0, 5 * scale))
    assert second == pytest.approx((8 * scale, 22 * scale))


def test_events_at_the_same_time_are_below_each_other():
    truth = recordings([[Event(1, 5, "bird"), Event(2, 4, "dog"), Event(6, 7, "dog")]])
    (line, *_) = timeline.timeline(contents(truth, recordings([[]])))["minutes"][0]["lines"]
    assert [bar.level for bar in line.truth] == [0, 1, 0]


def test_sounds_of_unknown_classes_are_no_errors():
    truth = recordings([[Event(1, 2, "owl"), Event(3, 4, "bird")]])
    values = timeline.timeline(contents(truth, recordings([[]])))
    assert values["errors"] == 1 and values["has_unknown"]
    kinds = [bar.kind for bar in values["minutes"][0]["lines"][0].truth]
    assert kinds == ["unknown", "missed"]


def test_at_most_ten_minutes_have_players_of_a_minute(tmp_path):
    soundfile.write(tmp_path / "n.flac", 0.01 * np.random.default_rng(0).normal(size=80_000), 8_000)
    events = tuple(Event(k, k + 0.5, "bird") for k in range(9))
    truth = [RecordingEvents(str(tmp_path / "n.flac"), 10.0, events)]
    truth += [RecordingEvents(f"{tmp_path}/{k}.wav", 60.0, events[:1]) for k in range(12)]
    silent = [replace(recording, events=()) for recording in truth]
    values = timeline.timeline(contents(truth, silent, is_heard=True))
    assert len(values["minutes"]) == 10
    assert (values["errors"], values["shown"]) == (21, 18)
    first, *others = values["minutes"]
    assert Path(first["path"]).name == "n.flac" and first["span"] == ("0:00", "0:10")
    assert first["player"].uri.startswith("data:audio/")
    assert all("can no longer be read" in other["player"].reason for other in others)
    assert len(first["player"].uri) > 20_000  # 10 s, more than other players have
