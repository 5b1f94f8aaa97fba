"""The unknown threshold, worked out by hand beside the library's."""

import numpy as np
import pytest

from earmark.classifier.targets import Targets
from earmark.errors import EarmarkError
from earmark.training import heads, screening, unknown
from earmark.training.inner import Average, Candidate
from earmark.training.unknown import _left_out, _threshold, find_threshold
from toy import blobs, search_of

GOOD = Average((Candidate("linear", "good", 3e-3),))


@pytest.fixture
def search():
    features, truth, fold = blobs(size=100, noise=0.8)
    return search_of(features, truth, 4, fold)


def by_hand(away: list[np.ndarray], rate: float) -> float:
    """Go up until the mean share let in, and one standard error of it, are below the rate."""
    for threshold in sorted(np.concatenate(away)):
        shares = np.array([(a > threshold).mean() for a in away])
        if shares.mean() + np.sqrt(shares.var(ddof=1) / len(shares)) <= rate:
            return float(threshold)
    raise AssertionError


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_the_mean_over_classes_stays_below_by_one_standard_error(rate, seed):
    rng = np.random.default_rng(seed)
    away = [rng.normal(shift, 1, 20 + 7 * k) for k, shift in enumerate((0.0, 0.3, 2.0, -1.0))]
    assert _threshold(away, rate) == pytest.approx(by_hand(away, rate), abs=2e-6)


def test_classes_that_differ_ask_for_a_higher_threshold():
    alike = [np.arange(8.0)] * 4
    assert _threshold(alike, 0.25) == pytest.approx(5, abs=1e-5)  # two of eight are above
    assert _threshold(alike, 0.5) == pytest.approx(3, abs=1e-5)
    unlike = [np.arange(100.0), np.arange(100.0) - 50, np.arange(100.0) - 50]
    # a share s of one class, none of the others: s / 3 + s / 3 <= 0.105
    assert _threshold(unlike, 0.105) == pytest.approx(84, abs=1e-5)


def test_strangers_are_clips_of_the_class_that_is_left_out(search):
    found = _left_out(search, GOOD, 1)
    assert list(found) == [0, 1, 2, 3]
    x, truth = np.asarray(search.table.features("good", np.arange(100))), search.targets.classes
    train, test = search.fold != 1, search.fold == 1
    for left, (strangers, known) in found.items():
        rest = train & (truth != left)
        head = heads.fit("linear", x[rest], Targets.single(truth[rest], 4), 3e-3)
        np.testing.assert_allclose(
            strangers, head.known_score(x[test & (truth == left)]), atol=1e-4
        )
        np.testing.assert_allclose(known, head.known_score(x[test & (truth != left)]), atol=1e-4)


def test_shares_let_in_and_answered_are_those_beyond_the_threshold(search):
    found = find_threshold(search, GOOD, 0.2)
    parts = [_left_out(search, GOOD, fold) for fold in range(5)]
    away = [np.concatenate([part[left][0] for part in parts]) for left in range(4)]
    known = np.concatenate([part[left][1] for part in parts for left in range(4)])
    assert found.below == pytest.approx(_threshold(away, 0.2))
    assert found.accepted == pytest.approx(np.mean([(a >= found.below).mean() for a in away]))
    assert found.answered == pytest.approx((known >= found.below).mean())
    assert 0 < found.accepted <= 0.2 and found.answered > 0.5


def test_a_class_that_the_first_folds_lack_is_tested_too():
    """Where folds are groups, each may have one class only."""
    features, truth, _ = blobs(size=96, noise=0.8)
    order = np.argsort(truth, kind="stable")
    fold = np.empty(96, int)
    fold[order] = np.arange(96) // 8  # three folds for each of the four classes
    search = search_of(features, truth, 4, fold)
    assert unknown._tested_folds(search) == [0, 1, 2, 3, 4, 6, 9]
    found = find_threshold(search, GOOD, 0.2)
    assert 0 <= found.accepted <= 0.2 and np.isfinite(found.below)


def test_many_folds_and_classes_are_tried_in_part(monkeypatch):
    features, truth, _ = blobs(size=240, noise=0.8)
    fold = np.arange(240) // 4 % 7
    search = search_of(features, truth, 4, fold)
    asked = []
    left_out = unknown._left_out

    def noted(search, chosen, tested):
        asked.append(tested)
        return left_out(search, chosen, tested)

    monkeypatch.setattr(unknown, "_left_out", noted)
    find_threshold(search, GOOD, 0.2)
    assert asked == [0, 1, 2, 3, 4]
    monkeypatch.setattr(unknown, "MOST_LEFT_OUT", 3)
    assert list(left_out(search, GOOD, 0)) == [0, 1, 3]


def test_of_many_clips_some_train_and_some_test(monkeypatch):
    features, truth, fold = blobs(size=200, noise=0.8)
    search = search_of(features, truth, 4, fold)
    monkeypatch.setattr(unknown, "MOST_TRAINED", 80)
    monkeypatch.setattr(unknown, "MOST_TESTED", 12)
    found = _left_out(search, GOOD, 2)
    assert [len(strangers) for strangers, _ in found.values()] == [3] * 4
    assert [len(known) for _, known in found.values()] == [9] * 4
    rows = screening.thinned(np.flatnonzero(fold != 2), search.targets, 80, search.seed)
    test = screening.thinned(np.flatnonzero(fold == 2), search.targets, 12, search.seed)
    rest = rows[truth[rows] != 1]
    x = features["good"]
    head = heads.fit("linear", x[rest], Targets.single(truth[rest], 4), 3e-3)
    expected = head.known_score(x[test[truth[test] == 1]])
    np.testing.assert_allclose(found[1][0], expected, atol=1e-4)


def test_the_limits_of_cost():
    assert (unknown.MOST_FOLDS, unknown.MOST_TRAINED, unknown.MOST_TESTED) == (5, 600, 2_000)
    assert unknown.MOST_LEFT_OUT == 20


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_is_none_is_refused(search, rate):
    with pytest.raises(EarmarkError, match=f"{rate:g}"):
        find_threshold(search, GOOD, rate)


def test_three_classes_of_single_clips_are_needed():
    features, truth, fold = blobs()
    three = search_of(features, truth % 3, 3, fold)
    assert find_threshold(three, GOOD, 0.3).accepted <= 0.3
    with pytest.raises(EarmarkError):
        find_threshold(search_of(features, truth % 2, 2, fold), GOOD, 0.3)
    import dataclasses

    several = dataclasses.replace(three, targets=Targets.several(np.eye(3)[truth % 3]))
    with pytest.raises(EarmarkError):
        find_threshold(several, GOOD, 0.3)
