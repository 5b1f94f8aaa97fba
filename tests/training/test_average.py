"""Layers that weigh by what they are worth alone, and heads that are averaged into one."""

import contextlib
import copy
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

import earmark
from earmark.classifier import calibration
from earmark.classifier.calibration import fit_temperature
from earmark.classifier.file import digest_of, read_parts
from earmark.classifier.head import KINDS, Head
from earmark.classifier.targets import Targets
from earmark.errors import ModelError
from earmark.training import average as averages
from earmark.training import fitting, inner, judging, screening, selection, weighting
from earmark.training.average import collapse
from earmark.training.contributions import contributions
from earmark.training.inner import Average, Candidate, Contest, InnerLogits, fold_pairs
from earmark.training.judging import InnerFit
from earmark.training.moments import NEVER
from toy import two_networks

WEIGHTS = (1.0, 0.0, 0.25, 0.5, 0.0, 0.125)
MEMBERS = (
    Candidate("linear", "all", 3e-4, is_weighted=True, weights=WEIGHTS),
    Candidate("linear", "one/upper, no bands", 1e-3),
    Candidate("prototype", "last, means"),
    Candidate("linear", "all", 1e-5),
)
AVERAGE = Average(MEMBERS, (0.4, 0.3, 0.1, 0.2))


def sum_of_members(search, average, rows):
    """Return logits (N, K) of the members one by one, in double precision."""
    table, every = search.table, np.arange(len(search.fold))
    total = 0.0
    for member, factor in zip(average.members, average.factors, strict=True):
        alone = Average((member,))
        head = search.fitter.fit(member, rows)
        logits = head.logits(table.features(alone.specs(table), every))
        total = total + factor * logits.astype(np.float64)
    return total


@pytest.mark.parametrize("size", [60, 120])  # fewer clips than features, and more
@pytest.mark.parametrize("long", [5_000, 30])  # fitted from features, and from sums
def test_an_average_of_linear_heads_is_one_linear_head(size, long, monkeypatch):
    monkeypatch.setattr(fitting, "LONG", long)
    search = two_networks(size=size)
    rows = search.rows_but(2)
    head = search.fit_rows(AVERAGE, rows)
    assert head.kind == "linear" and head.tensors["weight"].ndim == 2
    found = search.logits(AVERAGE, head, np.arange(size))
    np.testing.assert_allclose(found, sum_of_members(search, AVERAGE, rows), atol=2e-5)
    x = search.table.features(AVERAGE.specs(search.table), rows)
    lengths = np.square((x - head.tensors["mean"]) / head.tensors["scale"]).sum(1)
    assert lengths.mean() == pytest.approx(1, abs=1e-4)  # known_score counts on it


@pytest.mark.parametrize("long", [5_000, 30])
def test_heads_without_folds_are_those_of_the_other_clips(long, monkeypatch):
    monkeypatch.setattr(fitting, "LONG", long)
    search, every = two_networks(size=90), np.arange(90)
    balanced = dataclasses.replace(MEMBERS[1], balanced=True)
    several = [AVERAGE, Average(MEMBERS[:1]), Average((balanced, MEMBERS[2]), (0.5, 0.5))]
    fitted = search.fitter.fit_without(several, [[0], [1, 2], [4]])
    for average, left_out, head in zip(several, ([0], [1, 2], [4]), fitted, strict=True):
        expected = sum_of_members(search, average, search.rows_but(*left_out))
        np.testing.assert_allclose(search.logits(average, head, every), expected, atol=2e-5)


@given(st.integers(0, 99), st.integers(1, 4))
@settings(max_examples=20)
def test_members_may_share_features_or_not(seed, n_members):
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(9)[: rng.integers(1, 9)] for _ in range(n_members)]
    members = []
    for own in columns:
        tensors = {"mean": rng.normal(size=len(own)), "scale": rng.uniform(0.5, 2, len(own))}
        tensors["scale"][0] = np.inf  # a unit that is not read
        tensors |= {"weight": rng.normal(size=(3, len(own))), "bias": rng.normal(size=3)}
        members.append(
            earmark.classifier.head.Head("linear", {k: v.astype("f4") for k, v in tensors.items()})
        )
    factors, x = rng.uniform(0, 1, n_members).tolist(), rng.normal(size=(5, 9)).astype("f4")
    head = collapse(members, columns, factors, 9)
    expected = sum(
        f * m.logits(x[:, own]) for f, m, own in zip(factors, members, columns, strict=True)
    )
    np.testing.assert_allclose(head.logits(x), expected, rtol=1e-6, atol=1e-6 * n_members)


