"""Networks in Hugging Face format, checked against transformers itself on tiny random ones."""

import dataclasses
import hashlib
import http.server
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import earmark
from checkpoints import BUILDS, NAMES, scatter
from earmark import audio, backbones
from earmark.backbones import registry
from earmark.backbones.base import LayerStats
from earmark.backbones.weights import WeightFile
from earmark.embeddings.computing import run
from earmark.embeddings.pooling import pool
from earmark.errors import BackboneError

transformers = pytest.importorskip(
    "transformers", reason="the extra earmark[transformers] is not installed"
)

RATE_HZ = 16_000


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def backbone(folders, name, _loaded={}):  # noqa: B006
    if name not in _loaded:
        _loaded[name] = backbones.load_backbone(f"hf:{folders / name}")
    return _loaded[name]


@pytest.fixture
def folder(folders, tmp_path):
    """A copy of one checkpoint, to be damaged."""
    return Path(shutil.copytree(folders / "wav2vec2-group", tmp_path / "copy"))


def sound(samples: int, seed: int = 0) -> np.ndarray:
    """A chirp in noise, off the zero line: no two stretches of it are alike."""
    t = np.arange(samples) / RATE_HZ
    noise = np.random.default_rng(seed).normal(0, 0.02, samples)
    chirp = 0.2 * np.sin(2 * np.pi * (300 + 40 * seed + 500 * t) * t)
    return (0.05 + chirp + noise).astype(np.float32)


def cut(backbone, x):
    info = backbone.info
    return audio.window(backbone.prepare(x), info.window, info.hop, info.context, info.step)


def difference(a, b) -> float:
    a, b = (torch.as_tensor(t).double() for t in (a, b))
    assert a.shape == b.shape
    return float((a - b).norm() / b.norm())


def worst(a: dict[str, LayerStats], b: dict[str, LayerStats]) -> float:
    """The largest relative difference of any mean, variance or count."""
    assert a.keys() == b.keys()
    return max(difference(s, t) for k in a for s, t in zip(a[k], b[k], strict=True) if t.norm() > 0)


def published(folder: Path, x: np.ndarray) -> dict[str, torch.Tensor]:
    """What transformers itself computes for one clip, each layer (T, C)."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    inputs = extractor(x, sampling_rate=RATE_HZ, return_tensors="pt")
    model = model.get_encoder() if folder.name == "whisper" else model
    with torch.inference_mode():
        out = model(inputs[extractor.model_input_names[0]], output_hidden_states=True)
        layers = {f"block{i}": h[0] for i, h in enumerate(out.hidden_states)}
        if backbones.info(f"hf:{folder}").layers[-1].name == "output":
            if torch.equal(layers["block3"], out.last_hidden_state[0]):
                del layers["block3"]  # normalised already, in some versions for some networks
            pooled = folder.name == "ast"
            layers["output"] = out.pooler_output if pooled else out.last_hidden_state[0]
        if folder.name in BUILDS:
            layers["features"] = model.feature_extractor(inputs["input_values"])[0].T
    return layers


@torch.inference_mode()
def walked(backbone, windows, valid) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The activations and frame weights of every layer, before they are summed up."""
    valid = torch.as_tensor(valid)
    ((_, x),) = backbone.inputs(torch.as_tensor(windows), valid)
    return {name: (y, backbone.weigh(name, y, valid)) for name, y in backbone.body(x)}


@pytest.mark.parametrize("samples", [9_000, 30_000])
def test_every_layer_is_transformers_own(folders, name, backbone, samples):
    x = sound(samples)
    wanted = published(folders / name, x)
    walk = walked(backbone, *cut(backbone, x))
    assert not wanted.keys() - walk.keys()
    for layer, reference in wanted.items():
        got = walk[layer][0][0]  # (C, T, F)
        if name == "ast":  # patches band after band, behind two class tokens
            got, reference = got.mT, reference if layer == "output" else reference[2:]
        assert difference(got.flatten(1).T, reference) <= 1e-5, layer


