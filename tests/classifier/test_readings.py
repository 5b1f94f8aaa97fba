"""What heads read: names and variants, exact pooling over bands, one backbone or several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import earmark
from earmark.backbones.info import BackboneInfo, Layer
from earmark.classifier.features import FeatureSpec, compute_features, list_statistics
from earmark.training.candidates import candidates

NET = BackboneInfo(
    "net", "", 16_000, 1, 1, (Layer("a", 3, 2), Layer("b", 3, 2), Layer("c", 5)), 0, "", ""
)
OTHER = BackboneInfo("other", "", 16_000, 1, 1, (Layer("x", 4), Layer("y", 4)), 0, "", "")


def matrix_of(info, rows, seed=0):
    rng = np.random.default_rng(seed)
    return np.hstack(
        [
            part
            for layer in info.layers
            for part in (rng.normal(size=(rows, layer.size)), rng.random((rows, layer.size)))
        ]
    ).astype(np.float32)


def test_every_layer_groups_and_pooling_are_offered():
    names = set(candidates([NET], "auto"))
    assert {"a", "b", "c", "upper", "all", "all, means", "all, means, no bands"} <= names
    assert "c, no bands" not in names  # it has none
    several = candidates([NET, OTHER], "auto")
    assert several["net/a"].layers == (("a",), ())
    assert several["other/all"].layers == ((), ("x", "y"))
    assert several["last"].layers == (("c",), ("y",))
    assert several["all"].layers == (("a", "b", "c"), ("x", "y"))


def test_equal_layers_are_averaged():
    deep = BackboneInfo(
        "deep", "", 16_000, 1, 1, tuple(Layer(f"h{k}", 4) for k in range(3)), 0, "", ""
    )
    mean = candidates([deep], "auto")["mean, means"]
    assert mean == FeatureSpec((("h0", "h1", "h2"),), spread=False, averaged=True)
    matrix = matrix_of(deep, 5)
    found = compute_features([deep], [matrix], [mean])
    raw = matrix.reshape(5, 3, 2, 4)[:, :, 0].mean(1)
    np.testing.assert_allclose(found, np.sign(raw) * np.sqrt(np.abs(raw)), atol=1e-6)


@settings(max_examples=25)
@given(bands=st.integers(2, 4), channels=st.integers(1, 3), seed=st.integers(0, 99))
def test_without_bands_it_is_the_statistics_of_all_frequencies(bands, channels, seed):
    """Mean and deviation of the joined bands are those of all their frames together."""
    frames = np.random.default_rng(seed).normal(2, 1, (channels, bands, 50))
    info = BackboneInfo("n", "", 16_000, 1, 1, (Layer("a", channels, bands),), 0, "", "")
    held = np.concatenate([frames.mean(2).ravel(), frames.std(2).ravel()])[None]
    found = compute_features(
        [info], [held.astype(np.float32)], [FeatureSpec((("a",),), bands=False)]
    )[0]
    whole = frames.reshape(channels, -1)
    expected = np.concatenate([whole.mean(1), whole.std(1)])
    np.testing.assert_allclose(np.sign(found) * found**2, expected, atol=1e-3)


def test_parts_that_are_the_same_are_one():
    """A layer without bands is read alike with and without them, and its kernel computed once."""
    with_bands, without = FeatureSpec((("c",),)), FeatureSpec((("c",),), bands=False)
    assert list_statistics([NET], [with_bands]) == list_statistics([NET], [without])


@pytest.mark.parametrize("layers", ["conv6", "conv2,embedding"])
def test_what_is_predicted_with_is_what_was_trained_with(tones, tmp_path, layers):
    """The features of a saved classifier, from files alone, are those of its training."""
    training = earmark.train(tones, backbone="speech-embedding", layers=layers, compare=False)
    training.classifier.save(tmp_path / "m.earmark")
    loaded = earmark.Classifier.load(tmp_path / "m.earmark")
    rows = np.arange(12)
    table = training.search.table
    read = table.features(training.chosen.specs(table), rows)
    expected = loaded.scores(read)
    for prediction, scores in zip(
        loaded.predict(sorted(tones.rglob("*.wav"))), expected, strict=True
    ):
        told = [prediction.scores[label] for label in loaded.labels]
        np.testing.assert_allclose(told, scores, atol=1e-4)
