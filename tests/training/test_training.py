"""Selection, heads, estimate: what makes a number believable."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import earmark
from earmark.classifier.calibration import softmax
from earmark.classifier.features import FeatureSpec
from earmark.classifier.head import KINDS
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.data.splits import make_scheme
from earmark.errors import DataError, EarmarkError
from earmark.training import heads, metrics
from earmark.training.kernels import FeatureTable
from earmark.training.solution import solve
from toy import blobs, search_of

# Selection


@pytest.mark.slow
def test_the_good_layers_are_chosen_in_every_fold():
    features, truth, fold = blobs()
    search = search_of(features, truth, 4, fold)
    assert {search.choose(tested).best.members[0].reading for tested in range(5)} == {"good"}
    assert search.choose().best.members[0].reading == "good"


def test_labels_without_sense_are_estimated_at_chance():
    """The test of a nested estimate: choosing among many candidates must not look like skill."""
    accuracies = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        truth = rng.permutation(np.arange(100) % 2)
        features = {str(k): rng.normal(size=(100, 30)).astype(np.float32) for k in range(8)}
        fold = np.arange(100) // 2 % 5
        search = search_of(features, truth, 2, fold, kinds=("prototype", "linear"))
        accuracies.append((search.out_of_fold().argmax(1) == truth).mean())
    assert abs(np.mean(accuracies) - 0.5) < 0.06


def test_a_tested_fold_is_never_looked_at():
    """Other labels in the tested fold change neither what is chosen for it nor its answers."""
    features, truth, fold = blobs(noise=2.0)
    spoilt = truth.copy()
    spoilt[fold == 2] = (spoilt[fold == 2] + 1) % 4
    one, other = (search_of(features, t, 4, fold) for t in (truth, spoilt))
    assert one.choose(2).best == other.choose(2).best
    assert one.choose(2).calibration == other.choose(2).calibration
    np.testing.assert_array_equal(one.out_of_fold()[fold == 2], other.out_of_fold()[fold == 2])


def test_the_slow_heads_compete_on_the_layers_that_are_best_for_the_linear_one():
    features, truth, fold = blobs()
    chosen = search_of(features, truth, 4, fold).choose()
    assert {c.features for c in chosen.loss if c.head in ("logistic", "mlp")} == {"good"}
    assert min(chosen.loss, key=chosen.loss.get) in chosen.best.members


@pytest.mark.parametrize(("folds", "split"), [(2, None), (None, ["train", "train", "test"])])
def test_two_folds_and_a_test_split_are_nested_too(folds, split):
    features, truth, _ = blobs()
    items = [
        Clip(
            Path(f"{k}.wav"),
            f"c{truth[k]}",
            fold=folds and str(k // 4 % 2),
            split=split and split[k % 3],
        )
        for k in range(len(truth))
    ]
    scheme = make_scheme(items, np.arange(len(items)))
    solution = solve(
        search_of(features, truth, 4, scheme.fold), items, np.arange(len(items)), scheme
    )
    rows = solution.tested
    assert rows.sum() == (len(truth) if folds else len(truth) // 3)
    assert (solution.logits.argmax(1) == truth)[rows].mean() > 0.8


# Heads


@pytest.mark.parametrize("size", [200, 20])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_linear_head_is_scikit_learns_ridge(size, balanced):
    """By the kernel (fewer clips than features) and directly (more), weighted and not."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    truth = np.minimum(np.arange(60) % 5, 2)
    x = (rng.normal(size=(60, size)) + np.eye(3)[truth] @ rng.normal(size=(3, size))).astype(
        np.float32
    )
    targets = Targets.single(truth, 3, balanced)
    head = heads.fit("linear", x, targets, 1e-3)
    scaler = StandardScaler().fit(x)

    def ones(values):  # the bias is the weight of one more feature, always 1
        return np.hstack([scaler.transform(values) / np.sqrt(size), np.ones((len(values), 1))])

    prior = np.average(targets.onehot, axis=0, weights=targets.weights)
    reference = Ridge(alpha=1e-3 * 60, fit_intercept=False)
    reference.fit(ones(x), targets.onehot - prior, sample_weight=targets.weights)
    new = rng.normal(size=(40, size)).astype(np.float32)
    np.testing.assert_allclose(head.logits(new), reference.predict(ones(new)) + prior, atol=1e-4)


