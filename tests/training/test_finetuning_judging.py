"""Frozen or fine-tuned: the decision itself, on logits whose gain is known."""

from dataclasses import replace

import numpy as np
import pytest

from earmark.classifier.calibration import fit_temperature, sigmoid, softmax
from earmark.classifier.targets import Targets
from earmark.training.finetuning import judging
from earmark.training.finetuning.judging import better, losses, validation_loss


def logits_of(truth: np.ndarray, margin: float, noise: np.ndarray) -> np.ndarray:
    return (margin * np.eye(noise.shape[1])[truth] + noise).astype(np.float32)


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    return truth, Targets.single(truth, 3), rng.normal(size=(200, 3))


def test_a_clear_gain_is_a_gain_and_a_loss_is_none(clips):
    truth, targets, noise = clips
    first, best = logits_of(truth, 1.0, noise), logits_of(truth, 2.0, noise)
    assert better(first, best, targets) is True
    assert better(best, first, targets) is False
    assert better(first, first, targets) is False  # no difference is no gain


def test_a_gain_within_two_standard_errors_is_chance(clips):
    truth, targets, noise = clips
    assert judging.SURE == 2
    other = np.random.default_rng(1).normal(size=noise.shape)
    first = logits_of(truth, 1.0, noise)
    outcomes = []
    for share in np.linspace(0.0, 1.5, 31):
        best = logits_of(truth, 1.0 + share, 0.7 * noise + 0.7 * other)
        gain = losses(first, targets).astype(float) - losses(best, targets)
        ratio = gain.mean() / (gain.std() / np.sqrt(200))
        has_fewer_errors = (best.argmax(1) == truth).mean() >= (first.argmax(1) == truth).mean()
        outcomes.append((ratio, better(first, best, targets)))
        assert outcomes[-1][1] == (ratio > 2 and has_fewer_errors)
    between = [answer for ratio, answer in outcomes if 0.3 < ratio < 2]
    assert between and not any(between)
    assert any(answer for ratio, answer in outcomes if 2 < ratio < 4)


def test_less_loss_with_more_errors_is_no_gain():
    """Sure of all but a few clips, and these now wrong: not what somebody wants to deploy."""
    truth = np.zeros(100, int)
    targets = Targets.single(truth, 2)
    first, best = np.zeros((2, 100, 2), np.float32)
    first[:, 0] = np.where(np.arange(100) % 3, 0.1, 0.02)
    first[:20, 0] = -0.02
    best[:, 0] = 3.0
    best[:20, 0] = -0.02
    assert better(first, best, targets)
    best[20, 0] = -0.02  # one error more
    gain = losses(first, targets) - losses(best, targets)
    assert gain.mean() > 2 * gain.std() / 10
    assert not better(first, best, targets)


def test_the_loss_is_that_of_calibrated_scores(clips):
    truth, targets, noise = clips
    logits = logits_of(truth, 1.5, noise)
    scores = softmax(logits / fit_temperature(logits, truth, np.ones(200)))
    expected = -np.log(scores[np.arange(200), truth])
    np.testing.assert_allclose(losses(logits, targets), expected, rtol=1e-3, atol=1e-4)
    assert validation_loss(logits, targets) == pytest.approx(expected.mean(), rel=1e-3)
    weighted = replace(targets, weights=np.where(truth == 0, 10.0, 0.1))
    assert validation_loss(logits, weighted) == pytest.approx(expected.mean(), rel=1e-3)


def test_of_clips_with_several_classes_it_is_the_squared_error():
    rng = np.random.default_rng(0)
    onehot = rng.random((150, 3)) < 0.4
    true = rng.normal(size=(150, 3)) + 3.0 * onehot - 1.5
    targets = Targets.several(onehot)
    found = losses(true.astype(np.float32), targets)
    assert found.shape == (150,)
    grid = [
        np.square(sigmoid(slope * true + offset) - onehot).mean(1)
        for slope in np.linspace(0.5, 4, 36)
        for offset in np.linspace(-2, 2, 41)
    ]
    least = min(grid, key=np.mean)
    assert found.mean() == pytest.approx(least.mean(), rel=0.03)
    assert better(rng.normal(size=(150, 3)).astype(np.float32), true.astype(np.float32), targets)
    assert not better(true.astype(np.float32), rng.normal(size=(150, 3)), targets)
