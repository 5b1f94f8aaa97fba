"""What fine-tuning is made of: the optimiser, the plan of an epoch, and how clips are varied."""

import copy
import itertools
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.errors import EarmarkError
from earmark.training.finetuning import augment, waveforms
from earmark.training.finetuning.optimiser import SMALLEST, WARM_UP, WEIGHT_DECAY, Optimiser, share
from earmark.training.finetuning.recipe import REMOVED, Recipe, rate

OFF = Recipe(roll=0, speed=0, gain_db=0, noise_db=0, dropout=0)
FULL_RATE = WARM_UP  # of the schedule: where the rate is highest
scales = st.floats(1e-3, 1e3)
seeds = st.integers(0, 2**32 - 1)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=100)
@given(scales, st.floats(1, 30), scales, seeds)
def test_each_channel_moves_by_the_rate_whatever_its_scale(scale, ratio, slope, seed):
    weight = drawn(5, 4, 3, seed=seed) * scale
    weight *= torch.logspace(0, -math.log10(ratio), 5)[:, None, None]
    before = weight.clone()
    rate = 0.01
    optimiser = Optimiser([weight], [rate])
    slopes = [drawn(5, 4, 3, seed=seed + 1) * slope / scale]  # large weights have small ones
    assert optimiser.step(slopes, FULL_RATE)
    size, moved = (t.square().mean((1, 2)).sqrt() for t in (before, weight - before))
    size = size.clamp_min(SMALLEST)
    assert (moved <= (1.01 + WEIGHT_DECAY) * rate * size).all()
    assert (moved >= 0.9 * rate * size).all()


@given(scales)
@settings(max_examples=20)
def test_vectors_move_by_the_rate_of_their_size(scale):
    bias = drawn(6) * scale
    before = bias.clone()
    assert Optimiser([bias], [0.02]).step([drawn(6, seed=1)], FULL_RATE)
    moved = (bias - before).square().mean().sqrt() / before.square().mean().sqrt()
    assert 0.018 <= float(moved) <= 0.0202 + 0.02 * WEIGHT_DECAY


def test_nearly_dead_channels_and_zeros_move_a_little():
    weight = torch.ones(2, 50)
    weight[1] = 1e-9
    zeros = torch.zeros(3, 3)
    assert Optimiser([weight, zeros], [0.1, 0.1]).step([weight + 1, zeros + 1], FULL_RATE)
    assert 1e-4 < float((weight[1] - 1e-9).abs().max()) < 1e-2  # of what the tensor's others are
    assert float(zeros.abs().max()) == pytest.approx(0.1, rel=1e-3)


