"""On an NVIDIA GPU every backbone gives what it gives on the CPU.

EARMARK_TEST_GPU=1 runs these tests. Without it the tests do not see a GPU.
"""

import numpy as np
import pytest
import soundfile
import torch

import earmark
from earmark import backbones
from earmark.backbones import engines, registry
from earmark.backbones.base import Backbone, LayerStats
from earmark.data.clip import Clip
from earmark.embeddings.computing import run
from earmark.errors import BackboneError
from networks import cut, embedding, seconds, sound, with_random_weights

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU and EARMARK_TEST_GPU=1"
)


def network(name: str, monkeypatch: pytest.MonkeyPatch, gpu: bool, precision: str = "exact"):
    """Load a backbone, or one with random weights, on the GPU or on the CPU."""
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: gpu)
        try:
            return backbones.load_backbone(name, precision, "torch")
        except BackboneError:
            made: Backbone = with_random_weights(name)
            return engines.set_engine(made, precision, "torch")


def difference(got: LayerStats, expected: LayerStats) -> float:
    """Return the largest relative difference of the columns of two statistics."""
    norm = torch.linalg.norm
    return max(
        float(norm(a.double() - b.double()) / norm(b.double()).clamp(min=1e-30))
        for a, b in zip(got, expected, strict=True)
    )


@pytest.mark.parametrize("name", backbones.list_backbones())
def test_exact_is_that_of_the_cpu(name, monkeypatch):
    on_gpu, on_cpu = (network(name, monkeypatch, gpu) for gpu in (True, False))
    assert (on_gpu.device.type, on_cpu.device.type) == ("cuda", "cpu")
    assert on_gpu.fingerprint == on_cpu.fingerprint
    for gain in (1.0, 0.001):
        windows, valid = cut(on_cpu, (gain * sound(seconds(on_cpu, 2.3))).astype(np.float32))
        got, expected = run(on_gpu, windows, valid, 8), run(on_cpu, windows, valid, 8)
        assert got.keys() == expected.keys()
        for layer, stats in expected.items():
            assert difference(got[layer], stats) <= 1e-4, (layer, gain)


@pytest.mark.parametrize("name", backbones.list_backbones())
def test_batch_mates_change_nothing(name, monkeypatch):
    on_gpu = network(name, monkeypatch, True)
    clips = [cut(on_gpu, sound(seconds(on_gpu, 2.3), seed)) for seed in range(6)]
    alone = run(on_gpu, *clips[0], 64)
    windows, valid = (np.concatenate(column) for column in zip(*clips, strict=True))
    together = run(on_gpu, windows, valid, 64)
    for layer, stats in alone.items():
        own = LayerStats(*(column[: len(clips[0][0])] for column in together[layer]))
        assert difference(own, stats) <= 2e-5, layer


@pytest.mark.parametrize("name", backbones.list_backbones())
def test_fast_keeps_the_direction(name, monkeypatch):
    if not registry.entry(name)[1].half_is_close:
        pytest.skip("this network is computed in float32 alone")
    fast, exact = network(name, monkeypatch, True, "fast"), network(name, monkeypatch, False)
    assert fast.dtype is torch.bfloat16
    pieces = cut(exact, sound(seconds(exact, 2.3)))
    a, b = (embedding(n, run(n, *pieces, 8)) for n in (fast, exact))
    assert np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) >= 0.999


def test_a_classifier_of_the_gpu_answers_alike_on_the_cpu(tones, monkeypatch):
    training = earmark.train(tones, backbone="speech-embedding", seed=0)
    paths = sorted(tones.rglob("*.wav"))
    scores = []
    for gpu in (True, False):  # a session keeps its networks where they are
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        with training.classifier.session() as session:
            assert session._networks[0].device.type == ("cuda" if gpu else "cpu")
            scores.append(session.predict_proba(paths))
    assert np.abs(scores[0] - scores[1]).max() < 1e-3


def test_threads_may_ask_one_session(tones):
    from concurrent.futures import ThreadPoolExecutor

    classifier = earmark.train(tones, backbone="speech-embedding", seed=0).classifier
    paths = sorted(tones.rglob("*.wav"))
    with classifier.session() as session, ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda path: session.predict(path).scores, 4 * paths))
        one_by_one = [session.predict(path).scores for path in paths]
    for got, expected in zip(at_once, 4 * one_by_one, strict=True):
        assert got == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["efficientat-mn04", "yamnet"])
def test_many_clips_are_embedded_by_several_threads(name, tmp_path, monkeypatch):
    """Threads that took turns on the GPU ended the process here."""
    clips = [Clip(tmp_path / f"{k}.wav") for k in range(64)]
    for k, clip in enumerate(clips):
        soundfile.write(clip.path, sound(2 * 16_000, k), 16_000)
    on_gpu, on_cpu = (
        earmark.embed(clips, network(name, monkeypatch, gpu), threads=8).matrix
        for gpu in (True, False)
    )
    assert np.allclose(on_gpu, on_cpu, atol=1e-2)


def test_exact_stays_exact_beside_fast(monkeypatch):
    """Of networks and programs that allow TF32, none changes what others compute."""
    on_gpu, on_cpu = (network("vggish", monkeypatch, gpu) for gpu in (True, False))
    network("vggish", monkeypatch, True, "fast")
    pieces = cut(on_cpu, sound(seconds(on_cpu, 2.3)))
    expected = run(on_cpu, *pieces, 8)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.set_float32_matmul_precision("high")
    try:
        got = run(on_gpu, *pieces, 8)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    for layer, stats in expected.items():
        assert difference(got[layer], stats) <= 1e-4, layer


def test_a_small_memory_takes_longer(monkeypatch):
    on_gpu = network("vggish", monkeypatch, True)
    pieces = cut(on_gpu, sound(seconds(on_gpu, 60)))
    expected = run(on_gpu, *pieces, 1)
    torch.cuda.empty_cache()
    most = torch.cuda.memory_reserved() + 300 * 2**20
    share = most / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        got = run(on_gpu, *pieces, 64)
        torch.cuda.set_per_process_memory_fraction(share / 1e4)
        torch.cuda.empty_cache()
        with pytest.raises(BackboneError, match="the GPU has not enough memory"):
            run(on_gpu, *pieces, 64)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    for layer, stats in expected.items():
        assert difference(got[layer], stats) <= 2e-5, layer


def test_export_records_on_the_cpu(tones, tmp_path):
    pytest.importorskip("onnxruntime")
    classifier = earmark.train(tones, backbone="speech-embedding", seed=0, compare=False).classifier
    earmark.export(classifier, tmp_path / "tones.onnx")


def test_tags_are_those_of_the_cpu(tones, monkeypatch):
    path = sorted(tones.rglob("*.wav"))[0]
    try:
        on_gpu = earmark.tag(path).scores
    except BackboneError as error:
        pytest.skip(f"weights are not at hand: {error}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert earmark.tag(path).scores == pytest.approx(on_gpu, abs=1e-4)


@pytest.mark.parametrize("how", ["full", "lora"])
def test_fine_tuning_changes_the_network(how, folders, tmp_path):
    pytest.importorskip("accelerate")
    pytest.importorskip("peft")
    from tuning import ended, of_short_windows, run_of, write_clips

    tuned = of_short_windows(backbones.load_backbone(f"hf:{folders / 'wav2vec2-layer'}"))
    run_ = run_of(write_clips(tmp_path), tuned, how)
    assert next(run_.model.parameters()).device.type == "cuda"
    losses = [row["loss"] for row in ended(run_).curve]
    assert len(losses) == 2 and np.isfinite(losses).all()
