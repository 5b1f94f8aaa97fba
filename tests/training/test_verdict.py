"""The verdict: never 'use' by chance, never withheld where it is due; the figure it goes by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.data.clip import Clip
from earmark.data.splits import Scheme
from earmark.training import estimation, headline, metrics
from earmark.training.baselines import Baseline
from earmark.training.comparison import _weights
from earmark.training.estimation import OutOfFold
from earmark.training.solution import solve
from earmark.training.summary import estimate_lines
from earmark.training.verdict import verdict_of
from toy import blobs, search_of


def answers(truth, answer, group=None, classes=None):
    """Out-of-fold predictions (N,) for clips (N,), each a recording; ``group`` (N,) if any."""
    truth, answer = np.asarray(truth), np.asarray(answer)
    classes = classes or int(max(truth.max(), answer.max())) + 1
    names = [None] * len(truth) if group is None else [str(g) for g in group]
    clips = tuple(
        Clip(path=Path(f"{n}.wav"), label=str(k), group=g)
        for n, (k, g) in enumerate(zip(truth, names, strict=True))
    )
    scores = np.full((len(truth), classes), 0.1 / classes)
    scores[np.arange(len(truth)), answer] += 0.9
    return OutOfFold.of_scores(clips, np.eye(classes)[truth], scores, True)


def judged(tested, baselines=(), leaks=(), seed=0):
    """Return the estimate of out-of-fold predictions, and its verdict."""
    labels, chosen = [str(k) for k in range(tested.onehot.shape[1])], tested.chosen()
    estimate = estimation.estimate(tested, labels, seed, "so", folds=(), chosen=chosen)
    return estimate, verdict_of(estimate, tested, chosen, baselines, leaks, seed)


def word_of(truth, answer, rival=None, **options):
    """Return the verdict's word for predictions beside those of a ``rival``, a baseline."""
    group = options.pop("group", None)
    baselines = [] if rival is None else [Baseline("log-mel statistics", answers(truth, rival))]
    return judged(answers(truth, answer, group), baselines, **options)[1]["word"]


def erring(truth, n, classes=None):
    """Return answers of which every so-many-th is wrong, ``n`` in all."""
    answer = np.array(truth)
    wrong = np.linspace(0, len(answer) - 1, n).astype(int)
    answer[wrong] = (answer[wrong] + 1) % (classes or int(answer.max()) + 1)
    return answer


TWO, TEN = np.arange(100) % 2, np.arange(200) % 10


# Never by chance


@pytest.mark.parametrize("classes", [pytest.param(2, marks=pytest.mark.slow), 5])
def test_labels_without_sense_are_never_called_of_use(classes):
    """Twenty seeds, trained and chosen as any data is; the rules were not fitted to them."""
    words = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, classes, 100)
        features = {"noise": rng.normal(size=(100, 12)).astype(np.float32)}
        fold = np.arange(100) % 2
        search = search_of(features, truth, classes, fold, kinds=("prototype",), seed=seed)
        clips = tuple(Clip(path=Path(f"{n}.wav"), label=str(k)) for n, k in enumerate(truth))
        scheme = Scheme("2 folds", ("1", "2"), fold, np.arange(100))
        solution = solve(search, clips, np.arange(100), scheme)
        tested = OutOfFold.gather(solution, clips, search.targets, scheme)
        words.append(judged(tested, seed=seed)[1]["word"])
    assert "use" not in words and words.count("worthless") >= 17


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [((100, 100), None), ((20,) * 10, None), ((80, 16), None), ((60, 60), 6), ((50, 50), 2)],
)
def test_answers_without_sense_are_never_called_of_use(sizes, groups):
    truth = np.repeat(np.arange(len(sizes)), sizes)
    words = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        answer = rng.integers(0, len(sizes), len(truth))
        group = None if groups is None else rng.permutation(np.arange(len(truth)) % groups)
        words.append(word_of(truth, answer, group=group, seed=seed))
    assert "use" not in words and words.count("worthless") >= 17


