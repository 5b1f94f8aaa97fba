"""What remains of a fine-tuning: its classifier, its mean curve, and its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from earmark.classifier.calibration import Calibration
from earmark.classifier.decision import DecisionRule
from earmark.training import training
from earmark.training.estimation import OutOfFold
from earmark.training.finetuning.context import Tuned
from earmark.training.finetuning.recipe import Recipe
from earmark.training.training import Training
from earmark.version import __version__


def course_of(curves: Sequence[Sequence[dict[str, float]]]) -> list[dict[str, float]]:
    """Return the means over rehearsals of loss and validation loss after each epoch."""
    rows = [row for curve in curves for row in curve]
    course = []
    for epoch in sorted({row["epoch"] for row in rows}):
        means = {"epoch": epoch}
        for name in ("loss", "validation"):
            values = [row.get(name, np.nan) for row in rows if row["epoch"] == epoch]
            if finite := [value for value in values if np.isfinite(value)]:
                means[name] = float(np.mean(finite))
        course += [means] if len(means) > 1 else []
    return course


def deployed(
    frozen: Training,
    tested: OutOfFold,
    tuned: Tuned,
    calibration: Calibration,
    verdict: dict[str, Any],
) -> Training:
    """Return the training of the fine-tuned classifier, with its own estimate and decision rule."""
    old = frozen.classifier
    estimate = replace(
        training.estimate_of(
            tested, frozen.embedded, int(old.provenance["seed"]), frozen.baselines
        ),
        learning_curve=old.estimate.learning_curve,
        fine_tuning=verdict,
    )
    # a backbone without layers in use is not in the classifier
    backbones = {use.name for use in old.backbones}
    networks = zip(tuned.weights, frozen.embedded.networks, strict=True)
    weights = tuple(tensors for tensors, network in networks if network.info.name in backbones)
    classifier = replace(
        old,
        head=tuned.head,
        calibration=calibration,
        decision_rule=DecisionRule.fit(tested.scores, tested.onehot, tested.is_single),
        estimate=estimate,
        tuned=weights,
        provenance={**old.provenance, "contributions": []},  # they describe the frozen head
    )
    return replace(frozen, classifier=classifier, out_of_fold=tested)


def key_of(frozen: Training, how: str, recipe: Recipe, seed: int) -> str:
    """Return a hash of everything that the result depends on."""
    embedded = frozen.embedded
    causes = {
        "versions": [__version__, torch.__version__],
        "data": frozen.classifier.provenance["data"],
        "folds": hashlib.sha256(embedded.scheme.fold.astype(np.int64).tobytes()).hexdigest(),
        "backbones": [network.fingerprint for network in embedded.networks],
        "chosen": [
            str(choice.best)
            for choice in (*(plan.choice for plan in frozen.solution.plans), frozen.solution.chosen)
        ],
        "how": how,
        "recipe": asdict(recipe),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(causes, sort_keys=True).encode()).hexdigest()[:24]
