"""Metrics: F1 and its kin by hand, intervals and tests against SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, permutation_test
from sklearn.metrics import label_ranking_average_precision_score

from earmark import metrics

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