def test_kernels_give_the_answers_of_fitted_heads():
    """What selection judges by is what is deployed: kernel sums against features side by side."""
    features, truth, _ = blobs()
    search = search_of(features, truth, 4, np.arange(120) % 3)
    layers = FeatureSpec((("bad", "good"),), spread=False)
    bank = FeatureTable(search.table.infos, search.table.matrices, {"both": layers})
    train, held = np.arange(80), np.arange(80, 120)
    kernel = bank.kernel("both", np.arange(120), scaled_by=80)
    inside, across = kernel[:80, :80], kernel[80:, :80]
    for kind in ("prototype", "linear"):
        penalties = heads.PENALTIES[kind]
        duals, bias = heads.solve(kind, inside, search.targets.rows(train), penalties)
        for penalty, dual, offset in zip(penalties, duals, bias, strict=True):
            head = heads.fit(
                kind, bank.features("both", train), search.targets.rows(train), penalty
            )
            direct = head.logits(bank.features("both", held))
            np.testing.assert_allclose(across @ dual + offset, direct, atol=2e-3)


def test_the_logistic_head_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    truth = np.arange(60) % 3
    x = (rng.normal(size=(60, 200)) + np.eye(3)[truth] @ rng.normal(size=(3, 200))).astype(
        np.float32
    )
    head = heads.fit("logistic", x, Targets.single(truth, 3), 1 / 30.0)
    z = StandardScaler().fit_transform(x)
    reference = LogisticRegression(C=30.0 / 200, tol=1e-8, max_iter=5_000).fit(z, truth)
    new = rng.normal(size=(40, 200)).astype(np.float32)
    ours = softmax(head.logits(new))
    theirs = reference.predict_proba((new - x.mean(0)) / x.std(0))
    np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_two_classes_give_the_binary_solution():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    truth = np.arange(50) % 2
    x = (rng.normal(size=(50, 5)) + truth[:, None]).astype(np.float32)
    head = heads.fit("logistic", x, Targets.single(truth, 2), 1 / 30.0)
    z = (x - x.mean(0)) / x.std(0)
    reference = LogisticRegression(C=30.0 / 5, tol=1e-8).fit(z, truth).predict_proba(z)
    np.testing.assert_allclose(softmax(head.logits(x)), reference, atol=5e-3)


def test_class_means_are_shrunk_by_what_chance_puts_into_them():
    """Two classes that differ by nothing are drawn together; two far apart are left alone."""
    rng = np.random.default_rng(0)
    truth = np.arange(40) % 2
    for gap, least, most in ((0.0, 0.0, 0.4), (8.0, 0.95, 1.0)):
        x = (rng.normal(size=(40, 50)) + gap * truth[:, None]).astype(np.float32)
        head = heads.fit("prototype", x, Targets.single(truth, 2), 0.0)
        z = (x - head.tensors["mean"]) / head.tensors["scale"]
        means = np.stack([z[truth == k].mean(0) for k in (0, 1)])
        kept = np.linalg.norm(head.tensors["weight"]) / np.linalg.norm(means)
        assert least <= kept <= most


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_learns_and_ignores_dead_units(kind):
    features, truth, fold = blobs(noise=0.5)
    x = np.hstack([features["good"], np.full((len(truth), 3), 7.0, np.float32)])
    train = fold != 0
    head = heads.fit(kind, x[train], Targets.single(truth[train], 4), 1e-3)
    others = x[~train].copy()
    assert (head.logits(others).argmax(1) == truth[~train]).mean() > 0.9
    before = head.logits(others)
    others[:, -3:] = 1e6  # units that never moved in training
    np.testing.assert_array_equal(head.logits(others), before)


def test_the_mlp_is_the_classic_one():
    """Linear -> ReLU -> Linear: the head's logits are those of torch's own modules."""
    import torch

    features, truth, _ = blobs()
    head = heads.fit("mlp", features["good"], Targets.single(truth, 4), 0.0)
    t = {k: torch.from_numpy(v) for k, v in head.tensors.items()}
    x = (torch.from_numpy(features["good"]) - t["mean"]) / t["scale"]
    hidden = torch.relu(torch.nn.functional.linear(x, t["hidden.weight"], t["hidden.bias"]))
    expected = torch.nn.functional.linear(hidden, t["output.weight"], t["output.bias"])
    np.testing.assert_allclose(head.logits(features["good"]), expected.numpy(), atol=1e-4)
    assert t["hidden.weight"].shape == (256, 20)


def test_a_class_that_was_not_in_training_is_never_the_answer():
    features, truth, _ = blobs()
    some = truth != 3
    for kind in ("prototype", "linear", "logistic"):
        head = heads.fit(kind, features["good"][some], Targets.single(truth[some], 4), 1e-3)
        assert (head.logits(features["good"]).argmax(1) != 3).all()


# Metrics