def test_statistics_are_those_of_the_real_frames(folders, name, backbone):
    x = sound(9_000)
    stats = run(backbone, *cut(backbone, x), 1)
    for layer, h in published(folders / name, x).items():
        if name == "whisper":
            h = h[: -(-9_000 // 320)]
        elif name == "ast" and layer != "output":
            # 54 frames are real: patches begin at every tenth, and the last two have 14 and 4
            weight = torch.tensor([1, 1, 1, 1, 14 / 16, 4 / 16] + [0] * 13).repeat(3)
            h = torch.repeat_interleave(h[2:], (weight * 16).long(), dim=0)
        assert difference(stats[layer].mean[0], h.mean(0)) <= 1e-5
        if layer != "output" or name != "ast":
            assert difference(stats[layer].var[0], h.var(0, unbiased=False)) <= 1e-5


@pytest.mark.parametrize("samples", [400, 9_000, 31_999, 32_000])
@pytest.mark.parametrize("name", ["whisper", "ast"])
def test_spectrograms_are_transformers_own(folders, name, backbone, samples):
    x = sound(samples)
    x[: samples // 3] = 0
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folders / name)
    reference = extractor(x, sampling_rate=RATE_HZ, return_tensors="np")
    reference = reference[extractor.model_input_names[0]][0]
    windows, _ = cut(backbone, x)
    real = (torch.tensor([(samples - 400) // 160 + 1]),) if name == "ast" else ()
    got = backbone.log_mel(torch.from_numpy(windows[:1]), *real)[0].numpy()
    np.testing.assert_allclose(got, reference, atol=1e-4)


def test_clips_are_normalised_as_the_checkpoint_says(folders):
    x = sound(5_000)
    for name in ("wav2vec2-group", "wav2vec2-layer"):
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folders / name)
        wanted = extractor(x, sampling_rate=RATE_HZ, return_tensors="np")["input_values"][0]
        got = backbones.load_backbone(f"hf:{folders / name}").prepare(x)
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_exceptions_to_position_invariance_give_a_reason(name, backbone):
    """AST measures nothing against a peak or a clip; Whisper and what normalises clips do."""
    assert bool(backbone.position_dependence) == (name == "whisper" or backbone.normalises)


def test_batch_mates_change_nothing(backbone):
    clips = [sound(n, seed) for seed, n in enumerate((9_000, 300, 20_000, 9_000, 20_001))]
    cuts = [cut(backbone, x) for x in clips]
    width = max(windows.shape[1] for windows, _ in cuts)
    padded = [np.pad(w, ((0, 0), (0, width - w.shape[1]))) for w, _ in cuts]
    together = run(backbone, np.concatenate(padded), np.concatenate([v for _, v in cuts]), 8)
    for k, (windows, valid) in enumerate(cuts):
        own = {layer: LayerStats(*(t[k : k + 1] for t in s)) for layer, s in together.items()}
        assert worst(own, run(backbone, windows, valid, 8)) <= 1e-5


@pytest.mark.parametrize("name", BUILDS)
def test_zeros_behind_a_clip_change_nothing(backbone):
    windows, valid = cut(backbone, sound(9_000))
    padded = np.pad(windows, ((0, 0), (0, 7_777)))
    assert worst(run(backbone, padded, valid, 1), run(backbone, windows, valid, 1)) <= 1e-5


def test_nothing_is_computed_beyond_the_highest_wanted_layer(folders, name):
    backbone = backbones.load_backbone(f"hf:{folders / name}")
    windows, valid = (torch.from_numpy(a) for a in cut(backbone, sound(9_000)))
    model, calls = backbone.model, []
    encoder = getattr(model, "encoder", model)
    for block in encoder.layers if hasattr(encoder, "layers") else encoder.layer:
        block.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        every = backbone(windows, valid)
        assert len(calls) == 3
        for layer, blocks in (("block2", 2), ("block1", 1), ("block0", 0)):
            calls.clear()
            some = backbone(windows, valid, [layer])
            assert len(calls) == blocks
            assert list(some) == [layer]
            assert torch.equal(some[layer].mean, every[layer].mean)


@pytest.mark.parametrize("name", ["wav2vec2-group", "wavlm-layer", "whisper", "ast"])
def test_long_clips_are_cut_and_put_together(backbone):
    x = sound(int(2.3 * backbone.info.window))
    windows, valid = cut(backbone, x)
    assert len(windows) == 3 and valid.sum() == len(x)
    whole = pool(backbone.info, run(backbone, windows, valid, 2)).astype(np.float64)
    y, length = backbone.prepare(x), backbone.info.window
    walks = []
    for i in range(3):
        piece = y[i * length : (i + 1) * length]
        width = len(piece) if backbone.info.step else length
        walks.append(walked(backbone, np.pad(piece, (0, width - len(piece)))[None], [len(piece)]))
    for layer in backbone.info.layers:
        h = torch.cat([walk[layer.name][0][0] for walk in walks], 1).double()  # (C, T, F)
        w = torch.cat([walk[layer.name][1][0] for walk in walks]).double()
        w = (w / w.sum() / h.shape[2])[:, None]
        mean = (h * w).sum((1, 2))
        std = ((h - mean[:, None, None]).square() * w).sum((1, 2)).sqrt()
        got, whole = whole[: 2 * layer.size], whole[2 * layer.size :]
        assert difference(got, torch.cat([mean, std])) < 1e-3  # pool rounds to float16


@pytest.mark.parametrize("samples", [1, 2, 399, 400, 401])
def test_the_shortest_clips_are_heard(backbone, samples):
    stats = run(backbone, *cut(backbone, sound(samples)), 1)
    assert all(torch.isfinite(t).all() for s in stats.values() for t in s)
    assert all(s.frames.item() > 0 for s in stats.values())
    if backbone.info.step is not None:
        assert stats["block1"].frames.item() == pytest.approx(min(1, samples / 400))


def test_silence_is_finite(backbone):
    stats = run(backbone, *cut(backbone, np.zeros(9_000, np.float32)), 1)
    assert all(torch.isfinite(t).all() for s in stats.values() for t in s)


def test_threads_do_not_meddle(backbone):
    clips = [cut(backbone, sound(4_000 + 500 * (k % 3), k)) for k in range(6)]
    with ThreadPoolExecutor(3) as threads:
        at_once = list(threads.map(lambda c: run(backbone, *c, 1), clips))
    for heard, clip in zip(at_once, clips, strict=True):
        assert worst(heard, run(backbone, *clip, 1)) <= 1e-5


def test_bfloat16_stays_close(folders, name, backbone):
    half = backbones.load_backbone(f"hf:{folders / name}", precision="bfloat16")
    assert half.fingerprint != backbone.fingerprint
    a, b = (run(n, *cut(n, sound(9_000)), 1) for n in (half, backbone))
    for layer in a:
        assert torch.cosine_similarity(a[layer].mean, b[layer].mean).item() > 0.995


def test_describes_itself_without_weights(folders, name, backbone, tmp_path):
    for file in ("config.json", "preprocessor_config.json"):
        shutil.copy(folders / name / file, tmp_path)
    info = backbones.info(f"hf:{tmp_path}")
    assert dataclasses.replace(info, name="", source="") == dataclasses.replace(
        backbone.info, name="", source=""
    )
    parameters = sum(p.numel() for p in backbone.parameters())
    assert parameters == pytest.approx(info.parameters, rel=0.02)
    stats = run(backbone, *cut(backbone, sound(9_000)), 1)
    assert {k: s.mean.shape[1] for k, s in stats.items()} == {x.name: x.size for x in info.layers}


# The files of a checkpoint.


def same(folder: Path, folders: Path) -> bool:
    x = sound(5_000)
    a, b = (backbones.load_backbone(f"hf:{f}") for f in (folder, folders / "wav2vec2-group"))
    return worst(run(a, *cut(a, x), 1), run(b, *cut(b, x), 1)) <= 1e-6


def test_weights_may_be_a_plain_pickle_of_old_names(folder, folders):
    """As facebook/wav2vec2-base has them: PyTorch's first way to write weight norm."""
    from safetensors.torch import load_file

    old = {"original0": "weight_g", "original1": "weight_v"}
    state = load_file(folder / "model.safetensors")
    for key in list(state):
        stem, _, last = key.partition("parametrizations.weight.")
        if last:
            state[stem + old[last]] = state.pop(key)
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert same(folder, folders)


def test_weights_may_be_several_files(folder, folders):
    model = transformers.AutoModelForCTC.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert same(folder, folders)
    next(folder.glob("model-*.safetensors")).unlink()
    with pytest.raises(BackboneError, match="has no model-0.*, which its model.safetensors.index"):
        backbones.load_backbone(f"hf:{folder}")


def test_weights_in_half_precision_are_computed_in_float32(folder):
    model = transformers.AutoModel.from_pretrained(folder)
    model.half().save_pretrained(folder)
    assert {p.dtype for p in backbones.load_backbone(f"hf:{folder}").parameters()} == {
        torch.float32
    }


def test_preparation_may_be_part_of_a_processor(folder, folders):
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": said}))
    assert same(folder, folders)


def test_fingerprint_covers_weights_and_settings(folder):
    def fingerprint():
        return backbones.load_backbone(f"hf:{folder}").fingerprint

    def change(file, **changes):
        said = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(said | changes))

    seen = [fingerprint()]
    change("config.json", transformers_version="9")
    assert fingerprint() == seen[0]
    change("preprocessor_config.json", do_normalize=False)
    seen.append(fingerprint())
    change("config.json", hidden_act="relu")
    seen.append(fingerprint())
    settings = (folder / "config.json").read_text()
    scatter(transformers.AutoModel.from_pretrained(folder)).save_pretrained(folder)
    (folder / "config.json").write_text(settings)
    seen.append(fingerprint())
    assert len(set(seen)) == 4


class Evil:
    def __reduce__(self):
        return os.system, ("echo pickled code has run",)


def truncate(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


def pickled_code(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Evil()}, protocol=2))


def of_another_size(folder):
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"intermediate_size": 48}))