def test_weights_of_layers_are_those_of_their_features_products():
    table, rows = two_networks().table, np.arange(120)
    weights = table.feature_weights("all", WEIGHTS)
    x = table.features("all", rows)
    z = (x - x.mean(0)) / x.std(0)
    expected = (z * weights) @ z.T / weights.sum()
    found = table.kernel("all", rows, weights=WEIGHTS)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    spec = table.spec("all", WEIGHTS)
    assert spec.layers == (("a", "c"), ("a", "c"))
    assert table.size([spec]) == np.count_nonzero(weights)
    # however many features a layer has: b of two bands weighs as c of one
    assert weights[: 2 * 12].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("size", [60, 120])
def test_weighted_layers_are_judged_alike_by_kernels_and_by_sums(size):
    search = two_networks(size=size)
    members = [Candidate("linear", "all", p, is_weighted=True) for p in (1e-2, 1e-3)]
    fits = [InnerFit(pair, members, WEIGHTS, pair[0]) for pair in fold_pairs(5)]
    kernel = search.table.kernel("all", np.arange(size), weights=WEIGHTS)
    summed = judging.by_moments(search.clips, fits, lambda n: None)
    for fit, other in zip(fits, sorted(summed, key=lambda part: part.pair), strict=True):
        (one,) = judging.by_kernel(search.clips, kernel, fit)
        assert one.held == other.held == fit.pair[1]
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_allclose(one.logits, other.logits, atol=0.2)  # scaled by all clips


@pytest.mark.parametrize("few", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_backbone_that_knows_nothing_is_left_out(few, monkeypatch):
    """It has as many layers as the other, and concatenated it costs accuracy."""
    if few:
        monkeypatch.setattr(screening, "SCREENED_BY", 40)
        monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)
    monkeypatch.setattr(weighting, "SHARPNESS", 0.1)
    search = two_networks(size=160, noise=1.5)
    weighted = [c for c in search.choose().loss if c.is_weighted]
    assert weighted
    weights = weighting.layer_weights({None: _contest(search)}, search.table)[None]
    assert max(weights[:3]) == 1 and max(weights[3:]) < 0.2
    plain = min(v for c, v in search.choose().loss.items() if c.features == "all")
    assert min(search.choose().loss[c] for c in weighted) <= plain


def _contest(search):
    clips = search.clips
    contest = Contest(None, search.targets, search.table, KINDS)
    screening.screen(clips, KINDS, {None: contest}, lambda: None, is_final=True)
    return contest


@pytest.mark.slow
def test_a_tested_fold_weighs_no_layer(monkeypatch):
    """Other labels in it change neither what is chosen for it, nor weights, nor answers."""
    search = two_networks(noise=2.0)
    truth = search.targets.classes.copy()
    truth[search.fold == 2] = (truth[search.fold == 2] + 1) % 4
    spoilt = dataclasses.replace(search, targets=Targets.single(truth, 4), _choices={})
    weights = []
    noted = selection.layer_weights
    monkeypatch.setattr(
        selection, "layer_weights", lambda *a: weights.append(noted(*a)) or weights[-1]
    )
    one, other = (s.plans() for s in (search, spoilt))
    assert weights[0][2] == weights[1][2] and weights[0][0] != weights[1][0]
    assert one[2].choice.best == other[2].choice.best
    assert one[0].choice.best != other[0].choice.best
    test = search.fold == 2
    np.testing.assert_array_equal(search.out_of_fold(one)[test], spoilt.out_of_fold(other)[test])


