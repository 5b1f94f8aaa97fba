"""report.html: what it says, what it leaves out, and that it is safe and complete by itself."""

import base64
import html
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from earmark import audio
from earmark.audio.options import AS_IT_IS
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.embeddings.store import Store
from earmark.report import (
    ReportContents,
    SeveralClasses,
    answers,
    contents_of_training,
    figures,
    page,
    palette,
    players,
    plots,
    rendering,
    text,
    write_report,
)
from earmark.report import files as report_files
from earmark.report import map as maps
from earmark.training import metrics, train
from shared_data import shared_data

HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" & 'single'",
    "</style></svg>",
    "]]>&lt;",
    "snow\u2603 \U0001f426",
    "مرحبا",
    "長い名前" * 20,
    "very_long_" + "x" * 300,
    "\u202egnp.exe",
    "bell\x07 null\x00",
    "half \udcff",
)
PARTS = {
    "map_xy": "map",
    "candidates": "layers",
    "learning_curve": "learning",
    "findings": "findings",
    "fine_tuning": "fine-tuning",
}


def made(labels=("cat", "dog", "owl"), n=120, seed=0):
    """Return a summary as of a training, and contents with every part."""
    rng = np.random.default_rng(seed)
    classes = len(labels)
    truth = np.arange(n) % classes
    logits = rng.normal(size=(n, classes))
    logits[np.arange(n), truth] += 2.0
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    fold = np.arange(n) // classes % 4
    right = scores.argmax(1) == truth
    onehot, chosen = np.eye(classes)[truth], np.eye(classes)[scores.argmax(1)]
    estimate = {
        "scheme": "4 given folds",
        "accuracy": float(right.mean()),
        "ci95": [float(right.mean()) - 0.05, float(right.mean()) + 0.04],
        "macro_f1": metrics.macro_f1(onehot, chosen),
        "ece": metrics.calibration_error(scores, onehot),
        "chance": 1 / classes,
        "clips": n,
        "folds": [
            {"fold": f"f{k}", "accuracy": float(right[fold == k].mean()), "n": int(sum(fold == k))}
            for k in range(4)
        ],
        "classes": metrics.per_class(onehot, chosen, labels),
    }
    summary = {
        "model": "/models/a <b>.earmark",
        "backbone": ["logmel"],
        "layers": ["one", "two"],
        "head": "linear",
        "labels": list(labels),
        "clips": n,
        "skipped": [{"path": "/x/<i>.wav", "reason": "empty"}],
        "warnings": ["/x/1.wav: cut short"],
        "estimate": estimate,
        "seconds": {"embed": 1.0, "total": 2.0},
    }
    candidates = [
        {"head": "linear", "layers": name, "penalty": 3.0, "accuracy": 0.9 - 0.1 * k}
        for k, name in enumerate(("all", "conv5", "last"))
    ]
    contents = ReportContents(
        command="earmark train 'a b' -o m",
        labels=tuple(labels),
        clips=tuple(Clip(Path(f"/gone/{k}.wav"), labels[t]) for k, t in enumerate(truth)),
        truth=truth,
        scores=scores,
        map_xy=rng.normal(size=(n, 2)),
        candidates=[{**c, "chosen": c["layers"] == "conv5"} for c in candidates],
        baselines=[{"name": "logmel <b>", "accuracy": 0.4, "ci95": [0.35, 0.45]}],
        learning_curve=[
            {"clips_per_class": c, "accuracy": a, "low": a - 0.1, "high": a + 0.05}
            for c, a in ((1, 0.5), (2, 0.6), (4, 0.625))
        ],
        findings=[{"kind": "label conflict", "severity": "error", "advice": "keep <one>"}],
        fine_tuning={
            "frozen": 0.81,
            "fine_tuned": 0.93,
            "difference": 0.12,
            "ci95": [0.05, 0.19],
            "use": "fine-tuned",
            "folds": [{"use": "fine-tuned"}, {"use": "fine-tuned"}, {"use": "frozen"}],
            "course": [
                {"epoch": e, "loss": 1 / e} | ({"validation": 0.25} if e == 2 else {})
                for e in (1, 2, 3)
            ],
        },
        source="/data/meta.csv",
    )
    return summary, contents


