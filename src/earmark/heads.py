"""The small classifiers on top of embeddings: linear, mlp, prototype.

All of them see standardised features, and all are fitted in the span of the training clips: with
fewer clips than features, features are first rotated onto the directions that the clips reach
(an exact step: no head that starts at zero or learns by gradients gets a weight outside of them),
which makes a fit on 400 clips x 4,600 features a fit on 400 x 400.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

KINDS = ("prototype", "linear", "mlp")  # simplest first
PENALTIES = (3.0, 30.0, 300.0)  # weakest last; see Linear below for the unit
HIDDEN, DROPOUT = 256, 0.3  # the classic head: Linear -> ReLU -> Dropout 0.3 -> Linear
STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 200, 256, 3e-3, 1e-2
MOST_ROTATED = 1_500  # clips; beyond this the rotation costs more than it saves


@dataclass(frozen=True)
class Head:
    """A fitted head. ``tensors`` are float32: ``mean`` and ``scale`` (D,), then by kind
    ``weight`` (K, D) and ``bias`` (K,), or those of ``hidden`` and ``output`` for an mlp."""

    kind: str
    tensors: dict[str, np.ndarray]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return (N, K) float32 for ``features`` (N, D)."""
        t = self.tensors
        x = (features - t["mean"]) / t["scale"]
        if self.kind != "mlp":
            return np.asarray(x @ t["weight"].T + t["bias"])
        hidden = np.maximum(x @ t["hidden.weight"].T + t["hidden.bias"], 0)
        return np.asarray(hidden @ t["output.weight"].T + t["output.bias"])


class Span:
    """Training features, standardised and rotated: ``z`` (N, R) with rows of length about 1."""

    def __init__(self, features: np.ndarray) -> None:
        n, size = features.shape
        self.mean = features.mean(0, dtype=np.float64).astype(np.float32)
        deviation = features.std(0, dtype=np.float64)
        # a unit that never moves in training says nothing, and must not explode when it does
        scale = np.where(deviation > 1e-6, deviation, np.inf) * np.sqrt(size)
        self.scale = scale.astype(np.float32)
        x = (features - self.mean) / self.scale
        self.basis: np.ndarray | None = None  # (D, R), orthonormal columns
        self.z = x
        if n < size and n <= MOST_ROTATED:
            values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
            keep = values > 1e-6 * values[-1]
            length = np.sqrt(values[keep])
            self.basis = (x.T @ (vectors[:, keep] / length)).astype(np.float32)
            self.z = (vectors[:, keep] * length).astype(np.float32)

    def project(self, features: np.ndarray) -> np.ndarray:
        """Return other features (M, D) in the coordinates of ``z``, (M, R)."""
        x = (features - self.mean) / self.scale
        return x if self.basis is None else x @ self.basis

    def head(self, kind: str, weights: dict[str, np.ndarray], first: str) -> Head:
        """Make a head from weights in the span; ``first`` names the matrix that reads ``z``."""
        if self.basis is not None:
            weights = {**weights, first: weights[first] @ self.basis.T}
        tensors = {"mean": self.mean, "scale": self.scale, **weights}
        return Head(kind, {k: np.asarray(v, np.float32) for k, v in tensors.items()})


def fit(kind: str, span: Span, truth: np.ndarray, classes: int, penalty: float, seed: int) -> Head:
    """Fit one head to ``span`` and ``truth`` (N,) of class numbers below ``classes``."""
    if kind == "prototype":
        return span.head(kind, _prototypes(span.z, truth, classes), "weight")
    if kind == "linear":
        weights = next(_linear_path(span.z, truth, classes, [penalty]))
        return span.head(kind, weights, "weight")
    return span.head(kind, _mlp(span.z, truth, classes, seed), "hidden.weight")


def path_logits(
    span: Span, truth: np.ndarray, classes: int, others: np.ndarray
) -> dict[float, np.ndarray]:
    """Return the linear head's logits (M, K) for ``others`` (M, R) at each of ``PENALTIES``."""
    path = _linear_path(span.z, truth, classes, PENALTIES)
    return {
        penalty: others @ w["weight"].T + w["bias"]
        for penalty, w in zip(PENALTIES, path, strict=True)
    }


def _linear_path(
    z: np.ndarray, truth: np.ndarray, classes: int, penalties: Sequence[float]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield logistic regressions, each started from the one before.

    A penalty is scikit-learn's C for rows of length 1; on D standardised features that is C / D.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(warm_start=True, max_iter=300, tol=1e-4)
    for penalty in penalties:
        model.set_params(C=penalty)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # close enough for a nearby penalty
            model.fit(z, truth)
        weight, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        yield _at_classes(model.classes_, weight, bias, classes)


def _prototypes(z: np.ndarray, truth: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Return the linear form of the nearest class mean under one spherical variance."""
    present = np.unique(truth)
    means = np.stack([z[truth == k].mean(0) for k in present])
    variance = np.square(z - means[np.searchsorted(present, truth)]).mean() + 1e-6
    bias = -0.5 * np.square(means).sum(1) / variance
    return _at_classes(present, means / variance, bias, classes)


def _at_classes(
    present: np.ndarray, weight: np.ndarray, bias: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    """Spread weights over all classes; one that was not in training is never the answer."""
    full = np.zeros((classes, weight.shape[1]))
    offset = np.full(classes, -1e4)
    full[present], offset[present] = weight, bias
    return {"weight": full, "bias": offset}


def _mlp(z: np.ndarray, truth: np.ndarray, classes: int, seed: int) -> dict[str, np.ndarray]:
    """Train Linear -> ReLU -> Dropout -> Linear with AdamW; the same seed gives the same weights."""
    import torch
    from torch import nn

    gain = float(np.sqrt(z.shape[1]))  # rows of length 1 -> units of size 1, as PyTorch expects
    x, y = torch.from_numpy(z * gain).float(), torch.from_numpy(truth)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        hidden, output = nn.Linear(x.shape[1], HIDDEN), nn.Linear(HIDDEN, classes)
        model = nn.Sequential(hidden, nn.ReLU(), nn.Dropout(DROPOUT), output)
        optimiser = torch.optim.AdamW(
            model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        for _ in range(STEPS):
            rows = torch.randint(len(x), (BATCH,)) if len(x) > BATCH else slice(None)
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    return {
        "hidden.weight": hidden.weight.detach().numpy() * gain,
        "hidden.bias": hidden.bias.detach().numpy(),
        "output.weight": output.weight.detach().numpy(),
        "output.bias": output.bias.detach().numpy(),
    }