def test_the_average_is_taken_where_inner_clips_say_so():
    """Two rivals that err on different clips are better together; a third is worse alone."""
    truth = np.arange(40) % 2
    search = two_networks(size=40)
    rng = np.random.default_rng(0)
    sure = np.eye(2)[truth] * 2
    rivals = [
        Candidate("linear", name, 1e-3) for name in ("one/upper", "two/upper", "two/all, means")
    ]
    logits = np.stack([sure + rng.normal(0, s, (40, 2)) for s in (1.2, 1.3, 30.0)])
    contest = Contest(None, Targets.single(truth, 2), search.table, ("linear",))
    contest.enter([InnerLogits(rivals, (0, 1), 0, np.arange(40), logits.astype(np.float32))])
    choice = contest.choice()
    assert {*rivals[:2]} <= {*choice.best.members} and choice.best.head == "linear"
    assert sum(choice.best.factors) == pytest.approx(1) and max(choice.best.factors) < 0.6
    alone = Contest(None, Targets.single(truth, 2), search.table, ("prototype",))
    few = [dataclasses.replace(rival, head="prototype") for rival in rivals]
    alone.enter([InnerLogits(few, (0, 1), 0, np.arange(40), logits.astype(np.float32))])
    assert alone.choice().best.is_single  # who asks for one kind of head gets it


def test_classes_that_come_in_turn_are_all_kept(monkeypatch):
    """A stride that shares a factor with their number would keep the clips of one class only."""
    monkeypatch.setattr(inner, "MOST_KEPT", 100)
    monkeypatch.setattr(calibration, "MOST_FITTED", 100)
    rng, truth = np.random.default_rng(0), np.arange(400) % 4
    noise = rng.normal(0, np.array([0.05, 1, 1, 1])[truth][:, None], (400, 4))
    logits = (np.eye(4)[truth] + noise)[None].astype(np.float32)
    contest = Contest(None, Targets.single(truth, 4), two_networks(size=8).table, ("linear",))
    contest.enter([InnerLogits(MEMBERS[1:2], (0, 1), 0, np.arange(400), logits)])
    expected = fit_temperature(logits[0], truth, np.ones(400))
    assert contest.choice().calibration.temperature == pytest.approx(expected, rel=0.3)


def test_an_mlp_is_kept_only_if_no_average_is_better():
    truth = np.arange(80) % 2
    rng, search = np.random.default_rng(0), two_networks(size=80)
    names = ("one/upper", "two/upper", "one/all", "two/all")
    rivals = [Candidate("linear", name, 1e-3) for name in names] + [Candidate("mlp", "one/upper")]
    sds = (1.4, 1.4, 1.4, 1.4, 0.75)
    logits = np.stack([np.eye(2)[truth] + rng.normal(0, s, (80, 2)) for s in sds])
    contest = Contest(None, Targets.single(truth, 2), search.table, KINDS)
    contest.enter([InnerLogits(rivals, (0, 1), 0, np.arange(80), logits.astype(np.float32))])
    assert contest.best().head == "mlp"
    assert contest.choice().best.head == "linear" and len(contest.choice().best.members) == 4


def test_few_clips_without_an_error_are_not_infinitely_sure():
    """As if one clip more had been seen, for which all classes are equally true."""
    for n_clips in (10, 40, 400):
        truth = np.arange(n_clips) % 4
        scores = 1 / (
            1 + 3 * np.exp(-1 / fit_temperature(np.eye(4)[truth], truth, np.ones(n_clips)))
        )
        assert scores == pytest.approx((n_clips + 0.25) / (n_clips + 1), abs=2e-3)


def test_a_class_that_was_not_in_training_does_not_soften_the_scores():
    truth = np.arange(40) % 3
    logits = np.concatenate([np.eye(3)[truth], np.full((40, 1), -1e4)], 1)
    three = fit_temperature(np.eye(3)[truth], truth, np.ones(40))
    assert fit_temperature(logits, truth, np.ones(40)) == pytest.approx(three, rel=1e-3)


