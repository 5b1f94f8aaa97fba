"""`tflite:FILE`, on published networks: YAMNet, and the spectrogram of openWakeWord."""

import importlib.util
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark import audio, backbones
from earmark.backbones.networks.yamnet import CONTEXT
from earmark.embeddings.computing import run
from earmark.errors import BackboneError
from networks import cut, sound
from shared_data import shared_data, shared_weights

interpreter = pytest.importorskip("ai_edge_litert.interpreter")
SCORES = "tower0/network/layer32/final_output"
EMBEDDING = "tower0/network/layer28/reduce_mean"  # (1, 1, 1, 1024), 8 bits
READ = 15_600  # samples


def describe(path: Path, **fields) -> str:
    fields = {"rate_hz": 16_000, "licence": "Apache-2.0", **fields}
    path.with_name(f"{path.name}.json").write_text(json.dumps(fields))
    return f"tflite:{path}"


@pytest.fixture
def yamnet(tmp_path):
    file = shared_weights("yamnet/yamnet_classification.tflite")
    path = Path(shutil.copy(file, tmp_path))
    layers = [
        {"name": "embedding", "output": EMBEDDING, "axes": "B11C"},
        {"name": "scores", "output": SCORES},
    ]
    return describe(path, window_s=0.975, hop_s=0.48, layers=layers)


def windows_of(backbone, folder="esc10", clips=3):
    files = sorted(shared_data(folder).rglob("*.ogg"))[:: 400 // clips][:clips]
    return np.concatenate([cut(backbone, audio.load(file, 16_000))[0] for file in files])


def test_scores_are_those_of_the_file(yamnet):
    backbone = backbones.load_backbone(yamnet)
    windows = windows_of(backbone)
    scores = run(backbone, windows, np.full(len(windows), READ), 8)["scores"].mean.numpy()
    plain = interpreter.Interpreter(model_path=yamnet.removeprefix("tflite:"), num_threads=1)
    plain.allocate_tensors()
    for window, own in zip(windows, scores, strict=True):
        plain.set_tensor(plain.get_input_details()[0]["index"], window)
        plain.invoke()
        theirs = plain.get_tensor(plain.get_output_details()[0]["index"])[0]
        np.testing.assert_allclose(own, theirs, atol=1e-6)


def test_it_agrees_with_the_built_in_yamnet(yamnet):
    """That one computes in float what the file computes in 8 bits."""
    backbone, built_in = backbones.load_backbone(yamnet), backbones.load_backbone("yamnet")
    windows = windows_of(backbone)
    valid = np.full(len(windows), READ)
    own = run(backbone, windows, valid, 8)
    tensors = torch.from_numpy(np.pad(windows, ((0, 0), (CONTEXT, 0)))), torch.from_numpy(valid)
    with torch.inference_mode():
        theirs = built_in(*tensors, ["embedding"])["embedding"].mean
        scores = built_in.class_scores(*tensors)
    cosines = torch.nn.functional.cosine_similarity(own["embedding"].mean, theirs)
    assert cosines.median() > 0.99
    assert (own["scores"].mean.argmax(1) == scores.argmax(1)).float().mean() > 0.8


def test_threads_do_not_meddle(yamnet):
    backbone = backbones.load_backbone(yamnet)

    def hear(seed):
        return run(backbone, sound(READ, seed)[None], np.full(1, READ), 1)["scores"].mean

    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(hear, range(9)))
    assert all(torch.equal(a, hear(k)) for k, a in enumerate(at_once))


def test_a_json_that_lies_about_the_rate(yamnet):
    path = Path(yamnet.removeprefix("tflite:"))
    describe(path, rate_hz=22_050, window_s=0.975, hop_s=0.5, layers=["x"])
    with pytest.raises(BackboneError, match="0.975, which is 21,498.75 samples"):
        backbones.info(yamnet)
    describe(path, rate_hz=48_000, window_s=0.975, layers=["x"])
    with pytest.raises(BackboneError, match="reads 15,600 samples, but .* which is 46,800"):
        backbones.info(yamnet)


def test_damage_is_refused(yamnet):
    path = Path(yamnet.removeprefix("tflite:"))
    content = path.read_bytes()
    for damaged in (b"", b"\x00" * 100, content[:1_000], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(BackboneError, match="cannot be (read as|computed)"):
            backbones.info(yamnet)


def test_a_template_names_what_the_file_has(yamnet):
    Path(f"{yamnet.removeprefix('tflite:')}.json").unlink()
    with pytest.raises(BackboneError) as error:
        backbones.info(yamnet)
    assert "waveform_binary (15600)" in str(error.value)
    assert "rate_hz times window_s must be 15,600" in str(error.value)
    assert f'"output": "{SCORES}"' in str(error.value)


def open_wake_word(name: str, folder: Path) -> Path:
    spec = importlib.util.find_spec("pyopen_wakeword")
    if spec is None or spec.origin is None:
        pytest.skip("pyopen-wakeword is not installed")
    return Path(shutil.copy(Path(spec.origin).parent / "models" / f"{name}.tflite", folder))


def test_the_spectrogram_of_open_wake_word(tmp_path):
    """A network that takes any length; the built-in backbone computes the same in PyTorch."""
    layers = [{"name": "mel", "output": "PartitionedCall:0", "axes": "B1TC"}]
    path = open_wake_word("melspectrogram", tmp_path)
    name = describe(path, window_s=1, full_scale=32_768, layers=layers)
    backbone, built_in = (
        backbones.load_backbone(name),
        backbones.load_backbone("speech-embedding", version=1),
    )
    windows = np.stack([sound(16_000, seed) for seed in range(3)])
    with torch.inference_mode():
        theirs = built_in.log_mel(torch.from_numpy(windows)).sub(2).mul(10)
    own = run(backbone, windows, np.full(3, 16_000), 8)["mel"]
    assert theirs.shape[1:] == (97, 32)
    np.testing.assert_allclose(own.mean, theirs.mean(1), atol=0.02)
    np.testing.assert_allclose(own.var, theirs.var(1, unbiased=False), rtol=0.01, atol=0.02)


@pytest.mark.parametrize("name", ["embedding_model", "alexa"])
def test_networks_that_read_features_are_refused(tmp_path, name):
    path = open_wake_word(name, tmp_path)
    with pytest.raises(BackboneError, match="which is not a waveform: .* front end"):
        backbones.info(describe(path, window_s=1, layers=["x"]))


def test_a_missing_package_is_named(yamnet, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(BackboneError, match=r"pip install '.\[tflite\]'"):
        backbones.info(yamnet)
