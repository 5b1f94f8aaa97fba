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

from earmark.data import splits, stratification
from earmark.data.clip import Clip
from earmark.data.splits import (
    _joined,
    _rarest,
    dividing_column,
    make_scheme,
    number_of_parts,
    numbered,
    understood,
)
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
        (
            [*clips(20, folds=3), Clip(Path("one.wav"), "rare", fold="2")],
            r"class 'rare' is only in fold or group '2'",
        ),
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


@pytest.mark.parametrize("seed", range(6))
def test_exact_copies_stay_in_one_fold(seed):
    """Files with the same sound, under other names, are tested together, never on each other."""
    items, content = clips(60), distinct(60)
    content[[3, 17, 41]] = 3  # of one class, three files
    content[[10, 44]] = 10
    scheme = make_scheme(items, content, seed=seed)
    assert scheme.description == "5 stratified folds of whole recordings"
    assert scheme.warnings == () and scheme.held_out is None
    assert len(set(scheme.fold[[3, 17, 41]])) == len(set(scheme.fold[[10, 44]])) == 1
    assert len(set(scheme.cluster)) == 57
    assert len(set(scheme.cluster[[3, 17, 41]])) == len(set(scheme.cluster[[10, 44]])) == 1
    alone = make_scheme(items, distinct(60), seed=seed)
    is_parted = [len(set(alone.fold[[3, 17, 41]])) > 1, len(set(alone.fold[[10, 44]])) > 1]
    assert any(is_parted)  # without the copies' numbers they would be


def test_a_chain_of_recordings_and_copies_is_one_cluster():
    """Clip 0 shares a recording with 1, which sounds like 2, which shares one with 3."""
    recording = np.array([0, 0, 1, 1, 2, 3])
    content = np.array([0, 1, 1, 2, 3, 4])
    assert _joined(recording, content).tolist() == [0, 0, 0, 0, 1, 2]
    assert _joined(recording, np.array([5, 1, 1, 2, 3, 5])).tolist() == [0, 0, 0, 0, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_clusters_are_the_connected_parts(rows):
    recording, content = (np.array(column) for column in zip(*rows, strict=True))
    recording = np.unique(recording, return_inverse=True)[1]
    expected = list(range(len(rows)))
    for _ in rows:
        for a in range(len(rows)):
            for b in range(len(rows)):
                if recording[a] == recording[b] or content[a] == content[b]:
                    expected[a] = expected[b] = min(expected[a], expected[b])
    found = _joined(recording, content)
    assert [found.tolist().index(number) for number in found.tolist()] == expected
    assert sorted(set(found)) == list(range(len(set(expected))))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=15),
    st.integers(0, 8),
)
def test_parts_are_counted_as_sets_are(rows, size):
    things, part = (np.array(column) for column in zip(*rows, strict=True))
    expected = [len({p for t, p in rows if t == k}) for k in range(max(size, things.max() + 1))]
    assert number_of_parts(things, part, size).tolist() == expected


def test_values_are_numbered_in_their_order():
    assert numbered(iter("caba")).tolist() == [2, 0, 1, 0]
    assert numbered(iter("caba")).dtype == np.int64