def parse(shown):
    """Read the page as XML, which HTML need not be and ours is."""
    body = shown.removeprefix("<!DOCTYPE html>\n")
    return ElementTree.fromstring(body.replace(' xmlns="http://www.w3.org/1999/xhtml"', ""))


def words(shown):
    """Return the text of a page with single spaces, which is all that a browser shows."""
    plain = re.sub("<[^>]+>", "", re.sub("<style>.*?</style>", "", shown, flags=re.S))
    return " ".join(html.unescape(plain).split())


def test_a_worthless_result_is_named_first_and_promises_nothing():
    summary, contents = made()
    assert "would probably" in words(page(summary, contents))
    verdict = {"word": "worthless", "why": "accuracy is 0.1; guessing gives 0.1."}
    summary = {**summary, "estimate": {**summary["estimate"], "verdict": verdict}}
    shown = words(page(summary, contents))
    assert "classified correctly, which is not significantly better than guessing." in shown
    assert "would probably" not in shown


def test_the_page_says_what_the_summary_says():
    summary, contents = made()
    estimate = summary["estimate"]
    shown = words(page(summary, contents))
    low, high = estimate["ci95"]
    assert f"{estimate['accuracy'] * 100:.1f} %of 120 clips classified correctly" in shown
    assert f"{estimate['accuracy'] * 100:.1f} % of 120 clips were classified correctly" in shown
    assert f"95 % interval {low * 100:.1f} % to {high * 100:.1f} %" in shown
    assert f"Macro F1, in which every class counts the same, is {estimate['macro_f1']:.3f}" in shown
    assert f"{estimate['ece']:.3f}expected calibration error" in shown
    assert "41.0 points better than logmel <b>" in shown  # of the frozen one
    assert "Accuracy frozen 81.0 %, fine-tuned 93.0 % (in 2 of 3 folds): +12.0 points" in shown
    assert "whose weights were fine-tuned" in shown and "of the frozen classifier with" in shown
    assert "earmark train 'a b' -o m" in shown and "4 given folds" in shown
    assert "/x/1.wav: cut short" in shown and "/x/<i>.wav: empty" in shown
    for fold in estimate["folds"]:
        assert f"{fold['fold']} {fold['n']} {fold['accuracy'] * 100:.0f} %" in shown


def test_the_page_says_what_calibration_error_exactly_right_scores_would_show():
    summary, contents = made()
    assert "With few clips, it is above 0" in words(page(summary, contents))  # of 0.1
    summary["estimate"] |= {"ece_expected": 0.0814, "ece_debiased": 0.0321}
    shown = words(page(summary, contents))
    assert "On 120 clips, perfectly calibrated scores would show 0.081 on average." in shown
    assert "Without this bias, the ECE is 0.032." in shown and "With few clips" not in shown


def test_an_evaluation_has_a_page_without_the_parts_of_a_training():
    summary, contents = made()
    evaluated = {**summary["estimate"], "model": "/m/x.earmark", "skipped": [], "folds": []}
    names = ("candidates", "baselines", "learning_curve", "findings", "fine_tuning")
    shown = page(evaluated, replace(contents, **dict.fromkeys(names)))
    assert "The predictions of the classifier /m/x.earmark for 120 clips" in words(shown)
    ids = [element.attrib["id"] for element in parse(shown).iter() if "id" in element.attrib]
    assert ids == ["done", "estimate", "confusions", "classes", "scores", "map", "worst", "repeat"]


def test_the_page_of_a_frozen_classifier_says_what_fine_tuning_did_not_give():
    summary, contents = made()
    declined = {"use": "frozen", "folds": [{"use": "frozen"}] * 3, "fine_tuned": 0.81}
    contents = replace(contents, fine_tuning={**contents.fine_tuning, **declined})
    shown = words(page(summary, contents))
    assert "whose weights were not changed" in shown and "The frozen network is saved." in shown
    assert (
        "It was fine-tuned in none of 3 folds, because it gained nothing in any rehearsal." in shown
    )