def test_interval_covers_and_widens_with_clusters():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        right = (rng.random(200) < 0.8).astype(float)
        low, high = metrics.accuracy_interval(right, np.arange(200), seed=0)
        covered += low <= 0.8 <= high
    assert 88 <= covered <= 100
    speakers = np.repeat([0.95, 0.6, 0.9, 0.5, 0.99, 0.7], 50)
    right = (rng.random(300) < speakers).astype(float)
    alone = metrics.accuracy_interval(right, np.arange(300), seed=0)
    grouped = metrics.accuracy_interval(right, np.repeat(np.arange(6), 50), seed=0)
    assert grouped[1] - grouped[0] > 2 * (alone[1] - alone[0])


def test_all_right_is_not_certain():
    low, high = metrics.accuracy_interval(np.ones(9), np.arange(9), seed=0)
    assert (round(low, 3), high) == (0.664, 1.0)
    assert metrics.accuracy_interval(np.zeros(9), np.arange(9), seed=0) == (0.0, 1.0 - low)
    assert metrics.accuracy_interval(np.array([1.0, 0.0]), np.zeros(2), seed=0) == (0.0, 1.0)


def test_calibration_error_by_hand():
    scores = np.array([[0.9, 0.1]] * 4 + [[0.65, 0.35]] * 2)
    of = np.eye(2)[[0, 0, 0, 1, 0, 1]]  # 0.9 is right 3 of 4 times, 0.65 one of two
    expected = (4 * abs(0.9 - 0.75) + 2 * abs(0.65 - 0.5)) / 6
    assert metrics.calibration_error(scores, of) == pytest.approx(expected)


# train()


def test_train_end_to_end(tones, tmp_path):
    training = earmark.train(tones, backbone="logmel")
    assert training.classifier.labels == ("high", "low")
    assert training.classifier.estimate.accuracy == 1.0
    training.classifier.save(tmp_path / "m.earmark")
    loaded = earmark.Classifier.load(tmp_path / "m.earmark")
    answers = list(loaded.predict(sorted(tones.rglob("*.wav"))))
    assert [a.label for a in answers] == ["high"] * 6 + ["low"] * 6
    assert all(sum(a.scores.values()) == pytest.approx(1) for a in answers)


def test_of_two_folds_each_half_may_have_two_recordings_of_many_clips(tones, tmp_path):
    rows = [
        f"{path},{path.parent.name},{s / 10}" for path in tones.rglob("[0-3].wav") for s in (0, 1)
    ]
    (tmp_path / "four.csv").write_text("path,label,start\n" + "\n".join(rows))
    training = earmark.train(tmp_path / "four.csv", backbone="logmel", folds=2, compare=False)
    scheme, accuracy = training.estimate.scheme, training.estimate.accuracy
    assert scheme == "2 stratified folds of whole recordings" and accuracy == 1.0


TRAIN = """
import sys, earmark
earmark.train(sys.argv[1], backbone="speech-embedding", seed=3).classifier.save(sys.argv[2])
"""


def test_the_same_seed_gives_the_same_bytes(tones, tmp_path):
    """In a process of its own as in this one, where hashes of strings, and so sets, differ."""
    subprocess.run([sys.executable, "-c", TRAIN, str(tones), str(tmp_path / "a")], check=True)
    training = earmark.train(tones, backbone="speech-embedding", seed=3)
    training.classifier.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_read_is_listed(tones):
    (tones / "low" / "broken.wav").write_bytes(b"RIFF....")
    training = earmark.train(tones, backbone="logmel")
    assert [Path(f.path).name for f in training.skipped] == ["broken.wav"]
    assert training.n_clips == 12


def test_nothing_readable_is_refused(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for k in range(5):
            (tmp_path / label / f"{k}.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match="none of the 10 clips could be read. The first is"):
        earmark.train(tmp_path, backbone="logmel")


def test_two_backbones_are_heard_side_by_side(tones):
    classifier = earmark.train(tones, backbone="logmel,speech-embedding", layers="all").classifier
    assert [use.name for use in classifier.backbones] == ["logmel", "speech-embedding"]
    answers = list(classifier.predict(sorted(tones.rglob("*.wav"))))
    assert [a.label for a in answers] == ["high"] * 6 + ["low"] * 6


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"head": "liner"}, "no head 'liner'. Did you mean 'linear'"),
        ({"backbone": "vgish"}, "no backbone 'vgish'"),
        ({"backbone": "logmel,logmel"}, "has a name twice"),
        ({"layers": "logmell"}, "no layer 'logmell' in logmel. Did you mean 'logmel'"),
    ],
)
def test_wrong_options_are_one_sentence(tones, options, text):
    with pytest.raises(EarmarkError, match=text):
        earmark.train(tones, **{"backbone": "logmel", **options})


def test_a_dataset_object_does_as_well(tones):
    dataset = Dataset.read(tones)
    assert earmark.train(dataset, backbone="logmel", head="mlp").classifier.head.kind == "mlp"
