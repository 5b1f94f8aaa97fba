"""Sliding windows equal windows cut out one by one, however the samples were fed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark import audio
from earmark.backbones.registry import load_backbone
from earmark.embeddings.computing import run
from earmark.embeddings.sliding import SlidingWindows, embedding_of, merge_blocks
from shared_data import shared_data, shared_weights

WEIGHTS = {
    "efficientat-mn04": "mn04/mn04_as_mAP_432.pt",
    "yamnet": "yamnet/yamnet_classification.tflite",
}


def network(name):
    """Return a network; skip the test where its weights are absent."""
    if name == "speech-embedding":
        pytest.importorskip("pyopen_wakeword", reason="it carries the weights")
    elif name in WEIGHTS:
        shared_weights(WEIGHTS[name])
    return load_backbone(name)


def real_sound(rate_hz, seconds=4.0):
    """Return a piece of a real recording with digital zeros and a loud stretch in it."""
    file = sorted(shared_data("forest").glob("*.flac"))[3]
    x = audio.load(file, rate_hz)[: round(seconds * rate_hz)].copy()
    x[rate_hz : rate_hz + rate_hz // 3] = 0
    x[2 * rate_hz : 2 * rate_hz + 2_000] *= 50
    return x


def embedded(backbone, x, window_s, hop_s, pass_s=10.0, cuts=()):
    """Return the embeddings of sliding windows over ``x``, fed in parts."""
    sliding = SlidingWindows(backbone, window_s, hop_s, pass_s)
    rows = []
    for part in np.split(x, sorted(cuts)):
        rows += [sliding.merge(sliding.compute(piece)) for piece in sliding.cut(part)]
    rows += [sliding.merge(sliding.compute(piece)) for piece in sliding.finish()]
    return np.concatenate(rows)


def cut_out(backbone, x, start, length):
    """Return the embedding of a window computed by itself, with the samples around it."""
    info, c = backbone.info, backbone.info.context
    padded = np.pad(x, (c, length + c))
    core = np.pad(x[start : start + length], (0, max(0, start + length - len(x))))
    around = (padded[start : start + c], padded[start + c + length :][:c])
    windows, valid = audio.window(
        backbone.prepare(core), info.window, info.hop, c, info.step, around=around
    )
    assert len(windows) == 1
    return embedding_of(info, run(backbone, windows, valid, 1))[0]


def farthest(x, y):
    """Return the largest difference, relative to the largest value."""
    assert x.shape == y.shape
    return float(np.abs(x - y).max() / np.abs(y).max())


@pytest.mark.parametrize(
    ("name", "window_s", "hop_s"),
    [
        ("speech-embedding", 0.48, 0.08),
        ("speech-embedding", 0.96, 0.24),
        ("logmel", 0.5, 0.1),
        ("efficientat-mn04", 0.96, 0.48),
        ("yamnet", 0.96, 0.48),
    ],
)
def test_a_window_is_that_of_its_samples_cut_out(name, window_s, hop_s):
    backbone = network(name)
    rate_hz = backbone.info.rate_hz
    x = real_sound(rate_hz)[: round(3.3 * rate_hz) + 77]
    rows = embedded(backbone, x, window_s, hop_s)
    length, hop = round(window_s * rate_hz), round(hop_s * rate_hz)
    assert len(rows) == 1 + -(-(len(x) - length) // hop)  # the last one reaches the end
    alone = np.stack([cut_out(backbone, x, i * hop, length) for i in range(len(rows))])
    assert farthest(rows, alone) <= 1e-6


@pytest.fixture(scope="module")
def speech():
    return network("speech-embedding")


@pytest.mark.parametrize("name", ["speech-embedding", "logmel"])
@settings(max_examples=12)
@given(data=st.data())
def test_parts_of_any_size_give_the_same_bits(name, data):
    backbone = network(name)
    rate_hz = backbone.info.rate_hz
    n = data.draw(st.integers(0, 3 * rate_hz), "samples")
    x = np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=12), "cuts")
    pass_s = data.draw(st.sampled_from([0.08, 0.24, 1.0, 10.0]), "pass")
    whole = embedded(backbone, x, 0.48, 0.08, pass_s)
    assert np.array_equal(embedded(backbone, x, 0.48, 0.08, pass_s, cuts), whole)


def test_passes_of_any_length_give_the_same_embeddings(speech):
    x = real_sound(16_000)
    rows = [embedded(speech, x, 0.48, 0.08, pass_s) for pass_s in (0.08, 0.24, 0.5, 10.0)]
    for other in rows[1:]:
        assert farthest(other, rows[0]) <= 1e-6


def test_samples_one_by_one(speech):
    x = np.random.default_rng(0).normal(0, 0.1, 12_000).astype(np.float32)
    one_by_one = embedded(speech, x, 0.48, 0.08, 0.24, range(len(x)))
    assert np.array_equal(one_by_one, embedded(speech, x, 0.48, 0.08, 0.24))


def test_what_else_is_in_the_file_does_not_matter(speech):
    x = real_sound(16_000)
    louder = x.copy()
    louder[40_000:] *= 100
    quiet, loud = (embedded(speech, y, 0.48, 0.08) for y in (x, louder))
    same = (40_000 - speech.info.context - 7_680) // 1_280 + 1  # windows that end before it
    assert farthest(loud[:same], quiet[:same]) <= 1e-6
    assert np.abs(loud[same:] - quiet[same:]).max() > 1


@pytest.mark.parametrize("n", [0, 1, 7_680, 7_681, 8_960, 8_961])
def test_short_sound_and_the_last_window(speech, n):
    rows = embedded(speech, np.full(n, 0.01, np.float32), 0.48, 0.08)
    assert len(rows) == 1 + max(0, -(-(n - 7_680) // 1_280))


def test_a_window_of_one_hop(speech):
    x = real_sound(16_000)[:20_480]
    blocks = embedded(speech, x, 0.08, 0.08)
    merged = merge_blocks(speech.info, blocks.astype(np.float64), 6)
    assert len(blocks) == 16
    assert merged == pytest.approx(embedded(speech, x, 0.48, 0.08), abs=1e-4)


def test_many_passes_of_one_long_part_are_cut_without_copying_it_each_time(speech):
    sliding = SlidingWindows(speech, 0.48, 0.08, 0.08)
    x = np.zeros(160_000, np.float32)
    pieces = list(sliding.cut(x))
    assert len({id(piece.samples.base) for piece in pieces}) == 1
    assert sliding.hops == 1 and sliding.lag == 5


@pytest.mark.parametrize(("window_s", "hop_s"), [(0.48, 0.07), (0.5, 0.08)])
def test_a_hop_that_frames_do_not_allow_is_refused(speech, window_s, hop_s):
    with pytest.raises(ValueError, match=r"a hop of .* must be a multiple of"):
        SlidingWindows(speech, window_s, hop_s)