def test_rates_are_those_of_each_parameter():
    first, second, still = torch.ones(2, 2), torch.ones(2, 2), torch.ones(2, 2)
    optimiser = Optimiser([first, second, still], [0.1, 0.01, 0.0])
    assert optimiser.step([torch.ones(2, 2)] * 3, FULL_RATE)
    assert float(1 - first[0, 0]) == pytest.approx(0.1 * (1 + WEIGHT_DECAY), rel=1e-3)
    assert float(1 - second[0, 0]) == pytest.approx(0.01 * (1 + WEIGHT_DECAY), rel=1e-3)
    assert torch.equal(still, torch.ones(2, 2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_slope_that_is_no_number_moves_nothing(bad):
    weight, other = torch.ones(2, 2), torch.ones(2)
    optimiser = Optimiser([weight, other], [0.1, 0.1])
    assert not optimiser.step([torch.full((2, 2), bad), torch.ones(2)], 0.5)
    assert torch.equal(weight, torch.ones(2, 2)) and torch.equal(other, torch.ones(2))
    assert optimiser.step([torch.ones(2, 2), torch.ones(2)], 0.5)
    assert torch.isfinite(weight).all() and not torch.equal(weight, torch.ones(2, 2))


def test_the_share_of_the_rate_is_continuous_and_ends_at_nothing():
    at = np.array([share(p) for p in np.linspace(0, 1, 10_001)])
    assert at[0] == 0 and at[-1] == pytest.approx(0, abs=1e-12)
    assert at.max() == pytest.approx(1) and at.min() >= 0
    assert np.abs(np.diff(at)).max() <= 2e-3
    assert np.argmax(at) == pytest.approx(WARM_UP * 10_000, abs=1)


def test_the_order_in_memory_makes_no_difference():
    """Of convolutions that are laid out otherwise than the slopes that other processes sent."""
    found = []
    for laid_out in (torch.contiguous_format, torch.channels_last):
        weight = drawn(4, 3, 5, 2).to(memory_format=laid_out)
        optimiser = Optimiser([weight], [0.01])
        for seed in range(3):
            optimiser.step([drawn(4, 3, 5, 2, seed=seed)], 0.1)
        found.append(weight)
    assert torch.equal(*found)


def test_what_is_restored_goes_on_bit_for_bit():
    slopes = [[drawn(3, 4, seed=k), drawn(3, seed=100 + k)] for k in range(6)]

    def begun() -> tuple[list[torch.Tensor], Optimiser]:
        weights = [drawn(4, 3, seed=7).T, drawn(3, seed=8)]
        return weights, Optimiser(weights, [0.01, 0.003])

    whole, optimiser = begun()
    for k, slope in enumerate(slopes):
        if k == 3:
            state = {name: value.clone().contiguous() for name, value in optimiser.state().items()}
        optimiser.step(list(slope), (k + 1) / 7)
    again, other = begun()
    other.restore(state)
    for k, slope in enumerate(slopes[3:], 3):
        other.step(list(slope), (k + 1) / 7)
    assert all(torch.equal(a, b) for a, b in zip(again, whole, strict=True))
    fresh, third = begun()  # before the first step there is no momentum to keep
    third.restore({name: value.clone() for name, value in begun()[1].state().items()})
    third.step(list(slopes[0]), 0.5)
    straight, fourth = begun()
    fourth.step(slopes[0], 0.5)
    assert all(torch.equal(a, b) for a, b in zip(fresh, straight, strict=True))


@settings(max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 7), seeds)
def test_a_plan_has_each_class_as_often_as_the_largest(counts, batch, seed):
    rng = np.random.default_rng(seed)
    of = np.eye(len(counts))[np.repeat(np.arange(len(counts)), counts)]
    of = np.concatenate([of, of[:2]])  # rows that are not asked for
    rows = rng.permutation(sum(counts))
    recipe = Recipe(batch=batch, balanced=True)
    batches = waveforms.plan(rows, rng.uniform(0.1, 20, len(of)), of, recipe, rng)
    planned = np.concatenate(batches)
    assert max(map(len, batches)) <= batch
    assert of[planned].sum(0).tolist() == [max(counts)] * len(counts)
    times, own = np.bincount(planned, minlength=len(of))[rows], np.array(counts)[of[rows].argmax(1)]
    assert (times >= max(counts) // own).all() and (times <= -(-max(counts) // own)).all()
    once = waveforms.plan(rows, np.ones(len(of)), of, replace(recipe, balanced=False), rng)
    assert sorted(np.concatenate(once)) == sorted(rows)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), seeds)
def test_parts_are_of_like_length_and_lose_no_clip(lengths, seed):
    lengths = np.array(lengths)
    rows = np.random.default_rng(seed).permutation(len(lengths))[: max(1, len(lengths) - 2)]
    parts = waveforms.parts(rows, lengths)
    assert sorted(np.concatenate(parts)) == sorted(rows)
    assert all(lengths[p].min() >= waveforms.ALIKE * lengths[p].max() for p in parts)
    for longer, shorter in itertools.pairwise(parts):
        assert lengths[shorter].max() < waveforms.ALIKE * lengths[longer].max()


def test_switched_off_nothing_varies():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300).astype(np.float32)
    assert np.array_equal(augment.vary(x, OFF, rng), x)


