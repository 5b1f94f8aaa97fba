"""The text of a training, line by line, as the command and Python print it."""

import subprocess
import sys

import pytest

from earmark.training import summary


def judged(accuracy: float, **baselines: float) -> dict[str, object]:
    names = {"plain": "log-mel statistics", "random": "random weights"}
    rivals = [{"name": names[key], "accuracy": value} for key, value in baselines.items()]
    return {"accuracy": accuracy, "baselines": rivals}


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (
            judged(0.95, plain=0.575, random=0.817),
            "pretrained network: 13.3 points better than the same network with random weights"
            " (0.817); log-mel statistics: 0.575",
        ),
        (
            judged(0.288, plain=0.5, random=0.702),
            "pretrained network: 41.4 points WORSE than the same network with random weights"
            " (0.702); it did not help",
        ),
        (
            judged(0.5, plain=0.6, random=0.5),
            "pretrained network: 10.0 points WORSE than log-mel statistics (0.600); it did not"
            " help",
        ),
        (
            judged(0.9, plain=0.8) | {"fine_tuning": {"frozen": 0.81}},
            "pretrained network: 1.0 points better than log-mel statistics (0.800)",
        ),
        (
            judged(0.79999, plain=0.8),
            "pretrained network: no better than log-mel statistics (0.800)",
        ),
    ],
)
def test_what_the_pretrained_network_gave(estimate, said):
    assert summary.transfer_line(estimate) == [f"  baseline  {said}"]


def test_without_baselines_nothing_is_said_of_the_network():
    assert summary.transfer_line({"accuracy": 0.5, "baselines": []}) == []


def test_what_doubling_should_add():
    points = [{"clips_per_class": 2**k, "accuracy": 1 - 0.4 * 0.5**k} for k in range(4)]
    (line,) = summary.growth_line({"learning_curve": points})
    assert line == "  growth    doubling the recordings should add about 2.5 points of accuracy"
    (line,) = summary.growth_line({"learning_curve": points, "fine_tuning": {}})
    assert line.endswith("2.5 points of accuracy to the frozen classifier")
    assert summary.growth_line({"learning_curve": points[:2]}) == []
    worthless = {"verdict": {"word": "worthless", "why": "Guessing is as good."}}
    assert summary.growth_line({"learning_curve": points, **worthless}) == []


def test_the_calibration_error_stands_beside_that_of_exactly_right_scores():
    estimate = {"ci95": [0.9, 1.0], "chance": 0.1, "accuracy": 0.95, "scheme": "5 folds"}
    estimate |= {"macro_f1": 0.949, "ece": 0.0312, "clips": 400, "folds": []}
    of_0_1 = summary.estimate_lines(estimate)
    assert of_0_1[-1] == "  tested    5 folds; macro F1 0.949, calibration error 0.031"
    lines = summary.estimate_lines(estimate | {"ece_expected": 0.0279, "ece_debiased": 0.0104})
    assert lines[-2:] == [
        "  tested    5 folds; macro F1 0.949",
        "  scores    calibration error 0.031, debiased 0.010; perfectly calibrated scores would"
        " show 0.028 on 400 clips",
    ]


def test_scores_of_a_worthless_classifier_have_no_line():
    estimate = {
        "accuracy": 0.5, "ci95": [0.4, 0.6], "chance": 0.5, "macro_f1": 0.5, "ece": 0.1,
        "ece_expected": 0.1, "ece_debiased": 0.0, "clips": 60, "scheme": "5 folds", "folds": [],
    }  # fmt: skip
    for word, count in (("worthless", 0), ("care", 1)):
        verdict = {"verdict": {"word": word, "why": "so"}}
        lines = summary.estimate_lines(estimate | verdict)
        assert sum("calibration error" in line for line in lines) == count


def test_what_is_said_of_unknown_classes():
    (line,) = summary.unknown_line({"unknown": {"accepted": 0.048, "answered": 0.93}})
    assert line == (
        "  unknown   a known class is predicted for 5 % of clips of unknown classes (each class"
        " left out in turn) and for 93 % of clips of known classes"
    )
    assert summary.unknown_line({}) == []


def test_the_text_needs_neither_a_terminal_nor_torch():
    code = "import sys, earmark.training.summary; print([m for m in sys.modules if m in HEAVY])"
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {('typer', 'rich', 'torch', 'numpy')}; {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_many_folds_are_one_short_line():
    folds = [{"fold": f"speaker {k}", "accuracy": k / 100, "n": 3} for k in range(13)]
    assert summary._fold_line(folds, "accuracy") == [
        "  folds     accuracy in 13 folds: from 0.000 to 0.120"
    ]
    assert summary._fold_line(folds[:2], "accuracy") == [
        "  folds     accuracy in fold speaker 0: 0.000, speaker 1: 0.010"
    ]
    assert summary._fold_line(folds[:1], "accuracy") == []
