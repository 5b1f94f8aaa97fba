"""A classifier as one ONNX graph: onnxruntime answers what predict answers."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import earmark
from earmark import audio, backbones
from earmark.classifier.features import FeatureSpec
from earmark.classifier.onnx import checks, clips, exporting, metadata, resampling, windows
from earmark.classifier.onnx.graph import Graph
from earmark.embeddings.pooling import as_stored
from earmark.errors import EarmarkError, ModelError
from made_classifier import made_classifier
from networks import sound, with_random_weights
from own_networks import small

pytest.importorskip("onnx", reason="the extra earmark[onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra earmark[onnx] is not installed")

FILES = Path(__file__).parents[1] / "fixtures" / "0.1"
CLOSE = 5e-5
CHECKPOINTS = [
    "wav2vec2-group",
    "whisper",
    "ast",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("wavlm-layer", "data2vec")),
]


def network_of(name: str):
    return backbones.load_backbone(name) if name == "logmel" else with_random_weights(name)


def differences(classifier, networks, lengths) -> np.ndarray:
    """Return the differences between graph and predict for noise of some lengths."""
    model = clips.build_clip_graph(classifier, networks)
    session = checks.open_graph(model.SerializeToString())
    sounds = [(str(n), sound(n)) for n in lengths]
    found = checks.compare(session, classifier, networks, sounds)
    return np.array([difference.value for difference in found])


@pytest.fixture(scope="module")
def small_classifier():
    """A classifier of log-mel statistics, which is exported in a second."""
    return made_classifier([network_of("logmel")])


def lengths_of(info) -> list[int]:
    step = info.step or info.hop
    return [1, step, step + 1, info.window, info.window + 1, info.window + info.hop + 1]


@pytest.mark.parametrize(
    "name", ["logmel", "speech-embedding", "efficientat-mn04", "yamnet", "yamnet-float32"]
)
def test_every_backbone_gives_the_scores_of_predict(name):
    network = network_of(name)
    classifier = made_classifier([network])
    assert differences(classifier, [network], lengths_of(network.info)).max() <= CLOSE


@pytest.mark.slow
def test_vggish_gives_the_scores_of_predict():
    network = with_random_weights("vggish")
    classifier = made_classifier([network])
    assert differences(classifier, [network], lengths_of(network.info)).max() <= CLOSE


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_hugging_face_checkpoints_give_the_scores_of_predict(folders, name):
    network = backbones.load_backbone(f"hf:{folders / name}")
    classifier = made_classifier([network])
    assert differences(classifier, [network], [1, 400, 401, 16_000, 40_000]).max() <= CLOSE


@pytest.mark.parametrize("kind", ["prototype", "linear", "logistic", "mlp"])
@pytest.mark.parametrize("is_single", [True, False])
def test_every_head_gives_scores_and_known_score(kind, is_single):
    network = network_of("logmel")
    classifier = made_classifier([network], kind, is_single=is_single)
    session = checks.open_graph(clips.build_clip_graph(classifier, [network]).SerializeToString())
    for n in (1, 5_000, 16_000):
        expected = checks.answer(classifier, [network], sound(n))
        got = checks.graph_answer(session, sound(n))
        np.testing.assert_allclose(got.scores, expected.scores, atol=1e-6)
        assert got.known == pytest.approx(expected.known, abs=1e-4)


@pytest.mark.parametrize(
    "specs",
    [
        [FeatureSpec((("conv9", "conv10"),), spread=False, bands=False)],
        [FeatureSpec((("conv9", "conv10"),), bands=False, averaged=True)],
        [FeatureSpec((("conv1",),)), FeatureSpec((("conv1", "embedding"),), bands=False)],
    ],
)
def test_every_kind_of_features(specs):
    network = with_random_weights("speech-embedding")
    classifier = made_classifier([network], features=specs)
    assert differences(classifier, [network], [1, 1_281, 16_000]).max() <= CLOSE


@pytest.mark.slow
def test_several_backbones_at_two_rates():
    networks = [with_random_weights("efficientat-mn04"), network_of("logmel")]
    classifier = made_classifier(networks)
    assert clips.rate_of(networks) == 32_000
    lengths = [1, 2, 3, 1_023, 31_999, 32_000, 320_001]
    assert differences(classifier, networks, lengths).max() <= CLOSE


@settings(max_examples=10)
@given(st.integers(1, 3_000), st.sampled_from([(32_000, 16_000), (48_000, 16_000)]))
def test_resampling_is_that_of_soxr(n, rates):
    graph = Graph()
    graph.compute("Identity", resampling.add_rate(graph, "x", *rates), into="y")
    x, y = graph.value("x", "FLOAT", ["n"]), graph.value("y", "FLOAT", ["m"])
    session = checks.open_graph(graph.model("resampling", [x], [y]).SerializeToString())
    expected = audio.resample(sound(n), *rates)
    (got,) = session.run(None, {"x": sound(n)})
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_rates_without_a_whole_factor_are_refused():
    with pytest.raises(ModelError, match="32000 and 24000 Hz, and a graph resamples by whole"):
        resampling.add_rate(Graph(), "x", 32_000, 24_000)


@pytest.mark.parametrize("peak", [1.0, 65_504.0, 70_000.0, 1e30])
def test_pooling_rounds_as_the_store_does(peak):
    info = backbones.info("logmel")
    mean = np.random.default_rng(0).normal(size=64)
    mean[3], deviation = peak, np.abs(mean)
    graph = Graph()
    names = windows.Moments(graph.doubles(mean), graph.doubles(deviation))
    ((got_mean, got_deviation),) = windows.add_rounding(graph, info, [names])
    outputs = [graph.value(name, "FLOAT", [64]) for name in (got_mean, got_deviation)]
    session = checks.open_graph(graph.model("rounding", [], outputs).SerializeToString())
    expected = as_stored(np.concatenate([mean, deviation])).astype(np.float32)
    np.testing.assert_array_equal(np.concatenate(session.run(None, {})), expected)


@pytest.mark.slow
def test_fine_tuned_weights_are_exported():
    classifier = earmark.load(FILES / "tuned.earmark")
    (network,) = classifier.networks()
    network.restrict_to_layers(classifier.backbones[0].layers)
    expected = checks.answer(classifier, [network], sound(8_000))
    published = dataclasses.replace(classifier, tuned=())
    tuned, plain = (
        checks.graph_answer(checks.open_graph(earmark.export(own).content), sound(8_000))
        for own in (classifier, published)
    )
    np.testing.assert_allclose(tuned.scores, expected.scores, atol=CLOSE)
    assert tuned.known == pytest.approx(expected.known, abs=1e-5)
    assert abs(plain.known - expected.known) > 1e-3


def test_the_file_describes_itself(small_classifier, tmp_path):
    classifier = small_classifier
    exported = earmark.export(classifier, tmp_path / "a.onnx", verify=FILES / "recordings" / "hum")
    session = checks.open_graph((tmp_path / "a.onnx").read_bytes())
    texts = session.get_modelmeta().custom_metadata_map
    own = {key: json.loads(text) for key, text in texts.items()}
    assert own.pop("sha256") and own == exported.description
    assert own["labels"] == list(classifier.labels) and own["rate_hz"] == 16_000
    assert own["digest"] == classifier.digest and own["backbones"][0]["licence"] == "Apache-2.0"
    assert "Apache License" in (tmp_path / "LICENSES.txt").read_text()
    names = [difference.sound for difference in exported.differences]
    assert sum("hum" in name for name in names) == 6 and any("noise" in name for name in names)
    assert exported.largest <= CLOSE and repr(exported).startswith("Exported(")


def test_an_edited_graph_is_noticed(small_classifier, tmp_path):
    classifier, path = small_classifier, tmp_path / "a.onnx"
    content = earmark.export(classifier, path).content
    assert exporting.check_exported(classifier, path).largest <= CLOSE
    for at in (200, len(content) // 2, len(content) - 1):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ModelError, match="changed after it was exported|is not a graph"):
            exporting.check_exported(classifier, path)
    path.write_bytes(content)
    other = made_classifier([network_of("logmel")], n_classes=4)
    with pytest.raises(ModelError, match="was exported from another classifier"):
        exporting.check_exported(other, path)
    for junk in (b"", b"junk", content[:-1]):
        path.write_bytes(junk)
        with pytest.raises(ModelError):
            exporting.check_exported(classifier, path)
    with pytest.raises(EarmarkError, match="cannot read"):
        exporting.check_exported(classifier, tmp_path / "missing.onnx")


def test_a_graph_that_differs_is_not_written(small_classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "earmark.classifier.onnx.clips.add_calibration",
        lambda graph, calibration, logits: graph.compute("Sigmoid", logits),
    )
    with pytest.raises(ModelError, match=r"differ from those of earmark by up to .* Nothing was"):
        earmark.export(small_classifier, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_old_versions_are_not_compared_on_silence():
    (network,) = earmark.load(FILES / "single.earmark").networks()
    assert not any("silence" in name for name, _ in checks.made_sounds([network]))
    assert any("silence" in name for name, _ in checks.made_sounds([network_of("logmel")]))


def test_not_a_number_counts_as_a_difference():
    found = [checks.Difference("a", 1e-9), checks.Difference("b", float("nan"))]
    with pytest.raises(ModelError, match="nan, for b"):
        checks.refuse_if_far(found)


def test_a_tie_in_rounding_is_no_fault_of_the_graph():
    checks.refuse_if_far([checks.Difference("a", 3e-4, own=2e-4)])
    with pytest.raises(ModelError, match="up to 0.0003, for a"):
        checks.refuse_if_far([checks.Difference("a", 3e-4, own=1e-4)])


@pytest.mark.slow
def test_float16_halves_the_file_and_changes_little():
    network = with_random_weights("speech-embedding")
    classifier = made_classifier([network])
    graph = clips.ClipGraph(classifier, [network])
    full, half = graph.build(), graph.build()
    exporting.halve_weights(half.graph)
    assert half.ByteSize() < 0.6 * full.ByteSize()
    expected = checks.answer(classifier, [network], sound(16_000)).scores
    got = checks.graph_answer(checks.open_graph(half.SerializeToString()), sound(16_000)).scores
    assert 0 < np.abs(got - expected).max() <= exporting.PRECISIONS["float16"]


def test_float16_leaves_the_front_end_exact():
    network = network_of("logmel")
    classifier = made_classifier([network])
    model = clips.build_clip_graph(classifier, [network])
    exporting.halve_weights(model.graph)
    hum = 0.5 * np.sin(np.arange(16_000) * 0.1).astype(np.float32)  # most bands are empty
    expected = checks.answer(classifier, [network], hum).scores
    got = checks.graph_answer(checks.open_graph(model.SerializeToString()), hum).scores
    assert np.abs(got - expected).max() < 1e-3


def test_a_users_own_licences_are_kept(small_classifier, tmp_path):
    (tmp_path / "LICENSES.txt").write_text("mine")
    earmark.export(small_classifier, tmp_path / "a.onnx")
    assert (tmp_path / "LICENSES.txt").read_text() == "mine"
    assert "logmel" in (tmp_path / "a.LICENSES.txt").read_text()


def test_a_backbone_from_a_file_of_its_own_is_refused_beside_one_that_is_not(tmp_path):
    name = f"onnx:{small(tmp_path / 'own.onnx')}"
    exporting._check_network(network_of("logmel"))
    own = backbones.load_backbone(name)
    with pytest.raises(ModelError, match=r"backbone 'onnx:.*' cannot be exported: onnxruntime"):
        exporting._check_network(own)


def test_reduced_precision_is_refused():
    with pytest.raises(ModelError, match="it was used in bfloat16, and graphs use float32"):
        exporting._check_network(with_random_weights("speech-embedding", "bfloat16"))


def test_unknown_precision_is_refused():
    with pytest.raises(EarmarkError, match="precision is 'int8'. Give float32 or float16"):
        earmark.export(earmark.load(FILES / "single.earmark"), precision="int8")


def test_a_folder_of_this_machine_is_not_in_the_file(folders):
    name = f"hf:{folders / 'wav2vec2-group'}"
    network = backbones.load_backbone(name)
    classifier = made_classifier([network])
    about = clips.ClipGraph(classifier, [network]).describe()
    assert about["backbones"][0]["name"] == "hf:wav2vec2-group"
    assert str(folders) not in json.dumps(about)


def test_a_graph_of_another_program_is_refused():
    graph = Graph()
    graph.compute("Identity", "x", into="y")
    value = [graph.value(name, "FLOAT", ["n"]) for name in "xy"]
    content = graph.model("other", value[:1], value[1:]).SerializeToString()
    with pytest.raises(ModelError, match="is not a graph that"):
        metadata.read_description(content, "x.onnx")
