"""The small classifiers on top of embeddings: linear, mlp, prototype.

All of them see standardised features, and all are fitted in the span of the training clips: with
fewer clips than features, features are first rotated onto the directions that the clips reach
(an exact step: no head that starts at zero or learns by gradients gets a weight outside of them),
which makes a fit on 400 clips x 4,600 features a fit on 400 x 400.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

KINDS = ("prototype", "linear", "mlp")  # simplest first
PENALTIES = (3.0, 30.0, 300.0)  # weakest last; see Linear below for the unit
HIDDEN, DROPOUT = 256, 0.3  # the classic head: Linear -> ReLU -> Dropout 0.3 -> Linear
LEAST_STEPS, LEAST_EPOCHS, BATCH = 100, 4, 64  # of the mlp; more gave nothing (docs/lab-notes.md)
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-2
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
        self.basis: np.ndarray | None = None  # (D, R), orthonormal columns
        self.z = x = (features - self.mean) / self.scale
        if n < size and n <= MOST_ROTATED:
            values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
            keep = values > 1e-6 * values[-1]
            length = np.sqrt(values[keep])
            self.basis = (x.T @ (vectors[:, keep] / length)).astype(np.float32)
            self.z = (vectors[:, keep] * length).astype(np.float32)

    def project(self, features: np.ndarray) -> np.ndarray:
        """Return other features (M, D) in the coordinates of ``z``, (M, R)."""
        x = (features - self.mean) / self.scale
        return np.asarray(x if self.basis is None else x @ self.basis)

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


T = TypeVar("T")


def side_by_side(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Call ``work`` for each item, on all cores, each call on one.

    Small matrices gain nothing from several cores, and lose when BLAS threads wait for each other.
    """
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    try:
        with (
            threadpool_limits(1),
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            try:
                list(pool.map(work, items))
            except BaseException:  # Ctrl-C: do not wait for what has not begun
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(threads)


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
    """Train Linear -> ReLU -> Dropout -> Linear; the same seed gives the same weights.

    Random numbers come from a generator of its own: fits run side by side in threads.
    """
    import torch
    from torch.nn import functional as F

    draw = torch.Generator().manual_seed(seed)
    gain = float(np.sqrt(z.shape[1]))  # rows of length 1 -> units of size 1, as PyTorch expects
    x, y = torch.from_numpy(z * gain).float(), torch.from_numpy(truth)

    def uniform(*shape: int, inputs: int) -> torch.Tensor:  # as torch.nn.Linear starts
        span = 1 / np.sqrt(inputs)
        start: torch.Tensor = (torch.rand(*shape, generator=draw) * 2 - 1) * span
        return start.requires_grad_()

    with torch.enable_grad():
        w1, b1 = uniform(HIDDEN, x.shape[1], inputs=x.shape[1]), uniform(HIDDEN, inputs=x.shape[1])
        w2, b2 = uniform(classes, HIDDEN, inputs=HIDDEN), uniform(classes, inputs=HIDDEN)
        optimiser = torch.optim.AdamW(
            [w1, b1, w2, b2], LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        steps = max(LEAST_STEPS, LEAST_EPOCHS * len(x) // BATCH)
        for step in range(steps):
            for settings in optimiser.param_groups:
                settings["lr"] = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            rows = torch.randint(len(x), (min(BATCH, len(x)),), generator=draw)
            hidden = F.relu(F.linear(x[rows], w1, b1))
            kept = torch.rand(hidden.shape, generator=draw) >= DROPOUT
            logits = F.linear(hidden * kept / (1 - DROPOUT), w2, b2)
            optimiser.zero_grad()
            torch.autograd.backward(F.cross_entropy(logits, y[rows]))
            optimiser.step()
    fitted = [t.detach().numpy() for t in (w1 * gain, b1, w2, b2)]
    names = ("hidden.weight", "hidden.bias", "output.weight", "output.bias")
    return dict(zip(names, fitted, strict=True))
