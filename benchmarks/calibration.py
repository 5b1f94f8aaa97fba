"""Compare three debiased calibration errors with the true one, on simulated scores.

    python benchmarks/calibration.py

Scores are perfectly calibrated, or powers of calibrated scores: overconfident above 1,
underconfident below. The true error is computed from 500,000 clips with known probabilities of a
correct prediction. Each figure is the mean over 200 draws, with the root mean square distance from
the true error beside it.
"""

from __future__ import annotations

import numpy as np

from earmark.training.metrics import ECE_BINS, calibration_error, debiased_calibration
from machine import describe, write

CLASSES, DRAWS, MANY = 10, 200, 500_000
MARGINS = {7.0: "accuracy 0.92", 4.0: "accuracy 0.76"}
POWERS = (1.0, 1.15, 1.3, 1.6, 2.0, 0.7)
SIZES = (100, 400, 3_000)


def main() -> None:
    """Simulate every case and write results/calibration.csv."""
    print(describe())
    rows = []
    for margin, name in MARGINS.items():
        for power in POWERS:
            right, shown = scores(MANY, margin, power, np.random.default_rng(0))
            true = calibration_error(shown, right)
            for n in SIZES:
                rng = np.random.default_rng(n)
                errors = np.array(
                    [figures(*scores(n, margin, power, rng), rng) for _ in range(DRAWS)]
                )
                means = errors.mean(0).round(4).tolist()
                far = np.sqrt(np.square(errors - true).mean(0)).round(4).tolist()
                row: dict[str, object] = {"scores": name, "power": power, "clips": n}
                row |= {"true": round(true, 4), "expected": means[0]}
                for k, column in enumerate(("ece", "less_expected", "kumar", "debiased"), 1):
                    row |= {column: means[k], f"{column}_rms": far[k]}
                print(row)
                rows.append(row)
    write("calibration", rows)


def scores(
    n: int, margin: float, power: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return perfectly calibrated scores (N, K), and the scores that a classifier shows."""
    logits = rng.normal(size=(n, CLASSES))
    logits[np.arange(n), rng.integers(0, CLASSES, n)] += margin * rng.gamma(3, 1 / 3, n)
    right, shown = (np.exp(1.5 * x * logits) for x in (1.0, power))
    return right / right.sum(1, keepdims=True), shown / shown.sum(1, keepdims=True)


def figures(
    right: np.ndarray, shown: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float, float, float]:
    """Draw labels; return the ECE of calibrated scores, the ECE, and three debiased ECEs."""
    truth = (rng.random((len(right), 1)) > right.cumsum(1)[:, :-1]).sum(1)
    onehot = np.eye(CLASSES, dtype=bool)[truth]
    error = calibration_error(shown, onehot)
    expected, debiased = debiased_calibration(shown, onehot)
    return expected, error, max(0.0, error - expected), kumar(shown, onehot), debiased


def kumar(shown: np.ndarray, onehot: np.ndarray) -> float:
    """Return the ECE minus its bias around observed accuracies (Kumar et al. 2019, section 5).

    As in their code (normal_debiased_ce), except that a bin of one clip is not changed.
    """
    best = shown.argmax(1)
    confidence = shown[np.arange(len(best)), best]
    right = onehot[np.arange(len(best)), best].astype(float)
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    count = np.bincount(bins, minlength=ECE_BINS)
    share = count / len(best)
    seen, said = (
        np.bincount(bins, x, ECE_BINS) / np.maximum(count, 1) for x in (right, confidence)
    )
    spread = np.sqrt(seen * (1 - seen) / np.maximum(count, 1))
    others = np.random.default_rng(0).normal(seen, spread, (1_000, ECE_BINS))
    error = float((share * np.abs(said - seen)).sum())
    return max(0.0, 2 * error - float((share * np.abs(said - others)).sum(1).mean()))


if __name__ == "__main__":
    main()