def test_contributions_sum_to_one_and_name_what_matters():
    search = two_networks(size=160, noise=0.8)
    head, table = search.fit_rows(AVERAGE, search.rows_but()), search.table
    specs = AVERAGE.specs(table)
    rows = contributions(head, table, specs, is_single=True)
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-3)
    shares = {
        name: sum(r["share"] for r in rows if r["backbone"] == name) for name in ("one", "two")
    }
    assert shares["one"] > 0.8 > 0.2 > shares["two"]


def test_a_file_holds_the_union_of_features(tones, tmp_path):
    """The average of several readings is saved, loaded and answers the same."""
    training = earmark.train(tones, backbone="speech-embedding", compare=False)
    search, table = training.search, training.search.table
    average = Average(
        (
            Candidate("linear", "upper, no bands", 1e-3),
            Candidate("linear", "all", 1e-3, is_weighted=True, weights=(0.0, 1.0) + (0.5,) * 9),
        ),
        (0.5, 0.5),
    )
    rows = search.rows_but()
    specs, head = average.specs(table), search.fit_rows(average, rows)
    classifier = training.classifier
    uses = (
        dataclasses.replace(
            classifier.backbones[0], layers=earmark.classifier.features.layers_read(specs)[0]
        ),
    )
    classifier = dataclasses.replace(
        classifier, backbones=uses, features=specs, head=head, known=None
    )
    assert "conv1" not in uses[0].layers and len(specs) == 2
    classifier.save(tmp_path / "m.earmark")
    loaded = earmark.load(tmp_path / "m.earmark")
    assert loaded.features == specs
    expected = classifier.scores(table.features(specs, rows))
    found = loaded.predict_proba(sorted(tones.rglob("*.wav")))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    header, tensors = read_parts(tmp_path / "m.earmark")
    for edit, text in (
        (lambda h: h.update(schema=3), "schema 3 requires the field pooling"),
        (lambda h: h["features"].pop(), "at least 2"),
        (lambda h: h["features"][0]["layers"].append([]), "1 lists, one for each backbone"),
        (lambda h: h["features"][0].update(layers=[[]]), "at least one layer in all"),
        (lambda h: h["features"][1]["layers"][0].pop(0), "the layers that features read"),
        (lambda h: h["features"][0].update(band=True), "band is an unknown field"),
        (lambda h: h["features"][0].update(bands=True), "head reads"),
    ):
        changed = copy.deepcopy({k: v for k, v in header.items() if k != "digest"})
        edit(changed)
        digest = {"digest": digest_of(changed, tensors)}
        path = tmp_path / "edited.earmark"
        path.write_bytes(save(tensors, {"earmark": json.dumps(changed | digest)}))
        with pytest.raises(ModelError, match=text):
            earmark.load(path).networks()


def test_all_folds_say_what_is_best_for_all_clips():
    """Also where a weighted candidate is a finalist for all clips and for some folds only."""
    search = two_networks(size=60)
    candidate = Candidate("linear", "all", 1e-3, is_weighted=True)
    weights = dict.fromkeys((None, 0, 1, 2, 3, 4), WEIGHTS)
    contests = {t: Contest(t, search.targets, search.table, KINDS) for t in (None, 2)}
    judging.judge(search.clips, {None: [candidate], 2: [candidate]}, contests, weights)
    fits = judging._inner_fits({None: [candidate], 2: [candidate]}, weights, 5)
    assert {fit.only_for for fit in fits} == {0, 1, 2, 3, 4} and len(fits) == 20
    assert all(candidate in contest.loss for contest in contests.values())


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_kernels_of_so_many_members_are_in_memory_at_a_time(at_once, monkeypatch):
    """However many: the head is the same, and a class without clips is never answered."""
    search = two_networks(size=40)
    rows = np.arange(40)[search.targets.classes != 2]
    x = search.table.features(AVERAGE.specs(search.table), rows)
    n, expected = len(rows), search.fit_features(AVERAGE, rows, x)
    asked = []
    kernels = averages._kernels

    def noted(z, weights):
        asked.append(len(weights))
        return kernels(z, weights)

    monkeypatch.setattr(averages, "_kernels", noted)
    monkeypatch.setattr(averages, "KERNELS_BYTES", at_once * 4 * n**2 + 3)
    head = search.fit_features(AVERAGE, rows, x)
    assert asked == {1: [1] * 4, 2: [2, 2], 100: [4]}[at_once]
    monkeypatch.setattr(averages, "KERNELS_BYTES", 4 * n**2 - 1)
    asked.clear()
    search.fit_features(AVERAGE, rows, x)
    assert asked == [1] * 4  # one at least
    for name, tensor in expected.tensors.items():
        np.testing.assert_allclose(head.tensors[name], tensor, rtol=1e-4, atol=1e-5)
    assert head.tensors["bias"][2] == NEVER
    assert (np.delete(head.tensors["bias"], 2) > -100).all()


