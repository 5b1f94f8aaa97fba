"""Training from sums and in blocks gives what training on all clips at once gives."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import earmark
from earmark.classifier.head import KINDS
from earmark.classifier.targets import Targets, balanced_weights
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.embeddings.rows import StoredRows
from earmark.errors import DataError, EarmarkError
from earmark.training import batches, finalists, fitting, heads, judging, screening
from earmark.training.inner import Candidate, Contest, InnerLogits, fold_pairs
from earmark.training.judging import FoldedClips, InnerFit, by_fits, by_kernel, by_moments
from earmark.training.moments import FoldMoments, moments_bytes
from toy import blobs, search_of


def _sums(x, targets, fold):
    moments = FoldMoments(x[:50].mean(0), int(fold.max()) + 1, targets.n_classes)
    for number in np.unique(fold):
        for rows in np.array_split(np.flatnonzero(fold == number), 3):
            moments.add(int(number), x[rows], targets.rows(rows))
    return moments


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("kind", ["linear", "prototype"])
def test_sums_of_folds_give_the_head_that_all_clips_give(kind, balanced):
    rng = np.random.default_rng(0)
    truth = np.minimum(rng.integers(0, 7, 900), 4)
    x = rng.normal(3, 2, (900, 120)).astype(np.float32) + np.eye(5)[truth] @ rng.normal(
        size=(5, 120)
    ).astype(np.float32)
    x[:, 7] = 1.25  # a unit that never moves
    targets, fold = Targets.single(truth, 5, balanced), rng.integers(0, 4, 900)
    train = fold != 2
    mean, scale = heads.standard(x[train].astype(np.float32))
    z = (x[train] - mean) / scale
    duals, bias = heads.solve(kind, z @ z.T, targets.rows(train), (3e-4,), exact=True)
    head = heads.summed_head(kind, _sums(x, targets, fold).system_without(2), 3e-4)
    direct = ((x - mean) / scale) @ z.T @ duals[0] + bias[0]
    np.testing.assert_allclose(head.logits(x), direct, atol=1e-5)


def test_a_class_that_is_not_in_training_is_never_answered():
    features, truth, fold = blobs()
    targets = Targets.single(truth, 5)
    for kind in ("linear", "prototype"):
        system = _sums(features["good"], targets, fold).system_without(0)
        assert heads.summed_head(kind, system, 1e-3).tensors["bias"][4] < -1_000


@pytest.mark.parametrize("block", [1_024, 17])
def test_inner_answers_are_the_same_from_sums_and_from_fitted_heads(block, monkeypatch):
    monkeypatch.setattr(judging, "BLOCK", block)
    features, truth, fold = blobs(size=200)
    clips = search_of(features, truth, 4, fold).clips
    candidates = [Candidate("prototype", "good"), Candidate("linear", "good", 3e-3)]
    pairs = fold_pairs(5)
    summed = by_moments(clips, [InnerFit(pair, candidates) for pair in pairs], lambda n: None)
    fitter = fitting.Fitter(clips)
    for pair in pairs:
        fit = InnerFit(pair, candidates)
        fitted = by_fits(clips, fit, lambda at: [fitter.fit(c, at) for c in candidates])
        kernel = by_kernel(clips, clips.table.kernel("good", np.arange(200)), fit)
        for one, near in zip(fitted, kernel, strict=True):
            (other,) = [p for p in summed if p.pair == pair and p.held == one.held]
            np.testing.assert_array_equal(one.rows, other.rows)
            np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)
            np.testing.assert_allclose(one.logits, near.logits, atol=0.1)  # scaled by all clips


@pytest.mark.parametrize("size", [30, 300])
def test_the_choice_is_judged_on_all_clips_on_either_side_of_the_switch(size, monkeypatch):
    """Fewer clips than features, and more: both find the layers, and count every clip."""
    monkeypatch.setattr(screening, "SCREENED_BY", 40)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)
    rng = np.random.default_rng(0)
    truth = np.arange(200) % 4
    good = rng.normal(0, 2, (200, size)) + np.eye(4)[truth] @ rng.normal(size=(4, size))
    features = {"bad": rng.normal(size=(200, 10)), "good": good}
    features = {name: x.astype(np.float32) for name, x in features.items()}
    search = search_of(features, truth, 4, np.arange(200) // 4 % 5, kinds=("prototype", "linear"))
    choice = search.choose()
    assert choice.best.members[0].reading == "good"
    assert len(choice.screened) == 2 * (1 + 3)  # the ends of the penalties are left out
    assert {c.features for c in choice.loss} == {"good", "bad"}
    fits = [InnerFit(pair, choice.best.members) for pair in fold_pairs(5)]
    seen = [part.rows for part in judging._answer(search.clips, fits, lambda share: None)]
    assert set(np.concatenate(seen)) == set(range(200))


@given(st.permutations(range(6)))
def test_equal_rivals_rank_alike_whatever_order_they_come_in(order):
    """Threads judge them side by side, and the same data must give the same file."""
    rivals = [
        Candidate(head, features, penalty)
        for head, penalty in (("prototype", 0.0), ("linear", 0.3), ("linear", 0.03))
        for features in ("conv1", "conv2")
    ]
    targets = Targets.single(np.array([0, 1, 0, 1]), 2)
    logits = np.float32([[[2, 1], [1, 2], [1, 2], [1, 2]]])
    features = {name: np.zeros((4, 10), np.float32) for name in ("conv1", "conv2")}
    table = search_of(features, np.array([0, 1, 0, 1]), 2, np.arange(4)).table
    contest = Contest(None, targets, table, KINDS)
    for number in order:
        contest.enter([InnerLogits([rivals[number]], (0, 1), 0, np.arange(4), logits)])
    assert contest.ranked() == list(contest.choice().loss) == rivals
    assert contest.choice().best.members == (rivals[0],)


def test_many_classes_are_screened_by_some_of_them():
    rng = np.random.default_rng(0)
    truth = np.arange(3_000) % 300
    table = search_of({"x": rng.normal(size=(3_000, 4)).astype(np.float32)}, truth, 300, truth % 5)
    few = screening.few_clips(table.clips, 0)
    assert few.targets.n_classes < 300 and (few.targets.counts > 0).all()
    assert len(few.fold) < 1_500


def test_what_does_not_fit_the_memory_is_named_and_left_out(monkeypatch):
    monkeypatch.setattr(screening, "SCREENED_BY", 40)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)
    monkeypatch.setattr(finalists, "PROGRAM", 0)
    features, truth, fold = blobs(size=400)
    features["wide"] = np.hstack([features["good"]] * 15)
    search = search_of(features, truth, 4, fold, kinds=("linear",), memory=5_000_000)
    assert {c.features for c in search.choose().loss} == {"bad", "good"}
    assert search.notes == [
        "some sets of layers need more than 0.005 GB of memory and were not tried: 'wide'. Give"
        " --memory 1 to try them."
    ]
    with pytest.raises(EarmarkError, match="no set of layers fits"):
        replace(search, memory=1, notes=[], _choices={}).choose()


def test_memory_grows_with_the_square_of_the_features_only():
    assert moments_bytes(4_800, 35, 5) < 1_000_000_000
    assert moments_bytes(22_720, 35, 5) > 12_000_000_000


@pytest.mark.parametrize("kind", ["logistic", "mlp"])
def test_small_batches_find_what_all_clips_at_once_find(kind, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK", 64)
    monkeypatch.setattr(batches, "BATCH", 32)
    monkeypatch.setattr(batches, "EPOCHS", 60)
    features, truth, _ = blobs(size=400, noise=1.5)
    x, targets = features["good"], Targets.single(truth, 4)
    train, held = np.arange(300), np.arange(300, 400)
    whole = heads.fit(kind, x[train], targets.rows(train), 0.03)
    small = batches.fit(kind, lambda rows: x[rows], targets.rows(train), 0.03, 0)
    right = [(head.logits(x[held]).argmax(1) == truth[held]).mean() for head in (whole, small)]
    assert abs(right[0] - right[1]) <= 0.05
    again = batches.fit(kind, lambda rows: x[rows], targets.rows(train), 0.03, 0)
    np.testing.assert_array_equal(small.logits(x), again.logits(x))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=5, max_size=40))
def test_class_numbers_stand_for_the_matrix_of_ones(truth):
    truth = np.array(truth)
    numbers = Targets.single(truth, 5)
    matrix = Targets.several(np.eye(5)[truth])
    for name in ("onehot", "counts", "prior", "first"):
        np.testing.assert_allclose(getattr(numbers, name), getattr(matrix, name), rtol=1e-5)
    np.testing.assert_allclose(
        numbers.balanced().weights, balanced_weights(numbers.onehot), rtol=1e-5
    )


@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.1), (0.5, 0.46, 0.04)])
def test_weights_of_all_clips_once_change_scores_little(shares):
    """Balanced weights of the whole table against those of each training part: below 1e-3."""
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 20_000, p=shares)
    fold = np.zeros(20_000, int)
    for k in range(3):
        rows = rng.permutation(np.flatnonzero(truth == k))
        fold[rows] = np.arange(len(rows)) % 5
    x = (rng.normal(size=(20_000, 20)) + 2 * np.eye(3, 20)[truth]).astype(np.float32)
    clips: FoldedClips = search_of({"x": x}, truth, 3, fold, balanced=True).clips
    for held in range(5):
        train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        anew = Targets.single(truth[train], 3, balanced=True)
        scores = [
            heads.fit("linear", x[train], targets, 3e-3).logits(x[test])
            for targets in (clips.balanced.rows(train), anew)
        ]
        assert np.abs(scores[0] - scores[1]).max() < 1e-3


@pytest.mark.parametrize("head", ["auto", "logistic"])
def test_a_store_that_is_read_again_and_again_gives_the_same_classifier(head, tones):
    heads_of = []
    with earmark.Store() as store:
        for memory in (4.0, 1e-6):
            training = earmark.train(
                tones, backbone="logmel", head=head, folds=3, store=store, memory=memory
            )
            heads_of.append(training.classifier.head)
    assert isinstance(training.embedded.embeddings[0].matrix, StoredRows)
    assert heads_of[0].kind == heads_of[1].kind
    if head == "auto":  # a slow head is trained in small batches then
        for name, tensor in heads_of[0].tensors.items():
            np.testing.assert_array_equal(tensor, heads_of[1].tensors[name])


@pytest.mark.parametrize("memory", [0, -1, float("nan"), float("inf")])
def test_memory_that_is_none_is_refused(memory, tones):
    with pytest.raises(EarmarkError, match="above 0, such as 4"):
        earmark.train(tones, backbone="logmel", memory=memory)


def test_one_class_with_one_clip_among_hundreds_is_refused_by_name(tmp_path):
    for k in range(300):
        for j in range(1 if k == 150 else 3):
            sound = np.sin(np.arange(800) * (0.05 + k / 150) + j)
            soundfile.write(tmp_path / f"{k:03d}_{j}.wav", 0.3 * sound, 16_000)
    clips = [Clip(path, path.stem[:3]) for path in sorted(tmp_path.glob("*.wav"))]
    with pytest.raises(DataError, match="class '150' has 1 different recording, but at least 3"):
        earmark.train(Dataset(tuple(clips), "made here"), backbone="logmel")


def test_a_fold_without_a_class_tests_the_others(tones):
    folds = {"high": 3, "low": 2}
    clips = [
        Clip(path, path.parent.name, fold=str(k % folds[path.parent.name] + 1))
        for k, path in enumerate(sorted(tones.glob("*/*.wav")))
    ]
    training = earmark.train(Dataset(tuple(clips), "made here"), backbone="logmel")
    assert training.estimate.accuracy == 1.0
    assert [figures["n"] for figures in training.estimate.folds] == [5, 5, 2]
