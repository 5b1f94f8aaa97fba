"""Fit heads: prototype, linear, logistic, mlp.

All heads read standardised features, scaled so that the row of a clip has a length of about 1.
Prototype and linear heads are solved in closed form from the inner products between clips (their
*kernel*), so judging many sets of layers costs only sums of small matrices. Logistic and mlp heads
read features rotated onto the directions that the training clips span. This loses nothing: their
weights stay zero in all other directions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from earmark.classifier.head import KINDS, Head
from earmark.classifier.targets import Targets
from earmark.errors import EarmarkError, did_you_mean
from earmark.training.gradients import Descent
from earmark.training.moments import (
    NEVER,
    FoldMoments,
    System,
    shrinkage,
    solve_loaded,
    standard_scale,
)

LINEAR = ("linear", "logistic")  # least squares, and likelihood, which suits few features
SUMMED = ("prototype", "linear")  # heads that can be fitted from sums over clips
PENALTIES = {  # strongest first; per clip for least squares, in total for a logistic head
    "prototype": (0.0,),
    "linear": (0.3, 3e-2, 3e-3, 3e-4, 3e-5),
    "logistic": (0.3, 0.03, 0.003),
    "mlp": (0.0,),
}
LEAST_STEPS, LEAST_EPOCHS, BATCH = 100, 4, 64  # of the mlp; more did not help (docs/lab-notes.md)
LEARNING_RATE = 3e-3
MOST_ROTATED = 1_500  # with more clips, the rotation costs more time than it saves
MANY = 20_000  # with as many clips, matrix products are large enough for several cores
BLOCK = 1_024  # clips, or features, that are processed at a time


def kinds_of(head: str, *, is_single: bool, auto: Sequence[str] = KINDS) -> tuple[str, ...]:
    """Return the kinds of head that ``head`` stands for; ``auto`` are those of 'auto'.

    Clips with several classes allow only linear and mlp heads. Raises EarmarkError if none is left.
    """
    alone = ("logistic", "mlp", "prototype")
    known = {"auto": tuple(auto), "linear": LINEAR, **{kind: (kind,) for kind in alone}}
    if head not in known:
        raise EarmarkError(
            f"no head {head!r}.{did_you_mean(head, known)} Known: {', '.join(known)}."
        )
    kinds = tuple(k for k in known[head] if is_single or k in ("linear", "mlp"))
    if not kinds:
        raise EarmarkError(
            f"head {head!r} is for clips with one class each. Give 'linear' or 'mlp'."
        )
    return kinds


def screened_penalties(kind: str, *, is_final: bool) -> tuple[float, ...]:
    """Return the penalties that are tried on few clips, strongest first.

    Unless the choice on few clips is final, the strongest and the weakest are left out, because
    finalists try other penalties.
    """
    every = PENALTIES[kind]
    return every if is_final or len(every) < 3 else every[1:-1]


def standard(
    features: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale (D,) float32 that give ``features`` (N, D) rows of length about 1.

    ``weights`` (D,) are those of :func:`standard_scale`.
    """
    mean = features.mean(0, dtype=np.float64)
    rounded, squares = mean.astype(np.float32), np.zeros(len(mean))
    for rows in _blocks(len(features)):
        x = features[rows] - rounded
        squares += np.einsum("nd,nd->d", x, x)
    squares = squares / len(features) - np.square(mean - rounded)
    scale = standard_scale(np.sqrt(squares.clip(0)), weights)
    return rounded, scale.astype(np.float32)


def _blocks(count: int) -> Iterator[slice]:
    """Yield slices of at most BLOCK rows or columns."""
    for start in range(0, count, BLOCK):
        yield slice(start, start + BLOCK)