def test_the_matrix_on_the_page_is_that_of_the_answers():
    summary, contents = made()
    matrix = parse(page(summary, contents)).find(".//table[@class='matrix few']/tbody")
    cells = [[int(cell.text or 0) for cell in row.findall("td")] for row in matrix]
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (contents.truth, contents.scores.argmax(1)), 1)
    assert cells == counts.tolist()


def test_class_figures_on_the_page_agree_with_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    summary, contents = made()
    scores = precision_recall_fscore_support(contents.truth, contents.answers)
    rows = parse(page(summary, contents)).findall(".//section[@id='classes']//tbody/tr")
    cells = [[cell.text for cell in row.findall("td")] for row in rows]
    precision, recall, f1, clips = ([values[k] for k in np.argsort(scores[2])] for values in scores)
    for row, n, *rates in zip(cells, clips, recall, precision, f1, strict=True):
        assert row == [str(n), *(f"{value:.2f}" for value in rates)]


def test_a_class_never_asked_and_one_never_answered_have_no_invented_figures():
    _, contents = made()
    truth, answer = np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 0, 1, 0, 0])
    contents = replace(contents, truth=truth, scores=np.eye(3)[answer])
    estimate = {"classes": metrics.per_class(np.eye(3)[truth], np.eye(3)[answer], contents.labels)}
    rows = {row["label"]: row for row in answers.classes(estimate, contents)["rows"]}
    assert (rows["dog"]["recall"], rows["dog"]["precision"]) == (None, 0.0)
    assert (rows["owl"]["recall"], rows["owl"]["precision"]) == (0.0, None)
    assert rows["owl"]["confused"] == ("cat", 2) and rows["dog"]["confused"] is None
    assert list(rows) == ["owl", "cat", "dog"]  # a class without clips is last
    counts = figures.confusion(truth, answer, 3)
    assert figures.pairs(counts, 5) == [(2, 0, 2), (0, 1, 1)]


@given(st.integers(0, 1_000), st.integers(1, 60), st.integers(2, 5))
def test_the_bins_of_the_diagram_give_the_error_of_the_summary(seed, n, classes):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(classes, 0.3), n)
    truth = rng.integers(0, classes, n)
    bins = figures.reliability(scores, truth)
    gaps = [abs(b.confidence - b.accuracy) * b.n_clips for b in bins if b.n_clips]
    assert sum(b.n_clips for b in bins) == n
    assert sum(gaps) / n == pytest.approx(
        metrics.calibration_error(scores, np.eye(scores.shape[1])[truth])
    )
    assert all(b.low - 1e-9 <= b.confidence <= b.high + 1e-9 for b in bins if b.n_clips)


def test_the_worst_clip_is_the_surest_wrong_one():
    scores = np.array([[0.6, 0.4], [0.1, 0.9], [0.95, 0.05], [0.3, 0.7], [0.2, 0.8]])
    assert figures.worst(scores, np.array([1, 0, 0, 0, 1]), 2).tolist() == [1, 3]


@pytest.mark.parametrize("classes", [2, 11, 50])
def test_hostile_names_stay_text_and_the_page_needs_nothing_else(classes):
    labels = (HOSTILE + tuple(f"class_{k}" for k in range(50)))[:classes]
    summary, contents = made(labels, n=classes * 6)
    shown = page(summary, contents)
    tree = parse(shown)  # raises if any name broke out of its place
    shown.encode()  # raises for halves of surrogate pairs
    assert {element.tag for element in tree.iter()}.isdisjoint({"script", "link", "img", "iframe"})
    for element in tree.iter():
        for key, value in element.attrib.items():
            assert key not in ("src", "href") or value.startswith(("#", "data:")), value
            assert not key.startswith("on")
    assert "url(" not in shown and "@import" not in shown
    assert "\u202e" not in shown and "\x00" not in shown
    assert "<script>alert(1)" in words(shown)
    row_heads = tree.findall(".//table[@class='classes']/tbody/tr/th") or tree.findall(
        ".//table[@class='classes short']/tbody/tr/th"
    )
    assert len(row_heads) == classes


