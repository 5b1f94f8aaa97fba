"""Calibrated scores, thresholds and sets of answers: they are right as often as they say."""

import numpy as np
import pytest

from earmark.classifier import calibration
from earmark.classifier.calibration import (
    Calibration,
    as_scores,
    fit_temperature,
    log_loss,
    sigmoid,
    softmax,
)
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
    weights = rng.uniform(0.5, 2, 300)
    targets = Targets(onehot.argmax(1) if is_single else onehot > 0, 5, weights)
    assert targets.is_single == is_single
    whole = Calibration.fit(logits, targets)
    monkeypatch.setattr(calibration, "CELLS", 50)
    parts = Calibration.fit(logits, targets)
    assert parts.temperature == pytest.approx(whole.temperature, rel=1e-6)
    assert parts.offset == pytest.approx(whole.offset, rel=1e-6)


def test_scores_by_hand():
    """Softmax and sigmoid of calibrated logits: (z - offset) / temperature."""
    z = np.array([[1.0, 0.0, -1.0], [0.5, 2.5, 0.5]])
    single, several = Calibration(0.5, 0.25), Calibration(0.5, 0.25, is_single=False)
    np.testing.assert_allclose(single.logits(z), (z - 0.25) / 0.5)
    powers = np.exp(z / 0.5)
    np.testing.assert_allclose(single.scores(z), powers / powers.sum(1, keepdims=True))
    np.testing.assert_allclose(several.scores(z), 1 / (1 + np.exp(-(z - 0.25) / 0.5)))
    np.testing.assert_allclose(as_scores(z), softmax(z))
    np.testing.assert_allclose(as_scores(z, is_single=False), 1 / (1 + np.exp(-z)))
    np.testing.assert_allclose(calibration.logsumexp(z), np.log(np.exp(z).sum(1)))
    large = np.array([[1e3, -1e3], [900.0, 899.0]])
    np.testing.assert_allclose(softmax(large), [[1, 0], [1 / (1 + np.exp(-1)), 1 / (1 + np.e)]])
    np.testing.assert_allclose(calibration.logsumexp(large), [1e3, 900 + np.log(1 + np.exp(-1))])
    np.testing.assert_allclose(sigmoid(np.array([-1e3, 0.0, 1e3])), [0, 0.5, 1])


def likeliest(logits, truth, weights, n_clips=None):
    """The temperature of least softened loss, by SciPy."""
    from scipy.optimize import minimize_scalar

    logits = np.maximum(logits - logits.max(1, keepdims=True), -1e3)
    known, n_clips = logits > -1e3, n_clips or len(truth)

    def loss(beta):
        log_scores = logits * beta - np.log(np.exp(logits * beta).sum(1, keepdims=True))
        own = log_scores[np.arange(len(truth)), truth]
        even = np.where(known, log_scores, 0).sum(1) / known.sum(1)
        return np.average(-(n_clips * own + even) / (n_clips + 1), weights=weights)

    found = minimize_scalar(loss, bounds=(1 / 20, 200), method="bounded", options={"xatol": 1e-9})
    return 1 / found.x


