"""Comparison of backbones: paired figures that can be checked by hand, and one command."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from command_line import earmark
from earmark.data.dataset import Dataset
from earmark.errors import EarmarkError
from earmark.training import metrics
from earmark.training.comparison import Entry, compare, recommend


def entry(name, accuracy, seconds, *, difference=0.0, ci=(0.0, 0.0), p=1.0):
    return Entry((name,), accuracy, (0.0, 1.0), difference, ci, p, seconds, None, 1.0)


def test_alone_clips_give_mcnemars_exact_test():
    difference = np.array([1] * 9 + [-1] * 2 + [0] * 50)
    p = metrics.paired_p(difference, np.arange(61), 0)
    assert p == pytest.approx(binomtest(2, 11).pvalue)
    assert metrics.paired_p(-difference, np.arange(61), 0) == p
    many = np.array([1] * 30 + [-1] * 12 + [0] * 50)  # signs are drawn
    assert metrics.paired_p(many, np.arange(92), 0) == pytest.approx(
        binomtest(12, 42).pvalue, abs=0.002
    )


def test_clips_of_one_cluster_count_once():
    difference, cluster = np.ones(60), np.repeat(np.arange(6), 10)
    assert metrics.paired_p(difference, cluster, 0) == 2 / 2**6
    assert metrics.paired_p(difference, np.zeros(60), 0) == 1


def test_equals_differ_by_nothing_but_not_for_certain():
    nothing = np.zeros(40)
    assert metrics.paired_p(nothing, np.arange(40), 0) == 1
    low, high = metrics.difference_interval(nothing, np.arange(40), 0)
    assert high == -low == pytest.approx(1 - 0.025 ** (1 / 40))


@pytest.mark.parametrize("clusters", [6, 60])
def test_the_interval_of_a_difference_is_about_right(clusters):
    """Over many draws of 60 clips, 95 % of the intervals hold the true difference of 0.1."""
    rng = np.random.default_rng(0)
    cluster = np.arange(60) % clusters
    held = 0
    for _ in range(300):
        difference = rng.choice([-1, 0, 1], 60, p=[0.1, 0.7, 0.2])
        low, high = metrics.difference_interval(difference, cluster, 0)
        held += low <= 0.1 <= high
    assert 0.90 <= held / 300 <= 0.99


def test_the_fastest_that_is_not_worse_is_recommended():
    best = entry("best", 0.95, 100.0)
    near = entry("near", 0.94, 10.0, difference=-0.01, ci=(-0.03, 0.01), p=0.4)
    poor = entry("poor", 0.60, 1.0, difference=-0.35, ci=(-0.4, -0.3), p=0.06)
    name, sentence = recommend([best, near, poor])
    assert name == "near" and "not significantly worse than best (-1.0 points" in sentence
    name, sentence = recommend([best, poor])
    assert name == "best" and "all others are significantly worse" in sentence


def test_one_backbone_is_no_comparison(tones):
    with pytest.raises(EarmarkError, match="got only 'logmel'"):
        compare(Dataset.read(tones), "logmel")


def test_the_command(tones):
    options = ("--json", "--folds", "3", "--backbone", "logmel,speech-embedding")
    done = earmark("compare", tones, *options)
    told = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert [e["backbones"] for e in told["entries"]] == [
        ["logmel"], ["speech-embedding"], ["logmel", "speech-embedding"],
    ]  # fmt: skip
    alone, other, both = told["entries"]
    assert [e["accuracy"] for e in told["entries"]] == [1, 1, 1]
    assert all(e["p"] == 1 and e["difference"] == 0 for e in told["entries"])
    assert both["seconds_per_hour"] == alone["seconds_per_hour"] + other["seconds_per_hour"]
    assert told["recommended"] in ("logmel", "speech-embedding")
    assert told["scheme"] == "3 stratified folds" and told["clips"] == 12
