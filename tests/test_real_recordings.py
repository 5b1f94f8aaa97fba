"""The figures that the README shows, on real recordings; skipped where those are absent."""

import pytest

import earmark
from earmark.dataset import Dataset
from shared_data import shared_data

pytest.importorskip("pyopen_wakeword")


def test_esc10_with_the_embedded_default_over_the_official_folds():
    dataset = Dataset.read(shared_data("esc10") / "meta.csv", fold="fold")
    training = earmark.train(dataset, backbone="speech-embedding")
    estimate = training.classifier.estimate
    assert estimate["scheme"] == "5 given folds" and not training.skipped
    assert estimate["accuracy"] >= 0.92
    without = {b["name"]: b["accuracy"] for b in estimate["baselines"]}
    assert 0.75 < without["log-mel statistics"] < 0.85 and without["random weights"] < 0.9
    assert estimate["ece"] < 0.08


def test_digits_with_the_embedded_default_leaving_a_speaker_out():
    dataset = Dataset.read(shared_data("fsdd") / "meta.csv", group="speaker")
    estimate = earmark.train(
        dataset, backbone="speech-embedding", compare=False
    ).classifier.estimate
    assert estimate["scheme"] == "leave one of 6 groups out"
    assert estimate["accuracy"] >= 0.965
