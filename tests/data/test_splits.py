"""Splits: given folds, groups, classes in equal shares; and data that cannot be split."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from earmark.data import stratification
from earmark.data.clip import Clip
from earmark.data.splits import _joined, make_scheme
from earmark.errors import DataError


def clips(count, *, classes=2, groups=None, folds=None, per_recording=1, split=None):
    return [
        Clip(
            Path(f"r{k // per_recording}.wav"),
            label=f"c{(k // per_recording) % classes}",
            group=None if groups is None else f"g{k % groups}",
            fold=None if folds is None else f"{k // classes % folds}",
            split=None if split is None else split[k % len(split)],
            start=float(k),
        )
        for k in range(count)
    ]


def distinct(count):
    return np.arange(count)


def test_given_folds_come_before_groups_before_stratified():
    assert make_scheme(clips(40, groups=4, folds=4), distinct(40)).description == "4 given folds"
    by_group = make_scheme(clips(40, classes=2, groups=5), distinct(40))
    assert by_group.description == "leave one of 5 groups out"
    assert make_scheme(clips(40), distinct(40)).description == "5 stratified folds"


def test_few_clips_of_no_class_are_no_warning_of_another_library():
    items = clips(34)
    items[:4] = [replace(clip, label="") for clip in items[:4]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheme = make_scheme(items, distinct(34), separator=";")
    assert scheme.description == "5 stratified folds"


@settings(max_examples=40)
@given(
    count=st.integers(60, 120),
    per_recording=st.integers(1, 3),
    groups=st.sampled_from([None, 5, 17]),
    copies=st.integers(0, 5),
)
def test_nothing_that_belongs_together_parts(count, per_recording, groups, copies):
    items = clips(count, groups=groups, per_recording=per_recording)
    content = distinct(count)
    content[:copies] = count - 1  # some clips sound exactly like the last one
    for k in range(copies):
        items[k] = Clip(items[k].path, items[-1].label, float(k), group=items[-1].group)
    try:
        scheme = make_scheme(items, content)
    except DataError:
        return  # too few different recordings: refused, which other tests look at
    together = [[c.group for c in items]] if groups else [[str(c.path) for c in items], content]
    for key in together:
        for value in set(key):
            rows = [k for k, other in enumerate(key) if other == value]
            assert len(set(scheme.fold[rows])) == 1


def test_given_folds_that_leak_are_told():
    items = [Clip(Path("same.wav"), f"c{k % 2}", float(k), fold=str(k % 4 // 2)) for k in range(8)]
    assert make_scheme(items, distinct(8)).warnings == (
        "1 recording has clips in more than one fold: the estimate is too high.",
    )
    three = [
        replace(clip, path=Path(f"r{k // 6}.wav"), fold=str(k % 3))
        for k, clip in enumerate(clips(12))
    ]
    assert make_scheme(three, distinct(12) % 4).warnings == (
        "2 recordings have clips in more than one fold: the estimate is too high.",
        "4 sounds have exact copies in more than one fold: the estimate is too high.",
    )


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (
            clips(6),
            r"class 'c0' has 3 different recordings, but 5 folds need at least 5. .*--folds 3",
        ),
        (clips(2), r"'c0' has 1 different recording, but at least 3 are needed. .*give --folds 3"),
        (clips(4), r"'c0' has 2 different recordings, but at least 3 are needed. .*give --folds 3"),
        (clips(20, groups=1), r"all clips are in one group \('g0'\)"),
        (clips(20, folds=1), r"the fold column has only one value"),
        (clips(20, groups=2), r"class 'c0' is only in fold or group 'g0'"),
        (clips(20, split=["test"]), r"the split of every clip is 'test'"),
    ],
)
def test_hopeless_data_is_refused(items, text):
    with pytest.raises(DataError, match=text):
        make_scheme(items, distinct(len(items)))


def test_two_folds_take_four_recordings_since_each_is_split_again():
    text = r"'c0' has 3 different recordings, but 2 folds need at least 4. .*--folds 3"
    with pytest.raises(DataError, match=text):
        make_scheme(clips(6), distinct(6), folds=2)
    halves = make_scheme(clips(8), distinct(8), folds=2)
    for half in (0, 1):
        rows = np.flatnonzero(halves.fold == half)
        inner = make_scheme([clips(8)[k] for k in rows], rows, folds=3, is_inner=True)
        assert len(inner.names) == 2


def test_what_is_left_to_learn_from_is_told_as_such():
    one = [clip for clip in clips(20) if clip.label == "c1"] + clips(20)[:1]
    text = r"'c0' has 1 different recording outside a test fold, but at least 2 are needed to train"
    with pytest.raises(DataError, match=text):
        make_scheme(one, distinct(len(one)), folds=2, is_inner=True)


@pytest.mark.parametrize("seed", range(20))
def test_single_clips_are_dealt_out_as_scikit_learn_deals_them(seed):
    rng = np.random.default_rng(seed)
    truth = rng.choice(list("bad" if seed % 2 else "efghi"), 50 + 7 * seed)
    splits = StratifiedKFold(2 + seed % 4, shuffle=True, random_state=seed).split(truth, truth)
    fold = stratification.folds_of_clips(truth, 2 + seed % 4, seed)
    for number, (_, test) in enumerate(splits):
        assert np.array_equal(np.flatnonzero(fold == number), test)


def test_clips_are_numbered_alike_with_and_without_copies():
    """In the order in which they appear, whichever way is taken."""
    recording = np.array([4, 0, 4, 2, 0, 1, 3])
    assert _joined(recording, np.arange(7)).tolist() == [0, 1, 0, 2, 1, 3, 4]
    copies = np.array([0, 1, 2, 3, 4, 5, 0])
    assert _joined(recording, copies).tolist() == [0, 1, 0, 2, 1, 3, 0]


@pytest.mark.skipif(
    tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 8),
    reason="before 1.8, scikit-learn shuffles the sizes of groups without the groups",
)
@pytest.mark.parametrize("seed", range(12))
def test_clusters_are_dealt_out_as_scikit_learn_does(seed):
    rng = np.random.default_rng(seed)
    folds, classes = (2, 5, 9)[seed % 3], (2, 7, 40)[seed % 4 % 3]
    truth = rng.integers(0, classes, 300)
    cluster = rng.integers(0, 120, 300) if seed % 2 else np.arange(300) // 2
    expected = np.zeros(300, int)
    whole = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (_, test) in enumerate(whole.split(truth, truth, cluster)):
            expected[test] = number
    assert (stratification.folds_of_clusters(truth, cluster, folds, seed) == expected).all()


def test_many_clusters_are_dealt_out_evenly(monkeypatch):
    monkeypatch.setattr(stratification, "MANY", 100)
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(2_000), rng.integers(1, 4, 2_000))
    truth = (cluster % 7) * (rng.random(len(cluster)) < 0.9)
    fold = stratification.folds_of_clusters(truth, cluster, 5, 0)
    assert len(np.unique(np.stack([cluster, fold], 1), axis=0)) == 2_000
    shares = np.array([np.bincount(truth[fold == k], minlength=7) for k in range(5)])
    assert (np.ptp(shares, axis=0) <= 3).all()
    other = stratification.folds_of_clusters(truth, cluster, 5, 1)
    assert 0.1 < (other == fold).mean() < 0.3  # by chance


def test_one_poor_class_among_many_is_named_and_others_are_counted():
    items = [Clip(Path(f"{k}.wav"), f"species {k % 500}") for k in range(2_500)]
    one = [clip for k, clip in enumerate(items) if k == 7 or clip.label != "species 7"]
    with pytest.raises(DataError, match=r"'species 7' has 1 different recording, .* class\.$"):
        make_scheme(one, distinct(len(one)))
    with pytest.raises(DataError) as error:
        make_scheme(items[:1_500], distinct(1_500))
    assert str(error.value).endswith(
        "give --folds 3. The same holds for 'species 1', 'species 10', 'species 100' and 496"
        " more classes."
    )
    folds = ["1" if clip.label == "species 9" else str(k // 500) for k, clip in enumerate(items)]
    alone = [replace(clip, fold=fold) for clip, fold in zip(items, folds, strict=True)]
    with pytest.raises(DataError, match=r"'species 9' is only in fold or group '1', .* class\.$"):
        make_scheme(alone, distinct(2_500))