@settings(max_examples=100)
@given(st.integers(1, 200), st.integers(1, 400), scales, st.floats(1, 40), st.floats(0, 1), seeds)
def test_what_lies_below_is_weaker(samples, below, scale, noise_db, quiet, seed):
    """However the other clip's loudness is spread over it: here its first part is ``quiet``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=samples).astype(np.float32)
    noise = (scale * rng.normal(size=below)).astype(np.float32)
    noise[: int(quiet * below)] *= 1e-3
    found = augment.lay_below(x, noise, Recipe(noise_db=noise_db), rng)
    assert found.dtype == np.float32 and found.shape == x.shape
    level, added = (float(np.sqrt(np.mean(np.square(a)))) for a in (x, found - x))
    assert added <= level * 10 ** (-noise_db / 20) * 1.01 + 1e-6


@settings(max_examples=60)
@given(st.integers(1, 500), st.floats(0.01, 0.3), st.floats(0.1, 12), seeds)
def test_speed_and_loudness_stay_within_their_ranges(samples, speed, gain_db, seed):
    x = np.ones(samples, np.float32)
    recipe = replace(OFF, speed=speed, gain_db=gain_db, roll=0.2)
    found = augment.vary(x, recipe, np.random.default_rng(seed))
    assert found.dtype == np.float32
    assert math.exp(-speed) * samples - 0.5 <= len(found) <= math.exp(speed) * samples + 0.5
    low, high = (10 ** (sign * gain_db / 20) for sign in (-1, 1))
    assert found.min() >= low * 0.9999 and found.max() <= high * 1.0001


def test_changes_of_a_recipe_are_read_and_checked():
    recipe = Recipe()
    changed = recipe.changed(" epochs=5, dropout=0.25,balanced=0,")
    assert changed == replace(recipe, epochs=5, dropout=0.25, balanced=False)
    assert recipe.changed("") == recipe
    with pytest.raises(
        EarmarkError, match=r"no setting 'drpout'. Did you mean 'dropout'\? Known: e"
    ):
        recipe.changed("drpout=0.3")
    for wrong in ("epochs=2.5", "epochs=", "epochs", "roll=-1", "noise_db=nan", "noise_db=x"):
        whole = "whole " if "epochs" in wrong else ""
        with pytest.raises(
            EarmarkError, match=rf". Give a {whole}number from 0 (on|to 1), such as \w+="
        ):
            recipe.changed(wrong)
    assert recipe.changed("crop_s=0").crop_s == 0


@pytest.mark.parametrize("name", REMOVED)
def test_a_setting_that_was_removed_is_refused_with_the_reason(name):
    said = rf"setting '{name}' was removed: {REMOVED[name]}. Leave it out\."
    with pytest.raises(EarmarkError, match=said):
        Recipe().changed(f"epochs=5,{name}=0.3")
    with pytest.raises(EarmarkError, match=said):
        Recipe(**{name: 0.3})
    with pytest.raises(EarmarkError, match=r"no setting 'epoch'. Did you mean 'epochs'\?"):
        Recipe(epoch=3)


def test_a_recipe_can_be_copied():
    recipe = Recipe(epochs=5)
    assert copy.deepcopy(recipe) == pickle.loads(pickle.dumps(recipe)) == recipe


def test_the_rate_is_lower_for_few_steps_unless_it_is_given():
    assert rate(Recipe(), 2_500) == rate(Recipe(epochs=40), 800) == 0.03  # 1,250 and 1,000 steps
    assert rate(Recipe(epochs=10), 800) == pytest.approx(0.015)  # 250 steps
    assert rate(Recipe(epochs=10, rate=0.02), 800) == 0.02


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("batch=0", "1 on"),
        ("dropout=1", "0 to 0.95"),
        ("roll=2", "0 to 1"),
        ("noise_db=inf", "0 on"),
        ("speed=10", "0 to 1"),
        ("rate=10", "0 to 1"),
        ("gain_db=1e6", "0 to 60"),
        ("crop_s=1e-6", "0.1 on"),
        ("balanced=2", "whole number from 0 to 1"),
    ],
)
def test_settings_that_nothing_can_be_done_with_are_refused(setting, wanted):
    name, _, value = setting.partition("=")
    with pytest.raises(
        EarmarkError, match=f"setting '{name}' is '{value}'. Give .* {wanted}, such"
    ):
        Recipe().changed(setting)
