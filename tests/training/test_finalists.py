"""Which candidates are judged on all clips, in which memory, and how progress is told."""

import dataclasses

import numpy as np
import pytest

from earmark.errors import EarmarkError
from earmark.training import finalists, heads, screening
from earmark.training.finalists import Finals, _Paced, _variants, judge_slow
from earmark.training.fitting import Fitter
from earmark.training.inner import Candidate, Contest, fold_pairs
from earmark.training.moments import moments_bytes
from toy import blobs, search_of, two_networks


def contest_of(search, losses, kinds=("prototype", "linear")):
    """A contest in which candidates have these losses."""
    contest = Contest(None, search.targets, search.table, kinds)
    contest.loss = losses
    return contest


def test_weaker_penalties_than_the_best_on_few_clips_are_tried():
    best = Candidate("linear", "x", 3e-2, balanced=True)
    assert [c.penalty for c in _variants(best, False)] == [0.009, 0.003]
    assert all((c.head, c.features, c.balanced) == ("linear", "x", True)
               for c in _variants(best, False))  # fmt: skip
    weakest = heads.screened_penalties("linear", is_final=False)[-1]
    assert weakest == 3e-4
    tried = _variants(dataclasses.replace(best, penalty=weakest), False)
    assert [c.penalty for c in tried] == [9e-5, 3e-5, 1e-5]
    with_prototype = _variants(best, True)
    assert [(c.head, c.penalty) for c in with_prototype] == [
        ("prototype", 0.0), ("linear", 0.009), ("linear", 0.003)
    ]  # fmt: skip
    alone = Candidate("prototype", "x")
    assert _variants(alone, True) == _variants(alone, False) == [alone]


@pytest.fixture
def search():
    return two_networks(size=80)


def linear(name, penalty=0.003, **options):
    return Candidate("linear", name, penalty, **options)


def sets_of(search, losses, kinds=("linear",), memory=10**12):
    finals = Finals(search.clips, memory)
    return list(dict.fromkeys(
        (c.features, c.is_weighted) for c in finals._finalists(contest_of(search, losses, kinds))
    ))  # fmt: skip


def test_the_best_set_of_layers_and_the_best_wide_one_are_judged(search):
    narrow = {linear("one/a"): 0.1, linear("one/b"): 0.2, linear("two/c"): 0.3}
    wide = {linear("all"): 0.5, linear("upper"): 0.6}  # six layers and four: both are wide
    assert sets_of(search, {**narrow, **wide}) == [("one/a", False), ("all", False)]
    assert sets_of(search, {**narrow, linear("upper"): 0.4, linear("all"): 0.5}) == [
        ("one/a", False), ("upper", False)
    ]  # fmt: skip
    three = {**narrow, linear("one/all"): 0.4, linear("all"): 0.5}  # three of six are half
    assert sets_of(search, three) == [("one/a", False), ("one/all", False)]
    two = {**narrow, linear("last"): 0.4, linear("all"): 0.5}
    assert sets_of(search, two) == [("one/a", False), ("all", False)]
    first = {linear("all"): 0.05, **narrow}  # the best is wide itself: the next best joins it
    assert sets_of(search, first) == [("all", False), ("one/a", False)]
    assert sets_of(search, {linear("one/a"): 0.1}) == [("one/a", False)]


def test_of_each_set_of_layers_the_best_variant_is_judged(search):
    losses = {linear("all, means"): 0.1, linear("all"): 0.2, linear("one/a", 0.03): 0.4,
              linear("one/a", 0.3): 0.3}  # fmt: skip
    finals = Finals(search.clips, 10**12)
    found = finals._finalists(contest_of(search, losses, ("linear",)))
    assert [(c.features, c.penalty) for c in found] == [
        ("all, means", 9e-4), ("all, means", 3e-4), ("one/a", 0.09), ("one/a", 0.03)
    ]  # fmt: skip


def test_the_best_weighted_candidate_is_judged_beside(search):
    losses = {
        linear("all", 0.03, is_weighted=True): 0.2,
        linear("all", 0.003, is_weighted=True): 0.3,
        linear("one/a"): 0.4,
    }
    finals = Finals(search.clips, 10**12)
    found = finals._finalists(contest_of(search, losses))
    assert [(c.head, c.features, c.is_weighted, c.penalty) for c in found] == [
        ("prototype", "one/a", False, 0.0), ("linear", "one/a", False, 9e-4),
        ("linear", "one/a", False, 3e-4), ("linear", "all", True, 0.009),
        ("linear", "all", True, 0.003),
    ]  # fmt: skip


def test_without_a_linear_head_prototypes_are_the_finalists(search):
    losses = {Candidate("prototype", "one/a"): 0.5, linear("all"): 0.1}
    found = Finals(search.clips, 10**12)._finalists(contest_of(search, losses, ("prototype",)))
    assert found == [Candidate("prototype", "one/a")]


