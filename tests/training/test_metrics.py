"""Metrics: F1 and its kin by hand, intervals and tests against SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, permutation_test
from sklearn.metrics import label_ranking_average_precision_score

from earmark.training import metrics

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int, is_single: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (N, K) and answers (N, K) bool; some classes never occur or are never given."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 40)), int(rng.integers(2, 8))
    if is_single:
        some, others = (rng.choice(k, int(rng.integers(1, k + 1)), replace=False) for _ in "ab")
        return np.eye(k)[rng.choice(some, n)], np.eye(k)[rng.choice(others, n)].astype(bool)
    onehot = rng.random((n, k)) < rng.choice([0, 0.1, 0.6], k)
    return onehot.astype(float), rng.random((n, k)) < rng.choice([0, 0.1, 0.6], k)


@given(seed=SEEDS, is_single=st.booleans())
def test_figures_of_classes_are_counts_divided(seed, is_single):
    onehot, chosen = draw(seed, is_single)
    labels = [f"class {k}" for k in range(onehot.shape[1])]
    f1s, recalls = [], []
    rows = metrics.per_class(onehot, chosen, labels)
    assert [row["label"] for row in rows] == labels
    for k, row in enumerate(rows):
        hits = sum(1 for a, b in zip(onehot[:, k], chosen[:, k], strict=True) if a and b)
        clips, answers = int(onehot[:, k].sum()), int(chosen[:, k].sum())
        recall = hits / clips if clips else None
        f1 = 2 * hits / (clips + answers) if clips + answers else None
        expected = {"n": clips, "recall": recall, "precision": hits / answers if answers else None}
        assert row == {"label": labels[k], **expected, "f1": f1}
        assert list(row) == ["label", "n", "recall", "precision", "f1"]
        assert {type(value) for value in row.values()} <= {str, int, float, type(None)}
        recalls += [recall] if clips else []
        f1s += [f1] if clips + answers else []
    if f1s:
        assert metrics.macro_f1(onehot, chosen) == pytest.approx(np.mean(f1s), rel=1e-12)
    if recalls:
        balanced = metrics.balanced_accuracy(onehot, chosen)
        assert balanced == pytest.approx(np.mean(recalls), rel=1e-12)


@given(seed=SEEDS)
def test_ranking_precision_is_scikit_learns(seed):
    onehot, _ = draw(seed, is_single=False)
    logits = np.round(np.random.default_rng(seed).normal(size=onehot.shape), 1)  # with ties
    quality = metrics.quality(logits, onehot, is_single=False)
    for row, (own, clip) in enumerate(zip(quality, onehot, strict=True)):
        expected = label_ranking_average_precision_score(clip[None], logits[row : row + 1])
        assert own == pytest.approx(expected, rel=1e-12)


def test_all_right_or_wrong_has_clopper_and_pearsons_limits():
    for n in (1, 2, 9, 50):
        cluster = np.repeat(np.arange(n), 3)
        for share in (0, 1):
            exact = binomtest(n * share, n).proportion_ci(method="exact")
            own = metrics.accuracy_interval(np.full(3 * n, float(share)), cluster, 0)
            assert own == pytest.approx((exact.low, exact.high), rel=1e-12, abs=1e-12)
        high = binomtest(0, n).proportion_ci(method="exact").high
        assert metrics.difference_interval(np.zeros(3 * n), cluster, 0)[1] == pytest.approx(high)


@given(seed=SEEDS)
@settings(max_examples=20)
def test_the_bootstrap_is_scipys_over_clusters_of_unequal_size(seed):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(25), rng.integers(1, 6, 25))
    right = (rng.random(len(cluster)) < 0.7).astype(float)
    right[:2] = 0, 1
    hits, sizes = np.bincount(cluster, weights=right), np.bincount(cluster)
    expected = bootstrap(
        (hits, sizes),
        lambda hits, sizes, axis: hits.sum(axis) / sizes.sum(axis),
        n_resamples=metrics.BOOTSTRAPS,
        paired=True,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    assert metrics.accuracy_interval(right, cluster, 7) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("clusters", "tolerance"), [(2, 1e-12), (7, 1e-12), (12, 1e-12), (30, 0.02)]
)
def test_the_paired_test_is_scipys(clusters, tolerance):
    """Exactly so where all signs are tried; both draw signs of 30 clusters, each its own."""
    rng = np.random.default_rng(clusters)
    cluster = rng.permutation(np.repeat(np.arange(clusters), 3))
    difference = rng.choice([-1, -0.5, 0.5, 1], 3 * clusters, p=[0.2, 0.2, 0.3, 0.3])
    sums = np.bincount(cluster, weights=difference)
    expected = permutation_test(
        (sums,), np.sum, permutation_type="samples", n_resamples=20_000, rng=0
    ).pvalue
    assert metrics.paired_p(difference, cluster, 0) == pytest.approx(expected, abs=tolerance)


def test_random_sets_stand_for_many_clusters(monkeypatch):
    """Their intervals are as wide on average, and no set has more clusters than another."""
    monkeypatch.setattr(metrics, "BOOTSTRAPS", 500)
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(3_000), rng.integers(1, 5, 3_000))
    right = (rng.random(len(cluster)) < rng.random(3_000)[cluster]).astype(float)
    widths = []
    for most in (10_000, 300):
        monkeypatch.setattr(metrics, "MOST_CLUSTERS", most)
        ends = np.array([metrics.accuracy_interval(right, cluster, seed) for seed in range(12)])
        assert ((ends[:, 0] < right.mean()) & (right.mean() < ends[:, 1])).all()
        widths.append(np.ptp(ends, axis=1).mean())
    assert widths[1] == pytest.approx(widths[0], rel=0.06)
    numbers = metrics.units(cluster, 0)
    pairs = np.unique(np.stack([numbers, cluster], 1), axis=0)
    assert len(pairs) == 3_000 and (np.bincount(pairs[:, 0]) == 10).all()


@pytest.mark.parametrize("is_single", [True, False])
def test_figures_do_not_depend_on_how_much_is_in_memory(monkeypatch, is_single):
    onehot, chosen = draw(5, is_single)
    logits = np.round(np.random.default_rng(5).normal(size=onehot.shape), 1)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    cluster = np.arange(len(onehot))

    def figures(onehot):
        quality = metrics.quality(logits, onehot, is_single)
        return [
            quality.tolist(),
            metrics.chance(onehot, is_single),
            metrics.calibration_error(scores, onehot, is_single),
            metrics.debiased_calibration(scores, onehot, is_single),
            metrics.accuracy_interval(quality, cluster, 0),
            metrics.paired_p(quality - 0.5, cluster, 0),
            metrics.per_class(onehot, chosen, [str(k) for k in range(onehot.shape[1])]),
        ]

    whole = figures(onehot)
    assert figures(onehot > 0) == whole == figures(onehot.astype(np.uint8))
    monkeypatch.setattr(metrics, "CELLS", 64)
    parts = figures(onehot)
    assert parts[2] == pytest.approx(whole[2], rel=1e-12)
    assert parts[3] == pytest.approx(whole[3], rel=1e-12)
    assert parts[:2] + parts[4:] == whole[:2] + whole[4:]


def sharpened(n: int, power: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return right scores (N, 10), answered correctly in 0.88, shown ones and truth (N, 10).

    The shown ones are too sure where ``power`` is above 1.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 10))
    logits[np.arange(n), rng.integers(0, 10, n)] += 5.5 * rng.gamma(3, 1 / 3, n)
    right, shown = (np.exp(1.6 * x * logits) for x in (1, power))
    right, shown = (x / x.sum(1, keepdims=True) for x in (right, shown))
    truth = (rng.random((n, 1)) > right.cumsum(1)[:, :-1]).sum(1)
    return right, shown, np.eye(10)[truth]


@pytest.mark.parametrize("is_single", [True, False])
def test_the_error_of_exactly_right_scores_is_the_mean_over_truths_drawn_from_them(is_single):
    rng = np.random.default_rng(1)
    scores = sharpened(150, 1, 0)[0] if is_single else rng.beta(0.4, 1.2, (60, 5))
    errors = []
    for _ in range(1_500):
        if is_single:
            truth = (rng.random((150, 1)) > scores.cumsum(1)[:, :-1]).sum(1)
            onehot = np.eye(10)[truth]
        else:
            onehot = rng.random(scores.shape) < scores
        errors.append(metrics.calibration_error(scores, onehot, is_single))
    expected, _ = metrics.debiased_calibration(scores, onehot, is_single)
    assert expected == pytest.approx(np.mean(errors), rel=0.02)
    assert metrics.debiased_calibration(scores, ~(onehot > 0), is_single)[0] == expected
    other = metrics.debiased_calibration(scores, onehot, is_single, seed=1)[0]
    assert other != expected and other == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("n", "floor", "left"), [(100, 0.07, 0.03), (400, 0.035, 0.013)])
def test_exactly_right_scores_have_little_debiased_error(n, floor, left):
    draws = [sharpened(n, 1, seed)[1:] for seed in range(120)]
    seen = np.mean([metrics.calibration_error(*draw) for draw in draws])
    expected, debiased = np.mean([metrics.debiased_calibration(*draw) for draw in draws], axis=0)
    assert seen == pytest.approx(floor, rel=0.1) and expected == pytest.approx(seen, rel=0.06)
    assert debiased < left


@pytest.mark.parametrize("power", [0.7, 1.3, 2])
def test_the_debiased_error_of_wrong_scores_is_that_of_many_clips(power):
    true = metrics.calibration_error(*sharpened(300_000, power, 0)[1:])
    draws = [sharpened(400, power, seed)[1:] for seed in range(60)]
    seen = np.mean([metrics.calibration_error(*draw) for draw in draws])
    debiased = np.mean([metrics.debiased_calibration(*draw)[1] for draw in draws])
    assert true > 0.03 and seen > true + 0.003
    assert debiased == pytest.approx(true, rel=0.15)


@given(seed=SEEDS, is_single=st.booleans())
def test_the_debiased_error_is_none_up_to_chance_and_else_below_what_is_seen(seed, is_single):
    onehot, _ = draw(seed, is_single)
    scores = np.random.default_rng(seed).dirichlet(np.full(onehot.shape[1], 0.2), len(onehot))
    seen = metrics.calibration_error(scores, onehot, is_single)
    expected, debiased = metrics.debiased_calibration(scores, onehot, is_single)
    assert 0 <= debiased <= seen + 1e-12 and 0 <= expected <= 1
    assert (debiased == 0) == (seen <= expected) or seen == pytest.approx(expected)


def test_where_scores_are_certain_nothing_is_due_to_chance():
    certain = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    assert metrics.debiased_calibration(certain, certain) == (0, 0)
    expected, debiased = metrics.debiased_calibration(certain, np.eye(3)[[0, 1, 2, 1]])
    assert expected == 0 and debiased == pytest.approx(0.25)
