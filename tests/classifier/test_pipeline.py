"""earmark.pipeline answers as transformers' audio-classification pipeline does."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

import earmark
from earmark.classifier.detector import Detector
from earmark.errors import EarmarkError, ModelError

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def heard(tmp_path_factory) -> Path:
    """Recordings of three classes, named after them."""
    folder, rng = tmp_path_factory.mktemp("heard"), np.random.default_rng(0)
    for label, hz in (("high", 1_800), ("low", 240), ("middle", 700)):
        for k in range(5):
            x = 0.3 * np.sin(2 * np.pi * hz * (1 + 0.02 * k) * np.arange(8_000) / RATE_HZ)
            (folder / label).mkdir(exist_ok=True)
            soundfile.write(folder / label / f"{k}.wav", x + 0.01 * rng.normal(size=8_000), RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def classifier(heard) -> earmark.Classifier:
    settings = {"head": "prototype", "compare": False}
    return earmark.train(heard, backbone="logmel", **settings).classifier


@pytest.fixture(scope="module")
def classify(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.earmark"
    classifier.save(path)
    return earmark.pipeline(str(path))


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def test_a_recording_gives_its_classes_best_first(classify, classifier, heard):
    answer = classify(str(heard / "low" / "1.wav"))
    prediction = classifier.predict(heard / "low" / "1.wav")
    assert answer == [{"score": s, "label": label} for label, s in prediction.scores.items()]
    assert answer[0]["label"] == "low" and len(answer) == 3
    scores = [entry["score"] for entry in answer]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1, abs=1e-5)


def as_decoder(x: np.ndarray) -> object:
    """What data sets of Hugging Face give for a recording, if torchcodec is installed."""
    decoded = SimpleNamespace(data=torch.from_numpy(x)[None], sample_rate=RATE_HZ)
    return SimpleNamespace(get_all_samples=lambda: decoded)


FORMS = {
    "path": lambda path: path,
    "bytes": Path.read_bytes,
    "array": lambda path: {"array": samples(path), "sampling_rate": RATE_HZ, "path": None},
    "raw": lambda path: {"raw": samples(path), "sampling_rate": RATE_HZ},
    "tensor": lambda path: {"raw": torch.from_numpy(samples(path)), "sampling_rate": RATE_HZ},
    "list of numbers": lambda path: {"raw": samples(path).tolist(), "sampling_rate": RATE_HZ},
    "channels": lambda path: {"array": np.stack([samples(path)] * 2, 1), "sampling_rate": RATE_HZ},
    "decoder": lambda path: as_decoder(samples(path)),
    "clip": lambda path: earmark.Clip(path),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_recording_gives_the_same_answer(classify, heard, form):
    path = heard / "middle" / "0.wav"
    given, expected = classify(FORMS[form](path)), classify(str(path))
    assert [entry["label"] for entry in given] == [entry["label"] for entry in expected]
    scores = [[entry["score"] for entry in answer] for answer in (given, expected)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_an_array_has_the_rate_of_the_call_or_of_the_pipeline(classifier, classify, heard):
    x = samples(heard / "high" / "0.wav")
    expected = classify({"array": x, "sampling_rate": RATE_HZ})
    assert classify(x, sampling_rate=RATE_HZ) == expected
    assert earmark.pipeline(classifier, sampling_rate=RATE_HZ)(x) == expected
    assert classify({"array": x, "sampling_rate": RATE_HZ}, sampling_rate=8_000) == expected


def test_several_recordings_give_a_list_and_an_iterator_an_iterator(classify, heard):
    paths = [heard / "low" / "0.wav", heard / "high" / "0.wav"]
    alone = [classify(path) for path in paths]
    assert classify(paths) == alone and classify(tuple(paths)) == alone
    assert classify(paths[:1]) == alone[:1] and classify([]) == []
    answers = classify(iter(paths))
    assert not isinstance(answers, list) and list(answers) == alone


def test_top_k_shortens_answers(classifier, classify, heard):
    path = heard / "low" / "0.wav"
    short = earmark.pipeline(classifier, top_k=1)
    assert [len(each) for each in (short(path), short(path, top_k=2), classify(path, top_k=9))] == [
        1,
        2,
        3,
    ]
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(EarmarkError, match="Give the number of classes"):
            classify(path, top_k=wrong)


def test_an_unknown_recording_is_named_first(classifier, heard):
    rule = replace(classifier.decision_rule, unknown_threshold=1e9)
    unsure = earmark.pipeline(replace(classifier, decision_rule=rule))
    answer = unsure(heard / "low" / "0.wav")
    assert answer[0] == {"score": 1.0, "label": "unknown"}
    assert answer[1]["label"] == "low" and len(answer) == 4
    assert unsure(heard / "low" / "0.wav", top_k=1) == answer[:1]


def test_a_classifier_of_several_classes_has_a_score_for_each(heard, tmp_path):
    rows = [f"{heard / label / f'{k}.wav'},{label}" for label in ("high", "low") for k in range(5)]
    rows += [f"{heard / 'middle' / f'{k}.wav'},high|low" for k in range(5)]
    (manifest := tmp_path / "m.csv").write_text("path,label\n" + "\n".join(rows))
    data = earmark.Dataset.read(manifest, separator="|")
    classifier = earmark.train(data, backbone="logmel", head="linear", compare=False).classifier
    classify = earmark.pipeline(classifier, function_to_apply="sigmoid")
    answer = classify(heard / "middle" / "0.wav")
    assert {entry["label"] for entry in answer} == {"high", "low"}
    assert sum(entry["score"] for entry in answer) > 1.05
    with pytest.raises(EarmarkError, match="function_to_apply is 'softmax'.*come from 'sigmoid'"):
        classify(heard / "middle" / "0.wav", function_to_apply="softmax")


@pytest.mark.slow
def test_the_form_of_an_answer_is_that_of_transformers(classify, heard):
    transformers = pytest.importorskip("transformers")
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        num_labels=7, classifier_proj_size=8,
    )  # fmt: skip
    theirs = transformers.pipeline(
        "audio-classification",
        model=transformers.Wav2Vec2ForSequenceClassification(config),
        feature_extractor=transformers.Wav2Vec2FeatureExtractor(),
    )
    x = samples(heard / "low" / "0.wav")
    one, rate = {"array": x, "sampling_rate": RATE_HZ}, {"raw": x, "sampling_rate": RATE_HZ}
    for given, most in ((one, 1), (rate, 2), ([one, rate], 2), ([one], 1)):
        forms = [_form(pipe(given, top_k=most)) for pipe in (theirs, classify)]
        assert forms[0] == forms[1]
    assert (len(theirs(one)), len(classify(one))) == (7, 3)  # all classes, if top_k is left out
    assert theirs.task == classify.task


def _form(answer: object) -> object:
    """Return an answer with the names and types of its values instead of them."""
    if isinstance(answer, list):
        return [_form(each) for each in answer]
    assert isinstance(answer, dict)
    return [(name, type(value)) for name, value in answer.items()]


def test_what_is_not_a_recording_is_refused(classifier, classify, heard, tmp_path):
    x = np.zeros(100, np.float32)
    for given, text in (
        (x, "an array needs a rate. Give sampling_rate"),
        ({"array": x}, "the input is a mapping with the keys 'array', but"),
        ({"sampling_rate": RATE_HZ}, "'array' (or 'raw') and 'sampling_rate' are needed"),
        ({"array": x[None, None], "sampling_rate": RATE_HZ}, "the samples have the shape (1, 1"),
        ({"array": "a.wav", "sampling_rate": RATE_HZ}, "the samples have the type"),
        (None, "a NoneType is not one recording"),
        (3, "a int is not one recording"),
        (heard, "heard0 is not one recording"),
        ([heard / "low" / "0.wav", 3], "a int is not one recording"),
    ):
        with pytest.raises(EarmarkError) as refused:
            classify(given)
        assert text in str(refused.value)
    for given in (tmp_path / "no.wav", [heard / "low" / "0.wav", tmp_path / "no.wav"], b"no audio"):
        with pytest.raises(earmark.AudioError):
            classify(given)
    with pytest.raises(earmark.AudioError, match="NaN"):
        classify({"array": x * np.nan, "sampling_rate": RATE_HZ})
    with pytest.raises(ModelError):
        earmark.pipeline(heard / "low" / "0.wav")
    with pytest.raises(EarmarkError, match="function_to_apply is 'none'"):
        earmark.pipeline(classifier, function_to_apply="none")
    with pytest.raises(EarmarkError, match="model is a int"):
        earmark.pipeline(3)


def test_a_detector_is_refused(classifier):
    detector = Detector(0.32, 0.08, False, {}, {})
    with pytest.raises(EarmarkError, match="[Dd]etect"):
        earmark.pipeline(replace(classifier, detector=detector))
