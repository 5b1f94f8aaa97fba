"""What is chosen on made data, and from which losses, number by number.

A change of these numbers changes what every training chooses: it has to be meant. Then write them
anew with ``python tests/training/test_golden_choices.py``, and read the difference.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earmark.classifier.targets import Targets
from earmark.training import judging, screening
from earmark.training.inner import Candidate, Choice
from earmark.training.selection import Search
from toy import blobs, search_of, two_networks

GOLDEN = Path(__file__).with_name("golden_choices.json")
CHEAP = ("prototype", "linear")


def few(monkeypatch: pytest.MonkeyPatch, clips: int = 40) -> None:
    """Screen on so few clips that finals follow."""
    monkeypatch.setattr(screening, "SCREENED_BY", clips)
    monkeypatch.setattr(screening, "SCREENED_BY_OF_CLASS", 4)


def plain(monkeypatch: pytest.MonkeyPatch) -> Search:
    features, truth, fold = blobs(noise=1.5)
    return search_of(features, truth, 4, fold, kinds=CHEAP)


def networks(monkeypatch: pytest.MonkeyPatch) -> Search:
    return replace(two_networks(noise=2.0, size=80), kinds=CHEAP)


def networks_both_hear(monkeypatch: pytest.MonkeyPatch) -> Search:
    few(monkeypatch, 30)
    search = two_networks(noise=2.5, size=160, is_second_deaf=False)
    return replace(search, kinds=CHEAP)


def more_clips_than_features(monkeypatch: pytest.MonkeyPatch) -> Search:
    few(monkeypatch)
    monkeypatch.setattr(judging, "BLOCK", 32)
    return replace(two_networks(noise=3.0, size=360, units=3), kinds=CHEAP)


def balanced(monkeypatch: pytest.MonkeyPatch) -> Search:
    few(monkeypatch)
    features, truth, fold = blobs(seed=3, size=200, noise=1.5)
    return search_of(features, np.minimum(truth, 2), 3, fold, balanced=True, kinds=CHEAP)


def several(monkeypatch: pytest.MonkeyPatch) -> Search:
    few(monkeypatch)
    search = two_networks(noise=2.0, size=160)
    truth = search.targets.classes
    onehot = np.eye(4)[truth] + np.eye(4)[(truth + np.arange(160) % 3 // 2) % 4]
    onehot[::17] = 0
    return replace(search, targets=Targets.several(onehot), kinds=CHEAP, balanced=True)


def two_folds(monkeypatch: pytest.MonkeyPatch) -> Search:
    features, truth, fold = blobs(seed=5, size=80, noise=1.5)
    return search_of(features, truth, 4, fold % 2, kinds=CHEAP)


def on_few(monkeypatch: pytest.MonkeyPatch) -> Search:
    few(monkeypatch)
    return replace(two_networks(noise=2.5, size=160), kinds=CHEAP, on_few=True, seed=4)


def logistic(monkeypatch: pytest.MonkeyPatch) -> Search:
    few(monkeypatch, 60)
    features, truth, fold = blobs(seed=2, size=120, noise=1.5)
    return search_of(features, truth, 4, fold, kinds=("linear", "logistic"))


def nine_folds(monkeypatch: pytest.MonkeyPatch) -> Search:
    features, truth, _ = blobs(seed=6, size=108, noise=1.5)
    return search_of(features, truth, 4, np.arange(108) // 4 % 9, kinds=CHEAP)


SEARCHES = {
    search.__name__: search
    for search in (
        plain, networks, networks_both_hear, more_clips_than_features, balanced, several,
        two_folds, on_few, logistic, nine_folds,
    )
}  # fmt: skip


def name_of(candidate: Candidate) -> str:
    words = [candidate.head, candidate.features, f"{candidate.penalty:g}"]
    words += ["balanced"] * candidate.balanced + ["weighted"] * candidate.is_weighted
    return " | ".join(words)


def numbers_of(choice: Choice) -> dict[str, Any]:
    average = choice.best
    return {
        "members": [name_of(member) for member in average.members],
        "weights": [list(member.weights) for member in average.members],
        "factors": list(average.factors),
        "temperature": choice.calibration.temperature,
        "offset": choice.calibration.offset,
        "loss": first({name_of(c): loss for c, loss in choice.loss.items()}),
        "quality": first({name_of(c): choice.quality[c] for c in choice.loss}),
        "screened": first({name_of(c): loss for c, (loss, _) in choice.screened.items()}),
    }


def first(numbers: dict[str, float], most: int = 6) -> dict[str, float]:
    """Return the first few, and of all how many they are and their mean."""
    some = dict(list(numbers.items())[:most])
    return {**some, "all": len(numbers), "mean": float(np.mean([*numbers.values()] or [0.0]))}


def result_of(search: Search) -> dict[str, Any]:
    if search.clips.n_folds == 2:  # each fold judges the choice for all clips
        return {"all clips": numbers_of(search.choose())}
    plans = search.plans()
    logits = search.out_of_fold(plans)
    chosen = [numbers_of(plan.choice) for plan in plans]
    return {
        "all clips": numbers_of(search.choose()),
        "folds": [
            {key: value for key, value in of.items() if key not in ("quality", "screened")}
            for of in chosen
        ],
        "inner": [plan.inner.tolist() for plan in plans],
        "logits": logits[::11].astype(float).tolist(),
        "notes": len(search.notes),
    }


def is_near(found: Any, expected: Any, path: str = "") -> None:
    """Compare trees of numbers; logits of float32 sums differ a little between machines."""
    if isinstance(expected, dict):
        assert sorted(found) == sorted(expected), path
        for key, value in expected.items():
            is_near(found[key], value, f"{path}/{key}")
    elif isinstance(expected, list) and expected and isinstance(expected[0], (dict, list)):
        assert len(found) == len(expected), path
        for number, value in enumerate(expected):
            is_near(found[number], value, f"{path}/{number}")
    elif isinstance(expected, (int, float)):
        assert found == pytest.approx(expected, rel=2e-3, abs=2e-3), path
    elif isinstance(expected, list) and expected and isinstance(expected[0], float):
        np.testing.assert_allclose(found, expected, rtol=5e-3, atol=5e-3, err_msg=path)
    else:
        assert found == expected, path


@pytest.mark.parametrize("name", SEARCHES)
def test_the_same_is_chosen_from_the_same_losses(name, monkeypatch):
    is_near(result_of(SEARCHES[name](monkeypatch)), json.loads(GOLDEN.read_text())[name])


def rounded(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [rounded(value) for value in tree]
    return float(f"{tree:.5g}") if isinstance(tree, float) else tree


if __name__ == "__main__":
    tree = {}
    for name, make in SEARCHES.items():
        with pytest.MonkeyPatch.context() as patch:
            tree[name] = rounded(result_of(make(patch)))
    GOLDEN.write_text(json.dumps(tree, indent=None, separators=(",", ":")) + "\n")
