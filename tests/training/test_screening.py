"""How many clips are screened, which, and when slow heads are worth their time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.classifier.targets import Targets
from earmark.training import heads, screening
from earmark.training.screening import few_clips, slow_rivals, thinned
from toy import blobs, search_of


def clips_of(counts, n_folds=5, several=False):
    """Clips with so many of each class, dealt out to the folds."""
    truth = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(truth), dtype=np.float32)[:, None]
    search = search_of({"x": x}, truth, len(counts), np.arange(len(truth)) % n_folds)
    if several:
        import dataclasses

        targets = Targets.several(np.eye(len(counts))[truth])
        search = dataclasses.replace(search, targets=targets)
    return search.clips


def rows_of(few):
    """The one feature of a clip is its row."""
    return np.asarray(few.table.features("x", np.arange(len(few.fold))))[:, 0].astype(int)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 45), st.integers(0, 3))
def test_thinning_keeps_an_even_share_of_each_class(classes, most, seed):
    truth = np.array(classes)
    targets, rows = Targets.single(truth, 4), np.arange(len(truth))
    some = thinned(rows, targets, most, seed)
    assert len(some) == min(most, len(truth)) == len(set(some.tolist()))
    assert (np.diff(some) > 0).all()
    kept = np.bincount(truth[some], minlength=4)
    shares = np.bincount(truth, minlength=4) * len(some) / len(truth)
    assert (np.abs(kept - shares) < 2).all()


def test_thinning_takes_evenly_spaced_clips_of_shuffled_classes():
    truth = np.random.default_rng(1).integers(0, 5, 300)
    rows = np.arange(300)
    order = np.random.default_rng(7).permutation(rows).tolist()
    by_class = [row for k in range(5) for row in order if truth[row] == k]
    expected = sorted(by_class[int(place)] for place in np.linspace(0, 299, 60))
    assert thinned(rows, Targets.single(truth, 5), 60, 7).tolist() == expected


def test_thinning_draws_by_the_seed():
    targets = Targets.single(np.arange(60) % 3, 3)
    one, same, other = (thinned(np.arange(60), targets, 20, seed) for seed in (0, 0, 1))
    assert (one == same).all() and (one != other).any()
    rows = np.arange(60)
    assert thinned(rows, targets, 60, 0) is rows
    with_ends = thinned(np.arange(0, 60, 3), targets, 5, 0)
    assert set(with_ends) <= set(range(0, 60, 3))


@pytest.mark.parametrize(
    ("n_classes", "trained"),
    [(2, 400), (33, 400), (34, 408), (60, 720), (61, 720), (500, 720)],
)
def test_four_hundred_clips_or_twelve_of_each_of_sixty_classes_train(n_classes, trained):
    assert screening._trained(n_classes) == trained


def test_not_many_more_clips_than_are_screened_are_all_screened():
    """Of five folds three train: 134 clips of a fold, 670 in all, and a quarter more."""
    for count, is_all in ((837, True), (838, False)):
        clips = clips_of([count // 2, count - count // 2])
        few = few_clips(clips, 0)
        assert (few is clips) == is_all
    assert np.bincount(few.fold).tolist() == [134] * 5
    assert np.abs(few.targets.counts - 335).max() <= 5
    rows = rows_of(few)
    assert (rows % 5 == few.fold).all()
    assert ((rows >= 419).astype(int) == few.targets.classes).all()


@pytest.mark.parametrize(("n_folds", "each"), [(2, 400), (3, 400), (4, 200), (12, 40)])
def test_a_model_without_two_folds_has_clips_enough(n_folds, each):
    few = few_clips(clips_of([1_000, 1_000], n_folds), 0)
    assert np.bincount(few.fold).tolist() == [each] * n_folds


def test_of_many_classes_as_many_are_screened_as_have_clips_enough(monkeypatch):
    assert screening.SCREENED_CLASSES == 60
    monkeypatch.setattr(screening, "SCREENED_BY", 30)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 5)
    monkeypatch.setattr(screening, "SCREENED_CLASSES", 6)
    few = few_clips(clips_of([30] * 11), 0)  # ten of each fold: 50 clips, 30 of a class
    assert few.targets.n_classes == 6
    kept = sorted(set((rows_of(few) // 30).tolist()))
    assert kept == [0, 2, 4, 6, 8, 10]
    classes = np.searchsorted(kept, rows_of(few) // 30)
    assert (classes == few.targets.classes).all()
    assert np.bincount(few.fold).tolist() == [10] * 5
    scarce = few_clips(clips_of([5] * 20), 0)  # 5 of each, of which 50 clips need ten classes
    assert scarce.targets.n_classes == 10
    assert len(scarce.fold) == 50
    # 9.9 classes would have clips enough, and so ten have
    assert few_clips(clips_of([5] * 20 + [6]), 0).targets.n_classes == 10
    few = few_clips(clips_of([100, 0, 100]), 0)
    assert few.targets.n_classes == 3 and len(few.fold) == 50  # a class without clips stays
    absent = few_clips(clips_of([30, 0, 30, 30, 0, 30, 30, 30, 30, 30]), 0)
    assert absent.targets.n_classes == 6 and (absent.targets.counts > 0).all()
    assert sorted(set((rows_of(absent) // 30).tolist())) == [0, 1, 3, 4, 6, 7]


def test_of_clips_with_several_classes_all_classes_stay(monkeypatch):
    monkeypatch.setattr(screening, "SCREENED_BY", 30)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 5)
    monkeypatch.setattr(screening, "SCREENED_CLASSES", 6)
    few = few_clips(clips_of([30] * 11, several=True), 0)
    assert few.targets.n_classes == 11 and np.bincount(few.fold).tolist() == [10] * 5


def test_balanced_weights_stay_in_force(monkeypatch):
    import dataclasses

    monkeypatch.setattr(screening, "SCREENED_BY", 30)
    clips = clips_of([300, 20, 300])
    assert not few_clips(clips, 0).is_balanced
    assert few_clips(dataclasses.replace(clips, is_balanced=True), 0).is_balanced


def screened_of(kinds, width=20, **options):
    features, truth, fold = blobs(size=120)
    features = {"bad": features["bad"], "good": np.hstack([features["good"]] * (width // 20))}
    search = search_of(features, truth, 4, fold, kinds=kinds, **options)
    contests = search._contests(search.clips, [None, 2])
    names = []
    screening.screen(
        search.clips, kinds, contests, lambda: names.append(1), is_final=options.get("final", True)
    )
    assert len(names) == 2  # a step for each spec
    return search, contests


def entered(contest):
    return {(c.head, c.features, c.penalty, c.balanced) for c in contest.loss}


def test_cheap_heads_are_screened_with_every_penalty():
    _, contests = screened_of(("prototype", "linear", "mlp"))
    expected = {
        (head, name, penalty, False)
        for name in ("good", "bad")
        for head in ("prototype", "linear")
        for penalty in heads.PENALTIES[head]
    }
    assert entered(contests[None]) == entered(contests[2]) == expected
    _, alone = screened_of(("prototype",))
    assert {head for head, *_ in entered(alone[None])} == {"prototype"}
    _, slow = screened_of(("mlp", "prototype"))
    assert {head for head, *_ in entered(slow[None])} == {"prototype", "linear"}
    _, balanced = screened_of(("prototype", "linear"), balanced=True)
    assert entered(balanced[None]) == expected | {
        (head, name, penalty, True) for head, name, penalty, _ in expected if head == "linear"
    }


def test_slow_heads_compete_on_the_best_layers_of_the_linear_one():
    search, contests = screened_of((*heads.LINEAR, "mlp"))
    rivals = slow_rivals(search.clips, search.kinds, contests)
    expected = [("logistic", "good", p) for p in (0.3, 0.03, 0.003)] + [("mlp", "good", 0.0)]
    assert {
        tested: [(c.head, c.features, c.penalty) for c in several]
        for tested, several in rivals.items()
    } == {None: expected, 2: expected}


@pytest.mark.parametrize(("width", "is_tried"), [(140, True), (160, False)])
def test_slow_heads_are_left_out_where_features_are_twice_the_clips(width, is_tried):
    """Of 120 clips in five folds 72 train: up to 144 features are worth it."""
    search, contests = screened_of(("linear", "mlp"), width)
    assert [len(r) for r in slow_rivals(search.clips, search.kinds, contests).values()] == (
        [1, 1] if is_tried else [0, 0]
    )
    only = slow_rivals(search.clips, ("mlp",), contests)
    assert [len(several) for several in only.values()] == [1, 1]  # asked for alone: trained
    none = slow_rivals(search.clips, ("linear", "prototype"), contests)
    assert [len(several) for several in none.values()] == [0, 0]


def test_the_limit_for_slow_heads_is_that_of_the_clips_that_are_screened(monkeypatch):
    monkeypatch.setattr(screening, "SCREENED_BY", 30)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)
    search, contests = screened_of(("linear", "mlp"), 60)  # twice 30
    assert len(slow_rivals(search.clips, search.kinds, contests)[None]) == 1
    search, contests = screened_of(("linear", "mlp"), 80)
    assert len(slow_rivals(search.clips, search.kinds, contests)[None]) == 0