def fit(
    kind: str,
    features: np.ndarray,
    targets: Targets,
    penalty: float,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> Head:
    """Fit one head to ``features`` (N, D), which may have ``weights`` (D,)."""
    if kind in SUMMED and len(features) > features.shape[1]:
        sums = FoldMoments(features[:BLOCK].mean(0), 1, targets.n_classes)
        for rows in _blocks(len(features)):
            sums.add(0, features[rows], targets.rows(rows))
        return summed_head(kind, sums.system([0]), penalty, weights)
    mean, scale = standard(features, weights)
    z = features - mean
    z /= scale
    if kind == "mlp":
        tensors = _mlp(z, targets, seed)
    elif kind == "logistic":
        tensors = next(_logistic_path(z, targets, (penalty,)))
    else:
        duals, bias = solve(kind, z @ z.T, targets, (penalty,), exact=True)
        tensors = {"weight": spread(duals[0], z), "bias": bias[0]}
    return new_head(kind, mean, scale, tensors)


def spread(duals: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the weight (K, D) that belongs to ``duals`` (N, K), computed in double precision.

    It works on some features at a time, because a double copy of all takes twice their memory.
    """
    weight = np.empty((duals.shape[1], z.shape[1]), np.float32)
    for columns in _blocks(z.shape[1]):
        weight[:, columns] = duals.T @ z[:, columns].astype(np.float64)
    return weight


def fit_path(
    kind: str, features: np.ndarray, targets: Targets, seed: int = 0
) -> Iterator[tuple[float, Head]]:
    """Yield each penalty of ``kind`` with its head; each fit starts from the previous head."""
    if kind != "logistic":
        for penalty in PENALTIES[kind]:
            yield penalty, fit(kind, features, targets, penalty, seed)
        return
    mean, scale = standard(features)
    path = _logistic_path((features - mean) / scale, targets, PENALTIES[kind])
    for penalty, weights in zip(PENALTIES[kind], path, strict=True):
        yield penalty, new_head(kind, mean, scale, weights)


def new_head(
    kind: str, mean: np.ndarray, scale: np.ndarray, weights: dict[str, np.ndarray]
) -> Head:
    """Return a head with this standardisation and these weights, as float32."""
    tensors = {"mean": mean, "scale": scale, **weights}
    return Head(kind, {name: np.asarray(value, np.float32) for name, value in tensors.items()})


def solve(
    kind: str,
    kernel: np.ndarray,
    targets: Targets,
    penalties: Sequence[float],
    *,
    exact: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return duals (P, N, K) and biases (P, K) of prototype or linear heads of a kernel (N, N).

    Logits of other clips are ``kernel_of_others @ duals + bias``. Without ``exact``, the solution
    has float32 precision.
    """
    if kind == "prototype":
        duals, bias = _prototypes(kernel, targets)
        duals, bias = duals[None], bias[None]
    else:
        duals, bias = _ridge(kernel, targets, penalties, exact)
    bias[:, targets.counts == 0] = NEVER
    return duals, bias


def _prototypes(kernel: np.ndarray, targets: Targets) -> tuple[np.ndarray, np.ndarray]:
    """Return duals and biases of the nearest class mean, with means shrunk (:func:`shrinkage`)."""
    counts = targets.counts
    share = targets.onehot / np.maximum(counts, 1).astype(np.float32)
    square = (share * (kernel @ share)).sum(0)  # of the length of each class mean
    factor = shrinkage(square, counts, float(np.trace(kernel)), len(kernel))
    return share * factor, -0.5 * square * factor**2


def _ridge(
    kernel: np.ndarray, targets: Targets, penalties: Sequence[float], exact: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return duals and biases of regularised least squares, each class against the rest.

    With few clips and many features it is as accurate as any linear head and solved in one step
    (Rifkin and Klautau 2004). The bias is the weight of an extra feature that is always 1.
    """
    import torch

    prior = targets.prior
    rest = torch.from_numpy(targets.onehot - prior)
    inverse = torch.from_numpy(1 / targets.weights).float()
    k = torch.from_numpy(np.asarray(kernel, np.float32)) + 1
    diagonal, duals = k.diagonal().clone(), []
    for penalty in penalties:
        k.diagonal().copy_(diagonal + penalty * len(kernel) * inverse)
        duals.append(solve_loaded(k, rest, exact=exact))
    solutions = torch.stack(duals).numpy()
    return solutions, prior + solutions.sum(1)


def summed_head(
    kind: str, system: System, penalty: float, weights: np.ndarray | None = None
) -> Head:
    """Return the linear or prototype head of a system of sums; features may have ``weights``."""
    if weights is not None:
        system = system.part(np.arange(len(weights)), weights)
    weight, bias = system.solve(kind, penalty, exact=True)
    return new_head(kind, system.mean, system.scale, {"weight": weight, "bias": bias})


def _logistic_path(
    z: np.ndarray, targets: Targets, penalties: Sequence[float]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield a multinomial logistic regression on ``z`` (N, D) for each penalty.

    Each starts from the previous one. A penalty is 1 / C of scikit-learn, for rows of length 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    x, basis = _rotated(z)
    cores = 1 if len(x) < MANY else None  # threads slow down small products
    model = LogisticRegression(warm_start=True, max_iter=300, tol=1e-4)
    for penalty in penalties:
        model.set_params(C=1 / penalty)
        with warnings.catch_warnings(), threadpool_limits(cores):
            warnings.simplefilter("ignore", ConvergenceWarning)  # close enough to compare penalties
            warnings.filterwarnings("ignore", message="The number of unique classes")
            model.fit(x, targets.first, targets.weights)
        weight, bias = model.coef_ @ basis.T, model.intercept_
        if len(model.classes_) == 2:
            weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        full = np.zeros((targets.n_classes, z.shape[1]))
        offset = np.full(len(full), NEVER)
        full[model.classes_], offset[model.classes_] = weight, bias
        yield {"weight": full, "bias": offset}


def _rotated(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``z`` (N, D) in the directions that its rows span (N, R), and these (D, R)."""
    n, size = z.shape
    if n >= size or n > MOST_ROTATED:
        return z, np.eye(size, dtype=z.dtype)
    values, vectors = np.linalg.eigh((z @ z.T).astype(np.float64))
    keep = values > 1e-6 * values[-1]
    length = np.sqrt(values[keep])
    basis = z.T @ (vectors[:, keep] / length).astype(np.float32)  # orthonormal columns
    return (vectors[:, keep] * length).astype(np.float32), basis


def _mlp(z: np.ndarray, targets: Targets, seed: int) -> dict[str, np.ndarray]:
    """Train Linear -> ReLU -> Dropout -> Linear on standardised features (N, D)."""
    import torch

    x, basis = _rotated(z)
    steps, n_classes = max(LEAST_STEPS, LEAST_EPOCHS * len(x) // BATCH), targets.n_classes
    descent = Descent("mlp", x.shape[1], n_classes, steps=steps, rate=LEARNING_RATE, seed=seed)
    for _ in range(steps):
        choice = torch.randint(len(x), (min(BATCH, len(x)),), generator=descent.draw)
        rows = choice.numpy()
        descent.step(x[rows], targets.rows(rows))
    weights = descent.tensors()
    return {**weights, "hidden.weight": weights["hidden.weight"] @ basis.T}