@pytest.mark.parametrize("seed", range(8))
def test_the_temperature_is_scipys_minimum(seed):
    rng = np.random.default_rng(seed)
    count, classes = int(rng.integers(5, 200)), int(rng.integers(2, 6))
    truth = rng.integers(0, classes, count)
    logits = 10.0 ** rng.uniform(-1, 1) * (
        rng.normal(size=(count, classes)) + np.eye(classes)[truth]
    )
    weights = rng.uniform(0.2, 3, count)
    n_clips = [None, 3 * count, max(1, count // 3)][seed % 3]
    if seed % 4 == 3:
        logits[::3, 0] = -1e9
        logits[truth == 0, 0] = 0.0
    found = fit_temperature(logits, truth, weights, n_clips)
    assert found == pytest.approx(likeliest(logits, truth, weights, n_clips), rel=2e-3)


@pytest.mark.parametrize(("scale", "temperature"), [(1e-4, 0.005), (1e4, 20.0)])
def test_temperatures_stay_within_their_range(scale, temperature):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    logits = scale * (np.eye(3)[truth] + 0.3 * rng.normal(size=(300, 3)))
    assert fit_temperature(logits, truth, np.ones(300)) == pytest.approx(temperature, rel=1e-5)


def test_few_clips_without_an_error_are_as_sure_as_one_more_clip_allows():
    """Of n clips a logit apart, a share 1 / 2 (n + 1) goes to the other class."""
    for n in (1, 4, 19):
        logits = np.tile([0.1, 0.0], (n, 1))
        found = fit_temperature(logits, np.zeros(n, int), np.ones(n))
        share = 1 / (1 + np.exp(-0.1 / found))
        assert share == pytest.approx((n + 0.5) / (n + 1), abs=1e-4)


def test_the_loss_of_each_clip_is_that_of_its_scores(monkeypatch):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 90)
    sets = rng.normal(0, [[[0.5]], [[3.0]]], (2, 90, 4)) + 2 * np.eye(4)[truth]
    sets[0, 5, truth[5]] = -1e9  # its class was not in training
    weights = rng.uniform(0.5, 2, 90)
    found = log_loss(sets.astype(np.float32), truth, weights)
    assert found.shape == (2, 90) and found.dtype == np.float32
    assert found[0, 5] == calibration.MOST_LOSS == 20
    for logits, losses in zip(sets, found, strict=True):
        scores = softmax(logits / fit_temperature(logits, truth, weights))
        expected = -np.log(scores[np.arange(90), truth].clip(np.exp(-20)))
        np.testing.assert_allclose(losses, expected, rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(calibration, "CELLS", 50)
    np.testing.assert_allclose(log_loss(sets, truth, weights), found, rtol=1e-5, atol=1e-6)
    more = log_loss(sets, truth, weights, 10)
    assert more.mean(1)[1] > found.mean(1)[1]  # as if there were fewer clips: less sure
    assert np.array_equal(log_loss(sets, truth, weights, 90), log_loss(sets, truth, weights))


def test_of_many_clips_some_place_the_temperature():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 3_000)
    logits = (rng.normal(size=(1, 3_000, 3)) + 2 * np.eye(3)[truth]).astype(np.float32)
    few = calibration.some_rows(3_000, 400)
    assert calibration.MOST_FITTED == len(few) == len(set(few.tolist())) == 400
    assert (np.diff(few) > 0).all() and few[0] < 30 and few[-1] > 2_970
    assert len(set(np.diff(few))) > 5  # no period
    assert np.array_equal(few, calibration.some_rows(3_000, 400))
    sharpness = 1 / likeliest(logits[0, few], truth[few], np.ones(400), 3_000)
    scaled = logits[0] * sharpness
    expected = calibration.logsumexp(scaled) - scaled[np.arange(3_000), truth]
    np.testing.assert_allclose(
        log_loss(logits, truth, np.ones(3_000))[0], expected, rtol=2e-3, atol=1e-4
    )
    assert calibration.some_rows(400, 400).tolist() == list(range(400))
    assert len(calibration.some_rows(401, 400)) == 400


@pytest.mark.parametrize("seed", range(4))
def test_the_logistic_curve_is_scipys_minimum_with_platts_targets(seed):
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    onehot = rng.random((60, 3)) < [0.5, 0.2, 0.1]
    onehot[:, 2] &= seed != 2  # a class that nobody has is left out
    logits = rng.normal(0.3, 2, (60, 3)) + 3 * onehot
    seen = onehot.any(0)
    x, has = logits[:, seen].ravel(), onehot[:, seen].ravel()
    high, low = (has.sum() + 1) / (has.sum() + 2), 1 / ((~has).sum() + 2)
    target = np.where(has, high, low)

    def loss(weights):
        z = weights[0] * x + weights[1]
        return (np.logaddexp(0, z) - target * z).sum()

    slope, intercept = minimize(loss, [0.0, 0.0], tol=1e-10).x
    fitted = Calibration.fit(logits, Targets.several(onehot))
    assert fitted.temperature == pytest.approx(1 / slope, rel=1e-3)
    assert fitted.offset == pytest.approx(-intercept / slope, rel=1e-3)
    assert not fitted.is_single


def test_a_curve_that_would_fall_is_flat_and_constant_logits_are_no_error():
    onehot = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], bool)
    backwards = Calibration.fit(np.where(onehot, -1.0, 1.0), Targets.several(onehot))
    assert backwards.temperature == pytest.approx(1e6)
    constant = Calibration.fit(np.full((4, 2), 3.0), Targets.several(onehot[:, :2]))
    assert np.isfinite([constant.temperature, constant.offset]).all()
    np.testing.assert_allclose(constant.scores(np.full((4, 2), 3.0)), 0.5, atol=1e-3)


def test_logits_far_below_the_best_count_as_unknown_classes():
    z = np.array([[[3.0, -597.0, -997.0, -1e6], [0.0, 1.0, 2.0, 3.0]]])
    below = calibration._below_best(z).numpy()
    assert below.tolist() == [[[0, -600, -1_000, -1_000], [-3, -2, -1, 0]]]
    assert calibration.FARTHEST == 1_000


def test_newtons_steps_arrive_from_afar():
    """Whatever the start, the slope of the loss is zero where it ends."""
    rng = np.random.default_rng(0)
    for scale in (0.011, 0.3, 9.0):
        truth = rng.integers(0, 4, 200)
        logits = scale * (rng.standard_t(2, (200, 4)) + 2 * np.eye(4)[truth])
        found = fit_temperature(logits, truth, np.ones(200))
        assert found == pytest.approx(likeliest(logits, truth, np.ones(200)), rel=1e-3)


def test_so_many_logits_are_worked_on_at_a_time(monkeypatch):
    """Blocks of clips are so large that CELLS logits of one set fit, and a clip at least."""
    sizes = []
    logsumexp = calibration.logsumexp
    monkeypatch.setattr(calibration, "logsumexp", lambda z: sizes.append(len(z)) or logsumexp(z))
    logits = np.random.default_rng(0).normal(size=(1, 10, 3)).astype(np.float32)
    for cells, expected in ((12, [4, 4, 2]), (14, [4, 4, 2]), (2, [1] * 10), (100, [10])):
        sizes.clear()
        monkeypatch.setattr(calibration, "CELLS", cells)
        log_loss(logits, np.arange(10) % 3, np.ones(10))
        assert sizes == expected
