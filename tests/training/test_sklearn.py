"""Estimators of scikit-learn: what X may be, copies, folds by group, the store, and refusals."""

import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import soundfile
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import earmark
from earmark.data.dataset import Dataset, example
from earmark.data.splits import FOLDS
from earmark.embeddings import pipeline as embedding
from earmark.errors import AudioInputError, InputError, ModelError
from earmark.training import loaded
from earmark.training.sklearn import EXPECTED_FAILED_CHECKS
from earmark.training.sklearn_inputs import clips_of, labelled

RATE_HZ = 16_000


@pytest.fixture(name="X")
def _paths(tones) -> list[str]:
    return sorted(map(str, tones.rglob("*.wav")))


@pytest.fixture(name="y")
def _labels(X) -> list[str]:
    return [Path(path).parent.name for path in X]


def model(**settings) -> earmark.AudioClassifier:
    return earmark.AudioClassifier(**{"backbone": "logmel", "head": "prototype", **settings})


def samples_of(path: str) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


@pytest.fixture
def embedded(monkeypatch) -> list[str]:
    """The names of the clips that a network has computed."""
    names, compute = [], embedding.window_stats

    def counted(backbone, items):
        names.extend(item.request.clip.place for item in items)
        return compute(backbone, items)

    monkeypatch.setattr(embedding, "window_stats", counted)
    return names


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize(
    ("estimator", "most"),
    [
        pytest.param(model(rate_hz=RATE_HZ), 6, marks=pytest.mark.slow, id="classifier"),
        pytest.param(earmark.AudioEmbedder("logmel", rate_hz=RATE_HZ), 4, id="embedder"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_only_the_named_checks_of_scikit_learn_fail(estimator, most):
    results = check_estimator(
        estimator, on_fail=None, expected_failed_checks=EXPECTED_FAILED_CHECKS
    )
    assert len(results) > 40
    assert not [row for row in results if row["status"] == "failed"]
    assert len([row for row in results if row["status"] == "xfail"]) == most


FORMS = {
    "paths": lambda X: [Path(path) for path in X],
    "array of text": np.array,
    "object array": lambda X: np.array(X, object),
    "one column": lambda X: np.array(X, object)[:, None],
    "pandas column": lambda X: pd.DataFrame({"path": X}, index=range(7, 7 + len(X)))["path"],
    "pandas frame": lambda X: pd.DataFrame({"path": X}),
    "polars column": pl.Series,
    "bytes": lambda X: [Path(path).read_bytes() for path in X],
    "clips": lambda X: [earmark.Clip(Path(path), "other", fold="1", split="test") for path in X],
    "arrays": lambda X: [samples_of(path) for path in X],
    "two channels": lambda X: [np.stack([samples_of(path)] * 2, 1) for path in X],
    "array of arrays": lambda X: _objects([samples_of(path) for path in X]),
    "lists of numbers": lambda X: [samples_of(path).tolist() for path in X],
    "int16": lambda X: [soundfile.read(path, dtype="int16")[0] for path in X],
    "2-D array": lambda X: np.stack([samples_of(path) for path in X]),
    "frame of waveforms": lambda X: pd.DataFrame(np.stack([samples_of(path) for path in X])),
    "mappings": lambda X: [{"array": samples_of(p), "sampling_rate": RATE_HZ} for p in X],
}


def _objects(items) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_recordings_gives_the_same_scores(X, y, form):
    given = FORMS[form](X)
    fitted = model(rate_hz=RATE_HZ).fit(given, y)
    assert fitted.predict(given).tolist() == y and fitted.score(given, y) == 1
    expected = model().fit(X, y).predict_proba(X)
    assert fitted.predict_proba(given) == pytest.approx(expected, abs=2e-3)


def test_one_channel_can_be_read(X, y):
    rng = np.random.default_rng(0)
    loud = [np.stack([rng.uniform(-1, 1, 8_000), samples_of(path)], 1) for path in X]
    right = {"rate_hz": RATE_HZ, "audio": earmark.AudioOptions(channel=2)}
    scores = model(**right).fit(loud, y).predict_proba(loud)
    assert scores == pytest.approx(model().fit(X, y).predict_proba(X), abs=2e-3)
    embedded = earmark.AudioEmbedder("logmel", **right).fit_transform(loud)
    assert embedded == pytest.approx(earmark.AudioEmbedder("logmel").fit_transform(X), abs=2e-2)


def test_arrays_may_have_different_lengths_and_rates(X, y):
    cut = [samples_of(path)[: 4_000 + 300 * k] for k, path in enumerate(X)]
    slow = [{"raw": x[::2], "sampling_rate": RATE_HZ // 2} for x in cut]  # as in Hugging Face's
    fitted = model(rate_hz=RATE_HZ).fit(cut, y)
    assert fitted.score(cut, y) == 1 and not hasattr(fitted, "n_features_in_")
    assert model().fit(slow, y).score(slow, y) == 1


def test_it_is_what_train_gives(X, y):
    fitted = model(head="auto", estimate=True).fit(X, y)
    data = Dataset(labelled(clips_of(X, None)[0], y, None), "X")
    trained = earmark.train(data, backbone="logmel").classifier
    assert fitted.classifier_.digest == trained.digest
    assert fitted.predict_proba(X) == pytest.approx(trained.predict_proba(X), abs=1e-6)
    assert trained.estimate.learning_curve is not None


def test_without_an_estimate_the_figures_are_called_too_good(X, y, tmp_path):
    fitted = model().fit(X, y)
    estimate = fitted.classifier_.estimate
    assert estimate.verdict["word"] == "care" and "too good" in estimate.verdict["why"]
    assert estimate.baselines is None and estimate.n_clips == len(X)
    fitted.classifier_.save(tmp_path / "m.earmark")
    again = earmark.load(tmp_path / "m.earmark")
    assert again.predict_proba(X) == pytest.approx(fitted.predict_proba(X), abs=1e-6)


def tones_at(frequencies) -> list[np.ndarray]:
    """Return noisy tones of 0.5 s, one for each frequency in hundreds of Hz."""
    t, rng = np.arange(8_000) / RATE_HZ, np.random.default_rng(0)
    return [
        0.3 * np.sin(200 * np.pi * hz * t) + 0.01 * rng.normal(size=8_000) for hz in frequencies
    ]


def test_classes_that_are_numbers_keep_their_order():
    y = np.array([10, 2, 1])[np.arange(12) // 4]
    X = tones_at(3 + y)
    fitted = model(rate_hz=RATE_HZ).fit(X, y)
    assert fitted.classes_.tolist() == [1, 2, 10]
    assert fitted.classifier_.labels == ("1", "10", "2")
    assert fitted.predict(X).tolist() == y.tolist()
    assert fitted.classes_[fitted.predict_proba(X).argmax(1)].tolist() == y.tolist()
    assert fitted.decision_function(X).shape == (12, 3)


def test_copies_and_pickles_have_no_networks(X, y):
    fitted = model(folds=3, seed=5).fit(X, y)
    assert clone(fitted).get_params() == fitted.get_params() and fitted.get_params()["seed"] == 5
    content = pickle.dumps(fitted)
    assert len(content) < 100_000 and b"torch" not in content
    assert pickle.loads(content).predict_proba(X).tobytes() == fitted.predict_proba(X).tobytes()


def test_networks_are_loaded_once(X, y, monkeypatch):
    monkeypatch.setattr(loaded, "_loaded", loaded._Loaded())
    calls, load = [], loaded.load_backbone
    monkeypatch.setattr(loaded, "load_backbone", lambda *a: calls.append(a) or load(*a))
    for head in ("prototype", "linear"):
        model(head=head).fit(X, y).predict(X)
    assert calls == [("logmel", "exact", "auto")]


def test_groups_are_kept_whole(X, y):
    groups = [k % 3 for k in range(len(X))]
    estimate = model().fit(X, y, groups).classifier_.estimate
    assert estimate.scheme == "leave one of 3 groups out"
    alone = model().fit(X, y, groups=pd.Series(["one"] * len(X))).classifier_.estimate
    assert alone.scheme == f"{FOLDS} stratified folds"  # one group does not divide them


def test_a_search_with_groups_embeds_each_clip_once(tmp_path, embedded, routing):
    data = Dataset.read(example())
    X, y = [str(clip.path) for clip in data], [clip.label for clip in data]
    groups = [clip.group for clip in data]
    clf = model(store=tmp_path / "store.sqlite").set_fit_request(groups=True)
    folds = GroupKFold(3)
    assert len(cross_val_score(clf, X, y, cv=folds, params={"groups": groups})) == 3
    assert sorted(embedded) == sorted(set(X)) and len(X) == 120
    search = GridSearchCV(clf, {"head": ["prototype", "linear"]}, cv=folds, error_score="raise")
    search.fit(X, y, groups=groups)
    assert len(embedded) == 120  # nothing new
    assert "of 12" in search.best_estimator_.classifier_.estimate.scheme
    assert search.best_score_ > 0.3


def test_a_search_without_a_store_embeds_again(X, y, embedded):
    cross_val_score(model(), X, y, cv=2)
    assert len(embedded) == 2 * len(X)


def test_threads_give_the_same_scores(X, y, tmp_path):
    from joblib import parallel_config

    alone = cross_val_score(model(), X, y, cv=3)
    with parallel_config("threading"):
        clf = model(store=str(tmp_path / "store.sqlite"))
        assert cross_val_score(clf, X, y, cv=3, n_jobs=2).tolist() == alone.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_processes_give_the_same_scores(X, y, tmp_path, backend):
    from joblib import parallel_config

    alone = cross_val_score(model(), X, y, cv=3)
    with parallel_config(backend):
        clf = model(store=str(tmp_path / "store.sqlite"))
        assert cross_val_score(clf, X, y, cv=3, n_jobs=2).tolist() == alone.tolist()


def test_unlike_clips_are_unknown():
    frequencies = np.array([4, 10, 25])[np.arange(15) // 5]
    X, y = tones_at(frequencies), [f"{hz}00 Hz" for hz in frequencies]
    fitted = model(unknown=0.05, head="linear", rate_hz=RATE_HZ).fit(X, y)
    assert set(fitted.predict(X)) <= {*y, "unknown"} and fitted.score(X, y) > 0.5
    noise = np.random.default_rng(0).uniform(-1, 1, 8_000)
    assert fitted.predict([noise]).tolist() == ["unknown"]
    assert fitted.predict_proba([noise]).sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="classes of type int64, but with unknown=0.05"):
        fitted.fit(X, frequencies)


def test_embeddings_are_those_of_embed(X, y):
    embedder = earmark.AudioEmbedder("logmel").set_output(transform="pandas")
    frame = embedder.fit_transform(X)
    expected = earmark.embed([earmark.Clip(Path(p)) for p in X], "logmel").features(["logmel"])
    assert frame.to_numpy().tobytes() == expected.tobytes() and expected.dtype == np.float32
    assert list(frame.columns) == embedder.get_feature_names_out().tolist()
    assert list(frame.columns[[0, 64]]) == ["logmel/logmel mean 0", "logmel/logmel deviation 0"]
    search = GridSearchCV(
        make_pipeline(earmark.AudioEmbedder("logmel"), LogisticRegression()),
        {"audioembedder__layers": ["last", "all"], "logisticregression__C": [1.0]},
        cv=2,
    )
    assert search.fit(X, y).best_score_ == 1


def test_an_embedder_joins_the_layers_of_several_backbones(X):
    pytest.importorskip("pyopen_wakeword", reason="it carries the weights of speech-embedding")
    embedder = earmark.AudioEmbedder("logmel,speech-embedding", layers="logmel,conv10,embedding")
    matrix = embedder.fit_transform(X[:2])
    assert [use.layers for use in embedder.backbones_] == [("logmel",), ("conv10", "embedding")]
    assert matrix.shape == (2, len(embedder.get_feature_names_out()))


def test_fitting_an_embedder_reads_nothing(tmp_path):
    embedder = earmark.AudioEmbedder("logmel").fit([tmp_path / "missing.wav"])
    with pytest.raises(ValueError, match=r"missing\.wav: cannot be opened"):
        embedder.transform([tmp_path / "missing.wav"])


def test_another_network_than_that_of_fitting_is_refused(X, y):
    embedder, fitted = earmark.AudioEmbedder("logmel").fit(X), model().fit(X, y)
    content = [pickle.dumps(each).replace(b"logmel/", b"logmel-") for each in (embedder, fitted)]
    for each, method in zip(map(pickle.loads, content), ("transform", "predict"), strict=True):
        with pytest.raises(ModelError, match="trained with|fitted with"):
            getattr(each, method)(X)


GOOD = np.random.default_rng(0).uniform(-1, 1, (8, 400))
LABELS = ["a", "b"] * 4


def _with(row: int, value: float) -> np.ndarray:
    x = GOOD.copy()
    x[row, 7] = value
    return x


REFUSED = {
    "no rate": (GOOD, LABELS, {"rate_hz": None}, "the samples of X[0] need a rate. Give rate_hz"),
    "no X": (None, LABELS, {}, "X is missing, but a list is needed."),
    "one path": ("a.wav", LABELS, {}, "X is one path, but a list is needed. Give a list of paths"),
    "one waveform": (GOOD[0], LABELS, {}, "X is one list of 400 numbers"),
    "a number": (3, LABELS, {}, "X is a int."),
    "empty": ([], [], {}, "X has 0 clips"),
    "no samples": (np.zeros((8, 0)), LABELS, {}, "0 feature(s)"),
    "three axes": (GOOD[:, :, None], LABELS, {}, "Found array with dim 3"),
    "NaN": (_with(3, np.nan), LABELS, {}, "X[3] has samples that are NaN or infinite"),
    "NaN in a list": (list(_with(3, np.inf)), LABELS, {}, "X[3]: "),
    "missing": ([*GOOD[:7], None], LABELS, {}, "X[7] is missing, which is not a recording"),
    "words": ([["a"], ["b", "c"]], LABELS, {}, "X[0] is not a waveform of numbers."),
    "a table": (
        pd.DataFrame({"label": LABELS, "path": LABELS, "n": range(8)}),
        LABELS,
        {},
        "X is a data frame with several columns, but one column",
    ),
    "an object": ([*GOOD[:7], object()], LABELS, {}, "X[7] is a object, which is not"),
    "no sampling_rate": (
        [{"array": GOOD[0]}],
        ["a"],
        {},
        "X[0] is a mapping with the keys 'array'",
    ),
    "int64": (np.ones((8, 4), int), LABELS, {}, "the samples of X[0] have the type int64."),
    "missing path": (
        [f"{k}.wav" for k in range(8)],
        LABELS,
        {},
        "The first is 0.wav: cannot be opened",
    ),
    "few y": (GOOD, LABELS[:-1], {}, "y has 7 values, but X has 8 clips."),
    "no y": (GOOD, None, {}, "requires y to be passed, but the target y is None."),
    "one class": (GOOD, ["a"] * 8, {}, "y has only 1 class, 'a', but at least 2 are needed."),
    "rare class": (GOOD, ["a"] * 7 + ["b"], {}, "class 'b' has 1 clip, but at least 2"),
    "equal clips": (GOOD[[0] * 8], LABELS, {}, "class 'a' has 1 different recording"),
    "blank class": (GOOD, ["a", " "] * 4, {}, "y has the class ' ', whose name is blank."),
    "continuous": (GOOD, np.linspace(0, 1, 8), {}, "Unknown label type: continuous"),
    "head": (GOOD, LABELS, {"head": "linar"}, "Did you mean 'linear'?"),
    "layers": (GOOD, LABELS, {"layers": "conv"}, "no layer 'conv' in logmel."),
    "backbone": (GOOD, LABELS, {"backbone": "logmell"}, "'logmell'"),
    "folds": (GOOD, LABELS, {"folds": 1}, "folds is 1. Give a whole number"),
    "store": (GOOD, LABELS, {"store": 3}, "store is a int. Give its path, or True"),
    "class unknown": (GOOD, ["a", "unknown"] * 4, {"unknown": 0.1}, "has a class 'unknown'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_a_value_error_with_a_sentence(case):
    X, y, settings, text = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(text)) as refused:
        model(**{"rate_hz": RATE_HZ, **settings}).fit(X, y)
    assert "\n" not in str(refused.value)


def test_groups_must_fit():
    for groups, text in (
        ([1, 2], "groups has 2 values, but X has 8 clips"),
        ([1] * 7 + [None], r"groups\[7\] is missing"),
    ):
        with pytest.raises(InputError, match=text):
            model(rate_hz=RATE_HZ).fit(GOOD, LABELS, groups)


def test_a_recording_that_cannot_be_read_is_named(X, y, tmp_path):
    (bad := tmp_path / "bad.wav").write_bytes(b"no audio")
    with pytest.raises(AudioInputError) as refused:
        model().fit([*X, bad], [*y, "low"])
    assert refused.value.path == str(bad) and isinstance(refused.value, ValueError)
    with pytest.raises(earmark.AudioError, match="bad.wav"):
        model().fit(X, y).predict([bad])
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_what_is_missing_from_a_recording_is_warned_of_once(X, y, tmp_path):
    cut = []
    for k in range(2):
        content = Path(X[0]).read_bytes()
        cut.append(tmp_path / f"{k}.wav")
        cut[-1].write_bytes(content[: len(content) * (3 - k) // 4])
    with pytest.warns(earmark.EarmarkWarning, match=r"\(1 more warning of this kind\)") as warned:
        model().fit([*X, *cut], [*y, "high", "high"])
    assert len(warned) == 1