def test_whatever_is_a_string_is_escaped():
    """Not the names of classes alone: each string of the summary and the contents."""
    keys = {"use", "severity"}  # words of ours, which choose what is shown

    def hostile(value, key=""):
        if isinstance(value, dict):
            return {name: hostile(item, name) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(hostile(item) for item in value)
        return f"</p><i x=\"'&\x07{value}" if isinstance(value, str) and key not in keys else value

    summary, contents = made()
    fields = ("command", "labels", "candidates", "baselines", "findings", "fine_tuning", "source")
    parts = {name: hostile(getattr(contents, name)) for name in fields}
    shown = page(hostile(summary), replace(contents, **parts))
    tree = parse(shown)
    assert not list(tree.iter("i")) and "\x07" not in shown
    for name in ("/data/meta.csv", "earmark train", "4 given folds", "keep <one>", "conv5", "f0"):
        assert f"</p><i x=\"'&\ufffd{name}" in words(shown), name


def test_ids_are_unique_and_every_link_leads_to_one():
    tree = parse(page(*made()))
    ids = [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
    links = [a.attrib["href"][1:] for a in tree.iter("a")]
    assert len(set(ids)) == len(ids) and links == ids


def test_images_have_words_and_tables_have_captions_or_heads():
    tree = parse(page(*made()))
    images = [i for i in tree.iter() if i.tag.endswith("svg")]
    assert all(i.get("aria-hidden") == "true" or len(i.get("aria-label")) > 10 for i in images)
    assert len([i for i in images if i.get("role") == "img"]) == 6
    for table in tree.iter("table"):
        assert table.find("caption") is not None or table.get("class").startswith("facts")
        assert all(th.get("scope") for th in table.iter("th"))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("nothing", [None, []])
def test_a_section_is_absent_without_its_contents(part, nothing):
    summary, contents = made()
    assert f'id="{PARTS[part]}"' in page(summary, contents)
    if part != "map_xy" or nothing is None:
        assert f'id="{PARTS[part]}"' not in page(summary, replace(contents, **{part: nothing}))


def of_several(n=60, seed=0):
    """Return a summary and contents of clips with any of three classes, or none."""
    summary, contents = made(n=n, seed=seed)
    rng = np.random.default_rng(seed)
    onehot = (rng.random((n, 3)) < 0.4).astype(float)
    scores = np.clip(0.3 * onehot + rng.random((n, 3)) * 0.7, 0.001, 0.999)
    chosen, labels = scores >= 0.4, contents.labels
    estimate = summary["estimate"] | {"classes": metrics.per_class(onehot, chosen, labels)}
    estimate |= {"map": 0.9, "ece": metrics.calibration_error(scores, onehot, is_single=False)}
    several = SeveralClasses(onehot, chosen, np.array([0.123, 0.456, 0.789]))
    truth = np.where(onehot.any(1), onehot.argmax(1), -1)
    parts = {"truth": truth, "scores": scores, "several": several, "map_xy": None}
    return summary | {"estimate": estimate}, replace(contents, **parts)


def test_the_page_of_several_classes_a_clip_says_what_is_missed_and_what_is_false():
    summary, contents = of_several()
    shown = page(summary, contents)
    several = contents.several
    has, text_of = several.onehot > 0, words(shown)
    sections = {part.get("id"): part for part in parse(shown).iter("section")}
    assert {"each", "sigmoids", "missed", "false", "estimate"} <= set(sections)
    assert not {"confusions", "classes", "scores", "map", "worst"} & set(sections)
    rows = {
        "".join(row[0].itertext()).replace("\n", ""): [cell.text for cell in row[1:]]
        for row in sections["each"].iter("tr")
    }
    for k, row in enumerate(summary["estimate"]["classes"]):
        missed, false = (has & ~several.chosen)[:, k], (~has & several.chosen)[:, k]
        errors = f": {missed.sum()} missed, {false.sum()} false"
        name = f"{contents.labels[k]}threshold {several.thresholds[k]:.2f}{errors}"
        figures_of_it = [f"{row[x]:.2f}" for x in ("recall", "precision", "f1")]
        assert rows[name] == [str(int(has[:, k].sum())), *figures_of_it]
    assert "always guessing one class" not in text_of
    none = ~has.any(1)
    assert f"{none.sum()} clips have no class in the label" in text_of
    assert f"For {(~several.chosen[none].any(1)).sum()} of them, no class was predicted" in text_of
    exact = (has == several.chosen).all(1).mean()
    assert f"{exact:.0%}".replace("%", " %") + " of 60 clips, the predicted classes are" in text_of
    lowest = np.where(has & ~several.chosen, contents.scores, 1).min(1).argmin()
    first = next(sections["missed"].iter("li"))
    assert "missed (" in words(ElementTree.tostring(first, "unicode"))
    assert f"{lowest}.wav" in words(ElementTree.tostring(first, "unicode"))
    assert len(list(sections["false"].iter("li"))) == min(12, int((~has & several.chosen).sum()))
    right = replace(several, chosen=has)
    left = page(summary, replace(contents, several=right))
    assert 'id="missed"' not in left and 'id="false"' not in left


def test_the_page_speaks_of_unknown_answers_where_a_classifier_gives_some():
    summary, contents = made()
    assert 'id="unknown"' not in page(summary, contents)
    threshold = {"rate": 0.05, "below": 0.2, "accepted": 0.031, "answered": 0.88}
    summary["estimate"]["unknown"] = threshold
    shown = words(page(summary, contents))
    assert "3.1 % are given a known class; 5.0 % were allowed" in shown
    assert "88.0 % are given a class, and the others" in shown
    del summary["estimate"]["unknown"]
    unknown = np.zeros(120, bool)
    unknown[[3, 50]] = True
    body = page(summary, replace(contents, unknown=unknown))
    right = int((contents.answers == contents.truth)[unknown].sum())
    assert f'2 of 120 clips are predicted "unknown". For {right} of them' in words(body)
    section = next(part for part in parse(body).iter("section") if part.get("id") == "unknown")
    assert len(list(section.iter("li"))) == 2
    assert 'are predicted "unknown"' in words(
        page(summary, replace(contents, unknown=~unknown & 0))
    )


def test_without_errors_warnings_or_baselines_those_parts_are_absent():
    summary, contents = made()
    sure = np.eye(3)[contents.truth]
    summary |= {"warnings": [], "skipped": []}
    shown = page(summary, replace(contents, scores=sure, baselines=None))
    assert 'id="worst"' not in shown and 'id="warnings"' not in shown
    assert "No clip was misclassified." in shown
    assert "points over" not in shown and "always guessing one class" in shown


def test_a_finding_is_not_told_again_as_a_warning():
    summary, contents = made()
    summary["warnings"].append("rare class: owl has 3 clips")
    findings = [{"kind": "rare class", "text": "owl has 3 clips"}]
    shown = words(page(summary, replace(contents, findings=findings)))
    assert shown.count("owl has 3 clips") == 1 and "1 warning" in shown


def test_the_layer_set_that_was_kept_stands_out():
    tree = parse(page(*made()))
    chosen = tree.findall(".//tr[@class='chosen']")
    assert [row[0].text for row in chosen] == ["conv5"]


# Players


def test_players_hold_the_clip_and_are_bounded(tmp_path):
    t = np.arange(3 * 44_100) / 44_100
    soundfile.write(tmp_path / "long.wav", 0.5 * np.sin(2 * np.pi * 440 * np.tile(t, 4)), 44_100)
    soundfile.write(tmp_path / "short.wav", 0.1 * np.ones(800), 8_000)
    clips = [
        Clip(tmp_path / "long.wav"),
        Clip(tmp_path / "long.wav", start=1.0, end=2.5),
        Clip(tmp_path / "short.wav"),
    ]
    heard = [sound(player) for player in players.players(clips, AS_IT_IS)]
    seconds = [len(x) / players.RATE_HZ for x in heard]
    assert seconds == pytest.approx([5.0, 1.5, 0.1], abs=0.15)  # MP3 pads to frames of 36 ms
    tone = np.abs(np.fft.rfft(heard[1]))
    assert tone.argmax() / seconds[1] == pytest.approx(440, abs=1)
    few = players.players(clips * 4, AS_IT_IS, most_bytes=60_000)
    assert 0 < sum(len(p.uri or "") for p in few) <= 60_000
    assert any("too large" in p.reason for p in few)


def test_no_more_is_decoded_than_is_played(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "hour.wav", np.zeros(80 * 8_000), 8_000)
    read, lengths = audio.read, []

    def counted(*arguments):
        found = read(*arguments)
        lengths.append(len(found.samples) / found.rate_hz)
        return found

    monkeypatch.setattr(audio, "read", counted)
    clips = [Clip(tmp_path / "hour.wav"), Clip(tmp_path / "hour.wav", start=10, end=70)]
    players.players(clips, AS_IT_IS)
    assert lengths == [5.0, 5.0]


def sound(player):
    """Decode what a player holds."""
    x, rate = soundfile.read(io.BytesIO(base64.b64decode(player.uri.partition("base64,")[2])))
    assert x.ndim == 1 and rate == players.RATE_HZ
    return x


def test_without_mp3_the_players_are_flac(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(800), 8_000)
    monkeypatch.setattr(players, "_has_mp3", lambda: False)
    (player,) = players.players([Clip(tmp_path / "a.wav")], AS_IT_IS)
    assert player.uri.startswith("data:audio/flac;base64,ZkxhQ")  # fLaC


def test_a_page_of_real_errors_is_small_and_says_which_clip_is_gone():
    folder = shared_data("esc10")
    summary, contents = made(n=60)
    real = sorted((folder / "rain").glob("*.ogg"))
    worst = figures.worst(contents.scores, contents.truth, 20)
    paths = {n: real[k] if k else Path("/gone.wav") for k, n in enumerate(worst)}
    clips = [replace(c, path=paths.get(n, real[0])) for n, c in enumerate(contents.clips)]
    shown = page(summary, replace(contents, clips=tuple(clips)))
    assert shown.count("<audio") == min(12, len(worst)) - 1
    assert shown.count("can no longer be read") == 1
    assert len(shown) < players.MOST_BYTES


# Map, plots, palette, text


def test_the_map_keeps_neighbours_together_and_is_the_same_again():
    rng = np.random.default_rng(0)
    group = np.arange(60) % 3
    x = 8 * np.eye(3)[group] @ rng.normal(size=(3, 40)) + rng.normal(size=(60, 40))
    xy = maps.project(x, seed=1)
    away = ((xy[:, None] - xy) ** 2).sum(2) + np.diag(np.full(60, np.inf))
    assert (group[away.argmin(1)] == group).mean() > 0.95
    assert np.array_equal(xy, maps.project(x, seed=1))


def test_the_components_of_many_clips_are_those_of_the_svd(monkeypatch):
    monkeypatch.setattr(maps, "MOST_TSNE", 10)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)) * (9, 5, 1, 1, 1, 1) + 3
    x[:, 1] += x[:, 0]
    scaled = (x - x.mean(0)) / x.std(0)
    u, s, _ = np.linalg.svd(scaled)
    assert np.abs(maps.project(x)) == pytest.approx(np.abs(u[:, :2] * s[:2]), abs=1e-3)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_few_clips_and_dull_features_have_a_map_too(n):
    xy = maps.project(np.ones((n, 3)))
    assert xy.shape == (n, 2) and np.isfinite(xy).all()
    ElementTree.fromstring(plots.scatter("a map", xy, np.zeros(n, int), np.ones(n, bool), ["a"]))