@pytest.mark.parametrize("count", [2, 10, 11])
def test_up_to_ten_groups_are_folds_of_their_own(count):
    items = [Clip(Path(f"{k}.wav"), f"c{k % 2}", group=f"g{k // 4:02d}") for k in range(4 * count)]
    scheme = make_scheme(items, distinct(len(items)), folds=4)
    assert scheme.cluster.tolist() == [k // 4 for k in range(4 * count)]
    if count <= 10:
        assert scheme.description == f"leave one of {count} groups out"
        assert scheme.names == tuple(f"g{k:02d}" for k in range(count))
        assert scheme.fold.tolist() == scheme.cluster.tolist()
    else:
        assert scheme.description == "4 folds of 11 whole groups"
        assert scheme.names == ("1", "2", "3", "4")
        assert sorted(set(scheme.fold)) == [0, 1, 2, 3]


@pytest.mark.parametrize("each", [3, 4, 5])
def test_as_many_recordings_of_a_class_as_folds_are_enough(each):
    items = clips(2 * each)
    assert len(make_scheme(items, distinct(2 * each), folds=each).names) == each
    with pytest.raises(DataError):
        make_scheme(items, distinct(2 * each), folds=each + 1)


def test_inner_folds_are_as_many_as_the_poorest_class_has_recordings():
    for each, folds in ((2, 2), (3, 3), (4, 3)):
        scheme = make_scheme(clips(2 * each), distinct(2 * each), folds=3, is_inner=True)
        assert scheme.names == tuple("123"[:folds])
    with pytest.raises(DataError):
        make_scheme(clips(2), distinct(2), folds=3, is_inner=True)


def test_a_test_split_is_the_second_fold():
    items = clips(12, split=["train", "train", "train", "test", "test", "train"])
    scheme = make_scheme(items, distinct(12))
    assert (scheme.names, scheme.held_out) == (("train", "test"), 1)
    assert scheme.fold.tolist() == [0, 0, 0, 1, 1, 0] * 2 and scheme.fold.dtype == np.int64


def test_given_folds_are_in_the_order_of_their_names_and_lengths():
    items = [Clip(Path(f"{k}.wav"), f"c{k % 2}", fold=str(k // 2)) for k in range(24)]
    scheme = make_scheme(items, distinct(24))
    assert scheme.names == tuple(str(k) for k in range(12))
    assert scheme.fold.tolist() == [k // 2 for k in range(24)] and scheme.held_out is None


def test_the_seed_decides_who_is_where():
    one, same, other = (make_scheme(clips(40), distinct(40), seed=seed) for seed in (0, 0, 1))
    assert (one.fold == same.fold).all() and (one.fold != other.fold).any()
    assert np.bincount(one.fold).tolist() == [8] * 5
    assert make_scheme(clips(40), distinct(40)).fold.tolist() == one.fold.tolist()
    assert make_scheme(clips(40), distinct(40), folds=4).names == ("1", "2", "3", "4")


def test_which_column_divides():
    assert dividing_column(clips(8, split=["train", "test"], folds=2, groups=2)) == "split"
    assert dividing_column(clips(8, split=["train"], folds=2, groups=2)) == "fold"
    assert dividing_column(clips(8, groups=2)) == "group"
    assert dividing_column(clips(8)) is None
    some = clips(8, groups=2, folds=2)
    some[3] = replace(some[3], fold=None)
    assert dividing_column(some) == "group"
    some[5] = replace(some[5], group=None)
    assert dividing_column(some) is None


def test_what_is_understood_is_said_with_numbers():
    assert understood(clips(8, folds=2)).startswith("2 folds, and")
    assert understood(clips(8, groups=4)).startswith("4 groups, and")
    assert understood(clips(8, groups=4)) != understood(clips(8, folds=4)).replace("fold", "group")
    assert "2" in understood(clips(8, split=["train", "train", "train", "test"]))
    assert "so folds are made" in understood(clips(8))


def test_clips_of_several_classes_are_stratified_by_the_rarest():
    items = [
        Clip(Path(f"{k}.wav"), label)
        for k, label in enumerate(["common"] * 20 + ["common;rare"] * 5 + ["other;common"] * 10)
    ]
    names, truth = _rarest(items, ";", 5)
    assert names == ["common", "other", "rare"]
    assert truth.tolist() == [0] * 20 + [2] * 5 + [1] * 10
    fold = make_scheme(items, distinct(35), separator=";").fold
    assert np.bincount(fold[20:25], minlength=5).tolist() == [1] * 5
    assert np.bincount(fold[25:], minlength=5).tolist() == [2] * 5


def test_of_equally_rare_classes_the_first_by_name_counts():
    items = [Clip(Path(f"{k}.wav"), label) for k, label in enumerate(["b;a"] * 6 + ["c"] * 9)]
    assert _rarest(items, ";", 5)[0] == ["a", "c"]


@pytest.mark.parametrize(("none", "names"), [(4, ["a", "b"]), (5, ["", "a", "b"])])
def test_clips_of_no_class_are_a_kind_where_they_fill_the_folds(none, names):
    labels = [""] * none + ["a"] * 9 + ["b"] * 6
    items = [Clip(Path(f"{k}.wav"), label) for k, label in enumerate(labels)]
    found, truth = _rarest(items, ";", 5)
    assert found == names
    assert truth[:none].tolist() == [0] * none  # with the commonest where they are too few
    assert truth[none] == len(names) - 2


def test_copies_and_groups_that_given_folds_part_are_counted():
    items = [
        Clip(Path(f"{k}.wav"), f"c{k % 2}", fold=str(k // 4), group=f"g{k % 3}") for k in range(12)
    ]
    content = distinct(12)
    content[11] = 0
    told = make_scheme(items, content).warnings
    assert [line.partition(" ")[0] for line in told] == ["1", "3"]
    assert ["exact copies" in line for line in told] == [True, False]
    together = [replace(clip, group=clip.fold) for clip in items]
    assert make_scheme(together, distinct(12)).warnings == ()


def test_the_limits():
    assert (splits.FOLDS, splits.LEAST, splits.MOST_GROUPS) == (5, 3, 10)
    assert stratification.MANY == 20_000


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=6),
    st.sampled_from([1e-8, 3e-3, 1.0]),
)
def test_the_least_spread_wins_and_of_close_ones_the_emptiest(rows, scale):
    """As scikit-learn decides: np.isclose, then fewer clips, then the first."""
    spreads = [scale * (1 + place * 0.6e-5) for place, _ in rows]
    totals = [float(total) for _, total in rows]
    best, least = 0, np.inf
    for number, spread in enumerate(spreads):
        is_fewer = np.isclose(spread, least) and totals[number] < totals[best]
        if spread < least or is_fewer:
            best, least = number, spread
    assert stratification._best(spreads, totals) == best


def test_very_small_spreads_are_close_by_an_absolute_measure():
    assert stratification._best([0.0, 0.9e-8], [5.0, 3.0]) == 1
    assert stratification._best([0.0, 1.1e-8], [5.0, 3.0]) == 0
    assert stratification._best([0.0, 0.0], [3.0, 3.0]) == 0


def test_deviations_are_those_of_all_classes_whatever_the_block(monkeypatch):
    rng = np.random.default_rng(0)
    cluster, truth = np.sort(rng.integers(0, 30, 90)), rng.integers(0, 4, 90)
    cluster = np.unique(cluster, return_inverse=True)[1]
    count = int(cluster.max()) + 1
    dense = np.zeros((count, 4))
    np.add.at(dense, (cluster, truth), 1)
    table = stratification._Table.of(cluster, truth, count, 4)
    for block in (2**20, 21, 4, 1):
        monkeypatch.setattr(stratification, "BLOCK", block)
        np.testing.assert_array_equal(table.deviations(), dense.std(1))
    assert table.starts[0] == 0 and table.starts[-1] == len(table.clips)


def test_what_fills_no_round_of_folds_is_dealt_out_by_shares(monkeypatch):
    """Of each kind of cluster as many to each fold; from one more than MANY on."""
    truth = np.repeat(np.arange(3), [22, 23, 25])
    cluster = np.arange(70)
    dealt = []
    evenly = stratification._deal_evenly

    def noted(table, fold, folds, seed):
        evenly(table, fold, folds, seed)
        dealt.append(fold.copy())

    monkeypatch.setattr(stratification, "_deal_evenly", noted)
    for most in (70, 69):
        monkeypatch.setattr(stratification, "MANY", most)
        fold = stratification.folds_of_clusters(truth, cluster, 5, 0)
        counts = [np.bincount(truth[fold == k], minlength=3) for k in range(5)]
        assert np.ptp(counts, axis=0).max() <= 1
        assert np.ptp([c.sum() for c in counts]) <= 2
    (first,) = dealt  # of 69 at most it is dealt out cluster by cluster
    assert np.bincount(first[first >= 0]).tolist() == [13] * 5 and (first == -1).sum() == 5


def test_clusters_of_a_kind_go_to_the_folds_in_turn():
    """In their order, each kind from the first fold on; what fills no round is left."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, 70)
    cluster = np.repeat(np.arange(70), kinds + 1)  # of as many clips as the kind says
    table = stratification._Table.of(cluster, np.zeros(len(cluster), int), 70, 1)
    fold = np.full(70, -1)
    stratification._deal_evenly(table, fold, 4, 0)
    for kind in range(3):
        dealt = fold[kinds == kind]
        full = len(dealt) - len(dealt) % 4
        assert dealt[:full].tolist() == [k % 4 for k in range(full)]
        assert (dealt[full:] == -1).all()


def test_many_kinds_are_told_apart():
    """300 classes of five single clips: each fold has one clip of each class."""
    truth = np.random.default_rng(0).permutation(np.repeat(np.arange(300), 5))
    table = stratification._Table.of(np.arange(1_500), truth, 1_500, 300)
    fold = np.full(1_500, -1)
    stratification._deal_evenly(table, fold, 5, 0)
    for number in range(5):
        assert (np.bincount(truth[fold == number], minlength=300) == 1).all()


def test_a_word_for_a_split_that_is_none_is_refused():
    with pytest.raises(DataError, match="tset"):
        make_scheme(clips(12, split=["train", "train", "test", "tset"]), distinct(12))
