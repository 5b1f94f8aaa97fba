"""Fine-tuning begins with the frozen classifier, and moves what it may and nothing else."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from checkpoints import NAMES as CHECKPOINTS
from earmark import audio, backbones
from earmark.backbones.base import Backbone, LayerStats
from earmark.backbones.info import Layer
from earmark.classifier.calibration import Calibration
from earmark.classifier.features import FeatureSpec, compute_features
from earmark.classifier.head import Head
from earmark.embeddings.computing import run
from earmark.embeddings.pooling import pool as embedded_pool
from earmark.errors import BackboneError, EarmarkError
from earmark.training import candidates
from earmark.training.finetuning import parameters, waveforms
from earmark.training.finetuning.model import Tunable, pool
from earmark.training.finetuning.recipe import check_method
from networks import sound, with_random_weights
from tuning import distance, of_short_windows, run_of, speech_embedding, write_clips

pytest.importorskip("accelerate", reason="the extra earmark[finetune] is not installed")

CONVOLUTIONAL = ("efficientat-mn04", "speech-embedding", "vggish", "yamnet")
_made: dict[str, Backbone] = {}


@pytest.fixture(scope="module", params=[*CONVOLUTIONAL, *CHECKPOINTS])
def name(request):
    return request.param


@pytest.fixture
def network(name, folders):
    """One of every kind of network with all of its layers; tests may keep fewer."""
    if name not in _made:
        if name in CHECKPOINTS:
            made = backbones.load_backbone(f"hf:{folders / name}", engine="torch")
        elif name == "speech-embedding":
            made = backbones.load_backbone(name, engine="torch")
        else:
            made = with_random_weights(name)
        _made.clear()
        _made[name] = of_short_windows(made)
    made = _made[name]
    info = made.info
    yield made
    made.info = info
    made.requires_grad_(False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of two lengths: of three windows and of two."""
    return write_clips(tmp_path_factory.mktemp("clips"), 10, (0.9, 0.6))


def heard_apart(network, x) -> np.ndarray:
    """The embedding (1, E) of one clip in float64, as embed() makes it but not rounded."""
    info = network.info
    cut = audio.window(network.prepare(x), info.window, info.hop, info.context, info.step)
    assert len(cut[0]) > 1
    stats, found = run(network, *cut, 3), []
    for layer in info.layers:
        frames, mean, var = (s.double() for s in stats[layer.name])
        part = (frames / frames.sum())[:, None]
        total = (part * mean).sum(0)
        found += [total, (part * (var + (mean - total).square())).sum(0).sqrt()]
    return torch.cat(found).numpy()[None]


def two_clips(network) -> np.ndarray:
    """Two clips (2, n) of more than one window, whose last is not full."""
    info = network.info
    n = int(1.6 * info.window) if info.step is not None else info.window + info.hop // 2
    return np.stack([sound(n, seed) for seed in (0, 3)])


def head_for(kind: str, size: int) -> Head:
    """A head over ``size`` features whose every tensor is drawn by chance."""
    rng = np.random.default_rng(size)
    shapes = {"mean": (size,), "scale": (size,), "weight": (3, size), "bias": (3,)}
    if kind == "mlp":
        shapes = {"mean": (size,), "scale": (size,), "hidden.weight": (7, size)}
        shapes |= {"hidden.bias": (7,), "output.weight": (3, 7), "output.bias": (3,)}
    drawn = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    drawn["scale"] = (1 + drawn["scale"] ** 2) * np.sqrt(size)
    return Head(kind, {name: value.astype(np.float32) for name, value in drawn.items()})


