"""Layer weights that a rule chooses, or that are learned from these; for ideas.py."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import torch

from earmark.classifier.calibration import Calibration
from earmark.classifier.targets import Targets
from earmark.training import heads, weighting
from earmark.training.inner import Contests, fold_pairs
from earmark.training.judging import FoldedClips, LayerWeights
from earmark.training.kernels import FeatureTable
from earmark.training.screening import few_clips
from earmark.training.selection import Search

STEPS, RATE = 40, 0.1  # of Adam on the logarithms of weights


def chosen(sharpness: float, search: Search, contests: Contests) -> LayerWeights:
    """Return the weights of `training/weighting.py`, for another sharpness."""
    with patch.object(weighting, "SHARPNESS", sharpness):
        return weighting.layer_weights(contests, search.table)


def equal(search: Search, contests: Contests) -> LayerWeights:
    """Return weights that give all layers equal weight."""
    return {
        tested: (1.0,) * len(own)
        for tested, own in weighting.layer_weights(contests, search.table).items()
    }


def learned(prior: float, search: Search, contests: Contests) -> LayerWeights:
    """Return layer weights learned for each tested fold, on clips of the other folds.

    Adam minimises the log loss of held-out inner folds plus the divergence from the chosen weights,
    which counts as ``prior`` clips.
    """
    few = few_clips(search.clips, search.seed)
    kernels = _kernels(few.table)
    return {
        tested: _learn(kernels, few, tested, np.array(weights), prior)
        for tested, weights in weighting.layer_weights(contests, search.table).items()
    }


def _kernels(table: FeatureTable) -> torch.Tensor:
    """Return the kernels (L, N, N) of all layers alone."""
    rows, names = np.arange(len(table)), weighting._alone(table).values()
    return torch.from_numpy(np.stack([table.kernel(name, rows) for name in names])).double()


def _learn(
    kernels: torch.Tensor, few: FoldedClips, tested: int | None, start: np.ndarray, prior: float
) -> tuple[float, ...]:
    """Descend from the chosen weights, with the penalty that is best for them."""
    chosen = torch.from_numpy(start.clip(weighting.LEAST / 2)).log().softmax(0)
    logs = chosen.log().clone().requires_grad_()
    with torch.no_grad():
        losses = {p: _loss(kernels, few, tested, chosen, p) for p in heads.PENALTIES["linear"]}
    penalty = min(losses, key=lambda p: float(losses[p]))
    n_clips = int((few.fold != tested).sum()) if tested is not None else len(few.fold)
    descent = torch.optim.Adam([logs], RATE)
    for _ in range(STEPS):
        descent.zero_grad()
        weights = logs.softmax(0)
        divergence = (chosen * (chosen / weights).log()).sum()
        loss = _loss(kernels, few, tested, weights, penalty) + prior / n_clips * divergence
        loss.backward()
        descent.step()
    weights = logs.detach().softmax(0)
    return tuple((weights / weights.max()).numpy().round(4).tolist())


def _loss(
    kernels: torch.Tensor,
    few: FoldedClips,
    tested: int | None,
    weights: torch.Tensor,
    penalty: float,
) -> torch.Tensor:
    """Return the calibrated log loss of held-out clips, as :class:`Contest` computes it."""
    total, logits, truth = torch.tensordot(weights, kernels, 1), [], []
    onehot = torch.from_numpy(few.targets.onehot).double()
    for pair in fold_pairs(few.n_folds):
        if tested is not None and tested not in pair:
            continue
        train = torch.from_numpy(~np.isin(few.fold, pair))
        held = torch.from_numpy(np.isin(few.fold, [fold for fold in pair if fold != tested]))
        k = total[:, train]
        k = k - k[train].mean(0)  # centred on the training clips
        k = k - k.mean(1, keepdim=True)
        prior = onehot[train].mean(0)
        inside = k[train] + 1 + penalty * int(train.sum()) * torch.eye(int(train.sum()))
        duals = torch.linalg.solve(inside, onehot[train] - prior)
        logits.append((k[held] + 1) @ duals + prior)
        truth.append(few.targets.first[held.numpy()])
    answers, rows = torch.cat(logits), np.concatenate(truth)
    targets = Targets.single(rows, few.targets.n_classes)
    scale = Calibration.fit(answers.detach().numpy(), targets, len(few.fold)).temperature
    return torch.nn.functional.cross_entropy(answers / scale, torch.from_numpy(rows))
