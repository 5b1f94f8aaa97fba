"""Classifiers of two versions of one backbone answer side by side."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earmark
from earmark.backbones import registry
from earmark.backbones.base import frame_weights, layer_stats
from earmark.backbones.info import BackboneInfo, Layer
from earmark.classifier.classifier import Classifier
from earmark.classifier.session import Session
from earmark.embeddings.store import Store
from earmark.errors import ModelError

pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")

OLD = Path(__file__).parents[1] / "fixtures" / "0.1" / "single.earmark"


def versions_in(store: Store) -> list[int]:
    return [int(fingerprint.split("/")[1]) for fingerprint, _, _ in store.summary()]


def with_fingerprint(classifier: Classifier, fingerprint: str) -> Classifier:
    (use,) = classifier.backbones
    return replace(classifier, backbones=(replace(use, fingerprint=fingerprint),))


def test_one_store_serves_classifiers_of_both_versions(tones):
    paths = sorted(tones.rglob("*.wav"))
    with Store() as store:
        new = earmark.train(tones, backbone="speech-embedding", compare=False, store=store)
        assert versions_in(store) == [2]
        old = Classifier.load(OLD)
        alone = [c.predict_proba(paths) for c in (old, new.classifier)]
        for _ in range(2):  # computed, then stored
            for classifier, scores in zip((old, new.classifier), alone, strict=True):
                with Session(classifier, store) as session:
                    np.testing.assert_allclose(session.predict_proba(paths), scores, atol=1e-5)
            assert versions_in(store) == [1, 2]


def test_a_trained_classifier_keeps_its_version(tones, tmp_path):
    new = earmark.train(tones, backbone="speech-embedding", compare=False).classifier
    new.save(tmp_path / "new.earmark")
    assert [n.info.version for n in Classifier.load(tmp_path / "new.earmark").networks()] == [2]
    assert [n.info.version for n in Classifier.load(OLD).networks()] == [1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("/1/", "/3/"), "no version 3 here, only 1 and 2. Use one of these"),
        (
            ("/1/", "/one/"),
            "which is not NAME/VERSION/WEIGHTS/PRECISION. Get the original file again",
        ),
        (("/1/", "/"), "which is not NAME/VERSION/WEIGHTS/PRECISION. Get the original file again"),
    ],
)
def test_an_unknown_version_is_refused(change, words, tones):
    old = Classifier.load(OLD)
    odd = with_fingerprint(old, old.backbones[0].fingerprint.replace(*change))
    with pytest.raises(ModelError, match=words):
        odd.predict(tones / "low" / "0.wav")


class Levels(earmark.backbones.Backbone):
    """A network of another package: the level of each 10 ms, in version 2 in decibels."""

    def forward(self, windows, valid, layers=None):
        power = windows.unfold(1, 80, 80).square().mean(2) + 1e-9  # (B, T)
        x = power if self.info.version == 1 else 10 * power.log10()
        weight = frame_weights(x.shape[1], 0, 80, valid)
        return {"level": layer_stats(x[:, None, :, None], weight)}


@pytest.mark.slow
def test_a_network_of_another_package_has_its_own_versions(tones, monkeypatch):
    first = BackboneInfo("levels", "x", 8_000, 8_000, 8_000, (Layer("level", 1),), 0, "x", "x")
    second = replace(first, version=2, earlier=(1,))
    monkeypatch.setitem(registry._registry, "levels", (first, Levels))
    old = earmark.train(tones, backbone="levels", compare=False).classifier
    before = old.predict_proba(tones)
    monkeypatch.setitem(registry._registry, "levels", (second, Levels))
    new = earmark.train(tones, backbone="levels", compare=False).classifier
    assert (old.backbones[0].fingerprint, new.backbones[0].fingerprint) == (
        "levels/1/none/float32",
        "levels/2/none/float32",
    )
    np.testing.assert_array_equal(old.session().predict_proba(tones), before)
    monkeypatch.setitem(registry._registry, "levels", (replace(second, earlier=()), Levels))
    with pytest.raises(ModelError, match="no version 1 here, only 2. Use one of these"):
        old.session()
