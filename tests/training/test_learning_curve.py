"""The learning curve by hand: draws, sizes, quantiles; and what doubling would add."""

import dataclasses

import numpy as np
import pytest

from earmark.classifier.targets import Targets
from earmark.training import heads, learning_curve
from earmark.training.inner import Average, Candidate
from earmark.training.learning_curve import _draw, _sizes, _some, gain_of_doubling
from toy import blobs, search_of

GOOD = Average((Candidate("linear", "good", 3e-3),))


def power_law(exponent: float, sizes=(1, 2, 4, 8, 16, 32, 64), error=0.6):
    return [{"clips_per_class": n, "accuracy": 1 - error * n**exponent} for n in sizes]


def test_no_gain_is_negative_however_a_curve_falls():
    assert gain_of_doubling(power_law(0.1)) == 0
    assert gain_of_doubling(power_law(0.0)) == pytest.approx(0, abs=1e-9)
    assert gain_of_doubling(power_law(-0.5)) > 0


@pytest.mark.parametrize("exponent", [-0.1, -0.7, -1.5])
def test_the_gain_is_that_of_the_power_law(exponent):
    error = 0.6 * 64**exponent
    expected = max(error, 1e-4) * (1 - 2**exponent)
    assert gain_of_doubling(power_law(exponent)) == pytest.approx(expected, rel=1e-6)
    assert gain_of_doubling(power_law(exponent), 0.9) == pytest.approx(0.1 * (1 - 2**exponent))


def test_only_the_last_half_counts_and_three_points_at_least():
    early = power_law(-0.5, (1, 2, 4))
    late = power_law(-0.25, (8, 16, 32))
    assert gain_of_doubling(early + late, 0.8) == pytest.approx(0.2 * (1 - 2**-0.25))
    longer = power_law(-0.5, (1, 2, 4, 8)) + power_law(-0.25, (16, 32, 64, 128))
    assert gain_of_doubling(longer, 0.8) == pytest.approx(0.2 * (1 - 2**-0.25))
    mixed = power_law(-0.5, (1, 2)) + power_law(-0.25, (4, 8, 16))
    assert gain_of_doubling(mixed, 0.8) == pytest.approx(0.2 * (1 - 2**-0.25))
    assert gain_of_doubling(power_law(-0.5, (1, 2, 4))) is not None
    assert gain_of_doubling(power_law(-0.5, (1, 2))) is None


def test_a_curve_without_an_error_has_one_in_ten_thousand():
    curve = [
        {"clips_per_class": n, "accuracy": accuracy} for n, accuracy in ((1, 0.9), (2, 1), (4, 1))
    ]
    slope = np.polyfit(np.log([1, 2, 4]), np.log([0.1, 1e-4, 1e-4]), 1)[0]
    assert gain_of_doubling(curve) == pytest.approx(1e-4 * (1 - 2**slope), rel=1e-6)


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [([1, 5], [1]), ([2, 3], [1, 2]), ([7, 0, 9], [1, 2, 4]), ([8], [1, 2, 4, 8])],
)
def test_sizes_double_up_to_the_smallest_class(counts, sizes):
    truth = np.repeat(np.arange(len(counts)), counts)
    assert _sizes(Targets.single(truth, len(counts))) == sizes


def test_draws_have_so_many_of_each_class():
    targets = Targets.single(np.array([0, 1, 0, 2, 1, 0, 2, 0]), 3)
    rng = np.random.default_rng(0)
    rows = [_draw(rng, targets, 2) for _ in range(20)]
    assert all(np.bincount(targets.classes[r]).tolist() == [2, 2, 2] for r in rows)
    assert all(len(set(r.tolist())) == 6 for r in rows)
    assert len({tuple(sorted(r.tolist())) for r in rows}) > 3


def test_some_are_drawn_without_repetition_and_in_order():
    rows = np.arange(50) * 3
    some = _some(np.random.default_rng(0), rows, 20)
    assert len(set(some.tolist())) == 20 and (np.diff(some) > 0).all() and set(some) <= set(rows)
    assert _some(np.random.default_rng(0), rows, 50) is rows
    assert len(_some(np.random.default_rng(0), rows, 49)) == 49


