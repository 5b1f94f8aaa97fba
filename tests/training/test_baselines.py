"""Which rivals are affordable: the guards on parameters, seconds and clips."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from earmark.backbones import registry
from earmark.backbones.info import Layer
from earmark.classifier.features import FeatureSpec
from earmark.data.clip import Clip
from earmark.data.splits import Scheme
from earmark.errors import BackboneError
from earmark.training import baselines
from earmark.training.baselines import Baseline, _rivals
from earmark.training.estimation import OutOfFold
from earmark.training.kernels import FeatureTable
from earmark.training.metrics import accuracy_interval
from earmark.training.solution import solve
from toy import blobs, search_of

LOGMEL = registry.load_backbone("logmel").info


class Network:
    """A network with so many parameters, which may exist only with its weights."""

    has_random = True

    def __init__(self, parameters: int, name: str = "net") -> None:
        self.info = replace(LOGMEL, name=name, parameters=parameters)

    @classmethod
    def random(cls, info):
        if not cls.has_random:
            raise BackboneError("no random weights.")
        made = cls(info.parameters)
        made.info = replace(info, name=f"random {info.name}")
        return made


class Weighty(Network):
    has_random = False


def names(networks, seconds=10.0, n_clips=10):
    return [name for name, _ in _rivals(networks, seconds, n_clips)]


BOTH, CHEAP_ONE = ["log-mel statistics", "random weights"], ["log-mel statistics"]


def test_small_networks_are_run_with_random_weights_over_little_audio():
    assert names([Network(1)]) == BOTH
    assert names([Network(2_000_000)]) == BOTH
    assert names([Network(2_000_001)]) == CHEAP_ONE
    assert names([Network(0)]) == CHEAP_ONE
    assert names([Network(1_500_000), Network(500_000)]) == BOTH
    assert names([Network(1_500_000), Network(500_001)]) == CHEAP_ONE
    assert names([Network(5)], seconds=3_600.0) == names([Network(5)], n_clips=1_000) == BOTH
    assert names([Network(5)], seconds=3_600.1) == names([Network(5)], n_clips=1_001) == CHEAP_ONE
    assert names([Weighty(5)]) == CHEAP_ONE


def test_log_mel_statistics_are_no_rival_of_themselves():
    logmel = Network(0, baselines.PLAIN)
    assert names([logmel]) == []
    assert names([logmel, Network(7)]) == BOTH


def test_rivals_are_the_networks_themselves():
    (name, plain), (other, random) = _rivals([Network(3), Network(4, "b")], 1.0, 1)
    assert (name, other) == tuple(BOTH)
    assert [network.info.name for network in plain] == ["logmel"]
    assert [network.info.name for network in random] == ["random net", "random b"]


@pytest.mark.parametrize("is_single", [True, False])
def test_the_figures_of_a_rival(is_single):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    onehot = np.eye(3)[truth] > 0
    scores = rng.dirichlet(np.ones(3), 60) + onehot * 0.3
    cluster = np.arange(60) // 2
    tested = OutOfFold(
        tuple(SimpleNamespace() for _ in range(60)), truth, np.arange(60) % 5, np.log(scores),
        scores, cluster, onehot, np.arange(60), is_single,
    )  # fmt: skip
    figures = Baseline("rival", tested).figures(7)
    assert figures["name"] == "rival"
    assert figures["accuracy"] == pytest.approx(tested.quality.mean())
    assert figures["ci95"] == list(accuracy_interval(tested.quality, cluster, 7))
    assert set(figures) == {"name", "accuracy", "ci95", "headline"}
    low, high = figures["ci95"]
    assert 0 <= low < figures["accuracy"] < high <= 1


def test_rivals_are_judged_on_the_same_clips_or_not_at_all(monkeypatch):
    """A recording that went away meanwhile is no reason to compare on other clips."""
    features, truth, fold = blobs(size=60)
    search = search_of(features, truth, 4, fold)
    clips = tuple(Clip(Path(f"{k}.wav"), "abcd"[t]) for k, t in enumerate(truth))
    info = replace(LOGMEL, name="net", parameters=9, layers=(Layer("a", 20), Layer("b", 10)))
    halves = [part for x in (features["good"], features["bad"]) for part in (x, 0 * x + 1)]
    matrix, asked = np.hstack(halves).astype(np.float32), []

    def embedded(clips, network, store, **options):
        asked.append(network.info.name)
        is_whole = network.info.name != "logmel"
        return SimpleNamespace(clips=clips if is_whole else clips[1:], matrix=matrix)

    monkeypatch.setattr(baselines, "embed", embedded)
    network = Network(9)
    network.info = info
    data = SimpleNamespace(
        clips=clips, embeddings=[SimpleNamespace(seconds=1.0)], content=np.arange(60),
        scheme=Scheme("", tuple("12345"), fold, np.arange(60)), dataset=SimpleNamespace(audio=None),
    )  # fmt: skip
    (found,) = baselines.judge(data, search, [network], None)
    assert asked == ["logmel", "random net"] and found.name == "random weights"
    assert found.tested.clips == clips and len(found.tested.logits) == 60
    table = FeatureTable([info], [matrix], {"all": FeatureSpec((("a", "b"),))})
    alone = replace(search, table=table, kinds=("linear", "logistic"), on_few=True, _choices={})
    expected = solve(alone, clips, np.arange(60), data.scheme)
    np.testing.assert_allclose(found.tested.logits, expected.logits, rtol=1e-3, atol=1e-3)
    assert baselines.judge(data, search, [Network(0, "logmel")], None) == []