@pytest.mark.parametrize("rare", [3, 10])
def test_a_rare_class_that_is_always_answered_is_no_skill(rare):
    """All of a rare class are found by whoever answers it nearly always."""
    truth = np.repeat([0, 1], (300, rare))
    answer = np.where(np.random.default_rng(1).random(len(truth)) < 0.05, 0, 1)
    answer[300:] = 1
    assert word_of(truth, answer) == "worthless"


# Where guessing is


def test_infant_cries_are_worthless_in_every_form():
    """Five unequal classes: 0.289 correct, where always answering the largest gives 0.836."""
    sizes = (382, 27, 24, 16, 8)
    truth = np.repeat(np.arange(5), sizes)
    rng = np.random.default_rng(0)
    answer = rng.choice(5, len(truth), p=[0.3, 0.2, 0.2, 0.2, 0.1])
    answer[truth > 0] = np.where(rng.random(75) < 0.14, truth[truth > 0], 0)
    estimate, verdict = judged(answers(truth, answer))
    assert estimate.chance == pytest.approx(382 / 457) and estimate.accuracy < 0.35
    assert estimate.headline["name"] == "balanced_accuracy"
    assert estimate.headline["value"] == pytest.approx(estimate.balanced_accuracy)
    assert estimate.headline["chance"] == pytest.approx(0.2)
    assert verdict["word"] == "worthless"
    lines = estimate_lines(estimate.to_dict() | {"verdict": verdict})
    assert lines[0].startswith("  verdict   worthless: balanced accuracy")
    assert lines[1].startswith("  balanced  accuracy 0.1") and "gives 0.200" in lines[1]
    assert lines[2].startswith("  accuracy  0.2") and "gives 0.836" in lines[2]


def test_always_the_largest_class_is_worthless_however_accurate():
    truth = np.repeat([0, 1, 2], (180, 12, 12))
    assert judged(answers(truth, np.zeros_like(truth), classes=3))[1]["word"] == "worthless"


@pytest.mark.parametrize(("right", "word"), [(50, "worthless"), (55, "worthless"), (96, "use")])
def test_at_and_above_chance(right, word):
    assert word_of(TWO, erring(TWO, 100 - right)) == word


def test_a_gain_that_labels_by_chance_could_give_is_used_with_care():
    verdict = judged(answers(TWO, erring(TWO, 37)))[1]
    assert verdict["word"] == "care" and "shuffled labels fit as well in" in verdict["why"]


def test_below_chance_is_worthless():
    assert word_of(TWO, 1 - TWO) == "worthless"


# Beside what has learned nothing


@pytest.mark.parametrize(
    ("errors", "rival_errors", "word"),
    [
        (40, 110, "use"),  # 0.80 against 0.45
        (110, 110, "worthless"),  # a tie far from right
        (110, 100, "worthless"),
        (110, 40, "worthless"),
        (70, 72, "care"),  # 0.65 against 0.64: not significantly above
        (70, 10, "worthless"),  # and by no accident below
        (0, 0, "use"),  # an easy problem: both perfect
        (4, 3, "use"),
        (30, 0, "care"),  # 0.85, and the baseline is perfect
    ],
)
def test_beside_a_baseline(errors, rival_errors, word):
    rival = erring(TEN, rival_errors)
    assert word_of(TEN, erring(TEN, errors), rival) == word


def test_a_baseline_that_is_as_good_is_named():
    baseline = Baseline("random weights", answers(TEN, TEN))
    why = judged(answers(TEN, TEN), [baseline])[1]["why"]
    assert "the 1.000 of the same network with random weights, a baseline without" in why
    assert "the pretrained network is not needed here" in why


# With care


@pytest.mark.parametrize(
    ("truth", "errors", "why"),
    [
        (np.repeat([0, 1], (40, 8)), 0, "fewer than 10 clips of '1' were tested"),
        (np.arange(60) % 2, 12, "the 95 % interval is wide"),
        (np.arange(10) % 2, 0, "fewer than 10 clips of '0', '1' were tested"),
    ],
)
def test_each_reason_for_care(truth, errors, why):
    verdict = judged(answers(truth, erring(truth, errors)))[1]
    assert verdict["word"] == "care" and why in verdict["why"]


