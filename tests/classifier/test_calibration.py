"""Calibrated scores, thresholds and sets of answers: they are right as often as they say."""

import numpy as np
import pytest

from earmark.classifier import calibration
from earmark.classifier.calibration import Calibration, fit_temperature, log_loss, softmax
from earmark.classifier.decision import DecisionRule, best_thresholds
from earmark.classifier.targets import Targets


def test_temperature_is_recovered():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4_000, 3))
    truth = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    for factor in (0.02, 2.5):
        found = fit_temperature(logits * factor, truth, np.ones(4_000))
        assert found == pytest.approx(factor, rel=0.1)


def test_the_log_loss_is_that_of_the_best_temperature():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    of = np.eye(3)[truth]
    sets = np.stack([of + rng.normal(0, s, of.shape) for s in (0.4, 2.0)])
    found = log_loss(sets, truth, np.ones(200)).mean(1)
    for logits, loss in zip(sets, found, strict=True):
        grid = [
            -np.log((softmax(logits / t) * of).sum(1)).mean() for t in np.geomspace(0.02, 20, 400)
        ]
        assert loss == pytest.approx(min(grid), rel=0.02)  # it is made softer, by one clip


def test_sigmoid_scores_are_calibrated():
    """Of clips with several classes: outputs that need a slope and an offset get both."""
    rng = np.random.default_rng(0)
    true = rng.uniform(-3, 3, (3_000, 4))
    of = (rng.random(true.shape) < 1 / (1 + np.exp(-true))).astype(float)
    targets = Targets.several(of)
    fitted = Calibration.fit(0.2 * true + 0.7, targets)
    assert (fitted.temperature, fitted.offset) == pytest.approx((0.2, 0.7), rel=0.1)


def test_thresholds_have_the_best_f1():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    of = (rng.random((200, 3)) < [0.5, 0.1, 0.02]).astype(int)
    scores = np.round(np.clip(of * 0.3 + rng.random(of.shape) * 0.7, 0, 1), 2)  # with ties
    for k, threshold in enumerate(best_thresholds(scores, of)):
        best = max(f1_score(of[:, k], scores[:, k] >= t) for t in np.unique(scores[:, k]))
        assert f1_score(of[:, k], scores[:, k] >= threshold) == pytest.approx(best)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_sets_cover_what_they_promise(coverage):
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        logits = rng.normal(0, 2, (300, 5))
        of = np.eye(5)[[rng.choice(5, p=p) for p in softmax(logits)]]
        scores = softmax(logits * 1.7)  # overconfident, which sets make up for
        limits = DecisionRule.fit(scores[:200], of[:200], is_single=True)
        most = limits.most_nonconformity(coverage)
        covered.append((1 - (scores * of).sum(1)[200:] <= most).mean())
    assert np.mean(covered) == pytest.approx(coverage, abs=0.015)


@pytest.mark.parametrize("is_single", [True, False])
def test_fitting_some_clips_at_a_time_changes_nothing(is_single, monkeypatch):
    rng = np.random.default_rng(0)
    onehot = np.eye(5)[rng.integers(0, 5, 300)]
    logits = (rng.normal(size=(300, 5)) + 2 * onehot).astype(np.float32)
    targets = Targets(onehot, rng.uniform(0.5, 2, 300), is_single)
    whole = Calibration.fit(logits, targets)
    monkeypatch.setattr(calibration, "CELLS", 50)
    parts = Calibration.fit(logits, targets)
    assert parts.temperature == pytest.approx(whole.temperature, rel=1e-6)
    assert parts.offset == pytest.approx(whole.offset, rel=1e-6)
