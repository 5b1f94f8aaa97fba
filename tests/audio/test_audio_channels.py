"""What a recording becomes: channels, levels, samples that are no numbers, rates."""

import numpy as np
import pytest

from audio_files import RATE, encode, noise, refusal
from earmark import audio
from earmark.audio.options import AudioOptions
from earmark.errors import AudioError, EarmarkError

# Channels


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_mono_is_the_mean_of_the_channels(channels: int) -> None:
    x = noise(4_000, channels)
    got = audio.load(encode(x, "WAV", "FLOAT"), RATE)
    assert got.shape == (4_000,)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, x.astype(np.float64).mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("channel", [1, 2, 3])
def test_one_channel_is_that_channel(channel: int) -> None:
    x = noise(100_000, 3)
    content, options = encode(x, "WAV", "FLOAT"), AudioOptions(channel=channel)
    sound = audio.read(content, None, 1.0, 5.0, options)
    np.testing.assert_array_equal(sound.samples, x[RATE : 5 * RATE, channel - 1])
    assert sound.rate_hz == RATE
    assert sound.samples.flags.c_contiguous  # and so holds no other channel's memory
    raw = audio.read_channels(content, options=options).samples
    np.testing.assert_array_equal(raw, x[:, channel - 1 : channel])


def test_opposite_channels_cancel_and_one_of_them_does_not() -> None:
    x = noise(1_000)
    content = encode(np.concatenate([x, -x], axis=1), "WAV", "FLOAT")
    assert not audio.load(content, RATE).any()
    right = audio.read(content, RATE, options=AudioOptions(channel=2)).samples
    np.testing.assert_array_equal(right, -x[:, 0])


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(AudioError, match=r"^x\.wav: has no channel 3, only 2; choose one that"):
        audio.read(encode(noise(10, 2), "WAV"), RATE, options=AudioOptions(3), name="x.wav")


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(EarmarkError, match="channel is 0. Give 1 for the first"):
        AudioOptions(channel=0)
    with pytest.raises(EarmarkError, match="non_finite is 'drop'. Give refuse or zero."):
        AudioOptions(non_finite="drop")


# Levels


def test_levels_beyond_full_scale_and_offsets_are_kept() -> None:
    x = 20 * noise(1_000) + 3
    np.testing.assert_array_equal(audio.decode(encode(x, "WAV", "FLOAT"))[0], x)
    np.testing.assert_array_equal(audio.load(encode(x, "WAV", "DOUBLE"), RATE), x[:, 0])
    slow = audio.load(encode(np.full((48_000, 1), 0.25), "WAV", rate_hz=48_000), RATE)
    np.testing.assert_allclose(slow[500:-500], 0.25, atol=1e-4)  # the filter rings at both ends


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e20])
def test_samples_that_are_no_sound_are_refused_or_zeroed(bad: float) -> None:
    x = noise(200_000, 2)
    at = ([5, 70_000, 199_999], [0, 1, 1])
    x[at] = bad
    content = encode(x, "WAV", "FLOAT")
    text = refusal(content)
    assert "3 samples are NaN, infinite or beyond 1e+12; export it again or remove it." in text
    assert len(audio.load(content, RATE, 1.0, 4.0)) == 3 * RATE
    zeroed = audio.read_channels(content, options=AudioOptions(non_finite="zero"))
    x[at] = 0
    np.testing.assert_array_equal(zeroed.samples, x)
    assert zeroed.warnings == (
        "3 samples are NaN, infinite or beyond 1e+12; they were set to zero.",
    )


def test_what_is_wrong_in_another_channel_does_not_matter() -> None:
    x = noise(1_000, 2)
    x[10, 1] = np.nan
    content = encode(x, "WAV", "FLOAT")
    sound = audio.read(content, RATE, options=AudioOptions(channel=1))
    np.testing.assert_array_equal(sound.samples, x[:, 0])
    assert not sound.warnings
    mixed = audio.read(content, RATE, options=AudioOptions(non_finite="zero"))
    assert mixed.samples[10] == x[10, 0] / 2  # the sample is zeroed, not the moment


# Rates


def test_a_tone_keeps_its_frequency_and_its_level() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(2 * 44_100) / 44_100).astype(np.float32)
    y = audio.load(encode(tone[:, None], "WAV", "FLOAT", 44_100), RATE)
    assert len(y) == 2 * RATE
    middle = y[RATE // 2 : RATE // 2 + RATE]  # one second: bins of 1 Hz
    assert np.abs(np.fft.rfft(middle)).argmax() == 1_000
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "tone_hz"),
    [
        (44_100, 16_000, 8_500),
        (44_100, 16_000, 12_000),
        (44_100, 16_000, 20_000),
        (48_000, 16_000, 9_000),
        (48_000, 16_000, 23_000),
        (48_000, 32_000, 17_500),
        (44_100, 22_050, 12_000),
        (16_000, 8_000, 4_600),
        (96_000, 16_000, 40_000),
    ],
)
def test_what_a_lower_rate_cannot_hold_is_90_db_down(
    from_hz: int, to_hz: int, tone_hz: int
) -> None:
    tone = np.sin(2 * np.pi * tone_hz * np.arange(2 * from_hz) / from_hz).astype(np.float32)
    assert level_db(audio.resample(tone, from_hz, to_hz)) < -90


def test_a_higher_rate_makes_no_images() -> None:
    tone = np.sin(2 * np.pi * 3_000 * np.arange(16_000) / 8_000).astype(np.float32)
    up = audio.resample(tone, 8_000, 16_000)
    t = np.arange(len(up)) / 16_000
    assert level_db(up - np.sin(2 * np.pi * 3_000 * t)) < -90


def level_db(x: np.ndarray) -> float:
    """Return the level of the middle half, where filters do not ring; a sine of 1 has 0 dB."""
    middle = x[len(x) // 4 : -len(x) // 4].astype(np.float64)
    return float(20 * np.log10(np.sqrt(2 * np.mean(middle**2)) + 1e-12))


def test_the_same_rate_is_left_alone() -> None:
    x = noise(100)[:, 0]
    assert audio.resample(x, RATE, RATE) is x
