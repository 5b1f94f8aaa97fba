"""VGGish against torchvggish 0.2, the PyTorch port whose weights it loads, on equal weights.

Tolerances: 1e-4 for the logarithm of the mel spectrogram, 1e-5 of the largest value for what
float32 networks give when they add in another order.
"""

import copy
import dataclasses
import hashlib
import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from earmark import audio, backbones
from earmark.backbones.base import LayerStats
from earmark.backbones.info import BackboneInfo
from earmark.backbones.networks import vggish
from earmark.backbones.networks.vggish import CONTEXT, INFO, RATE_HZ, WINDOW, VGGish, postprocess
from earmark.embeddings.pooling import columns, pool
from earmark.errors import BackboneError
from shared_data import shared_data

T = np.arange(3 * RATE_HZ) / RATE_HZ
SYNTHETIC = {
    "1 kHz": np.sin(2 * np.pi * 1_000 * T),
    "7 kHz": np.sin(2 * np.pi * 7_000.3 * T),  # far above silence in one band, beside silence
    "sweep": np.sin(2 * np.pi * 1_000 * T**2),
    "noise": np.random.default_rng(0).normal(0, 0.2, len(T)),
    "faint": np.random.default_rng(1).normal(0, 1e-5, len(T)),
    "clipped": np.sign(np.sin(2 * np.pi * 440 * T)),
    "silence": np.zeros(len(T)),
}
CLIPS = ["esc10 0", "esc10 133", "esc10 266", "esc10 399", *SYNTHETIC]


@pytest.fixture(scope="module")
def port() -> Iterator[types.SimpleNamespace]:
    """Import torchvggish without its resampler, which is not needed at 16 kHz."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "resampy", types.ModuleType("resampy"))
        pytest.importorskip("torchvggish", reason="pip install --no-deps torchvggish==0.2")
        names = ("torchvggish", "vggish_input", "mel_features")
        yield types.SimpleNamespace(
            **{name: importlib.import_module(f"torchvggish.{name}") for name in names}
        )


@pytest.fixture(scope="module")
def net() -> VGGish:
    return VGGish.random(INFO, seed=1).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def reference(port: types.SimpleNamespace, net: VGGish) -> torch.nn.Module:
    """The port's network with the very tensors of ``net``."""
    network: torch.nn.Module = port.torchvggish._vgg(postprocess=False)
    network.load_state_dict(net.state_dict(), assign=True)
    return network.eval()


def clip(name: str) -> np.ndarray:
    """Return a clip (n,) float32: a synthetic one, or the one of that number of ESC-10."""
    if name in SYNTHETIC:
        return SYNTHETIC[name].astype(np.float32)
    folder, number = name.split()
    paths = sorted(p for p in shared_data(folder).rglob("*") if p.suffix in (".ogg", ".wav"))
    return audio.load(paths[int(number)], RATE_HZ)


def cut(x: np.ndarray, info: BackboneInfo = INFO) -> tuple[Tensor, Tensor]:
    windows, valid = audio.window(x, info.window, info.hop, info.context, info.step)
    return torch.from_numpy(windows), torch.from_numpy(valid)


def hear(net: VGGish, x: np.ndarray) -> dict[str, LayerStats]:
    with torch.inference_mode():
        return net(*cut(x))


def published_examples(port: types.SimpleNamespace, x: np.ndarray) -> Tensor:
    """Return the port's input of its network, (N, 1, 96, 64)."""
    return port.vggish_input.waveform_to_examples(x.astype(np.float64), RATE_HZ).detach()


