"""What a search asks, counts and leaves out: evidence, guards on cost, progress, plans."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.classifier.calibration import log_loss, sigmoid
from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import KINDS
from earmark.classifier.targets import Targets
from earmark.training import inner, judging, metrics, runs, screening, selection, weighting
from earmark.training.inner import Candidate, Contest, InnerLogits, fold_pairs, serves
from earmark.training.judging import FoldedClips, InnerFit
from toy import blobs, search_of, two_networks

# Evidence


@given(st.integers(3, 14))
def test_each_fold_is_judged_by_three_on_either_side(count):
    pairs = fold_pairs(count)
    assert pairs == sorted(set(pairs)) and all(i < j for i, j in pairs)
    expected = {
        (i, j) for i in range(count) for j in range(i + 1, count) if min(j - i, count - j + i) <= 3
    }
    assert set(pairs) == expected
    assert fold_pairs(2) == [(0, 0), (1, 1)]


def test_a_model_is_evidence_for_the_folds_that_it_was_not_fitted_to():
    assert serves((0, 3), [3]) and serves((0, 3), [1, 0]) and serves((1, 2), [None])
    assert not serves((0, 3), [1, 2]) and not serves((0, 3), [])

    def judges(pair, held, tested):
        return InnerLogits([], pair, held, np.arange(1), np.zeros((0, 1, 2))).judges(tested)

    assert judges((0, 3), 3, 0) and judges((0, 3), 0, 3) and judges((0, 3), 0, None)
    assert not judges((0, 3), 0, 0) and not judges((0, 3), 0, 1)
    assert judges((1, 1), 1, None) and not judges((1, 1), 1, 1) and not judges((1, 1), 1, 0)


def table_of(n, *names):
    features = {name: np.zeros((n, 10 + k), np.float32) for k, name in enumerate(names)}
    return search_of(features, np.arange(n) % 3, 3, np.arange(n) % 2).table


def entered(targets, candidates, logits, kinds=KINDS, tested=None, **options):
    contest = Contest(tested, targets, table_of(len(targets), "a", "b"), kinds)
    parts = [InnerLogits(candidates, (0, 1), 0, np.arange(len(targets)), logits)]
    contest.enter(parts, **options)
    return contest


@pytest.mark.parametrize("at_once", [1, 10**9])
def test_losses_and_qualities_are_weighted_means(at_once, monkeypatch):
    monkeypatch.setattr(inner, "MOST_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 50)
    targets = dataclasses.replace(Targets.single(truth, 3), weights=rng.uniform(0.2, 3, 50))
    candidates = [Candidate("linear", "a", 0.3), Candidate("prototype", "b"), Candidate("mlp", "a")]
    logits = (rng.normal(size=(3, 50, 3)) + np.eye(3)[truth]).astype(np.float32)
    contest = entered(targets, candidates, logits)
    losses = log_loss(logits, truth, targets.weights, 50)
    for candidate, own, loss in zip(candidates, logits, losses, strict=True):
        right = own.argmax(1) == truth
        assert contest.loss[candidate] == pytest.approx(np.average(loss, weights=targets.weights))
        quality = np.average(right, weights=targets.weights)
        assert contest.quality[candidate] == pytest.approx(quality)
    some = entered(targets, candidates, logits, eligible=candidates[1:2])
    assert some.loss == {candidates[1]: contest.loss[candidates[1]]}
    assert entered(targets, candidates, logits, tested=0).loss == {}  # its own clips
    assert entered(targets, candidates, logits, tested=1).loss == contest.loss
    assert entered(targets, candidates, logits, tested=2).loss == {}


def test_of_several_classes_the_loss_is_the_squared_error(monkeypatch):
    rng = np.random.default_rng(0)
    onehot = rng.random((40, 3)) < 0.4
    targets = Targets.several(onehot)
    candidates = [Candidate("linear", "a", 0.3), Candidate("mlp", "b")]
    logits = rng.normal(0.3, 1, (2, 40, 3)).astype(np.float32)
    contest = entered(targets, candidates, logits)
    scores = [logits[0].clip(0, 1), sigmoid(logits[1])]
    for candidate, own, score in zip(candidates, logits, scores, strict=True):
        assert contest.loss[candidate] == pytest.approx(np.square(score - onehot).mean(), rel=1e-5)
        quality = metrics.quality(own, onehot.astype(float), False).mean()
        assert contest.quality[candidate] == pytest.approx(quality)
    monkeypatch.setattr(inner, "BLOCK", 7)
    assert entered(targets, candidates, logits).quality == pytest.approx(contest.quality)
    share = onehot.mean(0)
    assert contest.unit == pytest.approx((share * (1 - share)).mean() / np.log(3))
    every = Contest(None, Targets.several(np.ones((5, 2))), table_of(5, "a"), KINDS)
    assert every.unit == inner.LEAST_UNIT == 1e-9
    one = Contest(None, Targets.several(np.arange(6)[:, None] < 3), table_of(6, "a"), KINDS)
    assert one.unit == pytest.approx(0.25 / np.log(2))
    assert entered(Targets.single(np.arange(40) % 3, 3), candidates, logits).unit == 1.0


def test_only_the_best_of_a_set_of_layers_may_win_and_of_few_sets():
    names = [f"s{k:02d}" for k in range(14)]
    features = {name: np.zeros((6, 10), np.float32) for name in names}
    table = search_of(features, np.arange(6) % 2, 2, np.arange(6) % 2).table
    targets = Targets.single(np.arange(6) % 2, 2)
    contest = Contest(None, targets, table, ("linear", "mlp"))
    for k, name in enumerate(names):
        margin = 1.0 + (k * 5) % 14
        noise = np.random.default_rng(0).normal(size=(6, 2))
        logits = (margin * np.eye(2)[np.arange(6) % 2] + noise)[None].astype(np.float32)
        for candidate in (Candidate("linear", name, 0.3), Candidate("prototype", name)):
            contest.enter([InnerLogits([candidate], (0, 1), 0, np.arange(6), logits)])
    kept = [answers.candidate for answers in contest._best.values()]
    assert len(kept) == 8 and all(candidate.head == "linear" for candidate in kept)
    best = [c for c in contest.ranked() if c.head == "linear"][:8]
    assert set(kept) == set(best) and contest.best() == best[0]


def test_answers_are_kept_of_some_clips_only(monkeypatch):
    monkeypatch.setattr(inner, "MOST_KEPT", 12)
    targets = Targets.single(np.arange(30) % 3, 3)
    logits = np.random.default_rng(0).normal(size=(1, 30, 3)).astype(np.float32)
    (kept,) = entered(targets, [Candidate("linear", "a", 0.3)], logits)._best.values()
    assert len(kept.rows) == 12
    np.testing.assert_array_equal(kept.logits, logits[0, kept.rows])
    many = Targets.single(np.arange(30) % 3, 399)
    wide = np.pad(logits, ((0, 0), (0, 0), (0, 396)))
    (kept,) = entered(many, [Candidate("linear", "a", 0.3)], wide)._best.values()
    assert len(kept.rows) == 4  # a third: 399 // 100


def test_of_equal_loss_the_simpler_is_best():
    """Head, size, weights of layers, balance, penalty, name: in this order."""
    targets = Targets.single(np.arange(6) % 3, 3)
    rivals = [
        Candidate("prototype", "b"),
        Candidate("linear", "a", 0.3),
        Candidate("linear", "a", 0.03),
        Candidate("linear", "a", 0.3, balanced=True),
        Candidate("linear", "a", 0.3, is_weighted=True),
        Candidate("linear", "b", 0.3),
        Candidate("logistic", "a", 0.3),
        Candidate("mlp", "a"),
    ]
    logits = np.tile(np.random.default_rng(0).normal(size=(1, 6, 3)), (len(rivals), 1, 1))
    contest = entered(targets, rivals[::-1], logits.astype(np.float32))
    assert contest.ranked() == rivals and contest.best() == rivals[0]


def test_the_limits():
    assert (inner.NEIGHBOURS, inner.COUNTS, inner.MOST_KEPT) == (3, (1, 2, 3, 4), 4_000)


# Answers


def test_clips_of_a_fold_come_in_runs_and_blocks(monkeypatch):
    features, truth, fold = blobs(size=60)
    clips = search_of(features, truth, 4, fold).clips
    assert clips.n_folds == 5
    size = clips.table.size("good")
    monkeypatch.setattr(runs, "RUN", 15)
    monkeypatch.setattr(runs, "BLOCK", 6)
    monkeypatch.setattr(runs, "GROUP_BYTES", 2 * 4 * size**2)  # two folds at once
    cut = runs.fold_runs(fold, 5, size)
    assert [(list(run.folds), len(run.places)) for run in cut] == [
        ([0, 1], 15),
        ([0, 1], 9),
        ([2, 3], 15),
        ([2, 3], 9),
        ([4], 12),
    ]
    for run in cut:
        assert np.array_equal(np.array(run.folds)[run.fold], fold[run.places])
        job = runs.Job(clips.table.run("good", run.places), "good", run.fold, len(run.folds))
        blocks = list(job.blocks())
        assert all(len(rows) <= 6 and (run.fold[rows] == own).all() for own, rows, _ in blocks)
        order = np.concatenate([rows for _, rows, _ in blocks])
        assert sorted(order) == list(range(len(run.places)))
        np.testing.assert_allclose(
            np.concatenate([x for _, _, x in blocks]),
            clips.table.features("good", run.places[order]),
        )
    monkeypatch.setattr(runs, "GROUP_BYTES", 0)
    assert [list(run.folds) for run in runs.fold_runs(fold, 5, size)] == [[k] for k in range(5)]


def test_what_is_fitted_for_whom():
    plain = [Candidate("linear", "x", p) for p in (0.3, 0.03)]
    prototype = Candidate("prototype", "x")
    weighted = Candidate("linear", "x", 0.3, is_weighted=True)
    eligible = {None: {plain[1], weighted}, 0: {plain[0], prototype}, 2: {weighted}}
    weights = {None: (1.0, 1.0), 0: (1.0, 0.0), 2: (0.0, 1.0)}
    fits = judging._inner_fits(eligible, weights, 3)
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert fits == [
        *(InnerFit(pair, [prototype, *plain]) for pair in pairs),
        *(InnerFit(pair, [weighted], (1.0, 0.0), 0) for pair in pairs[:2]),
        *(InnerFit(pair, [weighted], (0.0, 1.0), 2) for pair in pairs[1:]),
    ]
    alone = judging._inner_fits({None: {weighted}}, {None: (1.0, 0.5)}, 3)
    assert alone == [InnerFit(pair, [weighted], (1.0, 0.5)) for pair in pairs]
    one = judging._inner_fits({1: {plain[0]}}, {}, 4)
    assert [fit.pair for fit in one] == [(0, 1), (1, 2), (1, 3)]
    assert judging._scored_folds(InnerFit((1, 3), [])) == [1, 3]
    assert judging._scored_folds(InnerFit((1, 3), [], (), 3)) == [1]
    assert judging._scored_folds(InnerFit((1, 1), [])) == [1]


@pytest.mark.parametrize("size", [24, 300])  # by kernels, and by sums
def test_all_of_the_work_is_told_and_memory_changes_no_answer(size, monkeypatch):
    search = two_networks(size=size, units=4)
    candidates = [Candidate("linear", "all", p, is_weighted=True) for p in (0.3, 0.03)]
    weights = {None: (1.0,) * 6, **{k: (1.0, 0.5 + k / 10, 1, 0, 0, 0.5) for k in range(5)}}
    eligible = {key: set(candidates) for key in weights}

    def losses():
        shares = []
        contests = search._contests(search.clips, list(eligible))
        judging.judge(search.clips, eligible, contests, weights, shares.append)
        assert sum(shares) == pytest.approx(1) and min(shares) > 0
        return [contest.loss for contest in contests.values()]

    expected = losses()
    assert all(set(own) == set(candidates) for own in expected)
    monkeypatch.setattr(judging, "KERNELS_BYTES", 1)
    monkeypatch.setattr(judging, "BLOCK", 11)
    for one, other in zip(expected, losses(), strict=True):
        assert other == pytest.approx(one, rel=1e-3)


@pytest.mark.parametrize("at_once", [1, 4, 10])
def test_kernels_of_so_many_weights_are_in_memory_at_a_time(at_once, monkeypatch):
    search = two_networks(size=20, units=4)
    candidates = [Candidate("linear", "all", 0.3, is_weighted=True)]
    weights = [(1.0, k / 10, 1, 0, 0, 0.5) for k in range(1, 6)]
    fits = [InnerFit((0, 1), candidates, own) for own in [*weights, weights[0]]]
    asked, kernels = [], type(search.table).weighted_kernels

    def noted(table, name, rows, some, scaled_by=None):
        asked.append(len(some))
        return kernels(table, name, rows, some, scaled_by)

    monkeypatch.setattr(type(search.table), "weighted_kernels", noted)
    monkeypatch.setattr(judging, "KERNELS_BYTES", at_once * 4 * 20**2 + 3)
    shares = []
    parts = judging._answer(search.clips, fits, shares.append)
    assert asked == {1: [1] * 5, 4: [4, 1], 10: [5]}[at_once]
    assert [part.held for part in parts] == [0, 1] * 6 and shares == [1 / 6] * 6
    for fit, part in zip(fits, parts[::2], strict=True):
        kernel = search.table.kernel("all", np.arange(20), weights=fit.weights)
        np.testing.assert_allclose(
            part.logits, judging.by_kernel(search.clips, kernel, fit)[0].logits, atol=1e-4
        )
    monkeypatch.setattr(judging, "KERNELS_BYTES", 4 * 20**2 - 1)
    asked.clear()
    judging._answer(search.clips, fits, shares.append)
    assert asked == [1] * 5


def test_as_many_clips_as_features_are_answered_by_kernels(monkeypatch):
    features, truth, fold = blobs(size=21)
    asked = []
    monkeypatch.setattr(judging, "by_moments", lambda clips, *_: asked.append(len(clips.fold)))
    monkeypatch.setattr(judging, "by_kernel", lambda clips, *_: asked.append("kernel") or [])
    for n in (20, 21):
        x = {"good": features["good"][:n]}
        search = search_of(x, truth[:n], 4, fold[:n])
        fits = [InnerFit((0, 1), [Candidate("linear", "good", 0.3)])]
        judging._answer(search.clips, fits, lambda share: None)
    assert asked == ["kernel", 21]


def test_logits_are_computed_some_clips_at_a_time(monkeypatch):
    features, truth, fold = blobs(size=60)
    search = search_of(features, truth, 4, fold)
    average = inner.Average((Candidate("linear", "good", 0.03),))
    head = search.fit_rows(average, np.arange(60))
    rows = np.arange(50)[::-1]
    whole = head.logits(features["good"][rows])
    sizes = []
    monkeypatch.setattr(runs, "BLOCK", 15)
    monkeypatch.setattr(
        type(head), "logits", lambda self, x: sizes.append(len(x)) or self._logits(
            (x - self.tensors["mean"]) / self.tensors["scale"])
    )  # fmt: skip
    np.testing.assert_allclose(search.logits(average, head, rows), whole, rtol=1e-6)
    assert sizes == [15, 15, 15, 5]


def test_balanced_candidates_are_fitted_with_balanced_weights():
    targets = Targets.single(np.array([0, 0, 0, 1]), 2)
    table = table_of(4, "a")
    clips = FoldedClips.of(table, targets, np.arange(4) % 2, True)
    assert clips.weighted(Candidate("linear", "a", 0.3)) is targets
    balanced = clips.weighted(Candidate("linear", "a", 0.3, balanced=True))
    np.testing.assert_allclose(balanced.weights, targets.balanced().weights)
    assert clips.is_balanced


# Weights of layers


def weights_of(losses, monkeypatch, unit=None):
    search = two_networks()
    contest = Contest(None, search.targets, search.table, KINDS)
    contest.loss = losses
    if unit is not None:
        monkeypatch.setattr(Contest, "unit", unit)
    return weighting.layer_weights({None: contest}, search.table)[None]


def test_a_layer_weighs_less_by_e_for_each_fifth_of_a_nat(monkeypatch):
    losses = {
        Candidate("linear", "one/a", 0.3): 0.7,
        Candidate("linear", "one/a", 0.03): 0.5,
        Candidate("prototype", "one/b"): 0.3,
        Candidate("linear", "one/c", 0.3): 0.4,
        Candidate("mlp", "one/c"): 0.1,  # slow heads have no say
        Candidate("linear", "two/a", 0.3): 0.3 + 0.2 * 3.9,
        Candidate("linear", "two/b", 0.3): 0.3 + 0.2 * 3.95,
        Candidate("linear", "two/c", 0.3): 5.0,
        Candidate("linear", "two/c, means", 0.3): 0.2,  # not all of the layer
    }
    expected = (np.exp(-1), 1, np.exp(-0.5), np.exp(-3.9), 0, 0)
    assert weighting.SHARPNESS == 0.2 and weighting.LEAST == 0.02
    found = weights_of(losses, monkeypatch)
    assert found == tuple(np.round(expected, 4).tolist())
    assert weights_of(losses, monkeypatch, unit=2.0)[0] == round(np.exp(-0.5), 4)
    few = {c: loss for c, loss in losses.items() if c.features != "two/a"}
    assert weights_of(few, monkeypatch)[3] == 0  # a layer that was not judged


def test_the_joint_spec_reads_all_of_every_layer():
    table = two_networks().table
    assert weighting.joint_name(table) == "all"
    specs = dict(table.specs)

    def joint(specs):
        return weighting.joint_name(dataclasses.replace(table, specs=specs))

    without = {name: spec for name, spec in specs.items() if name != "all"}
    assert joint(without) is None
    assert joint({name: spec for name, spec in specs.items() if name != "one/b"}) is None
    assert joint({name: spec for name, spec in specs.items() if name != "two/c"}) is None
    one = {"x": specs["one/a"]}
    assert joint(one) is None
    for change in ({"spread": False}, {"bands": False}, {"averaged": True}):
        assert joint({**specs, "all": dataclasses.replace(specs["all"], **change)}) is None
    single = search_of({"x": np.zeros((6, 4), np.float32)}, np.arange(6) % 2, 2, np.arange(6) % 3)
    assert weighting.joint_name(single.table) is None
    x = {name: np.zeros((6, 4), np.float32) for name in "xy"}
    pair = search_of(x, np.arange(6) % 2, 2, np.arange(6) % 3).table
    both = {name: FeatureSpec((tuple(name),)) for name in ("x", "y", "xy")}
    assert weighting.joint_name(dataclasses.replace(pair, specs=both)) == "xy"
    whole = {"x": FeatureSpec((("x",),))}  # one layer has nothing to weigh against
    assert weighting.joint_name(dataclasses.replace(single.table, specs=whole)) is None


# Searches


def test_rows_of_folds():
    features, truth, fold = blobs(size=60)
    search = search_of(features, truth, 4, fold, balanced=True)
    assert search.rows_but(None).tolist() == list(range(60))
    assert search.rows_but(1, None, 4).tolist() == [k for k in range(60) if fold[k] not in (1, 4)]
    assert search.rows_without(1, 100).tolist() == search.rows_but(1).tolist()
    some = search.rows_without(1, 16)
    assert len(some) == 16 and 1 not in fold[some]
    assert np.bincount(truth[some]).tolist() == [4] * 4
    rows = np.arange(0, 60, 7)
    assert (search.targets_of(rows, False).weights == 1).all()
    weights = search.targets.balanced().weights[rows]
    np.testing.assert_allclose(search.targets_of(rows, True).weights, weights)


def test_a_plan_holds_back_the_next_fold():
    features, truth, fold = blobs(size=60)
    told = []
    search = search_of(features, truth, 4, fold, kinds=("prototype",), step=lambda: told.append(1))
    plans = search.plans()
    assert len(told) == 4
    search.out_of_fold(plans)
    assert len(told) == 4 + 5
    some = search.out_of_fold(plans[1:2])
    assert (some[fold != 1] == 0).all() and (some[fold == 1] != 0).all()
    for number, plan in enumerate(plans):
        assert plan.test.tolist() == np.flatnonzero(fold == number).tolist()
        assert plan.rows.tolist() == np.flatnonzero(fold != number).tolist()
        assert plan.inner.tolist() == np.flatnonzero(fold == (number + 1) % 5).tolist()
        assert plan.choice is search.choose(number)


@pytest.mark.parametrize("few", [False, True])
def test_a_step_is_told_twice_for_each_spec_and_once_for_each_fold(few, monkeypatch):
    if few:
        monkeypatch.setattr(screening, "SCREENED_BY", 30)
        monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)
    told = []
    search = dataclasses.replace(
        two_networks(size=80), kinds=("prototype", "linear"), step=lambda: told.append(1)
    )
    plans = search.plans()
    assert len(told) == 2 * len(search.table.names)
    search.choose(3)
    assert len(told) == 2 * len(search.table.names)  # it is known
    search.out_of_fold(plans)
    assert len(told) == 2 * len(search.table.names) + 5


@pytest.mark.parametrize(("most", "is_tried"), [(60, True), (59, False)])
@pytest.mark.parametrize("few", [False, True])
def test_with_many_clips_slow_heads_are_left_out_and_named(most, is_tried, few, monkeypatch):
    assert selection.MOST_SLOW == 5_000
    monkeypatch.setattr(selection, "MOST_SLOW", most)
    if few:
        monkeypatch.setattr(screening, "SCREENED_BY", 21)
        monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)
    features, truth, fold = blobs(size=60, noise=2.0)
    features = {"good": features["good"][:, :10]}
    search = search_of(features, truth, 4, fold, kinds=("linear", "logistic"))
    choice = search.choose()
    heads = {candidate.head for candidate in {**choice.loss, **choice.screened}}
    assert heads == ({"linear", "logistic"} if is_tried else {"linear"})
    assert len(search.notes) == (few and not is_tried)
    if search.notes:
        assert "60" in search.notes[0] and "--head" in search.notes[0]
    alone = search_of(features, truth, 4, fold, kinds=("logistic",)).choose()
    assert alone.best.head == "logistic"  # asked for alone: trained, however many clips


def test_on_few_takes_what_is_best_there(monkeypatch):
    monkeypatch.setattr(screening, "SCREENED_BY", 30)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)
    features, truth, fold = blobs(size=160)
    search = search_of(features, truth, 4, fold, kinds=("prototype", "linear"))
    judged = []
    finals = selection.Finals
    monkeypatch.setattr(selection, "Finals", lambda *a: judged.append(1) or finals(*a))
    assert dataclasses.replace(search, on_few=True, _choices={}).choose().screened == {}
    assert not judged
    assert search.choose().screened and judged


def test_an_unbalanced_search_has_no_balanced_weights():
    features, truth, fold = blobs(size=60)
    for is_balanced in (False, True):
        search = search_of(features, np.minimum(truth, 1), 2, fold, balanced=is_balanced)
        contest = search._contests(search.clips, [None])[None]
        assert (len(set(contest.targets.weights.tolist())) > 1) == is_balanced


def test_what_a_search_is_by_default():
    features, truth, fold = blobs(size=60)
    search = search_of(features, truth, 4, fold)
    assert (search.seed, search.balanced, search.on_few) == (0, False, False)
    assert (search.memory, search.kinds, search.notes) == (4_000_000_000, KINDS, [])


def test_one_fit_is_answered_alone():
    features, truth, fold = blobs(size=60)
    clips = search_of(features, truth, 4, fold).clips
    fit = InnerFit((1, 2), [Candidate("linear", "good", 0.3)])
    found = judging.by_moments(clips, [fit], lambda n: None)
    assert [part.held for part in found] == [1, 2]
    several = judging.by_moments(clips, [InnerFit((0, 1), fit.candidates), fit], lambda n: None)
    np.testing.assert_array_equal(
        found[0].logits, next(p.logits for p in several if p.pair == (1, 2) and p.held == 1)
    )