@pytest.mark.parametrize("size", [400, 16])  # more clips than features, and fewer
def test_what_a_spec_needs_is_counted_to_the_byte(size):
    features, truth, _ = blobs(size=size)
    search = search_of(features, truth, 4, np.arange(size) // 4 % 4)
    table, n_pairs = search.table, len(fold_pairs(4))
    assert n_pairs == 6
    logits = 8 * size * 4 * 2 * 3 * 3  # float32 twice, of six folds, of three candidates
    if size > 20:
        needed = moments_bytes(20, 4, 4) + 4 * 20 * 4 * 3 * n_pairs * 3
    else:
        needed = 4 * size**2 * 8
    needed += logits + table.bytes_in_memory + 500_000_000
    assert Finals(search.clips, needed)._fits("good")
    small = Finals(search.clips, needed - 1)
    assert not small._fits("good") and small.too_large == {"good": needed}


def test_as_many_clips_as_features_take_kernels():
    features, truth, _ = blobs(size=20)
    search = search_of(features, truth, 4, np.arange(20) % 4)
    finals = Finals(search.clips, 0)
    finals._fits("good")
    expected = 4 * 20**2 * 8 + 8 * 20 * 4 * 18 + search.table.bytes_in_memory + 500_000_000
    assert finals.too_large == {"good": expected}


def test_the_note_names_the_memory_that_all_would_need():
    finals = Finals(two_networks().clips, 2_500_000_000)
    assert finals.note() == []
    finals.too_large.update(a=3_000_000_001, b=2_600_000_000)
    (note,) = finals.note()
    assert "2.5 GB" in note and "--memory 4 " in note and "'a'" in note and "'b'" in note


def test_no_spec_that_fits_is_refused(search):
    with pytest.raises(EarmarkError, match=r"1\.2 GB"):
        Finals(search.clips, 1_200_000_000)._finalists(contest_of(search, {}))


@pytest.mark.parametrize(
    ("steps", "jobs", "shares"), [(10, 4, 8), (3, 5, 3), (7, 1, 100), (2, 0, 1)]
)
def test_steps_are_told_evenly_and_all_of_them(steps, jobs, shares):
    told = []
    paced = _Paced(lambda: told.append(1), steps, jobs)
    counts = []
    for _ in range(max(1, jobs) * shares):
        paced(1 / shares)
        counts.append(len(told))
    assert counts[-1] == steps
    expected = [int(steps * (k + 1) / len(counts) + 1e-6) for k in range(len(counts))]
    assert counts == expected


def test_finals_judge_each_contest_by_its_own_finalists(monkeypatch):
    monkeypatch.setattr(screening, "SCREENED_BY", 30)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)
    features, truth, fold = blobs(size=120, noise=2.0)
    search = search_of(features, truth, 4, fold, kinds=("linear",))
    contests = search._contests(search.clips, [None, 1])
    screened = search._contests(search.clips, [None, 1])
    screened[None].loss = {linear("good", 0.03): 0.1, linear("bad", 0.03): 0.2}
    screened[1].loss = {linear("good", 0.003): 0.2, linear("bad", 0.03): 0.1}
    steps = []
    Finals(search.clips, 10**12).judge(screened, contests, {}, lambda: steps.append(1))
    assert len(steps) == len(search.table.names) == 2
    assert {(c.features, c.penalty) for c in contests[None].loss} == {
        ("good", 0.009), ("good", 0.003), ("bad", 0.009), ("bad", 0.003)
    }  # fmt: skip
    assert {(c.features, c.penalty) for c in contests[1].loss} == {
        ("good", 9e-4), ("good", 3e-4), ("bad", 0.009), ("bad", 0.003)
    }  # fmt: skip


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_slow_heads_are_judged_where_they_compete_by_fits_without_both_folds(
    is_in_memory, monkeypatch
):
    features, truth, fold = blobs(size=60, noise=2.0)
    search = search_of(features, truth, 4, fold, kinds=("logistic",))
    if not is_in_memory:
        monkeypatch.setattr(type(search.table), "is_in_memory", property(lambda self: False))
    contests = search._contests(search.clips, [None, 1, 2])
    rivals = {
        None: [Candidate("logistic", "good", penalty) for penalty in (0.3, 0.03)],
        1: [Candidate("logistic", "bad", 0.3), Candidate("logistic", "good", 0.03)],
        2: [],
    }
    judge_slow(Fitter(search.clips), contests, rivals)
    assert [set(contests[tested].loss) for tested in rivals] == [set(r) for r in rivals.values()]
    assert contests[1].loss[rivals[1][1]] < contests[1].loss[rivals[1][0]]


def test_the_limits():
    assert (finalists.FINALISTS, finalists.WIDE, finalists.FACTORS) == (2, 0.5, (0.3, 0.1))
    assert (finalists.LEAST_PENALTY, finalists.FITS) == (1e-5, 3)