def test_as_many_clips_as_features_are_solved_by_features(monkeypatch):
    search = two_networks(size=80)
    size = search.table.size(AVERAGE.specs(search.table))
    together = []
    monkeypatch.setattr(averages, "_fit_together", lambda *a: together.append(len(a[1])))
    for n in (size - 1, size, size + 1):
        rows = np.arange(n) % 80
        x = search.table.features(AVERAGE.specs(search.table), rows)
        with contextlib.suppress(np.linalg.LinAlgError):
            averages.fit(AVERAGE, search.table, x, lambda _, r=rows: search.targets.rows(r), 0)
    assert together == [size - 1, size]


def test_kernels_are_products_of_weighted_features():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(7, 9)).astype(np.float32)
    weights = np.array([[1, 1, 2, 2, 0, 0, 0, 3, 3], [0, 0, 2, 2, 0, 0, 1, 1, 1.0]])
    for kernel, own in zip(averages._kernels(z, weights), weights, strict=True):
        np.testing.assert_allclose(kernel, (z * own) @ z.T, rtol=1e-5, atol=1e-5)
    alike = averages._kernels(z, np.ones((1, 9)))
    np.testing.assert_allclose(alike[0], z @ z.T, rtol=1e-5, atol=1e-5)


def test_a_joined_head_scales_features_by_the_mean_of_all():
    rng = np.random.default_rng(0)
    members, columns = [], [np.array([0, 1, 2]), np.array([2, 3])]
    for own in columns:
        tensors = {
            "mean": rng.normal(size=len(own)),
            "scale": rng.uniform(0.5, 2, len(own)),
            "weight": rng.normal(size=(3, len(own))),
            "bias": rng.normal(size=3),
        }
        members.append(Head("linear", {k: v.astype(np.float32) for k, v in tensors.items()}))
    members[1].tensors["bias"][1] = NEVER
    head = collapse(members, columns, (0.7, 0.3), 5)
    first, second = (1 / m.tensors["scale"].astype(float) ** 2 / 2 for m in members)
    squares = np.array([*first[:2], first[2] + second[0], second[1]])
    np.testing.assert_allclose(head.tensors["scale"][:4], 1 / np.sqrt(squares), rtol=1e-5)
    assert head.tensors["bias"][1] == NEVER  # one member has never seen it
    x = rng.normal(size=(6, 5)).astype(np.float32)
    expected = 0.7 * members[0].logits(x[:, columns[0]]) + 0.3 * members[1].logits(x[:, columns[1]])
    np.testing.assert_allclose(head.logits(x)[:, [0, 2]], expected[:, [0, 2]], rtol=1e-4, atol=1e-5)
    assert (head.tensors["weight"][:, 4] == 0).all()  # nobody reads it


def test_what_an_average_reads_and_is_called():
    table = two_networks().table
    specs = AVERAGE.specs(table)
    assert len(specs) == 4 and specs[0].layers == (("a", "c"), ("a", "c"))
    twice = Average((MEMBERS[1], MEMBERS[1], MEMBERS[2]), (0.5, 0.25, 0.25))
    assert len(twice.specs(table)) == 2 and twice.head == "linear" and not twice.is_single
    assert twice.reading == "one/upper, no bands + last, means"
    alone = Average((Candidate("mlp", "all"),))
    assert alone.is_single and alone.head == "mlp" and alone.factors == (1.0,)
    assert AVERAGE.reading.startswith("all, weighted + ")