def test_a_class_that_is_missed_asks_for_care():
    truth = np.arange(300) % 5
    verdict = judged(answers(truth, np.where(truth == 4, 0, truth)))[1]
    assert verdict["word"] == "care" and "the recall of '4' is below guessing" in verdict["why"]


def test_a_leak_asks_for_care():
    verdict = judged(
        answers(TEN, TEN), leaks=["1 sound is in two folds: the estimate is too high."]
    )
    assert verdict[1]["word"] == "care" and "1 sound is in two folds" in verdict[1]["why"]


def test_a_class_of_one_group_asks_for_care():
    group = np.where(TEN == 3, 0, np.arange(200) // 10 % 10)
    verdict = judged(answers(TEN, TEN, group))[1]
    assert verdict["word"] == "care" and "only one group of '3' was tested" in verdict["why"]


def test_an_interval_of_few_groups_that_reaches_guessing_is_explained():
    group = np.arange(200) // 10 % 2
    truth = answers(TEN, np.where(group == 0, TEN, erring(TEN, 190)), group)
    estimate, verdict = judged(truth)
    assert estimate.headline["ci95"][0] <= 0.1 and verdict["word"] == "care"
    assert (
        "says nothing about others: the 95 % interval, 0.000 to 1.000, includes guessing"
        in verdict["why"]
    )


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_few_groups_show_something_but_not_enough(groups):
    verdict = judged(answers(TEN, erring(TEN, 10), np.arange(200) // 10 % groups))[1]
    assert verdict["word"] == "care" and f"only {groups} group" in verdict["why"]
    assert word_of(TEN, np.roll(TEN, 3), group=np.arange(200) // 10 % groups) == "worthless"


def test_six_groups_are_enough():
    assert word_of(TEN, erring(TEN, 12), group=np.arange(200) // 10 % 6) == "use"


@pytest.mark.parametrize(("each", "word"), [(1, "worthless"), (3, "worthless"), (5, "care")])
def test_very_few_clips_have_a_verdict(each, word):
    truth = np.repeat([0, 1], each)
    assert word_of(truth, truth) == word


def test_clips_of_one_class_tell_it_from_no_other():
    truth = np.ones(40, int)
    assert judged(answers(truth, erring(truth, 2), classes=4))[1]["word"] == "care"
    assert judged(answers(truth, np.arange(40) % 4, classes=4))[1]["word"] == "worthless"


def test_several_labels_go_by_macro_f1():
    rng = np.random.default_rng(0)
    onehot = (rng.random((150, 4)) < 0.4).astype(float)
    clips = tuple(Clip(path=Path(f"{n}.wav"), label="a") for n in range(150))
    sense = 1 / (1 + np.exp(-4 * (onehot - 0.5) + rng.normal(size=onehot.shape)))
    for scores, word in ((sense, "use"), (rng.random(onehot.shape), "worthless")):
        tested = OutOfFold.of_scores(clips, onehot, scores, False)
        chosen = scores >= 0.5
        estimate = estimation.estimate(tested, "abcd", 0, "so", folds=(), chosen=chosen)
        assert estimate.headline["name"] == "macro_f1"
        assert estimate.headline["value"] == pytest.approx(estimate.macro_f1)
        assert verdict_of(estimate, tested, chosen)["word"] == word


# The figure and its tests


def test_the_figures_are_scikit_learns():
    rng = np.random.default_rng(4)
    truth = np.repeat(np.arange(4), (50, 20, 9, 3))
    tested = answers(truth, np.where(rng.random(82) < 0.6, truth, rng.integers(0, 4, 82)))
    counts = headline.counts_of(tested.chosen(), tested.onehot, np.arange(82)).sum(0)
    assert headline.value("balanced_accuracy", counts) == pytest.approx(
        metrics.balanced_accuracy(tested.onehot, tested.chosen())
    )
    assert headline.value("macro_f1", counts) == pytest.approx(
        metrics.macro_f1(tested.onehot, tested.chosen())
    )


@pytest.mark.parametrize("size", [9, 40])
def test_the_exchange_test_is_the_paired_test(size):
    truth = np.arange(size) % 3
    ours = np.where(np.arange(size) % 5, truth, (truth + 1) % 3)
    theirs = np.where(np.arange(size) % 3, truth, (truth + 1) % 3)
    each = np.arange(size)
    one, two = (headline.counts_of(np.eye(3)[a], np.eye(3)[truth], each) for a in (ours, theirs))
    difference = (ours == truth).astype(float) - (theirs == truth)
    both = metrics.paired_p(difference, np.arange(size), 0)
    assert headline.exchange_p("accuracy", one, two, 0) == pytest.approx(both / 2, abs=0.01)


def test_few_labels_are_dealt_out_in_all_ways():
    truth = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    assert headline.permutation_p("accuracy", truth, truth, np.arange(6), 0) == 1 / 20
    three = np.eye(3)[[0, 1, 1, 2, 2]]
    assert headline.permutation_p("balanced_accuracy", three, three, np.arange(5), 0) == 1 / 30


def test_clips_of_one_recording_count_once():
    """Fifty windows of each of six recordings are no 300 answers."""
    truth, cluster = np.repeat([0, 1], 150), np.repeat(np.arange(6), 50)
    onehot = np.eye(2)[truth]
    assert headline.permutation_p("accuracy", onehot, onehot, cluster, 0) == 1 / 20


@pytest.mark.parametrize(
    ("sizes", "name"), [((30, 20), "accuracy"), ((31, 20), "balanced_accuracy"), ((9,), "accuracy")]
)
def test_when_classes_are_unequal(sizes, name):
    assert headline.name_of(np.eye(3)[np.repeat(np.arange(len(sizes)), sizes)], True) == name


def test_blobs_are_of_use():
    """The toy problem of the other tests, trained: the verdict must be given where it is due."""
    features, truth, fold = blobs(size=160)
    clips = tuple(Clip(path=Path(f"{n}.wav"), label=str(k)) for n, k in enumerate(truth))
    scheme = Scheme("folds", tuple("12345"), fold, np.arange(160))
    search = search_of(features, truth, 4, fold, kinds=("linear",))
    solution = solve(search, clips, np.arange(160), scheme)
    tested = OutOfFold.gather(solution, clips, search.targets, scheme)
    assert judged(tested)[1]["word"] == "use"


def test_clips_are_weighed_so_that_their_mean_is_the_balanced_accuracy():
    truth = np.repeat([0, 1, 2], (30, 12, 5))
    tested = answers(truth, erring(truth, 9))
    figure = metrics.balanced_accuracy(tested.onehot, tested.chosen())
    assert (tested.quality * _weights(tested)).mean() == pytest.approx(figure)


def test_of_a_file_of_0_1_the_figures_tell():
    """It has no verdict; the infant cries of one still come with a warning."""
    estimate = judged(answers(TEN, np.roll(TEN, 3)))[0]
    old = replace(estimate, verdict=None, headline=None, accuracy=0.289, chance=0.836)
    assert "'worthless': accuracy is 0.289; guessing gives 0.836" in old.warning
    assert repr(old).endswith(", worthless)")
    assert replace(old, accuracy=0.9).warning is None
    assert replace(old, balanced_accuracy=0.6).warning is None  # accuracy alone says too little


def test_of_many_blocks_some_are_dealt_to(monkeypatch):
    monkeypatch.setattr(headline, "MOST_BLOCKS", 150)
    truth, rng = np.arange(600) % 3, np.random.default_rng(0)
    onehot, guesses = np.eye(3)[truth], np.eye(3)[rng.integers(0, 3, 600)]
    cluster = np.arange(600) // 2
    assert headline.permutation_p("accuracy", onehot, onehot, cluster, 0) == 1 / 2_000
    p = [headline.permutation_p("macro_f1", guesses, onehot, cluster, seed) for seed in range(4)]
    assert min(p) > 0.01 and max(p) - min(p) > 0.05  # of other blocks


def test_many_classes_are_counted_as_few_are(monkeypatch):
    """Counts of many classes are nearly all zero, and are multiplied as such."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 60, 900)
    tested, rival = (answers(truth, erring(truth, n, 60), classes=60) for n in (300, 330))
    both = []
    for times in (2, 10**9):
        monkeypatch.setattr(headline, "SPARSE", times)
        both.append(judged(tested, [Baseline("log-mel statistics", rival)]))
    assert both[0] == both[1]