def points_by_hand(search, candidate, folds, most_tested=400):
    """Fit heads on the features themselves, with the same draws."""
    x = np.asarray(search.table.features(candidate.features, np.arange(len(search.fold))))
    points: dict[int, list[float]] = {}
    for tested in folds:
        rng = np.random.default_rng((search.seed, tested))
        train = search.rows_without(tested, learning_curve.MOST_TRAINED)
        test = _some(rng, np.flatnonzero(search.fold == tested), most_tested)
        mean, scale = heads.standard(x[train])
        z, targets = (x - mean) / scale, search.targets.rows(train)
        for size in _sizes(targets):
            for _ in range(4):
                rows = train[_draw(rng, targets, size)]
                kernel = z[rows] @ z[rows].T
                kind = "prototype" if candidate.head == "prototype" else "linear"
                duals, bias = heads.solve(
                    kind, kernel, search.targets.rows(rows), (candidate.penalty,)
                )
                logits = z[test] @ z[rows].T @ duals[0] + bias[0]
                hits = logits.argmax(1) == search.targets.classes[test]
                points.setdefault(size, []).append(hits.mean())
    return points


@pytest.mark.parametrize("held_out", [None, 2])
@pytest.mark.parametrize("head", ["linear", "prototype"])
def test_points_are_means_and_quantiles_of_draws(head, held_out):
    features, truth, fold = blobs(size=80, noise=1.5)
    search = search_of(features, truth, 4, fold, seed=3)
    candidate = Candidate(head, "good", 3e-3 if head == "linear" else 0.0)
    curve = learning_curve.learning_curve(search, Average((candidate,)), held_out)
    points = points_by_hand(search, candidate, range(5) if held_out is None else [2])
    assert [point["clips_per_class"] for point in curve] == [1, 2, 4, 8, 16]
    for point in curve:
        draws = points[point["clips_per_class"]]
        assert len(draws) == 4 * (5 if held_out is None else 1)
        assert point["accuracy"] == pytest.approx(np.mean(draws), abs=0.006)
        assert point["low"] == pytest.approx(np.quantile(draws, 0.1), abs=1e-6)
        assert point["high"] == pytest.approx(np.quantile(draws, 0.9), abs=1e-6)


def test_many_folds_and_clips_are_drawn_in_part(monkeypatch):
    features, truth, _ = blobs(size=168, noise=1.5)
    search = search_of(features, truth, 4, np.arange(168) // 4 % 7)
    monkeypatch.setattr(learning_curve, "MOST_TRAINED", 40)
    monkeypatch.setattr(learning_curve, "MOST_TESTED", 10)
    curve = learning_curve.learning_curve(search, GOOD)
    assert [point["clips_per_class"] for point in curve] == [1, 2, 4, 8]
    points = points_by_hand(search, GOOD.members[0], range(5), most_tested=10)
    for point in curve:
        expected = np.mean(points[point["clips_per_class"]])
        assert point["accuracy"] == pytest.approx(expected, abs=0.015)


def test_the_limits_of_cost():
    assert (learning_curve.MOST_TRAINED, learning_curve.MOST_TESTED) == (800, 400)
    assert (learning_curve.DRAWS, learning_curve.MOST_FOLDS) == (4, 5)


def test_least_squares_stands_in_for_slow_heads():
    """With the weakest penalty but one; members of an average then count the same."""
    features, truth, fold = blobs(size=80, noise=1.5)
    search = search_of(features, truth, 4, fold)
    stand_in = Candidate("linear", "good", heads.PENALTIES["linear"][-2])
    slow = learning_curve.learning_curve(search, Average((Candidate("logistic", "good", 0.3),)))
    assert slow == learning_curve.learning_curve(search, Average((stand_in,)))
    other = Candidate("linear", "bad", 0.03)
    mixed = Average((Candidate("logistic", "good", 0.3), other), (0.01, 0.99))
    alike = Average((stand_in, other), (1.0, 1.0))
    assert learning_curve.learning_curve(search, mixed) == learning_curve.learning_curve(
        search, alike
    )
    plain = Average((stand_in, other), (0.01, 0.99))
    assert learning_curve.learning_curve(search, plain) != learning_curve.learning_curve(
        search, alike
    )


def test_clips_of_several_classes_have_no_curve():
    features, truth, fold = blobs()
    search = search_of(features, truth, 4, fold)
    several = dataclasses.replace(search, targets=Targets.several(np.eye(4)[truth]))
    assert learning_curve.learning_curve(several, GOOD) == []