def many_readings(network) -> list[tuple[str, FeatureSpec]]:
    """Readings of upper layers, each with the kind of a head, that cover every way to read."""
    names = [layer.name for layer in network.info.layers]
    equal = candidates._equal_layers(network.info)
    return [
        ("linear", FeatureSpec((tuple(names[-2:]),))),
        ("mlp", FeatureSpec(((names[len(names) // 2],),), spread=True, bands=False)),
        ("prototype", FeatureSpec((tuple(names[:2]),), spread=False, bands=False)),
        ("logistic", FeatureSpec((equal,), averaged=True)),
    ]


def test_it_begins_with_the_frozen_classifier(network):
    """Before any step the logits are those of the head on unrounded embeddings, calibrated."""
    whole, waves, calibration = network.info, two_clips(network), Calibration(0.3, 0.2)
    for kind, reading in many_readings(network):
        network.info = whole
        network.restrict_to_layers(reading.layers[0])
        matrix = np.concatenate([heard_apart(network, x) for x in waves])
        features = compute_features([network.info], [matrix], [reading])
        head = head_for(kind, features.shape[1])
        wanted = calibration.logits(head.logits(features))
        model = Tunable([network], [reading], head, calibration).eval()
        with torch.no_grad():
            found = model(waveforms.window_batches([network], [waves]), len(waves)).numpy()
        assert distance(found, wanted) <= 1e-3


@pytest.mark.parametrize("n_specs", [1, 2, 3])
def test_several_networks_are_read_side_by_side(clips, n_specs):
    """By one set of features, or by the several that an average of heads reads."""
    first, second = speech_embedding("conv9"), speech_embedding("embedding")
    waves = two_clips(first)
    specs = [
        FeatureSpec((("conv9",), ("embedding",))),
        FeatureSpec(((), ("embedding",)), spread=False),
        FeatureSpec((("conv9",), ()), bands=False),
    ][:n_specs]
    matrices = [np.concatenate([heard_apart(n, x) for x in waves]) for n in (first, second)]
    features = compute_features([first.info, second.info], matrices, specs)
    head = head_for("linear", features.shape[1])
    model = Tunable([first, second], specs, head, Calibration(1.0))
    with torch.no_grad():
        found = model(waveforms.window_batches([first, second], [waves, waves]), 2).numpy()
    assert distance(found, head.logits(features)) <= 1e-3


@pytest.mark.parametrize("since", [1, None])
def test_rounding_counts_as_in_an_embedding(since):
    """Two windows differ by rounding alone: a deviation in version 1, and none since."""
    info = backbones.info("logmel")
    info = replace(info, layers=(Layer("a", 2),), version=1, drops_rounding_since=since)
    mean = torch.tensor([[0.1, 1.0], [0.1 * (1 + 2**-20), 2.0], [0.1, 3.0]])
    stats = {"a": LayerStats(torch.ones(3), mean, torch.zeros(3, 2))}
    _, deviation = pool(info, stats, torch.zeros(3, dtype=torch.long), 1)["a"]
    embedded = embedded_pool(info, stats)[2:].astype(np.float64)  # rounded to float16
    np.testing.assert_allclose(deviation[0], embedded, atol=3e-8, rtol=1e-3)
    assert (deviation[0] > 0).tolist() == [since is None, True]


def slopes(network, depths) -> dict[str, torch.Tensor]:
    """The gradient of each tuned parameter, for a random head over all layers."""
    reading = FeatureSpec((tuple(layer.name for layer in network.info.layers),))
    size, waves = sum(2 * layer.size for layer in network.info.layers), two_clips(network)
    model = Tunable([network], [reading], head_for("linear", size), Calibration(1.0))
    loss = model(waveforms.window_batches([network], [waves]), len(waves)).square().sum()
    held = dict(network.named_parameters())
    found = torch.autograd.grad(loss, [held[name] for name in depths])
    return dict(zip(depths, found, strict=True))


def test_all_that_full_names_has_a_slope(network):
    found = slopes(network, parameters.tunable(network, "full"))
    assert [n for n, slope in found.items() if not float(slope.abs().max())] == []


def test_what_full_does_not_name_changes_no_layer(network):
    """But for the encoder of waveforms, which stays as it is."""
    depths = parameters.tunable(network, "full")
    assert {n for n, p in network.named_parameters() if p.requires_grad} == set(depths)
    windows = torch.from_numpy(two_clips(network)[:, : network.info.window])
    windows = torch.nn.functional.pad(windows, (network.info.context,) * 2)
    valid = torch.full((2,), network.info.window)
    left = [p for n, p in network.named_parameters() if n not in depths and "feature_ex" not in n]
    with torch.no_grad():
        before = network(windows, valid)
        for parameter in left:
            parameter += 1
        after = network(windows, valid)
        for parameter in left:
            parameter -= 1
    assert all(torch.equal(after[layer].mean, before[layer].mean) for layer in before)


def test_the_feature_encoder_of_wav2vec2_stays(network, name):
    if name in CONVOLUTIONAL or name in ("whisper", "ast"):
        pytest.skip("has none")
    depths = parameters.tunable(network, "full")
    encoder = {n for n, _ in network.named_parameters() if "feature_extractor" in n}
    assert encoder and not encoder & set(depths)
    network.restrict_to_layers(["features"])
    with pytest.raises(
        BackboneError, match=r"nothing to fine-tune in the layers .*. Choose higher layers"
    ):
        parameters.tunable(network, "full")


def test_last_1_names_the_highest_read_layer_only(network):
    names = [layer.name for layer in network.info.layers]
    middle = names[len(names) // 2]
    everything = parameters.lowest_layers(network, [n for n, _ in network.named_parameters()])
    network.restrict_to_layers(names[: len(names) // 2 + 1])
    full, last = parameters.tunable(network, "full"), parameters.tunable(network, "last:1")
    of_middle = {n for n, number in everything.items() if names[number] == middle}
    above = {n for n, number in everything.items() if number > len(names) // 2}
    assert last and set(last) == of_middle and set(last.values()) == {0}
    assert not above & set(full)
    assert {n: d for n, d in full.items() if d == 0} == last
    assert set(last) <= set(parameters.tunable(network, "last:2"))


def test_low_rank_additions_change_nothing_at_first(network, name):
    if name in CONVOLUTIONAL:
        with pytest.raises(BackboneError, match=r"is not a transformer, and 'lora' needs one. G"):
            parameters.tunable(network, "lora")
        return
    _made.clear()  # the network is changed for good
    waves = torch.from_numpy(two_clips(network))[:, : network.info.window]
    valid = torch.full((2,), network.info.window)
    with torch.no_grad():
        before: dict[str, LayerStats] = network(waves, valid)
    maps = re.compile(r"\.layers?\.\d+\.")
    modules = dict(network.named_modules())
    linear = {n for n, m in modules.items() if isinstance(m, torch.nn.Linear) and maps.search(n)}
    depths = parameters.tunable(network, "lora")
    assert depths and all("lora_" in n for n in depths)
    factors = parameters.states(network, depths)  # autograd reaches all, WavLM's attention too
    assert set(factors) == {f"{n}.weight.lora_{x}" for n in linear for x in "ab"}
    assert len(depths) == 2 * len(linear)
    with torch.no_grad():
        after = network(waves, valid)
    assert all(torch.equal(after[layer].mean, before[layer].mean) for layer in before)
    found = slopes(network, depths)  # of the factor that is 0, as the other's is times 0
    assert all(float(slope.abs().max()) for n, slope in found.items() if "lora_B" in n)
    with torch.no_grad():
        for n, p in network.named_parameters():
            if "lora_B" in n:
                p += 0.1
    found = slopes(network, depths)
    assert set(found) == set(depths) and all(float(s.abs().max()) for s in found.values())


def test_what_cannot_be_tuned_is_refused():
    for how in ("last:0", "last:", "last", "last:-1", "ful"):
        with pytest.raises(EarmarkError, match=r"is unknown. Give 'full', 'lora', or 'last:N' for"):
            check_method(how)
    for how in ("full", "lora", "last:1", "last:12"):
        check_method(how)


def test_low_rank_additions_begin_the_same_each_time(folders, clips):
    """Whatever was drawn by chance before: a run that is taken up, and other processes, need it."""
    network = of_short_windows(
        backbones.load_backbone(f"hf:{folders / 'hubert-group'}", engine="torch")
    )
    network.restrict_to_layers(["block1"])
    first = run_of(clips, network, "lora")
    drawn = torch.rand(3)
    second = run_of(clips, network, "lora")
    assert not torch.equal(torch.rand(3), drawn)  # and what others draw stays by chance
    for one, other in zip(first.parameters, second.parameters, strict=True):
        assert torch.equal(one, other)