def far(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


# Agreement


@pytest.mark.parametrize("name", CLIPS)
def test_log_mel_is_the_published_one(port: types.SimpleNamespace, net: VGGish, name: str) -> None:
    x = clip(name)
    examples = published_examples(port, x)[:, 0]
    assert len(examples) == (len(x) - 240) // WINDOW >= 3
    ours = net.log_mel(cut(x)[0])
    assert ours.dtype == torch.float32
    assert float((ours[: len(examples)] - examples).abs().max()) < 1e-5  # 5e-7 and less


@pytest.mark.parametrize("name", CLIPS)
def test_embeddings_are_the_published_ones(
    port: types.SimpleNamespace, net: VGGish, reference: torch.nn.Module, name: str
) -> None:
    x = clip(name)
    with torch.inference_mode():
        wanted = reference(published_examples(port, x))  # behind the last ReLU
    got = hear(net, x)["embedding-relu"].mean[: len(wanted)]
    assert far(got, wanted) < 1e-5


def test_every_layer_is_the_published_one(
    port: types.SimpleNamespace, net: VGGish, reference: torch.nn.Module
) -> None:
    x = clip("sweep")[: 2 * WINDOW + 240]
    stats = hear(net, x)
    with torch.inference_mode():
        y = published_examples(port, x)
        for i, module in enumerate(reference.features):
            y = module(y)
            if isinstance(module, torch.nn.MaxPool2d):
                got = stats[{2: "conv1", 5: "conv2", 10: "conv3", 15: "conv4"}[i]]
                bands = y.double().unflatten(3, (4, -1)).permute(0, 1, 3, 2, 4).flatten(3)
                assert far(got.mean[:2], bands.mean(3).flatten(1)) < 1e-5
                assert far(got.var[:2], bands.var(3, correction=0).flatten(1)) < 1e-5
                assert got.frames[:2].tolist() == [y.shape[2]] * 2
        y = y.permute(0, 2, 3, 1).flatten(1)
        dense = reference.embeddings
        for name, part in (("fc1", dense[:2]), ("fc2", dense[:4]), ("embedding", dense[:5])):
            assert far(stats[name].mean[:2], part(y)) < 1e-5
            assert not stats[name].var.any()


def test_other_hops_cut_the_published_spectrogram_elsewhere(
    port: types.SimpleNamespace, net: VGGish
) -> None:
    x = clip("noise")
    log_mel = port.mel_features.log_mel_spectrogram(
        x.astype(np.float64),
        RATE_HZ,
        log_offset=0.01,
        num_mel_bins=64,
        lower_edge_hertz=125,
        upper_edge_hertz=7_500,
    )
    examples = port.mel_features.frame(log_mel, 96, 48)  # hop 0.48 s
    ours = net.log_mel(cut(x, backbones.info("vggish@0.48"))[0]).numpy()
    assert len(examples) == 5
    np.testing.assert_allclose(ours[:5], examples, atol=1e-5)


def test_a_hop_has_one_name_and_a_range() -> None:
    closer = backbones.info("vggish@.480")
    assert closer == dataclasses.replace(INFO, name="vggish@0.48", hop=7_680)
    for wrong in ("", "0", "0.97", "-1", "nan", "inf", "half"):
        with pytest.raises(BackboneError) as raised:
            backbones.info(f"vggish@{wrong}")
        assert str(raised.value) == (
            f"backbone 'vggish@{wrong}' has no usable hop. Give seconds from 0.01 to 0.96 after"
            " the @, such as vggish@0.48."
        )


def test_what_is_said_of_the_network_is_so(net: VGGish) -> None:
    assert sum(p.numel() for p in net.parameters()) == INFO.parameters
    stats = hear(net, clip("noise"))
    assert list(stats) == [layer.name for layer in INFO.layers]
    for layer in INFO.layers:
        assert stats[layer.name].mean.shape == stats[layer.name].var.shape == (4, layer.size)
    assert torch.equal(stats["embedding"].mean.relu(), stats["embedding-relu"].mean)


# Edges


@pytest.mark.parametrize("n", [1, 159, 400, WINDOW - 1, WINDOW, WINDOW + 1, WINDOW + 239])
@pytest.mark.parametrize("kind", ["noise", "silence"])
def test_no_clip_and_no_end_of_a_clip_is_lost(net: VGGish, kind: str, n: int) -> None:
    stats = hear(net, clip(kind)[:n])
    assert np.isfinite(pool(INFO, stats)).all()
    for name, one in stats.items():
        assert len(one.frames) == 1 + (n > WINDOW)
        stride = 160 * 2 ** int(name[4:]) if name.startswith("conv") else WINDOW
        valid = [min(n, WINDOW), n - WINDOW][: len(one.frames)]
        assert one.frames.tolist() == pytest.approx([v / stride for v in valid])


def test_a_window_counts_for_its_share_of_real_samples(net: VGGish) -> None:
    stats = hear(net, clip("noise")[: 3 * WINDOW // 2])
    wanted = (stats["fc1"].mean * torch.tensor([[2 / 3], [1 / 3]])).sum(0)
    means = pool(INFO, stats)[columns(INFO, ["fc1"])[:4096]]
    np.testing.assert_allclose(means, wanted.numpy(), rtol=1e-3)  # the store's float16


def test_a_sample_more_changes_next_to_nothing(net: VGGish) -> None:
    clips = (clip("noise")[:n] for n in (WINDOW, WINDOW + 1))
    one, more = (pool(INFO, hear(net, x)).astype(np.float64) for x in clips)
    assert np.linalg.norm(more - one) < 1e-2 * np.linalg.norm(one)


def test_silence_behind_a_clip_weighs_nothing_in_the_blocks(net: VGGish) -> None:
    half = hear(net, clip("noise")[: WINDOW // 2])["conv1"]
    weight = torch.zeros(1, 48)
    weight[:, :24] = 1
    with torch.inference_mode():
        x = net.log_mel(cut(clip("noise")[: WINDOW // 2])[0])[:, None]
        x = net.features[2](net.features[1](net.features[0](x)))
    wanted = backbones.layer_stats(x, weight, bands=4)
    assert half.frames.tolist() == [24]
    torch.testing.assert_close(half.mean, wanted.mean)


def test_nothing_is_computed_beyond_the_highest_wanted_layer(net: VGGish) -> None:
    called: list[int] = []
    hooks = [
        module.register_forward_hook(lambda *_, i=i: called.append(i))
        for i, module in enumerate([*net.features, *net.embeddings])
    ]
    with torch.inference_mode():
        stats = net(*cut(clip("silence")[:1]), layers=["conv2"])
    for hook in hooks:
        hook.remove()
    assert list(stats) == ["conv2"]
    assert called == [0, 1, 2, 3, 4, 5]


def test_audio_before_a_window_is_not_read(net: VGGish) -> None:
    windows, valid = cut(clip("noise")[:WINDOW])
    other = windows.clone()
    other[:, :CONTEXT] = 1.0
    with torch.inference_mode():
        for a, b in zip(net(windows, valid).values(), net(other, valid).values(), strict=True):
            assert torch.equal(a.mean, b.mean)


# Weights


def test_the_ports_state_dict_loads_as_it_is(
    reference: torch.nn.Module, net: VGGish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vggish-10086976.pth"
    torch.save(reference.state_dict(), path, _use_new_zipfile_serialization=False)  # as in 2019
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(vggish, "WEIGHTS", dataclasses.replace(vggish.WEIGHTS, sha256=digest))
    monkeypatch.setenv("EARMARK_WEIGHTS", str(tmp_path))
    loaded = backbones.load_backbone("vggish")
    assert loaded.fingerprint == f"vggish/2/{digest}/float32"
    assert not loaded.training
    state = net.state_dict()
    assert list(loaded.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())
    assert path.stat().st_size == pytest.approx(vggish.WEIGHTS.bytes, rel=1e-3)


def test_without_weights_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path))
    monkeypatch.delenv("EARMARK_WEIGHTS", raising=False)
    monkeypatch.setenv("EARMARK_OFFLINE", "1")
    with pytest.raises(BackboneError, match=r"^vggish-10086976.pth \(288.6 MB\) is not on this"):
        backbones.load_backbone("vggish")


def test_random_weights_are_those_of_their_seed(net: VGGish) -> None:
    again, other = VGGish.random(INFO, seed=1), VGGish.random(INFO, seed=2)
    assert again.weights_hash == net.weights_hash != other.weights_hash
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        assert not torch.equal(tensor, other.state_dict()[name])


@pytest.mark.slow
def test_verify_wants_the_published_mean_and_deviation(net: VGGish) -> None:
    with pytest.raises(BackboneError, match=r"not 0.000657 and 0.343 \(within 10%\). Fetch"):
        net.verify()
    like_google = copy.deepcopy(net)
    last = like_google.embeddings[4]
    tone = clip("1 kHz")
    e = hear(like_google, tone)["embedding"].mean[:3]
    scale = 0.343 / e.std(correction=0)
    last.weight *= scale
    last.bias.mul_(scale).add_(0.000657 - scale * e.mean())
    assert "mean 0.000657 and standard deviation 0.343; published: " in like_google.verify()
    for shift, factor in ((1e-4, 1.0), (0.0, 1.2)):
        off = copy.deepcopy(like_google)
        off.embeddings[4].weight *= factor
        off.embeddings[4].bias.mul_(factor).add_(shift - (factor - 1) * 0.000657)
        with pytest.raises(BackboneError, match="differs from Google's network"):
            off.verify()


# Post-processing


def test_postprocessing_is_googles(port: types.SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    vectors, means = rng.normal(0, 0.1, (128, 128)), rng.normal(0, 0.3, (128, 1))
    e = torch.from_numpy(rng.normal(0, 1.0, (500, 128)))
    ours = postprocess(e, torch.from_numpy(vectors), torch.from_numpy(means))
    assert ours.dtype == torch.uint8
    assert (int(ours.min()), int(ours.max())) == (0, 255)
    by_hand = np.clip((vectors @ (e.numpy().T - means)).T, -2, 2)
    np.testing.assert_array_equal(ours, np.floor((by_hand + 2) * 255 / 4))
    theirs = object.__new__(port.torchvggish.Postprocessor)  # its __init__ downloads
    theirs._pca_matrix, theirs._pca_means = torch.from_numpy(vectors), torch.from_numpy(means)
    more = theirs.postprocess(e) - ours  # it rounds where Google's cuts off
    assert set(more.unique().tolist()) == {0.0, 1.0}
    assert float(more[(ours > 0) & (ours < 255)].mean()) == pytest.approx(0.5, abs=0.02)
