"""The contract, over everything in the registry."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from earmark import audio, backbones
from earmark.backbones.base import ROUNDING, Backbone, LayerStats, frame_weights, layer_stats
from earmark.backbones.info import BackboneInfo, Layer
from earmark.backbones.layers import layers_of
from earmark.embeddings.computing import run
from earmark.embeddings.pooling import columns, merge, pool
from earmark.errors import BackboneError
from networks import cut, embedding, seconds, sound, with_random_weights

NAMES = backbones.list_backbones()
_cache: dict[str, Backbone] = {}


@pytest.fixture(params=NAMES)
def backbone(request):
    if request.param not in _cache:
        try:
            _cache[request.param] = backbones.load_backbone(request.param)
        except BackboneError:  # the weights are not at hand: the contract holds for any
            _cache[request.param] = with_random_weights(request.param)
    return _cache[request.param]


def hear(backbone, x, batch=64) -> np.ndarray:
    """The whole way of one clip, before rounding to float16 hides a difference."""
    stats = run(backbone, *cut(backbone, x), batch)
    return embedding(backbone, stats)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_describes_itself(backbone):
    info = backbone.info
    assert len({layer.name for layer in info.layers}) == len(info.layers)
    assert info.summary and info.source and info.licence
    assert info.hop <= info.window
    parameters = sum(p.numel() for p in backbone.parameters())
    assert parameters == pytest.approx(info.parameters, rel=0.02)


def test_layers_have_the_promised_size(backbone):
    stats = run(backbone, *cut(backbone, sound(seconds(backbone, 1.3))), 8)
    assert {name: s.mean.shape[1] for name, s in stats.items()} == {
        layer.name: layer.size for layer in backbone.info.layers
    }
    assert all(s.mean.shape == s.var.shape and (s.var >= 0).all() for s in stats.values())


def test_batch_mates_change_nothing(backbone):
    clips = [sound(seconds(backbone, 1.3), seed) for seed in range(4)]
    windows, valid = zip(*(cut(backbone, x) for x in clips), strict=True)
    together = run(backbone, np.concatenate(windows), np.concatenate(valid), 64)
    count = len(windows[0])
    for k, x in enumerate(clips):
        own = {
            n: LayerStats(*(t[k * count : (k + 1) * count] for t in s)) for n, s in together.items()
        }
        assert difference(embedding(backbone, own), hear(backbone, x)) <= 1e-5


def test_padding_changes_nothing(backbone):
    if backbone.info.step is None:
        pytest.skip("every window of this network is padded to one length")
    windows, valid = cut(backbone, sound(seconds(backbone, 0.9)))
    padded = np.pad(windows, ((0, 0), (0, 7 * backbone.info.step)))
    alone, with_zeros = run(backbone, windows, valid, 8), run(backbone, padded, valid, 8)
    assert difference(embedding(backbone, with_zeros), embedding(backbone, alone)) <= 1e-5


def test_mixed_lengths_in_one_batch_change_nothing(backbone):
    short, long = (cut(backbone, sound(seconds(backbone, s))) for s in (0.4, 0.9))
    width = long[0].shape[1]
    both = np.concatenate([np.pad(short[0], ((0, 0), (0, width - short[0].shape[1]))), long[0]])
    stats = run(backbone, both, np.concatenate([short[1], long[1]]), 8)
    first = {name: LayerStats(*(t[:1] for t in s)) for name, s in stats.items()}
    assert (
        difference(embedding(backbone, first), embedding(backbone, run(backbone, *short, 8)))
        <= 1e-5
    )


@pytest.mark.parametrize("samples", [1, 2, 37])
def test_a_few_samples_are_heard(backbone, samples):
    assert np.isfinite(hear(backbone, sound(samples))).all()


@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_lengths_around_a_window(backbone, beside):
    length = backbone.info.window
    windows, valid = cut(backbone, sound(length + beside))
    assert valid.sum() >= length + beside and len(windows) == (1 if beside <= 0 else 2)
    near, exact = hear(backbone, sound(length + beside)), hear(backbone, sound(length))
    if backbone.weights_hash.startswith("random") and backbone.info.name == "yamnet-float32":
        pytest.skip("untrained and unbounded, it hears the silence behind a clip above all")
    # where windows overlap, one sample more is half a window more
    assert difference(near, exact) < (0.1 if backbone.info.hop == length else 0.3)


def test_silence_is_finite_and_differs_from_sound(backbone):
    silent = hear(backbone, np.zeros(seconds(backbone, 1.0), np.float32))
    assert np.isfinite(silent).all()
    assert difference(silent, hear(backbone, sound(seconds(backbone, 1.0)))) > 0.05


def test_full_scale_square_wave_is_finite(backbone):
    x = np.sign(np.sin(np.arange(seconds(backbone, 1.0)) / 9)).astype(np.float32)
    assert np.isfinite(hear(backbone, x)).all()


def test_same_input_same_bytes(backbone):
    x = sound(seconds(backbone, 1.3))
    assert np.array_equal(hear(backbone, x), hear(backbone, x))


def test_early_stop_gives_the_same_layer(backbone):
    first = backbone.info.layers[0].name
    windows, valid = (torch.from_numpy(a) for a in cut(backbone, sound(seconds(backbone, 1.0))))
    with torch.inference_mode():
        some, every = backbone(windows, valid, [first]), backbone(windows, valid)
    assert list(some) == [first]
    assert torch.equal(some[first].mean, every[first].mean)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_stays_close(backbone, precision):
    if precision == "float16" and not torch.cuda.is_available():
        pytest.skip("float16 is for accelerators; on a CPU use bfloat16")
    try:
        half = backbones.load_backbone(backbone.info.name, precision=precision)
    except BackboneError:
        half = with_random_weights(backbone.info.name, precision)
    assert half.fingerprint != backbone.fingerprint
    x = sound(seconds(backbone, 1.3))
    a, b = hear(half, x), hear(backbone, x)
    assert np.isfinite(a).all()
    assert np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) > 0.995


@pytest.mark.parametrize("rate_hz", [8_000, 48_000])
def test_recordings_of_other_rates(backbone, rate_hz, tmp_path):
    """The same sound stored at another rate, in stereo, is heard nearly alike."""
    import soundfile

    t = np.arange(rate_hz) / rate_hz
    x = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 1_250 * t)
    x += 0.001 * np.random.default_rng(0).normal(size=rate_hz)
    soundfile.write(tmp_path / "a.wav", np.stack([x, x], 1), rate_hz, subtype="FLOAT")
    rate = backbone.info.rate_hz
    if rate_hz < rate and "random" in backbone.weights_hash:
        pytest.skip("only what was trained bears an empty upper half of the spectrum")
    heard = hear(backbone, audio.load(tmp_path / "a.wav", rate))
    t = np.arange(rate) / rate
    own = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 1_250 * t)
    own += 0.001 * np.random.default_rng(0).normal(size=rate)
    assert difference(heard, hear(backbone, own.astype(np.float32))) < 0.5


def test_threads_do_not_meddle(backbone):
    from concurrent.futures import ThreadPoolExecutor

    clips = [sound(seconds(backbone, 0.7), seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool_:
        at_once = list(pool_.map(lambda x: hear(backbone, x), clips))
    for x, heard in zip(clips, at_once, strict=True):
        assert difference(heard, hear(backbone, x)) <= 1e-5


# Networks whose numbers depend on more than core and context.
EXCEPTIONS = {"wav2vec2-base", "wav2vec2-base-960h"}


def test_exceptions_to_position_invariance_give_a_reason(backbone):
    assert bool(backbone.position_dependence) == (backbone.info.name in EXCEPTIONS)


def assert_rows_agree(got: dict[str, LayerStats], wanted: dict[str, LayerStats]) -> None:
    assert got.keys() == wanted.keys()
    for name, stats in wanted.items():
        for a, b in zip(got[name], stats, strict=True):
            assert torch.linalg.norm(a.double() - b) <= 1e-4 * torch.linalg.norm(b.double()), name


@pytest.mark.parametrize("gain", [0.001, 1.0])
def test_a_core_yields_the_same_in_any_file(backbone, gain):
    """In a quiet and a loud file, at two places, and cut out with its context."""
    if backbone.position_dependence:
        pytest.skip(backbone.position_dependence)
    info = backbone.info
    stretch = sound(2 * info.context + info.window, seed=3) * 0.1
    alone = run(backbone, stretch[None], np.array([info.window]), 1)
    for row in (1, 2):
        start = row * info.hop
        beside = sound(start + info.window + 2 * info.hop, seed=5) * gain
        padded = np.pad(beside, info.context)
        padded[start : start + len(stretch)] = stretch
        x = padded[info.context : len(padded) - info.context] if info.context else padded
        windows, valid = cut(backbone, x)
        here = run(backbone, windows[row : row + 1], valid[row : row + 1], 1)
        assert_rows_agree(here, alone)


def change_by_cutting(backbone) -> float:
    """Cut 4 s, of which half is 80 dB softer, at every second; return the relative change."""
    step, context = backbone.info.step, backbone.info.context
    core = -(-16_000 // step) * step
    x = sound(4 * core)
    x[: 2 * core] *= 1e-4
    whole, parts = (
        run(backbone, *audio.window(x, length, length, context, step), 4)
        for length in (len(x), core)
    )
    pairs = [p for y in whole for p in zip(merge(parts[y]), whole[y], strict=True)]
    return max(float(torch.linalg.norm(a - b) / torch.linalg.norm(b.double())) for a, b in pairs)


@pytest.mark.parametrize("name", ["logmel", "speech-embedding"])
def test_short_cores_merge_to_the_long_one(name):
    """These may be cut at every step: a quiet half yields the same beside a loud one."""
    assert change_by_cutting(backbones.load_backbone(name)) <= 1e-4


def test_the_floor_of_version_1_depends_on_what_is_loud():
    assert change_by_cutting(backbones.load_backbone("speech-embedding", version=1)) > 0.05


@pytest.mark.parametrize("name", ["logmel", "speech-embedding"])
def test_silence_has_no_deviation(name):
    """Layers with bands deviate within a band, from one frequency to the next."""
    backbone = backbones.load_backbone(name)
    stats = run(backbone, *cut(backbone, np.zeros(32_000, np.float32)), 1)
    assert (stats[backbone.info.layers[-1].name].var == 0).all()


def test_version_1_differs_by_rounding_alone(backbone):
    info = backbone.info
    assert info.drops_rounding
    if info.name == "yamnet-float32":
        pytest.skip("its first version had that already")
    assert info.version > info.earlier[0] == 1
    assert not info.at_version(1).drops_rounding
    if info.name == "speech-embedding":
        pytest.skip("its floor changed, too; test_speech_embedding.py has that")
    x = sound(seconds(backbone, 1.3))
    x[: len(x) // 2] = 0
    newest = run(backbone, *cut(backbone, x), 8)
    backbone.info = info.at_version(1)
    try:
        first = run(backbone, *cut(backbone, x), 8)
        assert "/1/" in backbone.fingerprint
    finally:
        backbone.info = info
    assert any((stats.var > 0).any() for stats in newest.values())
    for name, (_, mean, var) in newest.items():
        assert torch.equal(mean, first[name].mean)
        kept = var > 0
        assert torch.equal(var[kept], first[name].var[kept])
        assert (first[name].var.sqrt() <= ROUNDING * mean.abs())[~kept].all()


# The parts of the contract that every backbone leans on.


@pytest.mark.parametrize("level", [1.0, -40.3, 1e-6, 3e4])
def test_rounding_of_the_mean_is_no_variance(level):
    x = torch.full((1, 3, 1000, 4), level) * torch.tensor([1.0, 1.1, 0.7])[:, None, None]
    kept, plain = (layer_stats(x, torch.ones(1, 1000), 2, drops) for drops in (True, False))
    assert (kept.var == 0).all() and (plain.var > 0).any()
    moves = x + level * 1e-3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    kept, plain = (layer_stats(moves, torch.ones(1, 1000), 2, drops) for drops in (True, False))
    assert torch.equal(kept.var, plain.var) and (kept.var > 0).all()


def test_gradients_through_a_still_layer_are_finite():
    x = torch.full((1, 3, 50, 2), 1.1, requires_grad=True)
    stats = layer_stats(x, torch.ones(1, 50), drops_rounding=True)
    (stats.mean.sum() + stats.var.sum()).backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_pooling_equal_windows_leaves_no_variance():
    """Means of windows of several lengths are rounded in several ways."""
    info = BackboneInfo("x", "x", 8_000, 8, 8, (Layer("a", 3),), 0, "x", "x")
    mean = torch.full((7, 3), 0.1)
    mean[3] *= 1 + 2**-20
    equal = {"a": LayerStats(torch.full((7,), 3.3), mean, torch.zeros(7, 3))}
    apart = {"a": LayerStats(torch.ones(7), mean + torch.eye(7)[:, :3], torch.zeros(7, 3))}
    assert (pool(info, equal)[3:] > 0).all()
    info = replace(info, drops_rounding_since=1)
    assert (pool(info, equal)[3:] == 0).all() and (pool(info, apart)[3:] > 0).all()


def test_versions_are_known_by_number():
    info = backbones.info("logmel")
    assert info.at_version(None) is info.at_version(2) is info
    assert "/1/" in backbones.load_backbone("logmel", version=1).fingerprint
    with pytest.raises(BackboneError, match="no version 7 here, only 1 and 2. Use one of these"):
        backbones.load_backbone("logmel", version=7)
    with pytest.raises(BackboneError, match="no version 2 here, only 1. Use one of these"):
        info.at_version(1).at_version(2)


def test_a_plugin_that_knows_of_no_versions_is_as_it_was():
    info = BackboneInfo("x", "x", 8_000, 8, 8, (Layer("a", 3),), 0, "x", "x")
    assert not info.drops_rounding and info.at_version(None) is info.at_version(1) is info


def test_layer_stats_are_those_of_the_valid_frames():
    x = torch.randn(3, 5, 11, 8)
    weight = torch.zeros(3, 11)
    weight[:, 2:7] = 1
    stats = layer_stats(x, weight, bands=2)
    low = x[:, :, 2:7, :4].double()
    torch.testing.assert_close(stats.mean[:, 0::2].double(), low.mean((2, 3)), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        stats.var[:, 0::2].double(), low.var((2, 3), unbiased=False), atol=1e-6, rtol=1e-5
    )
    assert stats.frames.tolist() == [5, 5, 5]


def test_a_window_without_frames_weighs_nothing():
    stats = layer_stats(torch.ones(1, 2, 4, 1), torch.zeros(1, 4))
    assert stats.frames.item() == 0 and stats.mean.abs().sum() == 0


@pytest.mark.parametrize(("first", "stride"), [(-6000, 160), (0, 1280), (-5840, 320)])
def test_frames_of_neighbouring_windows_tile_a_clip(first, stride):
    """One window of 4 strides counts the frames that two of 2 strides count."""
    one = frame_weights(100, first, stride, torch.tensor([4 * stride]))
    two = frame_weights(100, first, stride, torch.tensor([2 * stride, 2 * stride]))
    assert one.sum() == two.sum() == 4
    assert frame_weights(100, first, stride, torch.tensor([1])).sum() == 1


def test_pool_of_pieces_is_the_whole():
    info = BackboneInfo("x", "x", 8_000, 8, 8, (Layer("a", 3),), 0, "x", "x")
    x = torch.randn(1, 3, 12, 1) * 3 + 40
    whole = {"a": layer_stats(x, torch.ones(1, 12))}
    parts = [layer_stats(x[:, :, a:b], torch.ones(1, b - a)) for a, b in ((0, 5), (5, 6), (6, 12))]
    joined = {"a": LayerStats(*(torch.cat(t) for t in zip(*parts, strict=True)))}
    np.testing.assert_allclose(pool(info, joined), pool(info, whole), rtol=2e-3)


def test_columns_name_what_pool_wrote():
    info = BackboneInfo("x", "x", 8_000, 8, 8, (Layer("a", 3), Layer("b", 2)), 0, "x", "x")
    assert columns(info, ["b"]).tolist() == [6, 7, 8, 9]
    with pytest.raises(BackboneError, match="Did you mean 'a'.*Known layers: a, b"):
        columns(info, ["aa"])


@pytest.mark.parametrize("words", ["a,a", "b,a,b", "y/a,a", "a, a"])
def test_a_layer_that_is_given_twice_is_refused(words):
    infos = [
        BackboneInfo(name, "x", 8_000, 8, 8, (Layer("a", 3), Layer("b", 2)), 0, "x", "x")
        for name in "xy"
    ]
    assert layers_of(infos, "x/a,y/a,b") == (("a", "b"), ("a", "b"))
    with pytest.raises(BackboneError, match="twice. Give each layer once"):
        layers_of(infos, words)


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(BackboneError, match="no backbone 'logmell'. Did you mean 'logmel'"):
        backbones.load_backbone("logmell")


def test_unknown_precision_is_refused():
    with pytest.raises(BackboneError, match="'int3' is unknown. Give one of exact, fast"):
        backbones.load_backbone("logmel", precision="int3")


def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="registered already"):
        backbones.register(backbones.info("logmel"))(Backbone)
