"""Who is suspected, next to whom: beliefs, neighbours and suggestions worked out by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from earmark.classifier.head import Head
from earmark.data.clip import Clip
from earmark.data.dataset import Dataset
from earmark.errors import ModelError
from earmark.labelling import reviewing
from earmark.labelling.suspects import Neighbour, neighbours, suspect_of
from earmark.training.inner import Average, Candidate
from toy import blobs, search_of

GOOD = Average((Candidate("linear", "good", 3e-3),))


def clip_of(k: int, label: str, group: str | None = None) -> Clip:
    return Clip(Path(f"/{k}.wav"), label, group=group)


def training_of(features, cluster):
    """What a training has that neighbours are looked for in."""
    n = len(features)
    search = search_of({"good": features.astype(np.float32)}, np.arange(n) % 2, 2, np.arange(n) % 3)
    size = features.shape[1]
    tensors = {
        "mean": np.linspace(-0.2, 0.3, size, dtype=np.float32),
        "scale": np.linspace(0.5, 2, size, dtype=np.float32),
    }
    return SimpleNamespace(
        search=search,
        chosen=GOOD,
        solution=SimpleNamespace(head=Head("linear", tensors)),
        out_of_fold=SimpleNamespace(cluster=cluster),
    )


def test_neighbours_are_nearest_by_cosine_and_never_of_the_same_group():
    rng = np.random.default_rng(0)
    features, cluster = rng.normal(size=(30, 4)), np.arange(30) // 5
    features[1:5] = features[0] * 1.01  # most alike, and of the same group
    training = training_of(features, cluster)
    clips = [clip_of(k, "ab"[k % 2]) for k in range(30)]
    tensors = training.solution.head.tensors
    z = (features.astype(np.float32) - tensors["mean"]) / tensors["scale"]
    for row, near in zip((0, 7, 29), neighbours(training, clips, [0, 7, 29]), strict=True):
        cosine = z @ z[row] / np.linalg.norm(z, axis=1) / np.linalg.norm(z[row])
        others = [k for k in range(30) if cluster[k] != cluster[row]]
        best = sorted(others, key=lambda k: -cosine[k])[:5]
        assert [int(n.clip.path.stem) for n in near] == best
        assert [n.similarity for n in near] == pytest.approx(cosine[best].tolist(), abs=1e-5)
        assert max(n.similarity for n in near) <= 1 + 1e-6


def test_where_few_clips_are_of_other_groups_there_are_few_neighbours():
    features = np.random.default_rng(0).normal(size=(8, 3))
    training = training_of(features, np.array([0, 0, 0, 0, 0, 0, 1, 2]))
    clips = [clip_of(k, "a") for k in range(8)]
    first, last = neighbours(training, clips, [0, 7])
    assert sorted(int(n.clip.path.stem) for n in first) == [6, 7]
    assert len(last) == 5 and last[0].similarity >= last[-1].similarity
    assert neighbours(training, clips, []) == []
    alone = training_of(features, np.zeros(8, int))
    assert neighbours(alone, clips, [3]) == [()]


def suspect(labels, clip, belief, k, support, near=(), separator=None):
    clips = tuple(clip_of(n, label) for n, label in enumerate(labels))
    data = Dataset((*clips, clip), "data", separator=separator)
    found = tuple(Neighbour(clip_of(90 + n, label), 0.5) for n, label in enumerate(near))
    k = list(data.labels).index(k)
    return suspect_of(data, clip, np.array(belief), support=support, k=k, neighbours=found)


def test_the_likeliest_other_class_is_suggested():
    clip = clip_of(50, "a")
    found = suspect("abc", clip, [0.2, 0.1, 0.7], "a", 0.2, near="cca")
    assert (found.suggested, found.clip) == ("c", clip)
    assert found.doubt == pytest.approx(0.8)
    assert "0.200" in found.reason and "0.700" in found.reason
    assert "2 of its 3" in found.reason and len(found.neighbours) == 3
    unsure = suspect("abc", clip, [0.4, 0.3, 0.3], "a", 0.4)
    assert unsure.suggested is None and "nearest" not in unsure.reason
    assert suspect("abc", clip, [0.4, 0.4, 0.2], "a", 0.4).suggested is None  # no more likely


def test_of_several_classes_one_is_removed_or_added():
    both = clip_of(50, "a;b")
    removed = suspect("abc", both, [0.9, 0.1, 0.2], "b", 0.1, "ab", ";")
    assert removed.suggested == "a" and "0.100" in removed.reason and "1 of its 2" in removed.reason
    added = suspect("abc", both, [0.9, 0.8, 0.7], "c", 0.3, "cc", ";")
    assert added.suggested == "a;b;c" and "2 of its 2" in added.reason
    assert suspect("abc", both, [0.9, 0.8, 0.3], "c", 0.7, (), ";").suggested is None
    assert suspect("abc", both, [0.9, 0.5, 0.3], "c", 0.5, (), ";").suggested == "a;b;c"
    alone = clip_of(50, "a")
    labels = ["a;b", "b", "c"]
    assert suspect(labels, alone, [0.1, 0.2, 0.6], "a", 0.1, (), ";").suggested == "c"
    assert suspect(labels, alone, [0.1, 0.2, 0.5], "a", 0.1, (), ";").suggested is None


def review_of(scores, onehot, clips, *, is_single=True):
    tested = SimpleNamespace(
        scores=scores, onehot=onehot, clips=tuple(clips), is_single=is_single,
        cluster=np.arange(len(clips)),
    )  # fmt: skip
    return SimpleNamespace(out_of_fold=tested)


def test_without_groups_scores_alone_are_believed_but_never_wholly():
    scores = np.array([[1.0, 0.0], [0.5, 0.5]])
    training = review_of(scores, np.eye(2), [clip_of(0, "a"), clip_of(1, "b")])
    np.testing.assert_allclose(reviewing.beliefs(training), [[0.99, 0.01], [0.5, 0.5]])


@pytest.mark.parametrize("column", ["group", "fold"])
def test_with_groups_or_folds_the_scores_at_home_count_as_well(monkeypatch, column):
    scores = np.array([[1.0, 0.0], [0.5, 0.5]])
    clips = [Clip(Path("/0.wav"), "a"), Clip(Path("/1.wav"), "b", **{column: "g"})]
    training = review_of(scores, np.eye(2), clips)
    inside = np.array([[0.5, 0.5], [0.0, 1.0]])
    monkeypatch.setattr(reviewing, "_at_home", lambda training: inside)
    expected = np.sqrt([[0.99 * 0.5, 0.01 * 0.5], [0.5 * 0.01, 0.5 * 0.99]])
    np.testing.assert_allclose(reviewing.beliefs(training), expected)
    monkeypatch.setattr(reviewing, "_at_home", lambda training: None)
    np.testing.assert_allclose(reviewing.beliefs(training), [[0.99, 0.01], [0.5, 0.5]])


def listed(monkeypatch, scores, onehot, labels, top, is_single=True):
    clips = tuple(clip_of(k, label) for k, label in enumerate(labels))
    data = Dataset(clips, "data", separator=None if is_single else ";")
    training = review_of(np.array(scores), np.array(onehot), clips, is_single=is_single)
    monkeypatch.setattr(reviewing, "neighbours", lambda _, clips, rows: [() for _ in rows])
    found = reviewing._suspects(data, training, top)
    return [(int(s.clip.path.stem), s.suggested, round(s.doubt, 4)) for s in found]


def test_labels_with_the_least_support_come_first(monkeypatch):
    scores = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]]
    onehot = [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert listed(monkeypatch, scores, onehot, "abab", 3) == [
        (1, "a", 0.794), (2, "b", 0.696), (3, None, 0.206)
    ]  # fmt: skip
    assert len(listed(monkeypatch, scores, onehot, "abab", 30)) == 4


def test_equal_doubts_keep_the_order_of_the_clips(monkeypatch):
    scores = [[0.4, 0.6]] * 40
    onehot = np.eye(2)[np.zeros(40, int)]
    onehot[30] = [0, 1]
    found = listed(monkeypatch, scores, onehot, "a" * 30 + "b" + "a" * 9, 39)
    assert [k for k, _, _ in found] == [k for k in range(40) if k != 30]


def test_of_several_classes_each_may_be_wrong_or_missing(monkeypatch):
    scores = [[0.9, 0.7], [0.2, 0.9]]
    onehot = [[1, 0], [1, 1]]
    assert listed(monkeypatch, scores, onehot, ["a", "a;b"], 2, is_single=False) == [
        (1, "b", 0.794), (0, "a;b", 0.696)
    ]  # fmt: skip
    assert len(listed(monkeypatch, scores, onehot, ["a", "a;b"], 9, is_single=False)) == 4


def test_at_home_the_chosen_head_is_fitted_over_folds_that_part_groups():
    features, truth, fold = blobs(size=60)
    search = search_of(features, truth, 4, fold)
    clips = [Clip(Path(f"/{k}.wav"), "abcd"[t], group=f"g{k % 6}") for k, t in enumerate(truth)]
    tested = SimpleNamespace(scores=np.zeros((60, 4)), clips=tuple(clips))
    training = SimpleNamespace(
        search=search, out_of_fold=tested, chosen=GOOD,
        embedded=SimpleNamespace(content=np.arange(60)),
    )  # fmt: skip
    from earmark.classifier.calibration import fit_temperature, softmax
    from earmark.data.splits import make_scheme

    free = [Clip(clip.path, clip.label) for clip in clips]
    folds = make_scheme(free, np.arange(60), seed=search.seed).fold
    logits = np.zeros((60, 4), np.float32)
    for number in range(5):
        head = search.fit_rows(GOOD, np.flatnonzero(folds != number))
        test = np.flatnonzero(folds == number)
        logits[test] = search.logits(GOOD, head, test)
    expected = softmax(logits / fit_temperature(logits, truth, np.ones(60)))
    np.testing.assert_allclose(reviewing._at_home(training), expected, atol=1e-3)
    few = SimpleNamespace(
        search=search, chosen=GOOD, embedded=SimpleNamespace(content=np.zeros(60, int)),
        out_of_fold=tested,
    )  # fmt: skip
    assert reviewing._at_home(few) is None  # one sound in all


def test_a_review_trains_as_it_is_told_and_compares_nothing(monkeypatch):
    """Every clip is reviewed, also those of a test split; baselines would only take time."""
    clips = tuple(
        Clip(Path(f"/{k}.wav"), "ab"[k % 2], split=("train", "test")[k // 3]) for k in range(4)
    )
    asked = []

    def train(data, **options):
        asked.append((data, options))
        raise InterruptedError

    monkeypatch.setattr(reviewing, "train", train)
    defaults = {
        "backbone": "auto", "head": "auto", "layers": "auto", "folds": 5, "seed": 0, "store": None,
        "progress": None, "compare": False,
    }  # fmt: skip
    others = {
        "backbone": "yamnet", "head": "mlp", "layers": "last", "folds": 3, "seed": 8,
        "store": "s", "progress": "p",
    }  # fmt: skip
    for options in ({}, others):
        with pytest.raises(InterruptedError):
            reviewing.review(Dataset(clips, "data"), **options)
        data, found = asked.pop()
        assert found == defaults | options
        assert [clip.split for clip in data] == [None] * 4 and len(data.clips) == 4
    assert reviewing.review.__kwdefaults__["top"] == 30


@pytest.mark.parametrize("source", [None, {}, {"data": None}, {"label": "x"}])
def test_a_model_that_does_not_say_its_data_is_refused(monkeypatch, source):
    classifier = SimpleNamespace(provenance={"source": source})
    monkeypatch.setattr(reviewing.Classifier, "load", lambda path: classifier)
    with pytest.raises(ModelError):
        reviewing.of_model(Path("m.earmark"))
    monkeypatch.setattr(reviewing.Classifier, "load", lambda path: SimpleNamespace(provenance={}))
    with pytest.raises(ModelError):
        reviewing.of_model(Path("m.earmark"))
