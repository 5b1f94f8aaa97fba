"""Pictures and peaks of the studio against a plain computation, and against numbers."""

import numpy as np
import pytest

from earmark.apps.studio.sounds.spectrograms import Grid, Peaks, drawn, lens_of, to_levels

RATE_HZ = 16_000


def sine(hz, seconds=1.0, amplitude=1.0, rate_hz=RATE_HZ):
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def noise(seconds=1.0):
    return np.random.default_rng(1).normal(0, 0.1, int(seconds * RATE_HZ)).astype(np.float32)


def plainly(x, lens, grid):
    """The picture with one loop for each column, each spectrum and each row."""
    n, per = len(lens.window), grid.per_column(lens)
    padded = np.concatenate([np.zeros(n), x, np.zeros(n)])
    levels = np.zeros((grid.columns, lens.rows))
    for c in range(grid.columns):
        for k in range(per):
            middle = grid.start_s + grid.column_s * (c + (k + 0.5) / per)
            begin = int(middle * lens.rate_hz) - n // 2 + n
            spectrum = np.fft.rfft(padded[begin : begin + n] * np.hanning(n + 1)[:-1])
            for row in range(lens.rows):
                power = np.sum(abs(spectrum) ** 2 * lens.filters[:, row])
                level = 255 * (10 * np.log10(max(power, 1e-20)) + 95) / 80
                levels[c, row] = max(levels[c, row], round(min(255, max(0, level))))
    return levels


@pytest.mark.parametrize("column_s", [1 / 256, 1 / 32, 0.11])
def test_a_picture_is_the_loudest_spectrum_of_each_column(column_s):
    lens, x = lens_of(RATE_HZ, 12), noise(0.4)
    grid = Grid(0.05, column_s, 3)
    levels = drawn(iter([x]), 0, lens, grid)
    assert abs(levels.astype(int) - plainly(x, lens, grid)).max() <= 1


@pytest.mark.parametrize("size", [1, 700, 5_000])
def test_the_size_of_blocks_changes_nothing(size):
    lens, x, grid = lens_of(RATE_HZ, 20), noise(0.3), Grid(0.0, 0.01, 30)
    blocks = (x[k : k + size] for k in range(0, len(x), size))
    assert np.array_equal(drawn(blocks, 0, lens, grid), drawn(iter([x]), 0, lens, grid))


def test_many_spectra_in_a_column_are_pooled_like_few():
    lens, x = lens_of(RATE_HZ, 20), noise(8.0)
    fine = drawn(iter([x]), 0, lens, Grid(0.0, lens.step_s, int(8 / lens.step_s)))
    coarse = drawn(iter([x]), 0, lens, Grid(0.0, 4.0, 2))
    assert np.array_equal(coarse, fine.reshape(2, -1, 20).max(1))


def test_a_sine_at_full_scale_has_0_db_and_its_row():
    assert to_levels(np.float32([1e-3])) == round(255 * (95 - 30) / 80)
    lens = lens_of(RATE_HZ, 64)
    quiet = drawn(iter([sine(200, amplitude=0.01)]), 0, lens, Grid(0.2, 0.1, 1))[0]
    share = np.log1p(200 / 700) / np.log1p(8_000 / 700)  # of the height
    assert quiet.argmax() == int(64 * (1 - share))
    assert abs(int(quiet.max()) - 255 * (95 - 40) / 80) <= 6  # -40 dB, at most 2 dB between bins


def test_silence_is_0_and_before_and_after_a_recording_is_silence():
    lens = lens_of(RATE_HZ, 8)
    levels = drawn(iter([noise(0.1)]), 0, lens, Grid(0.0, 0.05, 8))
    assert levels[0].min() > 0
    assert not levels[3:].any()


@pytest.mark.parametrize(
    ("rate_hz", "top_hz"), [(100, 50), (8_000, 4_000), (44_100, 22_050), (500_000, 160_000)]
)
def test_the_top_is_half_the_rate_up_to_a_limit(rate_hz, top_hz):
    lens = lens_of(rate_hz, 32)
    assert lens.top_hz == top_hz
    assert lens.step_s <= len(lens.window) / 2 / rate_hz  # all sound is seen
    assert (lens.filters.sum(0) > 0).all()


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_peaks_are_the_least_and_the_greatest_samples(size):
    x, grid = noise(0.5), Grid(0.1, 0.01, 30)
    peaks = Peaks(grid, RATE_HZ, 0)
    for k in range(0, len(x), size):
        peaks.feed(x[k : k + size])
    parts = x[1_600 : 1_600 + 4_800].reshape(30, 160)
    expected = np.rint(127 * np.stack([parts.min(1), parts.max(1)], 1))
    assert np.array_equal(peaks.pairs, expected)


def test_more_points_than_samples_repeat_samples():
    peaks = Peaks(Grid(0.0, 1 / 4, 8), 2, 0)
    peaks.feed(np.float32([0.5, -1, 2, 0]))
    assert (
        peaks.pairs.tolist()
        == [[64, 64]] * 2 + [[-127, -127]] * 2 + [[127, 127]] * 2 + [[0, 0]] * 2
    )