def test_no_name_on_the_map_covers_another():
    wide = np.full(9, 30.0)
    places = plots._apart(np.random.default_rng(0).uniform(0, 40, (9, 2)), wide)
    for n, a in enumerate(places):
        for b in places[:n]:
            assert abs(a[0] - b[0]) >= 30 or abs(a[1] - b[1]) >= 11 - 1e-9


@given(st.floats(0, 1), st.floats(0, 1))
@example(1.0, 0.9999999999999999)
def test_ticks_are_round_and_hold_the_values(a, b):
    low, high = min(a, b), max(a, b)
    ticks = plots._ticks(low, high)
    assert ticks[0] <= low + 1e-9 and ticks[-1] >= high - 1e-9 and 2 <= len(ticks) <= 8
    assert ticks[0] >= 0 and ticks[-1] <= 1 + 0.02


def test_class_colours_are_seen_on_paper_and_on_screen():
    """3:1 is what WCAG 2.1 asks of graphics (1.4.11)."""
    for colours, ground in ((palette.LIGHT, "#ffffff"), (palette.DARK, "#14171b")):
        assert len(set(colours)) == 9
        assert min(contrast(colour, ground) for colour in colours) >= 3


def test_no_two_of_72_classes_look_alike_and_the_page_colours_each():
    looks = [palette.look(k) for k in range(72)]
    assert len(set(looks)) == 72
    style = parse(page(*made())).find(".//style").text
    light, dark = style.split("@media screen and (prefers-color-scheme: dark)")[-2:]
    for k, (name, _) in enumerate(looks):
        assert f".{name} {{ fill: {palette.LIGHT[k % 9]}; }}" in light
        assert f".{name} {{ fill: {palette.DARK[k % 9]}; }}" in dark


