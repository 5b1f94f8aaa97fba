"""A detector as an ONNX graph: fed hop by hop, it gives the scores of a stream."""

import dataclasses

import numpy as np
import pytest

import earmark
from earmark import backbones
from earmark.classifier.detector import Detector
from earmark.classifier.onnx import checks
from earmark.detection.onnx import StreamGraph, run_stream
from earmark.detection.scores import ScoreStream, WindowScorer
from earmark.errors import ModelError
from made_classifier import made_classifier
from made_detector import digit_classifier, spoken_digits
from networks import sound, with_random_weights

pytest.importorskip("onnx", reason="the extra earmark[onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra earmark[onnx] is not installed")


def stream_graph(*names, window_s, hop_s, background=False) -> StreamGraph:
    networks = [
        backbones.load_backbone(name) if name == "logmel" else with_random_weights(name)
        for name in names
    ]
    classifier = made_classifier(networks, n_classes=4)
    labels = classifier.labels[: 3 if background else 4]
    detector = Detector(window_s, hop_s, background, {}, {})
    return StreamGraph(dataclasses.replace(classifier, labels=labels, detector=detector), networks)


@pytest.mark.parametrize(
    ("names", "window_s", "hop_s"),
    [
        (["logmel"], 0.5, 0.1),
        (["logmel"], 0.03, 0.03),
        pytest.param(["speech-embedding"], 0.48, 0.08, marks=pytest.mark.slow),
        (["speech-embedding"], 1.28, 0.64),
        (["efficientat-mn04"], 0.96, 0.24),
        pytest.param(["yamnet"], 1.2, 0.3, marks=pytest.mark.slow),
        (["logmel", "yamnet"], 0.96, 0.24),
        pytest.param(["efficientat-mn04", "logmel"], 0.48, 0.24, marks=pytest.mark.slow),
    ],
)
def test_the_scores_are_those_of_a_stream(names, window_s, hop_s):
    graph = stream_graph(*names, window_s=window_s, hop_s=hop_s, background=True)
    session = checks.open_graph(graph.build().SerializeToString())
    scorer = WindowScorer(graph.classifier, graph.networks, window_s, hop_s)
    x = sound(round(2.3 * graph.rate_hz))
    stream = ScoreStream(scorer, graph.rate_hz)
    parts = [stream.feed(x), stream.finish()]
    expected = np.concatenate([part.scores for part in parts])
    states = graph.states()
    got = run_stream(session, states, graph.hop, graph.delay_steps, x, len(expected))
    n = graph._n_equal(len(x), len(expected))
    assert n > 0 and got.shape == expected.shape == (len(expected), 3)
    np.testing.assert_allclose(got[:n], expected[:n], atol=5e-5)
    if len({network.info.rate_hz for network in graph.networks}) == 1:
        assert n == len(expected)


def test_a_detector_is_exported_and_says_how_it_is_fed(tmp_path):
    classifier = digit_classifier(tmp_path)
    path = tmp_path / "digits.onnx"
    exported = earmark.export(classifier, path)
    about = exported.description
    assert about["kind"] == "stream" and about["block_samples"] == 0.08 * 16_000
    assert about["rules"]["thresholds"] == [0.9] * 3
    assert exported.largest <= 5e-5
    session = checks.open_graph(path.read_bytes())
    inputs = {value.name: value.shape for value in session.get_inputs()}
    assert inputs == {"block": [about["block_samples"]], **about["states"]}

    x, hop = spoken_digits(16_000), about["block_samples"]
    state = {
        name: np.zeros(shape, np.int64 if name == "position" else np.float32)
        for name, shape in about["states"].items()
    }
    names, numbers, best = [value.name for value in session.get_outputs()], [], []
    for start in range(0, len(x) - hop + 1, hop):
        values = session.run(names, {"block": x[start : start + hop], **state})
        result = dict(zip(names, values, strict=True))
        state = {name: result[f"next_{name}"] for name in state}
        numbers.append(int(result["window"]))
        best.append(result["scores"].max())
    assert numbers == [step - about["delay_steps"] for step in range(len(numbers))]
    assert max(best) > 0.9


def test_a_hop_between_samples_is_refused():
    with pytest.raises(ModelError, match="not a whole number of samples at the rates of all"):
        stream_graph("efficientat-mn04", "yamnet", window_s=0.48, hop_s=0.10003)