def of_another_network(folder):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(3)}, folder / "model.safetensors")


def of_a_text_model(folder):
    (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 768}')


def with_no_rate(folder):
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": null}')


def with_no_blocks(folder):
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"num_hidden_layers": "many"}))


def settings_of(folder, **changes):
    said = json.loads((folder / "config.json").read_text()) | changes
    said = {name: value for name, value in said.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(said))


def quantised(folder):
    settings_of(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})


def quantised_without_a_word(folder):
    change_tensor(folder, "k_proj.weight", lambda x: (10 * x).to(torch.int8))


def change_tensor(folder, name, change):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    key = next(key for key in state if name in key)
    state[key] = change(state[key])
    save_file(state, folder / "model.safetensors")


def with_nan(folder):
    def change(x):
        x[0, 1] = float("nan")
        return x

    change_tensor(folder, "k_proj.weight", change)


def without_a_shard(folder):
    shutil.move(folder / "model.safetensors", folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def with_a_shard_elsewhere(folder):
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def pointer(folder):
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 377607901\n"
    (folder / "model.safetensors").write_text(text)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (
            quantised,
            r"copy is quantised \(bitsandbytes\).*Give the checkpoint that it was made fro",
        ),
        (quantised_without_a_word, "is quantised: .*k_proj.weight has type torch.int8"),
        (
            with_nan,
            r"model.safetensors: the tensor .*k_proj.weight has NaN or infinity in 1 of 256",
        ),
        (without_a_shard, "has no model-00002-of-00002.safetensors, which its model.safet"),
        (with_a_shard_elsewhere, "has no ../elsewhere.safetensors, which its"),
        (pointer, "model.safetensors is a Git LFS pointer .* Run `git lfs pull`"),
        (
            lambda f: settings_of(f, num_hidden_layers=2),
            "config.json does not describe 16 of its tensors",
        ),
        (
            lambda f: settings_of(f, intermediate_size=10**12),
            "is 1000000000000; it must be 1 to 65,536",
        ),
        (lambda f: settings_of(f, num_attention_heads=None), "lacks 'num_attention_heads'"),
        (lambda f: settings_of(f, do_stable_layer_norm=None), "lacks 'do_stable_layer_norm'"),
        (
            lambda f: settings_of(f, num_hidden_layers=10**9),
            "is 1000000000; it must be 1 to 1,000.",
        ),
        (
            lambda f: settings_of(f, layer_norm_eps=float("nan")),
            "as JSON: NaN is not a number. Fetch",
        ),
        (lambda f: (f / "config.json").write_text("[" * 99_999), "cannot be read as JSON"),
        (truncate, "model.safetensors cannot be read as weights: .*. Fetch it again"),
        (pickled_code, "pytorch_model.bin is not a plain state dict: .* never run. Save it again"),
        (
            of_another_size,
            "weights of another network: .* 9 tensors .*the first is .*intermediate_dense",
        ),
        (of_another_network, "weights of another network: .* tensors are missing"),
        (of_a_text_model, r"model_type 'bert', which .*: audio-spectrogram-tr.*, whisper\."),
        (lambda f: (f / "model.safetensors").unlink(), "has no weights .model.safetensors or"),
        (lambda f: (f / "config.json").unlink(), "has no config.json. Give a folder that save_pre"),
        (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read as JSON"),
        (
            lambda f: (f / "config.json").write_text("[]"),
            "has model_type None, which earmark cannot use",
        ),
        (lambda f: (f / "config.json").write_text('{"model_type": []}'), r"has model_type \[\]"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "to say how its audio is prepared"),
        (
            lambda f: (f / "preprocessor_config.json").write_text('{"sampling_rate": 1}'),
            "describes no valid network: sampling_rate is 1; it must be 1,000 to 1,000,000.",
        ),
        (
            with_no_rate,
            "config.json describes no valid network: int.. argument .*. Restore the files",
        ),
        (with_no_blocks, "config.json .*. Restore the"),
    ],
)
def test_bad_checkpoints_are_refused(folder, damage, says, capfd):
    damage(folder)
    with pytest.raises(BackboneError, match=says) as refusal:
        backbones.load_backbone(f"hf:{folder}")
    assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The cache of Hugging Face's own libraries, empty."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("hub_cache")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf:/no/such/folder", "'/no/such/folder' is neither a folder nor a name on the Hub. Give"),
        ("hf:", "'' is neither a folder nor a name"),
        ("hf:bare", "'bare' is neither a folder nor a name on the Hub. Give"),
        ("hf:folder/missing", "'folder/missing' is not a folder in .*/folder. Give hf:FOLDER"),
        (f"hf:{__file__}", "is a file. Give hf:FOLDER"),
        ("hf:nobody/nothing", "this machine's .*nobody/nothing at main.*EARMARK_OFFLINE"),
        ("hf:nobody/nothing@v1.0", "huggingface.co/nobody/nothing at v1.0"),
        ("wav2vec2-base", r"wav2vec2-base-0b5b8e86.bin \(380.3 MB\) is not on .* EARMARK_OFFLINE"),
        ("wav2vec2-base-960", "Did you mean 'wav2vec2-base-960h'.* hf:"),
    ],
)
def test_what_cannot_be_found_is_said(name, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()  # what is missing in it is not asked of the Hub
    with pytest.raises(BackboneError, match=says):
        backbones.load_backbone(name)


def test_a_relative_folder_becomes_absolute(folders, monkeypatch):
    monkeypatch.chdir(folders)
    (name,) = registry.split_names("hf:wav2vec2-group")
    assert name == f"hf:{folders / 'wav2vec2-group'}" == backbones.info("hf:wav2vec2-group").name
    assert registry.split_names("hf:./ast/, hf:whisper") == [
        f"hf:{folders / other}" for other in ("ast", "whisper")
    ]


def test_a_missing_package_is_named(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackboneError, match=r"needs the package transformers.*'.\[transf"):
        backbones.load_backbone(f"hf:{folders / 'ast'}")


def test_named_networks_are_described_as_they_are():
    """The skeleton that their configuration builds, without weights, has what the table says."""
    from earmark.backbones.networks import huggingface, wav2vec2
    from earmark.backbones.networks.wav2vec2 import Wav2Vec2

    config = huggingface.configure(wav2vec2._BASE, "wav2vec2-base")
    with torch.device("meta"):
        skeleton = transformers.Wav2Vec2Model(config)
    for name in ("wav2vec2-base", "wav2vec2-base-960h"):
        info = backbones.info(name)
        assert info.parameters == sum(p.numel() for p in skeleton.parameters())
        geometry = Wav2Vec2.geometry(config, {})
        assert (info.window, info.step, info.layers) == geometry
        assert [x.size for x in info.layers] == [512, *[768] * 13]


def test_a_published_file_is_found_in_the_cache_of_the_hub(hub_cache):
    from earmark.backbones.networks.checkpoint import find_in_hub_cache

    at = hub_cache / "models--facebook--tiny" / "snapshots" / ("a" * 40) / "model.safetensors"
    url = f"https://huggingface.co/facebook/tiny/resolve/{'a' * 40}/model.safetensors"
    right = hashlib.sha256(b"weights").hexdigest()
    assert find_in_hub_cache(WeightFile("tiny", url, right, 7)) is None
    at.parent.mkdir(parents=True)
    at.write_bytes(b"weights")
    assert find_in_hub_cache(WeightFile("tiny", url, right, 7)) == at
    with pytest.raises(BackboneError, match="is not the published tiny: it has SHA-256"):
        find_in_hub_cache(WeightFile("tiny", url, "0" * 64, 7))


HUB = """
import os, sys
from earmark import EarmarkError, backbones
print(backbones.load_backbone("hf:someone/tiny").fingerprint)
print(backbones.load_backbone("hf:someone/tiny@v2").fingerprint)
os.environ["EARMARK_OFFLINE"] = "1"
print(backbones.load_backbone("hf:someone/tiny").fingerprint)
for offline, name in (("1", "tiny@v3"), ("0", "else"), ("0", "tiny@v9")):
    os.environ["EARMARK_OFFLINE"] = offline
    try:
        backbones.load_backbone(f"hf:someone/{name}")
    except EarmarkError as error:
        print(error)
"""


REVISIONS = {"main": "a" * 40, "v2": "b" * 40, "v3": "c" * 40}


@pytest.fixture
def hub(folders):
    """A Hub on this machine, with one repository."""
    root = folders / "wav2vec2-group"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self, body=False):
            _, *repo, _, revision, name = self.path.split("/")
            known = repo == ["someone", "tiny"] and revision in REVISIONS
            found = known and (root / name).is_file()
            content = (root / name).read_bytes() if found else b""
            self.send_response(200 if found else 404)
            if not found:
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
            self.send_header("X-Repo-Commit", REVISIONS.get(revision, ""))
            self.send_header("ETag", f'"{name}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def do_GET(self):
            self.do_HEAD(body=True)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.slow
def test_names_come_from_the_hub_and_then_from_its_cache(hub, folders, tmp_path):
    env = os.environ | {
        "HF_ENDPOINT": hub,
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "EARMARK_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", HUB], env=env, capture_output=True, text=True, timeout=100
    )
    print(done.stderr)
    first, second, offline, forbidden, *unknown = done.stdout.splitlines()
    own = backbones.load_backbone(f"hf:{folders / 'wav2vec2-group'}")
    assert first == own.fingerprint.replace(own.info.name, "hf:someone/tiny")
    assert second == first.replace("tiny", "tiny@v2")
    assert offline == first
    assert "Hugging Face cache has no config.json of hf:someone/tiny@v3" in forbidden
    for error, what in zip(unknown, ("else at main", "tiny at v9"), strict=True):
        assert f"huggingface.co/someone/{what}) could not be fetched: 404" in error


def test_a_classifier_finds_its_folder_from_anywhere(folders, tones, tmp_path, monkeypatch):
    """Also one of 0.1, which has the relative name; a folder that is gone is a sentence."""
    monkeypatch.chdir(folders)
    settings = {"backbone": "hf:wav2vec2-group", "head": "prototype", "compare": False}
    made = earmark.train(tones, **settings, layers="block1").classifier
    made.save(tmp_path / "new.earmark")
    (use,) = made.backbones
    assert (
        use.name == f"hf:{folders / 'wav2vec2-group'}" == made.provenance["arguments"]["backbone"]
    )
    relative = use.fingerprint.replace(use.name, "hf:wav2vec2-group")
    old = dataclasses.replace(use, name="hf:wav2vec2-group", fingerprint=relative)
    clip = tones / "low" / "0.wav"
    score = dataclasses.replace(made, backbones=(old,)).predict(clip).score
    monkeypatch.chdir(tmp_path)
    assert earmark.load("new.earmark").predict(clip).score == score
    gone = dataclasses.replace(use, name="hf:/gone/folder")
    with pytest.raises(BackboneError, match="'/gone/folder' is neither a folder nor a name on"):
        dataclasses.replace(made, backbones=(gone,)).predict(clip)