def test_text_is_readable_in_both_themes():
    """4.5:1 is what WCAG 2.1 asks of text (1.4.3)."""
    style = (Path(plots.__file__).parent / "style.css").read_text()
    for theme in re.findall(r":root \{(.*?)\}", style, re.S):
        found = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        for ink in ("ink", "soft", "main", "bad"):
            assert contrast(found[ink], found["paper"]) >= 4.5, ink
        for ink in ("ink", "soft"):
            assert contrast(found[ink], found["raised"]) >= 4.5, ink
        deepest = float(re.search(r"--deepest: ([.\d]+)", theme)[1])
        for shade in re.findall(r"--(?:heat|miss): (\d+), (\d+), (\d+)", theme):
            ground = [int(found["raised"][i : i + 2], 16) for i in (1, 3, 5)]
            mixed = [
                deepest * int(c) + (1 - deepest) * g for c, g in zip(shade, ground, strict=True)
            ]
            on = "#" + "".join(f"{round(c):02x}" for c in mixed)
            assert contrast(found["ink"], on) >= 4.5, shade


def contrast(one, other):
    """Return the contrast ratio of two '#rrggbb' (WCAG 2.1)."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@given(st.text(max_size=80))
def test_any_text_survives_as_an_element(anything):
    name = rendering._environment().get_template("macros.html.j2").module.name
    tree = ElementTree.fromstring(name(anything))
    assert "".join(tree.itertext()).replace("\ufffd", "") in ("", *_shown(anything))


def _shown(anything):
    return (text.short(anything, 40).replace("\ufffd", ""),)


def test_numbers_have_sensible_digits():
    assert text.percent(0.9125, 400) == f"91.2{text.SPACE}%"
    assert text.percent(6 / 7, 7) == f"86{text.SPACE}%"
    assert [text.score(v) for v in (0.0, 0.004, 0.5, 0.996)] == ["<0.01", "<0.01", "0.50", ">0.99"]
    assert text.amount(1, "class") == "1 class" and text.amount(3000, "clip") == "3,000 clips"


# Where it comes from


def test_a_training_leaves_its_contents_behind(tones):
    (tones / "high" / "same.wav").write_bytes((tones / "low" / "1.wav").read_bytes())
    dataset = Dataset.read(tones)
    with Store() as store:
        training = train(dataset, backbone="logmel", store=store)
        contents = contents_of_training(training, dataset, "earmark train x", store)
        assert contents_of_training(training, dataset, "earmark train x").map_xy is None
        (tones / "low" / "0.wav").rename(tones / "low" / "gone.wav")
        assert contents_of_training(training, dataset, "earmark train x", store).map_xy is None
    assert contents.map_xy.shape == (13, 2) and contents.scores.shape == (13, 2)
    (kept,) = [c for c in contents.candidates if c["chosen"]]
    made_by = training.classifier
    assert (kept["head"], kept["layers"]) == (made_by.head.kind, made_by.provenance["layers"])
    assert contents.findings[0]["kind"] == "label conflict"
    lines = [f"{finding['kind']}: {finding['text']}" for finding in contents.findings]
    assert lines == [finding.line() for finding in training.findings]


# Files


def test_the_plain_files_are_as_before_and_the_page_comes_with_contents(tmp_path):
    summary, contents = made()
    rows = [("a.wav", "cat", "dog"), ("b.wav", "cat", "cat"), ("c \udcff.wav", "dog", "dog")]
    write_report(tmp_path / "plain", summary, rows)
    assert sorted(p.name for p in (tmp_path / "plain").iterdir()) == [
        "answers.csv", "confusion.csv", "summary.json",
    ]  # fmt: skip
    assert (tmp_path / "plain" / "confusion.csv").read_text() == "label,cat,dog\ncat,1,1\ndog,0,1\n"
    assert json.loads((tmp_path / "plain" / "summary.json").read_text()) == summary
    write_report(tmp_path / "page", summary, rows, contents)
    shown = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert shown == page(summary, contents)


def test_the_template_engine_is_imported_when_a_page_is_made():
    code = "import sys, earmark.report; print('jinja2' in sys.modules)"  # in a fresh process
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr


def test_many_classes_have_a_page_of_bounded_size(tmp_path):
    """No matrix of cells, folded tables, a map without names; all confusions in a table beside."""
    labels = [f"species {k:03d}" for k in range(300)]
    summary, contents = made(labels, n=3_000)
    summary["estimate"]["folds"] = [{"fold": f"s{k}", "accuracy": 0.5, "n": 30} for k in range(100)]
    rows = np.arange(0, 3_000, 2)
    contents = replace(contents, map_xy=contents.map_xy[rows], map_rows=rows)
    shown = page(summary, contents)
    tree = parse(shown)
    assert len(shown) < 600_000 and tree.find(".//table[@class='matrix']") is None
    sections = {part.get("id"): part for part in tree.iter("section")}
    wrong = int((contents.truth != contents.answers).sum())
    text_of = words(shown)
    assert f"{wrong:,} clips were misclassified, in" in text_of
    assert "the 30 most frequent are listed" in text_of
    assert len(sections["confusions"].findall(".//tbody/tr")) == 30
    first, folded = sections["classes"].iter("tbody")
    assert (len(first), len(folded)) == (30, 270)
    names = [row.find("th").find("bdi").text for row in (*first, *folded)]
    assert len(set(names)) == len(names)
    assert "the first 30 of 300" in text_of and "270 more" in text_of
    assert [len(body) for body in sections["estimate"].iter("tbody")] == [30, 70]
    marks = sections["map"]
    assert len(marks.findall(".//details/ul/li")) == 300
    assert not [e for e in marks.iter() if "centre" in e.get("class", "")]
    assert "1,500 of 3,000 clips are drawn" in text_of
    d = "".join(e.get("d") for e in marks.iter() if e.get("class", "").startswith("mark k"))
    assert d.count("M") >= 1_500


def test_a_map_of_many_clips_is_one_of_a_sample(monkeypatch):
    assert maps.sample(5_000).tolist() == list(range(5_000))
    rows = maps.sample(5_001, seed=3)
    assert len(set(rows.tolist())) == 2_500 and (np.diff(rows) > 0).all()
    assert (rows == maps.sample(5_001, seed=3)).all() and rows.max() < 5_001


def test_confusions_of_too_many_labels_are_pairs(tmp_path, monkeypatch):
    rows = [(f"{k}.wav", f"a;{k % 6}", f"b;{k % 3}") for k in range(12)]
    monkeypatch.setattr(report_files, "MOST_LABELS", 8)
    monkeypatch.setattr(report_files, "ROWS", 5)
    write_report(tmp_path, {}, rows)
    lines = (tmp_path / "confusion.csv").read_text().splitlines()
    assert lines[:3] == ["label,answer,clips", "a;0,b;0,2", "a;1,b;1,2"] and len(lines) == 7
    lines = (tmp_path / "answers.csv").read_text().splitlines()
    assert lines == ["path,label,answer", *(",".join(row) for row in rows)]
