"""The calibration of events' scores: it finds the best one wherever the scores lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from earmark.training.event_tuning import PULL, fit_platt


def penalised_loss(weights, raw, is_right):
    share = np.clip(raw, 1e-6, 1 - 1e-6)
    n_right, n_false = is_right.sum(), (~is_right).sum()
    target = np.where(is_right, (n_right + 1) / (n_right + 2), 1 / (n_false + 2))
    logits = weights[0] * np.log(share / (1 - share)) + weights[1]
    pull = PULL / 2 * ((weights[0] - 1) ** 2 + weights[1] ** 2)
    return (np.logaddexp(0, logits) - target * logits).sum() + pull


@given(
    seed=st.integers(0, 99),
    centre=st.floats(-2, 13),
    right=st.floats(0.02, 1),
    n=st.integers(2, 400),
)
def test_no_other_calibration_fits_better(seed, centre, right, n):
    rng = np.random.default_rng(seed)
    raw = 1 / (1 + np.exp(-rng.normal(centre, 3, n)))
    is_right = rng.random(n) < right
    slope, intercept = fit_platt(raw, is_right)
    searches = (
        minimize(penalised_loss, (0.5, 0.5), (raw, is_right), method=method)
        for method in ("Nelder-Mead", "BFGS")  # each stops early on some of these
    )
    best = min(searches, key=lambda search: search.fun)
    if slope > 0:
        found = penalised_loss(np.array([slope, intercept]), raw, is_right)
        assert found <= best.fun + 1e-3
    else:  # scores that say nothing: all events get the share that is right
        assert best.x[0] < 1e-3
        assert intercept == pytest.approx(np.log((is_right.sum() + 1) / ((~is_right).sum() + 1)))


def test_scores_near_1_do_not_make_it_diverge():
    rng = np.random.default_rng(0)
    raw = 1 / (1 + np.exp(-rng.normal(9, 3, 1000)))
    is_right = rng.random(1000) < 0.5 + 0.5 * raw**8
    slope, intercept = fit_platt(raw, is_right)
    assert 0 < slope < 1
    logits = slope * np.log(raw / (1 - raw)) + intercept
    assert (1 / (1 + np.exp(-logits))).mean() == pytest.approx(is_right.mean(), abs=0.01)
