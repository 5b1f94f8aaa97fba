"""The estimate of out-of-fold predictions: each field against a second way to work it out."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics as reference

from earmark.classifier.decision import fold_thresholds
from earmark.classifier.targets import Targets
from earmark.data.clip import Clip
from earmark.data.splits import Scheme
from earmark.training import metrics
from earmark.training.estimation import OutOfFold, answered, estimate

LABELS = ("a", "b", "c")


def out_of_fold(is_single: bool, seed: int = 0, n: int = 60) -> OutOfFold:
    rng = np.random.default_rng(seed)
    truth = np.minimum(rng.integers(0, 4, n), 2)
    onehot = np.eye(3, dtype=bool)[truth]
    if not is_single:
        onehot |= rng.random((n, 3)) < 0.2
        onehot[5] = False
    scores = rng.dirichlet(np.ones(3), n) * 0.6 + 0.4 * onehot
    scores[7, :2] = scores[7, :2].max()
    clips = tuple(
        Clip(Path(f"{k}.wav"), ";".join(np.array(LABELS)[row])) for k, row in enumerate(onehot)
    )
    first = np.where(onehot.any(1), onehot.argmax(1), -1)
    return OutOfFold(
        clips, first, rng.integers(0, 3, n), np.log(scores), scores, np.arange(n) // 2, onehot,
        np.arange(n), is_single,
    )  # fmt: skip


def test_a_single_answer_is_the_best_class():
    scores = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.1, 0.2, 0.7]])
    best = [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert answered(scores, True, None).tolist() == (np.array(best) > 0).tolist()
    assert answered(scores, False, None).tolist() == (np.array(best) > 0).tolist()
    assert answered(scores, True, np.full(3, 0.1)).tolist() == (np.array(best) > 0).tolist()
    several = answered(scores, False, np.array([0.2, 0.4, 0.5]))
    assert several.tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_thresholds_of_a_clip_come_from_other_folds():
    tested = out_of_fold(is_single=False)
    by_fold = fold_thresholds(tested.scores, tested.onehot, tested.fold)
    np.testing.assert_array_equal(tested.thresholds(), by_fold[tested.fold])
    np.testing.assert_array_equal(tested.chosen(), tested.scores >= by_fold[tested.fold])
    own = np.array([0.5, 0.6, 0.3])
    np.testing.assert_array_equal(tested.chosen(own), tested.scores >= own)
    single = out_of_fold(is_single=True)
    assert (single.chosen().sum(1) == 1).all()
    assert (single.chosen().argmax(1) == single.scores.argmax(1)).all()


def test_answers_are_names():
    single = out_of_fold(is_single=True)
    best = [LABELS[k] for k in single.scores.argmax(1)]
    assert single.answers(LABELS) == [
        (clip.place, clip.label, name) for clip, name in zip(single.clips, best, strict=True)
    ]
    several = out_of_fold(is_single=False)
    for thresholds in (None, np.array([0.4, 0.5, 0.2])):
        chosen = several.chosen(thresholds)
        expected = [";".join(np.array(LABELS)[row]) for row in chosen]
        assert [answer for _, _, answer in several.answers(LABELS, thresholds)] == expected
        assert {"", "a", "a;c"} & set(expected)


def test_details_of_answers_are_the_score_and_the_stretch():
    single = out_of_fold(is_single=True)
    scores = [f"{best:.4f}" for best in single.scores.max(1)]
    assert single.answer_details() == {"answer_score": scores}
    clips = (replace(single.clips[0], start=0.5, end=2.0), *single.clips[1:])
    details = replace(single, clips=clips).answer_details()
    assert (details["start"][:2], details["end"][:2]) == (["0.5", ""], ["2.0", ""])


def test_the_estimate_of_one_class_a_clip():
    tested = out_of_fold(is_single=True)
    truth, chosen = tested.truth, tested.chosen()
    answer = chosen.argmax(1)
    found = estimate(tested, LABELS, 3, "scheme", folds=["x", "y", "z", "w"], chosen=chosen)
    right = answer == truth
    assert found.scheme == "scheme" and found.n_clips == 60
    assert found.accuracy == pytest.approx(right.mean())
    assert found.interval == metrics.accuracy_interval(right.astype(float), tested.cluster, 3)
    assert found.macro_f1 == pytest.approx(reference.f1_score(truth, answer, average="macro"))
    balanced = reference.balanced_accuracy_score(truth, answer)
    assert found.balanced_accuracy == pytest.approx(balanced)
    assert found.mean_average_precision is None
    assert found.chance == pytest.approx(np.bincount(truth).max() / 60)
    assert found.headline["name"] == "balanced_accuracy"
    assert found.headline["value"] == pytest.approx(balanced)
    assert [fold["fold"] for fold in found.folds] == ["x", "y", "z"]  # nobody is in the last
    for number, fold in enumerate(found.folds):
        inside = tested.fold == number
        assert fold["n"] == inside.sum()
        assert fold["accuracy"] == pytest.approx(right[inside].mean())
        own = reference.balanced_accuracy_score(truth[inside], answer[inside])
        assert fold["balanced_accuracy"] == pytest.approx(own)
    assert [row["label"] for row in found.classes] == list(LABELS)
    assert [row["n"] for row in found.classes] == np.bincount(truth).tolist()
    error = metrics.calibration_error(tested.scores, tested.onehot, True)
    assert found.calibration_error == pytest.approx(error)
    debiased = metrics.debiased_calibration(tested.scores, tested.onehot, True, 3)
    assert (found.calibration_error_expected, found.calibration_error_debiased) == debiased


def test_the_estimate_of_several_classes_a_clip():
    tested = out_of_fold(is_single=False)
    chosen = tested.chosen()
    found = estimate(tested, LABELS, 3, "s", folds=["x", "y", "z"], chosen=chosen)
    has = tested.onehot.any(1)
    ranking = reference.label_ranking_average_precision_score(
        tested.onehot[has], tested.scores[has]
    )
    assert tested.quality[has].mean() == pytest.approx(ranking)
    assert found.accuracy == pytest.approx(tested.quality.mean())
    assert found.balanced_accuracy is None
    expected = np.mean(
        [
            reference.average_precision_score(tested.onehot[:, k], tested.scores[:, k])
            for k in range(3)
        ]
    )
    assert found.mean_average_precision == pytest.approx(expected)
    f1 = reference.f1_score(tested.onehot, chosen, average="macro")
    assert found.macro_f1 == pytest.approx(f1)
    assert found.headline["name"] == "macro_f1" and "macro_f1" in found.folds[0]


@pytest.mark.parametrize("is_single", [True, False])
def test_only_tested_clips_are_gathered(is_single):
    whole = out_of_fold(is_single)
    rows = np.arange(60) % 3 == 1
    targets = Targets.single(whole.truth, 3) if is_single else Targets.several(whole.onehot)
    scheme = Scheme("", ("1", "2", "3"), whole.fold, whole.cluster)
    logits = np.random.default_rng(1).normal(size=(60, 3))
    solution = SimpleNamespace(tested=rows, logits=logits)
    found = OutOfFold.gather(solution, whole.clips, targets, scheme)
    assert found.clips == whole.clips[1::3] and found.rows.tolist() == list(range(1, 60, 3))
    assert (found.truth == whole.truth[rows]).all() and found.is_single == is_single
    assert (found.fold == whole.fold[rows]).all() and (found.cluster == whole.cluster[rows]).all()
    assert (found.onehot == whole.onehot[rows]).all()
    np.testing.assert_array_equal(found.logits, logits[rows])
    powers = np.exp(logits[rows])
    expected = powers / powers.sum(1, keepdims=True) if is_single else powers / (1 + powers)
    np.testing.assert_allclose(found.scores, expected)


def test_scores_of_a_finished_classifier_are_one_fold():
    scores = np.array([[0.7, 0.3], [1.0, 0.0], [0.4, 0.6]])
    onehot = np.array([[1, 0], [0, 1], [0, 0]])
    clips = tuple(Clip(Path(name), "a", group=group) for name, group in (
        ("y.wav", None), ("x.wav", "g"), ("z.wav", "g")
    ))  # fmt: skip
    found = OutOfFold.of_scores(clips, onehot, scores, True)
    assert found.fold.tolist() == [0, 0, 0] and found.rows.tolist() == [0, 1, 2]
    assert found.truth.tolist() == [0, 1, -1]
    assert found.cluster[1] == found.cluster[2] != found.cluster[0]
    np.testing.assert_allclose(np.exp(found.logits), scores)
    assert np.isneginf(found.logits[1, 1])
