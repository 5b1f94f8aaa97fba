"""A network of your own, from `earmark backbones` to a classifier that refuses another file."""

import json
import os

import numpy as np
import pytest
import soundfile

from command_line import earmark as command
from earmark import backbones
from earmark.classifier import session
from earmark.data.clip import Clip
from earmark.embeddings.pipeline import embed_clip
from earmark.embeddings.pooling import halves_of
from own_networks import FRAME, constants, describe, onnx, small

QUICK = ("--head", "prototype", "--layers", "last")


@pytest.fixture(autouse=True)
def _new_process(monkeypatch):
    """Each command is a process of its own: no session stays warm."""
    monkeypatch.setattr(session, "SHARED", 0)
    monkeypatch.setattr(session, "_sessions", type(session._sessions)())  # nor those of other tests


@pytest.fixture
def network(tmp_path):
    return small(tmp_path / "bats.onnx", full_scale=10)


def test_show_verify_and_list(network):
    shown = command("backbones", "show", f"onnx:{network}").stdout
    assert "layers       frames (6), embedding (6)" in shown
    assert "on a CPU: onnxruntime float32" in shown
    assert "licence      Apache-2.0" in shown
    verified = command("backbones", "verify", f"onnx:{network}").stdout
    assert verified.startswith(f"OK: onnx:{network}/1/")
    assert "a window gives the same numbers in every call" in verified
    assert "windows are computed together" in verified
    assert "is ready" in command("backbones", "fetch", f"onnx:{network}").stdout
    assert "onnx:FILE, tflite:FILE: your own network" in command("backbones", "list").stdout


def test_fetch_to_copies_all_files(network, tmp_path):
    model = onnx.load(network)
    onnx.save(model, network, save_as_external_data=True, location="w.data", size_threshold=0)
    done = command("backbones", "fetch", f"onnx:{network}", "--to", tmp_path / "stick")
    names = [network.name, f"{network.name}.json", "w.data"]
    assert done.stdout.split() == [str(tmp_path / "stick" / name) for name in names]
    for name in names:
        assert (tmp_path / "stick" / name).read_bytes() == (tmp_path / name).read_bytes()
    stderr = command(
        "train", tmp_path, "-o", tmp_path / "m", "--backbone", "onnx:a,b.onnx", expect=2
    ).stderr
    assert "Commas separate names" in stderr


def test_a_missing_json_is_one_line(network):
    os.remove(f"{network}.json")
    stderr = command("backbones", "show", f"onnx:{network}", expect=2).stderr
    assert stderr.count("\n") == 1 and '"rate_hz": null' in stderr


def test_from_training_to_a_changed_file(network, tones, tmp_path):
    model, clip = tmp_path / "m.earmark", tones / "high" / "0.wav"
    trained = command(
        "train",
        tones,
        "-o",
        model,
        "--backbone",
        f"onnx:{network.name}",
        *QUICK,
        "--json",
        cwd=tmp_path,
    )
    assert json.loads(trained.stdout)["backbone"]
    before = json.loads(command("predict", model, clip, "--json").stdout)
    assert before["label"] == "high"
    describe(network, full_scale=10, licence="MIT")  # what decides nothing may change
    assert json.loads(command("predict", model, clip, "--json").stdout) == before
    describe(network, full_scale=20)
    assert "was trained with backbone" in command("predict", model, clip, expect=2).stderr
    small(network, seed=1, full_scale=10)
    assert "was trained with backbone" in command("predict", model, clip, expect=2).stderr
    os.remove(network)
    stderr = command("predict", model, clip, expect=2).stderr
    assert f"no file {network} for backbone" in stderr and "EARMARK_WEIGHTS" in stderr


def test_another_machine_has_it_elsewhere(network, tones, tmp_path, monkeypatch):
    model, clip = tmp_path / "m.earmark", tones / "high" / "0.wav"
    command("train", tones, "-o", model, "--backbone", f"onnx:{network}", *QUICK)
    before = json.loads(command("predict", model, clip, "--json").stdout)
    (tmp_path / "stick").mkdir()
    for file in (network.name, f"{network.name}.json"):
        os.rename(tmp_path / file, tmp_path / "stick" / file)
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path / "stick"))
    assert json.loads(command("predict", model, clip, "--json").stdout) == before
    small(tmp_path / "stick" / network.name, seed=1, full_scale=10)  # of the same name
    assert "was trained with backbone" in command("predict", model, clip, expect=2).stderr


def test_beside_another_backbone(network, tones, tmp_path):
    model = tmp_path / "m.earmark"
    both = f"onnx:{network},speech-embedding"
    command("train", tones, "-o", model, "--backbone", both, "--precision", "fast", *QUICK)
    answer = json.loads(command("predict", model, tones / "low" / "1.wav", "--json").stdout)
    assert answer["label"] == "low"
    os.remove(network)  # one of two
    assert f"no file {network}" in command("predict", model, tones, expect=2).stderr


def test_what_it_cannot_do_is_said_in_a_sentence(network, tones, tmp_path):
    name, model = f"onnx:{network}", tmp_path / "m.earmark"
    tune = ("train", tones, "-o", model, "--backbone", name)
    assert "Leave --finetune out" in command(*tune, "--finetune", "full", expect=2).stderr
    assert "Use --engine auto" in command(*tune, "--engine", "openvino", expect=2).stderr
    assert "Leave --finetune out" in command(*tune, "--finetune", "lora", expect=2).stderr
    missing = command("train", tones, "-o", model, "--backbone", "onnx:no.onnx", expect=2)
    assert "no file no.onnx" in missing.stderr
    for typed, meant in (("onxn:a.onnx", "onnx:..."), ("a/b.tflite", "tflite:a/b.tflite")):
        stderr = command("backbones", "show", typed, expect=2).stderr
        assert f"Did you mean '{meant}'" in stderr


def test_long_clips_in_sections_are_as_whole_ones(network, tmp_path):
    """Windows of half a second, overlapping; a recording of several minutes."""
    describe(network, hop_s=0.25)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, 150 * 16_000).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", x, 16_000, subtype="FLOAT")
    backbone = backbones.load_backbone(f"onnx:{network}")
    embedded = embed_clip(Clip(tmp_path / "long.wav"), backbone)
    windows = np.lib.stride_tricks.sliding_window_view(x, 8_000)[::4_000]
    means, _ = halves_of(backbone.info, "embedding")
    frames = np.maximum(windows.reshape(-1, FRAME) @ constants()["weight"], 0)
    np.testing.assert_allclose(embedded.vector[means], frames.mean(0), rtol=2e-3)
